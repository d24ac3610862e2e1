"""A policy of stable-worldmodel that adapts to the laws of physics while it plays Push-T."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pushjepa.adaptation.inference import LawSpace
from pushjepa.adaptation.system_m import Event, Moment, Seen, SystemM, Told
from pushjepa.physics.geometry import Array
from pushjepa.pusht.adapters import BlockPlanner, HistoryPolicy, Normaliser
from pushjepa.pusht.simulator import BLOCK_SHAPES, LAWS
from pushjepa.pusht.stable import PlanConfig
from pushjepa.relay.contract import last_history
from pushjepa.runtime.contract import Context, FloatArray

#: Where the numbers of :func:`pushjepa.pusht.simulator.tell_laws` may lie: as far as training went.
PUSHT_LAWS = LawSpace(
    low=np.array([-0.7, -0.82, -0.82, 0.0, -1.13, 0.0, *[0.0] * (len(BLOCK_SHAPES) - 1)]),
    high=np.array([0.54, 0.82, 0.77, 1.2, 1.13, 1.0, *[1.0] * (len(BLOCK_SHAPES) - 1)]),
    shapes=len(BLOCK_SHAPES) - 1,
)
assert len(PUSHT_LAWS.low) == LAWS


class Life(NamedTuple):
    """An environment from one reset to the next: its frames and true states, step by step, and its mind's events.

    The states are kept for whoever measures; the policy looks at frames alone.
    """

    frames: list[NDArray[np.uint8]]
    states: list[Array]
    events: list[Event]


class AdaptivePolicy(HistoryPolicy):
    """A :class:`~pushjepa.pusht.adapters.HistoryPolicy` with a mind for each environment.

    At every boundary of action blocks, counted from an environment's reset, its mind scores what it had predicted
    against what is seen, and adapts if need be. Plans are searched for in the mind's own world, and what is left of one
    is dropped as soon as its mind comes to believe in another.

    Args:
        make_mind: makes the mind of an environment, by its number.
        planner: searches; its ``models`` become the minds' worlds.
        solver: the planner itself, or what wraps it.
        config: its ``action_block`` is the model's frameskip.
        process: stable-worldmodel's normalisers by key.

    Raises:
        ValueError: a planner in doubt of its start.

    Attributes:
        minds: of the environments.
        lives: (B,) what each environment has lived through since its reset, and before that.
    """

    def __init__(
        self,
        make_mind: Callable[[int], SystemM],
        planner: BlockPlanner,
        solver: Any,
        config: PlanConfig,
        process: Mapping[str, Normaliser] | None = None,
    ) -> None:
        if planner.doubt is not None:
            raise ValueError("a mind plans from where it reads its frames; plan without doubt")
        super().__init__(solver, config, planner.model.spec.history, process)
        self._make, self.planner = make_mind, planner
        self.minds: list[SystemM] = []
        self.lives: list[list[Life]] = []
        self._latents: list[list[FloatArray]] = []  # of each environment at its boundaries, as its mind looks at them
        self._looked_again: list[bool] = []

    def set_env(self, env: Any) -> None:
        super().set_env(env)
        self.minds = [self._make(index) for index in range(env.num_envs)]
        self.planner.models = [Told(mind) for mind in self.minds]
        self._latents, self._looked_again = [[] for _ in self.minds], [False for _ in self.minds]
        self.lives = [[Life([], [], mind.events)] for mind in self.minds]

    def get_action(self, info_dict: dict[str, Any], **kwargs: Any) -> NDArray[Any]:
        """Actions (B, 2); before that every environment that is at a boundary lives through what led there."""
        resets = info_dict.get("_needs_flush")
        for index, mind in enumerate(self.minds):
            if resets is not None and resets[index]:
                self._latents[index] = []
                mind.reset()
                if not self.lives[index][-1].frames:
                    self.lives[index].pop()  # its events are those of before the mind's reset
                self.lives[index].append(Life([], [], mind.events))
            elif self.past[index].frames:
                self._live(index, np.asarray(info_dict["pixels"][index][-1]))
            life = self.lives[index][-1]
            if not life.frames:
                mind.begin(np.asarray(info_dict["pixels"][index][-1]))
            life.frames.append(np.array(info_dict["pixels"][index][-1]))
            life.states.append(np.array(info_dict["state"][index][-1], dtype=np.float64))
        return super().get_action(info_dict, **kwargs)

    def _live(self, index: int, frame: NDArray[np.uint8]) -> None:
        """What ``frame``, the one after all that is past, tells environment ``index``, if it is one at a boundary."""
        frameskip, past = self.cfg.action_block, self.past[index]
        if len(past.frames) % frameskip:
            return
        if not np.isfinite(past.actions[-1]).all():
            return  # the episode is over, and its environment is told nothing any more
        frames = np.stack(past.frames[::frameskip])
        latents = self._look(index, frames)
        blocks = np.array(past.actions, dtype=np.float32).reshape(-1, frameskip, 1, 2)
        assert len(blocks) == len(frames), "one block since each boundary"
        mind = self.minds[index]
        mind.anticipate(self._moment(frames, latents, blocks))
        latents.append(mind.model.encode(frame[None])[0].astype(np.float32))
        if mind.modulate(Seen(latents[-1], frame)).act:
            self._drop_plan(index)

    def _drop_plan(self, index: int) -> None:
        """Drop what is left of a plan for a world that is no longer believed in, and where the next would begin."""
        self._action_buffer[index].clear()
        if self._next_init is not None:
            self._next_init[index] = 0.0

    def _look(self, index: int, frames: NDArray[np.uint8]) -> list[FloatArray]:
        """The latents at an environment's boundaries, all anew where its mind has come to look otherwise."""
        mind, latents = self.minds[index], self._latents[index]
        if self._looked_again[index] != mind.looks_again:
            self._looked_again[index] = mind.looks_again
            latents.clear()
        if len(latents) < len(frames):
            latents += list(mind.model.encode(frames[len(latents) :]).astype(np.float32))
        return latents

    def _moment(self, frames: NDArray[np.uint8], latents: list[FloatArray], blocks: FloatArray) -> Moment:
        """The newest boundary, with the last of ``blocks`` after it."""
        actors = np.zeros(len(blocks) - 1, dtype=np.int64)
        past = last_history(np.stack(latents), blocks[:-1], actors, self.history)
        shown = last_history(frames, blocks[:-1], actors, self.history).items
        context = Context(past.items.astype(np.float32), past.blocks.astype(np.float32), past.actors)
        return Moment(context, blocks[-1], 0, shown.astype(np.uint8))
