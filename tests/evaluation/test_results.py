from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest

import pushjepa
from pushjepa.evaluation import make_results, matmul_gflops, write_results


def test_results_are_the_object_that_every_command_writes(tmp_path):
    path = tmp_path / "new" / "out.json"
    rows = [{"stage": "open", "win_rate": np.float64(0.5), "win_rate_ci": (0.4, 0.6), "n": np.int64(4)}]
    write_results(path, make_results("match --seed 3", 3, rows))
    read = json.loads(path.read_text())
    assert list(read) == ["command", "version", "seed", "created", "machine", "rows"]
    assert (read["command"], read["version"], read["seed"]) == ("match --seed 3", pushjepa.__version__, 3)
    assert read["rows"] == [{"stage": "open", "win_rate": 0.5, "win_rate_ci": [0.4, 0.6], "n": 4}]
    assert read["machine"]["cores"] >= 1
    assert read["machine"]["onnxruntime"] == onnxruntime.__version__
    assert read["created"].endswith("+00:00")


def test_what_is_not_a_number_becomes_null():
    rows = [{"a": float("nan"), "b": np.array([1.0, np.inf]), "c": {"d": np.float32("nan")}, "e": None}]
    assert make_results("x", 0, rows)["rows"] == [{"a": None, "b": [1.0, None], "c": {"d": None}, "e": None}]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "out.json"
    write_results(path, {"rows": [1]})
    before = path.read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(ValueError, match=r"cannot write results to .*No space left"):
        write_results(path, {"rows": [2]})
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_told_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="cannot write results"):
        write_results(tmp_path, {"rows": []})


def test_the_matrix_product_has_a_rate():
    assert 0.01 < matmul_gflops(128, runs=2) < 1e6
