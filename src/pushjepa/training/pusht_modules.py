"""The phases of a Push-T model: what is lost, and what is validated."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from pushjepa.nets.mech import BLOCK, MechJEPA, Prediction, encode_pusht_state, place_ends
from pushjepa.nets.mechanisms import perplexity
from pushjepa.nets.prior import PlanMixture
from pushjepa.pusht.collect import MOVED
from pushjepa.training.modules import SMOOTH, LookBatch, Phase, SceneBatch, match_loss
from pushjepa.training.presets import LossWeights, PhaseConfig
from pushjepa.training.pusht_batches import GoalBatch, PushTBatch

_CENTRE = 256.0  # px
_LATENT_LOSSES = ("pred", "codes", "effect")  # counted once; all others are of states
_ARM = 50.0  # px from a block's centre to its ends: what a turn of it moves
_STIRRED = 0.3  # px in an env step: less is no motion


def pusht_distance(decoded: Tensor, states: Tensor) -> Tensor:
    """Distances (..., 3) of agent, block and heading between decoded numbers (..., 6) and states (..., 7)."""
    apart = (decoded - encode_pusht_state(states)).unflatten(-1, (3, 2))
    return smooth_norm(apart)


def smooth_norm(vectors: Tensor) -> Tensor:
    """Lengths (...) of vectors (..., D), quadratic below ``SMOOTH``."""
    return (vectors.square().sum(-1) + SMOOTH**2).sqrt() - SMOOTH


def errors_of(decoded: Tensor, states: Tensor, name: str) -> dict[str, float]:
    """Mean errors of decoded numbers (N, 6) in px and degrees, under names that begin with ``name``."""
    off = (decoded - encode_pusht_state(states)).unflatten(-1, (3, 2)).norm(dim=-1) * _CENTRE
    turned = torch.atan2(decoded[:, 5], decoded[:, 4]) - states[:, 4]
    angle = (torch.remainder(turned + math.pi, 2 * math.pi) - math.pi).abs().rad2deg()
    return {
        f"{name}_agent_px": off[:, 0].mean().item(),
        f"{name}_block_px": off[:, 1].mean().item(),
        f"{name}_angle_deg": angle.mean().item(),
    }


def block_moves(batch: PushTBatch) -> Tensor:
    """(B, T) whether the block moves in the env step that follows each boundary."""
    before, after = batch.states[:, :-1, 2:5], batch.steps[:, :, 0, 2:5]
    turned = torch.remainder(after[..., 2] - before[..., 2] + math.pi, 2 * math.pi) - math.pi
    return (after - before)[..., :2].norm(dim=-1) + _ARM * turned.abs() > _STIRRED


class SlotPhase(Phase[MechJEPA]):
    """What the phases of a Push-T model share.

    They are trained in fp32: slots, heads and unroll are made of positions throughout.
    """

    def slot_state_loss(self, slots: Tensor, states: Tensor) -> Tensor:
        """A tenth of the mean distance of what the heads read in slots (..., K, D), ends of bar and stem included."""
        heads = self.model.heads
        apart = pusht_distance(heads(slots), states).mean()
        if len(heads.parts):
            apart = apart + smooth_norm(heads.ends(slots) - place_ends(states)).mean()
        return 0.1 * apart

    def slot_regulariser(self, slots: Tensor) -> Tensor:
        """SIGReg of each slot over all frames (..., K, D)."""
        if not self.sigreg_weight():
            return slots.new_zeros(())
        return self.sigreg(slots.flatten(0, -3).transpose(0, 1), self.generator())


class SlotScenesPhase(SlotPhase):
    """Encoder and heads on single frames of random scenes."""

    def training_step(self, batch: SceneBatch, batch_idx: int) -> Tensor:
        slots = self.model.encode(batch.frames)
        state, sigreg = self.slot_state_loss(slots, batch.states), self.slot_regulariser(slots)
        self.log_dict({"train_state": state, "train_sigreg": sigreg}, prog_bar=True)
        return self.weights.state * state + self.sigreg_weight() * sigreg

    def validation_step(self, batch: SceneBatch, batch_idx: int) -> None:
        self.keep(decoded=self.model.heads(self.model.encode(batch.frames)), states=batch.states)

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        self.log_dict(errors_of(seen["decoded"], seen["states"], "decode"), prog_bar=True)


class SlotJointPhase(SlotPhase):
    """Next-slot prediction, SIGReg and state losses from pixels, with the gradient through everything."""

    def slots(self, batch: PushTBatch) -> Tensor:
        """Slots (B, T+1, K, D) of a window."""
        return self.model.encode(batch.items)

    def losses(self, batch: PushTBatch) -> tuple[dict[str, Tensor], Tensor, Prediction]:
        """All losses, the slots and the prediction. Padding is not predicted: nothing happens there.

        What is read of a frame, steps and effects, is not asked for where agent or block are hidden.
        """
        slots = self.slots(batch)
        masked = self.masks(slots[:, :-1])
        if self.phase.action_free:
            found = self.model.predict_without_actions(slots[:, :-1], masked)
        else:
            found = self.model.predict(slots[:, :-1], batch.blocks, batch.before, masked)
        known = batch.known
        shown = known if masked is None else known & ~masked[..., : BLOCK + 1].any(dim=-1)
        losses = {
            "pred": functional.mse_loss(found.slots[known], slots[:, 1:][known]),
            "state": self.slot_state_loss(slots, batch.states),
            "pred_state": self.slot_state_loss(found.slots[known], batch.states[:, 1:][known]),
        }
        if found.steps is not None and shown.any():
            losses["steps"] = 0.1 * pusht_distance(found.steps[shown], batch.steps[shown]).mean()
        if found.mechanisms is not None:
            losses["codes"] = found.mechanisms.loss
        if found.mechanisms is not None and shown.any():
            effects = self.model.tell_effects(found.mechanisms)[shown]
            losses["effect"] = functional.binary_cross_entropy_with_logits(effects, block_moves(batch)[shown].float())
        return losses, slots, found

    def masks(self, slots: Tensor) -> Tensor | None:
        """Slots (B, T, K) that are hidden in this step of training."""
        if not self.training or not self.phase.masked:
            return None
        luck = torch.rand(slots.shape[:-1], generator=self.generator()).to(slots.device)
        return luck < self.phase.masked

    def training_step(self, batch: PushTBatch, batch_idx: int) -> Tensor:
        losses, slots, _ = self.losses(batch)
        sigreg = self.regulariser_of(slots)
        self.log_dict({f"train_{k}": v for k, v in losses.items()} | {"train_sigreg": sigreg}, prog_bar=True)
        states = torch.stack([loss for name, loss in losses.items() if name not in _LATENT_LOSSES]).sum()
        latents = torch.stack([loss for name, loss in losses.items() if name in _LATENT_LOSSES]).sum()
        return latents + self.weights.state * states + self.sigreg_weight() * sigreg

    def regulariser_of(self, slots: Tensor) -> Tensor:
        """SIGReg where slots are learned."""
        return self.slot_regulariser(slots)

    def validation_step(self, batch: PushTBatch, batch_idx: int) -> None:
        losses, slots, found = self.losses(batch)
        codes = torch.full((1,), -1) if found.mechanisms is None else found.mechanisms.codes.flatten()
        self.keep(
            decoded=self.model.heads(slots[:, -1]),
            predicted=self.model.heads(found.slots[:, -1]),
            before=batch.states[:, -2],
            after=batch.states[:, -1],
            pred=losses["pred"][None],
            state=losses["pred_state"][None],
            effect=losses.get("effect", slots.new_zeros(()))[None],
            codes=codes,
        )

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        moved = (seen["after"] - seen["before"])[:, 2:4].norm(dim=-1) > MOVED
        metrics = errors_of(seen["decoded"], seen["after"], "decode")
        metrics |= errors_of(seen["predicted"][moved], seen["after"][moved], "turn")
        metrics |= {"val_pred": seen["pred"].mean().item(), "val_state": seen["state"].mean().item()}
        codes = seen["codes"].long()
        if (codes >= 0).any():
            metrics["val_effect"] = seen["effect"].mean().item()
            metrics["code_perplexity"] = perplexity(codes[codes >= 0])
        self.log_dict(metrics, prog_bar=True)


class SlotLatentsPhase(SlotJointPhase):
    """Predictor, memory, heads and, unless frozen, the unroll on slots encoded once; the encoder rests."""

    def __init__(self, model: MechJEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        model.encoder.requires_grad_(False)
        if phase.frozen_unroll and model.unroll is not None:
            model.unroll.requires_grad_(False)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        # Frozen means frozen: BatchNorm's running statistics too.
        self.model.encoder.eval()

    def slots(self, batch: PushTBatch) -> Tensor:
        return batch.items

    def regulariser_of(self, slots: Tensor) -> Tensor:
        return slots.new_zeros(())


class SlotTurnsPhase(SlotPhase):
    """The step unroll alone, from states as blurred as a frame leaves them."""

    def __init__(self, model: MechJEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        assert model.unroll is not None  # a preset without one has no such phase
        self.unroll = model.unroll

    def imagine(self, batch: PushTBatch, laws: Tensor | None) -> Tensor:
        """States (B, frameskip, 6) after each step of the window's last block, under laws as they are told (B, C)."""
        start = encode_pusht_state(batch.items[:, -2])
        before = batch.blocks[:, -2, -1] if batch.blocks.shape[1] > 1 else batch.before
        states: Tensor = self.unroll(start, before, batch.blocks[:, -1], laws)[0]
        return states

    def training_step(self, batch: PushTBatch, batch_idx: int) -> Tensor:
        steps = 0.1 * pusht_distance(self.imagine(batch, batch.laws), batch.steps[:, -1]).mean()
        self.log("train_steps", steps, prog_bar=True)
        return self.weights.state * steps

    def validation_step(self, batch: PushTBatch, batch_idx: int) -> None:
        self.keep(
            imagined=self.imagine(batch, batch.laws)[:, -1], before=batch.states[:, -2], after=batch.states[:, -1]
        )

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        moved = (seen["after"] - seen["before"])[:, 2:4].norm(dim=-1) > MOVED
        metrics = errors_of(seen["imagined"][moved], seen["after"][moved], "turn")
        metrics["val_state"] = 0.1 * pusht_distance(seen["imagined"], seen["after"]).mean().item()
        self.log_dict(metrics, prog_bar=True)


