from __future__ import annotations

import hashlib
import sys
import types

import numpy as np
import pytest

from pushjepa.evaluation import Contest, Record, play_pairs, play_records, summarise
from pushjepa.evaluation.match_play import ModelOptions, play_pair
from pushjepa.planning import Budget
from pushjepa.planning.advice import FEATURES, FILE, outputs_of_prior, save_advice

# The environment's own class serves as somebody's "package.module:factory".
STRANGER = "pushjepa.relay.opponents:RandomPolicy"


def test_a_pair_is_one_start_with_the_seats_swapped():
    records = play_records(Contest(("passive", "passive"), "open", 5), 2, workers=1)
    assert [r.pair for r in records] == [0, 0, 1, 1]
    assert [r.seat for r in records] == ["p1", "p2", "p1", "p2"]
    # Over two pairs, every seat has had the first turn and the second.
    assert [r.moved_first for r in records] == [True, False, False, True]
    # Nobody moves, so what the start gives to one seat it takes from the other.
    assert [r.score for r in records[::2]] == [-r.score for r in records[1::2]]
    assert all(r.net_progress == 0.0 for r in records)
    assert all(len(r.plan_ms) == 5 for r in records)


def test_a_row_has_every_field_and_the_interval_of_each_rate():
    row = play_pairs("shove", "passive", "open", 3, 1, workers=1)
    assert (row["p1"], row["p2"], row["stage"], row["pairs"], row["n"]) == ("shove", "passive", "open", 3, 6)
    assert row["win_rate"] == 1.0
    assert row["win_rate_ci"] == pytest.approx([0.6097, 1.0], abs=1e-3)
    assert (row["draw_rate"], row["loss_rate"]) == (0.0, 0.0)
    low, high = row["net_progress_ci"]
    assert 50 < low <= row["net_progress"] <= high
    assert row["win_rate_by_seat"] == row["win_rate_by_first"] == {"p1": 1.0, "p2": 1.0}
    assert set(row["win_rate_by_seat_ci"]) == set(row["win_rate_by_first_ci"]) == {"p1", "p2"}
    assert 0 < row["plan_ms_median"] <= row["plan_ms_p95"]


def test_the_order_on_the_command_line_decides_who_is_counted():
    contest = Contest(("a", "b"), "open", 0)
    records = [
        Record(0, "p1", True, 1, 30.0, (1.0,)),
        Record(0, "p2", False, 1, 10.0, (3.0,)),
        Record(1, "p1", False, 0, 0.0, (5.0,)),
        Record(1, "p2", True, -1, -20.0, (7.0,)),
    ]
    row = summarise(contest, records)
    assert (row["win_rate"], row["draw_rate"], row["loss_rate"]) == (0.5, 0.25, 0.25)
    assert row["net_progress"] == 5.0
    assert row["net_progress_ci"] == [-10.0, 20.0]  # the pair is the unit of the bootstrap
    assert row["win_rate_by_seat"] == {"p1": 0.5, "p2": 0.5}
    assert row["win_rate_by_first"] == {"p1": 0.5, "p2": 0.5}
    assert row["net_progress_by_seat"] == {"p1": 15.0, "p2": -5.0}
    assert row["net_progress_by_first"] == {"p1": 5.0, "p2": 5.0}
    assert (row["plan_ms_median"], row["plan_ms_p95"]) == (4.0, pytest.approx(6.7))


def test_the_number_of_processes_changes_nothing_but_the_time():
    def row(workers: int) -> dict:
        done: list[tuple[int, int]] = []
        row = play_pairs(
            STRANGER, "oracle", "gate", 3, 9, workers=workers, budget=Budget(4, 1), progress=lambda *n: done.append(n)
        )
        assert done == [(1, 3), (2, 3), (3, 3)]
        return {name: value for name, value in row.items() if not name.startswith("plan_ms")}

    assert row(1) == row(2)


def test_luck_belongs_to_seed_pair_game_and_player(monkeypatch):
    """A player that draws more must not change what the other one draws."""
    played: dict[str, list[np.ndarray]] = {}

    def factory(name: str, extra: int):
        class Player:
            sees = "state"

            def act(self, observation, rng):
                block = rng.uniform(-1, 1, (5, 2))
                rng.random(extra)
                played.setdefault(name, []).append(block)
                return block

        return lambda side, stage: Player()

    module = types.ModuleType("luck")
    module.first, module.calm, module.greedy = factory("first", 0), factory("calm", 0), factory("greedy", 100)
    monkeypatch.setitem(sys.modules, "luck", module)
    for opponent in ("calm", "greedy"):
        play_pair(Contest(("luck:first", f"luck:{opponent}"), "open", 2), 0)
    firsts = np.array(played["first"])
    assert np.array_equal(firsts[:10], firsts[10:])
    assert not np.array_equal(firsts[:5], firsts[5:10])  # the two games of a pair
    assert not np.array_equal(firsts[:5], np.array(played["calm"])[:5])  # the two players


@pytest.mark.parametrize(
    ("block", "said"), [(None, "KeyError: 'engine'"), (np.full((5, 2), np.nan), "finite"), (np.zeros((4, 2)), "shape")]
)
def test_a_player_that_fails_is_named_in_one_line(monkeypatch, block, said):
    class Broken:
        sees = "state"

        def act(self, observation, rng):
            if block is None:
                raise KeyError("engine")
            return block

    module = types.ModuleType("broken")
    module.player = lambda side, stage: Broken()
    monkeypatch.setitem(sys.modules, "broken", module)
    with pytest.raises(ValueError, match=f"player 'broken:player' failed in pair 0, game 0, turn 1.*{said}") as caught:
        play_pairs("passive", "broken:player", "open", 1, 0, workers=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"p1": "nobody"}, "unknown player"),
        ({"stage": "moon"}, "unknown stage"),
        ({"pairs": 0}, "at least 1 pair"),
        ({"seed": -1}, "seed"),
        ({"workers": 0}, "workers"),
    ],
)
def test_bad_input_gets_one_clear_line(values, said):
    options = {"p1": "passive", "p2": "passive", "stage": "open", "pairs": 1, "seed": 0, "workers": 1} | values
    with pytest.raises(ValueError, match=said):
        play_pairs(**options)


def test_an_advised_player_goes_by_the_advice_in_the_model_s_folder(tmp_path):
    options = ModelOptions(model=str(tmp_path))
    numbers = outputs_of_prior(1)  # one component, whose mean is to stand still
    shapes = {"enter": (4, FEATURES), "norm": (4,), "leave": (numbers, 4)}
    weights = {f"{name}.weight": np.zeros(shape, np.float32) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": np.zeros(shape[0], np.float32) for name, shape in shapes.items()}
    save_advice(tmp_path / FILE, {"prior": weights}, {})
    row = play_pairs("oracle+prior", "passive", "open", 1, 0, workers=1, options=options, budget=Budget(2, 1))
    assert (row["p1"], row["n"]) == ("oracle+prior", 2)
    assert row["advice"] == hashlib.sha256((tmp_path / FILE).read_bytes()).hexdigest()
    assert "weights" not in row, "nobody here has a world model"
    with pytest.raises(ValueError, match="needs a value"):
        play_pairs("oracle+value", "passive", "open", 1, 0, workers=1, options=options, budget=Budget(2, 1))
