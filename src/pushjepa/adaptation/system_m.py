"""System M: a small controller beside a world model that notices surprise, infers, learns and restores.

    anticipate ──▶ behave ──▶ modulate
        ▲                        │
        └────────────────────────┘

*Anticipate*: what will be seen at the next boundary is predicted and put down. *Behave*: the policy plans with what is
believed now. *Modulate*: the prediction is scored against what is then seen, and only after that may anything be
learned from it. :func:`live` is this loop; MechJEPA calls it A-B-M (after LeCun, 2022).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pushjepa.adaptation.inference import LawSpace, cost_of, infer_laws, rollout_cost_of
from pushjepa.adaptation.records import Record, Surprise, Transition
from pushjepa.adaptation.relooking import BlockWatch, Relooking, given_of, seen_by
from pushjepa.adaptation.surprise import DriftTest, Usual
from pushjepa.physics.geometry import Array
from pushjepa.runtime.contract import Context, FloatArray, LawfulModel

_SURE = 8.0  # nats: what one or two transitions must tell for what is remembered to be given up so soon
_TRUST = 4.0  # nats: an adaptation that has long foreseen well is given up as soon as one that has just proved itself

State = Literal["standard", "adapted"]
Act = Literal["", "infer", "look", "learn", "rollback", "restore"]
ADAPTS: tuple[Act, ...] = ("infer", "look", "learn")  #: acts after which something else is believed


class Moment(NamedTuple):
    """A boundary: the past up to it, and what was done next.

    ``context`` ends with the boundary's latents; ``block`` (frameskip, agents, 2) and ``actor`` lead to the next one.
    ``frames`` (history, H, W, 3) are those of ``context``; without them nothing is looked at a second time.
    """

    context: Context
    block: FloatArray
    actor: int
    frames: NDArray[np.uint8] | None = None


class Seen(NamedTuple):
    """What is seen at a boundary: its latents (K, D), and the frame (H, W, 3) if it may be looked at again."""

    latents: FloatArray
    frame: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Options:
    """How System M goes about it.

    Attributes:
        window: recent transitions that laws are inferred from.
        steps: of an inference; 0 leaves the model as it is, bit for bit.
        seconds: no step of an adaptation is begun later than this after its beginning. A turn of the game lives through
            two boundaries and may adapt at both.
        gain: nats that other laws must explain the window better by.
        doubt: nats by which what was believed before must foresee later transitions better to be believed again.
        refine: boundaries after an alarm at which laws are inferred again.
        infer: False to leave the laws alone and learn weights at once.
        adapt: False to notice only.
    """

    window: int = 8
    steps: int = 8
    seconds: float = 0.8
    gain: float = 2.0
    doubt: float = 1.0
    refine: int = 8
    infer: bool = True
    adapt: bool = True

    def __post_init__(self) -> None:
        if self.window < 1 or self.steps < 0 or self.seconds <= 0.0:
            raise ValueError("window must be at least 1, steps not negative and seconds positive")


@dataclass(frozen=True)
class Event:
    """What happened at a boundary.

    Attributes:
        turn: which boundary, counted from the start.
        predicted: (S,) the state that was predicted for it.
        surprise: how far off the prediction was, scored before anything was learned from it.
        unadapted: (S,) the state that the given model predicts under the standard laws: the same transition, for
            whoever asks what adapting was good for.
        unadapted_px: how far off that is, as ``surprise.px``.
        level: the same in standard deviations above the usual.
        drift: the cumulative sum after it; an alarm at the threshold.
        alarm: whether there was one.
        act: what was done.
        conditions: (C,) numbers of the laws that are believed from now on.
        steps: of gradient, if weights were learned.
        seconds: the adaptation took.
        opening: what was done before it, at the sight of the first frame; told with the first boundary.
    """

    turn: int
    predicted: Array
    surprise: Surprise
    unadapted: Array
    unadapted_px: float
    level: float
    drift: float
    alarm: bool
    act: Act
    conditions: Array
    steps: int = 0
    seconds: float = 0.0
    opening: Act = ""


class Learner(Protocol):
    """Learns weights from transitions: :class:`pushjepa.adaptation.learning.WeightLearner`."""

    def learn(
        self, model: Any, transitions: list[Transition], conditions: Array, seconds: float
    ) -> tuple[LawfulModel, int] | None:
        """A model with other weights and the gradient steps that it took; None if no step helped."""
        ...


class SystemM:
    """One mind in one match or environment; nothing is shared with another.

    Args:
        model: whose predictions are scored. Its own weights never change.
        usual: what errors are usual for it.
        space: where its laws may lie.
        options: how to go about it.
        learner: learns weights where inferring laws does not explain what is seen; None to infer only.
        remembered: (C,) laws to begin with, from an earlier episode or match.

    Attributes:
        model: that is believed now: the given one, or one that was learned.
        conditions: (C,) numbers of the laws that are believed.
        events: one for each boundary so far.
    """

    def __init__(
        self,
        model: LawfulModel,
        usual: Usual,
        space: LawSpace,
        options: Options | None = None,
        learner: Learner | None = None,
        remembered: Array | None = None,
    ) -> None:
        if not model.spec.laws:
            raise ValueError("this model knows no other laws of physics; System M needs one with laws")
        self.usual, self.space, self.options, self.learner = usual, space, options or Options(), learner
        self._first, self._remembered = model, remembered
        self.conditions: Array = np.zeros(model.spec.laws)
        self.reset()

    def reset(self) -> None:
        """Begin a new match or episode: with what is remembered if it adapts, else with the standard laws."""
        self.model = self._first
        self.events: list[Event] = []
        self._forget()
        if self.options.adapt and self._remembered is not None and self._remembered.any():
            self._watch = BlockWatch(self._first, self.space, self._remembered)
            self._look_as_shown()
            self.conditions = self._with_shown(self._remembered.astype(np.float64))
            self._left = self.options.refine

    def restore(self) -> None:
        """Go back to the model as it was given, under the standard laws; what was noticed stays."""
        self.model = self._first
        self._forget()

    def set_adapting(self, adapt: bool) -> None:
        """Adapt from now on, or notice only: then what was adapted is given up too."""
        if self.options.adapt and not adapt:
            self.restore()
        self.options = replace(self.options, adapt=adapt)

    def _forget(self) -> None:
        self.conditions = np.zeros(self._first.spec.laws)
        self._watch = BlockWatch(self._first, self.space)  # what frames show of the laws; the rest is inferred
        self._sees = False  # whether frames were shown: what they show is known then
        self._plain = self._first  # what is gone back to: the given model, with the look that the block needs
        self._opening: Act = ""  # what was done at the sight of the first frame; told with the first boundary
        self._forget_errors()

    def _forget_errors(self) -> None:
        """Begin to notice anew, and forget what was adapted before: nothing is rolled back to it any more."""
        self.drift = DriftTest(self.usual)
        self._window: list[Transition] = []
        self._left = 0  # boundaries at which laws are still inferred again
        self._before: tuple[LawfulModel, Array] | None = None  # what was believed before the last adaptation
        self._evidence = 0.0  # nats by which the last adaptation foresaw better since
        self._proven = False  # whether it ever did by enough: then what ends it is that the old laws hold again
        self._expected: tuple[Moment, FloatArray] | None = None

    @property
    def window(self) -> list[Transition]:
        """The transitions that would be learned from now, oldest first."""
        return list(self._window)

    @property
    def state(self) -> State:
        """Whether something other than the standard laws is believed."""
        return "adapted" if self.conditions.any() or self.model is not self._first else "standard"

    @property
    def looks_again(self) -> bool:
        """Whether frames are to be encoded by the second look now, and what was encoded before to be encoded anew."""
        return isinstance(self.model, Relooking)

    def begin(self, frame: NDArray[np.uint8]) -> None:
        """Look at the first frame (H, W, 3) of a match or episode, before anything is planned or anticipated."""
        if self.options.adapt and self._glance(frame):
            self._opening = "look"

    def anticipate(self, moment: Moment) -> None:
        """Predict the boundary after ``moment`` and put the prediction down.

        Raises:
            ValueError: no frames, for a mind that looks a second time.
        """
        if self.looks_again and moment.frames is None:
            raise ValueError("a mind that looks a second time has to be shown the frames of its moments")
        candidates, actors = moment.block[None, None], np.array([moment.actor], dtype=np.int64)
        predicted = self.model.rollout(moment.context, candidates, actors, self.told)[0, 0]
        self._expected = moment, predicted

    @property
    def told(self) -> FloatArray | None:
        """What a rollout is told; None under the standard laws."""
        return self.conditions.astype(np.float32) if self.conditions.any() else None

    def modulate(self, seen: Seen) -> Event:
        """Score the prediction against what was seen, then adapt if need be.

        Raises:
            ValueError: nothing was anticipated, or no frame, for a mind that looks a second time.
        """
        if self._expected is None:
            raise ValueError("modulate before anticipate: there is no prediction to score")
        if self.looks_again and seen.frame is None:
            raise ValueError("a mind that looks a second time has to be shown the frame that it sees")
        (moment, predicted), self._expected = self._expected, None
        states = self.model.decode(np.stack([moment.context.latents[-1], predicted, seen.latents]))
        record = Record(len(self.events) + 1, predicted, seen.latents, *states)
        surprise = record.surprise()
        level = self.usual.level(surprise)
        alarm = self.drift.update(level)
        earlier = moment.context.blocks[-1] if len(moment.context.blocks) else np.zeros_like(moment.block)
        frames = None
        if moment.frames is not None and seen.frame is not None:
            frames = np.concatenate([moment.frames, seen.frame[None]])
        newest = Transition(
            moment.context.latents[-1],
            earlier,
            moment.block,
            moment.actor,
            states[2],
            moment.context,
            seen.latents,
            frames,
        )
        unadapted = self._unadapted(newest, record)
        begun, drift, rising = time.perf_counter(), self.drift.value, self.drift.rising
        act, steps = self._respond(newest, alarm, rising) if self.options.adapt else ("", 0)
        opening, self._opening = self._opening, ""
        if alarm and not self.options.adapt:
            self.drift.reset()
        event = Event(
            record.turn,
            record.predicted_state,
            surprise,
            unadapted.predicted_state,
            unadapted.surprise().px,
            level,
            drift,
            alarm,
            act,
            self.conditions.copy(),
            steps,
            time.perf_counter() - begun if act else 0.0,
            opening,
        )
        self.events.append(event)
        return event

    def _unadapted(self, newest: Transition, record: Record) -> Record:
        """The record as it would be of the given model; asked before anything is learned."""
        if self.state == "standard":
            return record
        own = seen_by(self._first, newest) if self.looks_again else newest
        assert own.context is not None
        assert own.after is not None
        candidates, actors = own.block[None, None], np.array([own.actor], dtype=np.int64)
        latents = self._first.rollout(own.context, candidates, actors)[0, 0]
        before, predicted = self._first.decode(np.stack([own.latents, latents]))
        return Record(record.turn, latents, own.after, before, predicted, own.seen)

    def _respond(self, newest: Transition, alarm: bool, rising: int) -> tuple[Act, int]:
        """What follows from a transition that has just been scored, and from the frame at its end."""
        if newest.frames is not None and self._glance(newest.frames[-1], max(1, rising) if alarm else 0):
            return "look", 0
        return self._adapt(newest, alarm, rising)

    def _glance(self, frame: NDArray[np.uint8], last: int = 0) -> bool:
        """Take note of what a frame, or the ``last`` ones, show of the block; whether that is another than believed in.

        What can be seen need not be inferred from errors: no surprise is waited for. What was learned or seen under
        the block before is forgotten; laws that no frame shows are still believed until errors say otherwise.
        """
        if not (self._first.spec.visible and self.options.infer and self.options.steps):
            return False
        other, self._sees = self._watch.see(frame, last), True
        if other:
            self._look_as_shown()
            self._forget_errors()
        self.conditions = self._with_shown(self.conditions)
        return other

    def _look_as_shown(self) -> None:
        self.model = self._plain = Relooking(self._first) if self._watch.shown.any() else self._first

    def _with_shown(self, conditions: Array) -> Array:
        """Laws (C,) with what frames show of them, if any were shown."""
        visible, with_shown = list(self._first.spec.visible) if self._sees else [], conditions.copy()
        with_shown[visible] = self._watch.shown[visible]
        return with_shown

    def _adapt(self, newest: Transition, alarm: bool, rising: int) -> tuple[Act, int]:
        """What follows from a transition that has just been scored."""
        # It was held back until now: it can tell whether the last adaptation helped.
        if self._before is not None:
            old_model, old = self._before[0], self._with_shown(self._before[1])
            self._evidence = min(_TRUST, self._evidence + self._gain(old_model, old, [newest]))
            self._proven = self._proven or self._evidence >= min(_TRUST, self.options.doubt)
            if self._evidence < -self.options.doubt:
                if self._proven and old_model is self._plain and np.array_equal(old, self._watch.shown):
                    self._go_back()
                    return "restore", 0
                self._window = [*self._window, newest][-self.options.window :]
                self.model, self.conditions, self._before = old_model, old, None
                self.drift.reset()
                self._left = 0  # or the same laws would be inferred from the same window at once
                return "rollback", 0
        self._window = [*self._window, newest][-self.options.window :]
        if self._is_standard_again():
            self._go_back()
            return "restore", 0
        if alarm:
            self._window = self._window[-max(1, rising) :]
            self._left = self.options.refine
            self.drift.reset()
        if self._left < 1:
            return "", 0
        self._left -= 1
        return self._infer(alarm)

    def _go_back(self) -> None:
        """Believe in the given model and the standard laws again, but for what frames show."""
        self.model, self.conditions = self._plain, self._watch.shown.copy()
        self._forget_errors()

    def _is_standard_again(self) -> bool:
        """Whether the standard laws, but for what frames show, foresee the last three transitions better.

        Fewer, after the beginning of a match or a look at another block, must tell it all the more plainly.
        """
        if self.model is self._plain and np.array_equal(self.conditions, self._watch.shown):
            return False
        last = self._window[-3:]
        plainly = self.options.doubt if len(last) >= min(3, self.options.window) else max(_SURE, self.options.doubt)
        return self._gain(self._plain, self._watch.shown, last) < -plainly

    def _gain(self, other: LawfulModel, laws: Array, transitions: list[Transition]) -> float:
        """Nats by which what is believed foresees transitions better than another model under laws (C,)."""
        # A quick look does not tell one predictor from another.
        judge = cost_of if given_of(other) is given_of(self.model) else rollout_cost_of
        return judge(other, transitions, laws) - judge(self.model, transitions, self.conditions)

    def _infer(self, alarm: bool) -> tuple[Act, int]:
        o = self.options
        until = time.perf_counter() + o.seconds
        steps = o.steps if o.infer else 0
        found = infer_laws(self.model, self._window, self.conditions, self._unseen(), steps, o.seconds)
        if found.cost_before - found.cost > o.gain:
            self._believe(self.model, found.conditions, alarm)
            return "infer", 0
        if self.learner is not None and alarm and not self.looks_again:
            left = until - time.perf_counter()
            learned = self.learner.learn(self.model, self._window, self.conditions, left)
            if learned is not None:
                self._believe(learned[0], self.conditions, alarm)
                return "learn", learned[1]
        return "", 0

    def _unseen(self) -> LawSpace:
        """Where laws are looked for: what frames show of them is known."""
        return self.space.knowing(list(self._first.spec.visible), self._watch.shown) if self._sees else self.space

    def _believe(self, model: LawfulModel, conditions: Array, alarm: bool) -> None:
        """Believe in something else; what was believed at the alarm is kept through all that refines it."""
        if alarm or self._before is None:
            self._before, self._evidence, self._proven = (self.model, self.conditions), 0.0, False
        self.model, self.conditions = model, conditions


class Told:
    """The world model as a mind believes in it, for a planner: its rollouts are told of the laws that are believed."""

    def __init__(self, mind: SystemM) -> None:
        self.mind = mind

    @property
    def spec(self) -> Any:
        return self.mind.model.spec

    def encode(self, frames: NDArray[np.uint8]) -> FloatArray:
        return self.mind.model.encode(frames)

    def rollout(
        self,
        context: Context,
        candidates: FloatArray,
        actors: NDArray[np.int64],
        conditions: FloatArray | None = None,
    ) -> FloatArray:
        """As the model, under the laws that are believed unless others are named."""
        told = self.mind.told if conditions is None else conditions
        return self.mind.model.rollout(context, candidates, actors, told)

    def decode(self, latents: FloatArray) -> Array:
        return self.mind.model.decode(latents)

    def propose(
        self, context: Context, goal: FloatArray, count: int, horizon: int, rng: np.random.Generator
    ) -> FloatArray:
        """What the model's action prior proposes, if it has one."""
        plans: FloatArray = cast(Any, self.mind.model).propose(context, goal, count, horizon, rng, self.mind.told)
        return plans


def live(mind: SystemM, moments: Iterable[Moment], see: Callable[[Moment], Seen]) -> list[Event]:
    """The A-B-M loop over moments that follow each other.

    Args:
        mind: who lives through them.
        moments: each with what the policy did in it: behaving is up to whoever makes them. One is asked for only once
            those before it are lived through, for a mind may come to look at frames in another way.
        see: what is seen after a moment. It is asked only once the prediction is put down.
    """
    events = []
    for moment in moments:
        mind.anticipate(moment)
        events.append(mind.modulate(see(moment)))
    return events
