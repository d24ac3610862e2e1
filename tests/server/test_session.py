from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushjepa.relay import MATCH_TURNS, MatchSetup
from pushjepa.server.messages import ProtocolError
from pushjepa.server.session import HUMAN, Seats, Session

STILL = [[0.0, 0.0]] * 5


def session(first="p1", human="p1", seed=3):
    return Session("m", MatchSetup("open", seed, first), Seats.of_person(human, "passive"))


def play(game):
    """Play whoever is to move, with some movement."""
    block = np.full((5, 2), 0.5 if game.match.turn % 4 < 2 else -0.5)
    return game.human_turn(block=block.tolist()) if game.phase == "human" else game.opponent_turn(block)


@pytest.mark.parametrize("human", ["p1", "p2"])
@pytest.mark.parametrize("first", ["p1", "p2"])
def test_the_sides_alternate_until_the_match_is_over(human, first):
    game = session(first, human)
    phases = []
    while game.phase != "over":
        phases.append(game.phase)
        assert (game.seats.at(play(game).side) == HUMAN) == (phases[-1] == "human")
    start = ["human", "opponent"] if human == first else ["opponent", "human"]
    assert phases == start * 5
    assert len(game.turns) == MATCH_TURNS
    assert game.next_side is None


@pytest.mark.parametrize("human", ["p1", "p2"])
def test_waypoints_move_the_persons_own_agent(human):
    game = session(human, human)
    at = 0 if human == "p1" else 2
    here = game.match.state[at : at + 2]
    turn = game.human_turn(waypoints=[[float(here[0]), float(here[1]) + 60.0]])
    np.testing.assert_allclose(turn.states[-1][at : at + 2], here + np.array([0, 60]), atol=0.3)


@pytest.mark.parametrize(
    "bad",
    [
        {"block": [[2.0, 0.0]] * 5},
        {"block": [[float("nan"), 0.0]] * 5},
        {"block": [[0.0, 0.0]] * 4},
        {"waypoints": [[900.0, 1.0]]},
        {"block": STILL, "turn": 7},
    ],
)
def test_a_bad_turn_leaves_the_match_untouched(bad):
    game = session()
    before = game.match.state
    with pytest.raises(ValueError, match=r"."):
        game.human_turn(**bad)
    np.testing.assert_array_equal(game.match.state, before)
    assert (game.match.turn, game.phase, game.turns) == (0, "human", [])
    game.human_turn(block=STILL)


def test_whoever_is_not_to_move_is_told_so():
    game = session()
    with pytest.raises(ProtocolError, match="the person's turn"):
        game.opponent_turn(np.zeros((5, 2)))
    game.human_turn(block=STILL)
    with pytest.raises(ProtocolError, match="opponent's turn") as caught:
        game.human_turn(block=STILL)
    assert caught.value.code == "out_of_turn"
    while game.phase != "over":
        play(game)
    with pytest.raises(ProtocolError, match="over"):
        game.human_turn(block=STILL)


def test_luck_is_the_same_after_a_restart_and_differs_between_turns():
    game = session()
    again = session()
    assert game.rng().random() == again.rng().random()
    before = game.rng().random()
    play(game)
    assert game.rng().random() != before
    assert session(seed=4).rng().random() != before


@settings(max_examples=15)
@given(st.integers(0, 2**53 - 1), st.sampled_from(["p1", "p2"]), st.integers(0, MATCH_TURNS), st.randoms())
def test_a_restored_session_is_the_same_bit_for_bit(seed, first, turns, random):
    game = session(first, seed=seed)
    for _ in range(turns):
        block = [[random.uniform(-1, 1), random.uniform(-1, 1)] for _ in range(5)]
        game.human_turn(block=block) if game.phase == "human" else game.opponent_turn(np.array(block))
    past = [(turn.block, turn.plan) for turn in game.turns]
    again = Session.restore("m", game.setup, game.seats, past)
    assert again.phase == game.phase
    assert [t.states.tobytes() for t in again.turns] == [t.states.tobytes() for t in game.turns]
    assert again.match.result() == game.match.result()
