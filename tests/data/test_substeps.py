"""Turns played again substep by substep: what they hold, what is drawn from them, and how that is mirrored."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pushjepa.data import Episodes, Windows, make_episode, make_recipe
from pushjepa.data import substeps as module
from pushjepa.data.regimes import Episode, run_turns
from pushjepa.data.shifted import make_shifted_episodes
from pushjepa.data.substeps import (
    Substeps,
    draw_substeps,
    mirror_places,
    mirror_speeds,
    motors_alone,
    trace_episodes,
)
from pushjepa.physics import Board, Physics, mirror_block, mirror_state, wrap_angle
from pushjepa.relay.stages import STAGES

RECIPE = make_recipe(60, 20, 2)
SIGNS = [(-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)]
BLOCKS = arrays(np.float64, (5, 2), elements=st.floats(-1, 1))
UNIT = arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=32))
CHOICES = arrays(np.float32, (6, 2), elements=st.sampled_from([-1.0, 1.0]))


@pytest.fixture(scope="module")
def episodes() -> Episodes:
    return Episodes.of([make_episode(RECIPE, i) for i in range(60)], RECIPE.stages)


@pytest.fixture(scope="module")
def traced(episodes: Episodes) -> Substeps:
    return trace_episodes(episodes, seed=1, workers=1)


def play(start: list[float], block: list[list[float]]) -> Episode:
    """One turn of p1 on the open board."""
    states, blocks, actors = run_turns(Board(), np.array(start), 0, 1, lambda *_: np.array(block))
    return Episode(states, blocks, actors, "open", "near_t", Physics())


def from_its_side(state: np.ndarray, actor: int) -> np.ndarray:
    """A state (..., 7) with the actor named first."""
    return mirror_state(state.astype(np.float64)).astype(np.float32) if actor else state


def keys(episodes: Episodes, episode: np.ndarray, turn: np.ndarray) -> list[bytes]:
    """What tells turns apart: the episode, and where the turn starts and what is done in it, from the actor's side."""
    found = []
    for e, t in zip(episode, turn, strict=True):
        actor = int(episodes.actors[e, t])
        block = episodes.blocks[e, t, :, actor]
        block = mirror_block(block).astype(np.float32) if actor else block
        found.append(bytes([e]) + from_its_side(episodes.boundaries[e, t], actor).tobytes() + (block + 0.0).tobytes())
    return found


def keys_of(traced: Substeps) -> list[bytes]:
    rows = zip(traced.episode, traced.places[:, 0], traced.blocks, strict=True)
    return [bytes([e]) + start.tobytes() + (block + 0.0).tobytes() for e, start, block in rows]


def same(one: object, other: object) -> bool:
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))  # type: ignore[arg-type]


# What the motors alone do.


@given(
    block=BLOCKS,
    speed=st.floats(50.0, 600.0),
    force=st.floats(1_000.0, 20_000.0),
    damping=st.sampled_from([0.0, 0.001, 0.02, 0.5, 1.0]),
)
def test_the_motors_alone_move_who_is_far_from_everything_as_the_simulator_does(
    block: np.ndarray, speed: float, force: float, damping: float
) -> None:
    """At 0.3 of its speed an agent stays within 90 px of the board's centre; waiter and block are in corners."""
    physics = Physics(agent_speed=speed, agent_force=force, damping=damping)
    state = np.array([256.0, 256.0, 470.0, 470.0, 80.0, 80.0, 0.7])
    trace = Board((), physics).trace_turn(state, "p1", 0.3 * block)
    places, speeds = state[None], np.zeros((1, 7))
    for number, action in enumerate(np.repeat(0.3 * block, 5, axis=0)):
        places, speeds = motors_alone(places, speeds, action[None], physics)
        np.testing.assert_allclose(places[0], trace.places[number], atol=1e-6)
        np.testing.assert_allclose(speeds[0], trace.speeds[number], atol=1e-6)


