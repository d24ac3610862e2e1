"""A real server on a loopback port, and a client that talks to it over a real WebSocket."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from websockets.sync.client import connect

from pushjepa.adaptation.seats import make_adaptive
from pushjepa.physics import STATE_FIELDS
from pushjepa.planning import Budget, make_policy
from pushjepa.relay import Policy, Side, Stage
from pushjepa.runtime.contract import ModelSpec
from pushjepa.server import PROTOCOL_VERSION, Engine, Limits, Offer, Roster, create_app

PATIENCE = 20.0  # seconds that a test waits for a message, on a busy machine


class Dot:
    """A world model that reads the same state off every frame, and remembers the frames that it was last given."""

    spec = ModelSpec(tokens=1, width=1, agents=2, frameskip=5, history=3, frame_size=32, state_fields=STATE_FIELDS)
    SEEN = (100.0, 200.0, 300.0, 200.0, 256.0, 250.0, 0.5)

    def encode(self, frames: np.ndarray) -> np.ndarray:
        assert frames.shape[1:] == (32, 32, 3)
        assert frames.dtype == np.uint8
        self.frames = frames
        return frames.mean(axis=(1, 2, 3), dtype=np.float32)[:, None, None]

    def decode(self, latents: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array(self.SEEN), (*latents.shape[:-2], 7)).copy()


class Stumbler:
    """A policy that fails the first time it is asked, and gives a malformed block the second time."""

    sees = "state"

    def __init__(self) -> None:
        self.asked = 0

    def act(self, observation: Any, rng: np.random.Generator) -> np.ndarray:
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("tripped over\nits own feet")
        return np.full((5, 2), 2.0) if self.asked == 2 else rng.uniform(-1, 1, (5, 2))


class Client:
    """One end of a WebSocket."""

    def __init__(self, port: int) -> None:
        self._open = ExitStack()
        self.socket = self._open.enter_context(
            connect(f"ws://127.0.0.1:{port}/ws", max_size=None, open_timeout=PATIENCE)
        )
        self.seen: list[dict[str, Any]] = []
        self.decoded: list[dict[str, Any]] = []  # these come whenever they are ready, so they are kept apart

    def send(self, type_: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"v": PROTOCOL_VERSION, "type": type_, **fields}))

    def receive(self) -> dict[str, Any]:
        """The next message that is no ``decoded``."""
        while (message := self.receive_any())["type"] == "decoded":
            pass
        return message

    def receive_any(self) -> dict[str, Any]:
        message = json.loads(self.socket.recv(timeout=PATIENCE))
        (self.decoded if message["type"] == "decoded" else self.seen).append(message)
        return message

    def expect(self, type_: str) -> dict[str, Any]:
        """The next message, which has to be of this type."""
        message = self.receive()
        assert message["type"] == type_, message
        return message

    def until(self, type_: str) -> dict[str, Any]:
        """Read on to a message of this type; an error on the way fails the test."""
        while (message := self.receive())["type"] != type_:
            assert message["type"] != "error", message
        return message

    def ask(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Send a message and return what comes next."""
        self.send(type_, **fields)
        return self.receive()

    def play_out(self, state: dict[str, Any], turns: int = 10) -> dict[str, Any]:
        """Play a match up to ``turns`` turns with way-points towards the block; gives the last message of a turn."""
        turn, phase, board, last = state["turn"], state["phase"], state["state"], state
        while turn < turns and phase != "over":
            if phase == "human":
                self.send("human_turn", turn=turn, waypoints=[[board[4], board[5]], [300.0, 256.0]])
            last = self.until("turn_result")
            turn, phase, board = last["turn"] + 1, last["phase"], last["states"][-1]
        return last

    def close(self) -> None:
        self._open.close()


class Server:
    """uvicorn on a thread; may be stopped and started again on the same port and store."""

    def __init__(self, store: Path, make_roster: Callable[[], Roster]) -> None:
        self.store = store
        self.limits = Limits(planners=2)
        self.make_roster = make_roster
        self.port = 0
        self.clients: list[Client] = []
        self._uvicorn: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        app = create_app(self.make_roster(), self.store, limits=self.limits)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [listener]})
        self._thread.start()
        deadline = time.monotonic() + PATIENCE
        while not self._uvicorn.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()
        if self._uvicorn is not None and self._thread is not None:
            self._uvicorn.should_exit = True
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive(), "the server did not stop"

    def connect(self) -> Client:
        client = Client(self.port)
        self.clients.append(client)
        return client


class Cast:
    """Opponents of the tests: scripted ones, a planner that needs "a model", and two awkward ones."""

    def __init__(self, gate: Any) -> None:
        self.gate = gate
        self.stumbler = Stumbler()
        self.lawful = False  # whether there is a second policy with the world model
        self.load: Callable[[], Engine] = lambda: Engine(model=Dot(), name="toy", parameters=7)  # type: ignore[arg-type]

    def make(self, name: str, side: Side, stage: Stage, engine: Engine | None) -> Policy:
        if name == "gate":
            return self.gate
        if name == "stumbler":
            return self.stumbler
        if engine is not None and engine.usual is not None:
            told = {"budget": Budget(8, 2), "advice": engine.advice}
            return make_adaptive(name, side, engine.model, engine.usual, **told)  # type: ignore[arg-type]
        if name == "jepa":
            return make_policy("oracle", side, stage, budget=Budget(8, 2))
        return make_policy(name, side, stage)

    def roster(self) -> Roster:
        offers = [Offer("jepa", "JEPA", "plans", needs_model=True)]
        if self.lawful:
            offers.append(Offer("jepa-reply", "Deep JEPA", "plans further", needs_model=True))
        offers += [Offer(name, name, "") for name in ("chase_t", "passive", "random", "gate", "stumbler")]
        return Roster(self.make, offers, load=lambda: self.load())


@pytest.fixture
def dot() -> Dot:
    return Dot()


@pytest.fixture
def cast(gate: Any) -> Cast:
    return Cast(gate)


@pytest.fixture
def server(tmp_path: Path, cast: Cast) -> Iterator[Server]:
    running = Server(tmp_path / "matches.sqlite3", cast.roster)
    running.start()
    yield running
    cast.gate.open.set()
    running.stop()


@pytest.fixture
def client(server: Server) -> Client:
    return server.connect()
