"""Training on episodes in which the agents alternate at every env step."""

from __future__ import annotations

from pathlib import Path

import pytest

from pushjepa.data import generate, make_recipe
from pushjepa.training.card import _store_sentence
from pushjepa.training.presets import Preset, load_preset, parse_preset
from pushjepa.training.relay import RelayTask
from tests.training.conftest import TINY

#: What docs/data.md leaves out of the preset compact.
CHANGES = (
    "model.unroll_hidden=0",
    "model.laws=0",
    "model.visible=[]",
    "model.glimpse_hidden=0",
    "phase.3=off",
    "phase.4.frozen_unroll=false",
    "phase.5=off",
    "phase.6=off",
    "phase.7=off",
)


@pytest.fixture(scope="module")
def alternating(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alternating") / "store"
    generate(folder, episodes=4, steps=10, seed=5, workers=1, acting="step")
    return folder


def test_the_step_unroll_refuses_them_in_one_line(alternating: Path, tiny: Preset) -> None:
    with pytest.raises(ValueError, match=r"alternate at every step: .* use --set model.unroll_hidden=0") as caught:
        RelayTask(tiny, [alternating])
    assert "\n" not in str(caught.value)


def test_a_model_without_the_unroll_takes_them(alternating: Path) -> None:
    preset = parse_preset("tiny", TINY, ["model.unroll_hidden=0", "phase.2=off"])
    task = RelayTask(preset, [alternating])
    assert task.describe()["acting"] == "step"


def test_the_command_of_the_docs_leaves_a_preset_that_is_whole() -> None:
    preset = load_preset("compact", CHANGES)
    assert [phase.kind for phase in preset.phases] == ["scenes", "joint", "scenes", "latents"]
    docs = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    assert [change for change in CHANGES if f"--set {change}" not in docs.replace("'", "")] == []


def test_the_card_tells_of_them() -> None:
    assert "alternate at every env step" in _store_sentence(make_recipe(2, 5, 0, acting="step"))
    assert "`pushjepa generate --acting step --" in _store_sentence(make_recipe(2, 5, 0, acting="step"))
    assert "acting" not in _store_sentence(make_recipe(2, 5, 0))
