"""Who can sit across the board. The world model is loaded in the background, so that the page is there at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pushjepa.planning import Budget, make_policy
from pushjepa.relay import Policy, Side, Stage
from pushjepa.runtime import WorldModel, load_model
from pushjepa.runtime.checkpoint import read_config, resolve
from pushjepa.server.card import ModelCard, read_card
from pushjepa.server.messages import ModelView, OpponentView, ProtocolError

Make = Callable[[str, Side, Stage, WorldModel | None], Policy]


@dataclass(frozen=True)
class Offer:
    """An opponent as the page offers it; ``needs_model`` says that it plays with the world model."""

    name: str
    title: str
    summary: str
    needs_model: bool = False


@dataclass(frozen=True)
class Engine:
    """A loaded world model, what to call it and how many parameters it has."""

    model: WorldModel
    name: str
    parameters: int | None = None


OFFERS = (
    Offer("jepa", "JEPA", "Sees pixels only and plans inside its world model.", needs_model=True),
    Offer("jepa-reply", "Deep JEPA", "Reckons with your answer before it moves.", needs_model=True),
    Offer("oracle", "Oracle", "The same search on the true simulator: the ceiling."),
    Offer("shove", "Shover", "Goes round behind the block, then drives it home."),
    Offer("chase_t", "Chaser", "Walks to the block and steers it its own way."),
    Offer("adversarial", "Blocker", "Gets in your way and drives the block back."),
    Offer("random", "Random", "Moves without looking."),
    Offer("passive", "Statue", "Never moves. Good for practice."),
)


class Roster:
    """The opponents on offer, and how each takes a seat.

    Args:
        make: builds a policy from (name, side, stage, the world model or None).
        offers: what the page offers, the default first.
        load: loads the world model; None if there is none.
        card: reads the world model's card; None if there is none.
    """

    def __init__(
        self,
        make: Make,
        offers: Sequence[Offer] = OFFERS,
        load: Callable[[], Engine] | None = None,
        card: Callable[[], ModelCard] | None = None,
    ) -> None:
        self._make = make
        self._load = load
        self._card = card
        self._engine: Future[Engine] = Future()
        self.offers = tuple(offer for offer in offers if load is not None or not offer.needs_model)
        if not self.offers:
            raise ValueError("a roster needs at least one opponent that can play without a model")

    def start_loading(self) -> None:
        """Load the world model on a thread of its own; returns at once."""
        if self._load is not None and not self._engine.running() and not self._engine.done():
            self._engine.set_running_or_notify_cancel()
            threading.Thread(target=self._run_load, args=(self._load,), name="load-model", daemon=True).start()

    def _run_load(self, load: Callable[[], Engine]) -> None:
        try:
            self._engine.set_result(load())
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the page must say so instead of waiting
            self._engine.set_exception(error)

    @property
    def state(self) -> Literal["none", "loading", "ready", "failed"]:
        """How far the world model is."""
        if self._load is None:
            return "none"
        if not self._engine.done():
            return "loading"
        return "ready" if self._engine.exception() is None else "failed"

    @property
    def engine(self) -> Engine | None:
        """The world model, once it is loaded."""
        return self._engine.result() if self.state == "ready" else None

    @property
    def model_name(self) -> str | None:
        """Name of the loaded world model."""
        return None if self.engine is None else self.engine.name

    def card(self) -> ModelCard:
        """The world model's card; reads files, so call it off the event loop.

        Raises:
            ProtocolError: there is no model, or its card cannot be read.
        """
        if self._card is None:
            raise ProtocolError("unavailable", "this server has no world model")
        try:
            return self._card()
        except ValueError as error:
            raise ProtocolError("unavailable", str(error)) from None

    def model_view(self) -> ModelView:
        """The world model as clients see it."""
        state = self.state
        if state == "ready":
            engine = self._engine.result()
            return ModelView(name=engine.name, state=state, parameters=engine.parameters)
        detail = str(self._engine.exception()) if state == "failed" else None
        return ModelView(name="", state=state, detail=detail)

    def views(self) -> list[OpponentView]:
        """The offers as clients see them; one whose model failed to load is not available."""
        failed = self.state == "failed"
        return [
            OpponentView(name=o.name, title=o.title, summary=o.summary, available=not (o.needs_model and failed))
            for o in self.offers
        ]

    def choose(self, name: str | None) -> Offer:
        """The offer called ``name``, or the first that can play.

        Raises:
            ProtocolError: there is none of that name, or its model failed to load.
        """
        failed = self.state == "failed"
        if name is None:
            name = next((o.name for o in self.offers if not (o.needs_model and failed)), self.offers[0].name)
        for offer in self.offers:
            if offer.name == name:
                if offer.needs_model and failed:
                    raise ProtocolError("unavailable", f"{name} cannot play: {self._engine.exception()}")
                return offer
        known = ", ".join(o.name for o in self.offers)
        raise ProtocolError("invalid", f"unknown opponent {name!r}; choose one of {known}")

    def policy(self, name: str, side: Side, stage: Stage) -> Policy:
        """Seat an opponent; waits for the world model if it needs one, so call it off the event loop.

        Raises:
            ProtocolError: there is none of that name, or its model failed to load.
        """
        offer = self.choose(name)
        if not offer.needs_model:
            return self._make(name, side, stage, None)
        self.start_loading()
        try:
            engine = self._engine.result()
        except Exception as error:  # raised by the loader, on its own thread
            raise ProtocolError("unavailable", f"{name} cannot play: {error}") from error
        return self._make(name, side, stage, engine.model)


def default_roster(
    model: str | Path | None = None,
    *,
    backend: str = "onnx",
    threads: int | None = None,
    device: str = "cpu",
    budget: Budget | None = None,
) -> Roster:
    """Every built-in opponent, with the world model that ``load_model`` gives for the same arguments."""

    def load() -> Engine:
        folder = resolve(model)
        loaded = load_model(folder, backend=backend, threads=threads, device=device)
        total = read_config(folder).get("parameters", {}).get("total")
        return Engine(loaded, loaded.name, total)

    def make(name: str, side: Side, stage: Stage, engine: WorldModel | None) -> Policy:
        return make_policy(name, side, stage, model=engine, budget=budget)

    return Roster(make, load=load, card=lambda: read_card(resolve(model)))
