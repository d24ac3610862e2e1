"""Episodes under other laws of physics, drawn at random: what a model learns from what the laws change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pushjepa.data.generate import PATTERN, Progress
from pushjepa.data.parallel import count_workers, parallel_map
from pushjepa.data.regimes import Episode, simulate_episode
from pushjepa.data.store import Episodes
from pushjepa.physics import BLOCK_SHAPES, Board, Physics
from pushjepa.relay.stages import get_stage

STEPS = 40  #: env steps of an episode: eight turns
_CHUNK = 60
_CHANCE = 0.45  # of each law to be another one
_OTHER_SIZE = 0.8  # of a block that is only looked at to be of another size
#: Ranges that laws are drawn from; those of the third entry true are drawn evenly in their logarithm.
RANGES: dict[str, tuple[float, float, bool]] = {
    "block_scale": (0.6, 1.5, False),
    "block_mass": (0.2, 12.0, True),
    "block_friction": (0.0, 1.6, False),
    "damping": (0.0, 1.0, False),
    "agent_speed": (160.0, 600.0, True),
    "agent_force": (2_000.0, 20_000.0, True),
}


def make_shifted_episodes(
    stages: Sequence[str], count: int, seed: int, workers: int | None = None, progress: Progress | None = None
) -> tuple[Episodes, list[Physics]]:
    """``count`` episodes of eight turns, each under laws of its own, and those laws (count,).

    Episode ``i`` is a function of (seed, i) and the stages, whatever the number of workers. The physics that the
    episodes together name is the standard one, as they have none in common.

    Args:
        stages: names of the stages, in turn.
        count: how many.
        seed: of the draws.
        workers: processes, every core if None.
        progress: told (done, in all).

    Raises:
        ValueError: ``count`` is less than one.
    """
    if count < 1:
        raise ValueError(f"the number of episodes must be at least 1, got {count}")
    names = tuple(stages)
    chunks = [(names, seed, low, min(low + _CHUNK, count)) for low in range(0, count, _CHUNK)]
    played: list[Episode] = []
    for some in parallel_map(_play, chunks, count_workers(workers, len(chunks))):
        played += some
        if progress is not None:
            progress(len(played), count)
    laws = [episode.physics for episode in played]
    return Episodes.of([replace(episode, physics=Physics()) for episode in played], names), laws


def draw_physics(rng: np.random.Generator) -> Physics:
    """Laws drawn at random: each of ``RANGES`` from its range with some chance, else the standard one; the shape too.

    Damping is drawn evenly in its root, since most of its range glides much alike.
    """
    chosen: dict[str, float] = {}
    for name, (low, high, logarithmic) in RANGES.items():
        value = float(np.exp(rng.uniform(np.log(low), np.log(high)))) if logarithmic else float(rng.uniform(low, high))
        if rng.random() < _CHANCE:
            chosen[name] = value**2 if name == "damping" else value
    shape = str(rng.choice(BLOCK_SHAPES)) if rng.random() < _CHANCE else BLOCK_SHAPES[0]
    return Physics(block_shape=shape, **chosen)


def draw_looks(rng: np.random.Generator) -> Physics:
    """Laws drawn at random of which a frame shows everything: the block's size and shape, often the standard ones."""
    scale = float(rng.uniform(*RANGES["block_scale"][:2])) if rng.random() < _OTHER_SIZE else 1.0
    shape = str(rng.choice(BLOCK_SHAPES)) if rng.random() < _CHANCE else BLOCK_SHAPES[0]
    return Physics(block_shape=shape, block_scale=scale)


def _play(chunk: tuple[tuple[str, ...], int, int, int]) -> list[Episode]:
    """Episodes ``low`` to ``high`` of a seed."""
    stages, seed, low, high = chunk
    played = []
    for i in range(low, high):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i, 1)))
        physics = draw_physics(rng)
        stage = get_stage(stages[i // len(PATTERN) % len(stages)])
        board = Board(stage.obstacles, physics)
        played.append(simulate_episode(rng, stage, PATTERN[i % len(PATTERN)], STEPS, physics, board))
    return played
