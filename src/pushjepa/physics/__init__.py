"""pymunk bodies and the board; exact states in, exact states out; no drawing, no rules."""

from pushjepa.physics.board import STATE_FIELDS, STATE_SIZE, Board, Trace, check_block, check_state
from pushjepa.physics.geometry import (
    BLOCK_SHAPES,
    Obstacle,
    Pillar,
    Wall,
    block_outline,
    block_parts,
    flip_block,
    flip_state,
    mirror_block,
    mirror_state,
    place,
    wrap_angle,
)
from pushjepa.physics.parameters import LAWS, VISIBLE, Physics, guess_laws, tell_laws

__all__ = [
    "BLOCK_SHAPES",
    "LAWS",
    "STATE_FIELDS",
    "STATE_SIZE",
    "VISIBLE",
    "Board",
    "Obstacle",
    "Physics",
    "Pillar",
    "Trace",
    "Wall",
    "block_outline",
    "block_parts",
    "check_block",
    "check_state",
    "flip_block",
    "flip_state",
    "guess_laws",
    "mirror_block",
    "mirror_state",
    "place",
    "tell_laws",
    "wrap_angle",
]
