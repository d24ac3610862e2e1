"""How well a world model sees and foresees, in board pixels and degrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pushjepa.data import MOVED
from pushjepa.data.parallel import count_workers
from pushjepa.evaluation.passages import PAIRINGS, SOURCES, Passage, episode_passages, match_passages
from pushjepa.evaluation.ranking import rank_candidates, rank_correlation
from pushjepa.evaluation.results import Row
from pushjepa.evaluation.statistics import bootstrap_mean, bootstrap_ratio
from pushjepa.physics import Board, wrap_angle
from pushjepa.physics.constants import BOARD_SIZE
from pushjepa.physics.geometry import Array
from pushjepa.planning import Budget
from pushjepa.relay import SIDES, STAGES, Scene, get_stage, last_history
from pushjepa.runtime.contract import Context, FloatArray, WorldModel

Progress = Callable[[int, int], None]  #: (done, in all)

TURNS_AHEAD = (0, 1, 2, 3, 5)  #: 0 is the decode error of the frame itself
RANK_POSITIONS = 200
_ERRORS = ("agent_px", "waiter_px", "block_px", "angle_deg")


@dataclass(frozen=True)
class Probe:
    """Predictions and truth at one distance, N of them.

    Attributes:
        predicted: (N, 7) decoded states.
        true: (N, 7) what came.
        start: (N, 7) what it was before the first predicted turn; for 0 turns ahead, before the turn just played.
        simulated: (N, 7) where the true simulator would have gone from the *decoded* start, one turn ahead; elsewhere
            the true state. What it is off by is due to seeing, the rest of an error to foreseeing.
        actors: (N,) who acted in the last turn before ``true``.
        units: (N,) the passage it is from, which is what is independent.
    """

    predicted: Array
    true: Array
    start: Array
    simulated: Array
    actors: Array
    units: Array

    def errors(self) -> dict[str, Array]:
        """Each (N,): the acting and the waiting agent, the block, the angle; and what the baselines are off by."""
        found = self._off(self.predicted)
        simulated = {f"simulator_{name}": values for name, values in self._off(self.simulated).items()}
        return found | simulated | {"copy_block_px": self.travel()}

    def _off(self, states: Array) -> dict[str, Array]:
        """What ``states`` (N, 7) are off by."""
        first = 2 * self.actors.astype(np.int64)
        off = states - self.true
        rows = np.arange(len(off))
        agents = [np.hypot(off[rows, i], off[rows, i + 1]) for i in (first, 2 - first)]
        angle = np.degrees(np.abs(wrap_angle(off[:, 6])))
        return dict(zip(_ERRORS, (*agents, np.hypot(off[:, 4], off[:, 5]), angle), strict=True))

    def travel(self) -> Array:
        """How far the block went (N,), px."""
        return np.asarray(np.hypot(*(self.true - self.start)[:, 4:6].T))


def calibrate(
    model: WorldModel,
    episodes: int,
    seed: int,
    source: str = "episodes",
    stages: Sequence[str] | None = None,
    *,
    rank_positions: int = RANK_POSITIONS,
    budget: Budget | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """Measure decoding, prediction and ranking.

    Args:
        model: the world model.
        episodes: how many episodes, or matches.
        seed: of everything that is drawn.
        source: "episodes" (fresh ones in the training data's regimes), "matches" (of the scripted players and a small
            oracle) or "strangers" (of players that no data were ever made with).
        stages: names of the stages, in turn; all if None.
        rank_positions: over how many positions from matches (those of ``source``, or for episodes "matches") the rank
            correlation is taken; 0 to leave it out.
        budget: of the search whose candidates are ranked; the published one if None.
        workers: processes that play episodes and matches, all cores if None; the figures do not depend on it.
        progress: told (done, in all) over passages and positions together.

    Returns:
        One row for each condition (all, moved) and number of turns ahead: 0 (decode), 1, 2, 3, 5. The push ratio is
        given for moved turns, the rank correlation one turn ahead.

    Raises:
        ValueError: no episodes, an unknown source or stage.
    """
    names = _checked(episodes, seed, source, stages)
    total = episodes + rank_positions
    workers = count_workers(workers, total)
    passages = (
        episode_passages(episodes, seed, names, workers)
        if source == "episodes"
        else match_passages(episodes, seed, names, workers, source)
    )
    probes = collect_probes(model, _counted(passages, progress, total))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xCA11_0000,)))
    rows = [
        _row(probes[ahead], condition, source, names, ahead, rng)
        for ahead in TURNS_AHEAD
        for condition in ("all", "moved")
    ]
    if rank_positions:
        advance = None if progress is None else lambda done: progress(episodes + done, total)
        of = source if source in PAIRINGS else "matches"  # nobody has planned in an episode
        ranked = rank_candidates(model, seed, names, rank_positions, budget, advance, workers, of)
        ranking = rank_correlation(ranked, rng)
        for row in rows:
            if row["turns_ahead"] == 1:
                row.update(ranking)
    return rows


def collect_probes(model: WorldModel, passages: Iterator[Passage]) -> dict[int, Probe]:
    """Run ``model`` over every turn of every passage; a probe for each of ``TURNS_AHEAD``."""
    scenes: dict[str, Scene] = {}
    boards: dict[str, Board] = {}
    found: dict[int, list[tuple[Array, Array, Array, Array, int, int]]] = {ahead: [] for ahead in TURNS_AHEAD}
    for unit, passage in enumerate(passages):
        if passage.stage not in scenes:
            scenes[passage.stage] = Scene(get_stage(passage.stage), model.spec.frame_size)
            boards[passage.stage] = Board(get_stage(passage.stage).obstacles)
        states, actors = passage.states, passage.actors
        latents = model.encode(scenes[passage.stage].draw_many(states))
        decoded = model.decode(latents)
        for turn in range(len(actors)):
            true = states[turn + 1]
            found[0].append((decoded[turn + 1], true, states[turn], true, actors[turn], unit))
            simulated = _simulate(boards[passage.stage], decoded[turn], passage, turn)
            predicted = _predict(model, latents, passage, turn)
            for ahead in range(1, len(predicted) + 1):
                if ahead in found:
                    end = turn + ahead
                    exact = simulated if ahead == 1 else states[end]
                    found[ahead].append((predicted[ahead - 1], states[end], states[turn], exact, actors[end - 1], unit))
    return {ahead: Probe(*(np.array(column) for column in zip(*items, strict=True))) for ahead, items in found.items()}


def _predict(model: WorldModel, latents: FloatArray, passage: Passage, turn: int) -> Array:
    """States (H, 7) after each of the next H turns as really played, seen from the start of ``turn``."""
    past = last_history(latents[: turn + 1], passage.blocks[:turn], passage.actors[:turn], model.spec.history)
    context = Context(past.items.astype(np.float32), past.blocks, past.actors)
    ahead = slice(turn, turn + max(TURNS_AHEAD))
    decoded: Array = model.decode(model.rollout(context, passage.blocks[None, ahead], passage.actors[ahead]))[0]
    return decoded


def _simulate(board: Board, decoded: Array, passage: Passage, turn: int) -> Array:
    """The true simulator's state (7,) after ``turn`` if it began where the model takes everything to be."""
    start = np.concatenate([np.clip(decoded[:6], 0.0, BOARD_SIZE), decoded[6:]])
    actor = passage.actors[turn]
    steps = board.run_turn(start, SIDES[actor], passage.blocks[turn, :, actor].astype(np.float64))
    end: Array = steps[-1]
    return end


