"""A guard against believing a model where it is wrong: a plan has to be good among its neighbours.

A search that looks at thousands of futures finds those in which the model errs in its favour. Such an error is local:
actions that differ a little lead elsewhere. So the best plans are judged again, each by the mean over plans near to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pushjepa.physics.geometry import Array
from pushjepa.planning.search import Iteration, checked_costs
from pushjepa.runtime.contract import FloatArray


class Judge(Protocol):
    """Costs (S,) of candidates (S, H, 5, 2), as a search would be told them, and nothing is remembered."""

    def judge(self, candidates: FloatArray) -> Array: ...


@dataclass(frozen=True)
class Guard:
    """Judges the best plans again, among their neighbours: ``plans`` x (``neighbours`` + 1) futures beyond the budget.

    Attributes:
        plans: the best of the last iteration that are judged again.
        neighbours: of each, beside itself.
        spread: standard deviation of the actions by which a neighbour differs; 1 is full speed.

    Raises:
        ValueError: fewer than two plans, no neighbour, or no spread.
    """

    plans: int = 12
    neighbours: int = 10
    spread: float = 0.08

    def __post_init__(self) -> None:
        if self.plans < 2 or self.neighbours < 1 or not self.spread > 0.0:
            raise ValueError(
                "a guard compares at least 2 plans by at least 1 neighbour each, some spread away: got "
                f"{self.plans}, {self.neighbours}, {self.spread:g}"
            )

    def choose(self, judge: Judge, last: Iteration, rng: np.random.Generator) -> int:
        """The plan of the last iteration that is best among its neighbours.

        Args:
            judge: what scores plans.
            last: the iteration.
            rng: where the neighbours come from; all plans have neighbours in the same directions.

        Returns:
            Its number among the candidates.

        Raises:
            ValueError: a cost that is not finite.
        """
        best = np.argsort(last.costs, kind="stable")[: self.plans]
        plans = last.candidates[best]
        away = self.spread * rng.standard_normal((self.neighbours + 1, *plans.shape[1:]), dtype=np.float32)
        away[0] = 0.0
        near = np.clip(plans[:, None] + away, -1.0, 1.0)
        costs = checked_costs(judge.judge(near.reshape(-1, *plans.shape[1:])), near.shape[0] * near.shape[1])
        return int(best[np.argmin(costs.reshape(len(plans), -1).mean(axis=1))])
