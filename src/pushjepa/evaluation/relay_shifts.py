"""The game under other laws of physics: matches of a planner, frozen or adapting, against a scripted opponent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import cast

import numpy as np

from pushjepa.adaptation import Options, Surprise, Usual
from pushjepa.adaptation.memory import Memory
from pushjepa.adaptation.relay import AdaptivePlanner
from pushjepa.adaptation.seats import make_adaptive
from pushjepa.data.parallel import count_workers, parallel_map
from pushjepa.evaluation.match_play import ModelOptions
from pushjepa.evaluation.results import Row
from pushjepa.evaluation.shifts import (
    PATIENT,
    Foreseen,
    Keep,
    Progress,
    Trial,
    add_gain,
    add_gaps,
    plan_rows,
    summarise_trials,
)
from pushjepa.physics import Physics
from pushjepa.physics.geometry import Array
from pushjepa.planning import Budget, make_policy
from pushjepa.planning.policies import oracle
from pushjepa.relay import SIDES, Match, MatchSetup, Policy, Side, get_stage
from pushjepa.relay.shifts import STANDARD, find_physics
from pushjepa.runtime.checkpoint import resolve
from pushjepa.runtime.contract import LawfulModel

_EARLIER = 1 << 29  # added to a pair's number: the match that a memory comes from
_UNUSED = Usual((0.0, 0.0), (1.0, 1.0), np.inf, 0.0, 0)  # for a mind that only looks


@dataclass(frozen=True)
class Series:
    """Everything that decides a series of pairs under some laws.

    Attributes:
        player: one that plans with the world model; see :func:`pushjepa.planning.seats.read_player`.
        opponent: the name of who plays against it; ``oracle`` is told of the laws, which scripted ones have no use for.
        stage: name of the stage.
        seed: of start positions and luck.
        shift: name of the laws.
        condition: one of :data:`pushjepa.evaluation.shifts.CONDITIONS`.
        usual: what errors are usual for the model.
        budget: of the player's search; its own if None.
        options: the world model.
        change_at: the turn at which the laws begin to hold; 0 for the whole match.
        remembered: (C,) laws that minds begin with where the condition is ``adapted_across``, from a memory; None for
            what a match before left.
    """

    player: str
    opponent: str
    stage: str
    seed: int
    shift: str
    condition: str
    usual: Usual
    budget: Budget | None = None
    options: ModelOptions = field(default_factory=ModelOptions)
    change_at: int = 0
    remembered: tuple[float, ...] | None = None


def evaluate_game_shifts(
    shifts: Sequence[str],
    conditions: Sequence[str],
    *,
    player: str = "jepa",
    opponent: str = "chase_t",
    stage: str = "open",
    pairs: int = 100,
    seed: int = 0,
    change_at: int = 0,
    memory: Memory | None = None,
    budget: Budget | None = None,
    options: ModelOptions | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> list[Row]:
    """Rows of ``shifts`` and ``conditions``, the frozen model under the standard laws first.

    ``keep`` is handed the matches of each.

    Raises:
        ValueError: an unknown shift, player or opponent, or a model that cannot adapt.
    """
    options = options or ModelOptions()
    usual = load_usual(options.model)
    for shift in shifts:
        find_physics(shift)
    if memory is not None and memory.delta is not None:
        raise ValueError(f"the memory {memory.name!r} holds weights; the game's minds take laws alone")
    known = None if memory is None else tuple(memory.conditions.tolist())
    if change_at and "oracle" in (opponent, *conditions):
        raise ValueError("the oracle plans under one set of laws: use it with --change-at 0")
    wanted = plan_rows(shifts, conditions, STANDARD)
    rows: list[Row] = []
    frozen: dict[str, list[Trial]] = {}
    for number, (shift, condition) in enumerate(wanted):
        series = Series(player, opponent, stage, seed, shift, condition, usual, budget, options, change_at, known)
        report = None if progress is None else _shifted_progress(progress, number * pairs, len(wanted) * pairs)
        trials = play_series(series, pairs, workers, report)
        if keep is not None:
            keep(shift, condition, trials)
        row: Row = {"player": player, "opponent": opponent, "stage": stage, "pairs": pairs, "change_at": change_at}
        if memory is not None and condition == "adapted_across":
            row["memory"] = memory.name
        row |= summarise_trials(shift, condition, trials, "win_rate", seed)
        if condition == "frozen":
            frozen[shift] = trials
        elif condition != "oracle" and shift in frozen:
            add_gain(row, trials, frozen[shift], "win_rate", seed)
        rows.append(row)
    add_gaps(rows, "win_rate", STANDARD)
    return rows


def load_usual(model: str | None) -> Usual:
    """What errors are usual for a model, from its folder.

    Raises:
        ValueError: no such model, or nobody has calibrated its surprise.
    """
    return Usual.of_model(resolve(model))


def learn_memory(series: Series, name: str, digest: str) -> Memory:
    """What a mind believes at the end of one match under other laws, under a name.

    Args:
        series: which laws, and who plays.
        name: of the memory.
        digest: of the model's weights.

    Raises:
        ValueError: a bad name, or a match in which nothing was learned.
    """
    _, player = play_match(series, _EARLIER, 0)  # a start that no series of pairs has
    conditions = player.mind.conditions if isinstance(player, AdaptivePlanner) else np.zeros(0)
    if not conditions.any():
        raise ValueError(f"nothing was learned in a match under {series.shift}; try another --seed or opponent")
    return Memory(name, digest, conditions)


def play_series(
    series: Series, pairs: int, workers: int | None = None, progress: Progress | None = None
) -> list[Trial]:
    """The matches of a series, in order."""
    trials: list[Trial] = []
    workers = count_workers(workers, pairs)
    for done, pair in enumerate(parallel_map(partial(play_shifted_pair, series), range(pairs), workers), start=1):
        trials += pair
        if progress is not None:
            progress(done, pairs)
    return trials


def play_shifted_pair(series: Series, pair: int) -> list[Trial]:
    """One start position twice, with the seats swapped."""
    remembered = None
    if series.condition == "adapted_across" and series.remembered is not None:
        remembered = np.array(series.remembered)
    elif series.condition == "adapted_across":
        earlier = _play(series, pair + _EARLIER, 0, None)[1]
        remembered = None if earlier is None else earlier.mind.conditions
    return [_play(series, pair, game, remembered)[0] for game in range(2)]


def _play(series: Series, pair: int, game: int, remembered: Array | None) -> tuple[Trial, AdaptivePlanner | None]:
    """How one match went; with it the player, if it has a mind."""
    match, player = play_match(series, pair, game, remembered)
    mind = player if isinstance(player, AdaptivePlanner) else None
    return _judge(match, SIDES[game], pair, mind, series.change_at), mind


def play_match(series: Series, pair: int, game: int, remembered: Array | None = None) -> tuple[Match, Policy]:
    """One match from its start to its end, and the player, which has seat ``game``.

    Args:
        series: which laws, and who plays.
        pair: number of the start position.
        game: 0 or 1, the player's seat.
        remembered: (C,) laws that its mind begins with.
    """
    start = int(np.random.SeedSequence(series.seed, spawn_key=(pair,)).generate_state(1)[0])
    physics = find_physics(series.shift)
    setup = MatchSetup(series.stage, start, first=SIDES[pair % 2])
    setup = setup.with_change(series.change_at, physics) if series.change_at else replace(setup, physics=physics)
    mine = SIDES[game]
    player = _seat(series, mine, physics, remembered)
    opponent = _seat_opponent(series, SIDES[1 - game], physics)
    luck = [np.random.default_rng(np.random.SeedSequence(series.seed, spawn_key=(pair, game, who))) for who in (0, 1)]
    match = Match(setup)
    while not match.over:
        who = 0 if match.to_move == mine else 1
        policy = (player, opponent)[who]
        match.play(policy.act(match.observation(policy), luck[who]))
    return match, player


def _seat(series: Series, side: Side, physics: Physics, remembered: Array | None) -> Policy:
    if series.condition == "oracle":
        return oracle(side, get_stage(series.stage), series.budget, physics)
    options = Options(adapt=series.condition != "frozen", seconds=PATIENT)
    model = cast(LawfulModel, series.options.load())  # a mind refuses a model that knows one world only
    return make_adaptive(
        series.player,
        side,
        model,
        series.usual,
        budget=series.budget,
        advice=series.options.advice_for(series.player),
        options=options,
        remembered=remembered,
    )


def _seat_opponent(series: Series, side: Side, physics: Physics) -> Policy:
    """Who plays against the model. Scripted ones know no laws; the oracle searches on the true ones' simulator."""
    if series.opponent == "oracle":
        return oracle(side, get_stage(series.stage), series.budget, physics)
    return make_policy(series.opponent, side, series.stage, advice=series.options.advice_for(series.opponent))


