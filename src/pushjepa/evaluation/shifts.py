"""Play under other laws of physics, frozen and adapted, on the same starts: what comes of it, how it was foreseen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from pushjepa.adaptation import Event
from pushjepa.adaptation.system_m import ADAPTS
from pushjepa.evaluation.results import Row
from pushjepa.evaluation.statistics import Estimate, bootstrap_mean, bootstrap_ratio, wilson
from pushjepa.physics.geometry import Array

CONDITIONS = ("frozen", "adapted", "adapted_across", "oracle")
CLOSED = 0.6  #: of a gap in error: what counts as closed
RECOVERED = 0.5  #: of a gap in rate: what counts as won back
WITHIN = 10  #: boundaries within which a gap is to be closed
PATIENT = 60.0  #: seconds: results must not hang on how busy the machine is; what adaptations took is told
_LATE = 5  # of these, the later half is where it is judged
_LUCK = 1 << 30  # spawn key of the intervals' luck

Progress = Callable[[int, int], None]  #: (units done, in all)


@dataclass(frozen=True)
class Foreseen:
    """What a mind foresaw in one match or episode, boundary by boundary.

    Attributes:
        px: (T,) how far off its prediction was from what it then saw; see :class:`pushjepa.adaptation.Surprise`.
        block_px: (T,) how far off the block truly was.
        unadapted_px, unadapted_block_px: (T,) the same, had the model stayed as it was given: on the same transitions.
        alarms: boundaries with an alarm.
        acts: what it did at which boundary, where it did anything; at 0 what the first frame made it do.
        seconds: that each took, but for the one at 0.
    """

    px: tuple[float, ...]
    block_px: tuple[float, ...]
    unadapted_px: tuple[float, ...]
    unadapted_block_px: tuple[float, ...]
    alarms: tuple[int, ...]
    acts: tuple[tuple[int, str], ...]
    seconds: tuple[float, ...]

    @classmethod
    def of(cls, events: Sequence[Event], blocks: Sequence[Sequence[float]]) -> Foreseen:
        """From a mind's events, and where the block truly was (x, y) at the boundary of each."""

        def off(states: Sequence[Array]) -> tuple[float, ...]:
            return tuple(float(np.hypot(*(s[-3:-1] - xy))) for s, xy in zip(states, blocks, strict=True))

        return cls(
            tuple(e.surprise.px for e in events),
            off([e.predicted for e in events]),
            tuple(e.unadapted_px for e in events),
            off([e.unadapted for e in events]),
            tuple(e.turn for e in events if e.alarm),
            tuple((turn, act) for e in events for turn, act in ((e.turn - 1, e.opening), (e.turn, e.act)) if act),
            tuple(e.seconds for e in events if e.act),
        )


@dataclass(frozen=True)
class Trial:
    """One match or episode under some laws.

    Attributes:
        unit: what is independent of the others: the pair of matches, the episode.
        solved: whether it was won, or its goal reached.
        net_progress: px; None where there is no such thing.
        foreseen: None for a player without a mind.
    """

    unit: int
    solved: bool
    net_progress: float | None
    foreseen: Foreseen | None


#: Told of every condition that was played: shift, condition, its trials.
Keep = Callable[[str, str, Sequence[Trial]], None]


def plan_rows(shifts: Sequence[str], conditions: Sequence[str], standard: str) -> list[tuple[str, str]]:
    """Shift and condition of each row: under the standard laws frozen, and adapted if that is asked for, come first.

    How often a mind takes alarm in its own world, and what that costs, belongs beside everything that it gains.
    """
    first = [(standard, "frozen")] + [(standard, "adapted")] * ("adapted" in conditions)
    return first + [one for one in product(shifts, conditions) if one not in first]


