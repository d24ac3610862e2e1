"""The three phases as Lightning modules: what is lost, how it is optimised, what is validated."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from pushjepa.nets import JEPA, SIGReg, encode_state
from pushjepa.training.metrics import decode_summary, turn_summary
from pushjepa.training.presets import LossWeights, PhaseConfig


class SceneBatch(NamedTuple):
    """frames (B, H, W, 3) uint8 and states (B, 7)."""

    frames: Tensor
    states: Tensor


class WindowBatch(NamedTuple):
    """Windows of history + 1 turn boundaries, T = history.

    items (B, T+1, H, W, 3) uint8 frames or (B, T+1, D) cached latents; states (B, T+1, 7);
    blocks (B, T, frameskip, agents, 2); actors (B, T), -1 where padded.
    """

    items: Tensor
    states: Tensor
    blocks: Tensor
    actors: Tensor


class Phase(L.LightningModule):
    """What the phases share: optimiser, schedule, seeding by step, throughput."""

    def __init__(self, model: JEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__()
        self.model = model
        self.phase = phase
        self.weights = loss
        self.seed = seed
        self.sigreg = SIGReg()
        self._clock = time.perf_counter()
        self._seen: list[dict[str, Tensor]] = []

    def configure_optimizers(self) -> OptimizerLRScheduler:
        parameters = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=self.phase.learning_rate, weight_decay=self.phase.weight_decay)
        schedule = LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """Share of the peak learning rate: a linear rise, then a cosine down to 1%."""
        if step < self.phase.warmup_steps:
            return (step + 1) / self.phase.warmup_steps
        done = (step - self.phase.warmup_steps) / max(1, self.phase.steps - self.phase.warmup_steps)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        # Dropout draws from torch's own stream: seeding it by step makes a resumed run equal an uninterrupted one.
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)

    def generator(self) -> torch.Generator:
        """Random directions of this step's SIGReg."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        now = time.perf_counter()
        self.log("samples_per_s", self.phase.batch / (now - self._clock), prog_bar=True)
        self._clock = now

    def keep(self, **tensors: Tensor) -> None:
        """Put one validation batch aside; its figures are taken over all batches together."""
        self._seen.append({name: value.detach().float().cpu() for name, value in tensors.items()})

    def kept(self) -> dict[str, Tensor]:
        """What was put aside, laid end to end, and forget it."""
        seen, self._seen = self._seen, []
        return {name: torch.cat([batch[name] for batch in seen]) for name in seen[0]}

    def state_loss(self, latents: Tensor, states: Tensor) -> Tensor:
        """Mean squared error of the head on latents (..., D) against states (..., 7)."""
        return functional.mse_loss(self.model.head(latents), encode_state(states))


class ScenesPhase(Phase):
    """Encoder, projector and state head on single frames of random scenes."""

    def training_step(self, batch: SceneBatch, batch_idx: int) -> Tensor:
        latents = self.model.encode(batch.frames)
        state = self.state_loss(latents, batch.states)
        sigreg = self.sigreg(latents, self.generator())
        self.log_dict({"train_state": state, "train_sigreg": sigreg}, prog_bar=True)
        return self.weights.state * state + self.weights.sigreg * sigreg

    def validation_step(self, batch: SceneBatch, batch_idx: int) -> None:
        self.keep(decoded=self.model.head(self.model.encode(batch.frames)), states=batch.states)

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        error = functional.mse_loss(seen["decoded"], encode_state(seen["states"]))
        self.log_dict(decode_summary(seen["decoded"], seen["states"]) | {"val_state": error.item()}, prog_bar=True)


class JointPhase(Phase):
    """LeWorldModel's losses from pixels, with the state loss on encoded and on predicted latents."""

    def latents(self, batch: WindowBatch) -> Tensor:
        """Latents (B, T+1, D) of a window."""
        return self.model.encode(batch.items)

    def losses(self, batch: WindowBatch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The prediction and state losses, with the latents (B, T+1, D) and the predictions (B, T, D)."""
        latents = self.latents(batch)
        # Token i with block i predicts boundary i + 1, for every i of the window.
        predicted = self.model.predict(latents[:, :-1], batch.blocks, batch.actors)
        return (
            {
                "pred": functional.mse_loss(predicted, latents[:, 1:]),
                "state": self.state_loss(latents, batch.states),
                "pred_state": self.state_loss(predicted, batch.states[:, 1:]),
            },
            latents,
            predicted,
        )

    def regulariser(self, latents: Tensor) -> Tensor:
        """SIGReg over the batch, for each place in the window."""
        return self.sigreg(latents.transpose(0, 1), self.generator())

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        losses, latents, _ = self.losses(batch)
        sigreg = self.regulariser(latents)
        self.log_dict({f"train_{k}": v for k, v in losses.items()} | {"train_sigreg": sigreg}, prog_bar=True)
        state = losses["state"] + losses["pred_state"]
        return losses["pred"] + self.weights.state * state + self.weights.sigreg * sigreg

    def validation_step(self, batch: WindowBatch, batch_idx: int) -> None:
        losses, latents, predicted = self.losses(batch)
        self.keep(
            decoded=self.model.head(latents[:, -1]),
            predicted=self.model.head(predicted[:, -1]),
            before=batch.states[:, -2],
            after=batch.states[:, -1],
            actors=batch.actors[:, -1],
            pred=losses["pred"][None],
            state=losses["pred_state"][None],
        )

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        metrics = decode_summary(seen["decoded"], seen["after"])
        metrics |= turn_summary(seen["predicted"], seen["before"], seen["after"], seen["actors"])
        metrics |= {"val_pred": seen["pred"].mean().item(), "val_state": seen["state"].mean().item()}
        self.log_dict(metrics, prog_bar=True)


class LatentsPhase(JointPhase):
    """Predictor and head on latents that were encoded once; the encoder rests, so nothing can collapse."""

    def __init__(self, model: JEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        model.encoder.requires_grad_(False)
        model.projector.requires_grad_(False)

    def on_train_epoch_start(self) -> None:
        # Frozen means frozen: BatchNorm's running statistics too.
        self.model.encoder.eval()
        self.model.projector.eval()

    def latents(self, batch: WindowBatch) -> Tensor:
        return batch.items

    def regulariser(self, latents: Tensor) -> Tensor:
        return latents.new_zeros(())


PHASE_MODULES: dict[str, type[Phase]] = {"scenes": ScenesPhase, "joint": JointPhase, "latents": LatentsPhase}
