from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pushjepa.physics import (
    Board,
    Physics,
    Pillar,
    Wall,
    flip_block,
    flip_state,
    mirror_block,
    mirror_state,
    wrap_angle,
)
from pushjepa.physics.constants import AGENT_RADIUS, AGENT_SPEED, BOARD_SIZE, WALL_INSET
from pushjepa.relay.stages import STAGES

START = np.array([100.0, 256.0, 412.0, 256.0, 256.0, 256.0, 0.4])
RIGHT = np.tile([1.0, 0.0], (5, 1))
TURNS = 10_000
RESTART = 40  # random turns from one start position
BLOCKS = arrays(np.float64, (5, 2), elements=st.floats(-1, 1))


def random_play(stage, turns, rng, spread=1.0):
    """States (turns, 5, 7) and the states (turns, 7) that they began in, of uniform or extreme actions."""
    board = Board(stage.obstacles)
    begun, steps = np.empty((turns, 7)), np.empty((turns, 5, 7))
    for turn in range(turns):
        state = stage.sample_start(rng) if turn % RESTART == 0 else steps[turn - 1, -1]
        block = rng.uniform(-1, 1, (5, 2))
        if turn // RESTART % 2:  # a whole turn in one of the four corners of the action square
            block = np.tile(np.sign(block[0]), (5, 1))
        begun[turn] = state
        steps[turn] = board.run_turn(state, ("p1", "p2")[turn % 2], block)
    return begun, steps


@pytest.mark.parametrize("name", STAGES)
def test_random_turns_stay_finite_on_the_board_and_out_of_each_other(name, overlap_depths):
    stage = STAGES[name]
    _, steps = random_play(stage, TURNS, np.random.default_rng(0))
    assert np.isfinite(steps).all()
    assert steps[..., :6].min() >= 0
    assert steps[..., :6].max() <= BOARD_SIZE
    at_rest = overlap_depths(steps[:, -1], stage.obstacles)
    under_way = overlap_depths(steps.reshape(-1, 7), stage.obstacles)
    assert len(at_rest) == (4 if not stage.obstacles else 6)
    assert {name: depth.max() for name, depth in at_rest.items() if depth.max() > 5.0} == {}
    assert {name: depth.max() for name, depth in under_way.items() if depth.max() > 8.0} == {}


def test_the_overlap_measure_sees_what_is_there(overlap_depths):
    gate = STAGES["gate"]
    agent_in_wall = np.array([10.0, 256.0, 400.0, 256.0, 256.0, 256.0, 0.0])
    block_in_gate = np.array([100.0, 256.0, 400.0, 256.0, 256.0, 160.0, 0.0])
    depths = overlap_depths(np.array([agent_in_wall, block_in_gate]), gate.obstacles)
    assert depths["agent in wall"] == pytest.approx([AGENT_RADIUS + WALL_INSET - 10.0, -80.0])
    assert depths["block in obstacle"][0] < 0 < 20 < depths["block in obstacle"][1]


def test_nobody_is_driven_through_a_wall_that_they_are_pressed_against():
    board = Board()
    state = np.array([60.0, 256.0, 412.0, 400.0, 120.0, 256.0, math.pi / 2])
    for _ in range(6):
        state = board.run_turn(state, "p1", RIGHT)[-1]
    corners = np.concatenate(board.block_corners(state))
    assert corners[:, 0].max() == pytest.approx(BOARD_SIZE - WALL_INSET, abs=2.0)
    assert state[0] < state[4]


def test_a_turn_is_a_function_of_its_arguments():
    board, given_state = Board(), START.copy()
    one = board.run_turn(given_state, "p1", RIGHT)
    board.run_turn(START + 1.0, "p2", -RIGHT)
    assert np.array_equal(one, board.run_turn(START, "p1", RIGHT))
    assert np.array_equal(one, Board().run_turn(START, "p1", RIGHT))
    assert np.array_equal(given_state, START)


@settings(max_examples=60, deadline=None)
@given(block=BLOCKS, seed=st.integers(0, 10_000), side=st.sampled_from(["p1", "p2"]))
def test_the_mirrored_turn_is_the_mirror_image(block, seed, side):
    stage = STAGES["pillars"]
    board, other = Board(stage.obstacles), {"p1": "p2", "p2": "p1"}[side]
    state = stage.sample_start(np.random.default_rng(seed))
    seen = board.run_turn(state, side, block)
    mirrored = board.run_turn(mirror_state(state), other, mirror_block(block))
    assert np.abs(mirror_state(mirrored) - seen).max() < 1e-9


