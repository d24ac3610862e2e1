"""The game's model as a task of the recipe: episodes, phases, and the checkpoint with its graphs and card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from pushjepa.data.joining import check_alike
from pushjepa.data.store import EpisodeStore
from pushjepa.nets import JEPA, ModelConfig
from pushjepa.runtime.checkpoint import read_config, refuse_other, verify
from pushjepa.training.batches import PhaseData, build_phase_data
from pushjepa.training.card import write_card
from pushjepa.training.modules import PHASE_MODULES, Phase
from pushjepa.training.presets import PhaseConfig, Preset
from pushjepa.training.recipe import Start


class RelayTask:
    """The two-player game.

    Args:
        preset: whose architecture is a :class:`~pushjepa.nets.ModelConfig`.
        data: episode stores, at least one; what is true of all of them is read off the first.

    Raises:
        ValueError: a store that cannot be read, or stores that do not fit together or with the preset.
    """

    def __init__(self, preset: Preset, data: Sequence[Path]) -> None:
        assert isinstance(preset.model, ModelConfig)
        self.preset, self.config = preset, preset.model
        self.stores = [EpisodeStore(path) for path in data]
        check_alike([store.episodes for store in self.stores])
        self._check_rollout(data[0])
        if self.config.unroll_hidden and self.stores[0].recipe.acting == "step":
            raise ValueError(
                f"the episodes in {data[0]} alternate at every step: the step unroll knows one actor a turn; use "
                "--set model.unroll_hidden=0 and leave out all that needs the unroll, as the preset plain does"
            )

    def _check_rollout(self, folder: Path) -> None:
        """Refuse to foresee more turns than an episode has; all stores are alike in that."""
        turns = self.stores[0].episodes.turns
        for phase in self.preset.phases:
            if phase.rollout > turns:
                raise ValueError(
                    f"the episodes in {folder} have {turns} turns: phase {phase.kind} cannot foresee {phase.rollout}"
                )

    def describe(self) -> dict[str, Any]:
        first, *others = [store.recipe.to_dict() for store in self.stores]
        return first | ({"beside": others} if others else {})

    def make_model(self) -> JEPA:
        return JEPA(self.config)

    def load_weights(self, model: JEPA, folder: Path) -> None:
        load_weights(model, folder, looks=any(phase.kind == "looks" for phase in self.preset.phases))

    def read_start(self, folder: Path) -> Start:
        config = read_config(folder, weights_only=True)
        return Start(config["files"], config.get("data", {}))

    def make_phase(self, model: JEPA, phase: PhaseConfig, seed: int) -> Phase[Any]:
        return PHASE_MODULES[phase.kind](model, phase, self.preset.loss, seed)

    def build_data(self, model: JEPA, phase: PhaseConfig, seed: int, workers: int, device: torch.device) -> PhaseData:
        return build_phase_data(model, phase, self.stores, seed, workers, device)

    def write_checkpoint(
        self, model: JEPA, folder: Path, curves: dict[str, dict[str, float]], learned: dict[str, Any]
    ) -> None:
        """Export the trained model with its card; see ``runtime.export``."""
        from pushjepa.runtime.export import export_checkpoint

        export_checkpoint(model, folder, preset=self.preset.to_dict(), data=learned, metrics=curves)
        write_card(folder, model, self.preset, [store.recipe for store in self.stores], curves, learned)


def load_weights(model: JEPA, folder: Path, *, looks: bool = True) -> None:
    """Load a checkpoint folder's weights into ``model``, strictly.

    Args:
        model: that takes them.
        folder: of the checkpoint; it may lack the adapter to other laws, and glimpses: until they have learned, they
            change nothing (but a heading's length).
        looks: whether it may lack a second look as well, because that is still to be trained.

    Raises:
        ValueError: the checkpoint is of another architecture, or a file of it is missing or mismatched.
    """
    config = read_config(folder, weights_only=True)
    verify(folder, config, weights_only=True)
    sizes, wanted = ModelConfig.from_dict(config["model"]).to_dict(), model.config.to_dict()
    for name in ("unroll_still", "anchor_steps"):  # what is made of weights, not which there are
        sizes[name] = wanted[name]
    added: dict[str, Tensor] = {}
    lacking = (("glimpse_hidden", "glimpses.", True), ("laws", "unroll.laws.", True), ("visible", "second.", looks))
    for size, part, may_lack in lacking:
        if may_lack and not sizes[size] and wanted[size]:
            sizes[size] = wanted[size]
            added |= {name: value for name, value in model.state_dict().items() if name.startswith(part)}
    refuse_other(folder, sizes, wanted)
    found = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
    model.load_state_dict(added | found)
