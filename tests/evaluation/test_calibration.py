from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from pushjepa.evaluation import calibrate
from pushjepa.evaluation.calibration import Probe, collect_probes
from pushjepa.evaluation.passages import Passage, episode_passages, match_passages, matches
from pushjepa.evaluation.ranking import Ranked, rank_candidates, rank_correlation, true_costs
from pushjepa.physics import Board
from pushjepa.planning import Budget
from pushjepa.relay import Match, get_stage, joint_block

STEP = 8.0  # of the toy model in conftest.py
SMALL = Budget(12, 2)


def carried(turns: int = 6) -> Passage:
    """A passage of a world in which every action carries the block ``STEP`` px; the agents stand still."""
    rng = np.random.default_rng(0)
    actors = np.arange(turns) % 2
    blocks = np.stack([joint_block(rng.uniform(-1, 1, (5, 2)), actor) for actor in actors])
    states = np.tile([60.0, 60, 450, 450, 256, 256, 0], (turns + 1, 1))
    states[1:, 4:6] += STEP * blocks.sum(axis=(1, 2)).cumsum(axis=0)
    return Passage("open", states, blocks, actors)


def test_each_prediction_is_compared_with_the_turn_that_it_is_of(pixel_model):
    """A model that knows the toy world's law is right at every distance; one off by a turn would not be."""
    probes = collect_probes(pixel_model(1.0), iter([carried()]))
    assert {ahead: len(p.true) for ahead, p in probes.items()} == {0: 6, 1: 6, 2: 5, 3: 4, 5: 2}
    for ahead, probe in probes.items():
        errors = probe.errors()
        assert errors["block_px"].max() < 1.5
        assert errors["agent_px"].max() < 1.5
        assert errors["angle_deg"].max() == 0.0
        assert probe.actors.tolist() == [(turn + max(ahead, 1) - 1) % 2 for turn in range(len(probe.actors))]
    assert probes[1].travel().max() > 10.0


def test_the_copy_model_is_as_good_as_the_copy_baseline(pixel_model):
    errors = collect_probes(pixel_model(0.0), iter([carried()]))[3].errors()
    assert errors["block_px"] == pytest.approx(errors["copy_block_px"], abs=1.5)


def test_errors_of_agents_go_by_who_acted_and_angles_wrap():
    true = np.array([[100.0, 100, 300, 300, 200, 200, 3.1]] * 2)
    predicted = true + np.array([3, 4, 0, 12, 5, 12, 0.1])
    predicted[:, 6] -= 2 * math.pi
    errors = Probe(predicted, true, true - 1, true, np.array([0, 1]), np.array([0, 0])).errors()
    assert errors["simulator_block_px"] == pytest.approx([0, 0])
    assert errors["agent_px"] == pytest.approx([5, 12])
    assert errors["waiter_px"] == pytest.approx([12, 5])
    assert errors["block_px"] == pytest.approx([13, 13])
    assert errors["angle_deg"] == pytest.approx([math.degrees(0.1)] * 2)
    assert errors["copy_block_px"] == pytest.approx([math.sqrt(2)] * 2)


def knowing(pixel_model, passage: Passage, off: float):
    """A model that knows the passage's true states, but for a block that it takes to stand ``off`` px to the side."""

    class Knowing(pixel_model):
        def encode(self, frames):
            states = passage.states[:, None].astype(np.float32)
            states[..., 4] += off
            return states

    return Knowing()


def test_the_simulator_baseline_of_a_model_that_sees_exactly_is_exact(pixel_model):
    passage = next(episode_passages(1, 5, ["gate"]))
    errors = collect_probes(knowing(pixel_model, passage, 0.0), iter([passage]))[1].errors()
    assert max(errors[f"simulator_{name}"].max() for name in ("agent_px", "waiter_px", "block_px")) < 0.5


def test_the_simulator_baseline_is_off_by_what_seeing_costs(pixel_model):
    still = carried()
    still = Passage("open", np.repeat(still.states[:1], 7, axis=0), np.zeros_like(still.blocks), still.actors)
    errors = collect_probes(knowing(pixel_model, still, 3.0), iter([still]))[1].errors()
    assert errors["simulator_block_px"] == pytest.approx([3.0] * 6, abs=1e-3)
    assert errors["simulator_agent_px"] == pytest.approx([0.0] * 6, abs=1e-3)


@pytest.mark.parametrize("gain", [1.0, 0.25])
def test_the_push_ratio_is_the_share_of_the_push_that_is_predicted(pixel_model, monkeypatch, gain):
    monkeypatch.setattr("pushjepa.evaluation.calibration.episode_passages", lambda *_: iter([carried(), carried(8)]))
    rows = calibrate(pixel_model(gain), 2, 0, rank_positions=0, workers=1)
    for row in rows:
        if row["condition"] == "moved" and row["turns_ahead"]:
            assert row["push_ratio"] == pytest.approx(gain, abs=0.05)
        else:
            assert row["push_ratio"] is None