@settings(max_examples=60, deadline=None)
@given(block=BLOCKS, seed=st.integers(0, 10_000), side=st.sampled_from(["p1", "p2"]))
def test_a_turn_upside_down_is_the_flipped_turn(block, seed, side):
    stage = STAGES["gate"]
    board = Board(stage.obstacles)
    state = stage.sample_start(np.random.default_rng(seed))
    seen = board.run_turn(state, side, block)
    flipped = board.run_turn(flip_state(state), side, flip_block(block))
    away = flip_state(flipped) - seen
    away[:, 6] = wrap_angle(away[:, 6])
    assert np.abs(away).max() < 1e-6


@pytest.mark.parametrize("name", STAGES)
def test_mirrored_turns_of_real_play_agree_within_half_a_pixel(name):
    stage = STAGES[name]
    board, rng = Board(stage.obstacles), np.random.default_rng(5)
    begun, _ = random_play(stage, 400, np.random.default_rng(5))
    agree = 0
    for turn, state in enumerate(begun):
        block = rng.uniform(-1, 1, (5, 2))
        side, other = ("p1", "p2") if turn % 2 else ("p2", "p1")
        seen = board.run_turn(state, side, block)[-1]
        back = mirror_state(board.run_turn(mirror_state(state), other, mirror_block(block))[-1])
        agree += bool(np.abs(back[:6] - seen[:6]).max() <= 0.5)
    assert agree >= 0.99 * len(begun)


def test_whole_turns_of_the_block_change_nothing():
    board = Board()
    turned = START + np.array([0, 0, 0, 0, 0, 0, math.tau])
    folded = START.copy()
    folded[-1] = math.remainder(turned[-1], math.tau)
    assert np.array_equal(board.run_turn(turned, "p1", RIGHT), board.run_turn(folded, "p1", RIGHT))


def test_an_agent_alone_covers_what_its_action_commands_and_the_waiter_stands_still():
    state = np.array([60.0, 60.0, 412.0, 300.0, 256.0, 256.0, 0.0])
    steps = Board().run_turn(state, "p1", RIGHT)
    assert np.diff(steps[:, 0]) == pytest.approx([AGENT_SPEED * 0.1] * 4, abs=0.5)
    assert np.array_equal(steps[:, 1:], np.tile(state[1:], (5, 1)))


def test_the_actor_is_the_one_who_moves():
    steps = Board().run_turn(START, "p2", np.tile([0.0, 1.0], (5, 1)))
    assert steps[-1, 3] > START[3] + 100
    assert np.array_equal(steps[-1, :2], START[:2])


def test_a_block_of_steps_by_one_agent_is_a_turn():
    for name, stage in STAGES.items():
        board, rng = Board(stage.obstacles), np.random.default_rng(3)
        for turn in range(40):
            state, block, actor = stage.sample_start(rng), rng.uniform(-1, 1, (5, 2)), ("p1", "p2")[turn % 2]
            assert np.array_equal(board.run_steps(state, [actor] * 5, block), board.run_turn(state, actor, block)), name


@pytest.mark.parametrize(("first", "second"), [("p1", "p2"), ("p2", "p1")])
def test_in_a_step_only_its_actor_is_driven(first, second):
    state = np.array([60.0, 60.0, 412.0, 60.0, 256.0, 256.0, 0.0])
    down = np.tile([0.0, 1.0], (5, 1))
    steps = Board().run_steps(state, [first, second, first, second, first], down)
    y = np.vstack([state, steps])[:, [1, 3] if first == "p1" else [3, 1]]
    went = np.diff(y, axis=0)  # (5, first and second)
    assert went[[0, 2, 4], 0].min() > 25.0
    assert went[[1, 3], 1].min() > 25.0
    assert went[0, 1] == 0.0
    # Who has just acted brakes, which takes less than a third of a step's way.
    assert 0.0 < went[[1, 3], 0].max() < 12.0
    assert 0.0 < went[[2, 4], 1].max() < 12.0


@settings(max_examples=60, deadline=None)
@given(block=BLOCKS, seed=st.integers(0, 10_000), who=st.lists(st.sampled_from(["p1", "p2"]), min_size=5, max_size=5))
def test_mirrored_steps_are_the_mirror_image(block, seed, who):
    stage = STAGES["pillars"]
    board, other = Board(stage.obstacles), {"p1": "p2", "p2": "p1"}
    state = stage.sample_start(np.random.default_rng(seed))
    seen = board.run_steps(state, who, block)
    mirrored = board.run_steps(mirror_state(state), [other[actor] for actor in who], mirror_block(block))
    assert np.abs(mirror_state(mirrored) - seen).max() < 1e-9


