"""The published test of System M on multiplied slots: what is scored when, and that nothing leaks."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")

from pushjepa.evaluation.latent_shift import (
    LatentShift,
    NetMind,
    Recorded,
    _context,
    evaluate_latent_shift,
    find_threshold,
    live_through,
    record,
)
from pushjepa.pusht.model import PushTModel


def episode(count=8, slots=2, width=3):
    """Slots that hold their own boundary's number, and blocks that hold the number of the one that they begin at."""
    numbers = np.arange(count, dtype=np.float32)
    return Recorded(
        np.broadcast_to(numbers[:, None, None], (count, slots, width)).copy(),
        np.broadcast_to(numbers[:-1, None, None, None], (count - 1, 5, 1, 2)).copy(),
    )


class Recording:
    """Foresees that slots grow by what it has learned, at first by nothing; keeps what it was asked, in order."""

    def __init__(self):
        self.log, self.learned = [], 0.0

    def foresee(self, context, blocks):
        self.log.append(("foresee", context.latents[-1, 0, 0], blocks[:, 0, 0, 0].tolist()))
        return np.repeat(context.latents[-1:] + self.learned, len(blocks), axis=0)

    def learn(self, context, block, seen):
        self.log.append(("learn", context.latents[-1, 0, 0], block[0, 0, 0], seen[0, 0]))
        self.learned = 1.0


def test_a_prediction_is_scored_before_its_frame_is_learned_from():
    mind = Recording()
    scored = live_through(mind, episode(), threshold=0.5, history=3, ahead=5)
    # The first prediction is off by one block; from then on it has learned that every block adds 1.
    assert scored.surprise == pytest.approx([1.0] + [0.0] * 6)
    assert scored.adaptations == 1
    learned = mind.log.index(("learn", 0.0, 0.0, 1.0))
    assert ("foresee", 0.0, [0.0]) in mind.log[:learned]
    # No plan that was scored reaches back to a frame that was learned from.
    assert scored.plan_error == pytest.approx([25.0, 16.0, 16.0])


def test_each_boundary_is_foreseen_with_its_own_block():
    mind = Recording()
    live_through(mind, episode(), np.inf, history=3, ahead=5)
    assert [one[1:] for one in mind.log if len(one[2]) == 1] == [(float(now), [float(now)]) for now in range(7)]
    plans = [one[1:] for one in mind.log if len(one[2]) == 5]
    assert plans == [(float(now), [float(now + step) for step in range(5)]) for now in range(3)]


def test_scaling_by_one_changes_nothing_and_a_frozen_mind_learns_nothing():
    once = episode()
    assert (once.scaled(1.0).slots == once.slots).all()
    assert once.scaled(1.4).slots[1, 0, 0] == pytest.approx(1.4)
    assert (once.scaled(1.4).blocks == once.blocks).all()
    assert live_through(Recording(), once, np.inf, history=3, ahead=5).adaptations == 0


def test_a_threshold_keeps_to_its_rate():
    surprises = [[0.1, 0.4], [0.3, 0.2, 0.5]]
    assert find_threshold(surprises, 0.0) == 0.5
    assert find_threshold(surprises, 0.2) == 0.4
    assert find_threshold(surprises, 0.39) == 0.4
    assert find_threshold(surprises, 0.4) == 0.3
    with pytest.raises(ValueError, match="lies in"):
        find_threshold(surprises, 1.0)
    with pytest.raises(ValueError, match="at least one episode"):
        find_threshold([[]], 0.1)


@pytest.fixture
def recorded(tiny_model, expert_data):
    return record(tiny_model, expert_data, 0)


def test_a_recording_pairs_frames_with_the_actions_after_them(tiny_model, expert_data, recorded):
    states, actions = expert_data.trajectory(0)
    count = (len(states) - 1) // 5
    assert recorded.slots.shape == (count + 1, 3, 16)
    assert recorded.blocks.shape == (count, 5, 1, 2)
    assert np.isfinite(recorded.blocks).all()
    assert (recorded.blocks.reshape(-1, 2) == actions[: 5 * count]).all()
    frame = expert_data.load_chunk(*(np.array([v]) for v in (0, 10, 11)))[0]["pixels"].permute(0, 2, 3, 1).numpy()
    assert recorded.slots[2] == pytest.approx(tiny_model.encode(frame)[0], abs=1e-5)


