"""A real server on a loopback port and a real Chromium: the system's own, driven by Playwright."""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
import pytest
import uvicorn
from websockets.sync.client import connect

from pushjepa.planning import Advice, Budget
from pushjepa.relay import Policy, Side, Stage
from pushjepa.runtime import load_model
from pushjepa.runtime.checkpoint import read_config, resolve
from pushjepa.server import OFFERS, PROTOCOL_VERSION, Engine, Offer, Roster, create_app
from pushjepa.server.card import ModelCard, read_card
from pushjepa.server.roster import seat, usual_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
PATIENCE = 20.0  # seconds that anything on the page may take on a busy machine


def find_chromium() -> str | None:
    """The browser to test with: PUSHJEPA_CHROMIUM if set, else what the system calls Chromium."""
    return os.environ.get("PUSHJEPA_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser say so once per test, plainly, and go on."""
    here = Path(__file__).parent
    if find_chromium() is None:
        why = "no Chromium is installed (on Debian: apt install chromium; or set PUSHJEPA_CHROMIUM to one)"
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=why))


@functools.cache
def bundled_engine() -> Engine:
    """The bundled model, loaded once for all tests of this process."""
    folder = resolve(None)
    model = load_model(folder, threads=1)
    advice = Advice.of_model(folder)
    return Engine(model, "compact", read_config(folder)["parameters"]["total"], *usual_of(model, folder), advice)


def bundled_card() -> ModelCard:
    return read_card(resolve(None))


class Server:
    """uvicorn on a thread, with every built-in opponent and a gate; may be stopped and started again on its port."""

    def __init__(self, store: Path, gate: Any) -> None:
        self.gate = gate
        self.store = store
        self.port = 0
        self.load: Callable[[], Engine] = bundled_engine
        self._uvicorn: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def make(self, name: str, side: Side, stage: Stage, engine: Engine | None) -> Policy:
        if name == "gate":
            return self.gate
        return seat(name, side, stage, engine, Budget(24, 3))

    def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        offers = [*OFFERS, Offer("gate", "Gate", "Waits to be let through.")]
        app = create_app(Roster(self.make, offers, load=self.load, card=bundled_card), self.store)
        self._uvicorn = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [listener]})
        self._thread.start()
        deadline = time.monotonic() + PATIENCE
        while not self._uvicorn.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        self.gate.open.set()
        if self._uvicorn is not None and self._thread is not None:
            self._uvicorn.should_exit = True
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive(), "the server did not stop"

    def get(self, path: str) -> Any:
        """What the server says over HTTP, beside the page."""
        return httpx2.get(f"{self.url}api/{path}", timeout=PATIENCE).json()

    def play(self, opponent: str = "random", seed: int = 5) -> dict[str, Any]:
        """Play a match to its end without a page; gives what is stored of it."""
        with connect(f"ws://127.0.0.1:{self.port}/ws", max_size=None) as link:
            told: dict[str, Any] = {}

            def ask(**message: Any) -> None:
                link.send(json.dumps({"v": PROTOCOL_VERSION, **message}))

            ask(type="new_match", opponent=opponent, seed=seed, side="p1", first="p1")
            while told.get("type") != "match_over":
                told = json.loads(link.recv(timeout=PATIENCE))
                assert told["type"] != "error", told
                if told.get("phase") == "human":
                    turn = told["turn"] + (told["type"] == "turn_result")
                    ask(type="human_turn", turn=turn, waypoints=[[250, 256], [330, 256]])
            stored: dict[str, Any] = self.get(f"matches/{told['match_id']}/replay")
            return stored


