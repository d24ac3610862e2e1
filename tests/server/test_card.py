from __future__ import annotations

import json

import pytest

from pushjepa.runtime.checkpoint import read_config, resolve
from pushjepa.server.card import read_card
from pushjepa.server.messages import ProtocolError
from pushjepa.server.roster import Roster, default_roster

CONFIG = {
    "format": 2,
    "name": "toy",
    "files": {},
    "model": {"frame_size": 64, "width": 8, "history": 4, "frameskip": 5, "agents": 2, "lift": 3},
    "parameters": {"encoder": 10, "scene": 20, "anchor": 0, "total": 30},
    "metrics": {"0-a": {"decode_block_px": 9.0}, "1-b": {"decode_block_px": 2.5, "push_ratio": None}},
}


def folder(tmp_path, **changes):
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    return tmp_path


def test_the_card_says_what_the_bundled_models_own_files_say():
    card, config = read_card(resolve(None)), read_config(resolve(None))
    assert {part.name: part.parameters for part in card.parts} | {"total": card.parameters} == config["parameters"]
    assert card.metrics == config["metrics"]
    closer = {name: value for name, value in config["metrics"]["7-glimpses"].items() if name.startswith("decode_")}
    assert len(closer) == 3
    assert card.measured == config["metrics"]["4-latents"] | closer, "the laws' figures are of other worlds"
    assert (card.model, card.data) == (config["model"], config["data"])
    assert (card.loss, card.phases) == (config["preset"]["loss"], config["preset"]["phases"])
    assert card.history == config["model"]["history"]
    assert card.card == (resolve(None) / "README.md").read_text()


def test_parts_that_no_one_has_thought_of_are_told_and_what_is_missing_stays_empty(tmp_path):
    card = read_card(folder(tmp_path))
    assert [(part.name, part.parameters) for part in card.parts] == [("encoder", 10), ("scene", 20), ("anchor", 0)]
    assert (card.parameters, card.history, card.frame_size) == (30, 4, 64)
    assert card.measured == {"decode_block_px": 2.5, "push_ratio": None}
    assert (card.data, card.loss, card.phases, card.card) == ({}, {}, [], "")


def test_the_lessons_of_all_stores_are_counted_together(tmp_path):
    first, second = {"episodes": 60, "steps": 40}, {"episodes": 10, "steps": 50}
    card = read_card(folder(tmp_path, data=first | {"beside": [second]}))
    assert (card.episodes, card.steps) == (70, 2900)
    assert read_card(folder(tmp_path, data=first)).episodes == 60
    unknown = read_card(folder(tmp_path, data=first | {"beside": [{}]}))
    assert (unknown.episodes, unknown.steps) == (None, None)


@pytest.mark.parametrize("changes", [{"model": {}}, {"parameters": {"encoder": "many"}}, {"metrics": 3}, {"model": 3}])
def test_a_malformed_configuration_is_refused_in_one_line(tmp_path, changes):
    with pytest.raises(ValueError, match="cannot be read") as caught:
        read_card(folder(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_a_roster_without_a_model_has_no_card(tmp_path):
    with pytest.raises(ProtocolError, match="no world model") as caught:
        Roster(lambda name, side, stage, model: None).card()
    assert caught.value.code == "unavailable"
    with pytest.raises(ProtocolError, match=r"config\.json is missing") as caught:
        default_roster(tmp_path).card()
    assert caught.value.code == "unavailable"
