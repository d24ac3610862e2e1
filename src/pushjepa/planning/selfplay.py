"""Self-play: a world model plays matches and searches every turn of them, and what its search asked about is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushjepa.data.experience import Experience
from pushjepa.data.generate import check_stages
from pushjepa.data.parallel import count_workers, parallel_map
from pushjepa.physics.geometry import Array
from pushjepa.planning.policies import PlanningPolicy
from pushjepa.planning.search import Budget, Iteration
from pushjepa.planning.seats import JEPAS, make_planner, make_policy, needs_advice
from pushjepa.relay.contract import Side
from pushjepa.relay.match import Match, MatchSetup
from pushjepa.relay.rules import SIDES, other
from pushjepa.relay.stages import STAGES, get_stage
from pushjepa.runtime.backend import Backend
from pushjepa.runtime.checkpoint import resolve, weights_digest
from pushjepa.runtime.contract import FloatArray
from pushjepa.runtime.load import load_model

Progress = Callable[[int, int], None]  #: (matches done, in all)

#: Whom the world model meets, in turn, beside itself.
OPPONENTS_OF_EXPERIENCE = ("chase_t", "adversarial", "shove", "oracle")
BUDGET = Budget(candidates=48, iterations=4)  #: of the world model's search, half of the published one's candidates
ORACLE_BUDGET = Budget(candidates=24, iterations=3)
# First number of every spawn key here: with any seed, no match of an evaluation and no episode is drawn again.
_MATCHES = 0x5E1F_0001
# Evaluations draw the seeds of start positions below 2^32, so that these lead to others.
_STARTS = (2**32, 2**63)


@dataclass(frozen=True)
class _Schedule:
    """Everything that decides a series of matches; see :func:`gather`."""

    folder: Path
    player: str
    seed: int
    stages: tuple[str, ...]
    budget: Budget
    asked: int


def gather(
    model: str | Path | None,
    matches: int,
    seed: int,
    stages: Sequence[str] | None = None,
    workers: int | None = None,
    budget: Budget = BUDGET,
    asked: int = 64,
    player: str = "jepa",
    progress: Progress | None = None,
) -> Experience:
    """Play matches of a world model, against itself and ``OPPONENTS_OF_EXPERIENCE``, and keep what it searched.

    The model searches every turn, those of its opponents too, for the side that moves; what is then played is the
    opponent's own. Match ``i`` is a function of (seed, i) and the options alone, whatever the number of workers.

    Args:
        model: a folder, an ``owner/name`` on the Hugging Face Hub, or None for the bundled default.
        matches: M, how many: stages change fastest, then opponents; seats and the first turn are drawn.
        seed: of everything random.
        stages: names of stages; all of them if None.
        workers: processes; one per core if None. One worker works in this process.
        budget: of the model's search.
        asked: K, how many candidates of a turn are kept.
        player: as whom the model plays, one of ``JEPAS`` that needs no advice: whose search and cost.
        progress: told (matches done, in all).

    Returns:
        The matches. ``about`` has the ``model``'s name, the SHA-256 of its ``weights``, the ``seed``, the search's
        ``candidates`` and ``iterations``, how many were ``asked`` (K), the ``player``, its ``opponents`` and the
        ``oracle``'s budget.

    Raises:
        ValueError: a bad option, or a model that cannot be loaded.
    """
    names = check_stages(tuple(STAGES) if stages is None else stages)
    schedule = _Schedule(resolve(model), player, seed, names, budget, asked)
    _check_schedule(schedule, matches)
    workers = count_workers(workers, matches)
    name = _load(schedule.folder).name  # a bad model is found here, in one line, and not once per process
    played = []
    for match in parallel_map(partial(_play, schedule), range(matches), workers):
        played.append(match)
        if progress is not None:
            progress(len(played), matches)
    columns = {column: np.stack([match[column] for match in played]) for column in played[0]}
    return Experience(stages=names, about=_about(schedule, name), **columns)


def _about(schedule: _Schedule, name: str) -> dict[str, Any]:
    """How these matches came about; see :func:`gather`."""
    return {
        "model": name,
        "weights": weights_digest(schedule.folder),
        "seed": schedule.seed,
        "candidates": schedule.budget.candidates,
        "iterations": schedule.budget.iterations,
        "asked": schedule.asked,
        "player": schedule.player,
        "opponents": [schedule.player, *OPPONENTS_OF_EXPERIENCE],
        "oracle": {"candidates": ORACLE_BUDGET.candidates, "iterations": ORACLE_BUDGET.iterations},
    }


def _check_schedule(schedule: _Schedule, matches: int) -> None:
    if matches < 1:
        raise ValueError(f"the number of matches must be at least 1, got {matches}")
    if schedule.seed < 0:
        raise ValueError(f"the seed must not be negative, got {schedule.seed}")
    players = [name for name in JEPAS if not needs_advice(name)]
    if schedule.player not in players:
        raise ValueError(f"{schedule.player!r} gathers no experience; choose one of {', '.join(players)}")
    most = schedule.budget.candidates * schedule.budget.iterations
    if not 1 <= schedule.asked <= most:
        raise ValueError(f"1 to {most} candidates of such a search can be kept, got {schedule.asked}")
    if schedule.budget.seconds is not None:
        raise ValueError("a search with a time limit depends on the machine; give its budget in iterations")


@lru_cache(maxsize=1)  # one worker process plays many matches with one model
def _load(folder: Path) -> Backend:
    return load_model(folder, threads=1)


def _play(schedule: _Schedule, index: int) -> dict[str, NDArray[Any]]:
    """One match, as a row of each column of :class:`Experience`."""
    rng = np.random.default_rng(np.random.SeedSequence(schedule.seed, spawn_key=(_MATCHES, index)))
    which = index % len(schedule.stages)
    stage = get_stage(schedule.stages[which])
    own = SIDES[int(rng.integers(2))]
    players = {own: schedule.player, other(own): _opponent(schedule, index)}
    match = Match(MatchSetup(stage.name, int(rng.integers(*_STARTS)), first=SIDES[int(rng.integers(2))]))
    model = _load(schedule.folder)
    planners = {side: make_planner(schedule.player, side, stage, model=model, budget=schedule.budget) for side in SIDES}
    scripted = {
        side: make_policy(name, side, stage, budget=ORACLE_BUDGET)
        for side, name in players.items()
        if name != schedule.player
    }
    plans, asked = [], []
    while not match.over:
        side: Side = match.to_move
        best, candidates = _search(planners[side], match, rng, schedule.asked)
        plans.append(best)
        asked.append(candidates)
        player = scripted.get(side)
        match.play(best if player is None else player.act(match.observation(player), rng))
    return {
        "stage": np.array(which, dtype=np.int64),
        "states": np.stack(match.states).astype(np.float32),
        "actors": np.array(match.actors, dtype=np.int64),
        "blocks": np.stack(match.blocks).astype(np.float32),
        "plans": np.stack(plans).astype(np.float32),
        "asked": np.stack(asked),
        "players": np.array([players[side] for side in SIDES]),
    }


def _opponent(schedule: _Schedule, index: int) -> str:
    """Whom the model meets in a match: another one when every stage has been played on."""
    opponents = (schedule.player, *OPPONENTS_OF_EXPERIENCE)
    return opponents[index // len(schedule.stages) % len(opponents)]


def _search(planner: PlanningPolicy, match: Match, rng: np.random.Generator, kept: int) -> tuple[Array, FloatArray]:
    """The best turn (5, 2) for the side to move, and ``kept`` of the candidates that were looked at (kept, 5, 2)."""
    seen: list[Iteration] = []
    plan = planner.plan(match.observation(planner), rng, on_iteration=seen.append)
    share, rest = divmod(kept, len(seen))
    drawn = [
        iteration.candidates[rng.choice(len(iteration.candidates), share + (iteration.index < rest), replace=False), 0]
        for iteration in seen
    ]
    # Rounded at once: an experience is the same before it is saved and after it is loaded.
    return plan.block, np.concatenate(drawn).astype(np.float16).astype(np.float32)