def test_motors_gain_speed_brake_and_let_the_block_glide_as_the_laws_have_it() -> None:
    """The standard laws: 8 px a substep at most, changed by at most 4.8 px; 0.02 ** 0.02 of a speed remains."""
    kept = 0.02**0.02
    places = np.array([[100.0, 100.0, 300.0, 100.0, 256.0, 256.0, 1.0]])
    speeds = np.array([[0.0, 0.0, 0.0, 8.0, 3.0, -1.0, 0.1]])
    given_speeds = speeds.copy()
    moved, after = motors_alone(places, speeds, np.array([[1.0, 0.0]]), Physics())
    assert moved[0] == pytest.approx([100.0, 100.0, 300.0, 108.0, 259.0, 255.0, 1.1])
    assert after[0] == pytest.approx([4.8, 0.0, 0.0, 8.0 * kept - 4.8, 3.0 * kept, -kept, 0.1 * kept])
    assert np.array_equal(speeds, given_speeds)
    _, last = motors_alone(moved, after, np.array([[1.0, 0.0]]), Physics())
    assert last[0, :4] == pytest.approx([8.0, 0.0, 0.0, 0.0])
    # A force has one length, whatever its direction: aslant each part grows by less.
    _, aslant = motors_alone(places, 0.0 * speeds, np.array([[1.0, -1.0]]), Physics())
    assert aslant[0, :2] == pytest.approx([4.8 / 2**0.5, -4.8 / 2**0.5])
    assert not aslant[0, 2:].any()


# Turns that are played again.


def test_every_turn_in_which_something_happens_is_traced_and_some_others(episodes: Episodes, traced: Substeps) -> None:
    windows = Windows(episodes, history=1)
    wanted = windows.moved | windows.blocked | windows.jostled
    found = set(keys_of(traced))
    assert set(keys(episodes, windows.episode[wanted], windows.turn[wanted])) <= found
    quiet = keys(episodes, windows.episode[~wanted], windows.turn[~wanted])
    assert 20 < wanted.sum() < len(windows) - 20
    assert 0.02 < np.mean([key in found for key in quiet]) < 0.25
    assert found <= set(keys(episodes, windows.episode, windows.turn))
    assert len(traced) == len(found)
    shapes = {f.name: getattr(traced, f.name).shape for f in fields(traced)}
    n = len(traced)
    assert shapes["places"] == shapes["speeds"] == (n, 26, 7)
    assert (shapes["blocks"], shapes["stage"], shapes["episode"]) == ((n, 5, 2), (n,), (n,))
    assert np.array_equal(traced.stage, episodes.stage[traced.episode])


def ends_of(episodes: Episodes, traced: Substeps) -> list[np.ndarray]:
    """By how much each traced turn's steps (5, 7) are off the stored ones."""
    windows = Windows(episodes, history=1)
    at = {key: i for i, key in enumerate(keys(episodes, windows.episode, windows.turn))}
    off = []
    for row, key in enumerate(keys_of(traced)):
        e, t = windows.episode[at[key]], windows.turn[at[key]]
        stored = from_its_side(episodes.states[e, 5 * t + 1 : 5 * t + 6], int(episodes.actors[e, t]))
        away = traced.places[row, 5::5] - stored
        away[:, 6] = wrap_angle(away[:, 6])
        off.append(np.abs(away).max())
    return off


def test_a_traced_turn_is_the_stored_one(episodes: Episodes, traced: Substeps) -> None:
    off = ends_of(episodes, traced)
    assert set(traced.stage.tolist()) == {0, 1, 2}
    assert np.mean(np.array(off) < 1e-4) > 0.99  # seen from p2's side, what single precision rounded may show
    assert not traced.speeds[:, 0].any()


def test_turns_are_traced_under_the_laws_of_their_episode() -> None:
    played, laws = make_shifted_episodes(("open", "gate"), 24, seed=3, workers=1)
    off, usual = (ends_of(played, trace_episodes(played, 1, some, workers=1)) for some in (laws, None))
    assert np.mean(np.array(off) < 1e-3) > 0.98
    assert np.mean(np.array(usual) < 1e-3) < 0.5


def test_without_laws_of_their_own_turns_are_traced_under_those_of_the_episodes(episodes: Episodes) -> None:
    slower = trace_episodes(replace(episodes, physics=Physics(agent_speed=200.0)), 1, workers=1)
    driven = np.abs(slower.speeds[:, 1:, :2]).max(axis=2)
    assert np.mean(driven <= 4.0 + 1e-3) > 0.99  # a block that springs back may add to it
    assert driven.max() > 4.0 - 1e-3


