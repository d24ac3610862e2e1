from __future__ import annotations

import json

import pytest

from pushjepa.cli.measure import print_bench
from pushjepa.evaluation import measure_planning
from pushjepa.planning import Budget, PlanningPolicy, make_planner


def test_planning_is_timed_after_a_warm_up(pixel_model):
    done = []
    row = measure_planning(
        pixel_model(0.3), turns=3, warm_up=1, budget=Budget(6, 2), progress=lambda *n: done.append(n)
    )
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (row["stage"], row["n"], row["candidates"], row["iterations"]) == ("open", 3, 6, 2)
    assert 0 < row["plan_ms_median"] <= row["plan_ms_p95"]
    assert row["matmul_gflops"] > 0


def test_any_planner_is_timed_with_its_own_budget_or_that_of_its_name(pixel_model):
    options = {"turns": 1, "warm_up": 0}
    row = measure_planning(pixel_model(0.3), player="jepa-margin@4x1", budget=Budget(6, 2), **options)
    assert (row["player"], row["candidates"], row["iterations"]) == ("jepa-margin@4x1", 4, 1)
    row = measure_planning(pixel_model(0.3), player="oracle-near", budget=Budget(6, 1), **options)
    assert (row["player"], row["candidates"], row["iterations"]) == ("oracle-near", 6, 1)


def test_bad_input_gets_one_clear_line(pixel_model):
    with pytest.raises(ValueError, match="at least 1 turn"):
        measure_planning(pixel_model(), turns=0)
    with pytest.raises(ValueError, match="unknown stage"):
        measure_planning(pixel_model(), stage="moon")
    with pytest.raises(ValueError, match="'shove' does not plan"):
        measure_planning(pixel_model(), player="shove")


def test_planners_are_compared_from_the_command_line(command, tmp_path):
    players = ["--player", "jepa@4x1", "--player", "jepa-margin@4x2"]
    code, out, _ = command("bench", *players, "--turns", "1", "--runs", "2", "--json", str(tmp_path / "bench.json"))
    assert code == 0
    assert "jepa-margin@4x2" in out
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert [(row["run"], row["player"]) for row in rows] == [
        (0, "jepa@4x1"), (0, "jepa-margin@4x2"), (1, "jepa@4x1"), (1, "jepa-margin@4x2")
    ]  # fmt: skip
    code, _, err = command("bench", "--player", "jepa@4x1", "--player", "shove")
    assert (code, "'shove' does not plan" in err) == (2, True)


def test_every_planner_is_timed_at_the_same_turns_and_by_its_own_search(pixel_model, monkeypatch):
    seated, halted = [], []

    class Stopwatch(PlanningPolicy):
        def plan(self, observation, rng):
            rng.random(self.budget.candidates)  # some draw more than others
            halted.append((len(observation.blocks), observation.side))
            return super().plan(observation, rng)

    def seat(name, side, stage, **options):
        seated.append(name)
        found = make_planner(name, side, stage, **options)
        return Stopwatch(found.model, side, cost=found.cost, budget=found.budget)

    monkeypatch.setattr("pushjepa.evaluation.speed.make_planner", seat)
    for name in ("jepa@4x1", "jepa-margin@6x2"):
        measure_planning(pixel_model(0.3), player=name, turns=6, warm_up=0)
    assert seated == ["jepa@4x1"] * 6 + ["jepa-margin@6x2"] * 6
    assert halted[:6] == halted[6:]
    assert len({turn for turn, _ in halted}) > 1


def test_ratios_are_taken_run_by_run(capsys):
    rows = [
        {"run": run, "player": name, "stage": "open", "n": 3, "candidates": 4, "iterations": 1, "matmul_gflops": 7.0}
        | {"plan_ms_median": ms, "plan_ms_p95": ms + 1}
        for run, taken in enumerate([(10.0, 20.0), (30.0, 60.0), (20.0, 50.0)])
        for name, ms in zip(("jepa", "jepa-margin"), taken, strict=True)
    ]
    print_bench(rows)
    lines = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if "jepa" in line]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["jepa", "4 x 1", "20", "21", "1.00"],
        ["jepa-margin", "4 x 1", "50", "51", "2.00"],
    ]
