"""The minds of a match: the policies in its seats that adapt, and what clients are told of them."""

from __future__ import annotations

from pushjepa.adaptation.relay import AdaptivePlanner
from pushjepa.adaptation.system_m import Event, SystemM
from pushjepa.physics import Physics, guess_laws
from pushjepa.physics import constants as c
from pushjepa.physics.geometry import Array
from pushjepa.relay import Policy, Side
from pushjepa.server.messages import Belief, Mind, MindEvent, Mode

NOTICEABLE = 0.08  #: a law is told of that is believed to differ by more than this share of the standard one


class Minds:
    """The minds in the seats of one match, all in the same mode. Nothing may be asked of one that thinks.

    Args:
        mode: of minds that sit down.
    """

    def __init__(self, mode: Mode) -> None:
        self.mode: Mode = mode
        self._minds: dict[Side, SystemM] = {}

    def sit(self, side: Side, policy: Policy) -> None:
        """``policy`` takes the seat at ``side``; one that does not adapt is none of ours."""
        if isinstance(policy, AdaptivePlanner):
            policy.mind.set_adapting(self.mode == "adaptive")
            self._minds[side] = policy.mind

    def leave(self, side: Side) -> bool:
        """The mind at ``side`` goes; whether there was one."""
        return self._minds.pop(side, None) is not None

    def at(self, side: Side) -> SystemM | None:
        """The mind at ``side``; None until its policy is asked for the first time."""
        return self._minds.get(side)

    def set_mode(self, mode: Mode) -> None:
        """Adapt from now on, or notice only and give up what was adapted."""
        self.mode = mode
        for mind in self._minds.values():
            mind.set_adapting(mode == "adaptive")

    def restore(self) -> None:
        """Forget what was adapted."""
        for mind in self._minds.values():
            mind.restore()


def mind_view(match_id: str, side: Side, mode: Mode, threshold: float, mind: SystemM | None) -> Mind:
    """What clients are told of a mind; one that has not sat down yet has noticed nothing.

    Args:
        match_id: of its match.
        side: its seat.
        mode: how it goes about it.
        threshold: of its drift.
        mind: it.
    """
    return Mind(
        match_id=match_id,
        side=side,
        mode=mode,
        state="standard" if mind is None else mind.state,
        threshold=threshold,
        beliefs=[] if mind is None else beliefs(mind.conditions),
        events=[] if mind is None else [_event(event) for event in mind.events],
    )


def beliefs(conditions: Array) -> list[Belief]:
    """The laws that numbers (C,) tell of, as far as they differ noticeably from the standard ones."""
    standard, believed = Physics().to_dict(), guess_laws(conditions).to_dict()
    return [
        Belief(name=name, value=believed[name], standard=usual)
        for name, usual in standard.items()
        if _differs(name, believed[name], usual)
    ]


def _differs(name: str, value: float | str, usual: float | str) -> bool:
    if isinstance(value, str) or isinstance(usual, str):
        return value != usual
    if name == "damping":  # what is left of a speed after a second is next to nothing: what a step leaves tells more
        value, usual = float(value**c.STEP_SECONDS), float(usual**c.STEP_SECONDS)
    return abs(value - usual) > NOTICEABLE * usual


def _event(event: Event) -> MindEvent:
    return MindEvent(
        turn=event.turn,
        px=event.surprise.px,
        level=event.level,
        drift=event.drift,
        alarm=event.alarm,
        act=event.act or event.opening,
        steps=event.steps,
        ms=1000.0 * event.seconds,
        beliefs=beliefs(event.conditions),
    )