def test_workers_change_nothing(episodes: Episodes, traced: Substeps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 30)  # so that two have something to do
    reports: list[tuple[int, int]] = []
    both = trace_episodes(episodes, seed=1, workers=2, progress=lambda *done: reports.append(done))
    assert same(both, traced)
    assert [done for done, _ in reports] == [*range(30, len(traced), 30), len(traced)]
    assert {turns for _, turns in reports} == {len(traced)}


def test_the_seed_draws_the_quiet_turns(episodes: Episodes, traced: Substeps) -> None:
    assert same(trace_episodes(episodes, seed=1, workers=1), traced)
    other = set(keys_of(trace_episodes(episodes, seed=2, workers=1)))
    mine = set(keys_of(traced))
    assert mine - other
    assert other - mine


def test_agents_that_alternate_at_every_step_are_refused() -> None:
    recipe = make_recipe(2, 10, 2, acting="step")
    alternating = Episodes.of([make_episode(recipe, i) for i in range(2)], recipe.stages)
    with pytest.raises(ValueError, match="alternate at every step") as caught:
        trace_episodes(alternating, seed=1, workers=1)
    assert "\n" not in str(caught.value)


def test_a_push_is_eventful_and_free_motion_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_QUIET", 1.1)  # every turn is traced
    start = [100.0, 256.0, 412.0, 400.0, 256.0, 256.0, 0.4]
    turns = [
        play(start, [[-0.3, 1.0], [0.2, -1.0], [0.0, 0.0], [0.5, 0.5], [0.1, -0.7]]),
        play(start, [[1.0, 0.0]] * 5),
        play([100.0, 60.0, 200.0, 60.0, 256.0, 400.0, 0.0], [[1.0, 0.0]] * 5),  # at the other agent
        play([60.0, 60.0, 412.0, 400.0, 256.0, 256.0, 0.0], [[-1.0, 0.0]] * 5),  # at the wall
    ]
    traced = trace_episodes(Episodes.of(turns, tuple(STAGES)), seed=1, workers=1)
    turn, at = np.divmod(traced.eventful, 25)
    assert len(traced) == 4
    assert set(turn.tolist()) == {1, 2, 3}
    push, jostle, thrust = (traced.eventful[turn == i] % 25 for i in (1, 2, 3))
    # The first eventful substep is the one in which the block starts; before it has been at rest.
    assert not traced.speeds[1, : push[0] + 1, 4:].any()
    assert np.abs(traced.speeds[1, push[0] + 1, 4:]).max() > 0.5
    assert not traced.speeds[2, : jostle[0] + 1, 2:4].any()
    assert traced.speeds[2, jostle[0] + 1, 2] > 0.5
    # It has 40 px to go to the wall: none in the first substep, 4.8 in the second, 8 in each that follows.
    assert thrust[0] == 6
    assert traced.places[3, :7, 0] == pytest.approx([60.0, 60.0, 55.2, 47.2, 39.2, 31.2, 23.2])
    assert traced.speeds[3, 7, 0] == pytest.approx(0.0, abs=0.1)
    assert at.max() == 24


def test_what_is_not_eventful_is_what_the_motors_alone_do(traced: Substeps) -> None:
    before, after = (
        [part[:, some].reshape(-1, 7).astype(np.float64) for part in (traced.places, traced.speeds)]
        for some in (slice(None, -1), slice(1, None))
    )
    actions = np.repeat(traced.blocks, 5, axis=1).reshape(-1, 2).astype(np.float64)
    places, speeds = motors_alone(*before, actions, Physics())
    off = np.maximum(np.abs(places - after[0]).max(axis=1), np.abs(speeds - after[1]).max(axis=1))
    eventful = np.zeros(len(off), dtype=bool)
    eventful[traced.eventful] = True
    assert 0.05 < eventful.mean() < 0.7
    # Stored in single precision, whose steps are 3e-5 px wide.
    assert off[~eventful].max() < 0.01 + 1e-4
    assert off[eventful].min() > 0.01 - 1e-4


# Mirrors.


