"""What we use of stable-worldmodel, imported without its warnings about environments that are not installed."""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # nothing is shown; pygame would look for a screen
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from stable_worldmodel import World
    from stable_worldmodel.envs.pusht import PushT
    from stable_worldmodel.policy import BasePolicy, PlanConfig, RandomPolicy, WorldModelPolicy
    from stable_worldmodel.solver import CEMSolver
    from stable_worldmodel.wm.lewm import LeWM
    from stable_worldmodel.wm.lewm.module import MLP, Embedder, Predictor
    from stable_worldmodel.wm.loss import SIGReg

__all__ = [
    "MLP",
    "BasePolicy",
    "CEMSolver",
    "Embedder",
    "LeWM",
    "PlanConfig",
    "Predictor",
    "PushT",
    "RandomPolicy",
    "SIGReg",
    "World",
    "WorldModelPolicy",
]
