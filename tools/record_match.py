"""Play a match over a real WebSocket and write its messages into docs/protocol.md, between the two markers.

    python tools/record_match.py [OPPONENT]

Long numbers are cut to two decimals and a search's trace to two candidates, so that the page can be read.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from websockets.sync.client import ClientConnection, connect

from pushjepa.planning import make_policy, needs_model
from pushjepa.server import PROTOCOL_VERSION, Roster, create_app, default_roster

PAGE = Path(__file__).parents[1] / "docs" / "protocol.md"
BEGIN, END = "<!-- recorded: begin -->", "<!-- recorded: end -->"
SHOWN_TURNS = 2  # turns shown in full; the rest is played, but only its end is shown


def short(value: Any) -> Any:
    """The same message with numbers cut to two decimals and long traces shortened."""
    if isinstance(value, float):
        return round(value, 2)
    if isinstance(value, list):
        return [short(item) for item in value]
    if isinstance(value, dict):
        out = {key: short(item) for key, item in value.items()}
        if "trace" in out:
            out["trace"] = [{key: items[:2] for key, items in part.items()} for part in out["trace"][:1]]
        return out
    return value


def fenced(who: str, message: dict[str, Any]) -> str:
    """One message as the page shows it."""
    return f"{who}:\n\n```json\n{json.dumps(short(message), ensure_ascii=False)}\n```\n"


class Recorder:
    """A client that writes down what it sends and hears.

    Attributes:
        told: what the page shows, block by block.
        decoded: the ``decoded`` messages; they come whenever they are ready.
        minds: the ``mind`` messages of an opponent that adapts.
    """

    def __init__(self, link: ClientConnection) -> None:
        self._link = link
        self.told: list[str] = []
        self.decoded: list[dict[str, Any]] = []
        self.minds: list[dict[str, Any]] = []

    def send(self, show: bool, **fields: Any) -> None:
        message = {"v": PROTOCOL_VERSION, **fields}
        self._link.send(json.dumps(message))
        if show:
            self.told.append(fenced("client", message))

    def receive(self, show: bool) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._link.recv(timeout=120))
        if message["type"] in ("decoded", "mind"):
            (self.decoded if message["type"] == "decoded" else self.minds).append(message)
            return self.receive(show)
        if show:
            self.told.append(fenced("server", message))
        return message

    def play_turn(self, show: bool, state: list[float], turn: int, phase: str) -> dict[str, Any]:
        """Play or await one turn."""
        if phase == "human":
            x, y = round(state[4]), round(state[5])
            self.send(show, type="human_turn", turn=turn, waypoints=[[max(16, x - 90), y], [x, y]])
        while (message := self.receive(show))["type"] != "turn_result":
            if message["type"] == "error":
                raise SystemExit(message["message"])
        return message


def play(port: int, opponent: str) -> list[str]:
    """Play and tell: what the page shows, block by block."""
    with connect(f"ws://127.0.0.1:{port}/ws", max_size=None) as link:
        recorder = Recorder(link)
        recorder.send(True, type="hello")
        recorder.receive(True)
        recorder.send(True, type="new_match", stage="gate", seed=7, side="p1", first="p1", opponent=opponent)
        state = recorder.receive(True)
        recorder.send(True, type="human_turn", turn=1, waypoints=[[150, 256]])
        recorder.receive(True)  # refused: it is turn 0
        board, turn, phase = state["state"], 0, "human"
        while phase != "over":
            if turn == SHOWN_TURNS:
                recorder.told.append("It is the person's turn again, and the block is made heavier before it:\n")
                recorder.send(True, type="change_physics", physics={"block_mass": 3.0})
                recorder.receive(True)
            message = recorder.play_turn(turn < SHOWN_TURNS, board, turn, phase)
            board, phase, turn = message["states"][-1], message["phase"], turn + 1
        recorder.told.append("The other eight turns go the same way. After the last one:\n")
        recorder.receive(True)
    if recorder.minds:
        recorder.told.append(
            "After each of its moves, an opponent that adapts also tells of its mind; after the last:\n"
        )
        recorder.told.append(fenced("server", max(recorder.minds, key=lambda mind: len(mind["events"]))))
    if recorder.decoded:
        recorder.told.append("In between, each time the world model has read the newest frame:\n")
        recorder.told.append(fenced("server", recorder.decoded[0]))
    return recorder.told


def roster(opponent: str) -> Roster:
    """The built-in opponents: with the bundled world model, loaded, if ``opponent`` needs it; else without any."""
    if not needs_model(opponent):
        return Roster(lambda name, side, stage, _: make_policy(name, side, stage))
    full = default_roster()
    full.start_loading()
    while full.state == "loading":
        time.sleep(0.05)
    return full


def main(opponent: str) -> None:
    """Record a match against ``opponent`` and put it into the page."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        app = create_app(roster(opponent), Path(folder) / "matches.sqlite3")
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.05)
        try:
            told = play(listener.getsockname()[1], opponent)
        finally:
            server.should_exit = True
            thread.join()
    page = PAGE.read_text()
    head, tail = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(head + BEGIN + "\n\n" + "\n".join(told) + "\n" + END + tail)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "jepa")