def test_an_unscaled_episode_that_was_calibrated_on_gives_no_alarm(tiny_model, recorded):
    settings = LatentShift(scale=1.0)
    frozen = live_through(NetMind(tiny_model, settings), recorded, np.inf, 3, settings.ahead)
    threshold = find_threshold([frozen.surprise], 0.0)
    mind = NetMind(tiny_model, settings)
    adapted = live_through(mind, recorded.scaled(1.0), threshold, 3, settings.ahead)
    assert adapted == frozen
    assert adapted.adaptations == 0


def test_what_is_learned_from_is_what_a_rollout_foresees(tiny_model, recorded):
    torch.manual_seed(1)
    model = PushTModel(copy.deepcopy(tiny_model.net))
    for part in (model.net.lift, model.net.anchor):  # begin at zero: what the unroll imagines would not matter
        torch.nn.init.normal_(part.weight)
    mind = NetMind(model, LatentShift())
    for now in (0, 1, 4):
        context, block = _context(recorded, now, 3), recorded.blocks[now]
        with torch.no_grad():
            one = mind._predict(context, block).numpy()
        assert one == pytest.approx(mind.foresee(context, block[None])[0], abs=1e-5)


def test_learning_helps_and_leaves_the_given_model_alone(tiny_model, recorded):
    before = {name: value.clone() for name, value in tiny_model.net.state_dict().items()}
    mind = NetMind(tiny_model, LatentShift(steps=20, codebook_rate=1e-2, predictor_rate=1e-2))
    context, block, seen = _context(recorded, 3, 3), recorded.blocks[3], recorded.scaled(1.4).slots[4]
    first = np.square(mind.foresee(context, block[None])[0] - seen).mean()
    mind.learn(context, block, seen)
    assert np.square(mind.foresee(context, block[None])[0] - seen).mean() < 0.9 * first
    assert all((before[name] == value).all() for name, value in tiny_model.net.state_dict().items())
    changed = [name for name, value in mind.net.state_dict().items() if not (before[name] == value).all()]
    assert changed
    assert all(name.startswith("predictor.") or name == "memory.codebook._codebook.embed" for name in changed)


def test_no_steps_are_frozen(tiny_model, recorded):
    scaled = recorded.scaled(1.4)
    frozen, idle = (NetMind(tiny_model, LatentShift(steps=0)) for _ in range(2))
    one = live_through(frozen, scaled, np.inf, 3, 5)
    other = live_through(idle, scaled, 0.0, 3, 5)
    assert (other.surprise, other.plan_error) == (one.surprise, one.plan_error)
    assert other.adaptations == len(other.surprise)


def test_the_whole_test_gives_the_same_row_twice(tiny_model, expert_data):
    told = []

    def run():
        return evaluate_latent_shift(
            tiny_model, expert_data, episodes=1, calibration=1, rate=0.0, progress=lambda *done: told.append(done)
        )

    row = run()
    assert row == run()
    assert told == [(1, 1)] * 2
    assert row["calibration_alarms"] == 0
    assert row["adaptations"] == row["by_episode"][0]["adaptations"]
    assert row["surprise_frozen"] == pytest.approx(row["by_episode"][0]["surprise_frozen"])


def test_bad_settings_are_refused(tiny_model, expert_data):
    with pytest.raises(ValueError, match="must be positive"):
        LatentShift(scale=0.0)
    with pytest.raises(ValueError, match="at least 1"):
        LatentShift(ahead=0)
    with pytest.raises(ValueError, match="episodes of more than 30 rows are asked for"):
        evaluate_latent_shift(tiny_model, expert_data, episodes=50)