def _judge(match: Match, mine: Side, pair: int, player: AdaptivePlanner | None, change_at: int) -> Trial:
    """How a match went, and what was foreseen in it from the change of the laws on, whose boundaries are counted."""
    result = match.result()
    foreseen = None
    if player is not None:
        events = [event for event in player.mind.events if event.turn > change_at]
        if change_at and events:  # the frame at which the laws change may show it
            events[0] = replace(events[0], opening=player.mind.events[change_at - 1].act)
        blocks = [match.states[event.turn][4:6].tolist() for event in events]
        foreseen = Foreseen.of([replace(event, turn=event.turn - change_at) for event in events], blocks)
    return Trial(pair, result.winner == mine, result.net_progress(mine), foreseen)


def watch_play(
    opponents: Sequence[str],
    stages: Sequence[str],
    pairs: int,
    seed: int,
    options: ModelOptions,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[list[Surprise]]:
    """How surprised a model is in its own world: the surprises of each of some matches, boundary by boundary.

    Pairs are dealt to opponents and stages in turn.
    """
    jobs = [
        Series("jepa", opponent, stage, seed, STANDARD, "frozen", _UNUSED, options=options)
        for opponent, stage in product(opponents, stages)
    ]
    dealt = [(jobs[pair % len(jobs)], pair) for pair in range(pairs)]
    watched: list[list[Surprise]] = []
    for done, some in enumerate(parallel_map(_watch_pair, dealt, count_workers(workers, pairs)), start=1):
        watched += some
        if progress is not None:
            progress(done, pairs)
    return watched


def _watch_pair(job: tuple[Series, int]) -> list[list[Surprise]]:
    minds = [_play(*job, game, None)[1] for game in range(2)]
    return [[event.surprise for event in player.mind.events] for player in minds if player is not None]


def _shifted_progress(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)
