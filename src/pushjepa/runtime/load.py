"""Loading a world model by folder or name."""

from __future__ import annotations

from pathlib import Path

from pushjepa.runtime.backend import Backend
from pushjepa.runtime.checkpoint import read_config, resolve, spec_of, verify

BACKENDS = ("onnx", "torch")


def load_model(
    model: str | Path | None = None,
    *,
    backend: str = "onnx",
    threads: int | None = None,
    device: str = "cpu",
) -> Backend:
    """Load a checkpoint folder behind the :class:`~pushjepa.runtime.contract.WorldModel` contract.

    Args:
        model: a folder, an ``owner/name`` on the Hugging Face Hub, or None for the bundled default.
        backend: ``onnx`` (ONNX Runtime, CPU) or ``torch``.
        threads: CPU threads; None takes what the backend thinks best.
        device: ``cpu``, or with torch any device it has.

    Raises:
        ValueError: no such model, a missing or mismatched file, an unknown backend or device.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; choose one of {', '.join(BACKENDS)}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    folder = resolve(model)
    config = read_config(folder)
    verify(folder, config)
    if device != "cpu":
        backend = "torch"  # ONNX Runtime's base package has the CPU alone
    if backend == "onnx":
        from pushjepa.runtime.onnx_backend import OnnxBackend

        return OnnxBackend(folder, spec_of(config), config["name"], threads)
    try:
        from pushjepa.runtime.torch_backend import TorchBackend
    except ModuleNotFoundError as error:
        raise ValueError(f"the torch backend needs {error.name}; run tools/setup.sh full") from None
    return TorchBackend(folder, spec_of(config), config["name"], config["model"], threads, device)