def test_who_brakes_in_the_others_step_does_not_sink_into_a_wall(overlap_depths):
    """p1 drives at the wall in every step of its own; the other agent and the block are far away."""
    deep = []
    for x in np.arange(20.0, 110.0, 0.5):
        state = np.array([x, 60.0, 400.0, 452.0, 256.0, 256.0, 0.0])
        for who in (["p1", "p2", "p1", "p2", "p1"], ["p1", "p2", "p2", "p2", "p2"]):
            block = np.array([[-1.0, 0.0] if actor == "p1" else [0.0, -0.3] for actor in who])
            deep.append(overlap_depths(Board().run_steps(state, who, block))["agent in wall"].max())
    assert max(deep) < 1.0


@pytest.mark.parametrize(
    ("actors", "message"), [(["p1"] * 4, "got 4 actors"), ([], "got 0 actors"), (["p1", "p3"] * 2 + ["p1"], "p1, p2")]
)
def test_actors_that_are_not_one_for_each_step_are_refused(actors, message):
    with pytest.raises(ValueError, match=message):
        Board().run_steps(START, actors, RIGHT)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (np.full((5, 2), np.nan), "finite"),
        (np.full((5, 2), 1.01), r"\[-1, 1\]"),
        (np.zeros((4, 2)), "shape"),
        (np.zeros(10), "shape"),
        (None, "shape"),
        ({"dx": 1}, "numbers"),
        ([[1, 2], [3]], "numbers"),
    ],
)
def test_a_bad_action_block_is_refused_in_one_line(block, message):
    with pytest.raises(ValueError, match=message) as caught:
        Board().run_turn(START, "p1", block)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("state", [np.zeros(6), np.full(7, np.nan), START - 300.0, "here"])
def test_a_bad_state_is_refused(state):
    with pytest.raises(ValueError, match="board state"):
        Board().run_turn(state, "p1", RIGHT)


def test_an_unknown_actor_is_refused():
    with pytest.raises(ValueError, match="p1, p2"):
        Board().run_turn(START, "p3", RIGHT)


@pytest.mark.parametrize("name", STAGES)
def test_a_traced_turn_ends_each_step_where_the_turn_does(name):
    stage, rng = STAGES[name], np.random.default_rng(4)
    board, state = Board(stage.obstacles), stage.sample_start(rng)
    pushed = 0
    for turn in range(100):
        state = stage.sample_start(rng) if turn % 10 == 0 else state
        block, actor = np.tile(rng.choice([-1.0, 1.0], 2), (5, 1)), ("p1", "p2")[turn % 2]
        steps = board.run_turn(state, actor, block)
        trace = board.trace_turn(state, actor, block)
        assert trace.places.shape == trace.speeds.shape == (25, 7)
        ends = trace.places[4::5]
        assert np.array_equal(ends if actor == "p1" else mirror_state(ends), steps)
        pushed += np.hypot(*(steps[-1] - state)[4:6]) > 1.0
        state = steps[-1]
        state[6] = math.remainder(state[6], math.tau)
    assert pushed > 10, "turns in which nothing is touched would show little"


def test_whole_turns_of_the_block_change_nothing_in_a_trace():
    board = Board()
    turned = START + np.array([0, 0, 0, 0, 0, 0, math.tau])
    assert np.array_equal(board.trace_turn(turned, "p1", RIGHT).places[4::5], board.run_turn(turned, "p1", RIGHT))


@settings(max_examples=40, deadline=None)
@given(block=BLOCKS, seed=st.integers(0, 10_000))
def test_p2s_trace_is_p1s_on_the_mirrored_board(block, seed):
    stage = STAGES["pillars"]
    board, state = Board(stage.obstacles), stage.sample_start(np.random.default_rng(seed))
    ours, theirs = (
        board.trace_turn(state, "p2", block),
        board.trace_turn(mirror_state(state), "p1", mirror_block(block)),
    )
    assert np.array_equal(ours.places, theirs.places)
    assert np.array_equal(ours.speeds, theirs.speeds)


