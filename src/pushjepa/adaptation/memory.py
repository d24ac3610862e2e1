"""What was learned of other laws, kept under a name: the laws that are believed in, and weights if any were learned.

A memory is a JSON file; weights lie beside it. Only they need torch, and only when they are asked for.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pushjepa.physics.geometry import Array
from pushjepa.runtime.checkpoint import file_digest

if TYPE_CHECKING:
    from pushjepa.adaptation.learning import Delta

FORMAT = "pushjepa-memory-1"  #: of the JSON file
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Memory:
    """What is remembered under a name.

    Attributes:
        name: letters, digits, ``-`` and ``_``, at most 64 of them.
        model: digest of the weights of the model that it belongs to.
        conditions: (C,) numbers of the laws, what :class:`~pushjepa.adaptation.SystemM` begins with as ``remembered``.
        delta: weights that were learned, or the file that they are in; None if none were.

    Raises:
        ValueError: a bad name, or numbers that are no vector of finite ones.
    """

    name: str
    model: str
    conditions: Array
    delta: Delta | Path | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.conditions.ndim != 1 or not np.isfinite(self.conditions).all():
            raise ValueError("the laws that are remembered must be a vector of finite numbers")

    def weights(self) -> Delta | None:
        """The weights that were learned, read when they are asked for; None if there are none. Needs torch.

        Raises:
            ValueError: see :meth:`pushjepa.adaptation.learning.Delta.load`.
        """
        if not isinstance(self.delta, Path):
            return self.delta
        from pushjepa.adaptation.learning import Delta

        return Delta.load(self.delta)

    def save(self, folder: Path) -> Path:
        """Write it into ``folder``, which is made if missing; gives the JSON file. An older one of this name goes.

        Raises:
            ValueError: weights that were learned of another model.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path, weights = folder / f"{self.name}.json", folder / f"{self.name}.safetensors"
        if self.delta is None:
            weights.unlink(missing_ok=True)
        elif not isinstance(self.delta, Path):
            if self.delta.base != self.model:
                raise ValueError(f"the memory {self.name!r} and its weights belong to different models")
            self.delta.save(weights)
        elif self.delta.resolve() != weights.resolve():
            shutil.copyfile(self.delta, weights)
        values = {
            "format": FORMAT,
            "name": self.name,
            "model": self.model,
            "conditions": self.conditions.tolist(),
            "weights": None if self.delta is None else file_digest(weights),
        }
        path.write_text(json.dumps(values, indent=1) + "\n")
        return path

    @classmethod
    def load(cls, folder: Path, name: str, digest: str) -> Memory:
        """What :meth:`save` wrote, for the model whose weights have this digest.

        Raises:
            ValueError: a bad name, no such memory, one of another model, or a file that is not what it should be.
        """
        _check_name(name)
        path, weights = folder / f"{name}.json", folder / f"{name}.safetensors"
        if not path.is_file():
            known = ", ".join(list_memories(folder)) or "nothing"
            raise ValueError(f"there is no memory {name!r} in {folder}; it holds {known}")
        values = _read(path)
        if values is None:
            raise ValueError(f"{path} is not a memory of this version ({FORMAT})")
        if values["model"] != digest:
            found = str(values["model"])
            raise ValueError(f"the memory {name!r} belongs to the model {found[:12]}, not to {digest[:12]}")
        kept = values["weights"]
        if kept is not None and (not weights.is_file() or file_digest(weights) != kept):
            raise ValueError(f"the memory {name!r} has weights, and {weights} is not the file that belongs to it")
        try:
            return cls(name, digest, np.array(values["conditions"], dtype=np.float64), weights if kept else None)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} tells of no laws: {error}") from None


def list_memories(folder: Path, digest: str | None = None) -> list[str]:
    """Names of the memories in a folder in order, all of them or those of one model; none if there is no folder."""
    found = []
    for path in sorted(folder.glob("*.json")):
        values = _read(path)
        if values is not None and digest in (None, values["model"]):
            found.append(path.stem)
    return found


def _read(path: Path) -> dict[str, Any] | None:
    """The entries of a memory's file; None if it is none."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        return None
    return values if {"model", "conditions", "weights"} <= values.keys() else None


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"a memory's name is of up to 64 letters, digits, - and _, got {name!r}")