def _row(probe: Probe, condition: str, source: str, stages: Sequence[str], ahead: int, rng: np.random.Generator) -> Row:
    """Figures of one condition, each with its interval; None where nothing was moved."""
    errors, travel = probe.errors(), probe.travel()
    chosen = travel > MOVED if condition == "moved" else np.ones(len(travel), dtype=bool)
    row: Row = {
        "condition": condition,
        "source": source,
        "stages": list(stages),
        "turns_ahead": ahead,
        "n": int(chosen.sum()),
        "episodes": len(np.unique(probe.units)),
    }
    baselines = [f"simulator_{name}" for name in _ERRORS] if ahead == 1 else []
    for name in (*_ERRORS, *baselines, "copy_block_px"):
        values = errors[name][chosen]
        estimate = bootstrap_mean(values, rng, probe.units[chosen]) if len(values) else None
        row[name] = estimate.value if estimate else None
        row[f"{name}_ci"] = estimate.ci if estimate else None
        if name != "copy_block_px":
            row[f"{name}_p95"] = float(np.percentile(values, 95)) if len(values) else None
    row["push_ratio"], row["push_ratio_ci"] = None, None
    if condition == "moved" and ahead and chosen.any():
        row["push_ratio"], row["push_ratio_ci"] = _push_ratio(probe, chosen, rng)
    row["rank_correlation"], row["rank_correlation_ci"] = None, None
    return row


def _push_ratio(probe: Probe, chosen: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, list[float]]:
    """How much of the block's true displacement, from where it truly was, is predicted: 1 is right."""
    went = (probe.predicted - probe.start)[chosen, 4:6]
    true = (probe.true - probe.start)[chosen, 4:6]
    _, units = np.unique(probe.units[chosen], return_inverse=True)
    along, squared = (went * true).sum(axis=1), (true * true).sum(axis=1)
    estimate = bootstrap_ratio(np.bincount(units, along), np.bincount(units, squared), rng)
    return estimate.value, estimate.ci


def _checked(episodes: int, seed: int, source: str, stages: Sequence[str] | None) -> list[str]:
    if episodes < 1:
        raise ValueError(f"calibration needs at least 1 episode, got {episodes}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r}; choose one of {', '.join(SOURCES)}")
    return [get_stage(name).name for name in (stages or STAGES)]


def _counted(passages: Iterator[Passage], progress: Progress | None, total: int) -> Iterator[Passage]:
    """The passages, each reported once it has been used."""
    for done, passage in enumerate(passages, start=1):
        yield passage
        if progress is not None:
            progress(done, total)
