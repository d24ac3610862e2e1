"""Our models under stable-worldmodel's policies and solvers: above all, which action belongs to which frame."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")

from pushjepa.planning import Budget
from pushjepa.pusht.adapters import ActionNormaliser, BlockPlanner, CostModel, Doubt, HistoryPolicy, Seen
from pushjepa.pusht.oracle import GoalState, PushTSimulatorModel
from pushjepa.pusht.simulator import Simulator
from pushjepa.pusht.stable import PlanConfig
from pushjepa.runtime.contract import Context, ModelSpec


class RecordingModel:
    """Sees in a frame the number that is its colour; keeps every context and all candidates that it is asked about."""

    spec = ModelSpec(1, 7, 1, 5, 3, 16, tuple("abcdefg"))

    def __init__(self):
        self.contexts, self.candidates = [], []

    def encode(self, frames):
        latents = np.zeros((len(frames), 1, 7), dtype=np.float32)
        latents[:, 0, 0] = frames[:, 0, 0, 0]
        return latents

    def rollout(self, context, candidates, actors, conditions=None):
        self.contexts.append(context)
        self.candidates.append(candidates)
        return np.zeros((*candidates.shape[:2], 1, 7), dtype=np.float32)

    def decode(self, latents):
        return latents[..., 0, :].astype(np.float64)


def fake_env(count):
    single = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    many = gymnasium.spaces.Box(-1.0, 1.0, (count, 2), np.float32)
    return SimpleNamespace(num_envs=count, action_space=many, single_action_space=single)


def observation(numbers, **more):
    """Frames of one colour each, and states that begin with the same number."""
    count = len(numbers)
    pixels = np.zeros((count, 1, 16, 16, 3), dtype=np.uint8)
    state = np.zeros((count, 1, 7))
    for row, number in enumerate(numbers):
        pixels[row], state[row, 0, 0] = number, number
    goal = np.full((count, 1, 16, 16, 3), 200, dtype=np.uint8)
    return {"pixels": pixels, "state": state, "goal": goal, "goal_state": np.zeros((count, 1, 7)), **more}


def policy_of(model, count=1, receding=1, horizon=2):
    planner = BlockPlanner(model, Budget(4, 1))
    policy = HistoryPolicy(planner, PlanConfig(horizon, receding, action_block=5, warm_start=False), model.spec.history)
    policy.set_env(fake_env(count))
    return policy


def test_frames_and_the_actions_between_them_belong_together():
    model = RecordingModel()
    policy = policy_of(model)
    played = np.array([policy.get_action(observation([step]))[0] for step in range(16)])
    # One plan each time a block of five steps was played.
    assert [context.latents[:, 0, 0].tolist() for context in model.contexts] == [
        [0, 0, 0],
        [0, 0, 5],
        [0, 5, 10],
        [5, 10, 15],
    ]
    last = model.contexts[-1]
    assert last.blocks[:, :, 0].reshape(10, 2) == pytest.approx(played[5:15], abs=1e-6)
    assert model.contexts[1].blocks[1, :, 0] == pytest.approx(played[:5], abs=1e-6)
    assert not model.contexts[1].blocks[0].any()
    assert [context.actors.tolist() for context in model.contexts] == [[-1, -1], [-1, 0], [0, 0], [0, 0]]


def test_what_is_past_stays_as_it_was_seen():
    """A World writes each observation over the one before, in the same arrays."""
    model = RecordingModel()
    policy = policy_of(model)
    shown = observation([0])
    for step in range(11):
        shown["pixels"][:], shown["state"][0, 0, 0] = step, step
        policy.get_action(shown)
    assert model.contexts[-1].latents[:, 0, 0].tolist() == [0, 5, 10]
    assert [state[0] for state in policy.past[0].states] == list(range(11))


def test_a_plan_is_played_from_its_first_step_on():
    model = RecordingModel()
    policy = policy_of(model, receding=2)
    played = np.array([policy.get_action(observation([step]))[0] for step in range(11)])
    assert len(model.contexts) == 2
    # All plans cost the same, so the first candidate of the search is the plan.
    assert played[:10] == pytest.approx(model.candidates[0][0].reshape(10, 2), abs=1e-6)


def test_a_reset_of_one_environment_leaves_the_other_s_past_alone():
    model = RecordingModel()
    policy = policy_of(model, count=2)
    for step in range(5):
        policy.get_action(observation([step, 100 + step]))
    model.contexts.clear()
    policy.get_action(observation([50, 105], _needs_flush=np.array([True, False])))
    fresh, other = (context.latents[:, 0, 0].tolist() for context in model.contexts)
    assert fresh == [50, 50, 50]
    assert other == [100, 100, 105]


def test_what_has_ended_is_not_planned_for():
    model = RecordingModel()
    policy = policy_of(model, count=2)
    policy.get_action(observation([0, 100]))
    actions = policy.get_action(observation([1, 101], terminated=np.array([True, False])))
    assert np.isnan(actions[0]).all()
    assert np.isfinite(actions[1]).all()


def test_two_policies_share_nothing():
    one, two = policy_of(RecordingModel()), policy_of(RecordingModel())
    one.get_action(observation([3]))
    assert two.past[0].frames == []


def test_normalised_actions_come_back():
    actions = np.array([[0.1, -0.2], [0.5, 0.4], [np.nan, np.nan], [-0.3, 0.1]])
    normaliser = ActionNormaliser.of(actions)
    known = actions[[0, 1, 3]]
    assert normaliser.transform(known).mean(axis=0) == pytest.approx([0, 0])
    assert normaliser.transform(known).std(axis=0) == pytest.approx([1, 1])
    assert normaliser.inverse_transform(normaliser.transform(known)) == pytest.approx(known)
    blocks = known.reshape(1, 6)
    assert normaliser.inverse_transform(blocks).reshape(3, 2) == pytest.approx(normaliser.inverse_transform(known))


def test_missing_action_statistics_are_one_line():
    with pytest.raises(ValueError, match="at least one action"):
        ActionNormaliser.of(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="must be positive"):
        ActionNormaliser.of(np.zeros((3, 2)))


def oracle_observation(start, goal):
    info = observation([0])
    info["history_state"] = start[None, None]
    info["history_blocks"] = np.zeros((1, 0, 5, 1, 2), dtype=np.float32)
    info["history_actors"] = np.zeros((1, 0), dtype=np.int64)
    info["goal_state"] = goal[None, None]
    return info


def test_costs_for_their_solvers_are_the_simulator_s(states, rng):
    start, goal = states[0], states[1]
    normaliser = ActionNormaliser(np.array([0.1, 0.0]), np.array([0.3, 0.4]))
    drawn = rng.standard_normal((1, 3, 2, 10))
    info = {
        name: torch.as_tensor(np.repeat(value[:, None], 3, axis=1))
        for name, value in oracle_observation(start, goal).items()
        if name.startswith(("history", "goal"))
    }
    costs = CostModel(PushTSimulatorModel(), normaliser).get_cost(info, torch.from_numpy(drawn))
    assert costs.shape == (1, 3)
    for row, cost in zip(drawn[0], costs[0], strict=True):
        raw = np.clip(row.reshape(10, 2) * [0.3, 0.4] + [0.1, 0.0], -1, 1).astype(np.float32)
        ends = Simulator().run(start.astype(np.float32), raw)[None, 4::5]
        assert float(cost) == pytest.approx(GoalState(goal)(ends, ends)[0], abs=1e-3)


def test_their_search_plans_with_our_model(states, capsys):
    """stable-worldmodel's CEMSolver lowers the cost that ours gives it."""
    start, goal = states[2], states[2].copy()
    goal[:2] += [40.0, -30.0]
    model = CostModel(PushTSimulatorModel(), ActionNormaliser(np.zeros(2), np.full(2, 0.4)))
    solver = their_solver(model)
    policy = HistoryPolicy(
        solver,
        PlanConfig(1, 1, action_block=5),
        history=1,
        process={"action": ActionNormaliser(np.zeros(2), np.full(2, 0.4))},
    )
    policy.set_env(fake_env(1))
    state = Simulator().reset(start)
    for _ in range(5):
        info = observation([0]) | {"state": state[None, None], "goal_state": goal[None, None]}
        state = Simulator().run(state, policy.get_action(info))[0]
    assert np.hypot(*(state[:2] - goal[:2])) < 10.0
    assert "CEM solve time" in capsys.readouterr().out


