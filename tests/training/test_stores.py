"""Training on more than one store, and what a run of the recipe is refused or goes on with; nothing is trained here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pushjepa.data import generate, make_recipe
from pushjepa.nets import JEPA
from pushjepa.training.batches import FrameWindows, build_phase_data
from pushjepa.training.card import _store_sentence, write_card
from pushjepa.training.presets import PhaseConfig, Preset, load_preset
from pushjepa.training.recipe import (
    TrainingOptions,
    _claim,
    check_compile,
    choose_compile,
    choose_precision,
    train,
)
from pushjepa.training.relay import RelayTask

PHASE = PhaseConfig("joint", steps=4, batch=8, learning_rate=1e-3, validation=16)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("stores") / "second", episodes=10, seed=6, workers=1).path


@pytest.fixture(scope="module")
def third(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("stores") / "third", episodes=10, seed=7, workers=1).path


def test_a_task_tells_of_all_its_stores(tiny: Preset, episodes: Path, second: Path) -> None:
    alone, both = RelayTask(tiny, [episodes]).describe(), RelayTask(tiny, [episodes, second]).describe()
    assert "beside" not in alone
    assert both == alone | {"beside": [RelayTask(tiny, [second]).describe()]}
    assert (both["episodes"], both["beside"][0]["episodes"]) == (60, 10)


def test_batches_are_drawn_from_all_stores(tiny: Preset, episodes: Path, second: Path) -> None:
    task = RelayTask(tiny, [episodes, second])
    data = build_phase_data(JEPA(tiny.model), PHASE, task.stores, 1, 0, torch.device("cpu"))
    drawn, validated = data._training, data._validation
    assert isinstance(drawn, FrameWindows)
    theirs = drawn._windows.episodes
    assert len(theirs) == 59 + 9
    assert np.array_equal(theirs.states[59:], task.stores[1].episodes.states[:9])
    assert sum(len(batch.states) for batch in validated) == 16
    few = build_phase_data(JEPA(tiny.model), replace(PHASE, episodes=7), task.stores, 1, 0, torch.device("cpu"))
    assert isinstance(few._training, FrameWindows)
    assert len(few._training._windows.episodes) == 7


def test_a_run_goes_on_with_the_stores_that_it_began_with(
    tiny: Preset, episodes: Path, second: Path, third: Path, tmp_path: Path
) -> None:
    _claim(tiny, RelayTask(tiny, [episodes, second]), tmp_path, None)
    _claim(tiny, RelayTask(tiny, [episodes, second]), tmp_path, None)
    for others in ([third], [], [second, third]):
        with pytest.raises(ValueError, match="another episodes"):
            _claim(tiny, RelayTask(tiny, [episodes, *others]), tmp_path, None)


def test_a_run_that_was_begun_before_there_was_an_entry_goes_on(tiny: Preset, episodes: Path, tmp_path: Path) -> None:
    task, path = RelayTask(tiny, [episodes]), tmp_path / "run.json"
    _claim(tiny, task, tmp_path, None)
    older = json.loads(path.read_text())
    for name in ("encoder_channels", "encoder_points", "visible"):
        del older["preset"]["model"][name]
    for phase in older["preset"]["phases"]:
        del phase["rollout"], phase["sigreg"]
    del older["preset"]["changes"], older["preset"]["task"], older["preset"]["loss"]["directions"]
    path.write_text(json.dumps(older))
    _claim(tiny, task, tmp_path, None)
    assert json.loads(path.read_text())["preset"]["phases"][1]["rollout"] == 1

    path.write_text(json.dumps(older))
    further = replace(tiny, phases=(tiny.phases[0], replace(tiny.phases[1], rollout=2), *tiny.phases[2:]))
    with pytest.raises(ValueError, match="another preset"):
        _claim(further, task, tmp_path, None)
    older["preset"]["model"]["width"] = 32
    path.write_text(json.dumps(older))
    with pytest.raises(ValueError, match="another preset"):
        _claim(tiny, task, tmp_path, None)


def test_no_more_turns_are_foreseen_than_episodes_have(tiny: Preset, episodes: Path) -> None:
    RelayTask(replace(tiny, phases=(replace(PHASE, rollout=8),)), [episodes])
    with pytest.raises(ValueError, match=f"in {episodes} have 8 turns: phase joint cannot foresee 9"):
        RelayTask(replace(tiny, phases=(replace(PHASE, rollout=9),)), [episodes])


def test_a_path_by_itself_is_refused(episodes: Path, tmp_path: Path) -> None:
    for data in (episodes, str(episodes)):
        with pytest.raises(ValueError, match="data is a tuple of folders"):
            TrainingOptions(data, tmp_path)  # type: ignore[arg-type]


def test_the_card_tells_of_all_stores(tiny: Preset, tmp_path: Path) -> None:
    visited = {"sha256": "0" * 64, "about": {"model": "compact-a", "seed": 3, "candidates": 64, "iterations": 3}}
    recipes = [make_recipe(60, 40, 5), make_recipe(10, 40, 6, visited=visited)]
    assert "branched from matches of the model compact-a," in _store_sentence(recipes[1])
    texts = []
    for count in (1, 2):
        write_card(tmp_path, JEPA(tiny.model), tiny, recipes[:count], {"0-a": {"val_state": 1.0}}, {})
        texts.append((tmp_path / "README.md").read_text())
    alone, both = texts
    assert "on the last 2%.\n" in alone
    assert "on the last 2% of each store.\n" in both
    assert "10 episodes x 40 env steps (400 steps) branched" in both
    assert "compact-a" not in alone


def test_the_vit_on_a_gpu_is_the_one_in_half_precision() -> None:
    assert choose_precision("auto", on_gpu=True, bf16=True) == "bf16-mixed"
    for on_gpu, bf16 in ((True, False), (False, True), (False, False)):
        assert choose_precision("auto", on_gpu=on_gpu, bf16=bf16) == "32-true"
    assert choose_precision("16-mixed", on_gpu=False, bf16=False) == "16-mixed"


def test_a_gpu_compiles_unless_it_is_told_not_to() -> None:
    assert [choose_compile(None, on_gpu=on_gpu) for on_gpu in (False, True)] == [False, True]
    assert [choose_compile(asked, on_gpu=not asked) for asked in (False, True)] == [False, True]


@pytest.mark.parametrize("name", ["pusht-slots", "pusht-peer"])
def test_compiling_is_refused_where_there_is_nothing_to_compile(name: str, tmp_path: Path) -> None:
    preset = load_preset(name)
    with pytest.raises(ValueError, match=f"^{name}: nothing is compiled .* leave --compile out$"):
        train(preset, TrainingOptions((tmp_path,), tmp_path / "out", compile=True))
    assert not (tmp_path / "out").exists()
    for asked in (None, False):
        check_compile(preset, asked)
    check_compile(load_preset("compact"), True)
