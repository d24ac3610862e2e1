"""The whole world model as one module."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from pushjepa.nets.actions import JointActionEncoder
from pushjepa.nets.config import ModelConfig
from pushjepa.nets.encoder import Projector, build_encoder, build_keypoints
from pushjepa.nets.glimpses import Glimpses
from pushjepa.nets.layers import Bypassed, in_full_precision
from pushjepa.nets.predictor import Predictor
from pushjepa.nets.second_look import SecondLook
from pushjepa.nets.unroll import SCENES, Lift, StepUnroll
from pushjepa.physics.constants import BOARD_CENTRE

STATE_NUMBERS = 8  #: p1 xy, p2 xy, block xy in half boards about the centre, cos and sin of the angle


class StateHead(Bypassed):
    """Latents (..., D) to a readable state (..., 8); see ``STATE_NUMBERS``. With a ``bypass`` also read linearly."""

    def __init__(self, width: int, hidden: int, *, bypass: bool = False) -> None:
        super().__init__(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, STATE_NUMBERS),
            bypass=(width, STATE_NUMBERS) if bypass else None,
        )

    @in_full_precision
    def forward(self, latents: Tensor) -> Tensor:
        return super().forward(latents)


class JEPA(nn.Module):
    """LeWorldModel's one-token JEPA for two agents, with a state head, a stage head and an unroll of the turn's steps.

    frame -> encoder -> projector -> latent, put right by glimpses; (latents, actions) -> predictor -> next latent;
    latent -> head -> state.
    With ``unroll_hidden`` the predictor's tokens and conditions also carry what :class:`StepUnroll` imagines, and its
    output is drawn to it: ``anchor`` turns what the head still reads differently into a change of the latent, a few
    times over.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config)
        self.projector = Projector(config.width, config.projector_hidden, bypass=config.bypass)
        self.actions = JointActionEncoder(
            config.width,
            config.frameskip,
            config.agents,
            linear=config.action_encoder == "linear",
            explicit_actor=bool(config.explicit_actor),
        )
        self.predictor = Predictor(config)
        self.head = StateHead(config.width, config.head_hidden, bypass=config.bypass)
        self.scene = nn.Linear(config.width, SCENES)
        self.unroll = StepUnroll(config) if config.unroll_hidden else None
        self.lift = Lift(config) if config.unroll_hidden else None
        self.anchor = nn.Linear(STATE_NUMBERS, config.width, bias=False) if config.unroll_hidden else None
        if self.anchor is not None:
            nn.init.zeros_(self.anchor.weight)
        self.glimpses = Glimpses(config.frame_size, config.glimpse_hidden) if config.glimpse_hidden else None
        self.second = _second_look(config) if config.visible else None

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (..., H, W, 3) of 0 ... 255 to latents (..., D): at a glance, then put right by glimpses."""
        flat = frames.reshape(-1, *frames.shape[-3:])
        latents = self.glance(flat)
        if self.glimpses is not None:
            latents = self._nearer(latents, self.glimpses(self.head(latents), flat))
        return latents.reshape(*frames.shape[:-3], -1)

    def glance(self, frames: Tensor) -> Tensor:
        """Frames (..., H, W, 3) to latents (..., D) by encoder and projector alone."""
        flat = frames.reshape(-1, *frames.shape[-3:])
        return self.projector(self.encoder(flat)).reshape(*frames.shape[:-3], -1)

    def look(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (N, H, W, 3) to latents (N, D) and numbers of the laws (N, C) by the second look.

        Raises:
            ValueError: the model has none.
        """
        if self.second is None:
            raise ValueError("this model has no second look: nothing is visible to it")
        latents, told = self.second(frames)
        return latents, told

    def predict(self, latents: Tensor, blocks: Tensor, actors: Tensor) -> Tensor:
        """Latents (B, T, D), blocks (B, T, frameskip, agents, 2), actors (B, T) to the next latents (B, T, D)."""
        return self.predict_steps(latents, blocks, actors)[0]

    def predict_steps(self, latents: Tensor, blocks: Tensor, actors: Tensor) -> tuple[Tensor, Tensor | None]:
        """:meth:`predict`, and the states (B, T, frameskip, 8) imagined on the way, None without an unroll."""
        tokens, conditions, states = self.imagine(latents, blocks, actors)
        return self._anchored(self.predictor(tokens, conditions), states), states

    def turn_tokens(self, latents: Tensor, blocks: Tensor, actors: Tensor, laws: Tensor | None = None) -> Tensor:
        """All that the predictor takes of single turns, each by itself: what a rollout need not compute again.

        Args:
            latents: (N, D) at the turns' start.
            blocks: (N, frameskip, agents, 2) joint action blocks.
            actors: (N,) who acts.
            laws: (N, C) what is known of the laws of physics; None for the standard ones.

        Returns:
            (N, 2 D) token and condition side by side; with an unroll (N, 2 D + 8), the imagined end last.
        """
        tokens, conditions, states = self.imagine(latents[:, None], blocks[:, None], actors[:, None], laws)
        return self._beside(tokens, conditions, states)

    def _beside(self, tokens: Tensor, conditions: Tensor, states: Tensor | None) -> Tensor:
        """Tokens and conditions (N, 1, D) side by side, with the end of what was imagined (N, 1, frameskip, 8)."""
        parts = [tokens, conditions] if states is None else [tokens, conditions, states[:, :, -1]]
        return torch.cat(parts, dim=-1)[:, 0]

    def predict_last(self, past: Tensor, newest: Tensor) -> Tensor:
        """The newest prediction (S, D) for S candidates that may share one past; see :meth:`Predictor.last`.

        Both are :meth:`turn_tokens`: past (P, history-1, ...) with P = 1 or S, newest (S, ...).
        """
        width = self.config.width
        token, condition, end = newest[:, None].tensor_split((width, 2 * width), dim=-1)
        predicted = self.predictor.last(past[..., :width], past[..., width : 2 * width], token, condition)
        return self._anchored(predicted, end if end.shape[-1] else None)

    @in_full_precision
    def imagine(
        self, latents: Tensor, blocks: Tensor, actors: Tensor, laws: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the predictor is given: tokens (B, T, D) and conditions (B, T, D), and the imagined states.

        The states (B, T, frameskip, 8) are those after each env step; None without an unroll. ``laws`` (B T, C) are
        told to the unroll; nothing else heeds them.
        """
        conditions = self.actions(blocks, actors)
        if self.unroll is None or self.lift is None:
            return latents, conditions, None
        flat, told = latents.flatten(0, 1), (blocks.flatten(0, 1), actors.flatten())
        start, scene = self.read(flat)
        # An unroll that rests is only read: nothing is learned through its 25 substeps.
        resting = not any(p.requires_grad for p in self.unroll.parameters())
        with torch.no_grad() if resting else nullcontext():
            states = self.unroll(start, scene, *told, laws)
        lifted = self.lift(start, states).unflatten(0, latents.shape[:2])
        return latents + lifted, conditions + lifted, states.unflatten(0, latents.shape[:2])

    def tokens_of(self, latents: Tensor, blocks: Tensor, actors: Tensor, imagined: Tensor) -> Tensor:
        """:meth:`turn_tokens` once the unroll has imagined the turns: states (steps, N, 8) as each actor sees them."""
        assert self.unroll is not None
        assert self.lift is not None
        states = self.unroll.end(imagined, actors)
        lifted = self.lift(self.head(latents), states)
        conditions = self.actions(blocks[:, None], actors[:, None])
        return self._beside((latents + lifted)[:, None], conditions + lifted[:, None], states[:, None])

    def read(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Where the unroll begins: the state (N, 8) and how much each stage is believed in (N, SCENES), of (N, D)."""
        return self.head(latents), self.scene(latents).softmax(dim=-1)

    def _anchored(self, predicted: Tensor, states: Tensor | None) -> Tensor:
        """Predicted latents (..., D), nearer to the last of the imagined states (..., steps, 8) if there are any."""
        return predicted if states is None else self._nearer(predicted, states[..., -1, :])

    @in_full_precision
    def _nearer(self, latents: Tensor, wanted: Tensor) -> Tensor:
        """Latents (..., D), a few learned steps nearer to those of which the head reads what is wanted (..., 8)."""
        assert self.anchor is not None
        for _ in range(self.config.anchor_steps):
            latents = latents + self.anchor(wanted - self.head(latents))
        return latents

    def parameters_by_part(self) -> dict[str, int]:
        """Number of parameters of each part, and their total."""
        parts = {name: sum(p.numel() for p in child.parameters()) for name, child in self.named_children()}
        return parts | {"total": sum(parts.values())}


def _second_look(config: ModelConfig) -> SecondLook:
    encoder = build_keypoints(config)
    projector = Projector(config.width, config.projector_hidden, bypass=config.bypass)
    channels, moments = encoder.maps.in_channels, encoder.out.in_features
    return SecondLook(encoder, projector, channels, moments, config.laws, config.visible)


def encode_state(states: Tensor) -> Tensor:
    """States (..., 7) in board px and radians to the head's targets (..., 8)."""
    return torch.cat(
        [(states[..., :6] - BOARD_CENTRE) / BOARD_CENTRE, states[..., 6:].cos(), states[..., 6:].sin()], dim=-1
    ).float()