@pytest.mark.parametrize("source", ["episodes", "matches", "strangers"])
def test_calibration_gives_every_row_and_figure(pixel_model, source):
    done = []
    rows = calibrate(
        pixel_model(0.3), 3, 7, source, rank_positions=2, budget=SMALL, workers=1, progress=lambda *n: done.append(n)
    )
    assert done == [(n, 5) for n in range(1, 6)]
    assert [(r["turns_ahead"], r["condition"]) for r in rows] == [
        (ahead, condition) for ahead in (0, 1, 2, 3, 5) for condition in ("all", "moved")
    ]
    every = rows[0]
    assert (every["source"], every["stages"], every["episodes"]) == (source, ["open", "pillars", "gate"], 3)
    # Discs that nothing hides are found to a pixel or so; hidden ones are off by some.
    assert every["waiter_px"] < 8
    for name in ("agent_px", "waiter_px", "block_px", "angle_deg", "copy_block_px"):
        low, high = every[f"{name}_ci"]
        assert low <= every[name] <= high
    assert every["agent_px_p95"] >= 0
    one_turn = [r for r in rows if r["turns_ahead"] == 1]
    assert all(r["simulator_block_px"] is None or r["simulator_block_px"] >= 0 for r in one_turn)
    assert all("simulator_block_px" not in r for r in rows if r["turns_ahead"] != 1)
    assert all(-1 <= r["rank_correlation"] <= 1 and r["rank_positions"] == 2 for r in one_turn)
    assert all(r["rank_correlation"] is None for r in rows if r["turns_ahead"] != 1)


def test_the_same_seed_gives_the_same_figures_on_any_number_of_processes(pixel_model):
    def rows(workers: int) -> list[dict]:
        return calibrate(pixel_model(0.3), 2, 3, "matches", ["open"], rank_positions=2, budget=SMALL, workers=workers)

    assert rows(1) == rows(2)


@pytest.mark.parametrize("passages", [episode_passages, match_passages, partial(match_passages, source="strangers")])
def test_passages_are_turns_of_the_game_and_differ_by_seed(passages):
    first, again, other = (next(passages(1, seed, ["pillars"])) for seed in (3, 3, 4))
    assert np.array_equal(first.states, again.states)
    assert not np.array_equal(first.states[0], other.states[0])
    board = Board(get_stage(first.stage).obstacles)
    for turn, actor in enumerate(first.actors):
        assert not first.blocks[turn, :, 1 - actor].any()
        end = board.run_turn(first.states[turn], ("p1", "p2")[actor], first.blocks[turn, :, actor])[-1]
        assert first.states[turn + 1] == pytest.approx(end, abs=0.05)


@pytest.mark.parametrize(
    ("source", "of"), [("strangers", "strangers"), ("matches", "matches"), ("episodes", "matches")]
)
def test_ranks_are_taken_over_matches_of_the_source(pixel_model, source, of):
    def ranked(source: str) -> list[Ranked]:
        return rank_candidates(pixel_model(0.3), 3, ["open"], 2, SMALL, source=source)

    rows = calibrate(pixel_model(0.3), 1, 3, source, ["open"], rank_positions=2, budget=SMALL, workers=1)
    mean = np.mean([position.correlation(0) for position in ranked(of)])
    assert rows[2]["rank_correlation"] == pytest.approx(mean)
    assert not np.array_equal(ranked("strangers")[0].true, ranked("matches")[0].true)


def test_true_costs_are_what_the_board_gives(rng):
    match = next(matches(1, 0, ["open"]))
    halted = Match.restore(match.setup, match.blocks[:5])
    candidates = rng.uniform(-1, 1, (3, 1, 5, 2)).astype(np.float32)
    for candidate, cost in zip(candidates, true_costs(halted, candidates), strict=True):
        end = halted.board.run_turn(halted.state, halted.to_move, candidate[0])[-1]
        assert cost == pytest.approx(np.hypot(*(end[4:6] - halted.stage.goals[halted.to_move])), abs=0.05)


def test_a_model_to_which_all_is_the_same_ranks_nothing(pixel_model, rng):
    row = rank_correlation(rank_candidates(pixel_model(0.0), 0, ["open"], 2, SMALL), rng)
    assert row["rank_correlation"] == 0.0


@pytest.mark.parametrize("cost", [100.0, 100.5])
def test_hundredths_of_a_pixel_are_no_order_to_the_whole_pixel(rng, cost):
    """Most candidates miss the block: they cost the same in truth, and in the model all but the same."""
    true = np.full((2, 96), cost)
    true[:, :12] -= 3.0 * np.arange(1, 13)
    imagined = true + 0.02 * rng.standard_normal(true.shape)
    ranked = Ranked(0, imagined, true)
    assert ranked.correlation(0) < 0.7
    assert ranked.correlation(0, 1.0) == pytest.approx(1.0)
    assert math.isnan(Ranked(0, imagined, 0.001 * (true - cost)).correlation(0, 1.0))
    row = rank_correlation([ranked, ranked], rng)
    assert row["rank_correlation_px"] == pytest.approx(1.0)
    assert row["rank_correlation"] == pytest.approx(ranked.correlation(0))


def test_the_true_costs_rank_themselves(pixel_model, rng, monkeypatch):
    """With the model's own law in place of the board's the correlation is one."""

    def imagined(match, candidates):
        goal = np.array(match.stage.goals[match.to_move])
        ends = model.encode(match.frames(256)[-1:])[0, 0, 4:6] + 0.3 * STEP * candidates.sum(axis=(1, 2))
        return np.hypot(*(ends - goal).T)

    model = pixel_model(0.3)
    monkeypatch.setattr("pushjepa.evaluation.ranking.true_costs", imagined)
    assert rank_correlation(rank_candidates(model, 0, ["open"], 2, SMALL), rng)["rank_correlation"] > 0.99


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"episodes": 0}, "at least 1 episode"),
        ({"seed": -3}, "seed"),
        ({"source": "dreams"}, "choose one of episodes, matches"),
        ({"stages": ["moon"]}, "unknown stage"),
        ({"workers": 0}, "workers"),
    ],
)
def test_bad_input_gets_one_clear_line(pixel_model, values, said):
    with pytest.raises(ValueError, match=said):
        calibrate(**({"model": pixel_model(), "episodes": 1, "seed": 0} | values))
