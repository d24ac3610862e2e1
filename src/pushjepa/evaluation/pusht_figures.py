"""Pictures of what was measured on Push-T. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pushjepa.evaluation.figures import COLOURS, new_figure
from pushjepa.evaluation.results import Row
from pushjepa.pusht.shifts import STANDARD

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What others publish for goals 25 steps ahead with 50 to play, percent; other data and other versions.
PUBLISHED = {"LeWM": 96.0, "C-JEPA": 88.7, "DINO-WM": 74.0}
_WAYS = {"": "plan", "random_": "random", "expert_": "expert", "still_": "stand still"}


def draw_pusht_figures(folder: Path, rows: Sequence[Row]) -> list[str]:
    """Draw what the rows hold: success rates, latent planning errors or mechanisms.

    Returns:
        Names of the pictures that were drawn into ``folder``.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    drawn: dict[str, Figure] = {}
    if any("success_rate" in row for row in rows):
        drawn["pusht_success.png"] = draw_success(rows)
    if any("latent_error" in row for row in rows):
        drawn["pusht_latent_error.png"] = draw_latent_errors(rows[0])
    if any("mutual_information" in row for row in rows):
        drawn["pusht_mechanisms.png"] = draw_mechanisms(rows)
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        figure.savefig(folder / name, dpi=150)
    return list(drawn)


def draw_success(rows: Sequence[Row]) -> Figure:
    """Success of each player with its interval, and of each seed of tasks as a dot."""
    figure, axes = new_figure(6.4, 1.0 + 0.45 * len(rows))
    for place, row in enumerate(rows):
        value, (low, high) = 100 * row["success_rate"], (100 * bound for bound in row["success_rate_ci"])
        axes.errorbar([value], [place], xerr=[[value - low], [high - value]], fmt="o", color=COLOURS[0], capsize=3)
        each = 100 * np.array(row["success_by_seed"])
        axes.plot(each, np.full(len(each), place + 0.22), "|", color="#888888")
    near = all((row["goal_offset"], row["budget"], row["shift"]) == (25, 50, STANDARD) for row in rows)
    for name, value in PUBLISHED.items() if near else ():
        axes.axvline(value, color="#cccccc", linewidth=1, zorder=0)
        axes.text(value, -0.7, f"{name}*", fontsize=7, color="#777777", ha="center")
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.9)
    axes.set_xlim(-3, 103)
    first = rows[0]
    axes.set_xlabel(
        f"success, %\ngoals {first['goal_offset']} steps ahead, {first['budget']} to play, {first['n']} episodes a row"
        + ("\n* published, other data and versions" if near else "")
    )
    return figure


def _label(row: Row) -> str:
    """The player, and the laws that it plays under where they are not the standard ones."""
    return row["policy"] if row["shift"] == STANDARD else f"{row['policy']}, {row['shift']}"


def draw_latent_errors(row: Row) -> Figure:
    """Mean latent error of each way of acting with its interval, median and largest, on a logarithmic scale."""
    figure, axes = new_figure(6.0, 2.6)
    for place, (prefix, label) in enumerate(_WAYS.items()):
        value, (low, high) = row[f"{prefix}latent_error"], row[f"{prefix}latent_error_ci"]
        axes.errorbar([value], [place], xerr=[[value - low], [high - value]], fmt="o", color=COLOURS[0], capsize=3)
        for what, marker in (("median", "|"), ("max", "x")):
            axes.plot(
                row[f"{prefix}latent_error_{what}"],
                place,
                marker,
                color="#777777",
                label=what if label == "plan" else None,
            )
    axes.set_xscale("log")
    axes.set_yticks(range(len(_WAYS)), list(_WAYS.values()))
    axes.set_ylim(len(_WAYS) - 0.5, -0.5)
    axes.set_xlabel(f"squared distance from the goal's latent, standardised; mean of {row['n']} tasks")
    axes.legend(frameon=False, fontsize=8)
    return figure


def draw_mechanisms(rows: Sequence[Row]) -> Figure:
    """For the pair of slots whose codes tell most of each contact: how often each code comes, and contact then."""
    contacts = list(dict.fromkeys(row["contact"] for row in rows))
    figure, panels = new_figure(4.6 * len(contacts), 3.2, columns=len(contacts))
    for axes, contact in zip(np.atleast_1d(panels), contacts, strict=True):
        row = max((row for row in rows if row["contact"] == contact), key=lambda row: row["mutual_information"])
        used = sorted((code for code in row["by_code"] if code["n"]), key=lambda code: -code["share"])
        often = np.array([code["n"] for code in used]) / row["n"]
        edges = np.concatenate([[0.0], np.cumsum(often)])
        share = [100 * code["share"] for code in used]
        axes.bar(edges[:-1], share, often, align="edge", color=COLOURS[0], edgecolor="white", linewidth=0.5)
        axes.set_xlabel("codes, as wide as they are frequent")
        axes.set_title(
            f"{contact}: slot {row['slot']} as slot {row['acted_on_by']} acts on it\n"
            f"{row['mutual_information']:.2f} of {row['entropy']:.2f} bits ({row['shifted_p95']:.3f} shifted, 95%)",
            fontsize=9,
        )
        axes.set_xlim(0, 1)
    np.atleast_1d(panels)[0].set_ylabel("share with contact, %")
    return figure
