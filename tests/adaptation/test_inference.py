"""Laws are found again from what they led to, in a world whose laws are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pushjepa.adaptation import infer_laws, inference
from pushjepa.adaptation.inference import cost_of, rollout_cost_of

NONE = np.zeros(3)


def off(transition, *by):
    """The same transition, but that its end was seen elsewhere by so much."""
    return replace(transition, seen=transition.seen + np.array(by))


@pytest.mark.parametrize(("count", "close"), [(1, 0.12), (3, 0.05), (8, 0.03)])
@pytest.mark.parametrize("laws", [[0.5, 0.0, 0.0], [-0.6, 0.4, 0.0], [0.3, -0.7, 1.0]], ids=str)
def test_laws_are_found_again(toys, laws, count, close):
    found = infer_laws(toys.Toy(), toys.transitions(np.array(laws), count), NONE, toys.space)
    assert found.conditions == pytest.approx(laws, abs=close)
    assert found.cost < found.cost_before


def test_one_outlier_among_eight_does_not_matter(toys):
    laws = np.array([0.5, 0.4, 0.0])
    seen = toys.transitions(laws, 8)
    seen[3] = off(seen[3], 120.0, -80.0, 90.0, 50.0, 1.0)
    assert infer_laws(toys.Toy(), seen, NONE, toys.space).conditions == pytest.approx(laws, abs=0.06)


def test_what_the_standard_laws_explain_stays_standard(toys):
    seen = toys.transitions(NONE, 8)
    for index, one in enumerate(seen):
        seen[index] = replace(one, seen=one.seen + np.random.default_rng(index).normal(0, 1.5, 5) * [1, 1, 1, 1, 0.02])
    assert infer_laws(toys.Toy(), seen, NONE, toys.space).conditions == pytest.approx(NONE, abs=0.06)


def test_no_steps_change_nothing(toys):
    current = np.array([0.1, -0.2, 0.0])
    toy = toys.Toy()
    found = infer_laws(toy, toys.transitions([0.5, 0.0, 0.0], 3), current, toys.space, steps=0)
    assert found.conditions.tobytes() == current.tobytes()
    assert found.cost == found.cost_before
    assert found.looks == 3


def test_no_step_is_begun_after_the_time_is_up(toys, monkeypatch):
    seen, toy, clock = toys.transitions([0.5, 0.2, 0.0], 4), toys.Toy(), iter(range(1000))
    monkeypatch.setattr(inference.time, "perf_counter", lambda: float(next(clock)))
    # Looked at once a step: begun at 0, steps at 1 and 2 are in time, the one at 3 is not, nor any of the second guess.
    infer_laws(toy, seen, NONE, toys.space, steps=50, seconds=2.5)
    looks = [entry for entry in toy.log if entry[0] == "foresee"]
    assert len(looks) == 2 + 2 * 2  # what is believed, the guesses, and two for each step


def test_laws_stay_where_training_went(toys):
    far = np.array([1.6, -1.5, 1.0])
    toy = toys.Toy()
    found = infer_laws(toy, toys.transitions(far, 8), NONE, toys.space)
    assert found.conditions == pytest.approx([1.0, -1.0, 1.0], abs=5e-3)
    asked = np.concatenate([entry[5] for entry in toy.log if entry[0] == "foresee"])
    assert (asked <= toys.space.high + 1e-6).all()
    # Only the differences may look a little below.
    assert (asked >= toys.space.low - 1e-6).all()


def test_the_same_question_has_the_same_answer(toys):
    seen = toys.transitions([0.4, -0.3, 0.0], 5)
    one, other = (infer_laws(toys.Toy(), seen, NONE, toys.space) for _ in range(2))
    assert one.conditions.tobytes() == other.conditions.tobytes()
    assert (one.cost, one.looks) == (other.cost, other.looks)


def test_each_look_pairs_a_transition_s_own_parts(toys):
    seen, toy = toys.transitions([0.5, 0.0, 0.0], 3), toys.Toy()
    infer_laws(toy, seen, NONE, toys.space, steps=1)
    for _, latents, earlier, blocks, actors, _ in toy.log:
        assert len(latents) % 3 == 0
        for row in range(len(latents)):
            one = seen[row % 3]
            assert (latents[row] == one.latents).all()
            assert (earlier[row] == one.earlier).all()
            assert (blocks[row] == one.block).all()
            assert actors[row] == 0


def test_nothing_seen_is_no_ground_for_laws(toys):
    with pytest.raises(ValueError, match="at least one transition"):
        infer_laws(toys.Toy(), [], NONE, toys.space)


def test_costs_are_nats(toys):
    seen = toys.transitions(NONE, 2)
    seen[1] = off(seen[1], 5.0, 0.0, 0.0, 0.0, 0.0)  # the agent is two noises off
    toy = toys.Toy()
    assert cost_of(toy, seen, NONE) == pytest.approx(2 * np.log(3), abs=1e-3)  # (f + 2) / 2 log(1 + 4 / f), f = 2
    assert rollout_cost_of(toy, seen, NONE) == pytest.approx(2 * np.log(3), abs=1e-3)


def test_a_rollout_s_cost_is_of_all_that_the_model_has(toys):
    seen, wrong = toys.transitions([0.5, 0.0, 0.0], 2), toys.Toy(error=[5.0, 0.0, 0.0, 0.0, 0.0])
    laws = np.array([0.5, 0.0, 0.0])
    assert cost_of(wrong, seen, laws) == pytest.approx(0.0, abs=1e-3)
    assert rollout_cost_of(wrong, seen, laws) == pytest.approx(4 * np.log(3), abs=1e-2)
    with pytest.raises(ValueError, match="context"):
        rollout_cost_of(wrong, [replace(seen[0], context=None)], laws)


def test_guesses_begin_with_the_belief_the_standard_and_each_shape(toys):
    starts = toys.space.starts(np.array([0.1, 0.2, 0.0]))
    assert starts.tolist() == [[0.1, 0.2, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert toys.space.starts(NONE).tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], "the standard laws count once"
    assert replace(toys.space, shapes=0).starts(NONE).shape == (1, 3)
