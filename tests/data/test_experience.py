"""Played matches with all that a search asked about, and the episodes branched from them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from pushjepa.data import EpisodeStore, Experience, branch, generate
from pushjepa.data.experience import branch_episode, count_reserved
from pushjepa.data.regimes import run_turns
from pushjepa.data.store import MANIFEST, Recipe, count_held_out
from pushjepa.physics import Board
from pushjepa.physics.constants import AGENTS, TURN_STEPS
from pushjepa.relay import MATCH_TURNS, SIDES, get_stage

MATCHES = 5
COLUMNS = ("stage", "states", "actors", "blocks", "plans", "asked", "players")


def play(matches: int, seed: int = 0) -> Experience:
    """Matches on ``pillars`` in which everything asked and played is drawn at random."""
    rng, stage = np.random.default_rng(seed), get_stage("pillars")
    board, turns = Board(stage.obstacles), (matches, MATCH_TURNS)
    asked = rng.uniform(-1, 1, (*turns, 7, TURN_STEPS, 2)).astype(np.float16).astype(np.float32)
    played = rng.uniform(-1, 1, (*turns, TURN_STEPS, 2)).astype(np.float32)
    states, actors = np.empty((matches, MATCH_TURNS + 1, 7), np.float32), np.empty(turns, np.int64)
    for match in range(matches):
        start, first = stage.sample_start(rng), int(rng.integers(2))
        every, _, actors[match] = run_turns(board, start, first, MATCH_TURNS, lambda turn, *_, m=match: played[m, turn])
        states[match] = every[::TURN_STEPS]
    return Experience(
        stages=("pillars",),
        stage=np.zeros(matches, np.int64),
        states=states,
        actors=actors,
        blocks=played,
        plans=asked[:, :, 0],
        asked=asked,
        players=np.full((matches, 2), "jepa"),
        about={"model": "toy", "seed": seed},
    )


@pytest.fixture(scope="module")
def experience():
    return play(MATCHES)


@pytest.fixture
def saved(experience, tmp_path):
    experience.save(tmp_path / "experience.npz")
    return tmp_path / "experience.npz"


def places_of(experience: Experience, starts: np.ndarray) -> list[tuple[int, int]]:
    """The (match, turn) that each of some states (N, 7) is the beginning of."""
    return [tuple(np.argwhere((experience.states[:, :-1] == start).all(axis=2))[0].tolist()) for start in starts]


def test_what_is_loaded_is_what_was_saved(experience, saved):
    loaded = Experience.load(saved)
    assert (loaded.stages, loaded.about) == (experience.stages, experience.about)
    for name in COLUMNS:
        mine, theirs = getattr(experience, name), getattr(loaded, name)
        assert mine.dtype.kind == theirs.dtype.kind
        np.testing.assert_array_equal(mine, theirs)
    first = saved.read_bytes()
    Experience.load(saved).save(saved)
    assert saved.read_bytes() == first
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_a_damaged_file_gives_one_clear_line(saved):
    content = saved.read_bytes()
    for spoilt in (
        content[:-100],
        b"text",
        b"",
        content[: len(content) // 2] + b"x" * 50 + content[len(content) // 2 :],
    ):
        saved.write_bytes(spoilt)
        with pytest.raises(ValueError, match="holds no experience that can be read") as caught:
            Experience.load(saved)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "of version 99, not 'pushjepa-experience' of version 1"),
        ({"format": "songs"}, "holds 'songs'"),
        ({"stages": []}, "is damaged"),
        ({"stages": ["moon"]}, "is damaged"),
        ({"about": 3}, "is damaged"),
    ],
)
def test_a_file_of_another_kind_gives_one_clear_line(saved, change, message):
    with np.load(saved) as file:
        columns = dict(file)
    columns["header"] = np.array(json.dumps(json.loads(str(columns["header"])) | change))
    np.savez(saved, **columns)
    with pytest.raises(ValueError, match=message) as caught:
        Experience.load(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("asked", np.zeros((2, MATCH_TURNS, 3, TURN_STEPS, 2), np.float32), "asked of 5 matches has shape"),
        ("asked", np.zeros((MATCHES, MATCH_TURNS, 0, TURN_STEPS, 2), np.float32), "at least one match"),
        ("plans", np.full((MATCHES, MATCH_TURNS, TURN_STEPS, 2), 1.5, np.float32), r"lie in \[-1, 1\]"),
        ("states", np.full((MATCHES, MATCH_TURNS + 1, 7), np.nan, np.float32), "must be finite"),
        ("actors", np.zeros((MATCHES, MATCH_TURNS), np.int64), "by turns"),
        ("stage", np.ones(MATCHES, np.int64), "a stage index"),
    ],
)
def test_what_does_not_fit_is_refused(experience, name, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(experience, **{name: value})


def test_branched_turns_replay_from_the_stored_numbers(saved, tmp_path):
    episodes = branch(saved, tmp_path / "store", 20, 1, workers=1).episodes
    assert (len(episodes), episodes.turns, episodes.stages) == (20, 8, ("pillars",))
    board = Board(get_stage("pillars").obstacles)
    for i in range(20):
        episode = episodes.episode(i)
        assert episode.regime == "visited"
        for turn, actor in enumerate(episode.actors):
            start = episode.states[turn * TURN_STEPS].astype(np.float64)
            block = episode.blocks[turn, :, actor].astype(np.float64)
            steps = board.run_turn(start, AGENTS[actor], block).astype(np.float32)
            np.testing.assert_array_equal(steps, episode.states[turn * TURN_STEPS + 1 :][:TURN_STEPS])


def test_branches_start_in_matches_and_ask_what_was_asked(experience, saved, tmp_path):
    """60 turns is six more than a match has: beyond its end, the last turns of the same side go on."""
    episodes = branch(saved, tmp_path / "store", 40, 1, steps=60, workers=1).episodes
    places, repeated = set(), []
    for i in range(40):
        episode = episodes.episode(i)
        match, first = places_of(experience, episode.states[:1])[0]
        places.add((match, first))
        assert episode.actors.tolist() == [(experience.actors[match, first] + k) % len(SIDES) for k in range(12)]
        for k, actor in enumerate(episode.actors):
            at = first + k if first + k < MATCH_TURNS else MATCH_TURNS - 1 - (first + k - MATCH_TURNS + 1) % 2
            assert experience.actors[match, at] == actor
            block = episode.blocks[k, :, actor]
            asked = (experience.asked[match, at] == block).all(axis=(1, 2)).any()
            repeated.append(not asked)
            assert asked or (experience.blocks[match, at] == block).all()
    assert len(places) > 20
    assert 0.04 < np.mean(repeated) < 0.18


def test_workers_and_interruptions_change_no_byte(saved, tmp_path):
    branch(saved, tmp_path / "one", 260, 2, steps=5, workers=1)
    branch(saved, tmp_path / "two", 260, 2, steps=5, workers=2)
    (tmp_path / "one" / "shard-00001.npz").unlink()
    branch(saved, tmp_path / "one", 260, 2, steps=5, workers=1)
    one, two = ({f.name: f.read_bytes() for f in sorted((tmp_path / n).iterdir())} for n in ("one", "two"))
    assert one == two


def test_the_manifest_says_what_was_branched(experience, saved, tmp_path):
    store = branch(saved, tmp_path / "store", 2, 1, steps=5, workers=1)
    content = json.loads((tmp_path / "store" / MANIFEST).read_text())
    assert content["regimes"] == {"visited": 1.0}
    assert content["visited"]["about"] == experience.about
    assert content["visited"]["reserved"] == 1
    assert EpisodeStore(tmp_path / "store").recipe == store.recipe


def test_a_recipe_makes_the_round_trip():
    usual = Recipe(3, 5, 0, ("open",))
    assert "visited" not in usual.to_dict()
    assert Recipe.from_dict(usual.to_dict()) == usual
    visited = dataclasses.replace(usual, visited={"sha256": "0", "about": {}})
    assert Recipe.from_dict(visited.to_dict()) == visited
    for wrong in (usual.to_dict() | {"regimes": {"visited": 1.0}}, visited.to_dict() | {"regimes": usual.regimes}):
        with pytest.raises(ValueError, match="a mixture of other regimes"):
            Recipe.from_dict(wrong)


def test_other_episodes_do_not_mix(experience, saved, tmp_path):
    store = tmp_path / "store"
    branch(saved, store, 2, 1, steps=5, workers=1)
    with pytest.raises(ValueError, match=r"with regimes \{'visited': 1.0\}, not"):
        generate(store, 2, 5, 1, ["pillars"], workers=1)
    dataclasses.replace(experience, about={"model": "another"}).save(saved)
    with pytest.raises(ValueError, match="holds episodes made with visited"):
        branch(saved, store, 2, 1, steps=5, workers=1)
    generate(tmp_path / "usual", 2, 5, 1, ["pillars"], workers=1)
    with pytest.raises(ValueError, match=r"not \{'visited': 1.0\}; choose another folder"):
        branch(saved, tmp_path / "usual", 2, 1, steps=5, workers=1)


@pytest.mark.parametrize(("steps", "latest"), [(5, 9), (40, 2), (50, 0), (55, 9)])
def test_an_episode_starts_where_the_match_lasts_as_long_if_it_can(experience, steps, latest):
    recipe = Recipe(80, steps, 1, ("pillars",), visited={})
    starts = np.stack([branch_episode(experience, recipe, i).states[0] for i in range(80)])
    turns = {turn for _, turn in places_of(experience, starts)}
    assert turns == set(range(latest + 1))


def test_only_the_first_turn_was_asked_at_its_position(experience):
    recipe = Recipe(40, 40, 1, ("pillars",), visited={})
    visited = {state.tobytes() for state in experience.states.reshape(-1, 7)}
    branches = [branch_episode(experience, recipe, i).boundaries for i in range(40)]
    assert all(states[0].tobytes() in visited for states in branches)
    # One in ten begins with what was played, which leads on in the match.
    assert np.mean([states[1].tobytes() in visited for states in branches]) < 0.3
    assert not any(states[-1].tobytes() in visited for states in branches)


def test_the_last_episodes_start_in_matches_of_their_own(experience):
    recipe = Recipe(200, 5, 1, ("pillars",), visited={})
    starts = np.stack([branch_episode(experience, recipe, i).states[0] for i in range(200)])
    matches = np.array([match for match, _ in places_of(experience, starts)])
    split = 200 - count_held_out(200)
    assert set(matches[split:].tolist()) == {4}
    assert set(matches[:split].tolist()) == {0, 1, 2, 3}


def test_how_much_is_held_out():
    assert [count_held_out(episodes) for episodes in (1, 99, 100, 100_000)] == [1, 1, 2, 2000]
    assert [count_reserved(matches) for matches in (2, 50, 51, 400)] == [1, 1, 2, 8]


def test_a_single_match_cannot_be_branched(tmp_path):
    play(1).save(tmp_path / "one.npz")
    with pytest.raises(ValueError, match="has only one; play more with pushjepa selfplay") as caught:
        branch(tmp_path / "one.npz", tmp_path / "store", 2, 1, workers=1)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_from_the_command_line(command, saved, tmp_path):
    store = str(tmp_path / "store")
    branched = ["generate", "--visited", str(saved), "--episodes", "2", "--workers", "1", "--out", store]
    assert command(*branched)[0] == 0
    assert EpisodeStore(store).recipe.regimes == {"visited": 1.0}
    code, _, err = command(*branched, "--stage", "gate")
    assert (code, "leave --stage out" in err) == (2, True)
    code, _, err = command("generate", "--visited", str(tmp_path / "none.npz"), "--out", store)
    assert (code, "make some with pushjepa selfplay" in err) == (2, True)
