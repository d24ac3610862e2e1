"""Tasks under other laws: goals are where the expert's own actions lead under them."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest

pytest.importorskip("pygame", reason="pygame is not installed")
pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")

from pushjepa.evaluation import pusht
from pushjepa.planning import Budget
from pushjepa.pusht.replayed import ReplayedData
from pushjepa.pusht.scene import PushTScene
from pushjepa.pusht.shifts import SHIFTS
from pushjepa.pusht.simulator import PushTPhysics, Simulator
from pushjepa.pusht.tasks import Outcome, Search, make_player, play

SMALL = Search(Budget(candidates=4, iterations=1), horizon=2, receding=2)


def load(data, tasks):
    return data.load_chunk(tasks.episodes, tasks.starts, tasks.starts + tasks.goal_offset + 1)


def test_under_the_standard_laws_it_gives_the_trajectories_back(expert_data):
    tasks = expert_data.draw_tasks(3, 25, 25, seed=0)
    ours, theirs = load(ReplayedData(expert_data, PushTPhysics()), tasks), load(expert_data, tasks)
    for mine, stored in zip(ours, theirs, strict=True):
        assert mine.keys() == stored.keys() == set(expert_data.column_names)
        assert np.array_equal(mine["action"], stored["action"], equal_nan=True)
        # A substep later, and without the last push.
        assert np.abs(np.asarray(mine["state"] - stored["state"]))[:, :4].max() < 5.0
        assert np.array_equal(mine["state"][0], stored["state"][0])
        assert np.array_equal(mine["proprio"], mine["state"][:, [0, 1, 5, 6]])
        assert np.array_equal(mine["pixels"][0], stored["pixels"][0])


def test_goals_lie_where_the_same_actions_lead(expert_data):
    tasks, physics = expert_data.draw_tasks(3, 10, 25, seed=0), SHIFTS["big-block"]
    for found, episode, start in zip(
        load(ReplayedData(expert_data, physics), tasks), tasks.episodes, tasks.starts, strict=True
    ):
        states, actions = expert_data.trajectory(episode)
        played = Simulator(physics).run(states[start], actions[start : start + 10], settle=True)
        assert np.array_equal(found["state"][1:], played)
        drawn = PushTScene(expert_data.frame_size, physics).draw(played[-1])
        assert np.array_equal(found["pixels"][-1].permute(1, 2, 0), drawn)


@pytest.mark.parametrize("shift", ["big-block", "gliding", "weak-agent", "high-friction"])
def test_the_expert_s_own_actions_reach_these_goals_in_the_environment(expert_data, shift):
    tasks, shifted = expert_data.draw_tasks(3, 25, 25, seed=1), ReplayedData(expert_data, SHIFTS[shift])
    player, seen = make_player("expert", expert_data, tasks, SMALL, 0), []
    act = player.get_action
    player.get_action = lambda obs: seen.append(obs) or act(obs)
    assert play(shifted, tasks, player).solved.all()
    goals = np.stack([chunk["state"][-1].numpy() for chunk in load(shifted, tasks)])
    assert np.array_equal(np.asarray(seen[0]["goal_state"])[:, 0], goals)
    # The environment is in the replayed states, step by step, until it stops.
    for step, moment in list(enumerate(seen))[1:]:
        rows = [chunk["state"][step].numpy() for chunk in load(shifted, tasks)]
        running = ~np.asarray(moment["terminated"])[:, 0].astype(bool) if "terminated" in moment else np.ones(3, bool)
        assert np.asarray(moment["state"])[running, 0] == pytest.approx(np.stack(rows)[running], abs=1e-3)
    assert not np.allclose(goals[:, 2:5], np.stack([chunk["state"][-1] for chunk in load(expert_data, tasks)])[:, 2:5])


def test_the_oracle_is_told_of_the_laws_and_no_model(expert_data, tiny_model):
    tasks, physics = expert_data.draw_tasks(2, 10, 10, seed=0), SHIFTS["gliding"]
    played = {}
    for name, laws in product(("oracle", "model"), (None, physics)):
        player = make_player(name, expert_data, tasks, SMALL, 0, tiny_model, physics=laws)
        play(ReplayedData(expert_data, physics), tasks, player)
        played[name, laws] = np.array([past.actions for past in player.past])
    assert np.array_equal(played["model", None], played["model", physics], equal_nan=True)
    assert not np.array_equal(played["oracle", None], played["oracle", physics], equal_nan=True)


def test_what_is_measured_is_played_under_its_law(expert_data, monkeypatch):
    told = []

    def note(data, tasks, player, films):
        told.append((data.physics, player))
        return Outcome(np.zeros(len(tasks.episodes), dtype=bool), ())

    monkeypatch.setattr(pusht, "play", note)
    monkeypatch.setattr(pusht, "make_player", lambda *settings: settings[-1])
    pusht.evaluate_pusht(expert_data, ["oracle"], eval_seeds=1, episodes=2, goal_offset=10, shifts=("none", "ell"))
    assert told == [(None, None), (SHIFTS["ell"], SHIFTS["ell"])]


def test_each_law_has_its_own_rows(expert_data, tmp_path):
    rows = pusht.evaluate_pusht(
        expert_data,
        ["still", "expert"],
        eval_seeds=1,
        episodes=2,
        goal_offset=10,
        budget=10,
        shifts=("none", "small-block"),
        video=tmp_path,
    )
    assert [(row["shift"], row["policy"]) for row in rows] == [
        ("none", "still"),
        ("none", "expert"),
        ("small-block", "still"),
        ("small-block", "expert"),
    ]
    assert rows[1]["success_rate"] == rows[3]["success_rate"] == 1.0
    assert sorted(path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*_0.mp4")) == [
        "expert",
        "small-block/expert",
        "small-block/still",
        "still",
    ]


def test_the_command_plays_under_the_laws_that_it_is_told(collection, command, tmp_path):
    words = ["--data", str(collection / "pusht.h5"), "--seeds", "1", "--episodes", "2", "--player", "expert"]
    files = ["--json", str(tmp_path / "rows.json"), "--figures", str(tmp_path)]
    code, out, err = command("pusht", "eval", *words, "--shift", "plus", "--shift", "none", *files)
    assert code == 0, err
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["shift"] for row in rows] == ["plus", "none"]
    assert "plus" in out
    assert (tmp_path / "pusht_success.png").stat().st_size > 5000
    code, out, err = command("pusht", "eval", *words, "--shift", "heavier")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "unknown shift 'heavier'; choose one of none, big-block" in err