@pytest.mark.parametrize("actor", ["p1", "p2"])
def test_a_trace_names_the_actor_first_and_sees_it_from_its_own_side(actor):
    state = np.array([100.0, 60.0, 412.0, 60.0, 256.0, 400.0, 0.0])
    ahead = RIGHT if actor == "p1" else -RIGHT  # towards the other one
    trace = Board().trace_turn(state, actor, 0.5 * ahead)
    # Its force gets it to 4 px a substep at once; the first place is the one before it moves.
    assert trace.speeds[:, 0] == pytest.approx(np.full(25, 4.0))
    assert trace.places[:, 0] == pytest.approx(100.0 + 4.0 * np.arange(25))
    assert np.array_equal(trace.places[:, 1:], np.tile([60.0, 412.0, 60.0, 256.0, 400.0, 0.0], (25, 1)))
    assert not trace.speeds[:, 1:].any()


@settings(max_examples=40, deadline=None)
@given(block=BLOCKS, force=st.floats(1_000.0, 20_000.0), damping=st.floats(0.0, 1.0))
def test_where_nothing_touches_places_go_on_by_the_speeds(block, force, damping):
    """At half speed an agent stays within 100 px of the board's centre, and waiter and block are in corners."""
    board = Board((), Physics(agent_force=force, damping=damping))
    state = np.array([256.0, 256.0, 470.0, 470.0, 80.0, 80.0, 0.7])
    places, speeds = board.trace_turn(state, "p1", 0.5 * block)
    # Speeds are in px a substep; the engine has them in px a second, which is rounded differently.
    assert np.abs(np.diff(places, axis=0) - speeds[:-1]).max() < 1e-9
    assert np.abs(places[0] - state).max() < 1e-9
    assert np.array_equal(places[:, 2:], np.tile(state[2:], (25, 1)))


def test_a_trace_shows_how_the_block_is_set_in_motion_before_it_moves():
    trace = Board().trace_turn(START, "p1", RIGHT)
    sets_off = int(np.flatnonzero(trace.speeds[:, 4])[0])
    assert 5 < sets_off < 20
    assert np.array_equal(trace.places[:sets_off, 4:], np.tile(START[4:], (sets_off, 1)))
    # Until it is parted from who runs into it, it has moved by less than a substep's way.
    assert abs(trace.places[sets_off, 4] - START[4]) < trace.speeds[sets_off, 4]
    assert trace.places[-1, 4] > START[4] + 40.0


def test_a_trace_leaves_what_it_is_given_as_it_was():
    state, block = START.copy(), RIGHT.copy()
    one = Board().trace_turn(state, "p2", block)
    assert np.array_equal(state, START)
    assert np.array_equal(block, RIGHT)
    assert np.array_equal(one.places, Board().trace_turn(START, "p2", RIGHT).places)


@pytest.mark.parametrize(
    ("state", "actor", "block", "message"),
    [
        (np.zeros(6), "p1", RIGHT, "board state"),
        (np.full(7, np.nan), "p1", RIGHT, "board state"),
        (START - 300.0, "p2", RIGHT, "board state"),
        ("here", "p1", RIGHT, "board state"),
        (START, "p3", RIGHT, "p1, p2"),
        (START, 0, RIGHT, "p1, p2"),
        (START, "p1", 1.01 * RIGHT, r"\[-1, 1\]"),
        (START, "p2", RIGHT[:4], "shape"),
    ],
)
def test_what_cannot_be_played_cannot_be_traced(state, actor, block, message):
    with pytest.raises(ValueError, match=message) as caught:
        Board().trace_turn(state, actor, block)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=message):  # and is refused alike
        Board().run_turn(state, actor, block)


def test_a_board_that_favours_a_seat_is_refused():
    with pytest.raises(ValueError, match="mirror"):
        Board([Pillar(100.0, 100.0, 20.0)])
    Board([Wall(100.0, 4.0, 120.0, 50.0), Wall(392.0, 4.0, 412.0, 50.0)])


def test_every_physics_option_changes_a_turn():
    other = {
        "block_scale": 1.2,
        "block_mass": 3.0,
        "block_friction": 0.1,
        "block_shape": "plus",
        "damping": 0.5,
        "agent_speed": 300.0,
        "agent_force": 4000.0,
    }
    assert set(other) == {f.name for f in dataclasses.fields(Physics)}
    # A push off the block's centre that stops halfway, so that turning, sliding and gliding all show.
    block = np.array([[1.0, 0.1], [1.0, 0.3], [1.0, 0.3], [0.0, 0.0], [0.0, 0.0]])
    state = np.array([170.0, 230.0, 412.0, 400.0, 256.0, 256.0, 0.4])
    usual = Board().run_turn(state, "p1", block)[-1]
    for name, value in other.items():
        changed = Board((), dataclasses.replace(Physics(), **{name: value})).run_turn(state, "p1", block)[-1]
        assert np.abs(changed - usual)[4:6].max() > 1.0, name
