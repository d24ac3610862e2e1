"""Episodes in which the agents alternate at every env step, and that ordinary ones are as they were before these."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path

import numpy as np
import pytest

from pushjepa.data import Episodes, EpisodeStore, Recipe, Windows, generate, make_episode, make_recipe, mirror_window
from pushjepa.data.export import _columns
from pushjepa.data.joining import join_episodes
from pushjepa.data.regimes import Episode, run_turns, simulate_episode, step_actors
from pushjepa.data.store import MANIFEST
from pushjepa.data.windows import BLOCKED, JOSTLED, flip_window
from pushjepa.physics import Board, Physics
from pushjepa.physics.constants import AGENTS
from pushjepa.relay.stages import STAGES

SHARD = "shard-00000.npz"
RECIPE = make_recipe(60, 40, 2, acting="step")
#: Of the columns of the store of 20 ordinary episodes of 10 steps with seed 1, before there was another way of acting.
BEFORE = "51e1ab6c94aaa2c4331832f367d2e7514fc704beff797aca732f0d39d148b946"


@pytest.fixture(scope="module")
def episodes() -> Episodes:
    return Episodes.of([make_episode(RECIPE, i) for i in range(60)], RECIPE.stages)


@pytest.fixture(scope="module")
def boards() -> dict[str, Board]:
    return {name: Board(stage.obstacles) for name, stage in STAGES.items()}


def digest(file: Path) -> str:
    """SHA-256 of the columns of a shard; their compressed bytes are zlib's business."""
    whole = hashlib.sha256()
    with np.load(file) as columns:
        for name in columns.files:
            column = columns[name]
            whole.update(f"{name} {column.dtype} {column.shape}".encode() + column.tobytes())
    return whole.hexdigest()


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="elsewhere the last bits of a float may differ"
)
def test_ordinary_stores_are_as_they_were(tmp_path: Path) -> None:
    generate(tmp_path, episodes=20, steps=10, seed=1, workers=1)
    assert digest(tmp_path / SHARD) == BEFORE
    assert "acting" not in json.loads((tmp_path / MANIFEST).read_text())


def test_who_acts_in_each_step() -> None:
    assert step_actors(np.array([0, 1]), "step").tolist() == [[0, 1, 0, 1, 0], [1, 0, 1, 0, 1]]
    assert step_actors(np.array([0, 1]), "turn").tolist() == [[0] * 5, [1] * 5]


def test_only_the_agent_whose_step_it_is_has_commands(episodes: Episodes) -> None:
    who = step_actors(episodes.actors, "step")  # (N, T, 5)
    waiting = np.take_along_axis(episodes.blocks, (1 - who)[..., None, None], axis=3)
    assert not waiting.any()
    # Both act in most blocks, and from one block to the next it goes on alternating.
    assert (episodes.blocks.any(axis=(2, 4)).all(axis=2)).mean() > 0.7
    assert (np.diff(who.reshape(len(episodes), -1), axis=1) != 0).all()


def test_both_agents_move_within_a_block(episodes: Episodes) -> None:
    travel = np.abs(np.diff(episodes.boundaries[..., :4], axis=1)).reshape(len(episodes), episodes.turns, 2, 2)
    assert ((travel.max(axis=3) > 5.0).all(axis=2)).mean() > 0.3


def test_every_stored_block_runs_again_exactly(episodes: Episodes, boards: dict[str, Board]) -> None:
    who = step_actors(episodes.actors, "step")
    for i in range(0, 60, 7):
        board = boards[episodes.stages[episodes.stage[i]]]
        for turn in range(episodes.turns):
            block = episodes.blocks[i, turn][np.arange(5), who[i, turn]]
            again = board.run_steps(episodes.boundaries[i, turn], [AGENTS[a] for a in who[i, turn]], block)
            np.testing.assert_array_equal(again.astype(np.float32), episodes.states[i, 5 * turn + 1 : 5 * turn + 6])


def test_the_store_gives_back_what_was_simulated_and_the_seed_decides(tmp_path: Path, episodes: Episodes) -> None:
    one, two = (generate(tmp_path / name, 60, 40, 2, workers=1, acting="step") for name in ("one", "two"))
    for name in (SHARD, MANIFEST):
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes()
    for name in ("states", "boundaries", "blocks", "actors", "stage", "regime"):
        np.testing.assert_array_equal(getattr(one.episodes, name), getattr(episodes, name))
    assert one.recipe == RECIPE
    assert one.recipe.to_dict()["acting"] == one.episodes.acting == one.episodes.episode(3).acting == "step"
    with np.load(one.path / SHARD) as columns:
        assert columns["actions"].shape == (60, 8, 5, 2)


