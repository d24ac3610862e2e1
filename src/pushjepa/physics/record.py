"""What every frozen record that is stored shares, laws and architectures alike: the way to a dictionary and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self


@dataclass(frozen=True)
class Record:
    """Base of a frozen record.

    Attributes:
        kind: what its fields are called in an error, as in "unknown physics option".
    """

    kind: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: a list for a tuple."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a record back; a missing name takes its default.

        Raises:
            ValueError: an unknown name, so that a typo fails in the first second, or a value that makes no sense.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown {cls.kind} option {unknown[0]!r}; known: {', '.join(sorted(known))}")
        return cls(**values)
