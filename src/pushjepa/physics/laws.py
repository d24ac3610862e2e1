"""What every record of laws shares: values within their ranges, and the way to a dictionary and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self


@dataclass(frozen=True)
class Laws:
    """Base of a frozen record of laws.

    Attributes:
        limits: least and largest value of each law that is a number.
        shapes: what ``block_shape`` may be.

    Raises:
        ValueError: a value outside its range, with the range.
    """

    limits: ClassVar[Mapping[str, tuple[float, float]]] = {}
    shapes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        shape = getattr(self, "block_shape", None)
        if self.shapes and shape not in self.shapes:
            raise ValueError(f"unknown block_shape {shape!r}; choose one of {', '.join(self.shapes)}")
        for name, (low, high) in self.limits.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"physics {name} must be a finite number, got {value!r}")
            if not low <= value <= high:
                raise ValueError(f"physics {name} must lie in [{low:g}, {high:g}], got {value:g}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read a record back; an unknown name is an error, a missing one takes its default."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown physics option {unknown[0]!r}; known: {', '.join(sorted(known))}")
        return cls(**values)
