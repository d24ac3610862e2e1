"""Push-T's models as a task of the recipe: expert trajectories, phases, and the checkpoint with its card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pushjepa.nets.mech import MechJEPA
from pushjepa.nets.mech_config import MechConfig
from pushjepa.pusht.collect import read_options, read_trajectories
from pushjepa.pusht.model import FORMAT, load_net, read_origin, save_model
from pushjepa.runtime.checkpoint import CARD, refuse_other
from pushjepa.training.batches import PhaseData
from pushjepa.training.card import data_paragraph, metric_table, parameter_table, phase_table
from pushjepa.training.modules import Phase
from pushjepa.training.presets import PhaseConfig, Preset
from pushjepa.training.pusht_batches import build_pusht_data
from pushjepa.training.pusht_modules import PUSHT_MODULES
from pushjepa.training.recipe import Start

# What a model may have that the weights it starts from lack: the option, its value without, and where it is.
_ADDED: tuple[tuple[str, Any, str], ...] = (
    ("laws", 0, "unroll.laws."),
    ("bound", 2, "heads.parts."),
    ("visible", [], "second."),
)


class PushTTask:
    """Single-player Push-T.

    Args:
        preset: whose architecture is a :class:`~pushjepa.nets.mech_config.MechConfig`.
        data: a folder of trajectories, as ``pushjepa pusht collect`` writes.

    Raises:
        ValueError: no such folder, or one that is not finished.
    """

    def __init__(self, preset: Preset, data: Path) -> None:
        assert isinstance(preset.model, MechConfig)
        self.preset, self.config = preset, preset.model
        self.options = read_options(data)
        self.trajectories = read_trajectories(data)

    def describe(self) -> dict[str, Any]:
        return asdict(self.options)

    def make_model(self) -> MechJEPA:
        return MechJEPA(self.config)

    def load_weights(self, model: MechJEPA, folder: Path) -> None:
        """Begin with a checkpoint of this architecture.

        It may lack parts that change nothing until they are learned: numbers of laws, the heads of bar and
        stem, a second look.
        """
        theirs = load_net(folder)
        sizes, wanted, ours = theirs.config.to_dict(), model.config.to_dict(), model.state_dict()
        for name, absent, _ in _ADDED:
            if sizes[name] == absent:
                sizes[name] = wanted[name]
        refuse_other(folder, sizes, wanted)
        found = theirs.state_dict()
        added = {name: value for name, value in ours.items() if name.startswith(tuple(part for *_, part in _ADDED))}
        model.load_state_dict(added | found)

    def read_start(self, folder: Path) -> Start:
        return Start(*read_origin(folder, FORMAT, "a Push-T model"))

    def make_phase(self, model: MechJEPA, phase: PhaseConfig, seed: int) -> Phase[Any]:
        return PUSHT_MODULES[phase.kind](model, phase, self.preset.loss, seed)

    def build_data(
        self, model: MechJEPA, phase: PhaseConfig, seed: int, workers: int, device: torch.device
    ) -> PhaseData:
        return build_pusht_data(model, phase, self.trajectories, seed, workers, device)

    def write_checkpoint(
        self, model: MechJEPA, folder: Path, curves: dict[str, dict[str, float]], learned: dict[str, Any]
    ) -> None:
        """Write the weights, the config and a model card."""
        save_model(model, folder, preset=self.preset.to_dict(), data=learned, metrics=curves)
        card = [
            _HEADER.format(name=self.preset.name),
            "## Parameters\n",
            parameter_table(model.parameters_by_part()),
            "## Data\n",
            data_paragraph(self.options, len(self.trajectories.states), learned),
            "## Recipe\n",
            phase_table(self.preset),
            "## Validation at the end of each phase\n",
            _FIGURES,
            metric_table(curves),
        ]
        (folder / CARD).write_text("\n".join(card))


_FIGURES = """\
`*_px` and `*_deg` are board pixels and degrees. `decode_*` is what is read of single frames: of random scenes in the
phases `scenes`, of trajectories elsewhere. `turn_*` is after one block of five actions, over blocks that moved the
tee by more than 3 px; `told_*` is so under other laws of physics, over disturbed actions, where the unroll is told of
those laws, and `unaware_*` where it is not. In `looks`, `decode_*` is what the second look reads of scenes with other
blocks, `first_*` what the first does, and `number_*_off` the mean error of a number of the laws that it tells.
`likeliest_off` and `nearest_off` are distances of an
action from the likeliest and from the nearest of the prior's plans, over their first blocks; `val_nll` is their
negative log-likelihood over the plan's length, steps past the goal counting 0. `val_effect` is the cross-entropy of
telling whether the block moves, in nats; `code_perplexity` is over all pairs of slots. `train_*` and `samples_per_s`
are of the last logged step, `seconds` of the whole phase.
"""

_HEADER = """---
license: mit
tags: [world-model, jepa, pushjepa, push-t]
---
# PushJEPA {name}

A joint-embedding predictive world model of single-player Push-T, trained from pixels. Load it with
`pushjepa.pusht.model.load_pusht_model(FOLDER)`.
"""
