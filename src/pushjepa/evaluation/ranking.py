"""Does the model put a search's candidates into the right order? With match play, this decides which model ships."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pushjepa.evaluation.passages import matches
from pushjepa.evaluation.results import Row
from pushjepa.evaluation.statistics import bootstrap_mean, spearman
from pushjepa.physics.geometry import Array
from pushjepa.planning import BlockToGoal, Budget, Iteration, PlanningPolicy, SimulatorModel, joint_candidates
from pushjepa.relay import SIDES, Match
from pushjepa.runtime.contract import Context, FloatArray, WorldModel

_TURNS_PER_MATCH = 2  # positions of one match resemble each other
# A search in which no candidate reaches the block ranks nothing; it is passed over, but not for ever.
_TRIES = 20
_SAME = 1e-3  # px; costs that differ by less are equal but for rounding


def rank_correlation(
    model: WorldModel,
    seed: int,
    stages: Sequence[str],
    positions: int,
    rng: np.random.Generator,
    budget: Budget | None = None,
    progress: Callable[[int], None] | None = None,
    workers: int = 1,
) -> Row:
    """Spearman's correlation of the model's with the true cost (block to goal only) over a search's candidates.

    Args:
        model: the world model.
        seed: of the matches and of the searches.
        stages: names of the stages, in turn.
        positions: how many positions of matches to take the mean over. Those at which no candidate moves the block
            rank nothing and are passed over.
        rng: draws the bootstrap.
        budget: of the searches.
        progress: told how many positions are done.
        workers: processes that play the matches.

    Returns:
        ``rank_correlation`` over the candidates of the first iteration, ``rank_correlation_last`` over those of the
        last, each with its interval, and ``rank_positions``.

    Raises:
        ValueError: too few positions at which there is something to rank.
    """
    first: list[float] = []
    last: list[float] = []
    units: list[int] = []
    for unit, match, luck in _positions(seed, stages, positions, workers):
        found = _correlations(model, match, luck, budget)
        if found is None:
            continue
        units.append(unit)
        first.append(found[0])
        last.append(found[1])
        if progress is not None:
            progress(len(first))
        if len(first) == positions:
            break
    if len(first) < positions:
        raise ValueError(f"only {len(first)} of {positions} positions had candidates that move the block")
    estimates = {"rank_correlation": bootstrap_mean(first, rng, units)}
    # A last iteration that agrees on not touching the block ranks nothing either, though the first one did.
    known = ~np.isnan(last)
    if known.any():
        estimates["rank_correlation_last"] = bootstrap_mean(np.array(last)[known], rng, np.array(units)[known])
    row: Row = {"rank_positions": positions}
    for name, estimate in estimates.items():
        row[name], row[f"{name}_ci"] = estimate.value, estimate.ci
    return row


def _positions(
    seed: int, stages: Sequence[str], wanted: int, workers: int
) -> Iterator[tuple[int, Match, np.random.Generator]]:
    """Matches halted in the middle, each with its unit and the luck of the search to come."""
    count = _TRIES * math.ceil(wanted / _TURNS_PER_MATCH)
    for unit, match in enumerate(matches(count, seed, stages, workers)):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xCA11_0003, unit)))
        for turn in rng.choice(len(match.blocks), _TURNS_PER_MATCH, replace=False):
            yield unit, Match.restore(match.setup, match.blocks[:turn]), rng


def _correlations(
    model: WorldModel, match: Match, rng: np.random.Generator, budget: Budget | None
) -> tuple[float, float] | None:
    """Correlation over the first and over the last iteration's candidates; None if the first ranks nothing."""
    side = match.to_move
    player = PlanningPolicy(model, side, budget=budget)
    looked_at: list[Iteration] = []
    plan = player.plan(match.observation(player), rng, on_iteration=looked_at.append)
    goal = np.array(match.stage.goals[side])
    values = []
    for index in (0, -1):
        true = true_costs(match, looked_at[index].candidates)
        imagined = np.hypot(*(plan.trace.block_paths[index, :, -1] - goal).T)
        correlation = spearman(imagined, true)
        # A model to which all candidates are the same has not ranked those that differ.
        values.append(math.nan if np.ptp(true) < _SAME else 0.0 if math.isnan(correlation) else correlation)
    return None if math.isnan(values[0]) else (values[0], values[1])


def true_costs(match: Match, candidates: FloatArray) -> Array:
    """What own action blocks (S, 1, 5, 2) of the side to move really cost (S,): the block's distance to its goal."""
    side = match.to_move
    simulator = SimulatorModel(match.stage, match.physics)
    nothing = np.zeros((0, *candidates.shape[2:3], len(SIDES), 2), dtype=np.float32)
    context = Context(simulator.encode(match.state[None]), nothing, np.zeros(0, dtype=np.int64))
    joint, actors = joint_candidates(candidates, SIDES.index(side))
    latents = simulator.rollout(context, joint, actors)
    return BlockToGoal(match.stage.goals[side])(simulator.decode(latents), latents)
