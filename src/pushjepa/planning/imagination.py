"""What a search looks at: candidates become futures, futures become costs, and nothing that was seen is lost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics import Physics
from pushjepa.physics.geometry import Array
from pushjepa.planning.costs import Cost
from pushjepa.planning.overlap import push_agents_out
from pushjepa.planning.plan import Trace
from pushjepa.planning.replies import Opponent, alternate, replied_candidates
from pushjepa.planning.search import INITIAL_STD, SMALLEST_STD
from pushjepa.relay.rules import SIDES
from pushjepa.runtime.contract import Context, FloatArray, WorldModel


class Scored(NamedTuple):
    """Candidates as they were scored: states (S, H, 7), costs (S,), and the likeliest answers (S, 5, 2), if any."""

    states: Array
    costs: Array
    replies: FloatArray | None = None


class Imagination:
    """Scores own turns with the model, the opponent standing still between them; remembers what it saw for the trace.

    Args:
        model: what imagines.
        context: the match so far, encoded.
        actor: who plans, 0 for p1, 1 for p2.
        cost: of a future.
        laws: whose block no imagined agent may stand in.

    Attributes:
        costs_move: whether a candidate may cost something else when it is scored again.
        here: (7,) the position that all futures begin in, as the model reads it.
    """

    costs_move = False

    def __init__(self, model: WorldModel, context: Context, actor: int, cost: Cost, laws: Physics) -> None:
        self.model, self.context, self.actor, self.cost, self.laws = model, context, actor, cost, laws
        self.seen: list[Scored] = []  # what each iteration looked at

    def __call__(self, candidates: FloatArray) -> Array:
        """Costs (S,) of own action blocks (S, N, 5, 2), which are remembered."""
        scored = self._score(candidates)
        self.seen.append(scored)
        return scored.costs

    def judge(self, candidates: FloatArray) -> Array:
        """Costs (S,) of own action blocks (S, N, 5, 2), which are not remembered."""
        return self._score(candidates).costs

    @property
    def here(self) -> Array:
        return self.model.decode(self.context.latents[-1])

    def best_states(self, last: int | None = None) -> Array:
        """The states (H, 7) that the cheapest candidate leads to, or that of number ``last`` in the last iteration."""
        iteration, candidate = self._best(last)
        best: Array = self.seen[iteration].states[candidate]
        return best

    def best_reply(self, last: int | None = None) -> Array | None:
        """The opponent's turn (5, 2) that the same candidate reckons with most; None if it reckons with none."""
        iteration, candidate = self._best(last)
        replies = self.seen[iteration].replies
        return None if replies is None else np.asarray(replies[candidate], dtype=np.float64)

    def trace(self) -> Trace:
        """Everything that was looked at."""
        costs = np.stack([scored.costs for scored in self.seen])  # (I, S)
        states = np.stack([scored.states for scored in self.seen])  # (I, S, H, 7)
        start = np.broadcast_to(self.here[4:6], (*costs.shape, 1, 2))
        own = 2 * self.actor
        return Trace(np.concatenate([start, states[..., 4:6]], axis=2), states[:, :, -1, own : own + 2], costs)

    def _imagine(self, joint: FloatArray, actors: NDArray[np.int64]) -> tuple[Array, FloatArray]:
        """States (S, H, 7), mended, and latents (S, H, K, D) after each joint block (S, H, 5, 2, 2)."""
        latents = self.model.rollout(self.context, joint, actors)
        states = self.model.decode(latents)
        return push_agents_out(states, self.laws.block_shape, self.laws.block_scale), latents

    def _score(self, candidates: FloatArray) -> Scored:
        """Own action blocks (S, N, 5, 2), imagined and judged."""
        joint, actors = joint_candidates(candidates, self.actor)
        states, latents = self._imagine(joint, actors)
        return Scored(states, self.cost(states, latents))

    def _best(self, last: int | None) -> tuple[int, int]:
        """Iteration and candidate: of the last iteration the one of that number, of all the cheapest."""
        if last is not None:
            return len(self.seen) - 1, last
        costs = np.stack([scored.costs for scored in self.seen])
        iteration, candidate = divmod(int(np.argmin(costs)), costs.shape[1])
        return iteration, candidate


