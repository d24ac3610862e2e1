"""The phases as Lightning modules: what is lost, how it is optimised, what is validated."""

from __future__ import annotations

import math
import time
from typing import Generic, NamedTuple, TypeVar, cast

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from pushjepa.nets import JEPA, SCENES, SIGReg, encode_state
from pushjepa.nets.encoder import KeypointEncoder
from pushjepa.nets.unroll import ARM, Moving
from pushjepa.physics.constants import BOARD_CENTRE
from pushjepa.training.metrics import decode_summary, state_errors, turn_summary
from pushjepa.training.optimizer import build_optimizer
from pushjepa.training.presets import LossWeights, PhaseConfig


class SceneBatch(NamedTuple):
    """frames (B, H, W, 3) uint8, states (B, 7) and the number of the stage (B,)."""

    frames: Tensor
    states: Tensor
    stage: Tensor


class GlimpseBatch(NamedTuple):
    """frames (B, H, W, 3) uint8, states (B, 7), and those as a first glance might read them (B, 7)."""

    frames: Tensor
    states: Tensor
    seen: Tensor


class LookBatch(NamedTuple):
    """Frames of blocks that are not the known one.

    frames (B, H, W, 3) uint8; plain (B, H, W, 3), the same scenes with the block that the first encoder knows; states
    (B, 7), the number of the stage (B,), laws (B, C) what there is to tell of the laws of physics, and headed (B,)
    whether a frame tells the block's angle: not where it looks the same when turned.
    """

    frames: Tensor
    plain: Tensor
    states: Tensor
    stage: Tensor
    laws: Tensor
    headed: Tensor


class TurnBatch(NamedTuple):
    """Single turns: states before (B, 7), as blurred as a frame leaves them (B, 7), after each step (B, frameskip, 7).

    blocks (B, frameskip, agents, 2), actors (B,) and the number of the stage (B,); laws (B, C) what there is to tell of
    the laws of physics, None for the standard ones.
    """

    before: Tensor
    seen: Tensor
    steps: Tensor
    blocks: Tensor
    actors: Tensor
    stage: Tensor
    laws: Tensor | None = None


class SubstepBatch(NamedTuple):
    """Single substeps, seen from the actor's side: places (B, 7) and speeds (B, 7) before and after.

    actions (B, 2) the actor's, beat (B,) the substep's number in its env step, the number of the stage (B,); laws
    (B, C) what there is to tell of the laws of physics, None for the standard ones.
    """

    before: Tensor
    speeds_before: Tensor
    after: Tensor
    speeds_after: Tensor
    actions: Tensor
    beat: Tensor
    stage: Tensor
    laws: Tensor | None = None


class WindowBatch(NamedTuple):
    """Windows of L = history + rollout turn boundaries.

    items (B, L, H, W, 3) uint8 frames or (B, L, D) cached latents; states (B, L, 7); steps (B, L-1, frameskip, 7)
    states after each env step; blocks (B, L-1, frameskip, agents, 2); actors (B, L-1), -1 where padded; stage (B,).
    """

    items: Tensor
    states: Tensor
    steps: Tensor
    blocks: Tensor
    actors: Tensor
    stage: Tensor


SMOOTH = 0.01  #: distance (half boards, so 2.5 px) below which the state loss is about quadratic
_READ = 0.001  # and that below which the loss of reading what was imagined is, and that of glimpses


def distance_loss(decoded: Tensor, states: Tensor) -> Tensor:
    """A tenth of the mean distance between decoded numbers (..., 8) and states (..., 7), smooth near zero.

    Four points count alike: both agents, the block, and its heading on the unit circle. Distance is what
    is measured and planned with; a squared error weighs the few turns most in which a glancing contact goes astray.
    """
    return _distance(decoded, encode_state(states), SMOOTH)


