"""The peer as a task of the recipe: stable-worldmodel's losses, from pixels, on the same trajectories as our models."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pushjepa.data.store import count_held_out
from pushjepa.nets.mech import encode_pusht_state
from pushjepa.nets.peer_config import PeerConfig
from pushjepa.pusht.adapters import ActionNormaliser
from pushjepa.pusht.collect import Trajectories, read_options, read_trajectories
from pushjepa.pusht.model import FORMAT as MECH_FORMAT
from pushjepa.pusht.model import load_net, read_format, read_origin
from pushjepa.pusht.peer import FORMAT, Peer, build_peer, load_peer, parameters_by_part, save_peer
from pushjepa.pusht.stable import LeWM, SIGReg
from pushjepa.runtime.checkpoint import CARD, refuse_other
from pushjepa.training.batches import Batches, PhaseData
from pushjepa.training.card import data_paragraph, metric_table, parameter_table, phase_table
from pushjepa.training.modules import Phase
from pushjepa.training.presets import LossWeights, PhaseConfig, Preset
from pushjepa.training.pusht_batches import (
    PushTBatch,
    PushTFrames,
    PushTLatents,
    PushTWindows,
    encode_rows,
    with_branches,
)
from pushjepa.training.pusht_modules import errors_of
from pushjepa.training.recipe import Start

_SIZES_OF_EYES = ("frame_size", "slots", "width", "points", "channels")
RIDGE = 1e-4  #: weight of the probe's ridge, for each embedding that it is fitted to


class PeerPhase(Phase[LeWM]):
    """LeWM's two losses: the squared error of the next embedding, and SIGReg, which keeps embeddings from collapsing.

    No target rests and no state is told. SIGReg is stable-worldmodel's, over the batch at each place of a window.

    Args:
        model: LeWM.
        phase: the phase.
        loss: only ``sigreg`` and ``directions`` of it count.
        seed: of dropout and SIGReg's directions.
        actions: how the model's actions are normalised.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: LeWM, phase: PhaseConfig, loss: LossWeights, seed: int, actions: ActionNormaliser
    ) -> None:
        super().__init__(model, phase, loss, seed)
        self.regulariser = SIGReg(num_proj=loss.directions)
        self.register_buffer("mean", torch.tensor(actions.mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(actions.std, dtype=torch.float32), persistent=False)

    def predict(self, batch: PushTBatch) -> tuple[Tensor, Tensor]:
        """Embeddings (B, T+1, D) of a window's frames, and (B, T, D) what is predicted of all but the first.

        Place i sees the frames 0 ... i and the blocks after each of them, and predicts frame i + 1.
        """
        told = ((batch.blocks - self.mean) / self.std).flatten(-2)  # (B, T, 2 * frameskip)
        embeddings = self.embed(batch)
        return embeddings, self.model.predict(embeddings[:, :-1], self.model.action_encoder(told))

    def embed(self, batch: PushTBatch) -> Tensor:
        """Embeddings (B, T+1, D) of a window's frames."""
        embeddings: Tensor = self.model.encode({"pixels": batch.items.permute(0, 1, 4, 2, 3)})["emb"]
        return embeddings

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


class PeerLatentsPhase(PeerPhase):
    """The same losses on what the encoder gave once; it rests, all else learns."""

    def __init__(
        self, model: LeWM, phase: PhaseConfig, loss: LossWeights, seed: int, actions: ActionNormaliser
    ) -> None:
        super().__init__(model, phase, loss, seed, actions)
        model.encoder.requires_grad_(False)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.model.encoder.eval()  # BatchNorm's running statistics rest too

    def embed(self, batch: PushTBatch) -> Tensor:
        flat = self.model.projector(batch.items[:, :, 0].flatten(0, 1))  # BatchNorm takes a batch of frames
        embeddings: Tensor = flat.unflatten(0, batch.items.shape[:2])
        return embeddings


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
        split = len(trajectories) - count_held_out(len(trajectories))
        self.training, self.held_out = trajectories.take(0, split), trajectories.take(split, len(trajectories))
        self.actions = ActionNormaliser.of(self.training.actions)

    def describe(self) -> dict[str, Any]:
        return asdict(self.options)

    def make_model(self) -> LeWM:
        return build_peer(self.config)

    def load_weights(self, model: LeWM, folder: Path) -> None:
        if read_format(folder) == MECH_FORMAT:
            self._load_encoder(model, folder)
            return
        theirs = load_peer(folder)
        refuse_other(folder, theirs.config.to_dict(), self.config.to_dict())
        model.load_state_dict(theirs.net.state_dict())

    def read_start(self, folder: Path) -> Start:
        if read_format(folder) == MECH_FORMAT:
            return Start(*read_origin(folder, MECH_FORMAT, "a Push-T model"))
        return Start(*read_origin(folder, FORMAT, "a peer"))

    def _load_encoder(self, model: LeWM, folder: Path) -> None:
        """Begin with the eyes of a single-token model of ours, and nothing else of it."""
        theirs, ours = load_net(folder), self.config.encoder()
        sizes = ({name: getattr(config, name) for name in _SIZES_OF_EYES} for config in (theirs.config, ours))
        refuse_other(folder, *sizes)
        model.encoder.slots.load_state_dict(theirs.encoder.state_dict())

    def make_phase(self, model: LeWM, phase: PhaseConfig, seed: int) -> PeerPhase:
        kind = PeerLatentsPhase if phase.kind == "latents" else PeerPhase
        return kind(model, phase, self.preset.loss, seed, self.actions)

    def build_data(self, model: LeWM, phase: PhaseConfig, seed: int, workers: int, device: torch.device) -> PhaseData:
        c, used = self.config, min(len(self.training), phase.episodes or len(self.training))

        def batches(part: Trajectories, seed: int) -> Batches[PushTBatch]:
            windows = PushTWindows(part, c.history, c.frameskip)
            if phase.kind == "joint":
                return PushTFrames(windows, c.frame_size, phase, seed)
            return PushTLatents(
                windows, encode_rows(model.encoder.slots, c.encoder(), part.states, device), phase, seed
            )

        training = with_branches(self.training.take(0, used), phase.branches, seed)
        return PhaseData(batches(training, seed), batches(self.held_out, seed + 1), phase, workers)

    def write_checkpoint(
        self, model: LeWM, folder: Path, curves: dict[str, dict[str, float]], learned: dict[str, Any]
    ) -> None:
        """Write the weights, the config and a model card."""
        peer = Peer(model, self.config, self.actions)
        save_peer(peer, folder, preset=self.preset.to_dict(), data=learned, metrics=curves)
        card = [
            _HEADER.format(name=self.preset.name),
            "## Parameters\n",
            parameter_table(parameters_by_part(model)),
            "## Data\n",
            data_paragraph(self.options, len(self.training.states) + len(self.held_out.states), learned),
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

stable-worldmodel's LeWM on our compact encoder, trained with its own losses: what our models of Push-T are compared
with. Where the recipe below has no phase `joint`, the encoder is that of a trained model of ours, and rests. Load it
with `pushjepa.pusht.peer.load_peer(FOLDER)`.
"""
