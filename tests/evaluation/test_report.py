from __future__ import annotations

import numpy as np
import pytest

from pushjepa.evaluation.report import FIGURES, markdown, write_report
from pushjepa.evaluation.results import make_results


def match_row(opponent="passive", stage="open", win_rate=0.75):
    return {
        "p1": "jepa",
        "p2": opponent,
        "stage": stage,
        "pairs": 2,
        "n": 4,
        "win_rate": win_rate,
        "win_rate_ci": [0.5, 0.9],
        "net_progress": -20.4,
        "net_progress_ci": [-30.0, 10.0],
        "win_rate_by_seat": {"p1": 1.0, "p2": 0.5},
        "win_rate_by_first": {"p1": 0.5},
        "plan_ms_median": 160.2,
    }


def error_row(source="episodes", ahead=1, block_px=5.0):
    figures = {"agent_px": 3.0, "waiter_px": 2.0, "block_px": block_px, "angle_deg": 4.0}
    return (
        {"condition": "moved", "source": source, "turns_ahead": ahead, "n": 7, "copy_block_px": 50.0, "seed": 7}
        | figures
        | {f"{name}_ci": [value - 1, value + 1] for name, value in figures.items()}
        | {"push_ratio": 0.98, "rank_correlation": None}
    )


RANKING = {
    "rank_positions": 2,
    "rank_correlation": 0.81,
    "rank_correlation_ci": [0.7, 0.9],
    "rank_correlation_px": 0.93,
    "rank_correlation_px_ci": [0.9, 0.96],
    "model_costs": [[10.0, 20.0], [30.0, 45.0]],
    "true_costs": [[12.0, 18.0], [33.0, 40.0]],
}


def test_the_page_holds_every_figure_with_its_interval():
    rows = [match_row() | {"weights": "abc123", "advice": "def456"}, error_row(), RANKING]
    text = markdown(make_results("pushjepa evaluate relay", 3, []), rows, ["win_rate.png"])
    assert "# Report on `jepa`" in text
    assert "pushjepa evaluate relay" in text
    assert "| `passive` | open | 2 | 75.0 [50.0, 90.0] | -20 [-30, 10] | 100 / 50 | 50 / - | 160 |" in text
    assert "SHA-256 of the weights: `abc123`." in text
    assert "SHA-256 of the advice: `def456`." in text
    assert "## What the model sees and foresees\n\nSeed 7.\n\n" in text, "the calibration has a seed of its own"
    assert "| 1 | episodes | moved | 7 | 3.0 [2.0, 4.0] | 2.0 [1.0, 3.0] | 5.0 [4.0, 6.0] |" in text
    assert "0.81 [0.70, 0.90] over the candidates of a search's first iteration, 0.93 [0.90, 0.96] in the first" in text
    assert f"![win rate](win_rate.png)\n\n{FIGURES['win_rate.png']}" in text


def test_nothing_to_say_is_not_said():
    text = markdown(make_results("x", 0, []), [match_row()], [])
    assert "foresees" not in text
    assert "SHA-256" not in text
    assert "![" not in text
    empty = error_row() | {"block_px": None}
    assert "| 1 | episodes" not in markdown(make_results("x", 0, []), [empty], [])


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "report.md").mkdir()
    with pytest.raises(ValueError, match="cannot write"):
        write_report(tmp_path, make_results("x", 0, []), [match_row()], [])


def test_pictures_show_the_rows(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from pushjepa.evaluation.figures import draw_errors, draw_figures, draw_matches, draw_ranking

    rows = [match_row(), match_row("chase_t", win_rate=0.25), match_row("chase_t", "gate", 1.0)]
    (axes,) = draw_matches(rows, "win_rate", 100.0, "win rate").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["passive", "chase_t"]
    points = {(float(x[0]), round(float(y[0]), 2)) for x, y in (bar[0].get_data() for bar in axes.containers)}
    assert points == {(75.0, -0.09), (25.0, 0.91), (100.0, 1.09)}
    (crosses,) = (line for line in axes.lines if line.get_marker() == "x")
    assert crosses.get_xydata().tolist() == [[100.0, 0.0], [0.0, 1.0]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["published relay", "open", "gate"]

    errors = [error_row("matches", 3, 20.0), error_row("matches", 1, 6.0), error_row("episodes")]
    _, right = draw_errors(errors[::-1]).axes
    block = next(line for line in right.lines if line.get_label() == "block")
    assert block.get_xydata().tolist() == [[1.0, 6.0], [3.0, 20.0]]

    (axes,) = draw_ranking(RANKING).axes
    assert axes.collections[0].get_offsets().tolist() == [[12, 10], [18, 20], [33, 30], [40, 45]]

    assert draw_figures(tmp_path / "new", [*rows, *errors, RANKING]) == list(FIGURES)
    assert all((tmp_path / "new" / name).stat().st_size > 5000 for name in FIGURES)
    assert draw_figures(tmp_path, rows) == ["win_rate.png", "net_progress.png"]
    assert np.isfinite(axes.get_xlim()).all()