class Player:
    """A person at the page: what they do, and what they can see."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.complaints: list[str] = []  # of the console, and requests to other hosts
        self.expected: list[str] = []  # words of complaints that the test provokes
        page.set_default_timeout(1000 * PATIENCE)
        page.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._note(request.url))
        page.on("websocket", lambda link: link.on("framesent", self._keep))
        self._sent: list[dict[str, Any]] = []

    def _keep(self, text: str | bytes) -> None:
        self._sent.append(json.loads(text))

    def sent(self, type_: str) -> list[dict[str, Any]]:
        """The messages of a type that the page has sent."""
        return [message for message in self._sent if message["type"] == type_]

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != f"127.0.0.1:{self.server.port}":
            self.complaints.append(f"a request to {url}")

    def check(self) -> None:
        """Nothing went wrong behind the page's back."""
        left = [c for c in self.complaints if not any(words in c for words in self.expected)]
        assert left == []

    # going places

    def open(self, search: str = "", *, page: str = "#/") -> None:
        self.page.goto(f"{self.server.url}{search}{page}")

    def start(self, search: str) -> None:
        """Follow a link to a match, up to the first thing that can be done."""
        self.open(f"?{search}")
        self.wait(phase="aim")

    # seeing

    def wait(self, timeout: float = PATIENCE, **data: object) -> None:
        """Until the page says so, for instance ``phase="aim"``; ``not_phase="aim"`` waits for anything else."""
        wanted = "".join(
            f':not([data-{name[4:]}="{value}"])' if name.startswith("not_") else f'[data-{name}="{value}"]'
            for name, value in data.items()
        )
        self.page.wait_for_selector(f"body{wanted}", timeout=1000 * timeout)

    def says(self, selector: str, words: str, timeout: float = PATIENCE) -> None:
        """Until ``selector`` shows ``words``."""
        self.page.locator(selector, has_text=words).first.wait_for(timeout=1000 * timeout)

    def data(self, name: str) -> str:
        value = self.page.locator("body").get_attribute(f"data-{name}")
        assert value is not None, f"the page has no data-{name}"
        return value

    @property
    def turn(self) -> int:
        return int(self.data("turn"))

    def stored(self) -> dict[str, Any]:
        """The match on the board as the server has it on disk."""
        state: dict[str, Any] = self.server.get(f"matches/{self.data('match')}/replay")
        return state

    # doing

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A point of the board on the screen."""
        box = self.page.locator("#board").bounding_box()
        assert box is not None
        return box["x"] + x * box["width"] / 512, box["y"] + y * box["height"] / 512

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.point(x, y))

    def tap(self, x: float, y: float) -> None:
        self.page.touchscreen.tap(*self.point(x, y))

    def play_turn(self, *, by: Callable[[float, float], None] | None = None) -> None:
        """Aim at the block and beyond it, and go."""
        self.wait(phase="aim")
        turn = self.turn
        for x, y in ((200 + 10 * turn, 270), (330, 256)):
            (by or self.click)(x, y)
        self.wait(aim="2")
        self.page.click("#go")
        self.wait(not_turn=turn)

    def play_out(self, *, by: Callable[[float, float], None] | None = None) -> None:
        """Play to the end of the match."""
        for _ in range(10):
            self.page.wait_for_selector('body[data-phase="aim"], body[data-phase="over"]')
            if self.data("phase") == "over":
                return
            self.play_turn(by=by)
        self.wait(phase="over")

    def same_end(self) -> None:
        """The page and the disk hold the same last position, bit for bit."""
        assert self.stored()["state"] == self.page.evaluate("JSON.parse(document.body.dataset.end)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=find_chromium(), args=SWITCHES)
        yield running
        running.close()


@pytest.fixture
def server(tmp_path: Path, gate: Any) -> Iterator[Server]:
    running = Server(tmp_path / "matches.sqlite3", gate)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def sit_down(browser: Browser, server: Server) -> Iterator[Callable[..., Player]]:
    """Seat a player at a page of their own; every page is checked for complaints at the end."""
    contexts: list[BrowserContext] = []
    players: list[Player] = []

    def sit(*, calm: bool = True, **options: Any) -> Player:
        # Most tests ask for reduced motion: turns are then shown at once instead of in a second.
        options.setdefault("viewport", {"width": 1280, "height": 800})
        context = browser.new_context(reduced_motion="reduce" if calm else "no-preference", **options)
        contexts.append(context)
        players.append(Player(context.new_page(), server))
        return players[-1]

    yield sit
    for context in contexts:
        context.close()
    for player in players:
        player.check()


@pytest.fixture
def player(sit_down: Callable[..., Player]) -> Player:
    return sit_down()