@given(unit=UNIT, sign=CHOICES)
def test_mirrored_twice_it_is_as_it_was(unit: np.ndarray, sign: np.ndarray) -> None:
    states = unit * np.float32([512] * 6 + [20]) - np.float32([0] * 6 + [10])
    given_states = states.copy()
    twice = mirror_places(mirror_places(states, sign), sign)
    assert twice.dtype == np.float32
    np.testing.assert_allclose(twice[:, :6], states[:, :6], atol=1e-3)
    np.testing.assert_allclose(wrap_angle(twice[:, 6] - states[:, 6] + 1.0), 1.0, atol=1e-5)
    assert np.array_equal(states, given_states)
    speeds = unit - np.float32(0.5)
    assert np.array_equal(mirror_speeds(mirror_speeds(speeds, sign), sign), speeds)


def test_mirrors_have_known_answers() -> None:
    states = np.tile(np.float32([100, 200, 300, 50, 256, 400, 0.5]), (4, 1))
    speeds = np.tile(np.float32([1, 2, 3, 4, 5, 6, 0.1]), (4, 1))
    sign = np.float32([(1, 1), *SIGNS])
    places, moves = mirror_places(states, sign), mirror_speeds(speeds, sign)
    left, top = [412, 200, 212, 50, 256, 400, -0.5], [100, 312, 300, 462, 256, 112, np.pi - 0.5]
    both = [412, 312, 212, 462, 256, 112, 0.5 - np.pi]
    np.testing.assert_allclose(places, np.float32([states[0], left, top, both]), atol=1e-4)
    signs = [[1] * 7, [-1, 1, -1, 1, -1, 1, -1], [1, -1, 1, -1, 1, -1, -1], [-1] * 6 + [1]]
    np.testing.assert_allclose(moves, speeds * np.float32(signs))


@given(unit=UNIT, sign=CHOICES)
def test_mirrored_speeds_lead_from_mirrored_places_to_mirrored_places(unit: np.ndarray, sign: np.ndarray) -> None:
    states = unit * np.float32([512] * 6 + [6]) - np.float32([0] * 6 + [3])
    speeds = unit[::-1] - np.float32(0.5)
    on = mirror_places(states, sign) + mirror_speeds(speeds, sign)
    off = on - mirror_places(states + speeds, sign)
    off[:, 6] = wrap_angle(off[:, 6])
    np.testing.assert_allclose(off, 0.0, atol=1e-3)


@pytest.mark.parametrize("sign", SIGNS)
def test_a_mirrored_turn_is_played_as_the_mirrored_trace(traced: Substeps, sign: tuple[float, float]) -> None:
    """Nearly: the solver takes contacts in the order of faces and corners, which a mirror reverses.

    So a hit that glances, or a block that is squeezed, may go another way.
    """
    boards = [Board(stage.obstacles) for stage in STAGES.values()]
    rows = np.arange(0, len(traced), 2)
    off = []
    for row in rows:
        signs = np.tile(np.float32(sign), (26, 1))
        wanted = mirror_places(traced.places[row], signs)
        speeds = mirror_speeds(traced.speeds[row], signs)[1:]
        block = traced.blocks[row] * np.float32(sign)
        played = boards[traced.stage[row]].trace_turn(wanted[0].astype(np.float64), "p1", block)
        away = played.places - wanted[1:]
        away[:, 6] = 40.0 * wrap_angle(away[:, 6])  # px at the block's rim
        off.append((np.abs(away).max(), np.abs(played.speeds - speeds)[:, :6].max()))
    places, moves = np.array(off).T
    assert np.median(places) < 0.01
    assert np.mean(places < 2.0) > 0.93
    assert np.mean(moves < 1.0) > 0.9


# What is drawn.


def numbered(turns: int, eventful: list[int]) -> Substeps:
    """A recording: the distance of every place from the board's centre, and every speed, is 1 + 26 turn + substep."""
    number = 1.0 + np.arange(26 * turns, dtype=np.float32).reshape(turns, 26)
    places = np.repeat(256.0 + number[..., None], 7, axis=2)
    places[..., 6] = 0.3
    actions = 1.0 + np.arange(5 * turns, dtype=np.float32).reshape(turns, 5)
    return Substeps(
        places=places,
        speeds=np.repeat(number[..., None], 7, axis=2),
        blocks=np.repeat(actions[..., None], 2, axis=2),
        stage=np.arange(turns) % 3,
        episode=7 + np.arange(turns),
        eventful=np.array(eventful, dtype=np.int64),
    )


