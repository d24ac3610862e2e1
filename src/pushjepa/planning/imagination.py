"""What a search looks at: candidates become futures, futures become costs, and nothing that was seen is lost."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics import Physics
from pushjepa.physics.geometry import Array
from pushjepa.planning.costs import Cost
from pushjepa.planning.overlap import push_agents_out
from pushjepa.planning.plan import Trace
from pushjepa.planning.replies import Reply, answered_candidates, joint_candidates
from pushjepa.runtime.contract import Context, FloatArray, WorldModel


class Scored(NamedTuple):
    """Candidates as they were scored: states (S, 1, 7), costs (S,), and the likeliest answers (S, 5, 2).

    No answers where none counted; zeros for candidates that none was held against.
    """

    states: Array
    costs: Array
    replies: FloatArray | None = None


class Imagination:
    """Scores own turns with the model and remembers what it saw for the trace.

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
        """Costs (S,) of own turns (S, 1, 5, 2), which are remembered."""
        scored = self._score(candidates)
        self.seen.append(scored)
        return scored.costs

    def judge(self, candidates: FloatArray) -> Array:
        """Costs (S,) of own turns (S, 1, 5, 2), which are not remembered."""
        return self._score(candidates).costs

    @property
    def here(self) -> Array:
        return self.model.decode(self.context.latents[-1])

    def best_states(self, last: int | None = None) -> Array:
        """The states (1, 7) that the cheapest candidate leads to, or that of number ``last`` in the last iteration."""
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
        """Own turns (S, 1, 5, 2), imagined and judged."""
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
    """Scores own turns, and in the last iterations of a search the best of them by what the opponent may answer.

    A turn that answers are held against costs the mean over them, each as likely as the opponent would like it
    (:meth:`~pushjepa.planning.replies.Reply.weigh`); the others of an iteration come after those, in the order in which
    they were. So costs compare within an iteration only.

    Args:
        model, context, actor, cost, laws: as for :class:`Imagination`.
        reply: the opponent's next turn.
        alone: iterations before answers count.
    """

    costs_move = True

    def __init__(
        self, model: WorldModel, context: Context, actor: int, cost: Cost, laws: Physics, reply: Reply, alone: int
    ) -> None:
        super().__init__(model, context, actor, cost, laws)
        self.reply, self.alone = reply, alone

    def _score(self, candidates: FloatArray) -> Scored:
        scored = super()._score(candidates)
        if len(self.seen) < self.alone:
            return scored
        return self._answered(candidates, scored)

    def _answered(self, candidates: FloatArray, scored: Scored) -> Scored:
        """Scored candidates (S, 1, 5, 2), the best of them by the answers."""
        count = math.ceil(self.reply.opponent.share * len(candidates))
        order = np.argsort(scored.costs, kind="stable")
        best, rest = order[:count], order[count:]
        answers = self.reply.answers(scored.states[best, -1])  # (B, R, 5, 2)
        states, latents = self._imagine(*answered_candidates(candidates[best], answers, self.actor))
        rows = answers.shape[:2]
        ours, likely = self.reply.weigh(
            states.reshape(*rows, *states.shape[1:]), latents.reshape(*rows, *latents.shape[1:])
        )
        costs, replies = scored.costs.copy(), np.zeros((len(candidates), *answers.shape[2:]), np.float32)
        costs[best] = (likely * ours).sum(axis=1)
        costs[rest] += costs[best].max() - scored.costs[best[-1]]
        replies[best] = answers[np.arange(len(best)), likely.argmax(axis=1)]
        return Scored(scored.states, costs, replies)

    def _best(self, last: int | None) -> tuple[int, int]:
        return super()._best(int(np.argmin(self.seen[-1].costs)) if last is None else last)
