from __future__ import annotations

import pytest

from pushjepa.evaluation import measure_planning
from pushjepa.planning import Budget


def test_planning_is_timed_after_a_warm_up(pixel_model):
    done = []
    row = measure_planning(
        pixel_model(0.3), turns=3, warm_up=1, budget=Budget(6, 2), progress=lambda *n: done.append(n)
    )
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (row["stage"], row["n"], row["candidates"], row["iterations"]) == ("open", 3, 6, 2)
    assert 0 < row["plan_ms_median"] <= row["plan_ms_p95"]
    assert row["matmul_gflops"] > 0


def test_bad_input_gets_one_clear_line(pixel_model):
    with pytest.raises(ValueError, match="at least 1 turn"):
        measure_planning(pixel_model(), turns=0)
    with pytest.raises(ValueError, match="unknown stage"):
        measure_planning(pixel_model(), stage="moon")
