"""The default backend: ONNX Runtime on the CPU, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from pushjepa.runtime.backend import Backend
from pushjepa.runtime.checkpoint import graphs_of
from pushjepa.runtime.contract import FloatArray, ModelSpec


class OnnxBackend(Backend):
    """Runs a checkpoint's graphs.

    Args:
        folder: the checkpoint folder.
        spec: what its config says.
        name: the model's name.
        threads: CPU threads; None takes all cores.

    Raises:
        ValueError: a graph that ONNX Runtime cannot load.
    """

    def __init__(self, folder: Path, spec: ModelSpec, name: str, threads: int | None = None) -> None:
        super().__init__(spec, name)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        # Spinning worker threads win a little time in one session and lose much with several beside each other.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._sessions: dict[str, Any] = {}
        for graph in graphs_of({"laws": spec.laws, "visible": spec.visible}):
            try:
                session = ort.InferenceSession(str(folder / graph), options, providers=["CPUExecutionProvider"])
                self._sessions[graph.removesuffix(".onnx")] = session
            except Exception as error:  # noqa: BLE001  ONNX Runtime has a class for each way to be unreadable
                raise ValueError(f"cannot load {folder / graph}: {str(error).splitlines()[0]}") from None

    def _run(self, graph: str, *arrays: NDArray[np.generic]) -> FloatArray:
        session = self._sessions[graph]
        names = [item.name for item in session.get_inputs()]
        result = session.run(None, dict(zip(names, arrays, strict=True)))[0]
        return np.asarray(result, dtype=np.float32)

    def _encode(self, frames: NDArray[np.uint8]) -> FloatArray:
        return self._run("encoder", frames)

    def _turns(self, latents: FloatArray, blocks: FloatArray, actors: NDArray[np.int64]) -> FloatArray:
        return self._run("turns", np.ascontiguousarray(latents), np.ascontiguousarray(blocks), actors)

    def _shifted(
        self, latents: FloatArray, blocks: FloatArray, actors: NDArray[np.int64], laws: FloatArray
    ) -> FloatArray:
        return self._run("shifted", np.ascontiguousarray(latents), np.ascontiguousarray(blocks), actors, laws)

    def _first(self, past: FloatArray, newest: FloatArray) -> FloatArray:
        return self._run("first", past, newest)

    def _next(self, past: FloatArray, newest: FloatArray) -> FloatArray:
        return self._run("next", past, newest)

    def _look(self, frames: NDArray[np.uint8]) -> FloatArray:
        return self._run("look", frames)

    def _decode(self, latents: FloatArray) -> FloatArray:
        return self._run("decoder", latents)
