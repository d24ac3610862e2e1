"""Planning policies: what they ask the model, and that they find what is known to be best."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pushjepa.physics import Board, Physics
from pushjepa.physics.constants import AGENT_RADIUS
from pushjepa.planning import BlockToGoal, Budget, Opponent, PlanningPolicy, joint_candidates, oracle
from pushjepa.relay import Match, MatchSetup, Observation, Side, get_stage
from pushjepa.runtime.contract import Context, ModelSpec
from tests.planning.stand_ins import ToldPrior

SPEC = ModelSpec(1, 7, 2, 5, 3, 16, ("p1_x", "p1_y", "p2_x", "p2_y", "block_x", "block_y", "angle"))
START = np.array([100.0, 100.0, 400.0, 400.0, 256.0, 256.0, 0.0], dtype=np.float32)


class CarryModel:
    """A recording toy world: frame n has the latent START + n, and the block is carried 40 px by every own action."""

    spec = SPEC

    def __init__(self) -> None:
        self.encoded: list[np.ndarray] = []
        self.contexts: list[Context] = []
        self.candidates: list[np.ndarray] = []
        self.actors: list[np.ndarray] = []

    def encode(self, frames: np.ndarray) -> np.ndarray:
        self.encoded.append(frames.copy())
        return (START + frames[:, 0, 0, :1])[:, None]

    def rollout(self, context, candidates, actors, conditions=None):
        self.contexts.append(context)
        self.candidates.append(candidates.copy())
        self.actors.append(actors.copy())
        moved = 40.0 * candidates.sum(axis=(2, 3)).cumsum(axis=1)  # (S, H, 2)
        latents = np.broadcast_to(context.latents[-1], (*candidates.shape[:2], 1, 7)).copy()
        latents[..., 0, 4:6] += moved
        return latents

    def decode(self, latents: np.ndarray) -> np.ndarray:
        return latents[..., 0, :].astype(np.float64)


def observation(turns: int, side: Side = "p1", turns_left: int = 10) -> Observation:
    """After ``turns`` turns: frame n is filled with n, block n with (n + 1) / 10 for the agent that acted."""
    frames = np.stack([np.full((16, 16, 3), n, dtype=np.uint8) for n in range(turns + 1)])
    actors = np.array([n % 2 for n in range(turns)], dtype=np.int64)
    blocks = np.zeros((turns, 5, 2, 2), dtype=np.float32)
    for n, actor in enumerate(actors):
        blocks[n, :, actor] = (n + 1) / 10
    goals = ((422.0, 256.0), (90.0, 256.0))
    return Observation(side, turns, turns_left, goals if side == "p1" else goals[::-1], frames, blocks, actors, None)


def policy(model: CarryModel, side: Side = "p1", **options) -> PlanningPolicy:
    return PlanningPolicy(model, side, lambda side, goals, left: BlockToGoal(goals[0]), **options)


def test_frames_and_actions_stay_together(rng):
    model = CarryModel()
    policy(model).plan(observation(4), rng)
    assert [int(f[0, 0, 0]) for f in model.encoded[0]] == [2, 3, 4]
    assert len(model.encoded) == 1
    context = model.contexts[0]
    assert (context.latents[:, 0, 0] - START[0]).tolist() == [2, 3, 4]
    # The block between frames 2 and 3 is the third that was played, by p1; the next is p2's.
    assert context.actors.tolist() == [0, 1]
    assert np.allclose(context.blocks[0, :, 0], 0.3)
    assert not context.blocks[0, :, 1].any()
    assert np.allclose(context.blocks[1, :, 1], 0.4)
    assert not context.blocks[1, :, 0].any()


@pytest.mark.parametrize(("turns", "frames", "actors"), [(0, [0, 0, 0], [-1, -1]), (1, [0, 0, 1], [-1, 0])])
def test_the_start_of_a_match_is_padded(rng, turns, frames, actors):
    model = CarryModel()
    policy(model).plan(observation(turns), rng)
    context = model.contexts[0]
    assert (context.latents[:, 0, 0] - START[0]).tolist() == frames
    assert context.actors.tolist() == actors
    assert not context.blocks[np.array(actors) == -1].any()
    assert len(model.encoded[0]) == turns + 1  # no frame is encoded twice


@pytest.mark.parametrize(("side", "actor"), [("p1", 0), ("p2", 1)])
def test_candidates_act_for_the_own_agent_and_the_other_waits(rng, side, actor):
    model = CarryModel()
    plan = policy(model, side).plan(observation(2, side), rng)
    assert [c.shape for c in model.candidates] == [(96, 1, 5, 2, 2)] * 6  # one batched call an iteration
    for candidates, actors in zip(model.candidates, model.actors, strict=True):
        assert actors.tolist() == [actor]
        assert candidates[:, 0, :, actor].any(axis=(1, 2)).all()
        assert not candidates[:, 0, :, 1 - actor].any()
    assert any(np.array_equal(plan.block, c) for batch in model.candidates for c in batch[:, 0, :, actor])


@pytest.mark.parametrize("side", ["p1", "p2"])
def test_it_finds_the_block_that_is_known_to_be_best(side):
    # Both goals are 166 px away along x, which 5 actions of at most 40 px reach: the best sum of actions is 4.15.
    seen = observation(2, side)
    model = CarryModel()
    plan = policy(model, side, budget=Budget(256, 15)).plan(seen, np.random.default_rng(0))
    here = START[4:6] + 2
    assert plan.block.sum(axis=0) * 40 == pytest.approx(np.array(seen.goals[0]) - here, abs=4.0)
    assert plan.cost < 6.0
    assert plan.predicted_end[4:6] == pytest.approx(np.array(seen.goals[0]), abs=4.0)


def test_same_seed_same_move_and_nothing_is_kept_between_turns():
    player = policy(CarryModel())
    first = player.act(observation(2), np.random.default_rng(5))
    player.act(observation(3), np.random.default_rng(6))
    assert np.array_equal(first, player.act(observation(2), np.random.default_rng(5)))
    assert not np.array_equal(first, player.act(observation(2), np.random.default_rng(6)))


def test_the_plan_tells_what_was_looked_at(rng):
    model = CarryModel()
    plan = policy(model, budget=Budget(12, 4)).plan(observation(2), rng)
    trace = plan.trace
    assert trace.block_paths.shape == (4, 12, 2, 2)
    assert trace.agent_ends.shape == (4, 12, 2)
    assert trace.costs.shape == (4, 12)
    assert np.allclose(trace.block_paths[:, :, 0], START[4:6] + 2)
    assert plan.cost == pytest.approx(trace.costs.min())
    assert np.allclose(np.minimum.accumulate(trace.costs.min(axis=1)), plan.cost_by_iteration)
    best = np.unravel_index(np.argmin(trace.costs), trace.costs.shape)
    assert np.allclose(trace.block_paths[best][1], plan.predicted_end[4:6])
    assert plan.predicted_reply is None
    assert plan.seconds > 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.cost = 0.0


@pytest.mark.parametrize("opponent", [None, Opponent(ToldPrior([[0.0, 0.0]]))], ids=["alone", "with an answer"])
def test_overlapping_agents_are_pushed_out_before_the_cost_is_taken(rng, opponent):
    seen = []

    def factory(side, goals, turns_left):
        def cost(states, latents):
            seen.append(states)
            return states[:, -1, 0]

        return cost

    model = CarryModel()
    # With p1 carried into the block's centre, its place after the repair is off that centre.
    model.decode = lambda latents: np.array([256.0, 256, 40, 40, 256, 256, 0]) + 0 * latents[..., 0, :].astype(float)
    far = []
    for laws in (None, Physics(block_scale=0.5), Physics(block_shape="square", block_scale=1.5)):
        seen.clear()
        own = {"opponent": opponent, "laws": laws}
        PlanningPolicy(model, "p1", factory, Budget(4, 1), **own).plan(observation(0), rng)
        far += [np.unique(np.hypot(*(states[:, 0, :2] - 256.0).T).round(6)) for states in seen]
    assert all(len(one) == 1 for one in far)
    standard, small, large = list(dict.fromkeys(float(one[0]) for one in far))
    assert small < standard < large
    assert standard > 10.0
    assert large == pytest.approx(1.5 * 32 + AGENT_RADIUS)


def test_joint_candidates_do_not_mix_rows(rng):
    own = rng.uniform(-1, 1, (4, 1, 5, 2)).astype(np.float32)
    joint, actors = joint_candidates(own, 1)
    assert actors.tolist() == [1]
    assert np.array_equal(joint[:, :, :, 1], own)
    assert not joint[:, :, :, 0].any()


def test_wrong_observations_are_refused(rng):
    with pytest.raises(ValueError, match="seat p1"):
        policy(CarryModel()).plan(observation(0, "p2"), rng)
    blind = dataclasses.replace(observation(0), frames=None)
    with pytest.raises(ValueError, match="frames"):
        policy(CarryModel()).plan(blind, rng)
    with pytest.raises(ValueError, match="state"):
        oracle("p1", get_stage("open")).plan(observation(0), rng)


def test_the_oracle_predicts_what_then_happens(rng):
    match = Match(MatchSetup("open", 3))
    player = oracle("p1", match.stage, Budget(24, 3))
    plan = player.plan(match.observation(player), rng)
    assert plan.predicted_end == pytest.approx(match.play(plan.block)[-1], abs=0.5)


def test_the_oracle_s_laws_are_its_simulator_s():
    laws = Physics(block_scale=0.7)
    assert oracle("p1", get_stage("open"), physics=laws).laws == laws
    assert oracle("p1", get_stage("open")).laws == Physics()


def test_the_oracle_beats_doing_nothing():
    # Right behind the block, on the line to its goal: pushing must pay.
    match = Match(MatchSetup("open", 0, start=(180.0, 256.0, 450.0, 60.0, 256.0, 256.0, np.pi / 2)))
    player = oracle("p1", match.stage, Budget(48, 4))
    block = player.act(match.observation(player), np.random.default_rng(0))
    end = Board().run_turn(match.state, "p1", block)[-1]
    assert end[4] > 256.0 + 60.0
