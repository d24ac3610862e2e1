"""The report's pictures. Needs matplotlib, which the base install does not have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pushjepa.evaluation.results import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What the published relay won (12 matches a row, so wide), percent and px.
PUBLISHED = {"random": (92.0, 126.0), "passive": (100.0, 149.0), "chase_t": (0.0, -67.0), "adversarial": (25.0, -10.0)}
COLOURS = ("#0b6e99", "#d98200", "#4d7c32", "#8a3ffc")  # told apart by the colour-blind too
_MARKERS = ("o", "s", "^", "D")
_ERRORS = {"agent_px": "acting agent", "waiter_px": "waiting agent", "block_px": "block"}
_RANKED_ROWS = 40  # positions whose candidates are drawn: more would be a blot


def draw_figures(folder: Path, rows: Sequence[Row]) -> list[str]:
    """Draw what the rows hold.

    Args:
        folder: where the pictures go.
        rows: of match play, calibration and ranking (with the single costs).

    Returns:
        Names of the pictures that were drawn.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    drawn: dict[str, Figure] = {}
    matches = [row for row in rows if "win_rate" in row]
    errors = [row for row in rows if row.get("condition") == "moved" and row["turns_ahead"] and row["n"]]
    ranking = next((row for row in rows if "true_costs" in row), None)
    if matches:
        drawn["win_rate.png"] = draw_matches(matches, "win_rate", 100.0, "win rate, %")
        drawn["net_progress.png"] = draw_matches(matches, "net_progress", 1.0, "net progress, px")
    if errors:
        drawn["error_by_turns.png"] = draw_errors(errors)
    if ranking is not None:
        drawn["cost_rank.png"] = draw_ranking(ranking)
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        figure.savefig(folder / name, dpi=150)
    return list(drawn)


def draw_matches(rows: Sequence[Row], name: str, scale: float, label: str) -> Figure:
    """A line of points with intervals for each opponent, one for each stage."""
    opponents, stages = (list(dict.fromkeys(row[key] for row in rows)) for key in ("p2", "stage"))
    figure, axes = new_figure(7.0, 0.9 + 0.55 * len(opponents))
    for number, row in enumerate(rows):
        which = stages.index(row["stage"])
        place = opponents.index(row["p2"]) + 0.18 * (which - (len(stages) - 1) / 2)
        value, (low, high) = scale * row[name], (scale * bound for bound in row[f"{name}_ci"])
        axes.errorbar(
            [value],
            [place],
            xerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
            fmt=_MARKERS[which % len(_MARKERS)],
            color=COLOURS[which % len(COLOURS)],
            capsize=3,
            label=None if row["stage"] in (earlier["stage"] for earlier in rows[:number]) else row["stage"],
        )
    published = [(PUBLISHED[who][name == "net_progress"], at) for at, who in enumerate(opponents) if who in PUBLISHED]
    if published:
        axes.plot(*np.array(published).T, "x", color="#888888", zorder=0, label="published relay")
    axes.axvline(50.0 if name == "win_rate" else 0.0, color="#bbbbbb", linewidth=1, zorder=0)
    axes.set_yticks(range(len(opponents)), opponents)
    axes.set_ylim(len(opponents) - 0.5, -0.5)
    axes.set_xlabel(f"{label}; {rows[0]['p1']}, {min(row['pairs'] for row in rows)} pairs a point")
    axes.legend(frameon=False, fontsize=8)
    return figure


def draw_errors(rows: Sequence[Row]) -> Figure:
    """Mean error by turns ahead, one panel for each source, beside the claim that nothing moves."""
    sources = list(dict.fromkeys(row["source"] for row in rows))
    figure, panels = new_figure(4.2 * len(sources), 3.6, columns=len(sources))
    for axes, source in zip(np.atleast_1d(panels), sources, strict=True):
        chosen = sorted((row for row in rows if row["source"] == source), key=lambda row: row["turns_ahead"])
        ahead = [row["turns_ahead"] for row in chosen]
        for (name, label), colour, marker in zip(_ERRORS.items(), COLOURS, _MARKERS, strict=False):
            low, high = np.array([row[f"{name}_ci"] for row in chosen]).T
            axes.plot(ahead, [row[name] for row in chosen], marker + "-", color=colour, label=label)
            axes.fill_between(ahead, low, high, color=colour, alpha=0.2, linewidth=0)
        copied = [row["copy_block_px"] for row in chosen]
        axes.plot(ahead, copied, ":", color="#888888", label="block, if nothing moved")
        axes.set_xticks(ahead)
        axes.set_xlabel(f"turns ahead ({source})")
        axes.set_ylim(bottom=0)
    first = np.atleast_1d(panels)[0]
    first.set_ylabel("error, board px")
    first.legend(frameon=False, fontsize=8)
    return figure


def draw_ranking(row: Row) -> Figure:
    """True against imagined cost of a search's first candidates, a colour for each position."""
    figure, axes = new_figure(4.6, 4.4)
    imagined, true = np.array(row["model_costs"])[:_RANKED_ROWS], np.array(row["true_costs"])[:_RANKED_ROWS]
    shades = np.repeat(np.arange(len(true)) % 20, true.shape[1])
    axes.scatter(true.ravel(), imagined.ravel(), c=shades, cmap="tab20", s=4, linewidths=0, alpha=0.7)
    ends = [min(true.min(), imagined.min()), max(true.max(), imagined.max())]
    axes.plot(ends, ends, color="#888888", linewidth=1, zorder=0)
    axes.set_aspect("equal")
    axes.set_xlabel("true cost: block to goal after the turn, px")
    axes.set_ylabel("the model's, px")
    axes.set_title(
        f"{len(true)} positions; mean Spearman over {row['rank_positions']}: {row['rank_correlation']:.2f}", fontsize=9
    )
    return figure


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Figure, Any]:
    """A figure of its own, beside matplotlib's global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes: Any = figure.subplots(1, columns, sharey=True)
    for each in np.atleast_1d(axes):
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes
