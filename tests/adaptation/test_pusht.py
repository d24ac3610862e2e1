"""Minds in stable-worldmodel's environments: one each, asked at every boundary of its own."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")

from pushjepa.adaptation import Options, SystemM
from pushjepa.adaptation.pusht import PUSHT_LAWS, AdaptivePolicy
from pushjepa.adaptation.relooking import Relooking, given_of
from pushjepa.planning import Budget
from pushjepa.pusht.adapters import BlockPlanner, state_cost
from pushjepa.pusht.stable import PlanConfig


def observation(numbers, **more):
    """Frames whose first pixel is a number, and states that begin with it."""
    count = len(numbers)
    pixels = np.zeros((count, 1, 16, 16, 3), dtype=np.uint8)
    pixels[:, 0, 0, 1:5] = 100
    pixels[:, 0, 0, 0] = np.array(numbers)[:, None]
    state = np.zeros((count, 1, 7))
    state[:, 0, 0] = numbers
    goal = np.full((count, 1, 16, 16, 3), 200, dtype=np.uint8)
    return {"pixels": pixels, "state": state, "goal": goal, "goal_state": np.zeros((count, 1, 7)), **more}


@pytest.fixture
def make(toys):
    """A policy over the toy, for so many environments, each with its own mind and its own model."""

    def make(count=1, model=toys.Toy, receding=1, **options):
        def mind(index):
            return SystemM(model(), toys.usual, toys.space, Options(seconds=60.0, **options))

        planner = BlockPlanner(toys.Toy(), Budget(4, 1))
        policy = AdaptivePolicy(mind, planner, planner, PlanConfig(2, receding, action_block=5, warm_start=False))
        single = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        many = gymnasium.spaces.Box(-1.0, 1.0, (count, 2), np.float32)
        policy.set_env(SimpleNamespace(num_envs=count, action_space=many, single_action_space=single))
        return policy

    return make


def lived(policy, index=0):
    """What the mind of an environment was asked to predict from: the contexts and the blocks."""
    asked = [entry for entry in policy.minds[index].model.log if entry[0] == "rollout" and len(entry[2]) == 1]
    return [entry[1] for entry in asked], [entry[2][0, 0] for entry in asked]


def test_boundaries_are_lived_through_every_frameskip_steps(make):
    policy = make(adapt=False)
    played = np.array([policy.get_action(observation([step]))[0] for step in range(17)])
    assert [event.turn for event in policy.minds[0].events] == [1, 2, 3]
    contexts, blocks = lived(policy)
    seen = [np.round(context.latents[:, 0, 0] * 100).tolist() for context in contexts]
    assert seen == [[0, 0, 0], [0, 0, 5], [0, 5, 10]]
    for turn, block in enumerate(blocks):
        assert block[:, 0] == pytest.approx(played[5 * turn : 5 * turn + 5], abs=1e-6)
        if turn:
            assert contexts[turn].blocks[-1, :, 0] == pytest.approx(played[5 * turn - 5 : 5 * turn], abs=1e-6)


def test_what_is_seen_is_the_frame_at_the_boundary(make):
    policy = make(adapt=False)
    policy.minds[0].model.log.clear()
    for step in range(6):
        policy.get_action(observation([10 * step]))
    asked = [entry[1] for entry in policy.minds[0].model.log if entry[0] == "decode"]
    states = next(latents for latents in asked if latents.shape == (3, 1, 5))  # before, predicted, seen
    assert states[0, 0, 0] == 0.0
    assert states[2, 0, 0] == pytest.approx(0.5)


def test_a_reset_of_one_environment_leaves_the_other_s_mind_alone(make):
    policy = make(2)
    for step in range(8):
        policy.get_action(observation([step, 100 + step]))
    assert [len(mind.events) for mind in policy.minds] == [1, 1]
    policy.get_action(observation([50, 108], _needs_flush=np.array([True, False])))
    assert [len(mind.events) for mind in policy.minds] == [0, 1]
    for step in range(1, 6):
        policy.get_action(observation([50 + step, 108 + step]))
    assert [len(mind.events) for mind in policy.minds] == [1, 2]
    # Counted from its own reset: the other's boundary came two steps after it.
    assert np.round(lived(policy, 0)[0][-1].latents[:, 0, 0] * 100).tolist() == [50, 50, 50]
    assert np.round(lived(policy, 1)[0][-1].latents[:, 0, 0] * 100).tolist() == [100, 100, 105]


def test_an_episode_begins_with_its_first_frame(make):
    policy = make(2, adapt=False)
    begun = [[], []]
    for mind, frames in zip(policy.minds, begun, strict=True):
        mind.begin = lambda frame, frames=frames: frames.append(int(frame[0, 0, 0]))
    for step in range(8):
        resets = np.array([step == 0, step in (0, 6)])
        policy.get_action(observation([step, 100 + step], _needs_flush=resets))
    assert begun == [[0], [100, 106]]


def test_lives_tell_of_each_episode_apart(make):
    policy = make()
    policy.get_action(observation([0], _needs_flush=np.array([True])))
    for step in range(1, 6):
        policy.get_action(observation([step]))
    policy.get_action(observation([70], _needs_flush=np.array([True])))
    for step in range(1, 11):
        policy.get_action(observation([70 + step]))
    first, second = policy.lives[0]
    assert [len(first.events), len(second.events)] == [1, 2]
    assert [state[0] for state in first.states] == [0, 1, 2, 3, 4, 5]
    assert [frame[0, 0, 0] for frame in second.frames] == list(range(70, 81))
    assert second.events is policy.minds[0].events


def test_each_mind_s_own_world_is_planned_in(make):
    policy = make(2)
    policy.minds[1].conditions = np.array([0.5, 0.0, 0.0])
    policy.get_action(observation([0, 100]))
    first, second = (
        [entry[4] for entry in mind.model.log if entry[0] == "rollout" and len(entry[2]) == 4] for mind in policy.minds
    )
    assert first
    assert all(one is None for one in first)
    assert all(one[0] == 0.5 for one in second)
    assert len(first) == len(second)


def test_a_plan_for_a_world_that_is_no_longer_believed_in_is_dropped(make):
    policy = make(2, receding=2, adapt=False)
    planned, begun = [], []
    plan = policy.planner.plan

    def watched(seen, start, model):
        planned.append(model.mind)
        begun.append(start.copy())
        return plan(seen, start, model)

    policy.planner.plan = watched
    modulate = policy.minds[1].modulate
    policy.minds[1].modulate = lambda seen: replace(modulate(seen), act="infer")
    for step in range(11):
        if step == 5:
            policy._next_init = torch.ones(2, 1, 10)
        policy.get_action(observation([step, 100 + step]))
        first, second = ([one for one in planned if one is mind] for mind in policy.minds)
        assert [len(first), len(second)] == [1 + step // 10, 1 + step // 5]
        if step == 5:
            assert not begun[-1].any(), "nor is the next plan searched for about where the dropped one would have been"


def test_a_mind_that_comes_to_look_otherwise_sees_past_and_goal_so(make, toys):
    """The toy's second look adds a px to the agent's x, so that who looked can be told from what is known."""

    class Twice(toys.Toy):
        spec = replace(toys.Toy.spec, visible=(1,))

        def look(self, frames):
            latents = self.encode(frames)
            latents[..., 0] += 0.01
            return latents, np.zeros((len(frames), 3), dtype=np.float32)

    policy = make(2, model=Twice, adapt=False)
    for step in range(11):
        policy.get_action(observation([step, 100 + step]))
    policy.minds[1].model = Relooking(policy.minds[1].model)
    planned = [[], []]
    for mind, asked in zip(policy.minds, planned, strict=True):
        given = given_of(mind.model)
        rollout = given.rollout
        given.rollout = lambda *args, asked=asked, rollout=rollout: (asked.append(args), rollout(*args))[1]
    goals = []
    policy.planner.sight.cost = lambda state, latent: (goals.append(latent[0, 0] * 100), state_cost(state, latent))[1]
    for step in range(11, 16):
        policy.get_action(observation([step, 100 + step]))
    lived = [[np.round(args[0].latents[:, 0, 0] * 100).tolist() for args in asked] for asked in planned]
    assert [0, 5, 10] in lived[0]
    assert [101, 106, 111] in lived[1]
    assert [100, 105, 110] in lived[1], "what the model as given would have foreseen"
    searched = [[args[0].latents[-1, 0, 0] * 100 for args in asked if len(args[1]) == 4] for asked in planned]
    assert {round(float(x)) for x in searched[0]} == {15}
    assert {round(float(x)) for x in searched[1]} == {116}
    assert np.round(goals[-2:]).tolist() == [200, 201]


def test_who_has_ended_lives_through_nothing_more(make):
    policy = make(2)
    for step in range(12):
        ended = {"terminated": np.array([True, False])} if step >= 7 else {}
        policy.get_action(observation([step, 100 + step], **ended))
    assert [len(mind.events) for mind in policy.minds] == [1, 2]
    assert all(np.isfinite(event.level) for mind in policy.minds for event in mind.events)


def test_minds_share_nothing_and_the_same_play_is_alike(make):
    policy, again = make(2), make(2)
    for step in range(11):
        moves = [one.get_action(observation([step, 3 * step])) for one in (policy, again)]
        assert moves[0].tobytes() == moves[1].tobytes()
    one, other = policy.minds
    assert one is not other
    assert [event.surprise.px for event in one.events] != [event.surprise.px for event in other.events]
    assert [event.surprise.px for event in one.events] == [event.surprise.px for event in again.minds[0].events]


def test_a_frameskip_between_boundaries_asks_nothing(make):
    policy = make()
    for step in range(5):
        policy.get_action(observation([step]))
    assert policy.minds[0].events == []
    assert lived(policy) == ([], [])


def test_the_space_of_laws_has_the_standard_ones_in_it():
    assert (PUSHT_LAWS.low <= 0.0).all()
    assert (PUSHT_LAWS.high >= 0.0).all()
    assert (PUSHT_LAWS.low < PUSHT_LAWS.high).all()