def substeps_of(batch: module.SubstepBatch) -> np.ndarray:
    """Which substeps (B,) of the recording, counted through all turns, were drawn."""
    turn, at = np.divmod(np.abs(batch.speeds_before[:, 0]).astype(int) - 1, 26)
    return 25 * turn + at


def test_what_is_drawn_of_a_substep_belongs_together() -> None:
    batch = draw_substeps(numbered(6, [3, 30, 149]), np.random.default_rng(0), 3000, 0.3)
    turn, at = np.divmod(substeps_of(batch), 25)
    assert set(substeps_of(batch).tolist()) == set(range(150))
    first = (1 + 26 * turn + at)[:, None]
    for found, number in (
        (batch.before[:, :6] - 256, first),
        (batch.after[:, :6] - 256, first + 1),
        (batch.speeds_before, first),
        (batch.speeds_after, first + 1),
        (batch.actions, (1 + 5 * turn + at // 5)[:, None]),
    ):
        np.testing.assert_array_equal(np.abs(found), np.broadcast_to(number, found.shape))
    np.testing.assert_array_equal(batch.beat, at % 5)
    np.testing.assert_array_equal(batch.stage, turn % 3)
    np.testing.assert_array_equal(batch.episode, 7 + turn)


def test_all_of_a_substep_is_mirrored_alike() -> None:
    batch = draw_substeps(numbered(6, []), np.random.default_rng(0), 4000, 0.0)
    sign = np.sign(batch.actions)
    for found in (batch.before[:, :6] - 256, batch.after[:, :6] - 256, batch.speeds_before, batch.speeds_after):
        np.testing.assert_array_equal(np.sign(found[:, :6]), np.tile(sign, 3))
    for spin in (batch.speeds_before[:, 6], batch.speeds_after[:, 6]):
        np.testing.assert_array_equal(np.sign(spin), sign[:, 0] * sign[:, 1])
    for angle in (batch.before[:, 6], batch.after[:, 6]):
        np.testing.assert_allclose(np.cos(angle), sign[:, 1] * np.cos(0.3), atol=1e-6)
        np.testing.assert_allclose(np.sin(angle), sign[:, 0] * np.sin(0.3), atol=1e-6)
    ways, counts = np.unique(sign, axis=0, return_counts=True)
    assert len(ways) == 4
    assert np.abs(counts / 4000 - 0.25).max() < 0.03


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_the_share_of_eventful_substeps_is_as_asked(share: float) -> None:
    eventful = [1, 24, 25, 77, 149]
    drawn = substeps_of(draw_substeps(numbered(6, eventful), np.random.default_rng(1), 6000, share))
    found = np.isin(drawn, eventful)
    # Those that are drawn from all have some of them too.
    assert found.mean() == pytest.approx(share + (1 - share) * 5 / 150, abs=0.02)
    counts = np.bincount(drawn, minlength=150)
    if share:
        assert counts[eventful] == pytest.approx(np.full(5, found.sum() / 5), rel=0.2)
    if share < 1:
        assert (counts > 0).mean() > 0.95


def test_without_eventful_substeps_all_are_drawn_from() -> None:
    drawn = substeps_of(draw_substeps(numbered(2, []), np.random.default_rng(1), 5000, 0.9))
    counts = np.bincount(drawn, minlength=50)
    assert len(counts) == 50
    assert counts == pytest.approx(np.full(50, 100), abs=45)


def test_the_same_stream_draws_the_same(traced: Substeps) -> None:
    one, again, other = (draw_substeps(traced, np.random.default_rng(seed), 64, 0.5) for seed in (5, 5, 6))
    assert same(one, again)
    assert not np.array_equal(one.before, other.before)
    kinds = {f.name: getattr(one, f.name).dtype for f in fields(one)}
    assert {kinds[name] for name in ("beat", "stage", "episode")} == {np.dtype(np.int64)}
    assert {kind for name, kind in kinds.items() if name not in ("beat", "stage", "episode")} == {np.dtype(np.float32)}
