"""What is usual, and the test that tells a change of the laws from an odd frame."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushjepa.adaptation import DriftTest, Surprise, Usual
from pushjepa.adaptation.surprise import SLACK


def surprise(px, contact=False):
    return Surprise(np.zeros(1), np.zeros((1, 1)), px, contact)


def play(rng, matches=30, turns=20):
    """Errors with a spread of a factor of two about 3 px, about 10 px where the block moves."""
    contacts = rng.random((matches, turns)) < 0.4
    logs = np.where(contacts, np.log(10), np.log(3)) + 0.7 * rng.standard_normal((matches, turns))
    return [
        [surprise(float(np.exp(log)), bool(c)) for log, c in zip(*pair, strict=True)]
        for pair in zip(logs, contacts, strict=True)
    ]


@pytest.fixture
def usual():
    return Usual(mean=(1.0, 2.0), std=(0.5, 1.0), threshold=4.0, rate=0.0, n=100)


def alarms(usual, played):
    count = 0
    for one in played:
        test = DriftTest(usual)
        for each in one:
            if test.update(usual.level(each)):
                count += 1
                test.reset()
    return count


@pytest.mark.parametrize("rate", [1 / 500, 1 / 50])
def test_the_threshold_keeps_to_its_rate_on_the_play_it_was_chosen_on(rng, rate):
    played = play(rng)
    usual = Usual.of(played, rate)
    assert usual.n == 600
    assert alarms(usual, played) == round(usual.rate * usual.n) <= rate * 600


def test_the_threshold_is_the_least_that_does(rng):
    played = play(rng)
    usual = Usual.of(played, 1 / 50)
    lower = Usual(usual.mean, usual.std, round(usual.threshold - 0.1, 1), 0.0, usual.n)
    assert usual.threshold > usual.cap - SLACK, "no single error is enough"
    assert lower.threshold <= usual.cap - SLACK or alarms(lower, played) > 600 / 50


def test_usual_errors_have_mean_and_spread_of_either_kind(rng):
    usual = Usual.of(play(rng))
    assert usual.mean == pytest.approx((np.log1p(3), np.log1p(10)), abs=0.1)
    logs = np.array([np.log1p(s.px) for one in play(np.random.default_rng(0)) for s in one if s.contact])
    assert usual.std[1] == pytest.approx(1.4826 * np.median(np.abs(logs - np.median(logs))))
    assert usual.std[1] == pytest.approx(np.std(logs), rel=0.2), "of normal errors these are about the same"


def test_a_few_wild_errors_do_not_change_what_is_usual(rng):
    played = play(rng)
    wild = [[surprise(500.0, contact=True)] * 5, *played]
    assert Usual.of(wild).std == pytest.approx(Usual.of(played).std, rel=0.1)


def test_a_level_is_in_standard_deviations_and_capped(usual):
    assert usual.level(surprise(np.expm1(1.5))) == pytest.approx(1.0)
    assert usual.level(surprise(np.expm1(3.0), contact=True)) == pytest.approx(1.0)
    assert usual.level(surprise(0.0)) == pytest.approx(-2.0)
    assert usual.level(surprise(1e9)) == usual.cap == 4.0


def test_a_model_that_is_never_wrong_can_be_told_what_is_usual():
    usual = Usual.of([[surprise(0.0, contact) for contact in (False, True)] * 20])
    assert usual.level(surprise(0.0)) == 0.0
    assert usual.level(surprise(5.0)) == usual.cap


def test_too_little_play_is_refused(rng):
    few = [[surprise(1.0)] * 50 + [surprise(1.0, contact=True)] * 19]
    with pytest.raises(ValueError, match="19 boundaries with contact are too few"):
        Usual.of(few)
    with pytest.raises(ValueError, match="0 boundaries without contact"):
        Usual.of([[surprise(1.0, contact=True)] * 50])


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_lies_between_0_and_1(rng, rate):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Usual.of(play(rng, 4), rate)


def test_usual_comes_back_from_disk(rng, tmp_path):
    usual = Usual.of(play(rng))
    usual.write(tmp_path / "surprise.json")
    assert Usual.read(tmp_path / "surprise.json", "") == usual
    with pytest.raises(ValueError, match="of other weights"):
        Usual.read(tmp_path / "surprise.json", "other")


@pytest.mark.parametrize(
    "text",
    ["not json", "[]", "null", "{}", '{"mean": [1, 2]}', '{"mean": 3, "std": 4}'],
    ids=["text", "list", "null", "empty", "part", "numbers"],
)
def test_what_is_no_such_file_is_refused(tmp_path, text):
    path = tmp_path / "surprise.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="does not tell what is usual"):
        Usual.read(path, "")


@pytest.mark.parametrize("bad", [{"mean": [1.0]}, {"std": [0.5, 0.0]}, {"std": [0.5]}, {"threshhold": 3.0}])
def test_a_file_with_a_bad_entry_is_refused(usual, tmp_path, bad):
    path = tmp_path / "surprise.json"
    usual.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | bad))
    with pytest.raises(ValueError, match="does not tell what is usual"):
        Usual.read(path, "")


def test_a_missing_file_says_what_writes_it(tmp_path):
    with pytest.raises(ValueError, match="adapt calibrate"):
        Usual.read(tmp_path / "surprise.json", "")


def test_one_odd_frame_is_no_alarm_but_a_change_is_one_soon(usual):
    test = DriftTest(usual)
    quiet = [-0.5, 0.3, -1.0, 0.1]
    assert not any(test.update(level) for level in [*quiet, usual.cap, *quiet])
    assert test.value == 0.0
    found = [test.update(level) for level in [2.0] * 6]
    assert found.index(True) == 3  # 1.25 more with each: over 4.0 at the fourth
    assert test.rising == 6


def test_the_rise_is_counted_from_where_the_sum_was_last_zero(usual):
    test = DriftTest(usual)
    for level in [3.0, -9.0, 1.0, 1.0]:
        test.update(level)
    assert test.rising == 2
    test.reset()
    assert (test.value, test.rising) == (0.0, 0)


@given(st.lists(st.floats(-100.0, 4.0)))
def test_the_sum_is_never_negative_and_rises_by_no_more_than_the_levels(levels):
    test = DriftTest(Usual((0.0, 0.0), (1.0, 1.0), 4.0, 0.0, 1))
    before = 0.0
    for level in levels:
        alarm = test.update(level)
        assert test.value >= 0.0
        assert test.value <= before + max(0.0, level - SLACK) + 1e-9
        assert alarm == (test.value >= 4.0)
        assert (test.rising > 0) == (test.value > 0.0)
        before = test.value