def _distance(decoded: Tensor, wanted: Tensor, smooth: float) -> Tensor:
    """:func:`distance_loss` between numbers (..., 8)."""
    apart = (decoded - wanted).unflatten(-1, (4, 2))
    return 0.1 * ((apart.square().sum(-1) + smooth**2).sqrt() - smooth).mean()


_CLEAR = 0.02  # px below which an error of a substep is about as good as none: there are 25 in a turn
_WEIGHED = (1.0, 2.0, 4.0)  # speeds of actor, waiter, block: who is driven is put right, a block glides on


def substep_loss(now: Moving, batch: SubstepBatch) -> Tensor:
    """Distances in px of what one substep led to from what it should, smooth near zero: places, and speeds weighed.

    Args:
        now: as imagined.
        batch: as it was.
    """
    wanted = encode_state(batch.after)
    speeds = BOARD_CENTRE * now.speeds - batch.speeds_after[:, :6].unflatten(-1, (3, 2))
    spin = ARM * (now.spin - batch.speeds_after[:, 6:])
    places = BOARD_CENTRE * (now.bodies - wanted[:, :6].unflatten(-1, (3, 2)))
    angle = ARM * (now.turn - wanted[:, 6:])
    driven = (_length(speeds) * speeds.new_tensor(_WEIGHED)).sum(-1) + _WEIGHED[2] * _length(spin)
    return (driven + _length(places).sum(-1) + _length(angle)).mean()


def _length(vectors: Tensor) -> Tensor:
    """Lengths (...) of vectors (..., D), smooth near zero."""
    return (vectors.square().sum(-1) + _CLEAR**2).sqrt() - _CLEAR


def match_loss(latents: Tensor, wanted: Tensor, counts: Tensor) -> Tensor:
    """Mean squared error of latents (B, ...) over those that count (B,); 0 where none does."""
    off = (latents - wanted).square().flatten(1).mean(dim=1)
    return (off * counts).sum() / counts.sum().clamp(min=1)


Model = TypeVar("Model", bound=nn.Module)


