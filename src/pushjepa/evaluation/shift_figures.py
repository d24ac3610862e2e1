"""Pictures of play under other laws of physics, frozen against adapting. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pushjepa.evaluation.figures import COLOURS, new_figure
from pushjepa.evaluation.results import Row
from pushjepa.evaluation.shifts import CLOSED, CONDITIONS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: File -> what it shows.
FIGURES = {
    "shift_rates.png": "How often it was won or solved under each shift, with Wilson's 95% interval; the line is the "
    "frozen model under the standard laws",
    "shift_recovery.png": "Error by boundary of a match or episode: what the mind can see (surprise) above, where the "
    "block truly was below; the dashed line is the frozen model under the standard laws. Means are over those matches "
    "or episodes that came so far",
    "shift_gaps.png": "Share of what a shift costs that adapting in the episode wins back; none where it costs little",
}
_STYLE = dict(zip(CONDITIONS, ("#8a8f98", COLOURS[0], COLOURS[2], COLOURS[1]), strict=True))
_NAMES = {"frozen": "frozen", "adapted": "adapted", "adapted_across": "adapted, remembering", "oracle": "oracle"}
_GAPS = {"surprise_gap_closed": "surprise", "block_px_gap_closed": "block error", "recovered": "rate"}
_ERRORS = {"surprise": "surprise, px", "block_px": "block error, px"}
_WIDE = 5  # shifts side by side, at most
_SHOWN = (-60.0, 130.0)  # percent of a gap; what lies beyond is told as a number

Found = Mapping[tuple[str, str], Row]  #: rows by shift and condition


def draw_shift_figures(folder: Path, rows: Sequence[Row]) -> list[str]:
    """Draw the rows of ``pushjepa adapt eval``.

    Args:
        folder: where the pictures go; made if missing.
        rows: of :func:`~pushjepa.evaluation.relay_shifts.evaluate_game_shifts` or
            :func:`~pushjepa.evaluation.pusht_shifts.evaluate_pusht_shifts`.

    Returns:
        Names of the pictures that were drawn, of ``FIGURES``; none where no shift was played.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    found = by_shift(rows)
    usual, shifts = standard_row(rows), shifts_of(rows)
    if usual is None or not shifts:
        return []
    drawn: dict[str, Figure] = {"shift_rates.png": draw_rates(found, shifts, usual)}
    if any("surprise_by_turn" in row for row in found.values() if row is not usual):
        drawn["shift_recovery.png"] = draw_recovery(found, shifts, usual)
    if any(name in row for row in found.values() for name in _GAPS):
        drawn["shift_gaps.png"] = draw_gaps(found, shifts)
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        figure.savefig(folder / name, dpi=150)
    return list(drawn)


