"""docs/protocol.md says what messages.py says, and its recorded match can be played again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from pushjepa.adaptation.surprise import FILE as SURPRISE_FILE
from pushjepa.runtime.checkpoint import read_config, resolve
from pushjepa.server import messages
from pushjepa.server.roster import OFFERS

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
RECORDED = [
    (who, json.loads(text)) for who, text in re.findall(r"^(client|server):\n\n```json\n(.*?)\n```$", PAGE, re.M | re.S)
]
MODELS = [model for model in vars(messages).values() if isinstance(model, type) and issubclass(model, messages.Part)]


def code_words(text):
    return set(re.findall(r"`([a-z_0-9]+)`", text))


def test_every_message_and_field_is_described():
    names = {model.model_fields["type"].default for model in MODELS if "type" in model.model_fields}
    fields = {field for model in MODELS for field in model.model_fields} - {"v", "type"}
    assert len(names) == 18
    assert names | fields <= code_words(PAGE)


def test_every_error_code_is_described_and_no_other():
    table = PAGE.split("| code | when |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == set(get_args(messages.ErrorCode))


def test_no_message_is_described_that_does_not_exist():
    names = {model.model_fields["type"].default for model in MODELS if "type" in model.model_fields}
    for section in ("## From the client", "## From the server"):
        table = PAGE.split(section)[1].split("\n|---")[1].split("\n\n")[0]
        assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) <= names


@pytest.mark.parametrize(("who", "message"), RECORDED)
def test_every_recorded_message_is_one_of_the_protocol(who, message):
    if who == "client":
        messages.parse_client_message(json.dumps(message))
    else:
        messages.SERVER_MESSAGES.validate_json(json.dumps(message))


def test_the_recorded_match_shows_every_server_message():
    shown = [message["type"] for who, message in RECORDED if who == "server"]
    told = {type_.model_fields["type"].default for type_ in get_args(messages.ServerMessage)}
    # The match is played against the bundled model; one that knows one world only has no mind to tell of.
    folder = resolve(None)
    adapts = read_config(folder)["model"].get("laws", 0) > 0 and (folder / SURPRISE_FILE).exists()
    assert set(shown) == (told if adapts else told - {"mind"})


def test_the_recorded_match_was_played_by_the_bundled_model():
    welcome = next(m for _, m in RECORDED if m["type"] == "welcome")
    assert welcome["model"]["parameters"] == read_config(resolve(None))["parameters"]["total"]
    assert [o["name"] for o in welcome["opponents"]] == [offer.name for offer in OFFERS]


def test_the_recorded_turn_can_be_played_again(client):
    new = next(m for who, m in RECORDED if m["type"] == "new_match")
    turn = next(m for who, m in RECORDED if m["type"] == "human_turn" and m["turn"] == 0)
    state, result = (next(m for who, m in RECORDED if m["type"] == name) for name in ("match_state", "turn_result"))
    again = client.ask(**{"type_": "new_match", **{k: v for k, v in new.items() if k not in ("v", "type", "opponent")}})
    assert again["start"] == pytest.approx(state["start"], abs=0.006)
    played = client.ask("human_turn", turn=0, waypoints=turn["waypoints"])
    for now, then in zip(played["states"], result["states"], strict=True):
        assert now == pytest.approx(then, abs=0.006)
