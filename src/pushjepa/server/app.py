"""The FastAPI application: a health check, the page, the matches over HTTP, and one WebSocket endpoint."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket, status
from fastapi.staticfiles import StaticFiles

import pushjepa
from pushjepa.server.api import Archive, add_failures, api_router, same_origin
from pushjepa.server.connection import Connection
from pushjepa.server.messages import PROTOCOL_VERSION
from pushjepa.server.odds import load_odds
from pushjepa.server.rooms import Limits, Rooms
from pushjepa.server.roster import Roster
from pushjepa.server.store import MatchStore

# Nothing on the page comes from anywhere else, and nothing may.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_SOCKET_LIMIT = 1 << 20  # bytes of one frame, above which uvicorn itself hangs up; the protocol's own limit is lower


def create_app(roster: Roster, store_path: Path, *, limits: Limits | None = None) -> FastAPI:
    """The server as an ASGI application.

    Args:
        roster: who can be played against; its world model starts loading with the application.
        store_path: the SQLite file of matches.
        limits: how much it takes on at the same time.

    Raises:
        ValueError: the store or the table of odds cannot be used.
    """
    odds = load_odds()
    store = MatchStore(store_path)
    rooms: list[Rooms] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        roster.start_loading()
        rooms.append(Rooms(roster, store, limits, odds))
        try:
            yield
            await rooms.pop().close()
        finally:
            store.close()

    app = FastAPI(title="PushJEPA", version=pushjepa.__version__, lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        """Alive as soon as it answers; ``ready`` once the world model is loaded."""
        return health(roster)

    app.include_router(api_router(Archive(store, roster, odds)))
    add_failures(app)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        if not same_origin(websocket.headers):
            # A page of another site may reach this port from the player's browser; it has no business here.
            await websocket.close(code=status.WS_1008_POLICY_VIOLATION)
            return
        await Connection(websocket, rooms[0]).serve()

    static = Path(str(resources.files("pushjepa.server") / "static"))
    app.mount("/", StaticFiles(directory=static, html=True), name="page")
    return app


def health(roster: Roster) -> dict[str, Any]:
    """The body of ``GET /healthz``."""
    model = roster.model_view()
    status = {"none": "ok", "ready": "ok", "loading": "loading", "failed": "degraded"}[model.state]
    return {
        "status": status,
        "ready": status == "ok",
        "version": pushjepa.__version__,
        "protocol": PROTOCOL_VERSION,
        "model": model.name or None,
        "parameters": model.parameters,
        "detail": model.detail,
        "opponents": [offer.name for offer in roster.offers],
    }


def serve(roster: Roster, store_path: Path, *, host: str = "127.0.0.1", port: int = 8800) -> None:
    """Serve until interrupted.

    Raises:
        ValueError: the address cannot be listened on, or the store cannot be used.
    """
    listener = _listen(host, port)
    try:
        app = create_app(roster, store_path)
        config = uvicorn.Config(app, ws_max_size=_SOCKET_LIMIT, log_level="warning", timeout_graceful_shutdown=3)
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, bound before anything is loaded, so that a taken port is said at once."""
    if not 0 <= port <= 65535:
        raise ValueError(f"port must lie in 0 ... 65535, got {port}")
    listener: socket.socket | None = None
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        why = error.strerror
        raise ValueError(f"cannot listen on {host}:{port} ({why}); choose another --port or --host") from None
    return listener
