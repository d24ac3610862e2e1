"""What every record of laws shares: values within their ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pushjepa.physics.record import Record


@dataclass(frozen=True)
class Laws(Record):
    """Base of a frozen record of laws.

    Attributes:
        limits: least and largest value of each law that is a number.
        shapes: what ``block_shape`` may be.

    Raises:
        ValueError: a value outside its range, with the range.
    """

    kind: ClassVar[str] = "physics"
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
