from __future__ import annotations

import numpy as np
import pytest

from pushjepa.physics import Physics
from pushjepa.relay import Match, MatchSetup, PhysicsChange
from pushjepa.server.decoding import decode_match


def played():
    changes = (PhysicsChange(1, Physics(block_scale=1.4)),)
    match = Match(MatchSetup("pillars", 3, changes=changes))
    for _ in range(2):
        match.play(np.full((5, 2), 0.5))
    return match


def test_the_frames_are_those_that_the_policies_see(dot):
    match = played()
    decode_match(dot, match, [0, 1, 2])
    np.testing.assert_array_equal(dot.frames, match.frames(32))


def test_what_is_read_is_held_against_the_truth(dot):
    match = played()
    found = decode_match(dot, match, [2])[0]
    assert (found.turn, found.state) == (2, list(dot.SEEN))
    off = np.array(dot.SEEN) - match.states[2]
    assert found.error.p1 == pytest.approx(np.hypot(off[0], off[1]))
    assert found.error.p2 == pytest.approx(np.hypot(off[2], off[3]))
    assert found.error.block == pytest.approx(np.hypot(off[4], off[5]))
    assert 0 <= found.error.angle <= 180
