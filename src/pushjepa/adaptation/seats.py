"""From the name of a player that plans with the world model to one that adapts."""

from __future__ import annotations

from pushjepa.adaptation.relay import GAME_LAWS, AdaptivePlanner
from pushjepa.adaptation.surprise import Usual
from pushjepa.adaptation.system_m import Learner, Options, SystemM
from pushjepa.physics.geometry import Array
from pushjepa.planning import Budget
from pushjepa.planning.policies import reply_settings
from pushjepa.relay.contract import Side
from pushjepa.runtime.contract import LawfulModel


def make_adaptive(
    name: str,
    side: Side,
    model: LawfulModel,
    usual: Usual,
    *,
    budget: Budget | None = None,
    options: Options | None = None,
    learner: Learner | None = None,
    remembered: Array | None = None,
) -> AdaptivePlanner:
    """The player ``jepa`` or ``jepa-reply`` with a mind of its own for one match.

    Args:
        name: of the player.
        side: its seat.
        model: the world model, one that can be told of laws.
        usual: what errors are usual for it.
        budget: of its search; the player's own if None.
        options, learner, remembered: see :class:`~pushjepa.adaptation.SystemM`.

    Raises:
        ValueError: another player, or a model that knows one world only.
    """
    if name not in ("jepa", "jepa-reply"):
        raise ValueError(f"the player {name!r} has no world model that could adapt; choose jepa or jepa-reply")
    mind = SystemM(model, usual, GAME_LAWS, options, learner, remembered)
    settings = reply_settings(budget) if name == "jepa-reply" else {"budget": budget}
    return AdaptivePlanner(mind, side, **settings)
