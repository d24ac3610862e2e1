from dataclasses import replace

import numpy as np
import pytest

from pushjepa.data import (
    Episode,
    Episodes,
    Windows,
    draw_states,
    draw_windows,
    make_episode,
    make_recipe,
    make_scenes,
    mirror_window,
)
from pushjepa.data.windows import BLOCKED, JOSTLED, MOVED, check_flippable
from pushjepa.physics import Board, Physics, Pillar, mirror_state
from pushjepa.relay import STAGES, Match, MatchSetup, last_history

STAGE_NAMES = tuple(STAGES)


@pytest.fixture(scope="module")
def episodes():
    recipe = make_recipe(60, 40, 2)
    return Episodes.of([make_episode(recipe, i) for i in range(60)], STAGE_NAMES)


@pytest.mark.parametrize(("history", "targets"), [(3, 1), (3, 5), (1, 1), (12, 2), (2, 8)])
def test_every_window_is_what_last_history_gives(episodes, history, targets):
    windows = Windows(episodes, history, targets)
    assert len(windows) == len(episodes) * (9 - targets)
    batch = windows.at(np.arange(len(windows)))
    for i in range(0, len(windows), 7):
        e, now = windows.episode[i], windows.turn[i]
        context = last_history(
            episodes.boundaries[e, : now + 1], episodes.blocks[e, :now], episodes.actors[e, :now], history
        )
        np.testing.assert_array_equal(batch.states[i, :history], context.items)
        np.testing.assert_array_equal(batch.blocks[i, : history - 1], context.blocks)
        np.testing.assert_array_equal(batch.actors[i, : history - 1], context.actors)
        np.testing.assert_array_equal(batch.states[i, history:], episodes.boundaries[e, now + 1 : now + 1 + targets])
        np.testing.assert_array_equal(batch.blocks[i, history - 1 :], episodes.blocks[e, now : now + targets])
        np.testing.assert_array_equal(batch.actors[i, history - 1 :], episodes.actors[e, now : now + targets])
        assert batch.stage[i] == episodes.stage[e]
        # Between two boundaries lie the five stored steps; the last of them is the next boundary, padding included.
        np.testing.assert_array_equal(batch.steps[i, :, -1], batch.states[i, 1:])
        np.testing.assert_array_equal(batch.steps[i, history - 1], episodes.states[e, 5 * now + 1 : 5 * now + 6])


class Watcher:
    """A policy that only looks: being asked to act fails the test."""

    sees = "frames"
    frame_size = 48

    def act(self, observation, rng):
        pytest.fail("it was asked to act")


def test_training_windows_equal_what_play_shows():
    """The same match, once as the runtime would see it turn by turn and once as training windows."""
    rng = np.random.default_rng(8)
    match = Match(MatchSetup("pillars", 5, first="p2"))
    seen = []
    for _ in range(8):
        seen.append(match.observation(Watcher()))
        match.play(rng.uniform(-1, 1, (5, 2)).astype(np.float32).astype(np.float64))
    states = np.repeat(np.array(match.states, dtype=np.float32), 5, axis=0)[:41]
    played = Episode(states, match.joint_blocks(), np.array(match.actors, np.int8), "pillars", "near_t", Physics())
    windows = Windows(Episodes.of([played], STAGE_NAMES))
    batch = windows.at(np.arange(8))
    frames = draw_windows(batch, make_scenes(STAGE_NAMES, 48))
    for turn, observation in enumerate(seen):
        context = last_history(observation.frames, observation.blocks, observation.actors, 3)
        np.testing.assert_array_equal(batch.blocks[turn, :2], context.blocks)
        np.testing.assert_array_equal(batch.actors[turn, :2], context.actors)
        # Stored states are float32: an edge may fall on the other side of a 1/32 pixel.
        difference = np.abs(frames[turn, :3].astype(int) - context.items.astype(int))
        assert difference.max() <= 16
        assert (difference > 0).mean() < 0.001


def test_the_cached_frame_index_names_the_state(episodes):
    batch = Windows(episodes).sample(np.random.default_rng(0), 200)
    np.testing.assert_array_equal(episodes.boundaries.reshape(-1, 7)[batch.frame], batch.states)


def test_moved_windows_can_be_asked_for(episodes):
    windows = Windows(episodes)
    rng = np.random.default_rng(0)

    def share(batch):
        travel = batch.states[:, 3, 4:6] - batch.states[:, 2, 4:6]
        return (np.hypot(travel[:, 0], travel[:, 1]) > MOVED).mean()

    plain = share(windows.sample(rng, 4000))
    assert plain == pytest.approx(windows.moved.mean(), abs=0.05)
    assert share(windows.sample(rng, 4000, moved=0.6)) == pytest.approx(0.6 + 0.4 * plain, abs=0.05)
    assert share(windows.sample(rng, 100, moved=1.0)) == 1.0


def test_blocked_windows_are_those_in_which_an_agent_is_stopped(episodes):
    windows = Windows(episodes)
    assert 0.01 < windows.blocked.mean() < 0.2
    assert not (windows.blocked & windows.moved).any()
    batch = windows.at(np.arange(len(windows)))
    actor = batch.actors[:, 2]
    rows = np.arange(len(batch))
    before, after = (batch.states[:, k, :4].reshape(-1, 2, 2)[rows, actor] for k in (2, 3))
    told = before + 40.0 * batch.blocks[rows, 2, :, actor].sum(axis=1)
    off = np.hypot(*(after - told).T)
    np.testing.assert_array_equal(windows.blocked, (off > BLOCKED) & ~windows.moved)
    # An agent that nothing stops is not blocked: far from all, it ends where it was told but for its lag.
    assert np.median(off[~windows.blocked & ~windows.moved]) < 10.0


