from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushjepa.physics import BLOCK_SHAPES, Physics, block_parts, mirror_block, mirror_state, place
from pushjepa.physics.parameters import LIMITS as LIMITS
from pushjepa.relay import MATCH_TURNS, STAGES, Match, MatchSetup, PhysicsChange, Scene, other

ICE = Physics(damping=0.9)
BIG = Physics(block_scale=1.3)


class Eyes:
    sees = "frames"
    frame_size = 64


class Knows:
    sees = "state"


def play_out(match, rng):
    while not match.over:
        match.play(rng.uniform(-1, 1, (5, 2)))
    return match


@st.composite
def setups(draw):
    turns = sorted(draw(st.sets(st.integers(0, 9), max_size=2)))
    return MatchSetup(
        stage=draw(st.sampled_from(list(STAGES))),
        seed=draw(st.integers(0, 2**40)),
        first=draw(st.sampled_from(["p1", "p2"])),
        physics=draw(st.sampled_from([Physics(), ICE])),
        changes=tuple(PhysicsChange(turn, draw(st.sampled_from([ICE, BIG]))) for turn in turns),
    )


@settings(max_examples=15, deadline=None)
@given(setup=setups(), cut=st.integers(0, 10), seed=st.integers(0, 1000))
def test_a_match_restored_at_any_turn_continues_bit_for_bit(setup, cut, seed):
    whole = play_out(Match(setup), np.random.default_rng(seed))
    stored = MatchSetup.from_dict(json.loads(json.dumps(setup.to_dict())))
    assert stored == setup
    replayed = Match.restore(stored, [np.array(json.loads(json.dumps(b.tolist()))) for b in whole.blocks[:cut]])
    put_down = Match(setup)
    put_down.set_state(whole.states[cut], cut)
    for again in (replayed, put_down):
        for block in whole.blocks[cut:]:
            again.play(block)
        assert again.over
        assert np.array_equal(again.state, whole.state)
        assert again.result() == whole.result()


def test_the_same_seed_is_the_same_match_and_another_is_not():
    one, two, three = (play_out(Match(MatchSetup("open", s)), np.random.default_rng(0)) for s in (4, 4, 5))
    assert len(one.states) == MATCH_TURNS + 1
    assert np.array_equal(one.states, two.states)
    assert not np.array_equal(one.states[0], three.states[0])


def test_a_change_of_physics_holds_from_its_turn_on():
    setup = MatchSetup("open", 1, changes=(PhysicsChange(3, BIG), PhysicsChange(6, ICE)))
    assert [setup.physics_at(t) for t in (0, 2, 3, 5, 6, 9)] == [Physics(), Physics(), BIG, BIG, ICE, ICE]
    plain = play_out(Match(MatchSetup("open", 1)), np.random.default_rng(3))
    changed = Match.restore(setup, plain.blocks)
    apart = [not np.array_equal(a, b) for a, b in zip(plain.states, changed.states, strict=True)]
    assert not any(apart[:4])
    assert any(apart[4:])


def test_a_change_takes_the_place_of_those_at_its_turn_or_later():
    setup = MatchSetup("open", 1).with_change(3, BIG).with_change(6, ICE)
    assert setup.changes == (PhysicsChange(3, BIG), PhysicsChange(6, ICE))
    assert setup.with_change(6, BIG).changes == (PhysicsChange(3, BIG),)  # holds already
    assert setup.with_change(4, ICE).changes == (PhysicsChange(3, BIG), PhysicsChange(4, ICE))
    assert setup.with_change(0, Physics()).changes == ()
    assert setup.with_change(0, ICE).changes == (PhysicsChange(0, ICE),)
    with pytest.raises(ValueError, match=r"0 ... 9"):
        setup.with_change(10, ICE)


def test_laws_changed_before_the_first_turn_leave_the_start_where_it_is():
    giant = Physics(block_scale=1.6)
    for seed in range(60):  # with some of them a giant block would have started elsewhere
        match, plain = Match(MatchSetup("gate", seed)), Match(MatchSetup("gate", seed))
        match.change_physics(0, giant)
        assert np.array_equal(match.state, plain.state)
        again = MatchSetup.from_dict(json.loads(json.dumps(match.setup.to_dict())))
        assert np.array_equal(again.start_state(), plain.state)
        assert match.physics == Match(again).physics == giant


@settings(max_examples=10, deadline=None)
@given(told=st.lists(st.tuples(st.integers(0, 9), st.sampled_from([ICE, BIG, Physics()])), max_size=6))
def test_a_match_whose_laws_were_changed_as_it_went_replays_bit_for_bit(told):
    match = Match(MatchSetup("open", 1))
    rng = np.random.default_rng(5)
    while not match.over:
        for turn, physics in told:
            if turn == match.turn:
                match.change_physics(min(9, turn + len(told) % 2), physics)
        match.play(rng.uniform(-1, 1, (5, 2)))
    again = Match.restore(MatchSetup.from_dict(json.loads(json.dumps(match.setup.to_dict()))), match.blocks)
    assert np.array_equal(again.states, match.states)
    assert np.array_equal(again.frames(32), match.frames(32))


