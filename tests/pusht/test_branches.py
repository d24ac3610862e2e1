"""Branches leave their trajectory where it was, go on by the simulator's law, and depend on nothing but the seed."""

from __future__ import annotations

import numpy as np
import pytest

from pushjepa.pusht.branches import LEAD, RANGES, STEPS, draw_laws, make_branches, make_shifted_branches
from pushjepa.pusht.collect import MOVED, CollectOptions, Trajectories, make_trajectory
from pushjepa.pusht.simulator import BLOCK_SHAPES, LAWS, PushTPhysics, Simulator, tell_laws


@pytest.fixture(scope="module")
def trajectories():
    made = [make_trajectory(CollectOptions(seed=5, limit=80), number) for number in range(3)]
    return Trajectories.of([trajectory for trajectory, _ in made], [clean for _, clean in made])


def spans(trajectories):
    return [
        slice(first, first + length) for first, length in zip(trajectories.offsets, trajectories.lengths, strict=True)
    ]


def test_a_branch_keeps_its_past_and_goes_on_by_the_law(trajectories):
    branches = make_branches(trajectories, 60, 1, workers=1)
    assert len(branches) == 60
    rows = {state.tobytes(): index for index, state in enumerate(trajectories.states)}
    leads, strayed = [], []
    for span in spans(branches):
        states, actions = branches.states[span], branches.actions[span]
        lead = len(states) - 1 - STEPS
        row = rows[states[lead].tobytes()]
        first = max(o for o in trajectories.offsets if o <= row)
        assert lead == min(LEAD, row - first)
        assert np.array_equal(states[: lead + 1], trajectories.states[row - lead : row + 1])
        assert np.array_equal(actions[:lead], trajectories.actions[row - lead : row])
        played = actions[lead:-1]
        assert np.isnan(actions[-1]).all()
        assert np.abs(played).max() <= 1.0
        assert np.array_equal(Simulator().run(states[lead], played), states[lead + 1 :])
        leads.append(lead)
        strayed.append(np.abs(played[0] - np.nan_to_num(trajectories.actions[row])).max())
    assert set(leads) & set(range(LEAD)), "some leave near a trajectory's start"
    assert max(leads) == LEAD
    assert min(strayed) < 0.1 < 0.5 < max(strayed), "some hands stray little, some far"


def test_most_leave_where_the_block_moves(trajectories):
    branches = make_branches(trajectories, 200, 2, workers=1)
    leaving = branches.offsets + branches.lengths - 1 - STEPS
    at = {state.tobytes(): index for index, state in enumerate(trajectories.states)}
    rows = np.array([at[branches.states[row].tobytes()] for row in leaving])
    assert (trajectories.travel(rows, 5) > MOVED).mean() > 0.7


def test_branches_depend_on_the_seed_alone(trajectories):
    one, two = (make_branches(trajectories, 260, 3, workers=workers) for workers in (1, 2))
    assert np.array_equal(one.states, two.states)
    assert np.array_equal(one.actions, two.actions, equal_nan=True)
    assert not np.array_equal(one.states[:50], make_branches(trajectories, 260, 4, workers=1).states[:50])


def test_no_branches_are_refused(trajectories):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        make_branches(trajectories, 0, 1)
    with pytest.raises(ValueError, match="longer than one block"):
        make_branches(_short(trajectories), 1, 1, workers=1)


def _short(trajectories):
    rows = slice(0, 4)
    return Trajectories(
        trajectories.states[rows],
        trajectories.actions[rows],
        trajectories.goals[:1],
        np.array([4]),
        trajectories.solved[:1],
        trajectories.clean[:1],
    )


def test_no_shifted_branches_are_refused(trajectories):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        make_shifted_branches(trajectories, 0, 1)


def test_shifted_branches_obey_their_own_laws(trajectories):
    branches, laws = make_shifted_branches(trajectories, 60, 1, workers=1)
    assert len(branches) == len(laws) == 60
    assert len(set(laws)) == 3, "25 neighbours share theirs"
    for span, physics in zip(spans(branches), laws, strict=True):
        states, actions = branches.states[span], branches.actions[span]
        assert len(states) == STEPS + 1
        assert not states[0, 5:].any()
        assert np.array_equal(Simulator(physics).run(states[0], actions[:-1]), states[1:])
    again, same = make_shifted_branches(trajectories, 60, 1, workers=2)
    assert same == laws
    assert np.array_equal(again.states, branches.states)
    assert make_shifted_branches(trajectories, 60, 2, workers=1)[1] != laws


def test_drawn_laws_cover_what_they_may(rng):
    drawn = [draw_laws(rng) for _ in range(400)]
    standard = PushTPhysics()
    for name, (low, high) in RANGES.items():
        values = np.array([getattr(physics, name) for physics in drawn])
        changed = values[values != getattr(standard, name)]
        assert 0.4 < len(changed) / 400 < 0.6
        assert low <= changed.min() < low + 0.1 * (high - low) < high - 0.1 * (high - low) < changed.max() <= high
    assert {physics.block_shape for physics in drawn} == set(BLOCK_SHAPES)
    told = np.stack([tell_laws(physics) for physics in drawn])
    assert told.shape == (400, LAWS)
    assert np.abs(told).max() < 1.5
    assert (told.std(axis=0) > 0.2).all()
    assert not tell_laws(standard).any()
