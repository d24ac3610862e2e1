"""The table of ablations: one row for each recipe, from its curves and its calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pushjepa.evaluation.results import Row

LATER = 3  #: turns ahead, beside one
_FIGURES = ("agent_px", "waiter_px", "block_px", "angle_deg", "push_ratio")
_VALIDATED = ("val_pred", "val_state")


def ablation_row(name: str, words: str, joint: Mapping[str, float | None], calibration: Sequence[Row]) -> Row:
    """What one recipe came to.

    Args:
        name: of the ablation.
        words: what is different in it.
        joint: the last validation of its phase ``joint``: ``val_pred`` and ``val_state``, None where it says nothing.
        calibration: rows of :func:`~pushjepa.evaluation.calibration.calibrate` on one source.

    Returns:
        Errors, with their intervals, of reading frames (``decode_...``), one turn ahead over all turns (``all_...``)
        and over those that moved the block (``moved_...``), the same ``LATER`` turns ahead (``later_...``),
        ``val_pred``, ``val_state`` and the rank correlation.
    """
    row: Row = {"ablation": name, "words": words} | {key: joint[key] for key in _VALIDATED}
    by_kind = {(some["turns_ahead"], some["condition"]): some for some in calibration}
    kinds = {"decode": (0, "all"), "all": (1, "all"), "moved": (1, "moved"), "later": (LATER, "moved")}
    for prefix, kind in kinds.items():
        found = by_kind[kind]
        row[f"{prefix}_n"] = found["n"]
        row |= {f"{prefix}_{key}{end}": found.get(key + end) for key in _FIGURES for end in ("", "_ci")}
    ahead = by_kind[1, "all"]
    keys = ("source", "episodes", "rank_correlation", "rank_correlation_ci", "rank_positions")
    return row | {key: ahead.get(key) for key in keys}


def ablation_table(rows: Sequence[Row]) -> str:
    """One line for each recipe, as Markdown; px and degrees, means."""
    head = (
        "ablation",
        "what is different",
        "seen: agent, waiter, block",
        "one turn: agent, waiter",
        "moved: agent, waiter, block, angle",
        f"{LATER} turns: block",
        "push",
        "rank",
        "val_pred",
        "val_state",
    )
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = (
            f"`{row['ablation']}`",
            row["words"],
            _numbers(row, "decode", "agent_px", "waiter_px", "block_px"),
            _numbers(row, "all", "agent_px", "waiter_px"),
            _numbers(row, "moved", "agent_px", "waiter_px", "block_px", "angle_deg"),
            _number(row["later_block_px"], 1),
            _number(row["moved_push_ratio"], 2),
            _number(row["rank_correlation"], 2),
            _number(row["val_pred"], 3),
            _number(row["val_state"], 4),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _numbers(row: Row, prefix: str, *names: str) -> str:
    return ", ".join(_number(row[f"{prefix}_{name}"], 1) for name in names)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