def test_laws_of_a_turn_that_was_played_stay_as_they_were():
    match = Match(MatchSetup("open", 1))
    match.play(np.zeros((5, 2)))
    with pytest.raises(ValueError, match="turn 0 has been played"):
        match.change_physics(0, ICE)
    with pytest.raises(ValueError, match="whole number"):
        match.change_physics(1.5, ICE)
    assert match.setup.changes == ()


def test_a_frame_that_was_drawn_before_a_change_is_drawn_anew():
    match = Match(MatchSetup("open", 1))
    match.play(np.zeros((5, 2)))
    before = match.frames(64)
    match.change_physics(2, BIG)
    assert np.array_equal(match.frames(64), before)
    match.change_physics(1, BIG)
    frames = match.frames(64)
    assert np.array_equal(frames[0], before[0])
    assert np.array_equal(frames[1], Scene(match.stage, 64, "tee", 1.3).draw(match.state))


def any_laws(rng, extreme):
    """Laws drawn from their whole ranges, or from the ends of them."""
    ends = {name: float(rng.choice(r) if extreme else rng.uniform(*r)) for name, r in LIMITS.items()}
    return Physics(block_shape=str(rng.choice(BLOCK_SHAPES)), **ends)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("extreme", [False, True])
def test_twenty_changes_in_a_match_keep_every_turn_finite_and_everything_on_the_board(stage, extreme):
    for seed in range(4):
        match, rng = Match(MatchSetup(stage, seed)), np.random.default_rng(seed)
        for turn in range(MATCH_TURNS):
            for ahead in (0, 1):
                match.change_physics(min(9, turn + ahead), any_laws(rng, extreme))
            # Straight at the block, so that somebody stands in its way when it grows.
            at = 0 if match.to_move == "p1" else 2
            towards = match.state[4:6] - match.state[at : at + 2]
            aim = towards / max(float(np.abs(towards).max()), 1.0)
            steps = match.play(np.clip(aim + rng.uniform(-0.3, 0.3, (5, 2)), -1, 1))
            assert np.isfinite(steps).all()
            assert steps[:, :4].min() > 4 + 16 - 6  # nobody is pushed into the wall
            assert steps[:, :4].max() < 508 - 16 + 6
            physics = match.setup.physics_at(turn)
            corners = np.concatenate(
                [place(part, *steps[-1, 4:7]) for part in block_parts(physics.block_shape, physics.block_scale)]
            )
            assert corners.min() > 0  # and by the end of a turn the block has come out of it
            assert corners.max() < 512
        assert match.over
        assert len(match.setup.changes) >= 8  # by chance a law may follow itself


def test_a_frame_shows_the_block_of_the_coming_turn():
    match = Match(MatchSetup("open", 1, changes=(PhysicsChange(1, BIG),)))
    match.play(np.zeros((5, 2)))
    frames = match.frames(64)
    assert np.array_equal(frames[0], Scene(match.stage, 64).draw(match.state))
    assert np.array_equal(frames[1], Scene(match.stage, 64, "tee", 1.3).draw(match.state))


def test_a_policy_is_given_only_what_it_sees():
    match = Match(MatchSetup("gate", 2, first="p2"))
    match.play(np.full((5, 2), 0.3))
    seen, known = match.observation(Eyes()), match.observation(Knows())
    assert seen.state is None
    assert known.frames is None
    assert seen.frames.shape == (2, 64, 64, 3)
    assert np.array_equal(seen.frames[-1], Scene(match.stage, 64).draw(match.state))
    assert np.array_equal(known.state.to_array(), match.state)
    for observation in (seen, known):
        assert (observation.side, observation.turn, observation.turns_left) == ("p1", 1, 9)
        assert observation.goals == (match.stage.goals["p1"], match.stage.goals["p2"])
        assert observation.actors.tolist() == [1]
        assert observation.blocks.shape == (1, 5, 2, 2)
        assert not observation.blocks[0, :, 0].any()
        assert observation.blocks[0, :, 1] == pytest.approx(0.3)


def test_an_observation_shares_nothing_with_the_match():
    match = Match(MatchSetup("open", 2))
    match.play(np.full((5, 2), 0.3))
    state = match.state
    observation = match.observation(Eyes())
    observation.frames[:] = 0
    observation.blocks[:] = 9
    match.state[:] = 0
    assert match.observation(Eyes()).frames.any()
    assert match.observation(Eyes()).blocks.max() < 1
    assert np.array_equal(match.state, state)


