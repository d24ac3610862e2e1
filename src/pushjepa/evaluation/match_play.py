"""Pairs of matches between two players, in parallel, with the same outcome on any number of processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from pushjepa.data.parallel import count_workers, parallel_map
from pushjepa.evaluation.results import Row
from pushjepa.evaluation.statistics import bootstrap_mean, wilson
from pushjepa.planning import Advice, Budget, find_advice, make_policy, needs_advice, needs_model
from pushjepa.relay import SIDES, Match, MatchSetup, Policy, Side, get_stage
from pushjepa.runtime.checkpoint import WEIGHTS, file_digest, read_config, resolve
from pushjepa.runtime.contract import WorldModel
from pushjepa.runtime.load import load_model

Progress = Callable[[int, int], None]  #: (pairs done, pairs in all)

_BOOTSTRAP = 1 << 31  # spawn key of the intervals' luck, beyond any pair's


@dataclass(frozen=True)
class ModelOptions:
    """Which world model a JEPA plays with. One thread is the default: matches run side by side, one to a core.

    The arguments of :func:`pushjepa.runtime.load.load_model`.
    """

    model: str | None = None
    backend: str = "onnx"
    threads: int | None = 1
    device: str = "cpu"

    def load(self) -> WorldModel:
        return _load(self)

    def advice_for(self, name: str) -> Advice | None:
        """The advice that the player called ``name`` goes by with this model; None if it goes by none.

        Raises:
            ValueError: it needs some, and none can be read.
        """
        return _load_advice(self) if needs_advice(name) else None

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """SHA-256 of the ``weights`` and the ``advice`` that any of the players of these names goes by.

        Raises:
            ValueError: there are none where they are needed.
        """
        names, found = tuple(names), {}
        if any(map(needs_model, names)):
            found["weights"] = read_config(resolve(self.model))["files"][WEIGHTS]
        if any(map(needs_advice, names)):
            found["advice"] = file_digest(find_advice(resolve(self.model)))
        return found


@lru_cache(maxsize=1)  # one worker process plays many pairs with one model
def _load(options: ModelOptions) -> WorldModel:
    model = Path(options.model) if options.model and Path(options.model).is_dir() else options.model
    return load_model(model, backend=options.backend, threads=options.threads, device=options.device)


@lru_cache(maxsize=1)
def _load_advice(options: ModelOptions) -> Advice:
    return Advice.of_model(resolve(options.model))


@dataclass(frozen=True)
class Contest:
    """Everything that decides a series of pairs.

    Attributes:
        players: names of the two players, in the order of the command line.
        stage: name of the stage.
        seed: of start positions and of everything the players draw.
        budget: of players that search; None leaves each its own.
        options: the world model of players that need one.
    """

    players: tuple[str, str]
    stage: str
    seed: int
    budget: Budget | None = None
    options: ModelOptions = field(default_factory=ModelOptions)


@dataclass(frozen=True)
class Record:
    """One match, seen by the first player on the command line.

    Attributes:
        pair: which pair.
        seat: where the first player sat.
        moved_first: whether it had the first turn.
        score: 1 for a win, 0 for a draw, -1 for a loss.
        net_progress: px, own progress minus the other's.
        plan_ms: what each of its turns took.
    """

    pair: int
    seat: Side
    moved_first: bool
    score: int
    net_progress: float
    plan_ms: tuple[float, ...]


def play_pairs(
    p1: str,
    p2: str,
    stage: str,
    pairs: int,
    seed: int,
    *,
    workers: int | None = None,
    options: ModelOptions | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> Row:
    """Play ``pairs`` start positions twice each, seats swapped, and sum up how ``p1``'s player did.

    Args:
        p1: name of the first player; see :func:`pushjepa.planning.make_policy`.
        p2: name of the second.
        stage: name of the stage.
        pairs: how many start positions.
        seed: start positions come from (stage, seed), the players' luck from (seed, pair, game, player).
        workers: processes; every core if None, and this process alone for 1.
        options: the world model, for players that need one; the bundled one if None.
        budget: of players that search; each its own if None.
        progress: told how many pairs are done.

    Returns:
        One row of results; see :func:`summarise`. Beside them the digests of the weights and the advice in play.

    Raises:
        ValueError: an unknown player or stage, no pairs, a model that cannot be loaded, or a player that fails.
    """
    contest = Contest((p1, p2), stage, seed, budget, options or ModelOptions())
    played = contest.options.digests(contest.players)  # before hours of play: the files may change meanwhile
    return summarise(contest, play_records(contest, pairs, workers, progress)) | played


def play_records(
    contest: Contest, pairs: int, workers: int | None = None, progress: Progress | None = None
) -> list[Record]:
    """The matches of :func:`play_pairs`, in order."""
    if pairs < 1:
        raise ValueError(f"match play needs at least 1 pair, got {pairs}")
    if contest.seed < 0:
        raise ValueError(f"seed must not be negative, got {contest.seed}")
    workers = count_workers(workers, pairs)
    # A bad name or model is found here, in one line, and not once per process.
    _seat_players(contest, SIDES)
    records: list[Record] = []
    for done, pair in enumerate(parallel_map(partial(play_pair, contest), range(pairs), workers), start=1):
        records += pair
        if progress is not None:
            progress(done, pairs)
    return records


def play_pair(contest: Contest, pair: int) -> list[Record]:
    """One start position twice: first with the players in command-line order, then with the seats swapped."""
    start = int(np.random.SeedSequence(contest.seed, spawn_key=(pair,)).generate_state(1)[0])
    setup = MatchSetup(contest.stage, start, first=SIDES[pair % 2])
    return [_play_match(contest, setup, pair, game) for game in range(2)]


def _play_match(contest: Contest, setup: MatchSetup, pair: int, game: int) -> Record:
    seats: tuple[Side, Side] = SIDES if game == 0 else (SIDES[1], SIDES[0])  # of the first and the second player
    policies = _seat_players(contest, seats)
    luck = [np.random.default_rng(np.random.SeedSequence(contest.seed, spawn_key=(pair, game, who))) for who in (0, 1)]
    match = Match(setup)
    taken: list[float] = []
    while not match.over:
        who = seats.index(match.to_move)
        seen = match.observation(policies[who])
        started = time.perf_counter()
        try:
            block = policies[who].act(seen, luck[who])
            if who == 0:
                taken.append(1000 * (time.perf_counter() - started))
            match.play(block)
        except Exception as error:
            where = f"pair {pair}, game {game}, turn {match.turn} (seed {contest.seed}, stage {contest.stage})"
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(f"player {contest.players[who]!r} failed in {where}: {said}") from error
    result, seat = match.result(), seats[0]
    score = 0 if result.winner is None else 1 if result.winner == seat else -1
    return Record(pair, seat, setup.first == seat, score, result.net_progress(seat), tuple(taken))


def _seat_players(contest: Contest, seats: tuple[Side, Side]) -> list[Policy]:
    stage, options = get_stage(contest.stage), contest.options
    return [
        make_policy(
            name,
            seat,
            stage,
            model=options.load() if needs_model(name) else None,
            budget=contest.budget,
            advice=options.advice_for(name),
        )
        for name, seat in zip(contest.players, seats, strict=True)
    ]


def summarise(contest: Contest, records: Sequence[Record]) -> Row:
    """One row: rates of the first player with Wilson's intervals, net progress with a bootstrap over pairs.

    ``p1`` and ``p2`` are the players in the order of the command line. What ends in ``_by_seat`` is keyed by the first
    player's seat, what ends in ``_by_first`` by the player (p1 or p2) that had the first turn. ``n`` counts matches.
    """
    rng = np.random.default_rng(np.random.SeedSequence(contest.seed, spawn_key=(_BOOTSTRAP,)))
    taken = [ms for r in records for ms in r.plan_ms]
    row: Row = {
        "p1": contest.players[0],
        "p2": contest.players[1],
        "stage": contest.stage,
        "pairs": len({r.pair for r in records}),
        "n": len(records),
    }
    for name, score in (("win_rate", 1), ("draw_rate", 0), ("loss_rate", -1)):
        row[name], row[f"{name}_ci"] = _rate(records, score)
    row["net_progress"], row["net_progress_ci"] = _net_progress(records, rng)
    splits: dict[str, dict[str, list[Record]]] = {
        "by_seat": {side: [r for r in records if r.seat == side] for side in SIDES},
        "by_first": {"p1": [r for r in records if r.moved_first], "p2": [r for r in records if not r.moved_first]},
    }
    figures: dict[str, Callable[[Sequence[Record]], tuple[float, list[float]]]] = {
        "win_rate": lambda group: _rate(group, 1),
        "net_progress": lambda group: _net_progress(group, rng),
    }
    for split, groups in splits.items():
        for name, figure in figures.items():
            found = {key: figure(group) for key, group in groups.items() if group}
            row[f"{name}_{split}"] = {key: value for key, (value, _) in found.items()}
            row[f"{name}_{split}_ci"] = {key: interval for key, (_, interval) in found.items()}
    row["plan_ms_median"], row["plan_ms_p95"] = (float(np.percentile(taken, q)) for q in (50, 95))
    return row


def _rate(records: Sequence[Record], score: int) -> tuple[float, list[float]]:
    """Share of the matches that ended with ``score``, and its interval."""
    hits = sum(r.score == score for r in records)
    return hits / len(records), list(wilson(hits, len(records)))


def _net_progress(records: Sequence[Record], rng: np.random.Generator) -> tuple[float, list[float]]:
    """Mean net progress in px, and its interval over pairs."""
    found = bootstrap_mean([r.net_progress for r in records], rng, [r.pair for r in records])
    return found.value, found.ci