class SlotLawsPhase(SlotTurnsPhase):
    """What other laws of physics change in the step unroll; all that it knew under the standard ones rests."""

    def __init__(self, model: MechJEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        assert self.unroll.laws is not None  # a preset without laws has no such phase
        model.requires_grad_(False)
        self.unroll.laws.requires_grad_(True)

    def validation_step(self, batch: PushTBatch, batch_idx: int) -> None:
        self.keep(
            told=self.imagine(batch, batch.laws)[:, -1],
            unaware=self.imagine(batch, None)[:, -1],
            before=batch.states[:, -2],
            after=batch.states[:, -1],
        )

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        moved = (seen["after"] - seen["before"])[:, 2:4].norm(dim=-1) > MOVED
        metrics = errors_of(seen["told"][moved], seen["after"][moved], "told")
        metrics |= errors_of(seen["unaware"][moved], seen["after"][moved], "unaware")
        metrics["val_state"] = 0.1 * pusht_distance(seen["told"], seen["after"]).mean().item()
        self.log_dict(metrics, prog_bar=True)


class SlotLooksPhase(SlotPhase):
    """The second look alone, on blocks of other sizes and shapes; it begins as a copy of the first."""

    def __init__(self, model: MechJEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        assert model.second is not None  # a preset without one has no such phase
        model.second.begin(model.encoder, None)
        model.requires_grad_(False)
        self.second = model.second.requires_grad_(True)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.model.encoder.eval()

    def losses(self, batch: LookBatch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """All losses, with what the heads read (B, 6) and what is told of the laws (B, C)."""
        slots, told = self.second(batch.frames)
        with torch.no_grad():
            wanted = self.model.encode(batch.plain)
        decoded = self.model.heads(slots)
        far = pusht_distance(decoded, batch.states)
        counts = torch.cat([torch.ones_like(far[:, :2]), batch.headed[:, None].float()], dim=-1)
        state = (counts * far).sum() / counts.sum()
        if len(self.model.heads.parts) and batch.headed.any():
            ends = self.model.heads.ends(slots)[batch.headed]
            state = state + smooth_norm(ends - place_ends(batch.states[batch.headed])).mean()
        losses = {
            "state": 0.1 * state,
            "pred": match_loss(slots, wanted, batch.headed),
            "told": functional.mse_loss(told, batch.laws * self.second.place.sum(0)),
        }
        return losses, decoded, told

    def training_step(self, batch: LookBatch, batch_idx: int) -> Tensor:
        losses, _, _ = self.losses(batch)
        self.log_dict({f"train_{name}": loss for name, loss in losses.items()}, prog_bar=True)
        return self.weights.state * losses["state"] + losses["pred"] + losses["told"]

    def validation_step(self, batch: LookBatch, batch_idx: int) -> None:
        _, decoded, told = self.losses(batch)
        first = self.model.heads(self.model.encode(batch.frames))
        self.keep(decoded=decoded, first=first, states=batch.states, told=told, laws=batch.laws, headed=batch.headed)

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        headed = seen["headed"].bool()
        metrics = errors_of(seen["decoded"][headed], seen["states"][headed], "decode")
        metrics |= errors_of(seen["first"][headed], seen["states"][headed], "first")
        visible = self.second.place.sum(0).cpu()
        off = (seen["told"] - visible * seen["laws"]).abs().mean(0)
        metrics |= {f"number_{index}_off": off[index].item() for index in visible.nonzero()[:, 0].tolist()}
        self.log_dict(metrics, prog_bar=True)


def off_by(plans: Tensor, batch: GoalBatch) -> Tensor:
    """(B, M) mean distance of an action from plans (B, M, H, frameskip, 2), over their first block, while it counts."""
    known = batch.known[:, None, 0]
    return ((plans[:, :, 0] - batch.plans[:, None, 0]).norm(dim=-1) * known).sum(-1) / known.sum(-1)


class SlotPriorPhase(SlotPhase):
    """The action prior alone, from states as blurred as frames leave them: what was done on the way to a later one."""

    def __init__(self, model: MechJEPA, phase: PhaseConfig, loss: LossWeights, seed: int) -> None:
        super().__init__(model, phase, loss, seed)
        assert model.prior is not None  # a preset without one has no such phase
        model.requires_grad_(False)
        self.prior = model.prior.requires_grad_(True)

    def propose(self, batch: GoalBatch) -> PlanMixture:
        now, wanted = encode_pusht_state(batch.states).unbind(dim=1)
        mixture: PlanMixture = self.prior(now, wanted, batch.before)
        return mixture

    def training_step(self, batch: GoalBatch, batch_idx: int) -> Tensor:
        loss = self.propose(batch).loss(batch.plans, batch.known)
        self.log("train_nll", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: GoalBatch, batch_idx: int) -> None:
        found = self.propose(batch)
        likeliest, nearest = off_by(found.likeliest()[:, None], batch)[:, 0], off_by(found.means, batch).min(-1).values
        nll = found.loss(batch.plans, batch.known)[None]
        self.keep(nll=nll, likeliest=likeliest, nearest=nearest)

    def on_validation_epoch_end(self) -> None:
        seen = self.kept()
        metrics = {"val_nll": seen["nll"].mean().item()}
        # Of an action, at the likeliest and at the nearest of the proposed plans.
        metrics |= {f"{name}_off": seen[name].mean().item() for name in ("likeliest", "nearest")}
        self.log_dict(metrics, prog_bar=True)


PUSHT_MODULES: dict[str, type[SlotPhase]] = {
    "scenes": SlotScenesPhase,
    "joint": SlotJointPhase,
    "turns": SlotTurnsPhase,
    "laws": SlotLawsPhase,
    "looks": SlotLooksPhase,
    "latents": SlotLatentsPhase,
    "prior": SlotPriorPhase,
}
