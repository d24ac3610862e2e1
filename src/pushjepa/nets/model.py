"""The whole world model as one module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushjepa.nets.actions import JointActionEncoder
from pushjepa.nets.config import ModelConfig
from pushjepa.nets.encoder import Projector, build_encoder
from pushjepa.nets.predictor import Predictor
from pushjepa.physics.constants import BOARD_CENTRE

STATE_NUMBERS = 8  #: p1 xy, p2 xy, block xy in half boards about the centre, cos and sin of the angle


class StateHead(nn.Sequential):
    """Latents (..., D) to a readable state (..., 8); see ``STATE_NUMBERS``."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, STATE_NUMBERS),
        )


class JEPA(nn.Module):
    """LeWorldModel's one-token JEPA for two agents, with a state head.

    frame -> encoder -> projector -> latent; (latents, actions) -> predictor -> next latent; latent -> head -> state.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config)
        self.projector = Projector(config.width, config.projector_hidden)
        self.actions = JointActionEncoder(
            config.width, config.frameskip, config.agents, explicit_actor=config.action_encoder == "mlp"
        )
        self.predictor = Predictor(config)
        self.head = StateHead(config.width, config.head_hidden)

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (..., H, W, 3) of 0 ... 255 to latents (..., D)."""
        lead = frames.shape[:-3]
        flat = frames.reshape(-1, *frames.shape[-3:])
        return self.projector(self.encoder(flat)).reshape(*lead, -1)

    def predict(self, latents: Tensor, blocks: Tensor, actors: Tensor) -> Tensor:
        """Latents (B, T, D), blocks (B, T, frameskip, agents, 2), actors (B, T) to the next latents (B, T, D)."""
        return self.predictor(latents, self.actions(blocks, actors))

    def predict_last(
        self,
        past: Tensor,
        past_blocks: Tensor,
        past_actors: Tensor,
        latest: Tensor,
        blocks: Tensor,
        actors: Tensor,
    ) -> Tensor:
        """The newest prediction for S candidates that may share one past; see :meth:`Predictor.last`.

        Shapes: past (P, history-1, D), past_blocks (P, history-1, frameskip, agents, 2), past_actors (P, history-1),
        latest (P, D) or (S, D), blocks (S, frameskip, agents, 2), actors (S,); returns (S, D).
        """
        return self.predictor.last(
            past,
            self.actions(past_blocks, past_actors),
            latest[:, None],
            self.actions(blocks, actors)[:, None],
        )

    def parameters_by_part(self) -> dict[str, int]:
        """Number of parameters of each part, and their total."""
        parts = {name: sum(p.numel() for p in child.parameters()) for name, child in self.named_children()}
        return parts | {"total": sum(parts.values())}


def encode_state(states: Tensor) -> Tensor:
    """States (..., 7) in board px and radians to the head's targets (..., 8)."""
    return torch.cat(
        [(states[..., :6] - BOARD_CENTRE) / BOARD_CENTRE, states[..., 6:].cos(), states[..., 6:].sin()], dim=-1
    ).float()
