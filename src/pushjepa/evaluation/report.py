"""The report's folder: results as JSON, tables as Markdown, and pictures where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pushjepa.evaluation.results import Row, write_results

FIGURES = {
    "win_rate.png": "Win rate with Wilson's 95% interval; crosses are the published relay's, of 12 matches each",
    "net_progress.png": "Net progress with a bootstrapped 95% interval; crosses as above",
    "error_by_turns.png": "Error on turns that move the block, by turns imagined ahead",
    "cost_rank.png": "Cost of a search's candidates, by the model and in truth; one dot a candidate",
}  #: file -> what it shows


def write_report(folder: Path, results: Mapping[str, object], rows: Sequence[Row], figures: Sequence[str]) -> None:
    """Write ``report.json`` and ``report.md`` beside the pictures that were drawn.

    Args:
        folder: of the report.
        results: the results object, as :func:`pushjepa.evaluation.results.make_results` gives it.
        rows: of match play, calibration and ranking.
        figures: names of the pictures in it.

    Raises:
        ValueError: the folder cannot be written.
    """
    write_results(folder / "report.json", results)
    try:
        (folder / "report.md").write_text(markdown(results, rows, figures), encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot write the report to {folder}: {error.strerror}") from error


def markdown(results: Mapping[str, object], rows: Sequence[Row], figures: Sequence[str]) -> str:
    """The report as a page of Markdown."""
    matches = [row for row in rows if "win_rate" in row]
    errors = [row for row in rows if "turns_ahead" in row]
    ranking = [row for row in rows if "rank_positions" in row and "turns_ahead" not in row]
    machine = results["machine"]
    assert isinstance(machine, Mapping)
    parts = [f"# Report on `{matches[0]['p1']}`" if matches else "# Report"]
    parts.append(f"PushJEPA {results['version']}, {results['created']}, seed {results['seed']}. Made by")
    parts.append(f"```sh\n{results['command']}\n```")
    parts.append(
        f"on {machine['processor']} ({machine['cores']} cores), {machine['system']}, Python {machine['python']}, "
        f"NumPy {machine['numpy']}, ONNX Runtime {machine['onnxruntime']}, pymunk {machine['pymunk']}. "
        "Intervals are 95%."
    )
    parts += [f"SHA-256 of the {name}: `{mark}`." for name in ("weights", "advice") if (mark := _first(rows, name))]
    if matches:
        parts += ["## Match play", match_table(matches)]
    if errors:
        parts += ["## What the model sees and foresees", f"Seed {errors[0]['seed']}.", error_table(errors)]
    for row in ranking:
        others = {"rank_correlation_last": "in the last", "rank_correlation_px": "in the first to the whole pixel"}
        beside = "".join(f", {interval(row, name, 2)} {words}" for name, words in others.items() if name in row)
        parts.append(
            f"Rank correlation of model and true cost: {interval(row, 'rank_correlation', 2)} over the candidates of a "
            f"search's first iteration{beside} ({row['rank_positions']} positions from matches)."
        )
    parts += [f"![{Path(name).stem.replace('_', ' ')}]({name})\n\n{FIGURES[name]}." for name in figures]
    return "\n\n".join(parts) + "\n"


def _first(rows: Sequence[Row], name: str) -> str | None:
    """What the first row that has such an entry says."""
    return next((row[name] for row in rows if name in row), None)


def match_table(rows: Sequence[Row]) -> str:
    """One line for each opponent and stage."""
    head = "| against | stage | pairs | win % | net progress px | as p1 / p2 | moving first / second | ms a turn |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        split = " | ".join(
            " / ".join(f"{100 * row[name][key]:.0f}" if key in row[name] else "-" for key in ("p1", "p2"))
            for name in ("win_rate_by_seat", "win_rate_by_first")
        )
        lines.append(
            f"| `{row['p2']}` | {row['stage']} | {row['pairs']} | {interval(row, 'win_rate', 1, 100)} "
            f"| {interval(row, 'net_progress', 0)} | {split} | {row['plan_ms_median']:.0f} |"
        )
    return "\n".join(lines)


def error_table(rows: Sequence[Row]) -> str:
    """One line for each source, condition and number of turns ahead; px and degrees."""
    head = "| turns ahead | source | of which | n | acting agent | waiting agent | block | angle | unmoved | push |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        if row["block_px"] is None:
            continue
        errors = " | ".join(interval(row, name, 1) for name in ("agent_px", "waiter_px", "block_px", "angle_deg"))
        push = "-" if row["push_ratio"] is None else f"{row['push_ratio']:.2f}"
        where = f"| {row['turns_ahead']} | {row['source']} | {row['condition']} | {row['n']}"
        lines.append(f"{where} | {errors} | {row['copy_block_px']:.1f} | {push} |")
    return "\n".join(lines)


def interval(row: Row, name: str, digits: int, scale: float = 1.0) -> str:
    """A figure with its 95% interval."""
    value, low, high = (scale * number for number in (row[name], *row[f"{name}_ci"]))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
