"""The ablations: what each changes, in which order they run, and one from data to table."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from pushjepa.cli import main
from pushjepa.training.ablations import ABLATIONS, BASE, PRESET, get_ablations, load_recipe
from pushjepa.training.presets import Preset, load_preset
from tests.training.conftest import TINY as WHOLE

Run = Callable[..., tuple[object, str]]

#: The sizes of the other tests' tiny model, without what a plain design lacks.
MODEL = "\n".join(line for line in WHOLE.split("[[phase]]")[0].splitlines() if "unroll" not in line)
TINY = f"""{MODEL}
[[phase]]
kind = "joint"
steps = 4
batch = 8
learning_rate = 1e-3
matrix_rate = 1e-2
moved = 0.4
validate_every = 2
validation = 16
[[phase]]
kind = "scenes"
frozen_encoder = true
steps = 4
batch = 8
learning_rate = 1e-3
validate_every = 2
validation = 8
"""


#: Which entries of the base each ablation changes.
CHANGED = {
    BASE: set(),
    "base-again": {"seed"},
    "step": set(),
    "implicit": {"model.explicit_actor"},
    "implicit-step": {"model.explicit_actor"},
    "linear": {"model.action_encoder"},
    "lambda-0": {"loss.state", "loss.stage"},
    "lambda-1": {"loss.state"},
    "lambda-100": {"loss.state"},
    "no-sigreg": {"loss.sigreg"},
    "rollout": {"phase.0.rollout"},
    "published": {"model.explicit_actor", "model.action_encoder", "model.bypass", "loss.stage", "phase.0.moved"},
    "finetuned": {f"phase.0.{name}" for name in ("learning_rate", "matrix_rate", "moved")},
}


def entries(preset: Preset) -> dict[str, object]:
    found: dict[str, object] = {"seed": preset.seed}
    for part, record in (("model", preset.model), ("loss", preset.loss)):
        found |= {f"{part}.{name}": value for name, value in asdict(record).items()}
    for number, phase in enumerate(preset.phases):
        found |= {f"phase.{number}.{name}": value for name, value in asdict(phase).items()}
    return found


def test_each_changes_what_it_says_and_nothing_else() -> None:
    base = entries(load_preset(PRESET))
    assert [ablation.name for ablation in ABLATIONS] == list(CHANGED)
    for ablation in ABLATIONS:
        found = entries(load_recipe(PRESET, ablation))
        assert {name for name, value in found.items() if value != base[name]} == CHANGED[ablation.name], ablation.name
    assert [a.name for a in ABLATIONS if a.acting == "step"] == ["step", "implicit-step", "published"]


def test_what_goes_on_from_another_comes_after_it() -> None:
    assert [some.name for some in get_ablations(["finetuned", "linear"])] == [BASE, "linear", "finetuned"]
    assert get_ablations([]) == list(ABLATIONS)
    with pytest.raises(ValueError, match=r"unknown ablation 'lambda'; choose from base, base-again"):
        get_ablations(["lambda"])


@pytest.mark.parametrize("name", ["compact", "pusht-slots", "mechjepa"])
def test_a_base_that_they_do_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="whose phase 0 is joint, not of"):
        load_recipe(name, ABLATIONS[0])


@pytest.fixture
def ablate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command on a tiny base; gives its exit code and what it printed."""
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "tiny.toml").write_text(TINY)
    fixed = ["--preset", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out"), "--threads", "1"]
    fixed += ["--rank-positions", "0", "--workers", "1"]

    def run(*arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as left:
            main(["ablate", *fixed, "--episodes", "24", "--calibration", "3", *arguments])
        printed = capsys.readouterr()
        return left.value.code, printed.out + printed.err

    return run


def test_they_are_trained_measured_kept_and_told(ablate: Run, tmp_path: Path) -> None:
    code, said = ablate("implicit-step", "lambda-0")
    assert code == 0
    assert "lambda-0: no positions" in said
    code, again = ablate("implicit-step", "lambda-0")  # all is there
    assert code == 0
    assert "lambda-0: no positions" not in again
    assert [line for line in again.splitlines() if line.startswith("| `")] == [
        line for line in said.splitlines() if line.startswith("| `")
    ]
    out = tmp_path / "out"
    rows = json.loads((out / "ablations.json").read_text())["rows"]
    assert [row["ablation"] for row in rows] == ["implicit-step", "lambda-0"]
    assert rows[0]["decode_waiter_px"] > 0
    assert rows[0]["val_state"] > 0
    assert rows[1]["val_state"] is None
    told = json.loads((out / "implicit-step" / "checkpoint" / "config.json").read_text())
    assert (told["data"]["acting"], told["model"]["explicit_actor"]) == ("step", False)
    assert json.loads((out / "lambda-0" / "run.json").read_text())["data"].get("acting", "turn") == "turn"
    card = (out / "lambda-0" / "checkpoint" / "README.md").read_text()
    assert "| 1 | scenes, encoder frozen | 4 | 8 |  | all | 0.001 |  | 0.001 |  |  |" in card


def test_other_figures_are_measured_anew_and_another_recipe_is_refused(ablate: Run, tmp_path: Path) -> None:
    assert ablate("finetuned")[0] == 0
    out = tmp_path / "out"
    start = json.loads((out / "finetuned" / "run.json").read_text())["start"]
    files = json.loads((out / BASE / "checkpoint" / "config.json").read_text())["files"]
    assert start == files, "the fine-tune goes on from the base"
    weights = (out / "finetuned" / "checkpoint" / "model.safetensors").stat().st_mtime_ns
    code, _ = ablate("finetuned", "--calibration", "2")
    assert code == 0
    assert (out / "finetuned" / "checkpoint" / "model.safetensors").stat().st_mtime_ns == weights
    assert json.loads((out / "ablations.json").read_text())["rows"][1]["episodes"] == 2
    code, said = ablate("base", "--episodes", "25")
    assert code == 2
    assert "holds a run of another recipe; choose another --out or delete it" in said
    (tmp_path / "tiny.toml").write_text(TINY.replace("steps = 4", "steps = 6", 1))
    assert ablate("base")[0] == 2
