"""How likely each side is to win, from the position alone: a small logistic regression.

``tools/fit_odds.py`` fits the weights on matches between the policies on offer and writes ``odds.json``, which also
says how well they do on matches that were held out. The page shows the figure; nothing plays by it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics.geometry import Array
from pushjepa.relay import MATCH_TURNS, SIDES, Side, Stage, goal_distance, judge
from pushjepa.server.messages import Odds

FORMAT = 1
FEATURES = ("lead", "to_move", "nearer", "behind")


def odds_features(state: Array, to_move: Side, stage: Stage) -> Array:
    """What the odds are judged by, (4,): each is positive where p1 is better off, and its negative from p2's seat.

    - ``lead``: how much nearer p1's goal is to the block than p2's, in hundreds of px;
    - ``to_move``: 1 if p1 acts next, else -1;
    - ``nearer``: how much nearer p1 stands to the block than p2, in hundreds of px;
    - ``behind``: how far each stands behind the block as it would push it home (the cosine), p1's minus p2's.

    Args:
        state: (7,) the position.
        to_move: who acts next.
        stage: for its goals.
    """
    block = state[4:6]
    lead = goal_distance(state, stage.goals["p2"]) - goal_distance(state, stage.goals["p1"])
    reach, behind = [], []
    for at, side in enumerate(SIDES):
        to_block = block - state[2 * at : 2 * at + 2]
        to_goal = np.asarray(stage.goals[side]) - block
        reach.append(float(np.hypot(*to_block)))
        behind.append(float(to_block @ to_goal) / max(reach[-1] * float(np.hypot(*to_goal)), 1.0))
    mover = 1.0 if to_move == "p1" else -1.0
    return np.array([lead / 100.0, mover, (reach[1] - reach[0]) / 100.0, behind[0] - behind[1]])


@dataclass(frozen=True)
class OddsModel:
    """The fitted weights.

    Attributes:
        weights: for each stage (10, 4): a row for 1 ... 10 turns left, a column for each of ``FEATURES``.
    """

    weights: dict[str, Array]

    def __call__(self, start: Array, state: Array, turn: int, to_move: Side, stage: Stage) -> Odds | None:
        """The odds after ``turn`` turns; None on a stage that was not fitted.

        Args:
            start: (7,) the match's first position.
            state: (7,) the position now.
            turn: turns played; after the last one the result is certain.
            to_move: who acts next.
            stage: where it is played.
        """
        if turn >= MATCH_TURNS:
            winner = judge(start, state, stage).winner
            chance = 0.5 if winner is None else float(winner == "p1")
        elif stage.name not in self.weights:
            return None
        else:
            weights = self.weights[stage.name][MATCH_TURNS - turn - 1]
            chance = float(sigmoid(weights @ odds_features(state, to_move, stage)))
        return Odds(p1=chance, p2=1.0 - chance)


def sigmoid(score: Array) -> Array:
    """1 / (1 + exp(-score)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(score))))


def fit_weights(features: Array, won: Array, ridge: float = 1.0, steps: int = 50) -> Array:
    """Weights (F,) of a logistic regression without intercept, by Newton's method with a ridge penalty.

    Args:
        features: (N, F).
        won: (N,) 1 for a win of p1, 0 for one of p2, 0.5 for a draw.
        ridge: half of this times the squared weights is added to the loss of all N.
        steps: at most this many.
    """
    weights = np.zeros(features.shape[1])
    for _ in range(steps):
        chance = sigmoid(features @ weights)
        slope = features.T @ (chance - won) + ridge * weights
        curve = (features * (chance * (1.0 - chance))[:, None]).T @ features + ridge * np.eye(len(weights))
        step = np.linalg.solve(curve, slope)
        weights = weights - step
        if float(np.abs(step).max()) < 1e-10:
            break
    return weights


def brier(chances: Array, won: Array) -> float:
    """Mean squared difference between chances (N,) and outcomes (N,): 0 is perfect, 0.25 is a coin."""
    return float(np.mean((np.asarray(chances) - np.asarray(won)) ** 2))


def load_odds(path: Path | None = None) -> OddsModel | None:
    """The weights in ``path``, or the ones that come with the package; None if there are none.

    Raises:
        ValueError: the file is no table of odds.
    """
    path = path or Path(str(resources.files("pushjepa.server") / "odds.json"))
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        if found["format"] != FORMAT or tuple(found["features"]) != FEATURES:
            raise ValueError("another format")  # noqa: TRY301
        weights = {name: _checked(rows) for name, rows in found["stages"].items()}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no table of odds ({error}); make it again with tools/fit_odds.py") from None
    return OddsModel(weights)


def _checked(rows: Any) -> NDArray[np.float64]:
    weights = np.array(rows, dtype=np.float64)
    if weights.shape != (MATCH_TURNS, len(FEATURES)) or not np.isfinite(weights).all():
        raise ValueError(f"weights must be {MATCH_TURNS} x {len(FEATURES)} finite numbers")
    return weights
