"""Figures, page and films of play under other laws."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

from pushjepa.evaluation.films import Panel, Strip, compose, write_film
from pushjepa.evaluation.results import make_results
from pushjepa.evaluation.shift_report import markdown, tell_shortfalls, trial_table, write_shift_report
from pushjepa.evaluation.shifts import Foreseen, Trial

TRIALS = {
    ("ice", "frozen"): [
        Trial(0, False, -12.0, Foreseen((10.0, 20.0), (4.0, 8.0), (10.0, 20.0), (4.0, 8.0), (2,), (), ()))
    ],
    ("ice", "adapted"): [
        Trial(
            0,
            True,
            30.5,
            Foreseen(
                (10.0, 6.0), (4.0, 2.0), (10.0, 20.0), (4.0, 8.0), (1,), ((1, "infer"), (2, "rollback")), (0.1, 0.1)
            ),
        )
    ],
    ("ice", "oracle"): [Trial(0, True, 80.0, None)],
}


def row(shift, condition, rate, surprise=None, **more):
    found = {"shift": shift, "condition": condition, "n": 20, "win_rate": rate, "win_rate_ci": [rate - 0.1, rate + 0.1]}
    if surprise is not None:
        found |= {"surprise": surprise, "surprise_ci": [surprise - 1, surprise + 1]}
        found |= {"block_px": 2 * surprise, "block_px_ci": [surprise, 3 * surprise]}
        found |= {"surprise_by_turn": [surprise] * 4, "block_px_by_turn": [2 * surprise] * 4}
        found |= {"adaptations": 3, "rollbacks": 1, "restores": 0, "adapt_ms_median": 120.0, "adapt_ms_max": 300.4}
    return found | more


ROWS = [
    row("none", "frozen", 0.8, 4.0),
    row("ice", "frozen", 0.3, 20.0),
    row("ice", "adapted", 0.7, 6.0, surprise_gap_closed=0.875, block_px_gap_closed=0.4, recovered=0.8),
    row("ice", "oracle", 0.85),
    row("plus", "frozen", 0.4, 20.0),
    row("plus", "adapted", 0.5, 18.0, surprise_gap_closed=0.125, block_px_gap_closed=0.7, recovered=0.25),
    row("smooth-block", "frozen", 0.8, 4.0),
    row("smooth-block", "adapted", 0.8, 4.0),
]


def figures():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from pushjepa.evaluation import shift_figures

    return shift_figures


def test_every_picture_is_drawn(tmp_path):
    drawn = figures().draw_shift_figures(tmp_path, ROWS)
    assert drawn == ["shift_rates.png", "shift_recovery.png", "shift_gaps.png"]
    assert all(cv2.imread(str(tmp_path / name)).std() > 1.0 for name in drawn)


def test_bars_are_rates_and_the_line_is_the_standard_laws():
    f = figures()
    figure = f.draw_rates(f.by_shift(ROWS), f.shifts_of(ROWS), ROWS[0])
    axes = figure.axes[0]
    heights = [[bar.get_height() for bar in group] for group in axes.containers if hasattr(group, "patches")]
    assert heights == [pytest.approx([30.0, 40.0, 80.0]), pytest.approx([70.0, 50.0, 80.0]), pytest.approx([85.0])]
    assert [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"] == [pytest.approx(80.0)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["ice", "plus", "smooth-block"]


def test_recovery_has_two_panels_for_each_shift():
    f = figures()
    figure = f.draw_recovery(f.by_shift(ROWS), f.shifts_of(ROWS), ROWS[0])
    above, below = figure.axes[0], figure.axes[3]
    assert [line.get_ydata()[0] for line in above.lines] == pytest.approx([20.0, 6.0, 4.0])
    assert [line.get_ydata()[0] for line in below.lines] == pytest.approx([40.0, 12.0, 8.0])
    assert above.lines[0].get_xdata().tolist() == [1, 2, 3, 4]


def test_many_shifts_are_drawn_in_bands_and_empty_panels_are_hidden():
    f = figures()
    many = [ROWS[0], *(row(f"law{i}", way, 0.5, 9.0) for i in range(7) for way in ("frozen", "adapted"))]
    figure = f.draw_recovery(f.by_shift(many), f.shifts_of(many), many[0])
    assert len(figure.axes) == 4 * 4, "four side by side, and not five and two"
    assert sum(axes.get_visible() for axes in figure.axes) == 2 * 7


def test_gaps_beyond_the_picture_are_told_as_numbers():
    f = figures()
    rows = [*ROWS[:5], ROWS[5] | {"recovered": -2.5}]
    axes = f.draw_gaps(f.by_shift(rows), f.shifts_of(rows)).axes[0]
    assert "-250" in [text.get_text() for text in axes.texts]
    assert any(line.get_ydata()[0] == pytest.approx(60.0) for line in axes.lines)


def test_rows_without_a_shift_draw_nothing(tmp_path):
    assert figures().draw_shift_figures(tmp_path, ROWS[:1]) == []
    assert list(tmp_path.iterdir()) == []
    lost = {"shift": "ice", "condition": "forgetting", "n": 5, "lost": 0.0}
    assert figures().draw_shift_figures(tmp_path, [lost]) == []


def test_the_page_has_a_line_for_each_shift():
    text = markdown(make_results("pushjepa adapt eval game", 3, []), ROWS, ["shift_gaps.png"], TRIALS)
    assert "| ice | 30 [20, 40] | 70 [60, 80] | - | 85 [75, 95] | 20 | 3 | 1 | 0 | 120 / 300 |" in text
    assert (
        "| ice | 20.0 [19.0, 21.0] | 6.0 [5.0, 7.0] | 88% | 40.0 [20.0, 60.0] | 12.0 [6.0, 18.0] | 40% | 80% |" in text
    )
    assert "![shift gaps](shift_gaps.png)" in text
    assert "| 0 | no | 15.0 | 6.0 | yes | 8.0 | 3.0 | 1 |" in text


def test_the_page_says_where_adapting_does_not_help():
    lines = tell_shortfalls(ROWS)
    assert lines == [
        "`ice`: 40% of the gap in the block's error is closed (asked for: 60% and 50%).",
        "`plus`: 12% of the gap in surprise is closed, 25% of the lost rate is won back (asked for: 60% and 50%).",
        "`smooth-block`: costs the frozen model too little to tell.",
    ]
    good = ROWS[2] | {"block_px_gap_closed": 0.6, "recovered": 0.5}
    assert tell_shortfalls([*ROWS[:2], good]) == []


def test_long_tables_of_trials_are_cut_short():
    some = TRIALS["ice", "frozen"] * 12
    text = trial_table({("ice", "frozen"): some, ("ice", "adapted"): some}, "ice")
    assert text.count("| no |") == 2 * 10
    assert "The first 10 of 12" in text


def test_every_trial_stands_in_a_file(tmp_path):
    write_shift_report(tmp_path, make_results("x", 0, ROWS), ROWS, [], TRIALS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.md", "results.json", "trials.csv"]
    lines = list(csv.DictReader((tmp_path / "trials.csv").read_text().splitlines()))
    assert [line["solved"] for line in lines] == ["0", "1", "1"]
    assert (lines[1]["surprise"], lines[1]["block_px"], lines[1]["adaptations"]) == ("8.0", "3.0", "1")
    assert lines[2]["surprise"] == "", "the oracle has no mind"


def picture(value, size=64):
    return np.full((size, size, 3), value, dtype=np.uint8)


def test_the_last_frame_of_a_shorter_episode_is_held():
    long, short = Panel("a", [picture(v) for v in (10, 20, 30)]), Panel("b", [picture(200)], "won")
    frames = compose([long, short], 64)
    assert len(frames) == 3
    assert all((frame[60:80, 100:120] == 200).all() for frame in frames)
    assert [int(frame[70, 30, 0]) for frame in frames] == [10, 20, 30]


def test_a_strip_shows_what_was_known_by_then():
    strip = Strip((1, 2), (30.0, 15.0), (True, False), (False, True))
    frames = compose([Panel("a", [picture(255)] * 3, strip=strip)], 64)
    bars = [frame[-58:] for frame in frames]
    orange, blue = (
        (part == colour).all(axis=-1).sum() for part in bars[1:2] for colour in ((217, 130, 0), (11, 110, 153))
    )
    assert orange > 100
    assert blue == 0, "it has not acted yet"
    assert not (bars[0] == (217, 130, 0)).all(axis=-1).any()
    assert (bars[2] == (11, 110, 153)).all(axis=-1).sum() > 10


def test_an_inset_stands_where_least_is_shown():
    busy = picture(255)
    busy[:32] = np.random.default_rng(0).integers(0, 255, (32, 64, 3))
    frame = compose([Panel("a", [busy], inset=picture(7))], 64)[0]
    board = frame[40 : 40 + 64]
    assert (board[:32] == busy[:32]).all()
    assert (board[32:] == 7).any()


@pytest.mark.parametrize("name", ["film.gif", "film.mp4"])
def test_films_can_be_read_back(tmp_path, name):
    frames = compose([Panel("a", [picture(v) for v in (10, 120, 240)])], 64)
    write_film(tmp_path / "new" / name, frames)
    film, count, seen = cv2.VideoCapture(str(tmp_path / "new" / name)), 0, []
    while True:
        there, frame = film.read()
        if not there:
            break
        count += 1
        seen.append(int(frame[60, 30, 0]))
    if count:  # not every build of OpenCV reads GIFs as videos
        assert count >= 3
        assert seen[:3] == pytest.approx([10, 120, 240], abs=12)
    assert (tmp_path / "new" / name).stat().st_size > 200


def test_other_endings_and_empty_films_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in .gif or .mp4, got film.avi"):
        write_film(tmp_path / "film.avi", [picture(0)])
    with pytest.raises(ValueError, match="needs panels"):
        compose([])


def test_a_match_is_drawn_step_by_step(glider, monkeypatch):
    from pushjepa.evaluation.match_play import ModelOptions
    from pushjepa.evaluation.relay_films import draw_steps, film_match
    from pushjepa.evaluation.relay_shifts import Series, play_match
    from pushjepa.planning import Budget

    monkeypatch.setattr(ModelOptions, "load", lambda self: glider)
    series = Series("jepa", "passive", "open", 5, "big-block", "frozen", glider.usual, Budget(4, 1))
    match, _ = play_match(series, 0, 0)
    frames = draw_steps(match, 64)
    assert len(frames) == 51
    assert (np.stack(frames[::5]) == match.frames(64)).all(), "every fifth is a boundary"
    film = film_match(series, size=64)
    assert len(film) == 51
    assert film[0].shape == (64 + 40 + 58, 2 * 64 + 6, 3)
