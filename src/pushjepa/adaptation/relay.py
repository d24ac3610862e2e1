"""A player of the game that adapts to the laws of physics while it plays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushjepa.adaptation.inference import LawSpace
from pushjepa.adaptation.system_m import Event, Moment, Seen, SystemM, Told, live
from pushjepa.physics import BLOCK_SHAPES, LAWS, guess_laws
from pushjepa.planning.plan import Plan
from pushjepa.planning.policies import PlanningPolicy
from pushjepa.relay.contract import History, Observation, Side, last_history
from pushjepa.runtime.contract import Context, FloatArray

#: Where the numbers of :func:`pushjepa.physics.tell_laws` may lie: as far as training went.
GAME_LAWS = LawSpace(
    low=np.array([-0.95, -1.05, -0.85, -0.6, -2.1, -1.85, *[0.0] * (len(BLOCK_SHAPES) - 1)]),
    high=np.array([0.42, 0.85, 1.3, 1.0, 1.0, 0.55, *[1.0] * (len(BLOCK_SHAPES) - 1)]),
    shapes=len(BLOCK_SHAPES) - 1,
)
assert len(GAME_LAWS.low) == LAWS


class AdaptivePlanner(PlanningPolicy):
    """A planner whose world model lives through the match in System M: it plans with the laws that it believes in.

    An instance plays one match. It is told the whole match so far with every observation, and takes up what is new;
    an observation that does not go on from the one before begins another match.

    Args:
        mind: with the world model; of this match alone.
        side: its seat.
        settings: the further arguments of :class:`~pushjepa.planning.PlanningPolicy`.
    """

    def __init__(self, mind: SystemM, side: Side, **settings: Any) -> None:
        super().__init__(Told(mind), side, **settings)
        self.mind = mind
        self._frames: NDArray[Any] = np.empty(0)  # (T, H, W, 3) of the match so far
        self._latents: list[FloatArray] = []  # of each, as the mind looks at them
        self._looked_again = False
        self._start: NDArray[Any] = np.empty(0)  # the first frame, and the blocks since: which match it is
        self._blocks: NDArray[Any] = np.empty(0)

    def plan(self, observation: Observation, *args: Any, **settings: Any) -> Plan:
        """Live through what happened since the last turn, then search for the best one."""
        self.follow(observation)
        self.laws = guess_laws(self.mind.conditions)
        return super().plan(observation, *args, **settings)

    def follow(self, observation: Observation) -> list[Event]:
        """Live through the turns of the match that are new, both sides'; what happened at each."""
        frames = self._seen(observation)
        if not self._goes_on(frames, observation):
            self._latents = []
            self.mind.reset()
        known = len(self._latents)
        if known == len(frames):
            return []
        self._start, self._blocks, self._frames = frames[0], observation.blocks, frames
        if not known:
            self.mind.begin(frames[0])
        self._look()
        moments = (self._moment(observation, turn) for turn in range(max(0, known - 1), len(frames) - 1))
        turns = iter(range(max(1, known), len(frames)))
        return live(self.mind, moments, lambda _: self._see(next(turns)))

    def _see(self, turn: int) -> Seen:
        return Seen(self._latents[turn], self._frames[turn])

    def _look(self) -> None:
        """Encode what is new, and everything where the mind has come to look in another way."""
        if self._looked_again != self.mind.looks_again:
            self._looked_again, self._latents = self.mind.looks_again, []
        new = self._frames[len(self._latents) :]
        if len(new):
            self._latents += list(self.model.encode(new))

    def _goes_on(self, frames: NDArray[Any], observation: Observation) -> bool:
        """Whether an observation is of the match that is lived through, and not of another."""
        known = len(self._latents)
        if not known or len(frames) < known:
            return not known
        played = observation.blocks[: known - 1]
        return np.array_equal(frames[0], self._start) and np.array_equal(played, self._blocks)

    def _moment(self, observation: Observation, turn: int) -> Moment:
        """Boundary ``turn`` with the block that follows it."""
        past = self._past(observation, turn)
        frames = self._history(self._frames[: turn + 1], observation, turn).items
        block, actor = observation.blocks[turn].astype(np.float32), int(observation.actors[turn])
        return Moment(past, block, actor, frames.astype(np.uint8))

    def _past(self, observation: Observation, turn: int) -> Context:
        self._look()
        past = self._history(np.stack(self._latents[: turn + 1]), observation, turn)
        return Context(past.items.astype(np.float32), past.blocks, past.actors)

    def _history(self, items: NDArray[Any], observation: Observation, turn: int) -> History:
        """The last of ``items`` (turn + 1, ...) and what was done between them."""
        return last_history(items, observation.blocks[:turn], observation.actors[:turn], self.model.spec.history)

    def _context(self, observation: Observation) -> Context:
        return self._past(observation, len(self._latents) - 1)
