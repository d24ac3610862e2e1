"""The bundled model, weights and advice, still sees, foresees and wins: what a broken export or file would spoil."""

from __future__ import annotations

from pushjepa.evaluation import calibrate, play_pairs
from pushjepa.runtime import load_model


def test_it_sees_and_foresees_a_push():
    rows = calibrate(load_model(threads=1), 20, 7, rank_positions=0, workers=1)
    found = {(row["turns_ahead"], row["condition"]): row for row in rows}
    seen, one, three = found[0, "all"], found[1, "moved"], found[3, "moved"]
    assert max(seen["agent_px"], seen["waiter_px"], seen["block_px"]) < 0.15
    # On these few turns, for one wild push, 5.7, 1.3 and 5.5 px, and 13.7 px three turns ahead; on 300 episodes 2.2,
    # 1.0, 2.6 and 7.0. Not to foresee at all costs 52 and 82 px.
    assert one["n"] > 30
    assert one["agent_px"] < 7.0
    assert one["waiter_px"] < 2.0
    assert one["block_px"] < 7.0
    assert 0.95 < one["push_ratio"] < 1.05
    assert three["block_px"] < 17.0


def test_it_beats_one_that_pushes():
    """Over 100 pairs, and with its whole budget, it wins 95% of matches."""
    row = play_pairs("jepa-reply@32x4", "chase_t", "open", 4, 3, workers=1)
    assert row["n"] == 8
    assert row["win_rate"] >= 0.75
    assert min(row["net_progress_by_seat"].values()) > 100.0
