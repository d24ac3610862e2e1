"""Making a data set: many episodes, on all cores, the same whatever the number of workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pushjepa.data.regimes import REGIMES, Episode, simulate_episode
from pushjepa.data.store import EpisodeStore, EpisodeWriter, Recipe, Shard, write_shard
from pushjepa.physics import Board, Physics
from pushjepa.physics.constants import TURN_STEPS
from pushjepa.relay.stages import STAGES, get_stage

Progress = Callable[[int, int], None]

#: Every twenty episodes hold each regime in its exact share.
PATTERN = tuple(name for name, share in REGIMES.items() for _ in range(round(20 * share)))


def generate(
    out: str | Path,
    episodes: int = 12_500,
    steps: int = 40,
    seed: int = 0,
    stages: Sequence[str] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    physics: Physics | None = None,
    acting: str = "turn",
) -> EpisodeStore:
    """Make a store of episodes, or finish one that was interrupted.

    Finished shards are kept when the run is interrupted; the same call takes up where it stopped. Episode ``i`` is a
    function of (seed, i) and the recipe alone, so the number of workers and of interruptions changes nothing.

    Args:
        out: folder of the store.
        episodes: how many.
        steps: env steps in each, a multiple of 5.
        seed: of everything random.
        stages: names of stages; all of them if None.
        workers: processes; one per core if None. One worker works in this process.
        progress: called with (episodes done, episodes in all) at the start and after each shard.
        physics: the laws of all episodes.
        acting: who acts in a block of 5 env steps: ``turn``, one agent in all of them, or ``step``, both by turns.

    Raises:
        ValueError: a bad option, an unknown stage, or a folder that holds something else.
    """
    recipe = make_recipe(episodes, steps, seed, stages, physics or Physics(), acting=acting)
    path = Path(out)
    return fill_store(path, recipe, partial(make_shard, path, recipe), workers, progress)


def fill_store(
    path: Path,
    recipe: Recipe,
    work: Callable[[int], Shard],
    workers: int | None = None,
    progress: Progress | None = None,
) -> EpisodeStore:
    """Make the shards that a store still lacks.

    Args:
        path: folder of the store.
        recipe: what belongs into it.
        work: makes and writes the shard of a number; a module's function, or a ``functools.partial`` of one.
        workers: processes; one per core if None. One worker works in this process.
        progress: called with (episodes done, episodes in all) at the start and after each shard.

    Raises:
        ValueError: no workers, a folder that holds something else, and whatever ``work`` raises.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"the number of workers must be at least 1, got {workers}")
    writer = EpisodeWriter(path, recipe)
    missing = writer.missing
    workers = min(workers or os.cpu_count() or 1, len(missing))

    def report() -> None:
        if progress is not None:
            progress(writer.episodes_done, recipe.episodes)

    report()
    if workers > 1:
        _spread(work, writer, workers, report)
    else:
        for index in missing:
            writer.record(work(index))
            report()
    return EpisodeStore(path)


def make_recipe(
    episodes: int,
    steps: int,
    seed: int,
    stages: Sequence[str] | None = None,
    physics: Physics | None = None,
    visited: dict[str, Any] | None = None,
    acting: str = "turn",
) -> Recipe:
    """A checked recipe; ``visited`` says of what the episodes are branches, if they are.

    Raises:
        ValueError: a number that makes no sense, an unknown or repeated stage, or an unknown or unfit way of acting.
    """
    if episodes < 1:
        raise ValueError(f"the number of episodes must be at least 1, got {episodes}")
    if steps < TURN_STEPS or steps % TURN_STEPS:
        raise ValueError(f"an episode has a positive multiple of {TURN_STEPS} env steps, got {steps}")
    if seed < 0:
        raise ValueError(f"the seed must not be negative, got {seed}")
    names = check_stages(tuple(STAGES) if stages is None else stages)
    return Recipe(episodes, steps, seed, names, physics or Physics(), visited=visited, acting=acting)


def check_stages(names: Sequence[str]) -> tuple[str, ...]:
    """The names of some stages, in order.

    Raises:
        ValueError: none, one twice, or an unknown stage.
    """
    if not names or len(set(names)) < len(names):
        raise ValueError(f"name each stage once, at least one; got {', '.join(names) or 'none'}")
    for name in names:
        get_stage(name)
    return tuple(names)


def make_episode(recipe: Recipe, i: int, board: Board | None = None) -> Episode:
    """Episode number ``i`` of a recipe."""
    rng = np.random.default_rng(np.random.SeedSequence(recipe.seed, spawn_key=(i,)))
    stage = get_stage(_stage_name(recipe, i))
    regime = PATTERN[i % len(PATTERN)]
    return simulate_episode(rng, stage, regime, recipe.steps, recipe.physics, board, recipe.acting)


def make_shard(path: Path, recipe: Recipe, index: int) -> Shard:
    """Simulate and write one shard; what a worker does."""
    boards = {name: Board(get_stage(name).obstacles, recipe.physics) for name in recipe.stages}
    episodes = [make_episode(recipe, i, boards[_stage_name(recipe, i)]) for i in recipe.members(index)]
    return write_shard(path, index, episodes, recipe)


def _stage_name(recipe: Recipe, i: int) -> str:
    return recipe.stages[i // len(PATTERN) % len(recipe.stages)]


def _spread(work: Callable[[int], Shard], writer: EpisodeWriter, workers: int, report: Callable[[], None]) -> None:
    """Have worker processes make the missing shards. Interrupted, it waits for the shards begun and records them."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupts_to_parent) as pool:
        waiting = iter(writer.missing)
        # One more than there are workers: nobody idles, and an interruption has little left to wait for.
        begun = {pool.submit(work, index) for index in islice(waiting, workers + 1)}
        try:
            while begun:
                done, _ = wait(begun, return_when=FIRST_COMPLETED)
                begun |= {pool.submit(work, index) for index in islice(waiting, len(done))}
                for future in done:
                    writer.record(future.result())
                    begun.discard(future)
                    report()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            for future in begun:
                if not future.cancelled() and future.exception() is None:
                    writer.record(future.result())
            raise


def _leave_interrupts_to_parent() -> None:
    """Ctrl-C reaches every process of the terminal; only the parent shall act on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
