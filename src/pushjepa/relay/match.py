"""One match and its referee. The environment, the match runner and the server all play through :class:`Match`."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics import Board, Physics, block_outline, check_block, check_state
from pushjepa.physics.constants import TURN_STEPS
from pushjepa.physics.geometry import Array
from pushjepa.relay.contract import Observation, Policy, Side, StateView, joint_block
from pushjepa.relay.rules import MATCH_TURNS, SIDES, MatchResult, check_side, judge, other, side_to_move
from pushjepa.relay.scene import Frame, Scene
from pushjepa.relay.stages import get_stage


@dataclass(frozen=True)
class PhysicsChange:
    """The laws that hold from ``turn`` (0 ... 9) on, until the next change."""

    turn: int
    physics: Physics

    def __post_init__(self) -> None:
        turn = _whole("the turn of a physics change", self.turn)
        if not 0 <= turn < MATCH_TURNS:
            raise ValueError(f"the turn of a physics change must lie in 0 ... {MATCH_TURNS - 1}, got {turn}")
        if not isinstance(self.physics, Physics):
            raise ValueError(f"a physics change needs a Physics record, got {type(self.physics).__name__}")

    def to_dict(self) -> dict[str, Any]:
        return {"turn": int(self.turn), "physics": self.physics.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PhysicsChange:
        """Read a change back.

        Raises:
            ValueError: a name that is missing or unknown, or a value out of range.
        """
        _check_names("physics change", values, {"turn", "physics"}, {"turn", "physics"})
        return cls(values["turn"], physics_from(values["physics"]))


@dataclass(frozen=True)
class MatchSetup:
    """All that decides a match before the first action. With the action blocks it replays the match exactly.

    Attributes:
        stage: name of the stage.
        seed: draws the start position.
        first: who acts in turn 0.
        physics: the laws at the start, under which the start position is drawn.
        changes: changes of the laws in mid-match, by increasing turn; one at turn 0 leaves the start where it is.
        start: a start position (7 numbers) to use instead of the one that the seed draws.

    Raises:
        ValueError: an unknown stage or side, a bad seed, changes out of order or a start that is off the board.
    """

    stage: str
    seed: int
    first: Side = "p1"
    physics: Physics = field(default_factory=Physics)
    changes: tuple[PhysicsChange, ...] = ()
    start: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        get_stage(self.stage)
        check_side(self.first)
        if _whole("seed", self.seed) < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if not isinstance(self.physics, Physics):
            raise ValueError(f"physics must be a Physics record, got {type(self.physics).__name__}")
        turns = [change.turn for change in self.changes]
        if turns != sorted(set(turns)):
            raise ValueError(f"physics changes must stand in order, one to a turn; got turns {turns}")
        if self.start is not None:
            check_state(np.asarray(self.start))

    def start_state(self) -> Array:
        """The start position (7,)."""
        if self.start is not None:
            return check_state(np.array(self.start))
        rng = np.random.default_rng(self.seed)
        shape, scale = self.physics.block_shape, self.physics.block_scale
        usual = shape == "tee" and scale <= 1.0
        return get_stage(self.stage).sample_start(rng, None if usual else block_outline(shape, scale))

    def physics_at(self, turn: int) -> Physics:
        """The laws that hold in ``turn``."""
        current = self.physics
        for change in self.changes:
            if change.turn <= turn:
                current = change.physics
        return current

    def with_change(self, turn: int, physics: Physics) -> MatchSetup:
        """The same match, but that ``physics`` holds from ``turn`` on; changes at that turn or later are dropped.

        Laws that hold in that turn anyway need no change of their own.

        Raises:
            ValueError: a turn outside 0 ... 9.
        """
        change = PhysicsChange(turn, physics)
        earlier = replace(self, changes=tuple(c for c in self.changes if c.turn < turn))
        if earlier.physics_at(turn) == physics:
            return earlier
        return replace(earlier, changes=(*earlier.changes, change))

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, strings, lists and dicts."""
        return {
            "stage": self.stage,
            "seed": int(self.seed),
            "first": self.first,
            "physics": self.physics.to_dict(),
            "changes": [change.to_dict() for change in self.changes],
            "start": None if self.start is None else [float(v) for v in self.start],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MatchSetup:
        """Read a setup back; an absent option takes its default.

        Raises:
            ValueError: a name that is missing or unknown, or a value out of range.
        """
        _check_names("match setup", values, {f.name for f in fields(cls)}, {"stage", "seed"})
        start = values.get("start")
        return cls(
            stage=values["stage"],
            seed=values["seed"],
            first=check_side(values.get("first", "p1")),
            physics=physics_from(values.get("physics", {})),
            changes=changes_from(values.get("changes", ())),
            start=None if start is None else tuple(check_state(start).tolist()),
        )


class Match:
    """A match in progress: the one referee of the game.

    Args:
        setup: stage, seed, who starts and under which laws.

    Attributes:
        setup: as given, with the changes of the laws since.
        stage: the stage's record.
        state: the position now, (7,) float64.
        states: positions at turn boundaries, oldest first; one more than ``blocks``.
        blocks: the action blocks (5, 2) played between them.
        actors: who played each: 0 for p1, 1 for p2.
        turn: turns played so far.
    """

    def __init__(self, setup: MatchSetup) -> None:
        self.setup = setup
        self.stage = get_stage(setup.stage)
        self.turn = 0
        self._start = setup.start_state()
        self.states: list[Array] = [self._start.copy()]
        self.blocks: list[Array] = []
        self.actors: list[int] = []
        self._boards: dict[Physics, Board] = {}
        self._frames: dict[int, list[Frame]] = {}

    @classmethod
    def restore(cls, setup: MatchSetup, blocks: Iterable[Array]) -> Match:
        """Replay ``blocks`` from the start of ``setup``; equal to the original match bit for bit.

        Raises:
            ValueError: a malformed block, or more blocks than a match has turns.
        """
        match = cls(setup)
        for block in blocks:
            match.play(block)
        return match

    @property
    def state(self) -> Array:
        return self.states[-1].copy()

    @property
    def over(self) -> bool:
        """Whether every turn has been played."""
        return self.turn >= MATCH_TURNS

    @property
    def to_move(self) -> Side:
        """Who acts next; meaningless once the match is over."""
        return side_to_move(self.turn, self.setup.first)

    @property
    def physics(self) -> Physics:
        """The laws of the coming turn."""
        return self.setup.physics_at(self.turn)

    @property
    def board(self) -> Board:
        """The board of the coming turn."""
        physics = self.physics
        if physics not in self._boards:
            self._boards[physics] = Board(self.stage.obstacles, physics)
        return self._boards[physics]

    def change_physics(self, turn: int, physics: Physics) -> None:
        """Let ``physics`` hold from ``turn`` on; whatever was to change at that turn or later is dropped.

        The position stays as it is: a block that grows over an agent or a wall is parted from it in the turn itself.

        Raises:
            ValueError: the turn has been played, or the match has no such turn; the match is as it was before.
        """
        if _whole("the turn of a physics change", turn) < self.turn:
            raise ValueError(f"turn {turn} has been played; its laws cannot be changed any more")
        self.setup = self.setup.with_change(turn, physics)
        if turn == self.turn:
            # The position now may have been drawn already, with the block as it would have been.
            for drawn in self._frames.values():
                del drawn[len(self.blocks) :]

    def play(self, block: Array) -> Array:
        """Let the side to move act for one turn.

        Args:
            block: (5, 2) actions in [-1, 1].

        Returns:
            (5, 7) the states after each env step; the last is the new position.

        Raises:
            ValueError: the match is over, or the block is malformed; the match is as it was before.
        """
        if self.over:
            raise ValueError(f"the match is over after {MATCH_TURNS} turns; start a new one")
        block = check_block(block).copy()
        side = self.to_move
        steps = self.board.run_turn(self.states[-1], side, block)
        self.states.append(steps[-1].copy())
        self.blocks.append(block)
        self.actors.append(SIDES.index(side))
        self.turn += 1
        return steps

    def set_state(self, state: Array, turn: int | None = None) -> None:
        """Put the board into ``state`` (7,), at ``turn`` if given. The past before it is forgotten.

        The match goes on from there exactly as one that came there by play; progress still counts from its start.

        Raises:
            ValueError: a malformed state, or a turn outside 0 ... 10; the match is as it was before.
        """
        state = check_state(state).copy()
        turn = self.turn if turn is None else _whole("turn", turn)
        if not 0 <= turn <= MATCH_TURNS:
            raise ValueError(f"turn must lie in 0 ... {MATCH_TURNS}, got {turn}")
        self.states, self.blocks, self.actors, self.turn = [state], [], [], turn
        self._frames.clear()

    def observation(self, policy: Policy) -> Observation:
        """What ``policy`` is given to act on: frames or the state, as its ``sees`` says, and never both.

        Raises:
            ValueError: the match is over, or ``policy`` does not say what it sees or how large its frames are.
        """
        if self.over:
            raise ValueError("the match is over; there is nothing left to act on")
        if policy.sees not in ("frames", "state"):
            raise ValueError(f"a policy's `sees` must be 'frames' or 'state', got {policy.sees!r}")
        side = self.to_move
        goals = self.stage.goals
        return Observation(
            side=side,
            turn=self.turn,
            turns_left=MATCH_TURNS - self.turn,
            goals=(goals[side], goals[other(side)]),
            frames=self.frames(_frame_size(policy)) if policy.sees == "frames" else None,
            blocks=self.joint_blocks(),
            actors=np.array(self.actors, dtype=np.int64),
            state=StateView.from_array(self.states[-1]) if policy.sees == "state" else None,
        )

    def frames(self, size: int) -> Frame:
        """The frames (T, size, size, 3) of the match so far, one per turn boundary, newest last."""
        return np.stack(self._drawn(size))

    def frame(self, size: int) -> Frame:
        """The frame (size, size, 3) of the position now."""
        return self._drawn(size)[-1].copy()

    def _drawn(self, size: int) -> list[Frame]:
        drawn = self._frames.setdefault(size, [])
        first_turn = self.turn - len(self.blocks)
        for index in range(len(drawn), len(self.states)):
            # A boundary is drawn under the laws of the turn that follows it: that is the board then played on.
            physics = self.setup.physics_at(min(first_turn + index, MATCH_TURNS - 1))
            scene = Scene(self.stage, size, physics.block_shape, physics.block_scale)
            drawn.append(scene.draw(self.states[index]))
        return drawn

    def joint_blocks(self) -> NDArray[np.float32]:
        """The joint action blocks (T-1, 5, 2 agents, 2) float32 of the match so far."""
        out = np.zeros((len(self.blocks), TURN_STEPS, len(SIDES), 2), dtype=np.float32)
        for index, (block, actor) in enumerate(zip(self.blocks, self.actors, strict=True)):
            out[index] = joint_block(block, actor)
        return out

    def result(self) -> MatchResult:
        """How the position now would be judged; the match's result once it is over."""
        return judge(self._start, self.states[-1], self.stage)


def physics_from(values: Physics | dict[str, Any]) -> Physics:
    """A Physics record from itself or from its dict.

    Raises:
        ValueError: neither, or a bad value.
    """
    if isinstance(values, Physics):
        return values
    if not isinstance(values, dict):
        raise ValueError(f"physics must be a dict of options, got {type(values).__name__}")
    return Physics.from_dict(values)


def changes_from(values: Sequence[PhysicsChange | dict[str, Any]]) -> tuple[PhysicsChange, ...]:
    """Physics changes from records or from their dicts.

    Raises:
        ValueError: not a list of changes, or a bad value.
    """
    if not isinstance(values, list | tuple):
        raise ValueError(f"changes must be a list of physics changes, got {type(values).__name__}")
    return tuple(v if isinstance(v, PhysicsChange) else PhysicsChange.from_dict(v) for v in values)


def _frame_size(policy: Policy) -> int:
    size = getattr(policy, "frame_size", None)
    if not isinstance(size, int):
        raise ValueError("a policy that sees frames must have a whole number `frame_size`")
    return size


def _whole(name: str, value: int) -> int:
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise ValueError(f"{name} must be a whole number, got {value!r}")


def _check_names(what: str, values: dict[str, Any], known: set[str], needed: set[str]) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"a {what} must be a dict, got {type(values).__name__}")
    unknown, missing = sorted(set(values) - known), sorted(needed - set(values))
    if unknown:
        raise ValueError(f"unknown {what} option {unknown[0]!r}; known: {', '.join(sorted(known))}")
    if missing:
        raise ValueError(f"a {what} needs {missing[0]!r}")
