"""From the name of a player to the player."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from pushjepa.planning.policies import PlanningPolicy, oracle, replying
from pushjepa.planning.search import Budget
from pushjepa.planning.simulator import SimulatorModel
from pushjepa.relay.contract import Policy, Side
from pushjepa.relay.opponents import OPPONENTS
from pushjepa.relay.rules import check_side
from pushjepa.relay.stages import Stage, get_stage
from pushjepa.runtime.contract import WorldModel

PLAYERS = ("jepa", "jepa-reply", "oracle", "oracle-reply", *OPPONENTS)  #: names that :func:`make_policy` knows


def needs_model(name: str) -> bool:
    """Whether the player called ``name`` needs a world model."""
    return name in ("jepa", "jepa-reply")


def make_policy(
    name: str,
    side: Side,
    stage: Stage | str,
    *,
    model: WorldModel | None = None,
    budget: Budget | None = None,
) -> Policy:
    """Put the player called ``name`` into a seat.

    Args:
        name: one of ``PLAYERS``, or ``package.module:factory`` of a function ``factory(side, stage) -> Policy``.
        side: the seat.
        stage: the stage or its name.
        model: the world model of a player that needs one.
        budget: of a player that searches; its own if None.

    Raises:
        ValueError: no such player, seat or stage; no model where one is needed; a factory that cannot be imported,
            that fails, or that gives something that is no policy.
    """
    side = check_side(side)
    stage = get_stage(stage) if isinstance(stage, str) else stage
    if needs_model(name):
        if model is None:
            raise ValueError(f"the player {name!r} needs a world model; load one with pushjepa.runtime.load_model")
        return PlanningPolicy(model, side, budget=budget) if name == "jepa" else replying(model, side, budget)
    if name == "oracle":
        return oracle(side, stage, budget)
    if name == "oracle-reply":
        return replying(SimulatorModel(stage), side, budget, sees="state")
    if name in OPPONENTS:
        return OPPONENTS[name](side, stage)
    if ":" in name:
        return _from_factory(name, side, stage)
    raise ValueError(f"unknown player {name!r}; choose one of {', '.join(PLAYERS)}, or package.module:factory")


def _from_factory(name: str, side: Side, stage: Stage) -> Policy:
    factory = _import_factory(name)
    try:
        policy: Any = factory(side, stage)
    except Exception as error:
        raise ValueError(f"{name}(side, stage) failed: {type(error).__name__}: {error}") from error
    if not isinstance(policy, Policy) or policy.sees not in ("frames", "state"):
        raise ValueError(f"{name} must give a policy: act(observation, rng), and `sees` of 'frames' or 'state'")
    return policy


def _import_factory(name: str) -> Callable[[Side, Stage], Any]:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a stranger's module raises, the person gets one line
        raise ValueError(f"cannot import {module_name!r} for player {name!r}: {error}") from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise ValueError(f"module {module_name!r} has no function {attribute!r} for player {name!r}")
    return factory  # type: ignore[no-any-return]
