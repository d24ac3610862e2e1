from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from pushjepa.physics.geometry import mirror_state
from pushjepa.relay import MATCH_TURNS, STAGES, get_stage, other
from pushjepa.server.odds import FEATURES, OddsModel, brier, fit_weights, load_odds, odds_features, sigmoid

OPEN = get_stage("open")
# The block 100 px from p1's goal; p1 right behind it, p2 in front of it and farther off.
NEAR_P1 = np.array([272.0, 256.0, 400.0, 256.0, 322.0, 256.0, 0.3])
SHIPPED = Path(str(resources.files("pushjepa.server") / "odds.json"))


def model(lead=1.0, to_move=0.0, nearer=0.0, behind=0.0):
    return OddsModel({"open": np.tile([lead, to_move, nearer, behind], (MATCH_TURNS, 1))})


def test_the_features_of_a_position():
    # p1's goal is 100 px away and p2's 232; p1 is 50 px from the block, p2 78; p1 pushes home, p2 home as well.
    np.testing.assert_allclose(odds_features(NEAR_P1, "p1", OPEN), [1.32, 1.0, 0.28, 0.0], atol=1e-9)
    in_front = NEAR_P1.copy()
    in_front[2] = 200.0  # now p2 stands on its goal's side of the block
    assert odds_features(in_front, "p2", OPEN)[[1, 3]] == pytest.approx([-1.0, 2.0])


def test_the_features_change_sign_with_the_seats():
    rng = np.random.default_rng(0)
    for stage in STAGES.values() if isinstance(STAGES, dict) else map(get_stage, STAGES):
        state = np.array([*rng.uniform(30, 480, 6), 0.4])
        mine, theirs = odds_features(state, "p1", stage), odds_features(mirror_state(state), other("p1"), stage)
        np.testing.assert_allclose(mine, -theirs, atol=1e-9)


def test_the_odds_are_the_logistic_of_the_weighted_features_and_sum_to_one():
    odds = model(lead=2.0, nearer=1.0)(NEAR_P1, NEAR_P1, 3, "p1", OPEN)
    assert odds.p1 == pytest.approx(1 / (1 + np.exp(-(2.0 * 1.32 + 0.28))))
    assert odds.p1 + odds.p2 == 1.0


def test_each_number_of_turns_left_has_its_own_weights():
    weights = np.zeros((MATCH_TURNS, 4))
    weights[0, 0] = 5.0  # one turn left
    by_turn = [OddsModel({"open": weights})(NEAR_P1, NEAR_P1, turn, "p1", OPEN).p1 for turn in range(MATCH_TURNS)]
    assert by_turn[:9] == [0.5] * 9
    assert by_turn[9] == pytest.approx(float(sigmoid(np.array(6.6))))


def test_after_the_last_turn_the_result_is_certain():
    draw = NEAR_P1.copy()
    draw[4] = 256.0
    for state, chance in ((NEAR_P1, 1.0), (mirror_state(NEAR_P1), 0.0), (draw, 0.5)):
        assert model(lead=-9.0)(NEAR_P1, state, MATCH_TURNS, "p1", OPEN).p1 == chance


def test_a_stage_that_was_not_fitted_has_no_odds():
    assert model()(NEAR_P1, NEAR_P1, 3, "p1", get_stage("gate")) is None


def test_the_fit_finds_the_weights_that_made_the_outcomes():
    rng = np.random.default_rng(1)
    true = np.array([1.5, -0.5, 0.0])
    features = rng.normal(size=(20_000, 3))
    won = (rng.random(20_000) < sigmoid(features @ true)).astype(float)
    np.testing.assert_allclose(fit_weights(features, won), true, atol=0.06)
    # Draws count half: all draws are a coin.
    np.testing.assert_allclose(fit_weights(features, np.full(20_000, 0.5)), 0.0, atol=1e-9)
    # One that is never wrong must not run away.
    assert np.isfinite(fit_weights(features[:50], (features[:50, 0] > 0).astype(float))).all()


def test_brier_scores():
    assert brier(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 0.0
    assert brier(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == 0.25
    assert brier(np.array([0.0]), np.array([1.0])) == 1.0


def test_no_table_is_no_odds_and_a_bad_one_is_refused(tmp_path):
    path = tmp_path / "odds.json"
    assert load_odds(path) is None
    good = {"format": 1, "features": list(FEATURES), "stages": {"open": [[1.0] * 4] * 10}}
    path.write_text(json.dumps(good))
    assert load_odds(path).weights["open"].shape == (10, 4)
    for bad in ({**good, "format": 2}, {**good, "stages": {"open": [[1.0] * 4]}}, {}, [], {**good, "features": []}):
        path.write_text(json.dumps(bad))
        with pytest.raises(ValueError, match=r"tools/fit_odds\.py") as caught:
            load_odds(path)
        assert "\n" not in str(caught.value)


def test_the_shipped_odds_beat_the_constant_guess_on_held_out_matches():
    table = json.loads(SHIPPED.read_text())
    held_out = table["held_out"]
    assert held_out["matches"] >= 200
    assert held_out["brier"] < held_out["brier_constant"]
    assert set(load_odds().weights) == set(STAGES)
