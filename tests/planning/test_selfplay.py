"""Matches that a world model plays, with all that its search asked about."""

from __future__ import annotations

import numpy as np
import pytest

from pushjepa.data import EpisodeStore, Experience
from pushjepa.physics.constants import TURN_STEPS
from pushjepa.planning import Budget, gather
from pushjepa.planning.selfplay import OPPONENTS_OF_EXPERIENCE, ORACLE_BUDGET
from pushjepa.relay import MATCH_TURNS
from pushjepa.runtime.checkpoint import WEIGHTS, file_digest, resolve

TINY = {"seed": 3, "stages": ["pillars"], "budget": Budget(8, 3), "asked": 7}
OPPONENTS = ("jepa", *OPPONENTS_OF_EXPERIENCE)
MATCHES = len(OPPONENTS)
COLUMNS = ("stage", "states", "actors", "blocks", "plans", "asked", "players")


@pytest.fixture(scope="module")
def experience():
    return gather(None, MATCHES, **TINY, workers=1)


def assert_same(one: Experience, two: Experience, rows: slice = slice(None)) -> None:
    assert (one.stages, one.about) == (two.stages, two.about)
    for name in COLUMNS:
        mine, theirs = getattr(one, name)[rows], getattr(two, name)
        assert mine.dtype.kind == theirs.dtype.kind
        np.testing.assert_array_equal(mine, theirs)


def test_what_is_recorded(experience):
    assert len(experience) == MATCHES
    assert experience.states.shape == (MATCHES, MATCH_TURNS + 1, 7)
    assert experience.asked.shape == (MATCHES, MATCH_TURNS, 7, TURN_STEPS, 2)
    opponents = [set(pair) - {"jepa"} or {"jepa"} for pair in experience.players.tolist()]
    assert opponents == [{name} for name in OPPONENTS]


def test_the_model_searches_every_turn_and_plays_its_own(experience):
    own = np.take_along_axis(experience.players == "jepa", experience.actors, axis=1)  # (M, T)
    played = (experience.blocks == experience.plans).all(axis=(2, 3))
    assert played[own].all()
    assert not played[~own].any()
    assert own[0].all()  # against itself
    assert (~own)[1:].sum(axis=1).tolist() == [MATCH_TURNS // 2] * (MATCHES - 1)


def test_no_match_and_no_turn_comes_twice(experience):
    assert len(np.unique(experience.states[:, 0], axis=0)) == MATCHES
    asked = experience.asked.reshape(MATCHES * MATCH_TURNS, -1)
    assert len(np.unique(asked, axis=0)) == len(asked)


def test_another_player_searches_at_its_own_cost(experience):
    other = gather(None, 1, **TINY, workers=1, player="jepa-margin")
    assert other.players.tolist() == [["jepa-margin", "jepa-margin"]]
    assert (other.about["player"], other.about["opponents"][0]) == ("jepa-margin", "jepa-margin")
    assert np.array_equal(other.states[0, 0], experience.states[0, 0])
    assert not np.array_equal(other.plans[0], experience.plans[0])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_match_is_a_function_of_seed_and_number(experience, workers):
    seen = []
    again = gather(None, 2, **TINY, workers=workers, progress=lambda *told: seen.append(told))
    assert_same(experience, again, slice(2))
    assert seen == [(1, 2), (2, 2)]


def test_another_seed_starts_elsewhere(experience):
    other = gather(None, 1, **TINY | {"seed": 4}, workers=1)
    assert not np.array_equal(other.states[0, 0], experience.states[0, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matches": 0}, "matches must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"stages": ["moon"]}, "unknown stage 'moon'"),
        ({"stages": []}, "each stage once"),
        ({"player": "shove"}, "'shove' gathers no experience"),
        ({"player": "jepa+prior"}, "'jepa\\+prior' gathers no experience"),
        ({"asked": 25}, "1 to 24 candidates"),
        ({"budget": Budget(8, 3, seconds=1.0)}, "depends on the machine"),
        ({"workers": 0}, "workers must be at least 1"),
    ],
)
def test_bad_options(change, message):
    with pytest.raises(ValueError, match=message):
        gather(**{"model": None, "matches": 1} | TINY | change)


def test_it_says_how_it_came_about(experience):
    assert experience.about == {
        "model": "compact",
        "weights": file_digest(resolve(None) / WEIGHTS),
        "seed": 3,
        "candidates": 8,
        "iterations": 3,
        "asked": 7,
        "player": "jepa",
        "opponents": list(OPPONENTS),
        "oracle": {"candidates": ORACLE_BUDGET.candidates, "iterations": ORACLE_BUDGET.iterations},
    }


def test_what_is_loaded_is_what_was_played(experience, tmp_path):
    experience.save(tmp_path / "experience.npz")
    assert_same(experience, Experience.load(tmp_path / "experience.npz"))


def test_from_the_command_line(command, monkeypatch, tmp_path):
    monkeypatch.setattr("pushjepa.planning.selfplay.OPPONENTS_OF_EXPERIENCE", ("shove",))
    file, store = str(tmp_path / "experience.npz"), str(tmp_path / "store")
    made = ["selfplay", "--player", "jepa-near", "--matches", "2", "--stage", "gate", "--workers", "1", "--out", file]
    assert command(*made)[0] == 0
    code, _, err = command(*made)
    assert (code, "exists already; choose another file" in err) == (2, True)
    assert command("generate", "--visited", file, "--episodes", "2", "--workers", "1", "--out", store)[0] == 0
    assert Experience.load(tmp_path / "experience.npz").players[0].tolist() == ["jepa-near", "jepa-near"]
    assert EpisodeStore(store).recipe.stages == ("gate",)
