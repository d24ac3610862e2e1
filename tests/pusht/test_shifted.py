"""Push-T under other laws, against the original, against the same laws set by hand in it, and against the simulator."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest

from pushjepa.pusht.shifts import SHIFTS
from pushjepa.pusht.simulator import BLOCK_SHAPES, DT, PushTPhysics, Simulator, block_parts

#: The environment's own names, in the order of its list.
THEIR_SHAPES = ("disc", "ell", "tee", "zed", "square", "bar", "small_tee", "plus")


def toward_the_block(state, seed, steps=25):
    """Actions that lead to contact, with some luck in them."""
    aim = np.clip((state[2:4] - state[:2]) / 250.0, -1.0, 1.0)
    return np.clip(aim + 0.3 * np.random.default_rng(seed).standard_normal((steps, 2)), -1.0, 1.0)


def play(env, actions):
    """States and counts of contacts (T, 7 + 1), and what is drawn after every fifth step."""
    states, frames = [], []
    for index, action in enumerate(actions):
        seen, _, _, _, info = env.step(action)
        states.append([*seen["state"], info["n_contacts"]])
        if index % 5 == 4:
            frames.append(env.render())
    return np.array(states), np.array(frames)


def put(env, state):
    env._setup()
    env._set_state(state)
    env._set_goal_state(state)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_unshifted_it_is_the_original_in_states_and_in_pixels(make_env, make_shifted, states, dtype):
    original, ours, moved = make_env(states[0]), make_shifted(states[0]), 0
    for seed, state in enumerate(states[:6]):
        actions = toward_the_block(state, seed).astype(dtype)
        theirs = []
        for env in (original, ours):
            put(env, state)
            theirs.append(play(env, actions))
        assert np.array_equal(theirs[0][0], theirs[1][0])
        assert np.array_equal(theirs[0][1], theirs[1][1])
        moved += bool(theirs[0][0][:, 7].any() and np.abs(theirs[0][0][-1, 2:4] - state[2:4]).max() > 5.0)
    assert moved >= 3, "most of these have to touch the block, or nothing was compared"


def test_unshifted_it_begins_and_reports_as_the_original(make_env, make_shifted, states):
    original, ours = make_env(states[0]), make_shifted(states[0])
    for seed in (1, 2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (seen, info), (our_seen, our_info) = original.reset(seed=seed), ours.reset(seed=seed)
        assert seen["state"].tolist() == our_seen["state"].tolist()
        assert seen["proprio"].tolist() == our_seen["proprio"].tolist()
        assert np.array_equal(info["goal"], our_info["goal"])
        step, our_step = original.step(np.ones(2)), ours.step(np.ones(2))
        assert step[1:4] == our_step[1:4]
        assert info.keys() == our_info.keys()


@pytest.mark.parametrize("shape", [shape for shape in BLOCK_SHAPES if shape != "tee"])
def test_a_shape_is_the_original_s_own(make_env, make_shifted, states, shape):
    """All but the tee the original builds at the scale that it is told."""
    original, ours = make_env(states[0]), make_shifted(states[0], PushTPhysics(block_shape=shape, block_scale=40.0))
    original.variation_space["block"]["shape"].set_value(THEIR_SHAPES.index(shape))
    assert original.variation_space["block"]["scale"].value == 40.0
    assert original.shapes[1:3] == ["L", "T"]
    for seed, state in enumerate(states[:3]):
        played = []
        for env in (original, ours):
            put(env, state)
            played.append(play(env, toward_the_block(state, seed)))
        assert (original.block.mass, original.block.moment) == (ours.block.mass, pytest.approx(ours.block.moment))
        assert np.array_equal(played[0][0], played[1][0])
        assert np.array_equal(played[0][1], played[1][1])


def friction(env, value):
    for shape in env.space.shapes:
        shape.friction = value**0.5


def centre(env, value):
    env.block.center_of_gravity += (0.0, value)


BY_HAND = {
    "friction": (0.8, friction),
    "centre_of_gravity": (25.0, centre),
    "damping": (0.2, lambda env, value: setattr(env.space, "damping", value)),
    "agent_gain": (0.7, lambda env, value: setattr(env, "action_scale", 100 * value)),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_law_does_what_it_does_in_the_original_when_set_by_hand(make_env, make_shifted, states, name):
    value, by_hand = BY_HAND[name]
    original, ours, changed = make_env(states[0]), make_shifted(states[0], PushTPhysics(**{name: value})), 0
    for seed, state in enumerate(states[:4]):
        actions = toward_the_block(state, seed)
        original._setup()
        by_hand(original, value)
        original._set_state(state)
        original._set_goal_state(state)
        theirs = play(original, actions)[0]
        put(ours, state)
        assert theirs == pytest.approx(play(ours, actions)[0], abs=1e-6)
        changed += bool(np.abs(theirs[:, :7] - Simulator().run(Simulator().reset(state), actions)).max() > 1.0)
    assert changed >= 1, "a law that turns nothing proves nothing"


@pytest.mark.parametrize("scale", [21.0, 42.0])
def test_the_tee_has_the_size_that_the_original_denies_it(make_env, make_shifted, states, scale):
    original, ours = make_env(states[0]), make_shifted(states[0], PushTPhysics(block_scale=scale))
    original.variation_space["block"]["scale"].set_value(np.array(scale, dtype=np.float32))
    put(original, states[0])
    share = scale / 30.0
    sizes = [sorted(part.area for part in env.block.shapes) for env in (original, ours)]
    assert sizes[1] == pytest.approx([share**2 * area for area in sizes[0]])
    assert ours.block.moment == pytest.approx(share**2 * original.block.moment)
    assert list(ours.block.center_of_gravity) == pytest.approx([share * c for c in original.block.center_of_gravity])
    painted = [int(like_the_block(env.render()).sum()) for env in (original, ours)]
    assert painted[1] / painted[0] == pytest.approx(share**2, rel=0.15), "and it is seen"


def like_the_block(frame):
    """Pixels (H, W) of the colour that the block is filled with."""
    return np.abs(frame.astype(int) - (143, 163, 184)).sum(axis=-1) < 12


@pytest.mark.parametrize("name", SHIFTS)
def test_the_simulator_is_the_environment_under_every_shift(make_shifted, states, name):
    """Number for number: the laws are set to an environment in play, which leaves it in a space as fresh."""
    physics, touched = SHIFTS[name], 0
    env, simulator = make_shifted(states[0]), Simulator(physics)
    for seed, state in enumerate(states[:6]):
        put(env, state)
        env.set_physics(physics)
        start, actions = env._get_obs(), toward_the_block(state, seed)
        assert np.array_equal(play(env, actions)[0][:, :7], simulator.run(start, actions))
        touched += bool(simulator.contacts(start, actions)[:, 0].any())
        put(env, state)
        assert env._get_obs().tolist() == simulator.reset(state).tolist()
    assert touched >= 3


def test_every_law_is_read_back_from_the_bodies(make_shifted, states):
    physics = PushTPhysics(42.0, 20.0, "ell", 0.7, 10.0, 0.3, 1.5)
    env = make_shifted(states[0], physics)
    assert not set(physics.to_dict().values()) & set(PushTPhysics().to_dict().values()), "all differ from the standard"
    (disc,) = env.agent.shapes
    walls = env.space.static_body.shapes
    middle = np.mean([part.center_of_gravity for part in env.block.shapes], axis=0)
    assert disc.radius == 20.0
    assert [disc.friction * part.friction for part in env.block.shapes] == pytest.approx([0.7, 0.7])
    assert [wall.friction for wall in walls] == [1.0] * 4
    assert list(env.block.center_of_gravity) == pytest.approx([middle[0], middle[1] + 10.0])
    assert env.space.damping == pytest.approx(0.3)
    assert env.action_scale == 150.0
    corners = {tuple(corner) for part in env.block.shapes for corner in part.get_vertices()}
    assert corners == {tuple(corner) for part in block_parts(physics) for corner in part}


def test_laws_change_at_a_reset_and_hold_until_the_next(make_shifted, states):
    env = make_shifted(states[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env.reset(seed=1, options={"physics": SHIFTS["big-block"]})
        assert max(part.area for part in env.block.shapes) == pytest.approx(4 * 42.0**2)
        env.reset(seed=1)
        assert env.physics == SHIFTS["big-block"]
        env.reset(seed=1, options={"physics": {"block_scale": 20.0}, "state": states[1]})
        assert env.physics == PushTPhysics(block_scale=20.0)
    assert env._get_obs().tolist() == pytest.approx(states[1].tolist())


def test_laws_change_in_the_middle_of_an_episode(make_shifted, states):
    env = make_shifted(states[0])
    env.step(np.array([0.3, 0.1]))
    before = env._get_obs()
    env.set_physics(SHIFTS["weak-agent"])
    assert env._get_obs().tolist() == before.tolist()
    assert env.step(np.array([1.0, 0.0]))[0]["state"].tolist() == pytest.approx(
        Simulator(SHIFTS["weak-agent"]).run(before, np.array([[1.0, 0.0]]))[0].tolist()
    )


def test_a_gliding_block_is_stopped_where_a_state_is_set(make_shifted, states):
    env = make_shifted(states[0], SHIFTS["gliding"])
    env.block.velocity, env.block.angular_velocity = (300.0, 0.0), 3.0
    env._set_state(states[1])
    assert env._get_obs() == pytest.approx(states[1])
    env.block.velocity = 300.0, 0.0
    env.space.step(DT)
    assert env._get_obs()[2] > states[1][2] + 2.0, "or nothing was stopped"


def test_bad_laws_are_refused_in_a_line(make_shifted, states):
    env = make_shifted(states[0])
    for options, message in (
        ({"physics": 3}, "^physics must be a PushTPhysics or the dictionary of one, got 3$"),
        ({"physics": {"block_scale": 99.0}}, "block_scale must lie in"),
        ({"physics": {"gravity": 1.0}}, "unknown physics option 'gravity'"),
        ({"variation": ["block.scale"]}, "the variation 'block.scale' turns nothing here"),
        ({"variation_values": {"agent.shape": 1}}, "the variation 'agent.shape' turns nothing here"),
    ):
        with pytest.raises(ValueError, match=message):
            env.reset(options=options)
    assert env.physics == PushTPhysics()
    with pytest.raises(ValueError, match="damping"):
        make_shifted(states[0], {"damping": 2.0})


class Rows:
    """Two rows a task, its start and a goal out of reach, as World asks a data set for them."""

    column_names = ("pixels", "state")

    def __init__(self, starts):
        self.starts = starts

    def load_chunk(self, episodes, start, end):
        import torch

        far = np.array([400.0, 400.0, 0.0, 0.0, 0.0, 0.0, 0.0])
        pixels = torch.zeros((2, 3, 64, 64), dtype=torch.uint8)
        return [{"pixels": pixels, "state": np.stack([self.starts[n], self.starts[n] + far])} for n in episodes]


def test_it_plays_in_a_world_with_the_laws_among_the_settings(swm, states):
    """As :func:`pushjepa.pusht.tasks.play` has it."""
    from pushjepa.pusht.shifted import ENV_ID
    from pushjepa.pusht.stable import BasePolicy, World
    from pushjepa.pusht.tasks import _SETTINGS

    physics, seen = PushTPhysics(block_scale=20.0, damping=0.05, agent_gain=0.6), []
    actions = np.stack([toward_the_block(state, seed, 12) for seed, state in enumerate(states[:2])])

    class Replay(BasePolicy):
        def get_action(self, obs, **kwargs):
            seen.append(np.array(obs["state"][:, 0]))
            return actions[:, len(seen) - 1]

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Casting input x", UserWarning)
        world = World(ENV_ID, num_envs=2, image_shape=(64, 64), resolution=64, disable_env_checker=True)
        world.set_policy(Replay())
        laws = {"method": "set_physics", "args": {"physics": {"value": physics, "in_dataset": False}}}
        world.evaluate(
            dataset=Rows(states),
            episodes_idx=[0, 1],
            start_steps=[0, 0],
            goal_offset=1,
            eval_budget=12,
            callables=[laws, *_SETTINGS],
        )
        world.close()
    assert len(seen) == 12
    simulator = Simulator(physics)
    for index, state in enumerate(states[:2]):
        theirs, start = np.array(seen)[1:, index], simulator.reset(state)
        assert theirs == pytest.approx(simulator.run(start, actions[index])[:-1], abs=1e-6)
        assert np.abs(theirs - Simulator().run(start, actions[index])[:-1]).max() > 10.0


def test_gymnasium_makes_it_by_name(swm):
    from pushjepa.pusht.shifted import ENV_ID

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make(ENV_ID, physics=SHIFTS["plus"], resolution=64)
        env.reset(seed=0)
    assert env.unwrapped.physics == SHIFTS["plus"]
    assert env.render().shape == (64, 64, 3)
    env.close()