def their_solver(model):
    from stable_worldmodel.solver import CEMSolver

    return CEMSolver(model, num_samples=40, n_steps=8, topk=6, seed=0)


def test_an_observation_without_its_history_is_refused():
    info = observation([0])
    with pytest.raises(ValueError, match="lacks 'history_pixels'; use HistoryPolicy"):
        BlockPlanner(RecordingModel(), Budget(2, 1)).sight.read(info, 0)


def test_blocks_of_another_length_are_refused():
    with pytest.raises(ValueError, match="have 5 steps, not 4"):
        BlockPlanner(RecordingModel(), Budget(2, 1)).configure(
            action_space=fake_env(1).action_space, n_envs=1, config=PlanConfig(2, 1, action_block=4)
        )


class Proposer:
    """Proposes one block after another, each of one number; keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def propose(self, context, goal, count, horizon, rng):
        self.asked.append((context.latents[-1, 0, 0], goal[0, 0], count, horizon))
        return np.full((count, horizon, 5, 2), 0.25, dtype=np.float32)


def test_a_prior_proposes_for_the_first_iteration():
    model, prior = RecordingModel(), Proposer()
    planner = BlockPlanner(model, Budget(6, 2), prior=prior, share=0.5)
    policy = HistoryPolicy(planner, PlanConfig(2, 2, action_block=5, warm_start=False), 3)
    policy.set_env(fake_env(1))
    policy.get_action(observation([7]))
    assert prior.asked == [(7.0, 200.0, 3, 2)]
    first, second = model.candidates
    assert (first[:3] == 0.25).all()
    assert len(np.unique(first[3:])) > 3
    assert (second[1:] != 0.25).any()


def test_a_prior_plays_alone_without_a_budget():
    planner = BlockPlanner(RecordingModel(), None, prior=Proposer())
    policy = HistoryPolicy(planner, PlanConfig(2, 1, action_block=5, warm_start=False), 3)
    policy.set_env(fake_env(1))
    assert [policy.get_action(observation([step]))[0].tolist() for step in range(6)] == [[0.25, 0.25]] * 6
    assert [ask[2] for ask in planner.prior.asked] == [1, 1]
    with pytest.raises(ValueError, match="without a budget to search with there must be a prior"):
        BlockPlanner(RecordingModel(), None)


class Walker(RecordingModel):
    """Its agent goes 20 px in x in a block of full speed; a future's latent is the state that it ends in."""

    def __init__(self):
        super().__init__()
        self.starts, self.begins_elsewhere = [], True

    def rollout(self, context, candidates, actors, conditions=None):
        return self.rollout_from(np.tile(context.latents[-1, 0, :5], (len(candidates), 1)), context, candidates)

    def rollout_from(self, starts, context, candidates):
        self.starts.append(starts)
        self.candidates.append(candidates)
        ends = np.zeros((*candidates.shape[:2], 1, 7), dtype=np.float32)
        ends[..., 0, :5] = starts[:, None]
        ends[..., 0, 0] += 20.0 * candidates[:, :, 0, 0, 0].cumsum(axis=1)
        return ends

    def decode(self, latents):
        return super().decode(latents)[..., :5]


