"""Who can sit across the board. The world model is loaded in the background, so that the page is there at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from pushjepa.adaptation.seats import make_adaptive
from pushjepa.adaptation.surprise import Usual
from pushjepa.physics import LAWS
from pushjepa.planning import Advice, Budget, make_policy, needs_advice
from pushjepa.relay import Policy, Side, Stage
from pushjepa.runtime import WorldModel, load_model
from pushjepa.runtime.checkpoint import read_config, resolve
from pushjepa.runtime.contract import LawfulModel
from pushjepa.server.card import ModelCard, read_card
from pushjepa.server.messages import ModelView, OpponentView, ProtocolError

log = logging.getLogger("pushjepa.server")


@dataclass(frozen=True)
class Offer:
    """An opponent as the page offers it; ``needs_model`` says that it plays with the world model."""

    name: str
    title: str
    summary: str
    needs_model: bool = False


@dataclass(frozen=True)
class Engine:
    """A loaded world model, and what is known of it.

    Attributes:
        model: it.
        name: what to call it.
        parameters: how many it has.
        usual: what errors are usual for it; None for a model that cannot adapt to other laws of physics.
        fixed: why it cannot, if so, as the end of a sentence that begins with the model.
        advice: for players that go by some; None if there is none.
    """

    model: WorldModel
    name: str
    parameters: int | None = None
    usual: Usual | None = None
    fixed: str = "knows the standard laws of physics only"
    advice: Advice | None = None


Make = Callable[[str, Side, Stage, Engine | None], Policy]


OFFERS = (
    Offer("jepa", "JEPA", "Sees pixels only and plans inside its world model.", needs_model=True),
    Offer("jepa-margin", "Sharp JEPA", "Plays for the lead, and keeps behind the block.", needs_model=True),
    Offer("jepa-reply", "Deep JEPA", "Reckons with your answer before it moves.", needs_model=True),
    Offer("oracle", "Oracle", "JEPA's search on the true simulator: its ceiling."),
    Offer("shove", "Shover", "Goes round behind the block, then drives it home."),
    Offer("chase_t", "Chaser", "Walks to the block and steers it its own way."),
    Offer("adversarial", "Blocker", "Gets in your way and drives the block back."),
    Offer("random", "Random", "Moves without looking."),
    Offer("passive", "Statue", "Never moves. Good for practice."),
)


class Roster:
    """The opponents on offer, and how each takes a seat.

    Args:
        make: builds a policy from (name, side, stage, the loaded world model or None).
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
    def threshold(self) -> float:
        """At which drift the loaded world model raises an alarm; 0 for one that cannot adapt."""
        return self.engine.usual.threshold if self.engine is not None and self.engine.usual is not None else 0.0

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
        return [
            OpponentView(
                name=o.name,
                title=o.title,
                summary=o.summary,
                available=self._why_not(o) is None,
                fixed=self.fixed(o.name),
            )
            for o in self.offers
        ]

    def fixed(self, name: str) -> str | None:
        """Why the policy ``name`` does not adapt to other laws of physics, in a sentence; None for one that does."""
        offer = next((offer for offer in self.offers if offer.name == name), None)
        if offer is None or not offer.needs_model:
            return f"{name if offer is None else offer.title} has no world model that could adapt."
        engine = self.engine
        if engine is None:
            why = "is still loading" if self.state == "loading" else "could not be loaded"
        elif engine.usual is None:
            why = engine.fixed
        else:
            return None
        return f"The world model of {offer.title} {why}."

    def _why_not(self, offer: Offer) -> str | None:
        """Why an offer cannot play, as far as is known; None if it can."""
        if not offer.needs_model:
            return None
        if self.state == "failed":
            return str(self._engine.exception())
        engine = self.engine
        if engine is not None and needs_advice(offer.name) and (engine.advice is None or engine.advice.prior is None):
            return "the world model has no advice with a policy prior"
        return None

    def choose(self, name: str | None) -> Offer:
        """The offer called ``name``, or the first that can play.

        Raises:
            ProtocolError: there is none of that name, or it cannot play.
        """
        if name is None:
            name = next((o.name for o in self.offers if self._why_not(o) is None), self.offers[0].name)
        for offer in self.offers:
            if offer.name == name:
                why = self._why_not(offer)
                if why is not None:
                    raise ProtocolError("unavailable", f"{name} cannot play: {why}")
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
        self.choose(name)  # now it is known whether its model has what it needs
        return self._make(name, side, stage, engine)


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
        usual, fixed = usual_of(loaded, folder)
        return Engine(loaded, loaded.name, total, usual, fixed, advice_of(folder))

    def make(name: str, side: Side, stage: Stage, engine: Engine | None) -> Policy:
        return seat(name, side, stage, engine, budget)

    return Roster(make, load=load, card=lambda: read_card(resolve(model)))


def seat(name: str, side: Side, stage: Stage, engine: Engine | None, budget: Budget | None = None) -> Policy:
    """A built-in policy; one that plans with a model that can adapt gets a mind of its own."""
    if engine is None:
        return make_policy(name, side, stage, budget=budget)
    if engine.usual is None:
        return make_policy(name, side, stage, model=engine.model, budget=budget, advice=engine.advice)
    model = cast(LawfulModel, engine.model)
    return make_adaptive(name, side, model, engine.usual, budget=budget, advice=engine.advice)


def usual_of(model: WorldModel, folder: Path) -> tuple[Usual | None, str]:
    """What errors are usual for the model of ``folder``, if it can adapt; else None and why it cannot."""
    if model.spec.laws != LAWS:
        return None, Engine.fixed if not model.spec.laws else "is told of other laws of physics than this game has"
    try:
        return Usual.of_model(folder), ""
    except ValueError as error:
        log.warning("the world model cannot adapt: %s", error)
        return None, "cannot tell what would surprise it: it was not calibrated"


def advice_of(folder: Path) -> Advice | None:
    """The advice for the model of ``folder``; None where none can be read, which stops those alone who need it."""
    try:
        return Advice.of_model(folder)
    except ValueError as error:
        log.warning("players that go by advice cannot play: %s", error)
        return None
