"""What adapting came to as a page of Markdown, with what did not work beside what did."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from pushjepa.adaptation.system_m import ADAPTS
from pushjepa.evaluation.report import interval
from pushjepa.evaluation.results import Row, write_results
from pushjepa.evaluation.shift_figures import FIGURES, by_shift, rate_of, shifts_of, standard_row
from pushjepa.evaluation.shifts import CLOSED, CONDITIONS, RECOVERED, Trial

_SHOWN = 10  # trials of each shift that the page lists; all of them stand in the table beside it
_COLUMNS = ("shift", "condition", "unit", "solved", "net_progress", "surprise", "block_px", "alarms", "adaptations")

Trials = Mapping[tuple[str, str], Sequence[Trial]]  #: matches or episodes by shift and condition


def write_shift_report(
    folder: Path, results: Mapping[str, object], rows: Sequence[Row], figures: Sequence[str], trials: Trials
) -> None:
    """Write ``results.json``, ``report.md`` and ``trials.csv`` beside the pictures that were drawn.

    Args:
        folder: made if missing.
        results: as :func:`pushjepa.evaluation.results.make_results` gives it.
        rows: of ``pushjepa adapt eval``.
        figures: names of the pictures in the folder.
        trials: matches or episodes that the rows are of; may be empty.

    Raises:
        ValueError: the folder cannot be written.
    """
    write_results(folder / "results.json", results)
    try:
        (folder / "report.md").write_text(markdown(results, rows, figures, trials), encoding="utf-8")
        if trials:
            with (folder / "trials.csv").open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(_COLUMNS)
                table.writerows(_line_of(key, trial) for key, some in trials.items() for trial in some)
    except OSError as error:
        raise ValueError(f"cannot write the report to {folder}: {error.strerror}") from error


def markdown(results: Mapping[str, object], rows: Sequence[Row], figures: Sequence[str], trials: Trials) -> str:
    """The page."""
    machine = results["machine"]
    assert isinstance(machine, Mapping)
    parts = ["# Under other laws of physics"]
    parts.append(f"PushJEPA {results['version']}, {results['created']}, seed {results['seed']}. Made by")
    parts.append(f"```sh\n{results['command']}\n```")
    parts.append(
        f"on {machine['processor']} ({machine['cores']} cores), Python {machine['python']}. Intervals are 95%. "
        "*Frozen*: the model goes by the standard laws whatever it sees. *Adapted*: System M notices and adapts within "
        "the match or episode. *Across*: it begins with what it came to believe in an earlier one. *Oracle*: the true "
        "simulator under these laws."
    )
    parts += [rate_table(rows), error_table(rows)]
    shortfalls = tell_shortfalls(rows)
    parts += ["## Where adapting does not help", "\n".join(f"- {line}" for line in shortfalls) or "Nowhere."]
    for shift in shifts_of(rows):
        if (shift, "frozen") in trials and (shift, "adapted") in trials:
            parts += [f"## {shift}, one by one", trial_table(trials, shift)]
    parts += [f"![{Path(name).stem.replace('_', ' ')}]({name})\n\n{FIGURES[name]}." for name in figures]
    return "\n\n".join(parts) + "\n"


def rate_table(rows: Sequence[Row]) -> str:
    """A line for each shift: how often each condition won or solved, %, and what System M did, in all trials."""
    found = by_shift(rows)
    lines = [
        "| laws | frozen | adapted | across | oracle | n | adaptations | rolled back | restored | ms, median / most |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for shift in dict.fromkeys(shift for shift, _ in found):
        of_shift = [found.get((shift, condition)) for condition in CONDITIONS]
        rates = " | ".join("-" if row is None else interval(row, str(rate_of(row)), 0, 100) for row in of_shift)
        adapted = found.get((shift, "adapted"), {})
        counts = " | ".join(str(adapted.get(name, "-")) for name in ("adaptations", "rollbacks", "restores"))
        n = "-".join(dict.fromkeys(str(row["n"]) for row in of_shift if row is not None))
        taken = [adapted.get(f"adapt_ms_{name}") for name in ("median", "max")]
        ms = " / ".join("-" if one is None else f"{one:.0f}" for one in taken)
        lines.append(f"| {shift} | {rates} | {n} | {counts} | {ms} |")
    return "\n".join(lines)


def error_table(rows: Sequence[Row]) -> str:
    """A line for each shift: errors of foresight, px, and the share of the gap that is closed, %."""
    found = by_shift(rows)
    lines = [
        "| laws | surprise px, frozen | adapted | closed | block px, frozen | adapted | closed | rate won back |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for shift in dict.fromkeys(shift for shift, _ in found):
        frozen, adapted = found.get((shift, "frozen"), {}), found.get((shift, "adapted"), {})
        cells = []
        for name in ("surprise", "block_px"):
            cells += [interval(row, name, 1) if name in row else "-" for row in (frozen, adapted)]
            cells.append(_percent(adapted.get(f"{name}_gap_closed")))
        lines.append(f"| {shift} | {' | '.join(cells)} | {_percent(adapted.get('recovered'))} |")
    return "\n".join(lines)


def tell_shortfalls(rows: Sequence[Row]) -> list[str]:
    """A line for each shift in which adapting falls short, and for each that costs too little to tell."""
    found, lines = by_shift(rows), []
    usual = standard_row(rows)
    for shift in shifts_of(rows):
        adapted = found.get((shift, "adapted"))
        if adapted is None or usual is None:
            continue
        said = [
            f"{_percent(adapted[name])} of the gap in {what} is closed"
            for name, what in (("surprise_gap_closed", "surprise"), ("block_px_gap_closed", "the block's error"))
            if adapted.get(name, 1.0) < CLOSED
        ]
        if adapted.get("recovered", 1.0) < RECOVERED:
            said.append(f"{_percent(adapted['recovered'])} of the lost rate is won back")
        if said:
            lines.append(f"`{shift}`: {', '.join(said)} (asked for: {_percent(CLOSED)} and {_percent(RECOVERED)}).")
        elif not any(name in adapted for name in ("surprise_gap_closed", "block_px_gap_closed", "recovered")):
            lines.append(f"`{shift}`: costs the frozen model too little to tell.")
    return lines


def trial_table(trials: Trials, shift: str) -> str:
    """The first matches or episodes of a shift: frozen beside adapted, and adaptations."""
    frozen, adapted = trials[shift, "frozen"], trials[shift, "adapted"]
    lines = [
        "| | frozen | surprise px | block px | adapted | surprise px | block px | adaptations |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number, pair in list(enumerate(zip(frozen, adapted, strict=True)))[:_SHOWN]:
        cells = []
        for trial in pair:
            seen = trial.foreseen
            cells.append("yes" if trial.solved else "no")
            cells += ["", ""] if seen is None else [_mean(seen.px), _mean(seen.block_px)]
        lines.append(f"| {number} | {' | '.join(cells)} | {_adaptations(pair[1])} |")
    if len(frozen) > _SHOWN:
        lines.append(f"\nThe first {_SHOWN} of {len(frozen)}; all of them stand in `trials.csv`.")
    return "\n".join(lines)


def _line_of(key: tuple[str, str], trial: Trial) -> list[object]:
    """What ``trials.csv`` says of a trial."""
    seen, progress = trial.foreseen, trial.net_progress
    line: list[object] = [*key, trial.unit, int(trial.solved), "" if progress is None else round(progress, 1)]
    if seen is None:
        return [*line, "", "", "", ""]
    return [*line, _mean(seen.px), _mean(seen.block_px), len(seen.alarms), _adaptations(trial)]


def _adaptations(trial: Trial) -> int:
    return 0 if trial.foreseen is None else sum(act in ADAPTS for _, act in trial.foreseen.acts)


def _mean(curve: Sequence[float]) -> str:
    return f"{sum(curve) / len(curve):.1f}" if curve else ""


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{round(100 * value)}%"
