"""A whole world model for Push-T as one module: MechJEPA with several slots, the single-token JEPA with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pushjepa.nets.dynamics import MechPredictor
from pushjepa.nets.mech_config import MechConfig
from pushjepa.nets.mechanisms import Mechanisms, build_memory
from pushjepa.nets.prior import ActionPrior, PlanMixture
from pushjepa.nets.push_unroll import MEMORY, PushUnroll
from pushjepa.nets.second_look import SecondLook
from pushjepa.nets.slots import STATE_NUMBERS, SlotEncoder, SlotHeads

_CENTRE = 256.0  # px
_ENDS = ((-60.0, 15.0), (60.0, 15.0), (0.0, 30.0), (0.0, 120.0))  # px from the tee's origin: of its bar, of its stem
AGENT, BLOCK = 0, 1  #: the slots of agent and block, where there are several


class Prediction(NamedTuple):
    """What a model makes of a window.

    Attributes:
        slots: (B, T, K, D) the next slots of every frame.
        steps: (B, T, frameskip, 6) the states imagined on the way; None without an unroll.
        mechanisms: what was retrieved for every pair of slots; None without a memory.
    """

    slots: Tensor
    steps: Tensor | None
    mechanisms: Mechanisms | None


class Frame(NamedTuple):
    """What the predictor takes of a frame, with leading shape (N,) or (B, T).

    Attributes:
        tokens, conditions: (..., K, D).
        mechanisms: (..., K, K, M) or None.
        steps: (..., frameskip, 6) the states imagined after it, or None.
    """

    tokens: Tensor
    conditions: Tensor
    mechanisms: Tensor | None
    steps: Tensor | None

    def map(self, change: Callable[[Tensor], Tensor]) -> Frame:
        """Every part changed alike."""
        mechanisms = None if self.mechanisms is None else change(self.mechanisms)
        steps = None if self.steps is None else change(self.steps)
        return Frame(change(self.tokens), change(self.conditions), mechanisms, steps)


class MechJEPA(nn.Module):
    """frame -> slots; (slots, actions, mechanisms) -> next slots; slots -> state.

    With ``unroll_hidden`` the predictor's tokens and conditions carry what :class:`PushUnroll` imagines, and its output
    is drawn to it by ``anchor``, once.
    """

    def __init__(self, config: MechConfig) -> None:
        super().__init__()
        self.config = config
        width, flat = config.width, 2 * config.frameskip
        self.encoder = SlotEncoder(config)
        self.heads = SlotHeads(config)
        self.actions = nn.Sequential(nn.Linear(flat, width), nn.GELU(), nn.Linear(width, width))
        self.memory = build_memory(config)
        self.predictor = MechPredictor(config)
        self.unroll = PushUnroll(config) if config.unroll_hidden else None
        carried = (config.frameskip + 1) * STATE_NUMBERS + MEMORY
        self.lift = nn.Linear(carried, config.slots * width) if config.unroll_hidden else None
        self.anchor = nn.Linear(STATE_NUMBERS, config.slots * width, bias=False) if config.unroll_hidden else None
        for added in (self.lift, self.anchor):
            if added is not None:
                nn.init.zeros_(added.weight)
        if self.lift is not None:
            nn.init.zeros_(self.lift.bias)
        self.prior = ActionPrior(config) if config.prior_hidden else None
        self.effect = nn.Linear(config.mechanism_width, 1) if self.memory is not None else None
        self.second: SecondLook | None = None
        if config.visible:
            moments = config.slots * config.points * 5
            self.second = SecondLook(
                SlotEncoder(config), None, config.channels[1], moments, config.laws, config.visible
            )

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (..., H, W, 3) of 0 ... 255 to slots (..., K, D)."""
        lead = frames.shape[:-3]
        slots: Tensor = self.encoder(frames.reshape(-1, *frames.shape[-3:]))
        return slots.reshape(*lead, *slots.shape[1:])

    def look(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (N, H, W, 3) to slots (N, K, D) and numbers of the laws (N, C) by the second look.

        Raises:
            ValueError: the model has none.
        """
        if self.second is None:
            raise ValueError("this model has no second look: nothing is visible to it")
        slots, told = self.second(frames)
        return slots, told

    def predict(self, slots: Tensor, blocks: Tensor, before: Tensor, masked: Tensor | None = None) -> Prediction:
        """Predict the next slots of every frame of a window.

        Args:
            slots: (B, T, K, D).
            blocks: (B, T, frameskip, 2) the actions after each.
            before: (B, 2) the action before the first of them; zeros if there was none.
            masked: (B, T, K) slots that are hidden, in training: nothing of what they hold is made use of.
        """
        slots = self.predictor.hide(slots, masked)
        steps, earlier = slots.shape[1], torch.cat([before[:, None], blocks[:, :-1, -1]], dim=1)
        flat, retrieved = self.frame(slots.flatten(0, 1), earlier.flatten(0, 1), blocks.flatten(0, 1))
        seen = flat.map(lambda part: part.unflatten(0, (-1, steps)))
        if retrieved is not None and seen.mechanisms is not None:
            retrieved = Mechanisms(seen.mechanisms, retrieved.codes.unflatten(0, (-1, steps)), retrieved.loss)
        return Prediction(self.attend(seen), seen.steps, retrieved)

    def frame(
        self,
        slots: Tensor,
        before: Tensor,
        blocks: Tensor,
        start: Tensor | None = None,
        laws: Tensor | None = None,
    ) -> tuple[Frame, Mechanisms | None]:
        """All that the predictor takes of single frames, each by itself: what a rollout need not compute again.

        Args:
            slots: (N, K, D).
            before: (N, 2) the last action before each.
            blocks: (N, frameskip, 2) the actions after each.
            start: (N, 6) the states that the unroll begins with, where they are known better than by reading the slots:
                in imagination the unroll's own last ones, or every block would add an error of reading.
            laws: (N, C) what the unroll is told of the laws of physics; None for the standard ones. Nothing else heeds
                them: actions are embedded as they are told.

        Returns:
            The frames, and all that the memory gave for them; None without one.
        """
        conditions = self.actions(blocks.flatten(-2))[:, None].expand(slots.shape)
        retrieved = None if self.memory is None else self.memory(slots)
        vectors = None if retrieved is None else retrieved.vectors
        if self.unroll is None or self.lift is None:
            return Frame(slots, conditions, vectors, None), retrieved
        start = self.heads(slots) if start is None else start
        steps, noticed = self.unroll(start, before, blocks, laws)
        carried = torch.cat([start, (steps - start[:, None]).flatten(1), noticed], dim=-1)
        lifted = self.lift(carried).unflatten(-1, slots.shape[1:])
        return Frame(slots + lifted, conditions + lifted, vectors, steps), retrieved

    def attend(self, seen: Frame) -> Tensor:
        """The next slots (B, T, K, D) of a window of frames, whose parts have shapes (B, T, ...)."""
        predicted = self.predictor(seen.tokens, seen.conditions, seen.mechanisms)
        if seen.steps is None or self.anchor is None:
            return predicted
        missing = seen.steps[:, :, -1] - self.heads(predicted)
        return predicted + self.anchor(missing).unflatten(-1, predicted.shape[2:])

    def predict_without_actions(self, slots: Tensor, masked: Tensor | None = None) -> Prediction:
        """The next slots (B, T, K, D) for all that is known without any action: what pretraining learns.

        ``masked`` is that of :meth:`predict`.
        """
        slots = self.predictor.hide(slots, masked)
        retrieved = None if self.memory is None else self.memory(slots)
        vectors = None if retrieved is None else retrieved.vectors
        return Prediction(self.predictor(slots, None, vectors), None, retrieved)

    def tell_effects(self, mechanisms: Mechanisms) -> Tensor:
        """Logits (...) that the block moves in the next env step, from nothing but the mechanism of block and agent.

        This is what gives mechanisms their meaning: to gate attention alone they come to say where things are.

        Raises:
            ValueError: the model has no memory of mechanisms.
        """
        if self.effect is None:
            raise ValueError("this model has no memory of mechanisms")
        logits: Tensor = self.effect(mechanisms.vectors[..., BLOCK, AGENT, :])[..., 0]
        return logits

    def propose(self, slots: Tensor, goal: Tensor, before: Tensor) -> PlanMixture:
        """Plans that may lead from slots (N, K, D) to a goal's (N, K, D), after actions ``before`` (N, 2).

        Raises:
            ValueError: the model has no action prior.
        """
        if self.prior is None:
            raise ValueError("this model has no action prior; train a preset with prior_hidden and a phase prior")
        mixture: PlanMixture = self.prior(self.heads(slots), self.heads(goal), before)
        return mixture

    def parameters_by_part(self) -> dict[str, int]:
        """Number of parameters of each part, and their total."""
        parts = {name: sum(p.numel() for p in child.parameters()) for name, child in self.named_children()}
        return parts | {"total": sum(parts.values())}


def encode_pusht_state(states: Tensor) -> Tensor:
    """States (..., 7) in px, radians and px/s to the heads' targets (..., 6)."""
    angle = states[..., 4:5]
    return torch.cat([(states[..., :4] - _CENTRE) / _CENTRE, angle.cos(), angle.sin()], dim=-1).float()


def place_ends(states: Tensor) -> Tensor:
    """Where states (..., 7) have the ends of the tee's bar and of its stem (..., 4, 2), in half boards."""
    cos, sin = states[..., None, 4].cos(), states[..., None, 4].sin()
    x, y = states.new_tensor(_ENDS).unbind(-1)
    ends = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1) + states[..., None, 2:4]
    return ((ends - _CENTRE) / _CENTRE).float()


def decode_pusht_state(numbers: np.ndarray) -> np.ndarray:
    """The heads' numbers (..., 6) to states (..., 5): agent xy and block xy in px, the angle in 0 ... 2 pi."""
    angle = np.arctan2(numbers[..., 5:6], numbers[..., 4:5]) % (2 * np.pi)
    return np.concatenate([numbers[..., :4] * _CENTRE + _CENTRE, angle], axis=-1).astype(np.float64)
