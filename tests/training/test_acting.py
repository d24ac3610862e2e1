"""Training on episodes in which the agents alternate at every env step."""

from __future__ import annotations

from pathlib import Path

import pytest

from pushjepa.data import generate, make_recipe
from pushjepa.training.card import _store_sentence
from pushjepa.training.presets import Preset, parse_preset
from pushjepa.training.relay import RelayTask
from tests.training.conftest import TINY


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


def test_the_card_tells_of_them() -> None:
    assert "alternate at every env step" in _store_sentence(make_recipe(2, 5, 0, acting="step"))
    assert "`pushjepa generate --acting step --" in _store_sentence(make_recipe(2, 5, 0, acting="step"))
    assert "acting" not in _store_sentence(make_recipe(2, 5, 0))
