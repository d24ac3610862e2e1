"""A page that stays usable when things go wrong between it and the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import httpx2
import pytest

LOST = "WebSocket connection to"  # what Chromium writes when it cannot reach the server


class Process:
    """``pushjepa play`` as people start it, in a process that can be killed."""

    def __init__(self, port, store):
        self.command = [sys.executable, "-m", "pushjepa", "play", "--no-browser", "--port", str(port), "--store", store]
        self.port = port
        self.running = None

    def start(self):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        self.running = subprocess.Popen(
            self.command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        transport = httpx2.HTTPTransport(retries=30)
        with httpx2.Client(transport=transport, timeout=20) as client:
            assert client.get(f"http://127.0.0.1:{self.port}/healthz").status_code == 200

    def kill(self):
        self.running.send_signal(signal.SIGKILL)
        self.running.wait(20)


@pytest.fixture
def process(server, tmp_path):
    # The port that the test's own server had is free once that has stopped.
    server.stop()
    process = Process(server.port, str(tmp_path / "process.sqlite3"))
    process.start()
    yield process
    process.kill()


def test_a_killed_server_comes_back_and_the_match_is_finished(process, player):
    player.expected.append(LOST)
    player.start("opponent=shove&seed=3&side=p1&first=p1")
    player.play_turn()
    player.wait(phase="aim", turn="2")
    player.click(250, 200)
    player.wait(aim="1")
    match = player.data("match")
    process.kill()
    player.says("#headline", "Connection lost")
    player.says("#link", "Reconnecting")
    process.start()
    player.wait(phase="aim", match=match, turn="2", aim="1")  # not even the aim is lost
    player.page.keyboard.press("Escape")
    player.play_out()
    player.same_end()


def test_a_server_that_restarts_while_the_opponent_thinks(server, player):
    player.expected.append(LOST)
    player.start("opponent=gate&seed=3&side=p1&first=p1")
    player.click(250, 256)
    player.page.click("#go")
    player.wait(phase="thinking", turn="1")
    server.gate.open.set()
    player.server.stop()
    player.server.start()
    player.wait(phase="aim", turn="2")


def test_a_busy_server_is_asked_again(player):
    seen = []

    def forward(route):
        real = route.connect_to_server()

        def answer(text):
            message = json.loads(text)
            if message["type"] == "new_match":
                seen.append(message)
                if len(seen) == 1:
                    busy = {"v": 2, "type": "error", "code": "busy", "message": "too many matches are open"}
                    route.send(json.dumps(busy))
                    return
            real.send(text)

        route.on_message(answer)

    player.page.route_web_socket("**/ws", forward)
    player.open("?opponent=passive&seed=3")
    player.wait(phase="aim")
    assert len(seen) == 2
    assert seen[0] == seen[1]


def test_an_opponent_that_has_to_queue_is_waited_for(player):
    """The person's turn was played and the opponent found no room to think: the turn must not be sent again."""

    def forward(route):
        real = route.connect_to_server()
        held = []

        def tell(text):
            message = json.loads(text)
            if message["type"] == "thinking" and not held:
                held.append(message)
                busy = {"v": 2, "type": "error", "code": "busy", "message": "the server is busy: too many opponents"}
                route.send(text)
                route.send(json.dumps(busy))
            else:
                route.send(text)

        real.on_message(tell)
        route.on_message(real.send)

    player.page.route_web_socket("**/ws", forward)
    player.start("opponent=gate&seed=3&side=p1&first=p1")
    player.click(200, 256)
    player.page.click("#go")
    player.says("#notice", "The server is busy: too many opponents. Asking again")
    player.wait(phase="thinking", turn="1")
    assert player.page.locator("#notice").is_hidden()
    assert [message["turn"] for message in player.sent("human_turn")] == [0]


def test_a_server_of_another_version_is_told_after_one_reload(player):
    loads = []
    player.page.on("load", lambda _: loads.append(1))

    def old(route):
        route.on_message(lambda _: route.send(json.dumps({"v": 1, "type": "welcome"})))

    player.page.route_web_socket("**/ws", old)
    player.open()
    player.says("#notice", "too old")
    assert len(loads) == 2


def test_a_match_that_the_server_does_not_know_gives_way_to_a_new_one(player):
    player.start("opponent=passive&seed=3")
    player.page.evaluate("sessionStorage.setItem('pushjepa.match', 'long-gone')")
    player.page.reload()
    player.says("#notice", "Here is a new one")
    player.wait(phase="aim")
