"""``pushjepa play``."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from pushjepa.cli.common import DeviceOption, ModelOption, ThreadsOption, say

_PATIENCE = 60.0  # seconds


def play(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where to listen.")] = 8800,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    store: Annotated[Path | None, typer.Option(dir_okay=False, help="SQLite file of the matches.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
) -> None:
    """Serve the game; play it in the browser."""
    from pushjepa.runtime.checkpoint import read_config, resolve, verify
    from pushjepa.server import default_roster, serve

    folder = resolve(model)
    if model is not None:
        # A model that was asked for by name has to be there; without the bundled one the scripted opponents still play.
        verify(folder, read_config(folder))
    path = store or Path(typer.get_app_dir("pushjepa")) / "matches.sqlite3"
    threading.Thread(target=_announce, args=(host, port, not no_browser), daemon=True).start()
    serve(default_roster(folder, threads=threads, device=device), path, host=host, port=port)


def _announce(host: str, port: int, browse: bool) -> None:
    """Once the server listens, say where, and open the page."""
    here = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        time.sleep(0.2)
        try:
            socket.create_connection((here, port), timeout=1.0).close()
        except OSError:
            continue
        url = f"http://[{here}]:{port}/" if ":" in here else f"http://{here}:{port}/"
        say(f"PushJEPA is at {url} (Ctrl-C stops it)")
        if browse and _has_desktop():
            webbrowser.open(url)
        return


def _has_desktop() -> bool:
    """Whether a browser would open in a window; in a bare terminal it could be a text browser that takes it over."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
