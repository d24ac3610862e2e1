"""From the name of a player that plans with the world model to one that adapts."""

from __future__ import annotations

from pushjepa.adaptation.relay import GAME_LAWS, AdaptivePlanner
from pushjepa.adaptation.surprise import Usual
from pushjepa.adaptation.system_m import Learner, Options, SystemM
from pushjepa.physics.geometry import Array
from pushjepa.planning import Advice, Budget, needs_model
from pushjepa.planning.seats import JEPAS, planner_settings
from pushjepa.relay.contract import Side
from pushjepa.runtime.contract import LawfulModel


def make_adaptive(
    name: str,
    side: Side,
    model: LawfulModel,
    usual: Usual,
    *,
    budget: Budget | None = None,
    advice: Advice | None = None,
    options: Options | None = None,
    learner: Learner | None = None,
    remembered: Array | None = None,
) -> AdaptivePlanner:
    """A player that plans with the world model, with a mind of its own for one match.

    Args:
        name: of the player; see :func:`pushjepa.planning.seats.read_player`.
        side: its seat.
        model: the world model, one that can be told of laws.
        usual: what errors are usual for it.
        budget: of its search, where the name gives none; the player's own if None.
        advice: of a player that needs some.
        options, learner, remembered: see :class:`~pushjepa.adaptation.SystemM`.

    Raises:
        ValueError: another player, no advice where it is needed, or a model that knows one world only.
    """
    if not needs_model(name):
        raise ValueError(f"the player {name!r} has no world model that could adapt; choose one of {', '.join(JEPAS)}")
    mind = SystemM(model, usual, GAME_LAWS, options, learner, remembered)
    return AdaptivePlanner(mind, side, **planner_settings(name, budget, advice))
