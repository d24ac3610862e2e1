"""A world with known answers: an agent that is exp(c0) as fast, a block that drifts with c1 and turns with c2."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pushjepa.adaptation import LawSpace, Moment, Seen, Transition, Usual
from pushjepa.relay.contract import last_history
from pushjepa.runtime.contract import Context, ModelSpec

PUSH, DRIFT, TURN = 20.0, 30.0, 0.6  # px, px, radians


def moved(states, blocks, laws):
    """States (N, 5) after blocks (N, 5, 1, 2) under laws (N, 3)."""
    after = np.array(states, dtype=np.float64)
    after[:, :2] += np.exp(laws[:, :1]) * PUSH * blocks.sum(axis=(1, 2))
    after[:, 2] += DRIFT * laws[:, 1]
    after[:, 4] += TURN * laws[:, 2]
    return after


class Toy:
    """A world model that is right. Its latent is the state / 100; what it is asked is kept in ``log``, in order.

    Args:
        error: (5,) what its rollouts, but not its quick looks, are wrong by.
    """

    spec = ModelSpec(1, 5, 1, 5, 3, 16, tuple("abcde"), laws=3)

    def __init__(self, error=None):
        self.log, self.error = [], np.zeros(5) if error is None else np.asarray(error)

    def encode(self, frames):
        """The first five pixels of a frame are its state, px and hundredths of a radian."""
        states = frames[:, 0, :5, 0].astype(np.float32)
        states[:, 4] /= 100
        return states[:, None] / 100

    def decode(self, latents):
        self.log.append(("decode", latents))
        return latents[..., 0, :].astype(np.float64) * 100

    def rollout(self, context, candidates, actors, conditions=None):
        self.log.append(("rollout", context, candidates, actors, conditions))
        laws = np.zeros(3) if conditions is None else conditions.astype(np.float64)
        states, out = np.repeat(context.latents[-1, 0][None] * 100.0, len(candidates), axis=0), []
        for turn in range(candidates.shape[1]):
            states = moved(states, candidates[:, turn], np.repeat(laws[None], len(states), axis=0)) + self.error
            out.append(states)
        return (np.stack(out, axis=1)[:, :, None] / 100).astype(np.float32)

    def foresee(self, latents, earlier, blocks, actors, conditions):
        self.log.append(("foresee", latents, earlier, blocks, actors, conditions))
        return moved(latents[:, 0] * 100.0, blocks, conditions.astype(np.float64))


class Episode:
    """Play in the toy's world under laws that may change; what was seen and done is kept.

    Attributes:
        latents: at each boundary.
        blocks: between them.
        missing: (5,) something that happens in every block and that no laws of the model explain.
    """

    def __init__(self, seed=0, log=None):
        self.rng, self.log = np.random.default_rng(seed), log
        start = np.array([250.0, 250.0, 200.0, 200.0, 0.3])
        self.latents = [(start[None] / 100).astype(np.float32)]
        self.blocks, self.missing, self._laws = [], np.zeros(5), None

    def context(self, turn=None):
        turn = len(self.latents) - 1 if turn is None else turn
        blocks = np.array(self.blocks[:turn], dtype=np.float32).reshape(-1, 5, 1, 2)
        past = last_history(np.stack(self.latents[: turn + 1]), blocks, np.zeros(turn, dtype=np.int64), 3)
        return Context(past.items, past.blocks, past.actors)

    def moments(self, laws):
        """A moment under each of some laws (T, 3); the block is drawn."""
        for one in laws:
            self._laws = np.asarray(one, dtype=np.float64)
            block = self.rng.uniform(0.2, 1.0, (5, 1, 2)) * self.rng.choice([-1, 1], (1, 1, 2))
            yield Moment(self.context(), block.astype(np.float32), 0)

    def see(self, moment):
        if self.log is not None:
            self.log.append(("see",))
        state = self.latents[-1] * 100.0
        after = moved(state, moment.block[None], self._laws[None]) + self.missing
        self.latents.append((after / 100).astype(np.float32))
        self.blocks.append(moment.block)
        return Seen(self.latents[-1])


def transitions(laws, count, seed=0):
    """So many transitions under laws (3,), one after the other."""
    episode, found = Episode(seed), []
    for moment in episode.moments([laws] * count):
        earlier = moment.context.blocks[-1]
        after = episode.see(moment).latents
        state = after[0].astype(np.float64) * 100
        found.append(Transition(moment.context.latents[-1], earlier, moment.block, 0, state, moment.context, after))
    return found


@pytest.fixture
def toys():
    """All of it, and what is usual for the toy: 1 px, give or take a factor of 1.6."""
    return SimpleNamespace(
        Toy=Toy,
        Episode=Episode,
        moved=moved,
        transitions=transitions,
        usual=Usual(mean=(0.7, 0.7), std=(0.5, 0.5), threshold=4.0, rate=0.0, n=100),
        space=LawSpace(np.array([-1.0, -1.0, 0.0]), np.array([1.0, 1.0, 1.0]), shapes=1),
    )
