"""Closed loop in the real environment, through stable-worldmodel's World."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import asdict

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")

import h5py

from pushjepa.evaluation.pusht import evaluate_pusht
from pushjepa.planning import Budget
from pushjepa.pusht.adapters import Doubt
from pushjepa.pusht.collect import COLLECTION, CollectOptions
from pushjepa.pusht.model import save_model
from pushjepa.pusht.tasks import ExpertData, Search, make_player, play

SMALL = Search(Budget(candidates=8, iterations=2), horizon=2, receding=2)


def test_tasks_lie_on_different_steady_trajectories(expert_data):
    tasks = expert_data.draw_tasks(3, 25, 50, seed=0)
    assert len(set(tasks.episodes.tolist())) == 3
    assert expert_data.steady[tasks.episodes].all()
    assert (tasks.starts + 25 < expert_data.lengths[tasks.episodes]).all()
    again = expert_data.draw_tasks(3, 25, 50, seed=0)
    assert np.array_equal(tasks.episodes, again.episodes)
    assert np.array_equal(tasks.starts, again.starts)
    with pytest.raises(ValueError, match="4 tasks 25 steps apart need as many"):
        expert_data.draw_tasks(4, 25, 50, seed=0)


def test_the_expert_s_own_actions_reach_its_goals(expert_data):
    tasks = expert_data.draw_tasks(3, 25, 50, seed=1)
    assert play(expert_data, tasks, make_player("expert", expert_data, tasks, SMALL, 0)).solved.all()


def test_the_same_actions_lead_to_the_very_same_states(expert_data):
    """Nothing of the random scene that a reset draws is left in a task."""
    tasks, played = expert_data.draw_tasks(3, 25, 25, seed=0), []
    for _ in range(2):
        player, states = make_player("expert", expert_data, tasks, SMALL, 0), []
        act = player.get_action
        player.get_action = lambda obs, act=act, states=states: states.append(np.array(obs["state"])) or act(obs)
        play(expert_data, tasks, player)
        played.append(np.stack(states))
    assert len(played[0]) > 15, "until all are solved"
    assert np.array_equal(played[0], played[1])


def test_a_report_has_every_player_and_figure(expert_data):
    told = []
    rows = evaluate_pusht(
        expert_data,
        ["random", "expert", "oracle"],
        eval_seeds=2,
        episodes=2,
        budget=10,
        goal_offset=10,
        search=SMALL,
        progress=lambda *n: told.append(n),
    )
    assert [row["policy"] for row in rows] == ["random", "expert", "oracle"]
    assert all((row["n"], row["eval_seeds"], row["episodes"]) == (4, 2, 2) for row in rows)
    assert rows[1]["success_rate"] == 1.0
    low, high = rows[1]["success_rate_ci"]
    assert low < 1.0 == high
    assert rows[0]["replan_s_median"] is None
    assert rows[2]["replan_s_median"] > 0
    assert told[-1] == (12, 12)


def test_the_same_seed_plays_the_same(expert_data):
    tasks = expert_data.draw_tasks(2, 10, 10, seed=0)
    one, two = (make_player("oracle", expert_data, tasks, SMALL, 3) for _ in range(2))
    play(expert_data, tasks, one)
    play(expert_data, tasks, two)
    assert np.array_equal(np.array(one.past[0].actions), np.array(two.past[0].actions), equal_nan=True)


@pytest.fixture
def changed(collection, tmp_path):
    """A copy of the collection's file after a change."""

    def change(how):
        path = tmp_path / "other.h5"
        shutil.copy(collection / "pusht.h5", path)
        with h5py.File(path, "a") as file:
            how(file)
        return path

    return change


@pytest.fixture
def checkpoint(tiny_model, tmp_path):
    """The folder of a model that learned from a collection."""

    def write(**options):
        net, learned = deepcopy(tiny_model.net), asdict(CollectOptions(**options))
        save_model(net, tmp_path / "model", preset={"name": "tiny"}, data=learned, metrics={})
        return tmp_path / "model"

    return write


MEASURES = (["eval", "--player", "random", "--player", "model"], ["plan"], ["mechanisms"])


@pytest.mark.parametrize("words", MEASURES)
def test_no_model_is_measured_on_what_it_learned_from(words, checkpoint, collection, command):
    """The limit only cuts trajectories short, and a collection may grow."""
    folder = checkpoint(seed=5, episodes=2000, limit=300)
    code, out, err = command("pusht", *words, "--model", str(folder), "--data", str(collection / "pusht.h5"))
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert "both were collected with seed 5; collect others with another --seed" in err


