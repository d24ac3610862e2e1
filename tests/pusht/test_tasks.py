"""Closed loop in the real environment, through stable-worldmodel's World."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")

from pushjepa.evaluation.pusht import evaluate_pusht
from pushjepa.planning import Budget
from pushjepa.pusht.tasks import ExpertData, Search, make_player, play

SMALL = Search(Budget(candidates=8, iterations=2), horizon=2, receding=2)


@pytest.fixture(scope="module")
def data(collection):
    return ExpertData(collection / "pusht.h5")


def test_tasks_lie_on_different_steady_trajectories(data):
    tasks = data.draw_tasks(3, 25, 50, seed=0)
    assert len(set(tasks.episodes.tolist())) == 3
    assert data.steady[tasks.episodes].all()
    assert (tasks.starts + 25 < data.lengths[tasks.episodes]).all()
    again = data.draw_tasks(3, 25, 50, seed=0)
    assert np.array_equal(tasks.episodes, again.episodes)
    assert np.array_equal(tasks.starts, again.starts)
    with pytest.raises(ValueError, match="4 tasks 25 steps apart need as many"):
        data.draw_tasks(4, 25, 50, seed=0)


def test_the_expert_s_own_actions_reach_its_goals(data):
    tasks = data.draw_tasks(3, 25, 50, seed=1)
    assert play(data, tasks, make_player("expert", data, tasks, SMALL, 0)).solved.all()


def test_the_same_actions_lead_to_the_very_same_states(data):
    """Nothing of the random scene that a reset draws is left in a task."""
    tasks, played = data.draw_tasks(3, 25, 25, seed=0), []
    for _ in range(2):
        player, states = make_player("expert", data, tasks, SMALL, 0), []
        act = player.get_action
        player.get_action = lambda obs, act=act, states=states: states.append(np.array(obs["state"])) or act(obs)
        play(data, tasks, player)
        played.append(np.stack(states))
    assert len(played[0]) > 15, "until all are solved"
    assert np.array_equal(played[0], played[1])


def test_a_report_has_every_player_and_figure(data):
    told = []
    rows = evaluate_pusht(
        data,
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


def test_the_same_seed_plays_the_same(data):
    tasks = data.draw_tasks(2, 10, 10, seed=0)
    one, two = (make_player("oracle", data, tasks, SMALL, 3) for _ in range(2))
    play(data, tasks, one)
    play(data, tasks, two)
    assert np.array_equal(np.array(one.past[0].actions), np.array(two.past[0].actions), equal_nan=True)


def test_bad_input_is_one_line(data, collection, tmp_path):
    h5py = pytest.importorskip("h5py")
    with pytest.raises(ValueError, match="no such file"):
        ExpertData(tmp_path / "none.h5")
    shutil.copy(collection / "pusht.h5", tmp_path / "lame.h5")
    with h5py.File(tmp_path / "lame.h5", "a") as file:
        del file["state"]
    with pytest.raises(ValueError, match="lacks the column 'state'"):
        ExpertData(tmp_path / "lame.h5")
    with pytest.raises(ValueError, match="unknown player 'nobody'"):
        evaluate_pusht(data, ["nobody"])
    with pytest.raises(ValueError, match="budget must be at least 1"):
        evaluate_pusht(data, ["random"], budget=0)