class ReplyImagination(Imagination):
    """Scores own turns with the opponent's answers between (and after) them.

    While the search narrows its own turn, a second one narrows the opponent's answer to the best own turn so far, one
    iteration for one. Its best finds, standing still, and what the opponent has played in this match are the answers
    that every candidate is held against; each counts as much as the opponent would like it
    (:meth:`Opponent.likelihood`). As answers get better, plans get dearer: only costs of one iteration compare.

    Args:
        model, context, actor, cost, laws: as for :class:`Imagination`.
        opponent: how it is reckoned with.
        theirs: the opponent's own cost of a future.
        played: (T, 5, 2) the opponent's turns in this match so far.
        horizon: turns imagined, own ones and answers in turn.
        rng: where the draws of answers come from.
    """

    costs_move = True

    def __init__(
        self,
        model: WorldModel,
        context: Context,
        actor: int,
        cost: Cost,
        laws: Physics,
        opponent: Opponent,
        theirs: Cost,
        played: FloatArray,
        horizon: int,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(model, context, actor, cost, laws)
        self.opponent, self.theirs, self.horizon, self.rng = opponent, theirs, horizon, rng
        self.still, self.habits = opponent.share_still(played), opponent.habits(played)
        shape = (model.spec.frameskip, 2)
        self.mean, self.std = np.zeros(shape, np.float32), np.full(shape, INITIAL_STD, np.float32)
        self.found = np.zeros((0, *shape), np.float32)  # the best answers to the leader
        self.leader = np.zeros((1, *shape), np.float32)  # (N, 5, 2) the best own turns so far; at first to stand still

    def __call__(self, candidates: FloatArray) -> Array:
        """Costs (S,) of own action blocks (S, N, 5, 2), each the mean over the opponent's answers."""
        self._study()
        costs = super().__call__(candidates)
        self.leader = candidates[int(np.argmin(costs))]
        return costs

    def _score(self, candidates: FloatArray) -> Scored:
        answers = np.concatenate([self.habits, self.found])  # (R, 5, 2), standing still first
        joint, actors = replied_candidates(candidates, answers, self.actor, self.horizon)
        states, latents = self._imagine(joint, actors)
        rows = (len(candidates), len(answers))
        likely = self.opponent.likelihood(self.theirs(states[:, :2], latents[:, :2]).reshape(rows), self.still)
        costs = (likely * self.cost(states, latents).reshape(rows)).sum(axis=1)
        expected = likely.argmax(axis=1)
        states = states.reshape(*rows, self.horizon, -1)[np.arange(len(candidates)), expected]
        return Scored(states, np.asarray(costs), answers[expected])

    def _best(self, last: int | None) -> tuple[int, int]:
        return super()._best(int(np.argmin(self.seen[-1].costs)) if last is None else last)

    def _study(self) -> None:
        """One iteration of the opponent's cross-entropy search for an answer to the leader's first turn."""
        noise = self.rng.standard_normal((self.opponent.candidates, *self.mean.shape), dtype=np.float32)
        answers = np.clip(self.mean + self.std * noise, -1.0, 1.0)
        answers[: len(self.found)] = self.found
        joint, actors = replied_candidates(self.leader[None, :1], answers, self.actor, 2)
        states, latents = self._imagine(joint, actors)
        order = np.argsort(self.theirs(states, latents), kind="stable")
        elites = answers[order[: self.opponent.elites]]
        self.mean, self.std = elites.mean(axis=0), np.maximum(elites.std(axis=0), SMALLEST_STD)
        self.found = answers[order[: self.opponent.kept]]


def joint_candidates(own: FloatArray, actor: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """Own action blocks (S, N, 5, 2) to joint ones (S, 2 N - 1, 5, 2 agents, 2) and who acts in each (2 N - 1,).

    The opponent's turns between the own ones are all zeros, and so is the waiting agent in every block.
    """
    count, turns, steps, _ = own.shape
    joint = np.zeros((count, 2 * turns - 1, steps, len(SIDES), 2), dtype=np.float32)
    joint[:, ::2, :, actor] = own
    return joint, alternate(actor, 2 * turns - 1)