def narrow_and_wide(states, latents):
    """0 within a quarter of a pixel about x = 110, 1 within 4 px about x = 95, 10 elsewhere."""
    x = states[:, -1, 0]
    return np.where(np.abs(x - 110) < 0.25, 0.0, np.where(np.abs(x - 95) < 4.0, 1.0, 10.0))


def test_doubt_prefers_the_plan_that_works_from_where_one_may_be():
    latents = np.zeros((3, 1, 7), dtype=np.float32)
    latents[..., :5] = [100.0, 200.0, 300.0, 250.0, 1.0]
    seen = Seen(
        Context(latents, np.zeros((2, 5, 1, 2), np.float32), np.zeros(2, np.int64)), latents[-1], narrow_and_wide
    )
    sure, doubting = Walker(), Walker()
    plan, cost = BlockPlanner(sure, Budget(200, 6), 3, smallest=0.1).plan(seen, np.zeros((1, 5, 2), np.float32))
    assert (20 * plan[0, 0, 0], cost) == (pytest.approx(10.0, abs=0.25), 0.0)
    for_all = BlockPlanner(doubting, Budget(200, 6), 3, smallest=0.1, doubt=Doubt(1.5, 1.0, 0.4, finalists=30, draws=9))
    plan, cost = for_all.plan(seen, np.zeros((1, 5, 2), np.float32))
    assert 20 * plan[0, 0, 0] == pytest.approx(-5.0, abs=3.0)
    assert cost == 1.0
    # Six iterations, each candidate from a start of its own, about what was read and as far from it as was said.
    assert [len(starts) for starts in doubting.starts] == [200] * 6 + [31 * 9]
    drawn = np.concatenate(doubting.starts[:6])
    assert drawn.mean(axis=0) == pytest.approx([100, 200, 300, 250, 1.0], abs=0.2)
    assert drawn.std(axis=0) == pytest.approx([1.5, 1.5, 1.0, 1.0, np.radians(0.4)], rel=0.05)
    # Finalists are judged from the same starts, each of them from all.
    finals = doubting.starts[6].reshape(31, 9, 5)
    assert (finals == finals[0]).all()
    assert len(np.unique(finals[0, :, 0])) == 9
    of_finalists = doubting.candidates[6].reshape(31, 9, -1)
    assert (of_finalists == of_finalists[:, :1]).all()


def test_doubt_is_a_function_of_the_seed_and_needs_a_model_that_can_begin_elsewhere():
    latents = np.full((3, 1, 7), 100.0, dtype=np.float32)
    seen = Seen(
        Context(latents, np.zeros((2, 5, 1, 2), np.float32), np.zeros(2, np.int64)), latents[-1], narrow_and_wide
    )
    plans = [
        BlockPlanner(Walker(), Budget(20, 2), seed, doubt=Doubt(draws=3)).plan(seen, np.zeros((2, 5, 2), np.float32))[0]
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(plans[0], plans[1])
    assert not np.array_equal(plans[0], plans[2])
    fixed = Walker()
    fixed.begins_elsewhere = False
    for model in (RecordingModel(), fixed):
        with pytest.raises(ValueError, match="plan without doubt"):
            BlockPlanner(model, Budget(2, 1), doubt=Doubt())
