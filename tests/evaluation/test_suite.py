from __future__ import annotations

import json

import pytest

from pushjepa.evaluation.suite import Calibration, Pairs, Ranking, Suite, flat_rows, run_suite

SCRIPTED = {"player": "chase_t", "opponents": ("passive",), "stages": ("open",), "pairs": 1}


def titles(suite, folder):
    """What is measured, not what is only read again."""
    begun = []
    run_suite(suite, folder, workers=1, on_part=lambda part: begun.append(part.title))
    return begun


def test_a_report_measures_everything_once(tmp_path):
    assert titles(Suite(**SCRIPTED), tmp_path) == ["passive on open"]
    assert titles(Suite(**SCRIPTED), tmp_path) == []


def test_a_report_that_asks_for_more_plays_only_that(tmp_path):
    titles(Suite(**SCRIPTED), tmp_path)
    more = SCRIPTED | {"opponents": ("passive", "random"), "stages": ("open", "gate")}
    assert titles(Suite(**more), tmp_path) == ["random on open", "passive on gate", "random on gate"]


@pytest.mark.parametrize("change", [{"pairs": 2}, {"seed": 1}, {"player": "shove"}])
def test_other_settings_are_measured_anew(tmp_path, change):
    titles(Suite(**SCRIPTED), tmp_path)
    assert titles(Suite(**SCRIPTED | change), tmp_path) == ["passive on open"]


def test_a_part_cut_short_or_of_another_version_is_measured_anew(tmp_path):
    titles(Suite(**SCRIPTED), tmp_path)
    (part,) = (tmp_path / "parts").iterdir()
    whole = part.read_text()
    for damaged in (whole[: len(whole) // 2], whole.replace('"version": "', '"version": "9')):
        part.write_text(damaged)
        assert titles(Suite(**SCRIPTED), tmp_path) == ["passive on open"]
        assert json.loads(part.read_text())["settings"] == json.loads(whole)["settings"]


def test_kept_rows_are_the_rows_that_were_measured(tmp_path):
    first = run_suite(Suite(**SCRIPTED), tmp_path, workers=1)
    assert run_suite(Suite(**SCRIPTED), tmp_path, workers=1) == first
    ((part, (row,)),) = first
    assert part == Pairs("chase_t", "passive", "open", 1, 0)
    assert (row["p1"], row["p2"], row["win_rate"], row["n"]) == ("chase_t", "passive", 1.0, 2)


def test_only_a_player_with_a_model_is_calibrated():
    kinds = [type(part) for part in Suite(player="jepa", opponents=("passive",), stages=("open",)).parts()]
    assert kinds == [Calibration, Calibration, Calibration, Ranking, Pairs]
    assert [type(part) for part in Suite(**SCRIPTED).parts()] == [Pairs]


def test_a_model_is_measured_whole(tmp_path):
    suite = Suite("jepa", ("passive",), ("open",), pairs=1, episodes=2, positions=2)
    measured = run_suite(suite, tmp_path, workers=1)
    rows = flat_rows(measured)
    json.dumps(rows, allow_nan=False)
    assert {row.get("source") for row in rows} == {"episodes", "matches", "strangers", None}
    (ranked,) = (row for row in rows if "rank_correlation" in row and "turns_ahead" not in row)
    assert ranked["rank_positions"] == 2
    assert {row["seed"] for row in rows} == {0, 7}, "of the matches, and of what calibrates"
    assert "true_costs" not in ranked
    (costs,) = (rows[0] for part, rows in measured if isinstance(part, Ranking))
    assert len(costs["true_costs"]) == len(costs["model_costs"]) == 2
    assert len(costs["true_costs"][0]) == 96
    settings = json.loads(next((tmp_path / "parts").glob("ranking*")).read_text())["settings"]
    assert len(settings["weights"]) == 64, "a report on other weights has to be measured anew"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"player": "nobody"}, "unknown player 'nobody'"),
        ({"opponents": ("passive", "nobody")}, "unknown player 'nobody'"),
        ({"stages": ("moon",)}, "unknown stage"),
        ({"pairs": 0}, "pairs must be at least 1"),
        ({"positions": -1}, "positions must be at least 0"),
    ],
)
def test_bad_input_is_found_before_anything_is_played(values, said):
    with pytest.raises(ValueError, match=said):
        Suite(**values)