def test_what_a_model_learned_from_is_known_by_seed_or_source(expert_data, changed):
    expert_data.refuse_seen({"seed": 6, "source": None}, "it")
    expert_data.refuse_seen({"seed": 5, "source": "theirs.h5"}, "it")
    expert_data.refuse_seen({}, "it")
    expert_data.refuse_seen({"seed": 6, "source": None, "start": {"seed": 7, "start": {}}}, "it")
    with pytest.raises(ValueError, match="collected with seed 5"):
        expert_data.refuse_seen({"seed": 6, "source": None, "start": {"seed": 7, "start": {"seed": 5}}}, "it")
    imported = CollectOptions(6, seed=5, source="theirs.h5")
    told = ExpertData(changed(lambda file: file.attrs.update({COLLECTION: json.dumps(asdict(imported))})))
    told.refuse_seen({"seed": 5, "source": None}, "it")
    silent = ExpertData(changed(lambda file: file.attrs.pop(COLLECTION)))
    silent.refuse_seen({"seed": 5, "source": None}, "it")
    for data, source in ((told, "theirs.h5"), (silent, "other.h5")):
        with pytest.raises(ValueError, match=f"may hold what it learned from, which was imported from {source}"):
            data.refuse_seen({"seed": 0, "source": source}, "it")


@pytest.mark.parametrize("said", [None, "nonsense", '{"colour": "red"}', "[]"])
def test_a_file_that_does_not_tell_is_used_with_a_warning(said, changed, checkpoint, collection, command):
    def silence(file):
        file.attrs.pop(COLLECTION)
        if said is not None:
            file.attrs[COLLECTION] = said

    assert ExpertData(collection / "pusht.h5").collection == CollectOptions(6, seed=5, limit=150)
    path = changed(silence)
    assert ExpertData(path).collection is None
    if said is None:
        words = ["--model", str(checkpoint(seed=5)), "--data", str(path), "--episodes", "1"]
        code, _, err = command("pusht", "mechanisms", *words)
        assert code == 0, err
        assert f"warning: {path} does not say how it was collected" in err


def test_columns_that_are_not_needed_may_be_missing(expert_data, changed):
    """As importing has it. What World is given is what stable-worldmodel's own reader gives."""
    from stable_worldmodel.data.formats.hdf5 import HDF5Dataset

    def strip(file):
        file["episode_idx"] = np.repeat(np.arange(6), file["ep_len"][:])
        for name in ("ep_len", "ep_offset", "proprio", "steady"):
            del file[name]

    bare = ExpertData(changed(strip))
    assert np.array_equal(bare.offsets, expert_data.offsets)
    assert bare.steady.all()
    rows = np.array([4, 1]), np.array([3, 0]), np.array([20, 17])
    theirs = HDF5Dataset(path=expert_data.path, keys_to_load=list(expert_data.column_names)).load_chunk(*rows)
    for data in (expert_data, bare):
        for ours, wanted in zip(data.load_chunk(*rows), theirs, strict=True):
            assert ours.keys() == wanted.keys()
            for name, values in ours.items():
                assert values.dtype == wanted[name].dtype
                assert np.array_equal(values, wanted[name])
    tasks = bare.draw_tasks(2, 20, 25, seed=0)
    assert play(bare, tasks, make_player("expert", bare, tasks, SMALL, 0)).solved.all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file.pop("state"), "lacks the column 'state'; it holds action, ep_len"),
        (lambda file: file.pop("action"), "lacks the column 'action'"),
        (lambda file: file.pop("pixels"), "lacks the column 'pixels'"),
        (lambda file: file.pop("ep_len"), r"lacks the column 'ep_len' \(or 'episode_idx'\)"),
        (lambda file: file["ep_len"].write_direct(np.full(6, 3, dtype=np.int32)), "do not fill its"),
    ],
)
def test_a_column_that_is_needed_is_named(change, said, changed):
    path = changed(change)
    with pytest.raises(ValueError, match=said) as refused:
        ExpertData(path)
    assert "\n" not in str(refused.value)


def test_bad_input_is_one_line(expert_data, tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        ExpertData(tmp_path / "none.h5")
    with pytest.raises(ValueError, match="unknown player 'nobody'"):
        evaluate_pusht(expert_data, ["nobody"])
    with pytest.raises(ValueError, match="budget must be at least 1"):
        evaluate_pusht(expert_data, ["random"], budget=0)
    with pytest.raises(ValueError, match="doubt is for the players model and model"):
        evaluate_pusht(expert_data, ["random", "prior"], search=Search(doubt=Doubt()))