@pytest.mark.parametrize(("there", "asked"), [("turn", "step"), ("step", "turn")])
def test_the_two_ways_of_acting_do_not_mix(tmp_path: Path, there: str, asked: str) -> None:
    generate(tmp_path, 2, 5, 1, workers=1, acting=there)
    with pytest.raises(ValueError, match=f"with acting {there}, not {asked}; choose another folder"):
        generate(tmp_path, 2, 5, 1, workers=1, acting=asked)
    ways = {way: make_episode(make_recipe(2, 5, 1, acting=way), 0) for way in (there, asked)}
    with pytest.raises(ValueError, match="same way of acting"):
        Episodes.of(list(ways.values()), ["open"])
    with pytest.raises(ValueError, match="same way of acting"):
        join_episodes([Episodes.of([episode], ["open"]) for episode in ways.values()])


def test_a_recipe_makes_the_round_trip_and_refuses_what_is_not() -> None:
    assert Recipe.from_dict(RECIPE.to_dict()) == RECIPE
    with pytest.raises(ValueError, match="unknown acting 'day'; choose one of turn, step"):
        make_recipe(2, 5, 1, acting="day")
    with pytest.raises(ValueError, match="unknown acting 'day'"):
        simulate_episode(np.random.default_rng(0), STAGES["open"], "near_t", 5, acting="day")
    with pytest.raises(ValueError, match="branched from matches are of whole turns"):
        make_recipe(2, 5, 1, visited={"sha256": "0"}, acting="step")


def test_a_damaged_way_of_acting_is_one_line(tmp_path: Path) -> None:
    generate(tmp_path, 2, 5, 1, workers=1, acting="step")
    file = tmp_path / MANIFEST
    file.write_text(json.dumps(json.loads(file.read_text()) | {"acting": "day"}))
    with pytest.raises(ValueError, match="is damaged"):
        EpisodeStore(tmp_path)


def test_a_window_from_the_other_seat_or_upside_down_plays_as_its_mirror_image(
    episodes: Episodes, boards: dict[str, Board]
) -> None:
    windows = Windows(episodes)
    batch = windows.at(np.arange(0, len(windows), 9))
    whole = np.ones(len(batch), dtype=bool)
    for seen in (mirror_window(batch), flip_window(batch, whole)):
        close = []
        for i in range(len(seen)):
            who = step_actors(seen.actors[i, 2], "step")
            block = seen.blocks[i, 2][np.arange(5), who]
            assert not seen.blocks[i, 2][np.arange(5), 1 - who].any()
            board = boards[episodes.stages[seen.stage[i]]]
            end = board.run_steps(seen.states[i, 2], [AGENTS[a] for a in who], block)[-1]
            close.append(np.abs(end - seen.states[i, 3])[:6].max() < 0.5)
        assert np.mean(close) > 0.95


def test_blocked_and_jostled_say_what_they_say_where_both_act(episodes: Episodes) -> None:
    windows = Windows(episodes)
    rows = np.arange(len(windows))
    batch = windows.at(rows)
    before, after = (batch.states[:, k, :4].reshape(-1, 2, 2) for k in (2, 3))
    off = np.linalg.norm(after - before - 40.0 * batch.blocks[:, 2].sum(axis=1), axis=2)  # (W, agents)
    np.testing.assert_array_equal(windows.blocked, (off.max(axis=1) > BLOCKED) & ~windows.moved)
    assert 0.01 < windows.blocked.mean() < 0.2
    first = batch.steps[:, 2, 0, :4].reshape(-1, 2, 2)
    pushed = np.linalg.norm(first - before, axis=2)[rows, 1 - batch.actors[:, 2]] > JOSTLED
    np.testing.assert_array_equal(windows.jostled, pushed)
    assert 0.01 < windows.jostled.mean() < 0.2


def test_in_the_open_nobody_is_blocked_or_jostled(boards: dict[str, Board]) -> None:
    """Both drive up and down at full speed, one at each side of the board: each starts and brakes at every step."""
    start, down = np.array([60.0, 100.0, 452.0, 250.0, 256.0, 256.0, 0.0]), np.tile([0.0, 1.0], (5, 1))
    behave = lambda turn, state, actor: down if (turn % 2 == 0) == (actor == 0) else -down  # noqa: E731
    states, blocks, actors = run_turns(boards["open"], start, 0, 8, behave, "step")
    episode = Episode(states, blocks, actors, "open", "near_t", Physics(), "step")
    windows = Windows(Episodes.of([episode], ["open"]))
    assert np.abs(np.diff(episode.boundaries[:, [1, 3]], axis=0)).min() > 60.0
    assert not windows.moved.any()
    assert not windows.blocked.any()
    assert not windows.jostled.any()


def test_exported_rows_name_who_acts_in_each_step(episodes: Episodes) -> None:
    columns = _columns(episodes.take(slice(0, 2)))
    actor = columns["actor"].reshape(2, -1)[:, :-1]
    np.testing.assert_array_equal(actor, step_actors(episodes.actors[:2], "step").reshape(2, -1))
