"""Mutual information, perplexity and the order of slots on cases whose answer is known; and a whole report."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")

from pushjepa.evaluation.mechanisms import (
    Retrieved,
    bootstrap_information,
    describe_mechanisms,
    mutual_information,
    order_kept,
    retrieve,
    shift_within,
)
from pushjepa.pusht.model import load_pusht_model


def test_codes_that_tell_everything_tell_the_entropy():
    events = np.array([True, False, False, False] * 100)
    codes = np.where(events, 2, np.arange(400) % 2)
    entropy = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert mutual_information(codes, events) == pytest.approx(entropy)


def test_codes_that_tell_nothing_tell_nothing(rng):
    events, codes = np.tile([True, False], 200), np.repeat([0, 1], 200)
    assert mutual_information(codes, events) == pytest.approx(0.0, abs=1e-12)
    assert mutual_information(rng.integers(0, 8, 20_000), rng.random(20_000) < 0.3) < 0.002


def test_events_are_shifted_in_a_circle_within_each_trajectory(rng):
    lengths, seen = np.array([5, 1, 7]), set()
    events = np.arange(13)  # numbered, so that each can be found again
    for _ in range(200):
        one, alone, other = np.split(shift_within(events, lengths, rng), [5, 6])
        assert alone.tolist() == [5]
        for part, first, length in ((one, 0, 5), (other, 6, 7)):
            by = int(np.flatnonzero(part == first)[0])
            assert part.tolist() == np.roll(np.arange(first, first + length), by).tolist()
            seen.add((first, by))
    assert seen == {(0, by) for by in range(1, 5)} | {(6, by) for by in range(1, 7)}


def test_what_lasts_seems_to_tell_of_what_lasts():
    """Neither knows of the other, but both change seldom, and so agree by chance more than shuffled rows do."""
    rng = np.random.default_rng(4)
    lengths = np.full(6, 60)
    codes, events = (np.repeat(rng.integers(0, 2, 24), 15) for _ in range(2))
    found = Retrieved(codes[:, None, None], np.stack([events == 1] * 2, axis=1), lengths, np.ones(6))
    row = describe_mechanisms(found, 2, rng)[0]
    assert row["mutual_information"] < row["shifted_p95"]
    assert 5 * row["shuffled_p95"] < row["shifted_p95"]


def test_the_interval_is_over_trajectories(rng):
    """Of twenty trajectories half tell all and half tell nothing: which of them are drawn decides."""
    events = np.tile([True, False], 400)
    telling = np.repeat(np.arange(20) % 2 == 0, 40)
    codes = np.where(telling & events, 1, 0)
    told = bootstrap_information(codes, events, np.full(20, 40), rng)
    assert told.value == pytest.approx(mutual_information(codes, events))
    low, high = told.interval
    assert 0.1 < low < told.value - 0.1
    assert told.value + 0.1 < high < 0.7
    same = bootstrap_information(events.astype(int), events, np.full(20, 40), rng)
    assert (same.value, *same.interval) == pytest.approx((1.0, 1.0, 1.0))


def test_slots_that_change_places_are_noticed(rng):
    slots = np.cumsum(0.1 * rng.standard_normal((11, 3, 4)), axis=0) + 5 * rng.standard_normal((3, 4))
    assert order_kept(slots) == 1.0
    slots[6:] = slots[6:, [1, 0, 2]]
    assert order_kept(slots) == pytest.approx(0.9)


def test_a_report_sets_codes_beside_shuffled_ones(rng):
    contacts = np.stack([rng.random(2000) < 0.4, rng.random(2000) < 0.1], axis=1)
    codes = np.zeros((2000, 2, 2), dtype=np.int64)
    codes[:, 1, 0] = np.where(contacts[:, 0], 1, rng.integers(2, 4, 2000))
    rows = describe_mechanisms(Retrieved(codes, contacts, np.array([500, 700, 800]), np.ones(3)), 4, rng, controls=5)
    assert len(rows) == 2 * 4
    best = max(rows, key=lambda row: row["mutual_information"])
    assert (best["contact"], best["slot"], best["acted_on_by"]) == ("push", 1, 0)
    assert best["mutual_information"] == pytest.approx(best["entropy"])
    assert best["shuffled"] <= best["shuffled_p95"] < 0.01
    assert best["shifted"] <= best["shifted_p95"] < 0.01
    low, high = best["mutual_information_ci"]
    assert low < best["mutual_information"] < high
    assert high - low < 0.1
    assert [code["share"] for code in best["by_code"]] == [None, 1.0, 0.0, 0.0]
    assert sum(code["n"] for code in best["by_code"]) == 2000


def test_a_model_tells_of_every_frame_that_is_acted_in(tiny_model, expert_data):
    found = retrieve(tiny_model, expert_data, 2)
    frames = int(expert_data.lengths[:2].sum()) - 2
    assert found.codes.shape == (frames, 3, 3)
    assert found.contacts.shape == (frames, 2)
    assert found.contacts[:, 0].any()
    assert found.lengths.tolist() == (expert_data.lengths[:2] - 1).tolist()
    with pytest.raises(ValueError, match=r"episodes must be 1 ... 6"):
        retrieve(tiny_model, expert_data, 7)


def test_the_bundled_model_s_codes_tell_of_contact_and_its_slots_keep_their_order(expert_data, rng):
    model = load_pusht_model()
    found = retrieve(model, expert_data, len(expert_data.lengths))
    rows = describe_mechanisms(found, model.net.config.codes, rng, controls=5)
    pair = next(row for row in rows if (row["contact"], row["slot"], row["acted_on_by"]) == ("push", 1, 0))
    # Few frames let shuffled contacts seem to tell something too.
    assert pair["mutual_information"] - pair["shuffled"] > 0.3
    assert pair["perplexity"] > 6.0
    assert found.kept.mean() > 0.99
