"""What the world model reads off the frames of a match: pixels to state, beside the true one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pushjepa.physics import wrap_angle
from pushjepa.relay import MATCH_TURNS, Match, Scene
from pushjepa.runtime import WorldModel
from pushjepa.server.messages import DecodedState
from pushjepa.server.telemetry import state_error


def decode_match(model: WorldModel, match: Match, turns: Sequence[int]) -> list[DecodedState]:
    """The states that ``model`` reads off the frames after each of ``turns`` turns (0 is the start).

    Draws its own frames and changes nothing in ``match``, so it may run beside a policy that thinks about it.
    """
    states = np.stack([match.states[turn] for turn in turns])
    frames = np.stack([scene_at(match, turn, model.spec.frame_size).draw(match.states[turn]) for turn in turns])
    found = model.decode(model.encode(frames)).reshape(len(turns), -1)
    found[:, 6] = wrap_angle(found[:, 6])
    return [
        DecodedState(turn=turn, state=seen.tolist(), error=state_error(seen, true))
        for turn, seen, true in zip(turns, found, states, strict=True)
    ]


def scene_at(match: Match, turn: int, size: int) -> Scene:
    """The board as policies see it before ``turn``: drawn under that turn's laws, at the end under the last one's."""
    physics = match.setup.physics_at(min(turn, MATCH_TURNS - 1))
    return Scene(match.stage, size, physics.block_shape, physics.block_scale)
