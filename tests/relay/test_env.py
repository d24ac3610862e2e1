from __future__ import annotations

import math

import numpy as np
import pytest
from pettingzoo.test import api_test, render_test, seed_test

from pushjepa.physics import Physics
from pushjepa.relay import Match, MatchSetup, Scene, relay_v1

START = np.array([100.0, 256.0, 412.0, 256.0, 256.0, 256.0, 0.4])
RIGHT = np.tile([1.0, 0.0], (5, 1))
# PettingZoo recommends names like player_0; the game's agents are p1 and p2 everywhere.
NAMES = pytest.mark.filterwarnings("ignore:We recommend agents to be named")


def ready(seed=0, options=None, **kwargs):
    env = relay_v1.raw_env(**kwargs)
    env.reset(seed=seed, options=options)
    return env


@NAMES
@pytest.mark.parametrize("observation", ["state", "frames"])
@pytest.mark.parametrize("reward", ["progress", "outcome"])
def test_pettingzoo_finds_the_api_right(observation, reward, capsys):
    api_test(relay_v1.env(observation=observation, frame_size=64, reward=reward), num_cycles=50)
    assert "Passed API test" in capsys.readouterr().out


@pytest.mark.parametrize("observation", ["state", "frames"])
def test_pettingzoo_finds_it_deterministic(observation):
    seed_test(lambda: relay_v1.env(observation=observation, frame_size=64), num_cycles=20)


def test_pettingzoo_finds_the_rendering_right(capsys):
    render_test(relay_v1.env)
    assert "\u2580" in capsys.readouterr().out


def test_a_match_is_ten_turns_and_a_step_is_a_turn():
    env = ready(seed=3)
    match = Match(MatchSetup("open", 3))
    rng = np.random.default_rng(0)
    turns = 0
    for agent in env.agent_iter():
        observation, _, over, _, info = env.last()
        assert env.observation_space(agent).contains(observation)
        if over:
            assert info["winner"] == match.result().winner
            env.step(None)
            continue
        assert agent == match.to_move
        block = rng.uniform(-1, 1, (5, 2))
        states = match.play(block)
        env.step(block)
        assert np.array_equal(env.infos[agent]["states"], states)
        assert env.infos[agent]["turn"] == turns
        assert np.array_equal(env.state(), match.state)
        turns += 1
    assert turns == 10
    assert env.agents == []


def test_rewards_are_zero_sum_and_add_up():
    rng = np.random.default_rng(1)
    for reward in ("progress", "outcome"):
        env = ready(seed=1, reward=reward)
        total = 0.0
        while not env.match.over:
            env.step(rng.uniform(-1, 1, (5, 2)))
            assert env.rewards["p1"] == -env.rewards["p2"]
            total += env.rewards["p1"]
        result = env.match.result()
        wanted = result.net_progress("p1") if reward == "progress" else {"p1": 1, "p2": -1, None: 0}[result.winner]
        assert total == pytest.approx(wanted)


def test_the_reset_options_reach_the_match():
    changes = [{"turn": 2, "physics": {"damping": 0.5}}]
    options = {"stage": "gate", "physics": {"block_mass": 2.0}, "first": "p2", "state": START, "changes": changes}
    env = ready(options=options)
    setup = env.match.setup
    assert (setup.stage, setup.first, setup.physics) == ("gate", "p2", Physics(block_mass=2.0))
    assert env.agent_selection == "p2"
    assert np.array_equal(env.get_state(), START)
    assert setup.physics_at(2) == Physics(damping=0.5)
    env.reset(seed=0, options={"physics": Physics(block_mass=3.0)})
    assert env.match.setup.physics.block_mass == 3.0
    assert env.match.setup.stage == "open"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stagee": "gate"}, "unknown reset option 'stagee'"),
        ({"stage": "moon"}, "unknown stage"),
        ({"first": "p3"}, "unknown side"),
        ({"physics": {"damping": 7}}, "damping"),
        ({"state": [1, 2]}, "board state"),
        ({"state": "left"}, "state"),
    ],
)
def test_a_bad_reset_option_is_refused_and_changes_nothing(options, message):
    env = ready(seed=1)
    env.step(RIGHT)
    before, match = env.state(), env.match
    with pytest.raises(ValueError, match=message) as caught:
        env.reset(seed=2, options=options)
    assert "\n" not in str(caught.value)
    assert env.match is match
    assert np.array_equal(env.state(), before)


@pytest.mark.parametrize("action", [np.full((5, 2), np.nan), np.full((5, 2), -1.5), np.zeros(10), None, "left"])
def test_a_bad_action_is_refused_in_one_line_and_changes_nothing(action):
    env = ready()
    env.step(RIGHT)
    kept = (env.state(), env.agent_selection, dict(env.rewards), dict(env._cumulative_rewards), dict(env.infos))
    with pytest.raises(ValueError, match="action") as caught:
        env.step(action)
    assert "\n" not in str(caught.value)
    assert np.array_equal(env.state(), kept[0])
    assert (env.agent_selection, env.rewards, env._cumulative_rewards) == kept[1:4]
    assert env.infos.keys() == kept[4].keys()
    assert env.match.turn == 1


@pytest.mark.parametrize("cut", [0, 3, 9])
def test_a_state_put_back_continues_bit_for_bit(cut):
    rng = np.random.default_rng(2)
    blocks = rng.uniform(-1, 1, (10, 5, 2))
    whole = ready(seed=5)
    seen = []
    for block in blocks:
        seen.append((whole.get_state(), whole.observe("p1")))
        whole.step(block)
    for kept in seen[cut]:  # the exact state, and the observation with its folded angle
        again = ready(seed=9)
        again.set_state(kept, cut)
        assert np.array_equal(again.get_state(), kept)
        for block in blocks[cut:]:
            again.step(block)
        assert np.array_equal(again.get_state(), whole.get_state())
        assert all(again.terminations.values())


def test_set_state_wakes_a_match_that_was_over():
    env = ready()
    env.set_state(START, 10)
    assert all(env.terminations.values())
    env.step(None)
    env.set_state(START, 4)
    assert env.agents == ["p1", "p2"]
    env.step(RIGHT)
    assert env.match.turn == 5
    with pytest.raises(ValueError, match="board state"):
        env.set_state(np.full(7, np.nan))


def test_observations_are_the_state_or_the_frame():
    spun = START + np.array([0, 0, 0, 0, 0, 0, 2 * math.tau])
    env = ready(options={"state": spun})
    assert env.observe("p1") == pytest.approx(START)
    frames = ready(observation="frames", frame_size=96, options={"state": START}, render_mode="rgb_array")
    wanted = Scene(frames.match.stage, 96).draw(START)
    assert np.array_equal(frames.observe("p2"), wanted)
    assert np.array_equal(frames.render(), wanted)
    assert ready().render() is None


@pytest.mark.parametrize(
    "kwargs", [{"stage": "moon"}, {"observation": "sound"}, {"reward": "money"}, {"render_mode": "film"}]
)
def test_an_unknown_choice_lists_the_known_ones(kwargs):
    with pytest.raises(ValueError, match="choose one of"):
        relay_v1.env(**kwargs)


def test_resets_without_a_seed_differ_but_follow_from_the_last_seed():
    starts = []
    for _ in range(2):
        env = ready(seed=7)
        env.reset()
        starts.append(env.state())
        env.reset()
        assert not np.array_equal(env.state(), starts[-1])
    assert np.array_equal(*starts)
