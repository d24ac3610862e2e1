"""Pictures of every state of the page, made by playing it: ``python tools/screenshots.py [FOLDER]``.

Starts a server of its own on a free port with an empty store and plays the bundled model in the system's Chromium
(or the one that PUSHJEPA_CHROMIUM names). Needs the extra ``dev``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
DESK = {"width": 1440, "height": 900}
MATCH = "?seed=7&stage=pillars&side=p1&first=p1&opponent=jepa-reply"
AIM = ((200, 275), (330, 256))  # way-points of the person, board px
PATIENCE = 60.0  # seconds


@contextmanager
def serving() -> Iterator[str]:
    """A server with an empty store; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "matches.sqlite3")
        command = [sys.executable, "-m", "pushjepa", "play", "--no-browser", "--port", str(port), "--store", store]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for(f"http://127.0.0.1:{port}/healthz")
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait(PATIENCE)


def _wait_for(url: str) -> None:
    """Until the server is up and its model loaded."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if b'"ready":true' in answer.read():
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit("screenshots: the server did not start")
        time.sleep(0.2)


class Camera:
    """Plays the page and takes its pictures."""

    def __init__(self, page: Page, address: str, folder: Path) -> None:
        self.page = page
        self.address = address
        self.folder = folder

    def open(self, search: str = "", page: str = "#/") -> None:
        self.page.goto(f"{self.address}{search}{page}")

    def wait(self, selector: str) -> None:
        self.page.wait_for_selector(selector, timeout=1000 * PATIENCE)

    def phase(self, phase: str) -> None:
        self.wait(f'body[data-phase="{phase}"]')

    def shoot(self, name: str, *, whole: bool = False, settle: float = 0.6) -> None:
        """Take a picture once what glides has come to rest."""
        self.page.wait_for_timeout(1000 * settle)
        self.page.screenshot(path=self.folder / f"{name}.png", full_page=whole)
        sys.stdout.write(f"{self.folder / name}.png\n")

    def click(self, x: float, y: float, *, hover: bool = False) -> None:
        box = self.page.locator("#board").bounding_box()
        if box is None:
            raise SystemExit("screenshots: the board is not on the page")
        act = self.page.mouse.move if hover else self.page.mouse.click
        act(box["x"] + x * box["width"] / 512, box["y"] + y * box["height"] / 512)

    def play_turn(self) -> None:
        self.phase("aim")
        for x, y in AIM:
            self.click(x, y)
        self.page.click("#go")
        self.wait('body:not([data-phase="aim"])')
        self.wait('body[data-phase="aim"], body[data-phase="over"]')

    def think(self) -> None:
        """Hold the replay of the last search near its end."""
        self.page.select_option("#speed", "0.5")
        self.page.click("#rethink")
        self.wait("#thought:not([hidden])")
        self.page.wait_for_timeout(1700)
        self.page.click("#toggle")


def play(camera: Camera) -> None:
    """The states of a match, from its start to its replay."""
    camera.open(MATCH)
    camera.phase("aim")
    camera.shoot("start")
    camera.click(*AIM[0])
    camera.click(*AIM[1], hover=True)
    camera.shoot("aiming")
    camera.page.keyboard.press("Escape")
    camera.play_turn()
    camera.shoot("turn")
    camera.think()
    camera.shoot("thinking")
    camera.page.keyboard.press("Escape")
    for _ in range(4):
        camera.play_turn()
    camera.phase("over")
    camera.shoot("result")
    camera.page.focus("#tape")
    for _ in range(22):
        camera.page.keyboard.press("ArrowLeft")
    camera.shoot("scrubbing")
    camera.page.keyboard.press("Escape")


def browse(camera: Camera) -> None:
    """The pages beside the board; the match that was played is there to be looked at."""
    camera.open(page="#/how")
    camera.wait("#how details")
    camera.shoot("explain", whole=True)
    camera.open(page="#/matches")
    camera.wait(".match-row .verdict:not(.open)")
    camera.shoot("matches")
    camera.page.locator(".match-row:has(.verdict:not(.open))").get_by_text("Replay").first.click()
    camera.phase("replay")
    camera.shoot("replay", settle=4.5)


def watch(camera: Camera) -> None:
    """Two policies at play, and the dialog that sends them there."""
    camera.open("?p1=jepa&p2=shove&seed=5&stage=gate")
    camera.wait('body[data-turn="5"]')
    camera.wait("#thought:not([hidden])")
    camera.shoot("spectate", settle=0.7)
    camera.page.click("#toggle")
    camera.page.click("#open-setup")
    camera.page.locator("#setup .segments label").first.click()
    camera.shoot("setup")


def carry(camera: Camera) -> None:
    """The same on a phone."""
    camera.open(MATCH)
    camera.phase("aim")
    camera.click(*AIM[0])
    camera.shoot("phone-aiming")
    camera.page.keyboard.press("Escape")
    camera.play_turn()
    camera.shoot("phone", whole=True)
    camera.open(page="#/matches")
    camera.wait(".match-row")
    camera.shoot("phone-matches")


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description="Make pictures of every state of the page.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("out/screenshots"), help="where they go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("PUSHJEPA_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        raise SystemExit("screenshots: no Chromium is installed")
    with serving() as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=SWITCHES)
        desk = Camera(browser.new_page(viewport=DESK), address, folder)
        play(desk)
        browse(desk)
        watch(Camera(browser.new_page(viewport=DESK), address, folder))
        carry(Camera(_phone(browser), address, folder))
        browser.close()


def _phone(browser: Browser) -> Page:
    return browser.new_page(
        viewport={"width": 390, "height": 760}, device_scale_factor=2, has_touch=True, is_mobile=True
    )


if __name__ == "__main__":
    main()