def test_a_policy_that_does_not_say_what_it_sees_is_refused():
    match = Match(MatchSetup("open", 2))
    for policy, message in (
        (type("P", (), {"sees": "all"})(), "sees"),
        (type("P", (), {"sees": "frames"})(), "frame_"),
    ):
        with pytest.raises(ValueError, match=message):
            match.observation(policy)


@pytest.mark.parametrize("block", [np.full((5, 2), np.nan), np.full((5, 2), 2.0), np.zeros((5, 3)), None, "go"])
def test_a_bad_block_leaves_the_match_as_it_was(block):
    match = Match(MatchSetup("open", 2))
    before = match.state
    with pytest.raises(ValueError, match="action"):
        match.play(block)
    assert (match.turn, match.blocks, match.to_move) == (0, [], "p1")
    assert np.array_equal(match.state, before)


def test_a_match_ends_after_ten_turns():
    match = play_out(Match(MatchSetup("open", 2)), np.random.default_rng(0))
    assert match.turn == MATCH_TURNS
    with pytest.raises(ValueError, match="over"):
        match.play(np.zeros((5, 2)))
    with pytest.raises(ValueError, match="over"):
        match.observation(Knows())


def test_after_a_position_is_put_down_its_past_is_forgotten():
    match = Match(MatchSetup("open", 2))
    match.play(np.full((5, 2), 0.3))
    match.frames(64)
    put_down = Match(MatchSetup("open", 7)).state
    match.set_state(put_down, 4)
    seen = match.observation(Eyes())
    assert np.array_equal(seen.frames, Scene(match.stage, 64).draw(put_down)[None])
    assert (len(seen.blocks), len(seen.actors), seen.turn) == (0, 0, 4)


def test_put_down_positions_are_checked():
    match = Match(MatchSetup("open", 2))
    with pytest.raises(ValueError, match="turn must lie"):
        match.set_state(match.state, 11)
    with pytest.raises(ValueError, match="board state"):
        match.set_state(np.zeros(3))
    assert match.turn == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": 0}, "needs 'stage'"),
        ({"stage": "moon", "seed": 0}, "unknown stage 'moon'"),
        ({"stage": "open", "seed": -1}, "negative"),
        ({"stage": "open", "seed": 1.5}, "whole number"),
        ({"stage": "open", "seed": 0, "first": "me"}, "unknown side"),
        ({"stage": "open", "seed": 0, "speed": 3}, "unknown match setup option 'speed'"),
        ({"stage": "open", "seed": 0, "physics": {"damping": 4}}, "damping"),
        ({"stage": "open", "seed": 0, "physics": 4}, "physics must be a dict"),
        ({"stage": "open", "seed": 0, "changes": [{"turn": 10, "physics": {}}]}, "0 ... 9"),
        ({"stage": "open", "seed": 0, "changes": [{"turn": 2}]}, "needs 'physics'"),
        ({"stage": "open", "seed": 0, "changes": [{"turn": t, "physics": {}} for t in (4, 2)]}, "in order"),
        ({"stage": "open", "seed": 0, "changes": 3}, "list"),
        ({"stage": "open", "seed": 0, "start": [1, 2]}, "board state"),
        ({"stage": "open", "seed": 0, "start": 4}, "board state"),
        ([], "must be a dict"),
    ],
)
def test_a_bad_setup_is_refused_in_one_line(values, message):
    with pytest.raises(ValueError, match=message) as caught:
        MatchSetup.from_dict(values)
    assert "\n" not in str(caught.value)


def test_over_a_thousand_pairs_neither_seat_is_worth_more_than_the_other():
    """Random players, seats swapped within a pair; the difference of the seats' win rates is within its interval."""
    wins = {"p1": 0, "p2": 0}
    pairs = 1000
    rng = np.random.default_rng(11)
    for pair in range(pairs):
        for first in ("p1", "p2"):
            match = play_out(Match(MatchSetup("open", pair, first)), rng)
            winner = match.result().winner
            if winner is not None:
                wins[winner] += 1
    played = 2 * pairs
    difference = (wins["p1"] - wins["p2"]) / played
    decided = (wins["p1"] + wins["p2"]) / played
    assert decided > 0.5
    assert abs(difference) < 1.96 * np.sqrt(decided / played)


@pytest.mark.parametrize("name", STAGES)
def test_a_mirrored_match_has_the_mirrored_result(name):
    for seed in range(5):
        match = play_out(Match(MatchSetup(name, seed)), np.random.default_rng(seed))
        start = tuple(mirror_state(match.states[0]))
        mirrored = Match.restore(MatchSetup(name, seed, "p2", start=start), [mirror_block(b) for b in match.blocks])
        assert np.abs(mirror_state(mirrored.state) - match.state)[:6].max() < 0.5
        winner = match.result().winner
        assert mirrored.result().winner == (None if winner is None else other(winner))
