"""The row and the table of an ablation, from figures that are known."""

from __future__ import annotations

import pytest

from pushjepa.evaluation.ablations import ablation_row, ablation_table

NAMES = ("agent_px", "waiter_px", "block_px", "angle_deg")


def calibrated(turns_ahead: int, condition: str, first: float) -> dict[str, object]:
    row: dict[str, object] = {"turns_ahead": turns_ahead, "condition": condition, "source": "episodes"}
    row |= {"episodes": 5, "n": 40, "push_ratio": 0.9 if condition == "moved" else None, "rank_correlation": None}
    for number, name in enumerate(NAMES):
        row |= {name: first + number, f"{name}_ci": [first, first + 9]}
    return row | ({"rank_correlation": 0.5, "rank_correlation_ci": [0.4, 0.6]} if turns_ahead == 1 else {})


CALIBRATION = [
    calibrated(0, "all", 1.0),
    calibrated(0, "moved", 11.0),
    calibrated(1, "all", 21.0),
    calibrated(1, "moved", 31.0),
    calibrated(2, "all", 41.0),
    calibrated(3, "all", 51.0),
    calibrated(3, "moved", 61.0),
]


def test_a_row_holds_what_is_seen_what_leaks_and_what_is_foreseen() -> None:
    row = ablation_row("step", "other data", {"val_pred": 0.25, "val_state": 0.01, "seconds": 9.0}, CALIBRATION)
    assert (row["decode_agent_px"], row["decode_agent_px_ci"]) == (1.0, [1.0, 10.0])
    assert (row["all_waiter_px"], row["moved_waiter_px"]) == (22.0, 32.0)
    assert (row["later_block_px"], row["later_block_px_ci"]) == (63.0, [61.0, 70.0])
    assert (row["moved_push_ratio"], row["rank_correlation"]) == (0.9, 0.5)
    assert (row["val_pred"], row["val_state"], row["moved_n"]) == (0.25, 0.01, 40)
    assert "seconds" not in row


def test_the_table_has_a_line_for_each_recipe_and_a_dash_for_what_was_not_measured() -> None:
    joint = {"val_pred": 0.25, "val_state": 0.01}
    rows = [ablation_row(name, f"{name} differs", joint, CALIBRATION) for name in ("base", "step")]
    rows[1]["rank_correlation"] = None
    head, rule, base, step = ablation_table(rows).splitlines()
    assert head.count("|") == rule.count("|") == base.count("|")
    assert base == (
        "| `base` | base differs | 1.0, 2.0, 3.0 | 21.0, 22.0 | 31.0, 32.0, 33.0, 34.0 | 63.0 "
        "| 0.90 | 0.50 | 0.250 | 0.0100 |"
    )
    assert "| - |" in step


def test_a_recipe_that_was_never_joint_has_no_row() -> None:
    with pytest.raises(KeyError, match="val_pred"):
        ablation_row("base", "", {}, CALIBRATION)
