"""Does the model put a search's candidates into the right order? With match play, this decides which model ships."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Ranked:
    """What a search's candidates cost at one position: block to goal at the end of the turn, px.

    Attributes:
        unit: the match that the position is from.
        imagined: (2, S) by the model, over the first and over the last iteration's candidates.
        true: (2, S) by the simulator.
    """

    unit: int
    imagined: Array
    true: Array

    def correlation(self, iteration: int, resolution: float = 0.0) -> float:
        """Spearman's, over one iteration's candidates; NaN where none of them differ in truth.

        Candidates that miss the block cost the same in truth, and all but the same in a model: what is left between
        them, hundredths of a pixel, would put them in an order of its own. With a ``resolution`` in px, costs are
        counted from theirs (the commonest true one, for the model their median) in whole multiples of it.
        """
        imagined, true = self.imagined[iteration], self.true[iteration]
        if resolution:
            _, of, counts = np.unique(np.round(true / _SAME), return_inverse=True, return_counts=True)
            missing = of == counts.argmax()
            imagined = np.round((imagined - np.median(imagined[missing])) / resolution)
            true = np.round((true - np.median(true[missing])) / resolution)
        if np.ptp(true) < _SAME:
            return math.nan
        found = spearman(imagined, true)
        # A model to which all candidates are the same has not ranked those that differ.
        return 0.0 if math.isnan(found) else found


def rank_correlation(ranked: Sequence[Ranked], rng: np.random.Generator) -> Row:
    """Spearman's correlation of the model's with the true cost, the mean over positions.

    Args:
        ranked: the positions, as :func:`rank_candidates` finds them.
        rng: draws the bootstrap over matches.

    Returns:
        ``rank_correlation`` over the candidates of the first iteration, ``rank_correlation_last`` over those of the
        last, and ``rank_correlation_px``, over those of the first with costs to the whole pixel, each with its
        interval; and ``rank_positions``.
    """
    row: Row = {"rank_positions": len(ranked)}
    units = np.array([position.unit for position in ranked])
    asked = (("rank_correlation", 0, 0.0), ("rank_correlation_last", -1, 0.0), ("rank_correlation_px", 0, 1.0))
    for name, index, resolution in asked:
        found = np.array([position.correlation(index, resolution) for position in ranked])
        # A last iteration that agrees on not touching the block ranks nothing, though the first one did.
        known = ~np.isnan(found)
        if known.any():
            estimate = bootstrap_mean(found[known], rng, units[known])
            row[name], row[f"{name}_ci"] = estimate.value, estimate.ci
    return row


def rank_candidates(
    model: WorldModel,
    seed: int,
    stages: Sequence[str],
    positions: int,
    budget: Budget | None = None,
    progress: Callable[[int], None] | None = None,
    workers: int = 1,
    source: str = "matches",
) -> list[Ranked]:
    """Cost the candidates of a search with the model and with the simulator, at positions taken from matches.

    Args:
        model: the world model.
        seed: of the matches and of the searches.
        stages: names of the stages, in turn.
        positions: how many. Those at which no candidate of the first iteration moves the block rank nothing and are
            passed over.
        budget: of the searches.
        progress: told how many positions are done.
        workers: processes that play the matches.
        source: which matches, of ``PAIRINGS``.

    Raises:
        ValueError: too few positions at which there is something to rank.
    """
    found: list[Ranked] = []
    for unit, match, luck in _positions(seed, stages, positions, workers, source):
        ranked = _ranked(model, unit, match, luck, budget)
        if math.isnan(ranked.correlation(0)):
            continue
        found.append(ranked)
        if progress is not None:
            progress(len(found))
        if len(found) == positions:
            return found
    raise ValueError(f"only {len(found)} of {positions} positions had candidates that move the block")


def _positions(
    seed: int, stages: Sequence[str], wanted: int, workers: int, source: str
) -> Iterator[tuple[int, Match, np.random.Generator]]:
    """Matches halted in the middle, each with its unit and the luck of the search to come."""
    count = _TRIES * math.ceil(wanted / _TURNS_PER_MATCH)
    for unit, match in enumerate(matches(count, seed, stages, workers, source)):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xCA11_0003, unit)))
        for turn in rng.choice(len(match.blocks), _TURNS_PER_MATCH, replace=False):
            yield unit, Match.restore(match.setup, match.blocks[:turn]), rng


def _ranked(model: WorldModel, unit: int, match: Match, rng: np.random.Generator, budget: Budget | None) -> Ranked:
    side = match.to_move
    player = PlanningPolicy(model, side, budget=budget)
    looked_at: list[Iteration] = []
    plan = player.plan(match.observation(player), rng, on_iteration=looked_at.append)
    goal = np.array(match.stage.goals[side])
    ends = plan.trace.block_paths[[0, -1], :, -1]  # (2, S, 2)
    true = np.stack([true_costs(match, looked_at[index].candidates) for index in (0, -1)])
    return Ranked(unit, np.hypot(*np.moveaxis(ends - goal, -1, 0)), true)


def true_costs(match: Match, candidates: FloatArray) -> Array:
    """What own action blocks (S, 1, 5, 2) of the side to move really cost (S,): the block's distance to its goal."""
    side = match.to_move
    simulator = SimulatorModel(match.stage, match.physics)
    nothing = np.zeros((0, *candidates.shape[2:3], len(SIDES), 2), dtype=np.float32)
    context = Context(simulator.encode(match.state[None]), nothing, np.zeros(0, dtype=np.int64))
    joint, actors = joint_candidates(candidates, SIDES.index(side))
    latents = simulator.rollout(context, joint, actors)
    return BlockToGoal(match.stage.goals[side])(simulator.decode(latents), latents)