def summarise_trials(shift: str, condition: str, trials: Sequence[Trial], rate: str, seed: int) -> Row:
    """One row of a report.

    Args:
        shift: name of the laws.
        condition: one of ``CONDITIONS``.
        trials: all of them.
        rate: ``win_rate`` or ``success_rate``.
        seed: of the bootstrap.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_LUCK,)))
    solved = sum(trial.solved for trial in trials)
    row: Row = {"shift": shift, "condition": condition, "n": len(trials), "seed": seed}
    row |= {rate: solved / len(trials), f"{rate}_ci": list(wilson(solved, len(trials)))}
    units = [trial.unit for trial in trials]
    progress = [trial.net_progress for trial in trials if trial.net_progress is not None]
    if progress:
        found = bootstrap_mean(progress, rng, units)
        row |= {"net_progress": found.value, "net_progress_ci": found.ci}
    minds = [(trial.unit, trial.foreseen) for trial in trials if trial.foreseen is not None]
    return row | (_foresight(minds, rng) if minds else {})


def _foresight(minds: Sequence[tuple[int, Foreseen]], rng: np.random.Generator) -> Row:
    """The figures of what was foreseen."""
    row: Row = {}
    for name, key in (("surprise", "px"), ("block_px", "block_px")):
        curves = [getattr(one, key)[:WITHIN] for _, one in minds]
        found = _late_mean(curves, [unit for unit, _ in minds], rng)
        row |= {name: found.value, f"{name}_ci": found.ci, f"{name}_by_turn": _by_turn(curves)}
    row |= _after_adapting(minds, rng)
    boundaries = sum(len(one.px) for _, one in minds)
    seconds = [s for _, one in minds for s in one.seconds]
    acts = [act for _, one in minds for _, act in one.acts]
    return row | {
        "boundaries": boundaries,
        "alarms": sum(len(one.alarms) for _, one in minds),
        "adaptations": sum(act in ADAPTS for act in acts),
        "looks": acts.count("look"),
        "rollbacks": acts.count("rollback"),
        "restores": acts.count("restore"),
        "adapt_ms_median": 1000 * float(np.median(seconds)) if seconds else None,
        "adapt_ms_max": 1000 * max(seconds) if seconds else None,
    }


def _after_adapting(minds: Sequence[tuple[int, Foreseen]], rng: np.random.Generator) -> Row:
    """Errors at the boundaries after a mind's first adaptation, beside those of the model as given at the very same.

    Runs that adapt and runs that do not go different ways and end at different times; the same transitions compare.
    """
    cells: list[tuple[int, Foreseen, int]] = []
    for unit, one in minds:
        first = min((turn for turn, _ in one.acts), default=WITHIN)
        cells += [(unit, one, index) for index in range(first, min(len(one.px), WITHIN))]
    if not cells:
        return {"n_after": 0}
    row: Row = {"n_after": len(cells)}
    for name in ("px", "block_px", "unadapted_px", "unadapted_block_px"):
        found = bootstrap_mean([getattr(one, name)[i] for _, one, i in cells], rng, [unit for unit, _, _ in cells])
        row |= {f"after_{name}": found.value, f"after_{name}_ci": found.ci}
    return row


def _late_mean(curves: Sequence[Sequence[float]], units: Sequence[int], rng: np.random.Generator) -> Estimate:
    """Mean over the later boundaries, with a bootstrap over units."""
    late = [(unit, value) for unit, curve in zip(units, curves, strict=True) for value in curve[_LATE:]]
    if not late:  # episodes that end before
        late = [(unit, curve[-1]) for unit, curve in zip(units, curves, strict=True) if curve]
    return bootstrap_mean([value for _, value in late], rng, [unit for unit, _ in late])


def _by_turn(curves: Sequence[Sequence[float]]) -> list[float]:
    """Mean at each boundary over those that came so far."""
    longest = max(len(curve) for curve in curves)
    return [float(np.mean([curve[t] for curve in curves if len(curve) > t])) for t in range(longest)]


def add_gaps(rows: Sequence[Row], rate: str, standard: str) -> None:
    """Add to every adapted row how much of the shift's gap is closed, in surprise and in error, and won back.

    Gap closed is (frozen - adapted) / (frozen - frozen under the standard laws) (docs/measuring.md), of errors at the
    boundaries after the first adaptation, where frozen is the model as given on the same transitions; ``recovered`` is
    that of the rate. It is left out where the shift costs nothing: under 10 points, under 1 px.
    """
    at: Mapping[tuple[str, str], Row] = {(row["shift"], row["condition"]): row for row in rows}
    usual = at.get((standard, "frozen"))
    for row in rows:
        frozen = at.get((row["shift"], "frozen"))
        if usual is None or frozen is None or not row["condition"].startswith("adapted") or row["shift"] == standard:
            continue
        for name, ours in (("surprise", "px"), ("block_px", "block_px")):
            if row.get("n_after"):
                asleep = row[f"after_unadapted_{ours}"]
                _close(row, f"{name}_gap_closed", asleep - row[f"after_{ours}"], asleep - usual[name], 1.0)
        _close(row, "recovered", row[rate] - frozen[rate], usual[rate] - frozen[rate], 0.1)


def _close(row: Row, name: str, closed: float, gap: float, least: float) -> None:
    """Note what share of a gap is closed, if there is one to speak of."""
    if gap >= least - 1e-9:
        row[name] = closed / gap


def add_gain(row: Row, adapted: Sequence[Trial], frozen: Sequence[Trial], rate: str, seed: int) -> None:
    """Add to an adapted row what adapting gained on the same starts: in its rate, and in net progress if there is one.

    The bootstrap is over units, each with all of its trials.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_LUCK, 1)))
    units = [trial.unit for trial in adapted]
    if units != [trial.unit for trial in frozen]:
        raise ValueError("a paired comparison needs the same starts in the same order")
    won = [float(a.solved) - float(f.solved) for a, f in zip(adapted, frozen, strict=True)]
    found = bootstrap_mean(won, rng, units)
    row |= {f"{rate}_gain": found.value, f"{rate}_gain_ci": found.ci}
    far = [(a.net_progress, f.net_progress) for a, f in zip(adapted, frozen, strict=True)]
    known = [a - f for a, f in far if a is not None and f is not None]
    if len(known) == len(far):
        found = bootstrap_mean(known, rng, units)
        row |= {"net_progress_gain": found.value, "net_progress_gain_ci": found.ci}


def paired_loss(before: Sequence[bool], after: Sequence[bool], rng: np.random.Generator) -> Estimate:
    """By how much a success rate fell between two runs over the same episodes, with a bootstrap over episodes.

    Raises:
        ValueError: runs of different lengths.
    """
    if len(before) != len(after):
        raise ValueError(f"a paired comparison needs the same episodes, got {len(before)} and {len(after)}")
    lost = np.asarray(before, dtype=float) - np.asarray(after, dtype=float)
    return bootstrap_ratio(lost, np.ones_like(lost), rng)
