"""stable-worldmodel's environment, where it is installed, and states to put it into."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

from pushjepa.pusht.collect import draw_state

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


@pytest.fixture(scope="session")
def swm():
    pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")


@pytest.fixture(scope="session")
def make_env(swm):
    """A fresh ``swm/PushT-v1`` set to a state; gives the environment itself, without wrappers."""
    import gymnasium

    import pushjepa.pusht.stable  # noqa: F401  registers the environment

    def make(state, goal=None, size=112):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = gymnasium.make("swm/PushT-v1", resolution=size).unwrapped
            env.reset(seed=0)
        env._setup()  # a space that has seen no other state
        env._set_state(np.asarray(state))
        env._set_goal_state(np.asarray(state if goal is None else goal))
        return env

    return make


@pytest.fixture(scope="session")
def make_shifted(swm):
    """A fresh ``pushjepa/PushT-v1`` set to a state under some laws; without wrappers."""
    import gymnasium

    from pushjepa.pusht.shifted import ENV_ID

    def make(state, physics=None, size=112):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = gymnasium.make(ENV_ID, physics=physics, resolution=size).unwrapped
            env.reset(seed=0)
        env._setup()
        env._set_state(np.asarray(state))
        env._set_goal_state(np.asarray(state))
        return env

    return make


@pytest.fixture
def states():
    """Some random states (7,) at rest."""
    rng = np.random.default_rng(3)
    return [draw_state(rng) for _ in range(12)]