class Phase(L.LightningModule, Generic[Model]):
    """What the phases share: optimiser, schedule, seeding by step, throughput.

    Attributes:
        bf16: whether bf16 serves where a GPU trains it: not where positions are read or moved by parts that autocast
            reaches.
    """

    model: Model
    bf16 = False

    def __init__(self, model: Model, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__()
        self.model = model
        self.phase = phase
        self.weights = loss
        self.seed = seed
        self.sigreg = SIGReg(projections=loss.directions)
        self._clock = time.perf_counter()
        self._seen: list[dict[str, Tensor]] = []

    def hot(self) -> list[tuple[nn.Module, str]]:
        """The methods that take most of a step's time: what there is to compile.

        Small ones that are called again and again: a whole unroll or a whole encoder takes a minute to compile.
        """
        return []

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = build_optimizer(self.model, self.phase)
        schedule = LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """Share of the peak learning rate: a linear rise, then a cosine down to 1%."""
        if step < self.phase.warmup_steps:
            return (step + 1) / self.phase.warmup_steps
        done = (step - self.phase.warmup_steps) / max(1, self.phase.steps - self.phase.warmup_steps)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def on_train_epoch_start(self) -> None:
        if self.phase.frozen_norm:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    module.eval()

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

    def sigreg_weight(self) -> float:
        """SIGReg's weight in this phase."""
        return self.weights.sigreg if self.phase.sigreg is None else self.phase.sigreg


class GamePhase(Phase[JEPA]):
    """What the phases of the game's model share: what its heads read, and its latents' shape."""

    def __init__(self, model: JEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        self.bf16 = model.config.encoder == "vit-tiny"  # key points are places, and bf16 tells 256 of them apart

    def hot(self) -> list[tuple[nn.Module, str]]:
        return self.model.encoder.hot()

    def state_loss(self, latents: Tensor, states: Tensor) -> Tensor:
        """:func:`distance_loss` of the head on latents (..., D) against states (..., 7)."""
        return distance_loss(self.model.head(latents), states)

    def stage_loss(self, latents: Tensor, stage: Tensor) -> Tensor:
        """Cross-entropy of the stage head on latents (..., D) against the stages' numbers (...)."""
        return functional.cross_entropy(self.model.scene(latents).flatten(0, -2), stage.flatten())

    def regulariser(self, latents: Tensor) -> Tensor:
        """SIGReg over latents (B, D), or for each place of a window (B, T, D); at no weight it is not computed."""
        if not self.sigreg_weight():
            return latents.new_zeros(())
        return self.sigreg(latents.unsqueeze(0) if latents.ndim == 2 else latents.transpose(0, 1), self.generator())


class ScenesPhase(GamePhase):
    """Encoder, projector and heads on single frames of random scenes; with ``frozen_encoder`` the heads alone."""

    def __init__(self, model: JEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        self.resting = [model.encoder, model.projector] if phase.frozen_encoder else []
        if self.resting:
            model.requires_grad_(False)
            for head in (model.head, model.scene):
                head.requires_grad_(True)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        for module in self.resting:  # BatchNorm, too, sees as it will at play
            module.eval()

    def training_step(self, batch: SceneBatch, batch_idx: int) -> Tensor:
        latents = self.model.glance(batch.frames)
        state, stage = self.state_loss(latents, batch.states), self.stage_loss(latents, batch.stage)
        if self.resting:
            # Unweighed: the two heads share nothing, and a preset whose other phases know no states has weight 0.
            self.log_dict({"train_state": state, "train_stage": stage}, prog_bar=True)
            return state + stage
        sigreg = self.regulariser(latents)
        self.log_dict({"train_state": state, "train_stage": stage, "train_sigreg": sigreg}, prog_bar=True)
        return self.weights.state * state + self.weights.stage * stage + self.sigreg_weight() * sigreg

    def validation_step(self, batch: SceneBatch, batch_idx: int) -> None:
        self.keep(decoded=self.model.head(self.model.glance(batch.frames)), states=batch.states)

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        error = distance_loss(seen["decoded"], seen["states"])
        self.log_dict(decode_summary(seen["decoded"], seen["states"]) | {"val_state": error.item()}, prog_bar=True)


class GlimpsesPhase(GamePhase):
    """The closer look at each body alone, from places that are not quite right."""

    def __init__(self, model: JEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        assert model.glimpses is not None  # a preset without them has no such phase
        model.requires_grad_(False)
        self.glimpses = model.glimpses.requires_grad_(True)

    def hot(self) -> list[tuple[nn.Module, str]]:
        return []  # its encoder is asked in validation alone

    def training_step(self, batch: GlimpseBatch, batch_idx: int) -> Tensor:
        read = self.glimpses(encode_state(batch.seen), batch.frames)
        state = _distance(read, encode_state(batch.states), _READ)
        self.log("train_state", state, prog_bar=True)
        return self.weights.state * state

    def validation_step(self, batch: GlimpseBatch, batch_idx: int) -> None:
        first, decoded = (self.model.head(see(batch.frames)) for see in (self.model.glance, self.model.encode))
        self.keep(first=first, decoded=decoded, states=batch.states)

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        once = decode_summary(seen["first"], seen["states"])
        metrics = {f"first_{name}": value for name, value in once.items()}
        self.log_dict(metrics | decode_summary(seen["decoded"], seen["states"]), prog_bar=True)


class JointPhase(GamePhase):
    """LeWorldModel's losses from pixels, with the state loss on encoded and on predicted latents."""

    def hot(self) -> list[tuple[nn.Module, str]]:
        return [*self.model.encoder.hot(), *self.hot_unroll()]

    def hot_unroll(self) -> list[tuple[nn.Module, str]]:
        """What there is to compile of the unroll, if there is one."""
        return [] if self.model.unroll is None else self.model.unroll.hot()

    def latents(self, batch: WindowBatch) -> Tensor:
        """Latents (B, L, D) of a window."""
        return self.model.glance(batch.items)

    def losses(self, batch: WindowBatch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The prediction and state losses, with the latents (B, L, D) and the predictions (B, L - 1, D)."""
        latents, history = self.latents(batch), self.model.config.history
        predicted, imagined = self.predict(latents[:, :history], batch)
        losses = {
            "pred": functional.mse_loss(predicted, latents[:, 1:]),
            "state": self.state_loss(latents, batch.states),
            "pred_state": self.state_loss(predicted, batch.states[:, 1:]),
            "stage": self.stage_loss(latents, batch.stage[:, None].expand(latents.shape[:2])),
        }
        if imagined is not None:
            losses["steps"] = distance_loss(imagined, batch.steps)
        if imagined is not None and self.phase.frozen_unroll:
            # The predictor knows nothing that a frozen unroll does not: the head should read the end that was imagined,
            # and hundredths of a pixel count. The truth (``pred_state``) teaches the same through the unroll's errors.
            losses["read"] = _distance(self.model.head(predicted), imagined[:, :, -1], _READ)
        return losses, latents, predicted

    def predict(self, known: Tensor, batch: WindowBatch) -> tuple[Tensor, Tensor | None]:
        """Predict a window's turns: one ahead from the latents that are known, then on from what was predicted.

        Args:
            known: (B, T, D) latents of the first T boundaries.
            batch: L = T + the phase's ``rollout`` boundaries.

        Returns:
            (B, L - 1, D) the predictions of boundaries 1 ... L - 1, and (B, L - 1, frameskip, 8) the states imagined
            on the way, None without an unroll.
        """
        history = known.shape[1]
        # Token i with block i predicts boundary i + 1, for every i of the window.
        predicted, imagined = self.model.predict_steps(known, batch.blocks[:, :history], batch.actors[:, :history])
        ends, states = [predicted], [imagined]
        for ahead in range(1, self.phase.rollout):
            known = torch.cat([known[:, 1:], ends[-1][:, -1:]], dim=1)
            turns = slice(ahead, ahead + history)
            predicted, imagined = self.model.predict_steps(known, batch.blocks[:, turns], batch.actors[:, turns])
            ends.append(predicted[:, -1:])
            states.append(None if imagined is None else imagined[:, -1:])
        found = [some for some in states if some is not None]
        return torch.cat(ends, dim=1), torch.cat(found, dim=1) if found else None

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        losses, latents, _ = self.losses(batch)
        sigreg = self.regulariser(latents)
        self.log_dict({f"train_{k}": v for k, v in losses.items()} | {"train_sigreg": sigreg}, prog_bar=True)
        states = sum(loss for name, loss in losses.items() if name not in ("pred", "stage"))
        total = losses["pred"] + self.weights.state * states + self.weights.stage * losses["stage"]
        return total + self.sigreg_weight() * sigreg

    def validation_step(self, batch: WindowBatch, batch_idx: int) -> None:
        losses, latents, predicted = self.losses(batch)
        last = self.model.config.history - 1  # the first turn that is foreseen
        self.keep(
            decoded=self.model.head(latents[:, -1]),
            shown=batch.states[:, -1],
            ended=self.model.head(predicted[:, -1]),
            predicted=self.model.head(predicted[:, last]),
            before=batch.states[:, last],
            after=batch.states[:, last + 1],
            actors=batch.actors[:, last],
            pred=losses["pred"][None],
            state=losses["pred_state"][None],
        )

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        metrics = decode_summary(seen["decoded"], seen["shown"])
        metrics |= turn_summary(seen["predicted"], seen["before"], seen["after"], seen["actors"])
        if self.phase.rollout > 1:
            metrics["rollout_block_px"] = state_errors(seen["ended"], seen["shown"])["block_px"].mean().item()
        metrics |= {"val_pred": seen["pred"].mean().item(), "val_state": seen["state"].mean().item()}
        self.log_dict(metrics, prog_bar=True)


class TurnsPhase(GamePhase):
    """The step unroll alone on single turns, from states as blurred as a frame leaves them; nothing is drawn."""

    def __init__(self, model: JEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        assert model.unroll is not None  # a preset without one has no such phase
        self.unroll, self.bf16 = model.unroll, False  # which is all that it runs

    def hot(self) -> list[tuple[nn.Module, str]]:
        return self.unroll.hot()

    def imagine(self, batch: TurnBatch, laws: Tensor | None) -> Tensor:
        """States (B, frameskip, 8) after each step, under laws as they are told (B, C)."""
        scene = functional.one_hot(batch.stage, SCENES).float()
        states: Tensor = self.unroll(encode_state(batch.seen), scene, batch.blocks, batch.actors, laws)
        return states

    def training_step(self, batch: SubstepBatch | TurnBatch, batch_idx: int) -> Tensor:
        assert isinstance(batch, TurnBatch)
        steps = distance_loss(self.imagine(batch, batch.laws), batch.steps)
        self.log("train_steps", steps, prog_bar=True)
        return self.weights.state * steps

    def validation_step(self, batch: TurnBatch, batch_idx: int) -> None:
        self.keep(
            imagined=self.imagine(batch, None)[:, -1],
            before=batch.before,
            after=batch.steps[:, -1],
            actors=batch.actors,
        )

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        metrics = turn_summary(seen["imagined"], seen["before"], seen["after"], seen["actors"])
        metrics["val_state"] = distance_loss(seen["imagined"], seen["after"]).item()
        self.log_dict(metrics, prog_bar=True)


class SubstepsPhase(TurnsPhase):
    """The step unroll alone, taught one substep at a time from where the game itself was (teacher forcing).

    Nothing is imagined in a row, so that a core learns from thousands of substeps a second, and from those of them that
    teach something. It is validated on whole turns.
    """

    def training_step(self, batch: SubstepBatch | TurnBatch, batch_idx: int) -> Tensor:
        assert isinstance(batch, SubstepBatch)
        start, unroll = encode_state(batch.before), self.unroll
        moving = Moving(
            start[:, :6].unflatten(-1, (3, 2)),
            start[:, 6:],
            (batch.speeds_before[:, :6] / BOARD_CENTRE).unflatten(-1, (3, 2)),
            batch.speeds_before[:, 6:],
        )
        scene = functional.one_hot(batch.stage, SCENES).float()
        laws = unroll.place_laws(start, batch.laws)
        loss = substep_loss(unroll.move(moving, batch.actions, unroll.beats[batch.beat], scene, laws), batch)
        self.log("train_substeps", loss, prog_bar=True)
        return loss


class LawsPhase(SubstepsPhase):
    """What other laws of physics change in the step unroll; all that it knew under the standard ones rests."""

    def __init__(self, model: JEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        assert self.unroll.laws is not None  # a preset without laws has no such phase
        model.requires_grad_(False)
        self.unroll.laws.requires_grad_(True)

    def validation_step(self, batch: TurnBatch, batch_idx: int) -> None:
        self.keep(
            told=self.imagine(batch, batch.laws)[:, -1],
            unaware=self.imagine(batch, None)[:, -1],
            before=batch.before,
            after=batch.steps[:, -1],
            actors=batch.actors,
        )

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        before, after, actors = seen["before"], seen["after"], seen["actors"]
        metrics = {"val_state": distance_loss(seen["told"], after).item()}
        for name in ("told", "unaware"):
            found = turn_summary(seen[name], before, after, actors)
            metrics |= {key.replace("turn_", f"{name}_"): value for key, value in found.items() if "turn_" in key}
        self.log_dict(metrics, prog_bar=True)


class LooksPhase(GamePhase):
    """The second look alone, on blocks of other sizes and shapes; it begins as a copy of the first."""

    def __init__(self, model: JEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        assert model.second is not None  # a preset without one has no such phase
        model.second.begin(model.encoder, model.projector)
        model.requires_grad_(False)
        self.second = model.second.requires_grad_(True)

    def hot(self) -> list[tuple[nn.Module, str]]:
        # A second look is for the key-point encoder, and its own is another of these.
        return [*self.model.encoder.hot(), *cast(KeypointEncoder, self.second.encoder).hot()]

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.model.encoder.eval()
        self.model.projector.eval()

    def losses(self, batch: LookBatch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """All losses, with what the head reads (B, 8) and what is told of the laws (B, C)."""
        latents, told = self.second(batch.frames)
        with torch.no_grad():
            wanted = self.model.glance(batch.plain)
        decoded = self.model.head(latents)
        apart = (decoded - encode_state(batch.states)).unflatten(-1, (4, 2))
        far = (apart.square().sum(-1) + SMOOTH**2).sqrt() - SMOOTH
        counts = torch.cat([torch.ones_like(far[:, :3]), batch.headed[:, None].float()], dim=-1)
        losses = {
            "state": 0.1 * (counts * far).sum() / counts.sum(),
            "stage": self.stage_loss(latents, batch.stage),
            "pred": match_loss(latents, wanted, batch.headed),
            "told": functional.mse_loss(told, batch.laws * self.second.place.sum(0)),
        }
        return losses, decoded, told

    def training_step(self, batch: LookBatch, batch_idx: int) -> Tensor:
        losses, _, _ = self.losses(batch)
        self.log_dict({f"train_{name}": loss for name, loss in losses.items()}, prog_bar=True)
        total = self.weights.state * losses["state"] + self.weights.stage * losses["stage"]
        return total + losses["pred"] + losses["told"]

    def validation_step(self, batch: LookBatch, batch_idx: int) -> None:
        _, decoded, told = self.losses(batch)
        first = self.model.head(self.model.glance(batch.frames))
        self.keep(decoded=decoded, first=first, states=batch.states, told=told, laws=batch.laws, headed=batch.headed)

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        headed = seen["headed"].bool()
        metrics = decode_summary(seen["decoded"][headed], seen["states"][headed])
        once = decode_summary(seen["first"][headed], seen["states"][headed])
        metrics |= {f"first_{name}": value for name, value in once.items()}
        visible = self.second.place.sum(0).cpu()
        off = (seen["told"] - visible * seen["laws"]).abs().mean(0)
        metrics |= {f"number_{index}_off": off[index].item() for index in visible.nonzero()[:, 0].tolist()}
        self.log_dict(metrics, prog_bar=True)


class LatentsPhase(JointPhase):
    """Predictor, heads and, unless frozen, the unroll on latents encoded once; the encoder rests, so none collapses."""

    def __init__(self, model: JEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        model.encoder.requires_grad_(False)
        model.projector.requires_grad_(False)
        if phase.frozen_unroll and model.unroll is not None:
            model.unroll.requires_grad_(False)

    def hot(self) -> list[tuple[nn.Module, str]]:
        return self.hot_unroll()

    def on_train_epoch_start(self) -> None:
        # Frozen means frozen: BatchNorm's running statistics too.
        self.model.encoder.eval()
        self.model.projector.eval()

    def latents(self, batch: WindowBatch) -> Tensor:
        return batch.items

    def regulariser(self, latents: Tensor) -> Tensor:
        return latents.new_zeros(())


PHASE_MODULES: dict[str, type[GamePhase]] = {
    "scenes": ScenesPhase,
    "joint": JointPhase,
    "glimpses": GlimpsesPhase,
    "substeps": SubstepsPhase,
    "turns": TurnsPhase,
    "laws": LawsPhase,
    "looks": LooksPhase,
    "latents": LatentsPhase,
}
