"""The peer as a task of the recipe: stable-worldmodel's losses, from pixels, on the same trajectories as our models."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pushjepa.nets.mech import encode_pusht_state
from pushjepa.nets.peer_config import PeerConfig
from pushjepa.pusht.adapters import ActionNormaliser
from pushjepa.pusht.collect import Trajectories, read_options, read_trajectories
from pushjepa.pusht.peer import Peer, build_peer, load_peer, parameters_by_part, save_peer
from pushjepa.pusht.stable import LeWM, SIGReg
from pushjepa.runtime.checkpoint import CARD, CONFIG
from pushjepa.training.batches import VALIDATION_SHARE, PhaseData
from pushjepa.training.card import data_paragraph, metric_table, parameter_table, phase_table
from pushjepa.training.modules import Phase
from pushjepa.training.presets import LossWeights, PhaseConfig, Preset
from pushjepa.training.pusht_batches import PushTBatch, PushTFrames, PushTWindows
from pushjepa.training.pusht_modules import errors_of

RIDGE = 1e-4  #: weight of the probe's ridge, for each embedding that it is fitted to


class PeerPhase(Phase[LeWM]):
    """LeWM's two losses: the squared error of the next embedding, and SIGReg, which keeps embeddings from collapsing.

    No target rests and no state is told. SIGReg is stable-worldmodel's, over the batch at each place of a window.

    Args:
        model: LeWM.
        phase: the phase.
        loss: only ``sigreg`` of it counts.
        seed: of dropout and SIGReg's directions.
        actions: how the model's actions are normalised.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: LeWM, phase: PhaseConfig, loss: LossWeights, seed: int, actions: ActionNormaliser
    ) -> None:
        super().__init__(model, phase, loss, seed)
        self.regulariser = SIGReg()
        self.register_buffer("mean", torch.tensor(actions.mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(actions.std, dtype=torch.float32), persistent=False)

    def predict(self, batch: PushTBatch) -> tuple[Tensor, Tensor]:
        """Embeddings (B, T+1, D) of a window's frames, and (B, T, D) what is predicted of all but the first.

        Place i sees the frames 0 ... i and the blocks after each of them, and predicts frame i + 1.
        """
        told = ((batch.blocks - self.mean) / self.std).flatten(-2)  # (B, T, 2 * frameskip)
        seen = self.model.encode({"pixels": batch.items.permute(0, 1, 4, 2, 3), "action": told})
        embeddings: Tensor = seen["emb"]
        return embeddings, self.model.predict(embeddings[:, :-1], seen["act_emb"])

    def training_step(self, batch: PushTBatch, batch_idx: int) -> Tensor:
        embeddings, predicted = self.predict(batch)
        pred = functional.mse_loss(predicted[batch.known], embeddings[:, 1:][batch.known])
        sigreg = self.regulariser(embeddings.transpose(0, 1))
        self.log_dict({"train_pred": pred, "train_sigreg": sigreg}, prog_bar=True)
        return pred + self.sigreg_weight() * sigreg

    def validation_step(self, batch: PushTBatch, batch_idx: int) -> None:
        embeddings, predicted = self.predict(batch)
        known, after = batch.known, embeddings[:, 1:]
        self.keep(
            pred=(predicted - after)[known].square().mean(dim=-1),
            copy=(embeddings[:, :-1] - after)[known].square().mean(dim=-1),
            embeddings=embeddings.flatten(0, 1),
            states=batch.states.flatten(0, 1),
        )

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        metrics = {"val_pred": seen["pred"].mean().item(), "val_copy": seen["copy"].mean().item()}
        self.log_dict(metrics | probe(seen["embeddings"], seen["states"]), prog_bar=True)


def probe(embeddings: Tensor, states: Tensor) -> dict[str, float]:
    """How well a line through embeddings (N, D) tells states (N, 7): mean errors in px and degrees.

    Ridge regression in closed form, fitted to the first half and measured on the second.
    """
    ones = torch.ones(len(embeddings), 1, dtype=torch.float64)
    inputs = torch.cat([embeddings.double(), ones], dim=1)
    half = len(inputs) // 2
    fitted, told = inputs[:half], encode_pusht_state(states[:half]).double()
    ridge = RIDGE * half * torch.eye(inputs.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(fitted.T @ fitted + ridge, fitted.T @ told)
    return errors_of((inputs[half:] @ weights).float(), states[half:], "probe")


class PeerTask:
    """The peer of the Push-T models.

    Args:
        preset: whose architecture is a :class:`~pushjepa.nets.peer_config.PeerConfig`.
        data: a folder of trajectories, as ``pushjepa pusht collect`` writes.

    Raises:
        ValueError: no such folder, or one that is not finished.
    """

    def __init__(self, preset: Preset, data: Path) -> None:
        assert isinstance(preset.model, PeerConfig)
        self.preset, self.config = preset, preset.model
        self.options = read_options(data)
        trajectories = read_trajectories(data)
        # The same share is held out as for our models, and nothing of it is used.
        split = len(trajectories) - max(1, int(len(trajectories) * VALIDATION_SHARE))
        self.training, self.held_out = trajectories.take(0, split), trajectories.take(split, len(trajectories))
        self.actions = ActionNormaliser.of(self.training.actions)

    def describe(self) -> dict[str, Any]:
        return asdict(self.options)

    def make_model(self) -> LeWM:
        return build_peer(self.config)

    def load_weights(self, model: LeWM, folder: Path) -> None:
        theirs, ours = load_peer(folder), self.config.to_dict()
        if theirs.config != self.config:
            name = next(k for k, v in ours.items() if theirs.config.to_dict()[k] != v)
            found = theirs.config.to_dict()[name]
            raise ValueError(f"{folder} has {name}={found!r}, this preset {ours[name]!r}: another architecture")
        model.load_state_dict(theirs.net.state_dict())

    def read_files(self, folder: Path) -> dict[str, str]:
        load_peer(folder)  # complains in one line if there is nothing to start from
        files: dict[str, str] = json.loads((folder / CONFIG).read_text())["files"]
        return files

    def make_phase(self, model: LeWM, phase: PhaseConfig, seed: int) -> PeerPhase:
        return PeerPhase(model, phase, self.preset.loss, seed, self.actions)

    def build_data(self, model: LeWM, phase: PhaseConfig, seed: int, workers: int, device: torch.device) -> PhaseData:
        c, used = self.config, min(len(self.training), phase.episodes or len(self.training))

        def frames(part: Trajectories, seed: int) -> PushTFrames:
            return PushTFrames(PushTWindows(part, c.history, c.frameskip), c.frame_size, phase, seed)

        return PhaseData(frames(self.training.take(0, used), seed), frames(self.held_out, seed + 1), phase, workers)

    def write_checkpoint(self, model: LeWM, folder: Path, curves: dict[str, dict[str, float]]) -> None:
        """Write the weights, the config and a model card."""
        peer = Peer(model, self.config, self.actions)
        save_peer(peer, folder, preset=self.preset.to_dict(), data=self.describe(), metrics=curves)
        card = [
            _HEADER.format(name=self.preset.name),
            "## Parameters\n",
            parameter_table(parameters_by_part(model)),
            "## Data\n",
            data_paragraph(self.options, len(self.training.states) + len(self.held_out.states)),
            "## Recipe\n",
            phase_table(self.preset),
            "## Validation at the end\n",
            "`val_pred` is the squared error of the next embedding, `val_copy` that of saying that nothing changes; "
            "`probe_*` are board pixels and degrees that a linear probe misses held-out frames by.\n",
            metric_table(curves),
        ]
        (folder / CARD).write_text("\n".join(card))


_HEADER = """---
license: mit
tags: [world-model, jepa, pushjepa, push-t]
---
# PushJEPA {name}

stable-worldmodel's LeWM on our compact encoder, trained from pixels with its own losses: what our models of Push-T are
compared with. Load it with `pushjepa.pusht.peer.load_peer(FOLDER)`.
"""
