"""The same model in PyTorch, on any device torch knows. Needs the ``train`` extra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from pushjepa.nets import JEPA, ModelConfig
from pushjepa.runtime.backend import Backend
from pushjepa.runtime.checkpoint import WEIGHTS
from pushjepa.runtime.contract import FloatArray, ModelSpec


class TorchBackend(Backend):
    """Runs a checkpoint's weights in PyTorch.

    Args:
        folder: the checkpoint folder.
        spec: what its config says.
        name: the model's name.
        config: the architecture.
        threads: CPU threads; None leaves torch's choice.
        device: ``cpu``, ``cuda``, ``mps`` ...

    Raises:
        ValueError: a device that torch does not have, or weights that do not fit the architecture.
    """

    def __init__(
        self,
        folder: Path,
        spec: ModelSpec,
        name: str,
        config: dict[str, Any],
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(spec, name)
        if threads:
            torch.set_num_threads(threads)
        model = JEPA(ModelConfig.from_dict(config))
        weights = {
            key: value.float() if value.is_floating_point() else value
            for key, value in load_file(folder / WEIGHTS).items()
        }
        try:
            model.load_state_dict(weights)
            self._model = model.to(device).eval()
        except RuntimeError as error:
            raise ValueError(f"cannot load {folder} on {device}: {str(error).splitlines()[0]}") from None
        self._device = device

    def _tensors(self, *arrays: NDArray[np.generic]) -> list[torch.Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(a)).to(self._device) for a in arrays]

    def _encode(self, frames: NDArray[np.uint8]) -> FloatArray:
        with torch.inference_mode():
            return _numpy(self._model.encode(*self._tensors(frames)))

    def _turns(self, latents: FloatArray, blocks: FloatArray, actors: NDArray[np.int64]) -> FloatArray:
        with torch.inference_mode():
            return _numpy(self._model.turn_tokens(*self._tensors(latents, blocks, actors)))

    def _shifted(
        self, latents: FloatArray, blocks: FloatArray, actors: NDArray[np.int64], laws: FloatArray
    ) -> FloatArray:
        with torch.inference_mode():
            return _numpy(self._model.turn_tokens(*self._tensors(latents, blocks, actors, laws)))

    def _first(self, past: FloatArray, newest: FloatArray) -> FloatArray:
        with torch.inference_mode():
            return _numpy(self._model.predict_last(*self._tensors(past, newest)))

    _next = _first  # torch broadcasts: one function serves a shared past and a past for each candidate

    def _look(self, frames: NDArray[np.uint8]) -> FloatArray:
        with torch.inference_mode():
            return _numpy(torch.cat(self._model.look(*self._tensors(frames)), dim=-1))

    def _decode(self, latents: FloatArray) -> FloatArray:
        with torch.inference_mode():
            return _numpy(self._model.head(*self._tensors(latents)))


def _numpy(tensor: torch.Tensor) -> FloatArray:
    return np.asarray(tensor.cpu().numpy(), dtype=np.float32)