def test_blocked_windows_can_be_asked_for(episodes):
    windows = Windows(episodes)
    rows = windows.sample(np.random.default_rng(0), 4000, moved=0.3, blocked=0.5)
    travel = rows.states[:, 3, 4:6] - rows.states[:, 2, 4:6]
    moved = np.hypot(travel[:, 0], travel[:, 1]) > MOVED
    assert moved.mean() == pytest.approx(0.3 + 0.2 * windows.moved.mean(), abs=0.05)
    actor = rows.actors[:, 2]
    went = np.hypot(*(rows.states[:, 3] - rows.states[:, 2])[:, :4].reshape(-1, 2, 2)[np.arange(4000), actor].T)
    told = np.hypot(*(40.0 * rows.blocks[np.arange(4000), 2, :, actor].sum(axis=1)).T)
    assert ((told - went > 15.0) & ~moved).mean() > 0.25


def test_windows_in_which_the_waiting_agent_is_pushed_can_be_asked_for(episodes):
    windows = Windows(episodes)

    def pushed(batch):
        rows, waiter = np.arange(len(batch)), 1 - batch.actors[:, 2]
        went = (batch.states[:, 3] - batch.states[:, 2])[:, :4].reshape(-1, 2, 2)[rows, waiter]
        return np.hypot(*went.T) > JOSTLED

    np.testing.assert_array_equal(windows.jostled, pushed(windows.at(np.arange(len(windows)))))
    assert 0.01 < windows.jostled.mean() < 0.4
    drawn = windows.sample(np.random.default_rng(0), 4000, moved=0.2, blocked=0.2, jostled=0.5)
    assert pushed(drawn).mean() > 0.5
    travel = drawn.states[:, 3, 4:6] - drawn.states[:, 2, 4:6]
    assert (np.hypot(*travel.T) > MOVED).mean() > 0.2, "each share is drawn"


def test_sampling_is_a_function_of_the_generator(episodes):
    windows = Windows(episodes)
    one, two = (windows.sample(np.random.default_rng(1), 64, moved=0.5, mirror=True) for _ in range(2))
    np.testing.assert_array_equal(one.states, two.states)
    assert 0.2 < one.mirrored.mean() < 0.8


def test_sampling_does_not_write_into_the_episodes(episodes):
    before = episodes.blocks.copy()
    Windows(episodes, history=4).at(np.arange(8)).blocks[:] = 7.0
    np.testing.assert_array_equal(episodes.blocks, before)


def test_a_mirrored_window_plays_as_the_mirrored_turn(episodes):
    windows = Windows(episodes)
    batch = windows.at(np.arange(0, len(windows), 9))
    mirrored = mirror_window(batch)
    np.testing.assert_allclose(mirrored.states, mirror_state(batch.states), atol=1e-4)
    np.testing.assert_array_equal(mirrored.steps[:, :, -1], mirrored.states[:, 1:])
    close = []
    for i in range(len(batch)):
        actor = mirrored.actors[i, 2]
        assert actor == 1 - batch.actors[i, 2]
        board = Board(STAGES[STAGE_NAMES[mirrored.stage[i]]].obstacles)
        end = board.run_turn(mirrored.states[i, 2], ("p1", "p2")[actor], mirrored.blocks[i, 2, :, actor])[-1]
        assert not mirrored.blocks[i, 2, :, 1 - actor].any()
        close.append(np.abs(end - mirrored.states[i, 3])[:6].max() < 0.5)
    assert np.mean(close) > 0.97


def test_every_stage_of_the_game_is_the_same_upside_down_and_others_are_refused(monkeypatch):
    check_flippable(tuple(STAGES))
    lopsided = replace(STAGES["open"], name="lopsided", obstacles=(Pillar(256.0, 100.0, 20.0),))
    monkeypatch.setitem(STAGES, "lopsided", lopsided)
    with pytest.raises(ValueError, match="lopsided is not the same upside down"):
        check_flippable(("open", "lopsided"))


def test_mirroring_twice_is_nothing_and_padding_stays(episodes):
    batch = Windows(episodes).sample(np.random.default_rng(3), 300)
    rows = np.arange(300) % 3 == 0
    once = mirror_window(batch, rows)
    np.testing.assert_array_equal(once.states[~rows], batch.states[~rows])
    np.testing.assert_array_equal(once.actors == -1, batch.actors == -1)
    np.testing.assert_array_equal(once.mirrored, rows)
    again = mirror_window(once, rows)
    np.testing.assert_allclose(again.states, batch.states, atol=1e-4)
    np.testing.assert_array_equal(again.blocks, batch.blocks)
    np.testing.assert_array_equal(again.actors, batch.actors)


def test_frames_are_drawn_on_the_right_stage(episodes):
    scenes = make_scenes(STAGE_NAMES, 32)
    batch = Windows(episodes).sample(np.random.default_rng(4), 6)
    frames = draw_windows(batch, scenes)
    assert frames.shape == (6, 4, 32, 32, 3)
    for i in range(6):
        np.testing.assert_array_equal(frames[i, 1], scenes[batch.stage[i]].draw(batch.states[i, 1]))
    np.testing.assert_array_equal(draw_states(batch.states[:, 1], batch.stage, scenes), frames[:, 1])


@pytest.mark.parametrize(("history", "targets"), [(0, 1), (3, 0), (3, 9)])
def test_bad_lengths(episodes, history, targets):
    with pytest.raises(ValueError, match="1 to 8 targets"):
        Windows(episodes, history, targets)
