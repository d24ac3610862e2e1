"""From the name of a player to the player."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from pushjepa.planning.advice import FILE, Advice, Prior, Value
from pushjepa.planning.guard import Guard
from pushjepa.planning.policies import COSTS, PlanningPolicy, oracle
from pushjepa.planning.replies import Opponent
from pushjepa.planning.search import Budget
from pushjepa.relay.contract import Policy, Side
from pushjepa.relay.opponents import OPPONENTS
from pushjepa.relay.rules import check_side
from pushjepa.relay.stages import Stage, get_stage
from pushjepa.runtime.contract import WorldModel

JEPAS, ORACLES = (tuple(kind + end for end in COSTS) for kind in ("jepa", "oracle"))
PLANNERS = (*JEPAS, *ORACLES)  #: those that search: with the world model, with the true simulator
PLAYERS = (*PLANNERS, *OPPONENTS)  #: names that :func:`make_policy` knows
PARTS = ("prior", "value", "reply", "guard")  #: what a planner's name may end with, after a plus each
ADVISED = ("prior", "value", "reply")  #: those that come out of a file of advice
REPLYING = ("prior", "reply")  #: those that a ...-reply has by its name

Network = TypeVar("Network", Prior, Value)

_PLANNER = re.compile(r"(?P<base>[a-z-]+)(@(?P<candidates>[0-9]+)x(?P<iterations>[0-9]+))?(?P<ends>(\+[a-z]+)*)")


class PlayerName(NamedTuple):
    """What a player's name says.

    Attributes:
        base: one of ``PLAYERS``, or the whole name where it is none.
        parts: of ``PARTS``, what it has beyond a search.
        budget: of its search; None for its own.
    """

    base: str
    parts: tuple[str, ...] = ()
    budget: Budget | None = None


def read_player(name: str) -> PlayerName:
    """Take a planner's name apart: ``jepa-margin@512x6+prior`` is jepa-margin, with that budget, and a prior.

    Raises:
        ValueError: a budget that no search can have.
    """
    found = _PLANNER.fullmatch(name)
    if found is None or found["base"] not in PLANNERS:
        return PlayerName(name)
    said = found["ends"].split("+")[1:]
    if not set(said) <= set(PARTS) or len(set(said)) < len(said):
        return PlayerName(name)
    parts = dict.fromkeys([*(REPLYING if found["base"].endswith("-reply") else ()), *said])
    budget = None if found["candidates"] is None else Budget(int(found["candidates"]), int(found["iterations"]))
    return PlayerName(found["base"], tuple(parts), budget)


def needs_model(name: str) -> bool:
    """Whether the player called ``name`` needs a world model."""
    return read_player(name).base in JEPAS


def needs_advice(name: str) -> bool:
    """Whether the player called ``name`` needs advice."""
    return not set(ADVISED).isdisjoint(read_player(name).parts)


def check_player(name: str) -> None:
    """Refuse a name that nobody has.

    Raises:
        ValueError: it is neither one of ``PLAYERS``, advised or not, nor that of a factory.
    """
    if read_player(name).base not in PLAYERS and ":" not in name:
        raise ValueError(
            f"unknown player {name!r}; choose one of {', '.join(PLAYERS)}, or package.module:factory "
            "(a jepa or an oracle may have a budget, @96x6 is 96 candidates x 6 iterations, and +"
            f"{', +'.join(PARTS)})"
        )


def make_policy(
    name: str,
    side: Side,
    stage: Stage | str,
    *,
    model: WorldModel | None = None,
    budget: Budget | None = None,
    advice: Advice | None = None,
) -> Policy:
    """Put the player called ``name`` into a seat.

    Args:
        name: one of ``PLAYERS``, a planner with a budget or advice (see :func:`read_player`), or
            ``package.module:factory`` of a function ``factory(side, stage) -> Policy``.
        side: the seat.
        stage: the stage or its name.
        model: the world model of a player that needs one.
        budget: of a player that searches and whose name gives none; its own if None.
        advice: of a player that needs some.

    Raises:
        ValueError: no such player, seat or stage; no model or advice where it is needed; a factory that cannot be
            imported, that fails, or that gives something that is no policy.
    """
    side = check_side(side)
    stage = get_stage(stage) if isinstance(stage, str) else stage
    check_player(name)
    if read_player(name).base in PLANNERS:
        return make_planner(name, side, stage, model=model, budget=budget, advice=advice)
    return OPPONENTS[name](side, stage) if name in OPPONENTS else _from_factory(name, side, stage)


def make_planner(
    name: str,
    side: Side,
    stage: Stage,
    *,
    model: WorldModel | None = None,
    budget: Budget | None = None,
    advice: Advice | None = None,
) -> PlanningPolicy:
    """Put the planner called ``name`` into a seat; see :func:`make_policy`.

    Raises:
        ValueError: it does not plan, or there is no model or advice where it is needed.
    """
    base = read_player(name).base
    if base not in PLANNERS:
        raise ValueError(f"the player {name!r} does not plan; choose one of {', '.join(PLANNERS)}")
    settings = planner_settings(name, budget, advice)
    if base in ORACLES:
        return oracle(side, stage, **settings)
    if model is None:
        raise ValueError(f"the player {name!r} needs a world model; load one with pushjepa.runtime.load_model")
    return PlanningPolicy(model, side, **settings)


def planner_settings(name: str, budget: Budget | None = None, advice: Advice | None = None) -> dict[str, Any]:
    """What tells the planner called ``name`` from others: arguments of :class:`PlanningPolicy`.

    Args:
        name: of a planner.
        budget: where the name gives none; the planner's own if None.
        advice: for a planner that needs some.

    Raises:
        ValueError: there is no advice where it is needed.
    """
    base, parts, own_budget = read_player(name)
    cost = COSTS[base.removeprefix("jepa").removeprefix("oracle")]
    settings: dict[str, Any] = {"cost": cost, "budget": own_budget or budget}
    told = advice or Advice()
    if not set(ADVISED).isdisjoint(parts) and advice is None:
        raise ValueError(f"the player {name!r} needs advice; load some with pushjepa.planning.Advice.of_model")
    if "prior" in parts:
        settings["prior"] = _found(name, "prior", told.prior)
    if "value" in parts:
        settings["value"] = _found(name, "value", told.value)
    if "reply" in parts:
        settings["opponent"] = Opponent(_found(name, "prior", told.prior))
    if "guard" in parts:
        settings["guard"] = Guard()
    return settings


def _found(name: str, part: str, network: Network | None) -> Network:
    """The network that the player called ``name`` needs."""
    if network is None:
        raise ValueError(f"the player {name!r} needs a {part}, which this {FILE} does not hold")
    return network


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