def by_shift(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    """Rows with a rate, by shift and condition."""
    return {(row["shift"], row["condition"]): row for row in rows if rate_of(row) is not None}


def standard_row(rows: Sequence[Row]) -> Row | None:
    """The frozen model under the standard laws, which every series begins with."""
    first = next(iter(by_shift(rows).values()), None)
    return first if first is not None and first["condition"] == "frozen" else None


def shifts_of(rows: Sequence[Row]) -> list[str]:
    """Names of the shifts in the order in which they were played, without the standard laws."""
    usual = standard_row(rows)
    return [name for name in dict.fromkeys(shift for shift, _ in by_shift(rows)) if usual and name != usual["shift"]]


def rate_of(row: Row) -> str | None:
    """What the row's rate is called."""
    return next((name for name in ("win_rate", "success_rate") if name in row), None)


def draw_rates(found: Found, shifts: Sequence[str], usual: Row) -> Figure:
    """A group of bars for each shift, one for each condition."""
    conditions = [name for name in CONDITIONS if any((shift, name) in found for shift in shifts)]
    rate = rate_of(usual)
    assert rate is not None
    figure, axes = new_figure(max(4.5, 1.6 + 0.85 * len(shifts)), 3.6)
    width = 0.8 / len(conditions)
    for number, condition in enumerate(conditions):
        places = [i for i, shift in enumerate(shifts) if (shift, condition) in found]
        rows = [found[shifts[i], condition] for i in places]
        values = 100 * np.array([row[rate] for row in rows])
        low, high = 100 * np.array([row[f"{rate}_ci"] for row in rows]).T
        axes.bar(
            np.array(places) + (number - (len(conditions) - 1) / 2) * width,
            values,
            0.92 * width,
            yerr=np.maximum(0.0, [values - low, high - values]),
            color=_STYLE[condition],
            error_kw={"elinewidth": 0.8, "ecolor": "#333333", "capsize": 1.5},
            label=_NAMES[condition],
        )
    axes.axhline(100 * usual[rate], color="#333333", linestyle="--", linewidth=1, label="frozen, standard laws")
    axes.set_xticks(range(len(shifts)), shifts, rotation=30, ha="right")
    axes.set_ylim(0, 105)
    what = "won" if rate == "win_rate" else "solved"
    axes.set_ylabel(f"{what}, %; {min(row['n'] for row in found.values())} a bar")
    figure.legend(frameon=False, fontsize=8, ncols=3, loc="outside upper center")
    return figure


def draw_recovery(found: Found, shifts: Sequence[str], usual: Row) -> Figure:
    """Two small panels for each shift, one above the other: surprise, and the block's true error."""
    from matplotlib.figure import Figure

    bands = -(-len(shifts) // _WIDE)
    columns = -(-len(shifts) // bands)
    figure = Figure(figsize=(0.8 + 2.1 * columns, 3.4 * bands), layout="constrained")
    panels: Any = figure.subplots(2 * bands, columns, squeeze=False, sharex=True)
    for axes in panels.ravel()[:]:
        axes.set_visible(False)
    for index, shift in enumerate(shifts):
        band, column = divmod(index, columns)
        for below, (name, label) in enumerate(_ERRORS.items()):
            axes = panels[2 * band + below][column]
            _draw_curves(axes, found, shift, name, usual)
            if not below:
                axes.set_title(shift, fontsize=9)
            if not column:
                axes.set_ylabel(label, fontsize=8)
    _label_boundaries(panels, len(shifts), columns)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, ncols=len(labels), loc="outside upper center")
    return figure


def _draw_curves(axes: Any, found: Found, shift: str, name: str, usual: Row) -> None:
    axes.set_visible(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
    for condition in CONDITIONS[:3]:
        curve = found.get((shift, condition), {}).get(f"{name}_by_turn")
        if curve:
            axes.plot(
                range(1, len(curve) + 1), curve, "o-", ms=2.5, lw=1.3, color=_STYLE[condition], label=_NAMES[condition]
            )
    axes.axhline(usual[name], color="#333333", linestyle="--", linewidth=1, label="frozen, standard laws")
    axes.set_ylim(bottom=0)


def _label_boundaries(panels: Any, count: int, columns: int) -> None:
    """The axis below the lowest panel of each column."""
    for column in range(columns):
        last = (count - 1 - column) // columns
        axes = panels[2 * last + 1][column]
        axes.set_xlabel("boundary", fontsize=8)
        axes.tick_params(labelbottom=True)


def draw_gaps(found: Found, shifts: Sequence[str], condition: str = "adapted") -> Figure:
    """Bars of the gap that is closed, in percent, with a mark at what counts as closed."""
    figure, axes = new_figure(max(4.5, 1.4 + 0.8 * len(shifts)), 3.4)
    width = 0.8 / len(_GAPS)
    for number, ((name, label), colour) in enumerate(zip(_GAPS.items(), COLOURS, strict=False)):
        places, values = [], []
        for index, shift in enumerate(shifts):
            place = index + (number - (len(_GAPS) - 1) / 2) * width
            gap = found.get((shift, condition), {}).get(name)
            if gap is None:
                axes.plot(place, 0.0, "x", color="#aaaaaa", ms=3)
                continue
            places.append(place)
            values.append(100 * gap)
        shown = np.clip(values, *_SHOWN)
        axes.bar(places, shown, 0.92 * width, color=colour, label=label)
        for place, value, top in zip(places, values, shown, strict=True):
            if value != top:
                axes.text(place, top, f"{value:.0f}", fontsize=6, ha="center", va="bottom" if top > 0 else "top")
    axes.axhline(100 * CLOSED, color="#333333", linestyle="--", linewidth=1, label=f"{100 * CLOSED:.0f}%")
    axes.axhline(0.0, color="#333333", linewidth=0.8)
    axes.set_xticks(range(len(shifts)), shifts, rotation=30, ha="right")
    axes.set_ylabel("of what the shift costs, won back, %")
    figure.legend(frameon=False, fontsize=8, ncols=4, loc="outside upper center")
    return figure
