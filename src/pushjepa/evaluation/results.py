"""The one machine-readable object that every measuring command writes."""

from __future__ import annotations

import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import pushjepa

Row = dict[str, Any]


def make_results(command: str, seed: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The object ``{"command", "version", "seed", "created", "machine", "rows"}``, of plain JSON values.

    Args:
        command: what makes these figures again.
        seed: the seed they rest on.
        rows: one per condition; NumPy numbers and arrays are turned into plain ones, NaN into null.
    """
    return {
        "command": command,
        "version": pushjepa.__version__,
        "seed": seed,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "rows": [plain(row) for row in rows],
    }


def write_results(path: Path | str, results: Mapping[str, Any]) -> None:
    """Write ``results`` as JSON. The file is either as it was or whole, whenever the process is stopped.

    Raises:
        ValueError: a value that is not JSON, or a path that cannot be written.
    """
    path = Path(path)
    text = json.dumps(results, indent=2, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            # mkstemp makes a file for the owner alone; results are as public as any other file of the person.
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ValueError(f"cannot write results to {path}: {error.strerror}") from error


def machine() -> dict[str, Any]:
    """What the figures were measured on: system, processor, cores, versions; nothing that names the machine."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": version("onnxruntime"),
        "pymunk": version("pymunk"),
    }


def matmul_gflops(size: int = 1024, runs: int = 5) -> float:
    """Rate of the machine's fp32 matrix product in GFLOP/s, the best of ``runs``; judges speeds across machines."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    fastest = math.inf
    for _ in range(runs + 1):  # the first warms up
        started = time.perf_counter()
        a @ b
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * size**3 / fastest / 1e9


def plain(value: Any) -> Any:
    """Plain JSON values: NumPy numbers and arrays unpacked, tuples as lists, NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _processor() -> str:
    """The processor's name; Linux tells it in a file only."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
