"""Push-T under other laws: what is kept of an episode is what happened in it, and films show that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")

from pushjepa.adaptation import Usual
from pushjepa.evaluation.pusht_films import draw_play, draw_slots, film_task
from pushjepa.evaluation.pusht_shifts import (
    Course,
    draw_tasks,
    evaluate_pusht_shifts,
    measure_forgetting,
    play_condition,
)
from pushjepa.nets.mech import MechJEPA
from pushjepa.planning import Budget
from pushjepa.pusht.model import PushTModel
from pushjepa.pusht.scene import PushTScene
from pushjepa.pusht.shifts import find_laws
from pushjepa.pusht.simulator import LAWS
from pushjepa.pusht.tasks import Search
from pushjepa.relay.contract import last_history
from pushjepa.runtime.contract import Context

SHIFT = "strong-agent"


@pytest.fixture(scope="module")
def course(tiny_model, expert_data):
    """Two tasks of 20 steps, played by an untrained model that can be told of laws."""
    torch.manual_seed(0)
    model = PushTModel(MechJEPA(replace(tiny_model.net.config, laws=LAWS)))
    usual = Usual((1.0, 1.0), (0.5, 0.5), 4.0, 0.0, 100)
    return Course(expert_data, model, usual, Search(Budget(4, 1, 0.5), horizon=2, receding=1), 10, 20, episodes=2)


@pytest.fixture(scope="module")
def played(course):
    return play_condition(course, SHIFT, "frozen", 0)


def test_every_step_of_an_episode_is_kept_as_it_was(course, played):
    scene = PushTScene(64, find_laws(SHIFT))
    for life, actions in zip(played.lives, played.actions, strict=True):
        known = np.isfinite(actions).all(axis=1).sum()
        states = np.array(life.states[:known])
        assert known >= 15
        assert len(np.unique(states, axis=0)) == known, "a World writes each observation over the one before"
        assert states[0] == pytest.approx(life.states[0])
        off = np.abs(np.stack(life.frames[:known]).astype(int) - scene.draw_many(states)).mean(axis=(1, 2, 3))
        assert off.max() < 0.5, "each frame is that of its state, but for marks of contact"


def test_the_first_prediction_begins_at_the_first_frame(course, played):
    life, none = played.lives[0], np.zeros(0, dtype=np.int64)
    past = last_history(course.model.encode(life.frames[0][None]), np.zeros((0, 5, 1, 2)), none, 3)
    context = Context(past.items.astype(np.float32), past.blocks.astype(np.float32), past.actors)
    block = played.actions[0][:5].astype(np.float32).reshape(1, 1, 5, 1, 2)
    expected = course.model.decode(course.model.rollout(context, block, np.zeros(1, dtype=np.int64))[0, 0])
    assert life.events[0].predicted == pytest.approx(expected, abs=1e-3)


def test_the_block_s_error_is_of_where_it_was_at_that_boundary(course, played):
    kept = {}
    rows = evaluate_pusht_shifts(
        course, (SHIFT,), ("frozen",), keep=lambda shift, way, some: kept.__setitem__((shift, way), some)
    )
    assert [(row["shift"], row["condition"], row["n"]) for row in rows] == [("none", "frozen", 2), (SHIFT, "frozen", 2)]
    for life, trial in zip(played.lives, kept[SHIFT, "frozen"], strict=True):
        for number, event in enumerate(life.events):
            true = life.states[5 * event.turn][2:4]
            assert trial.foreseen.block_px[number] == pytest.approx(np.hypot(*(event.predicted[2:4] - true)))


def test_the_same_seed_plays_the_same_episodes(course, played):
    again = play_condition(course, SHIFT, "frozen", 0)
    assert again.solved == played.solved
    for one, other in zip(again.actions, played.actions, strict=True):
        assert np.array_equal(one, other, equal_nan=True)


def test_oracle_plays_the_same_tasks_without_a_mind(course):
    assert len(draw_tasks(course, 0).episodes) == 2
    oracle = play_condition(course, SHIFT, "oracle", 0)
    assert len(oracle.solved) == 2
    assert oracle.lives == []


def test_a_mind_that_believes_nothing_forgets_nothing(course):
    idle = replace(course, usual=Usual((9.0, 9.0), (0.5, 0.5), 99.0, 0.0, 100))
    row = measure_forgetting(idle, SHIFT, 1)[0]
    assert row["in_distribution_before"] == row["in_distribution_after"]
    assert row["lost"] == 0.0


def test_a_model_that_nobody_calibrated_is_refused(course):
    with pytest.raises(ValueError, match="was not calibrated"):
        evaluate_pusht_shifts(replace(course, usual=replace(course.usual, threshold=np.inf)), (SHIFT,), ("frozen",))


def test_films_show_the_expert_and_both_sides(course):
    filmed = film_task(course, SHIFT, 0)
    assert len(filmed.expert) == 11
    assert (filmed.goal == filmed.expert[-1]).all()
    assert [side.title for side in filmed.sides] == ["frozen", "adapted"]
    assert (filmed.sides[0].frames[0] == filmed.sides[1].frames[0]).all(), "the same start"
    frames = draw_play(filmed, 5, size=64)
    length = max(len(side.frames) for side in filmed.sides)
    assert len(frames) == length
    assert frames[0].shape == (64 + 40 + 58, 3 * 64 + 2 * 6, 3)
    read = [np.array([[100.0, 100.0, 250.0, 250.0, 0.5]] * len(side.frames)) for side in filmed.sides]
    slots = draw_slots(filmed, read, 5, size=64)
    assert len(slots) == length
    assert slots[0][40 : 40 + 64].std() > 5.0
