"""Play under other laws, summed up: known answers on paper, and tiny series with a toy that knows the laws of speed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pushjepa.adaptation import Surprise
from pushjepa.adaptation.system_m import Event
from pushjepa.evaluation import relay_shifts
from pushjepa.evaluation.match_play import ModelOptions
from pushjepa.evaluation.relay_shifts import Series, evaluate_game_shifts, play_match, play_shifted_pair
from pushjepa.evaluation.shifts import (
    Foreseen,
    Trial,
    add_gain,
    add_gaps,
    paired_loss,
    plan_rows,
    summarise_trials,
)
from pushjepa.evaluation.statistics import wilson
from pushjepa.planning import Budget
from pushjepa.relay.shifts import find_physics

TINY = Budget(candidates=4, iterations=1)


def foreseen(px, block_px=None, alarms=(), acts=(), seconds=(), unadapted=None):
    block, given = (tuple(px if one is None else one) for one in (block_px, unadapted))
    return Foreseen(tuple(px), block, given, tuple(2 * one for one in given), alarms, acts, seconds)


def trial(unit, solved, px=(), progress=None, **more):
    return Trial(unit, solved, progress, foreseen(px, **more) if px else None)


def row_of(trials, rate="success_rate", seed=0):
    return summarise_trials("ice", "adapted", trials, rate, seed)


def test_a_rate_is_wilson_s_and_progress_its_mean():
    row = row_of(
        [trial(0, True, progress=10.0), trial(0, False, progress=-4.0), trial(1, True, progress=6.0)], "win_rate"
    )
    assert (row["shift"], row["condition"], row["n"]) == ("ice", "adapted", 3)
    assert row["win_rate"] == pytest.approx(2 / 3)
    assert row["win_rate_ci"] == pytest.approx(wilson(2, 3))
    assert row["net_progress"] == pytest.approx(4.0)
    assert row["net_progress_ci"] == pytest.approx([3.0, 6.0]), "the two of a pair are drawn together"
    assert "surprise" not in row, "an oracle foresees nothing that could be scored"


def test_errors_are_of_the_later_half_of_ten_boundaries():
    px = [100.0] * 5 + [1.0, 2.0, 3.0, 4.0, 5.0] + [900.0] * 2
    row = row_of([trial(0, True, px, block_px=[2 * one for one in px])])
    assert row["surprise"] == pytest.approx(3.0)
    assert row["block_px"] == pytest.approx(6.0)
    assert row["surprise_by_turn"] == px[:10]
    assert row["boundaries"] == 12


def test_short_episodes_count_with_their_last_boundary():
    row = row_of([trial(0, True, [9.0, 4.0]), trial(1, True, [9.0, 6.0, 8.0])])
    assert row["surprise"] == pytest.approx((4.0 + 8.0) / 2)
    assert row["surprise_by_turn"] == [9.0, 5.0, 8.0], "each over those that came so far"


def test_what_system_m_did_is_counted():
    acts = ((3, "infer"), (4, "learn"), (5, "rollback"), (7, "restore"))
    some = [
        trial(0, True, [1.0] * 9, alarms=(3, 8), acts=acts, seconds=(0.1, 0.2, 0.3, 0.9)),
        trial(1, False, [1.0] * 9),
    ]
    row = row_of(some)
    assert [row[name] for name in ("alarms", "adaptations", "rollbacks", "restores")] == [2, 2, 1, 1]
    assert row["adapt_ms_median"] == pytest.approx(250.0)
    assert row["adapt_ms_max"] == pytest.approx(900.0)
    assert row_of([trial(0, True, [1.0] * 9)])["adapt_ms_median"] is None


def test_the_same_seed_gives_the_same_row():
    some = [trial(unit, unit % 2 == 0, np.random.default_rng(unit).uniform(1, 9, 10).tolist()) for unit in range(8)]
    assert row_of(some, seed=3) == row_of(some, seed=3)
    assert row_of(some, seed=3)["surprise_ci"] != row_of(some, seed=4)["surprise_ci"]


def test_foreseen_holds_the_block_s_true_error():
    surprise = Surprise(np.zeros(1), np.zeros((1, 1)), 7.0, False)
    state = np.array([0.0, 0.0, 100.0, 50.0, 1.0])
    given = state + np.array([0.0, 0.0, 0.0, 10.0, 0.0])
    event = Event(2, state, surprise, given, 9.0, 0.0, 0.0, True, "infer", np.zeros(3), seconds=0.5)
    quiet = replace(event, turn=3, alarm=False, act="")
    found = Foreseen.of([event, quiet], [[103.0, 54.0], [100.0, 50.0]])
    off = (np.hypot(3.0, 6.0), 10.0)
    assert found == Foreseen((7.0, 7.0), (5.0, 0.0), (9.0, 9.0), off, (2,), ((2, "infer"),), (0.5,))
    opened = replace(event, turn=1, opening="look")
    assert Foreseen.of([opened], [[103.0, 54.0]]).acts == ((0, "look"), (1, "infer"))
    with pytest.raises(ValueError, match="zip"):
        Foreseen.of([event], [])


def rows_with(frozen, adapted, usual):
    """Rows of one shift: surprise px, block px and rate of each; frozen errors are those on the adapted transitions."""
    names = ("surprise", "block_px", "win_rate")
    places = (("none", "frozen", usual), ("ice", "frozen", (99.0, 99.0, frozen[2])), ("ice", "adapted", adapted))
    rows = [
        {"shift": shift, "condition": condition, **dict(zip(names, values, strict=True))}
        for shift, condition, values in places
    ]
    after = {"n_after": 5, "after_px": adapted[0], "after_block_px": adapted[1]}
    rows[2] |= after | {"after_unadapted_px": frozen[0], "after_unadapted_block_px": frozen[1]}
    return rows


def test_a_gap_is_of_what_the_shift_costs_the_frozen_model():
    rows = rows_with(frozen=(20.0, 30.0, 0.4), adapted=(8.0, 10.0, 0.7), usual=(5.0, 5.0, 0.8))
    add_gaps(rows, "win_rate", "none")
    assert rows[2]["surprise_gap_closed"] == pytest.approx((20 - 8) / (20 - 5))
    assert rows[2]["block_px_gap_closed"] == pytest.approx((30 - 10) / (30 - 5))
    assert rows[2]["recovered"] == pytest.approx(0.75)
    assert not any("closed" in name or name == "recovered" for row in rows[:2] for name in row)


def test_a_gap_is_left_out_where_the_shift_costs_little():
    rows = rows_with(frozen=(5.9, 6.0, 0.75), adapted=(5.0, 5.0, 0.9), usual=(5.0, 5.0, 0.8))
    add_gaps(rows, "win_rate", "none")
    assert "surprise_gap_closed" not in rows[2]
    assert rows[2]["block_px_gap_closed"] == pytest.approx(1.0), "one px is enough"
    assert "recovered" not in rows[2]


def test_a_shift_that_helps_the_frozen_model_leaves_no_gap_to_close():
    rows = rows_with(frozen=(3.0, 3.0, 0.95), adapted=(4.0, 4.0, 0.9), usual=(5.0, 5.0, 0.8))
    add_gaps(rows, "win_rate", "none")
    assert not {"surprise_gap_closed", "block_px_gap_closed", "recovered"} & rows[2].keys()


def test_errors_after_adapting_stand_beside_the_given_model_s_on_the_same_transitions():
    px, given = [30.0, 30.0, 4.0, 6.0], [30.0, 30.0, 40.0, 20.0]
    row = row_of([trial(0, True, px, unadapted=given, acts=((2, "infer"),), seconds=(0.1,)), trial(1, True, [1.0])])
    assert row["n_after"] == 2, "the boundary at which it adapted was foreseen before"
    assert row["after_px"] == pytest.approx(5.0)
    assert row["after_unadapted_px"] == pytest.approx(30.0)
    assert row["after_unadapted_block_px"] == pytest.approx(60.0)
    assert row_of([trial(0, True, px)])["n_after"] == 0


def test_a_gain_is_paired():
    frozen = [trial(unit, False, progress=10.0) for unit in range(6)]
    adapted = [trial(unit, unit < 3, progress=12.0) for unit in range(6)]
    row = {}
    add_gain(row, adapted, frozen, "win_rate", 0)
    assert row["win_rate_gain"] == pytest.approx(0.5)
    assert row["win_rate_gain_ci"][0] < 0.5 < row["win_rate_gain_ci"][1]
    assert (row["net_progress_gain"], row["net_progress_gain_ci"]) == (pytest.approx(2.0), pytest.approx([2.0, 2.0]))
    with pytest.raises(ValueError, match="same starts"):
        add_gain(row, adapted[::-1], frozen, "win_rate", 0)


def test_the_standard_laws_come_first_and_adapted_too():
    assert plan_rows(("ice",), ("frozen", "oracle"), "none") == [
        ("none", "frozen"),
        ("ice", "frozen"),
        ("ice", "oracle"),
    ]
    assert plan_rows(("none", "ice"), ("frozen", "adapted"), "none")[:2] == [("none", "frozen"), ("none", "adapted")]
    assert len(plan_rows(("none", "ice"), ("frozen", "adapted"), "none")) == 4


def test_adapting_that_harms_has_a_negative_gap():
    rows = rows_with(frozen=(20.0, 30.0, 0.4), adapted=(26.0, 30.0, 0.2), usual=(5.0, 5.0, 0.8))
    add_gaps(rows, "win_rate", "none")
    assert rows[2]["surprise_gap_closed"] == pytest.approx(-0.4)
    assert rows[2]["recovered"] == pytest.approx(-0.5)


def test_a_loss_is_paired(rng):
    before = [True] * 10
    lost = paired_loss(before, [True] * 8 + [False] * 2, rng)
    assert lost.value == pytest.approx(0.2)
    assert lost.ci[0] < 0.2 < lost.ci[1]
    assert paired_loss(before, before, rng).ci == [0.0, 0.0]
    with pytest.raises(ValueError, match="the same episodes, got 10 and 1"):
        paired_loss(before, [True], rng)


@pytest.fixture
def tiny_series(glider, monkeypatch):
    """A series of matches by the toy, whose surprise is calibrated."""
    monkeypatch.setattr(ModelOptions, "load", lambda self: glider)
    monkeypatch.setattr(relay_shifts, "load_usual", lambda model: glider.usual)
    return Series("jepa", "passive", "open", 5, "fast-agents", "adapted", glider.usual, TINY)


def test_a_pair_is_one_start_with_both_seats(tiny_series):
    matches = [play_match(tiny_series, 3, game)[0] for game in range(2)]
    assert (matches[0].states[0] == matches[1].states[0]).all()
    assert all(match.over for match in matches)
    assert matches[0].setup.physics == find_physics("fast-agents")
    assert [trial.unit for trial in play_shifted_pair(tiny_series, 3)] == [3, 3]


def test_laws_that_change_in_mid_match_hold_from_there(tiny_series):
    match, player = play_match(replace(tiny_series, change_at=4), 0, 0)
    assert match.setup.physics_at(3) == find_physics("none")
    assert match.setup.physics_at(4) == find_physics("fast-agents")
    events = player.mind.events
    events[-1] = replace(events[-1], act="infer", alarm=True)
    foreseen = relay_shifts._judge(match, "p1", 0, player, 4).foreseen
    assert foreseen.px == tuple(event.surprise.px for event in events if event.turn > 4)
    assert foreseen.acts == ((events[-1].turn - 4, "infer"),)
    assert foreseen.alarms == (events[-1].turn - 4,)


def test_a_tiny_series_has_rows_of_each_condition(tiny_series, glider):
    played = {}

    def run(keep=None):
        return evaluate_game_shifts(
            ("fast-agents",),
            ("frozen", "adapted", "oracle"),
            opponent="passive",
            pairs=1,
            seed=5,
            budget=TINY,
            workers=1,
            keep=keep,
        )

    rows = run(lambda shift, condition, trials: played.__setitem__((shift, condition), trials))
    assert [(row["shift"], row["condition"]) for row in rows] == [
        ("none", "frozen"),
        ("none", "adapted"),
        ("fast-agents", "frozen"),
        ("fast-agents", "adapted"),
        ("fast-agents", "oracle"),
    ]
    assert list(played) == [(row["shift"], row["condition"]) for row in rows]
    assert [len(some) for some in played.values()] == [2] * 5
    # The toy's agents are told of by the laws: once it believes in faster ones, it foresees as well as ever.
    usual, own, frozen, adapted = (row["surprise_by_turn"] for row in rows[:4])
    assert own == usual, "nothing surprises it in its own world"
    assert usual[0] < 0.1
    assert frozen[0] > 3.0, "the toy foresees its agents by the standard laws, and they are faster"
    assert adapted[:7] == frozen[:7], "it is told nothing, and scored before it learns"
    assert adapted[7] < 0.6 * frozen[7], "then it has found out"
    assert [row["adaptations"] for row in rows[:4]] == [0, 0, 0, 1]
    assert rows[3]["after_unadapted_px"] > 2.0 * rows[3]["after_px"]
    assert {"win_rate_gain", "net_progress_gain_ci"} <= rows[3].keys()
    assert "surprise" not in rows[4]
    again = run()
    for one, other in zip(rows, again, strict=True):
        assert {name: value for name, value in one.items() if "_ms_" not in name} == {
            name: value for name, value in other.items() if "_ms_" not in name
        }


def test_a_frozen_mind_only_looks(tiny_series):
    trials = play_shifted_pair(replace(tiny_series, condition="frozen"), 0)
    assert all(trial.foreseen.acts == () for trial in trials)
    assert all(len(trial.foreseen.px) >= 8 for trial in trials)


def test_unknown_laws_are_refused_before_anything_is_played(tiny_series):
    with pytest.raises(ValueError, match="unknown shift 'jelly'"):
        evaluate_game_shifts(("jelly",), ("frozen",))
