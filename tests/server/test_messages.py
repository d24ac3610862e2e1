from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushjepa.server.messages import (
    MAX_MESSAGE_BYTES,
    SERVER_MESSAGES,
    Error,
    HumanTurn,
    NewMatch,
    ProtocolError,
    parse_client_message,
)


def text(**fields):
    return json.dumps({"v": 2, **fields})


def test_a_message_is_read_back():
    turn = parse_client_message(text(type="human_turn", turn=3, waypoints=[[1, 2.5]]))
    assert turn == HumanTurn(turn=3, waypoints=[[1.0, 2.5]])
    assert parse_client_message(text(type="new_match")) == NewMatch()


@pytest.mark.parametrize(
    ("raw", "code", "words"),
    [
        ("", "malformed", "not JSON"),
        ("{", "malformed", "not JSON"),
        ("[" * 9_000, "malformed", "not JSON"),
        ('{"v": 2, "type": "human_turn", "waypoints": [[NaN, 1]]}', "malformed", "not JSON"),
        ("3", "malformed", "JSON object"),
        ('{"type": "hello"}', "malformed", '"v": 2'),
        ('{"v": 3, "type": "hello"}', "wrong_version", "version 2, got 3"),
        ('{"v": true, "type": "hello"}', "wrong_version", "got True"),
        ('{"v": "1", "type": "hello"}', "wrong_version", "got 1"),
        (text(), "malformed", "type"),
        (text(type="cheat"), "malformed", "cheat"),
        (text(type="hello", extra=1), "malformed", "hello.extra"),
        (text(type="new_match", seed=-1), "malformed", "new_match.seed"),
        (text(type="new_match", seed="7"), "malformed", "new_match.seed"),
        (text(type="new_match", side="p3"), "malformed", "new_match.side"),
        (text(type="human_turn"), "malformed", "either waypoints or block"),
        (text(type="human_turn", waypoints=[[1, 1]], block=[[0, 0]] * 5), "malformed", "either waypoints or block"),
        (text(type="human_turn", waypoints=[]), "malformed", "waypoints"),
        (text(type="human_turn", waypoints=[[1, 1]] * 4), "malformed", "waypoints"),
        (text(type="human_turn", waypoints=[[1]]), "malformed", "waypoints"),
        (text(type="human_turn", block=[[0, 0]] * 4), "malformed", "block"),
        (text(type="human_turn", block=[[None, 0]] * 5), "malformed", "block"),
        (text(type="resume"), "malformed", "match_id"),
        (text(type="resume", match_id="x" * MAX_MESSAGE_BYTES), "too_large", "at most"),
    ],
)
def test_what_is_no_message_is_refused_in_one_line(raw, code, words):
    with pytest.raises(ProtocolError) as caught:
        parse_client_message(raw)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=50)
@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), lambda x: st.lists(x)).map(json.dumps))
def test_nothing_that_is_sent_raises_anything_else(raw):
    with pytest.raises(ProtocolError):
        parse_client_message(raw)


def test_an_error_reads_back_as_it_was():
    error = ProtocolError("invalid", "no such stage").to_message()
    assert SERVER_MESSAGES.validate_json(error.model_dump_json()) == Error(code="invalid", message="no such stage")
