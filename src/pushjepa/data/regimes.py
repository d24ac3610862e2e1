"""Five ways of behaving on the board, and one simulated episode of each.

An episode is a string of turns: the agents take turns as in a match, each acting for a whole turn, and every turn
starts from the numbers that are stored, so that any stored turn can be run again exactly. For an ablation the agents
can alternate at every env step instead; then a turn is a block of steps in which both act.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pushjepa.data.scenes import block_gap, random_scenes
from pushjepa.physics import Board, Physics, block_parts, place
from pushjepa.physics.constants import AGENT_RADIUS, AGENTS, BOARD_SIZE, STEP_SECONDS, TURN_STEPS, WALL_INSET
from pushjepa.physics.geometry import Array
from pushjepa.relay.stages import Stage

#: The share of each regime among the episodes of a data set.
REGIMES: dict[str, float] = {
    "contact_push": 0.40,
    "approach_no_push": 0.25,
    "null_thrust": 0.15,
    "near_t": 0.10,
    "far_from_t": 0.10,
}
ACTINGS = ("turn", "step")  #: who acts in a block of 5 env steps: one agent in all of them, or both by turns
_MATCH_STARTS = 0.25  # share of the pushing and approaching episodes that start as a match does
_INNER = WALL_INSET + AGENT_RADIUS  # an agent's centre comes this near to the board's edge


@dataclass(frozen=True)
class Episode:
    """One episode of T turns.

    Attributes:
        states: (5 T + 1, 7) float32, the start and the state after each env step.
        blocks: (T, 5, 2, 2) float32 joint action blocks (step, agent, dx dy), zeros for the agent that waits.
        actors: (T,) int8, who acts in each turn: 0 for p1, 1 for p2. Where agents alternate at every step: who begins.
        stage: name of the stage.
        regime: name of the regime.
        physics: the laws it was made under.
        acting: one of ``ACTINGS``.
    """

    states: NDArray[np.float32]
    blocks: NDArray[np.float32]
    actors: NDArray[np.int8]
    stage: str
    regime: str
    physics: Physics
    acting: str = "turn"

    @property
    def boundaries(self) -> NDArray[np.float32]:
        """(T + 1, 7): the states between turns."""
        return self.states[::TURN_STEPS]


@dataclass(frozen=True)
class _Turn:
    """What a behaviour knows: who acts (0 or 1), where everything is, and how far an action of 1.0 goes in a turn."""

    rng: np.random.Generator
    state: Array
    actor: int
    reach: float
    parts: tuple[Array, ...]

    @property
    def me(self) -> Array:
        return self.state[2 * self.actor : 2 * self.actor + 2]

    @property
    def other(self) -> Array:
        return self.state[2 - 2 * self.actor : 4 - 2 * self.actor]

    @property
    def block(self) -> Array:
        return self.state[4:6]


_Behaviour = Callable[[_Turn], Array]


def simulate_episode(
    rng: np.random.Generator,
    stage: Stage,
    regime: str,
    steps: int = 40,
    physics: Physics | None = None,
    board: Board | None = None,
    acting: str = "turn",
) -> Episode:
    """Play one episode. Everything random is drawn from ``rng``.

    Args:
        rng: where the randomness comes from.
        stage: where.
        regime: one of ``REGIMES``.
        steps: env steps, a multiple of 5.
        physics: the laws; the standard ones if None.
        board: the stage's board under these laws, if the caller keeps one (building it costs as much as a turn).
        acting: one of ``ACTINGS``.

    Raises:
        ValueError: an unknown regime or way of acting, or steps that are not whole turns.
    """
    if regime not in REGIMES:
        raise ValueError(f"unknown regime {regime!r}; choose one of {', '.join(REGIMES)}")
    check_acting(acting)
    turns, rest = divmod(steps, TURN_STEPS)
    if turns < 1 or rest:
        raise ValueError(f"an episode has a positive multiple of {TURN_STEPS} env steps, got {steps}")
    physics = physics or Physics()
    board = board or Board(stage.obstacles, physics)
    parts = block_parts(physics.block_shape, physics.block_scale)
    reach = physics.agent_speed * STEP_SECONDS * TURN_STEPS
    behave = _behaviours(rng, regime)
    start = _start(rng, stage, regime, physics)
    first = int(rng.integers(2))
    states, blocks, actors = run_turns(
        board,
        start,
        first,
        turns,
        lambda turn, state, actor: behave[actor](_Turn(rng, state, actor, reach, parts)),
        acting,
    )
    return Episode(states, blocks, actors, stage.name, regime, physics, acting)


def check_acting(acting: str) -> None:
    """Refuse a way of acting that there is not.

    Raises:
        ValueError: it is none of ``ACTINGS``.
    """
    if acting not in ACTINGS:
        raise ValueError(f"unknown acting {acting!r}; choose one of {', '.join(ACTINGS)}")


def step_actors(actors: NDArray[np.integer], acting: str) -> NDArray[np.int64]:
    """Who acts in each env step (..., 5) of blocks that ``actors`` (...) begin: 0 for p1, 1 for p2."""
    first = np.repeat(np.asarray(actors, dtype=np.int64)[..., None], TURN_STEPS, axis=-1)
    return (first + np.arange(TURN_STEPS)) % 2 if acting == "step" else first


def run_turns(
    board: Board,
    start: NDArray[np.floating],
    first: int,
    turns: int,
    act: Callable[[int, Array, int], Array],
    acting: str = "turn",
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int8]]:
    """Play some turns as an episode stores them.

    Args:
        board: where.
        start: (7,) the state to start from.
        first: who acts in turn 0, or begins it; then the agents take turns.
        turns: T, how many.
        act: from (turn, state (7,) float64, who acts) to the action block (5, 2). Where both act in a turn, each is
            asked at its start, and what is told for the other's steps is left out.
        acting: one of ``ACTINGS``.

    Returns:
        states (5 T + 1, 7), joint action blocks (T, 5, 2, 2) and actors (T,), as in :class:`Episode`.
    """
    states = np.empty((turns * TURN_STEPS + 1, 7), dtype=np.float32)
    states[0] = start
    blocks = np.empty((turns, TURN_STEPS, 2, 2), dtype=np.float32)
    actors = np.empty(turns, dtype=np.int8)
    for turn in range(turns):
        actor = (first + turn) % 2
        at = turn * TURN_STEPS
        # Stored numbers are float32; each turn starts from them and not from what rounding took away.
        state = states[at].astype(np.float64)
        who = step_actors(np.array(actor), acting)  # (5,)
        joint = np.zeros((TURN_STEPS, len(AGENTS), 2), dtype=np.float32)
        for agent in dict.fromkeys(who.tolist()):
            joint[who == agent, agent] = act(turn, state, agent)[who == agent]
        block = joint[np.arange(TURN_STEPS), who].astype(np.float64)
        states[at + 1 : at + 1 + TURN_STEPS] = board.run_steps(state, [AGENTS[agent] for agent in who], block)
        blocks[turn], actors[turn] = joint, actor
    return states, blocks, actors


def _start(rng: np.random.Generator, stage: Stage, regime: str, physics: Physics) -> Array:
    """Where an episode of this regime starts."""
    if regime in ("contact_push", "approach_no_push") and rng.random() < _MATCH_STARTS:
        return stage.sample_start(rng)
    if regime == "far_from_t":
        states = random_scenes(rng, 8, stage, physics, near=0.0)
        away = [np.hypot(*(states[:, i : i + 2] - states[:, 4:6]).T) for i in (0, 2)]
        return np.asarray(states[np.minimum(*away).argmax()])
    near, reach = {
        "contact_push": (0.85, 90.0),
        "approach_no_push": (0.5, 120.0),
        "null_thrust": (0.6, 40.0),
        "near_t": (0.9, 20.0),
    }[regime]
    return np.asarray(random_scenes(rng, 1, stage, physics, near=near, reach=reach)[0])


def _behaviours(rng: np.random.Generator, regime: str) -> tuple[_Behaviour, _Behaviour]:
    """What p1 and p2 do in an episode of this regime."""
    if regime != "null_thrust":
        behave = {
            "contact_push": _contact,
            "approach_no_push": _approach,
            "near_t": _near,
            "far_from_t": _far,
        }[regime]
        return behave, behave
    if rng.random() < 0.5:
        return _null, _null
    # One side stands still while the other plays on: what a passive opponent looks like.
    busy = (_contact, _near, _approach)[int(rng.integers(3))]
    return (_null, busy) if rng.random() < 0.5 else (busy, _null)


def _contact(t: _Turn) -> Array:
    """Push the block: aimed at any point of it, from wherever the agent is; now and then go round it first."""
    luck = t.rng.random()
    if luck < 0.15:
        return _scattered(t, 1.0)
    if _cornered(t) and luck < 0.6:
        return _round(t)
    if luck < 0.25:
        return _round(t)
    aim = t.other if luck < 0.28 else _point_on_block(t)
    way = aim - t.me
    length = math.hypot(way[0], way[1]) + 1e-9
    travel = 2 * t.reach if t.rng.random() < 0.35 else length + t.rng.uniform(0.0, 150.0)
    return _styled(t.rng, _velocity(way * (travel / length), t.reach), 0.6)


def _approach(t: _Turn) -> Array:
    """Head for the block and stop short of it, go round it, or leave; without touching it as far as one can see."""
    for _ in range(4):
        luck = t.rng.random()
        block = _stop_short(t) if luck < 0.55 else _round(t) if luck < 0.85 else _leave(t, 1.0)
        if _keeps_off(t, block):
            return block
    return _leave(t, 0.3)


def _stop_short(t: _Turn) -> Array:
    """Straight at the block, to end 1 to 30 px away from it."""
    margin = AGENT_RADIUS + t.rng.uniform(1.0, 30.0)
    path = t.me + np.linspace(0.0, 1.0, 24)[:, None] * (_point_on_block(t) - t.me)  # (24, 2)
    hit = int((_gaps(t, path) < margin).argmax())  # the first point that comes too near
    return _styled(t.rng, _velocity(path[max(hit - 1, 0)] - t.me, t.reach), 0.08)


def _leave(t: _Turn, spread: float) -> Array:
    """Away from the block's nearest face, give or take ``spread`` radians."""
    _, way = block_gap(t.me[None], t.state[None, 4:7], t.parts)
    turned = math.atan2(way[0, 1], way[0, 0]) + t.rng.uniform(-spread, spread)
    travel = t.rng.uniform(10.0, 200.0)
    return _styled(t.rng, _velocity(travel * np.array([math.cos(turned), math.sin(turned)]), t.reach), 0.2)


def _keeps_off(t: _Turn, block: Array) -> bool:
    """Whether an agent that does as told passes by the block (obstacles and the other agent aside)."""
    half = np.repeat(block / 2, 2, axis=0) * (t.reach / TURN_STEPS)
    path = np.clip(t.me + np.cumsum(half, axis=0), _INNER, BOARD_SIZE - _INNER)  # (10, 2)
    gaps = _gaps(t, np.concatenate([t.me[None], path]))
    return bool((gaps[1:] > min(AGENT_RADIUS + 1.0, gaps[0] - 0.5)).all())


def _gaps(t: _Turn, points: Array) -> Array:
    """Distance (N,) of points (N, 2) from the block's surface."""
    return block_gap(points, np.broadcast_to(t.state[4:7], (len(points), 3)), t.parts)[0]


def _null(t: _Turn) -> Array:
    """No thrust, or next to none."""
    if t.rng.random() < 0.5:
        return np.zeros((TURN_STEPS, 2))
    return np.asarray(np.clip(t.rng.uniform(0.005, 0.06) * t.rng.standard_normal((TURN_STEPS, 2)), -1, 1))


def _near(t: _Turn) -> Array:
    """Small moves at the block; back to it when it is out of reach of them."""
    way = _point_on_block(t) - t.me
    length = math.hypot(way[0], way[1]) + 1e-9
    if length > 120.0:
        return _styled(t.rng, _velocity(way * ((length - 60.0) / length), t.reach), 0.1)
    speed = t.rng.uniform(0.0, 0.35)
    if t.rng.random() < 0.5:
        turned = t.rng.uniform(-np.pi, np.pi)
        return _styled(t.rng, speed * np.array([math.cos(turned), math.sin(turned)]), 0.15)
    return _styled(t.rng, way * (speed / length), 0.15)


def _far(t: _Turn) -> Array:
    """Move freely, also along walls and into corners, on a line that leaves the block alone."""
    if t.rng.random() < 0.2:
        block = _scattered(t, 0.0)
        if math.dist(t.me, t.block) > 160.0:
            return block
    for _ in range(6):
        target = np.clip(t.rng.uniform(-60.0, BOARD_SIZE + 60.0, 2), _INNER, BOARD_SIZE - _INNER)
        velocity = _velocity((target - t.me) * t.rng.uniform(0.2, 1.4), t.reach)
        if _clearance(t.me, t.me + velocity * t.reach, t.block) > 95.0:
            return _styled(t.rng, velocity, 0.25)
    away = t.me - t.block
    return _styled(t.rng, _velocity(away, t.reach) * t.rng.uniform(0.0, 1.0), 0.1)


def _scattered(t: _Turn, pull: float) -> Array:
    """A block as a planner's search draws it: independent Gaussian per step about some mean, clipped."""
    way = _point_on_block(t) - t.me
    mean = pull * t.rng.uniform(0.0, 1.0) * way / (math.hypot(way[0], way[1]) + 1e-9)
    mean = mean + t.rng.normal(0.0, 0.3, 2)
    return np.asarray(np.clip(mean + t.rng.uniform(0.3, 1.0) * t.rng.standard_normal((TURN_STEPS, 2)), -1, 1))


def _round(t: _Turn) -> Array:
    """Go to another side of the block along an arc about it."""
    rel = t.me - t.block
    start = math.atan2(rel[1], rel[0])
    swing = t.rng.uniform(0.5, 2.4) * (1 if t.rng.random() < 0.5 else -1)
    ring = t.rng.uniform(75.0, 115.0)
    split = int(t.rng.integers(2, 4))
    at = t.me
    out = np.empty((TURN_STEPS, 2))
    for turned, rows in ((swing / 2, slice(0, split)), (swing, slice(split, TURN_STEPS))):
        target = t.block + ring * np.array([math.cos(start + turned), math.sin(start + turned)])
        steps = len(range(TURN_STEPS)[rows])
        out[rows] = _velocity(target - at, t.reach * steps / TURN_STEPS)
        at = at + out[rows].sum(axis=0) * t.reach / TURN_STEPS
    return np.asarray(np.clip(out + t.rng.uniform(0.0, 0.15) * t.rng.standard_normal(out.shape), -1, 1))


def _styled(rng: np.random.Generator, velocity: Array, noise: float) -> Array:
    """Five commands about a mean velocity (2,): straight, noisy, curved, swelling or cut short. (5, 2) in [-1, 1]."""
    out = np.repeat(velocity[None], TURN_STEPS, axis=0)
    style = rng.random()
    if style < 0.2:  # curved
        bend = rng.uniform(-1.2, 1.2) * np.linspace(-1.0, 1.0, TURN_STEPS)
        cos, sin = np.cos(bend), np.sin(bend)
        out = np.stack([cos * velocity[0] - sin * velocity[1], sin * velocity[0] + cos * velocity[1]], axis=1)
    elif style < 0.3:  # swelling or ebbing
        out *= 1.0 + rng.uniform(-0.9, 0.9) * np.linspace(-1.0, 1.0, TURN_STEPS)[:, None]
    elif style < 0.42:  # cut short
        out[int(rng.integers(1, TURN_STEPS)) :] = 0.0
    if rng.random() < 0.6:
        out = out + rng.uniform(0.0, noise) * rng.standard_normal(out.shape)
    return np.asarray(np.clip(out, -1.0, 1.0))


def _velocity(way: Array, reach: float) -> Array:
    """The command (2,) that covers ``way`` px in one turn, or its direction at full speed if that is too far."""
    command = way / reach
    return np.asarray(command / max(1.0, abs(command[0]), abs(command[1])))


def _point_on_block(t: _Turn) -> Array:
    """A point (2,) drawn evenly over the parts of the block."""
    part = t.parts[int(t.rng.integers(len(t.parts)))]
    low, high = part[0], part[2]
    local = low + t.rng.random(2) * (high - low)
    return np.asarray(place(local[None], *t.state[4:7].tolist())[0])


def _cornered(t: _Turn) -> bool:
    """Whether a push straight through the block would only press it against a wall."""
    way = t.block - t.me
    beyond = t.block + 75.0 * way / (math.hypot(way[0], way[1]) + 1e-9)
    return bool((beyond < WALL_INSET).any() or (beyond > BOARD_SIZE - WALL_INSET).any())


def _clearance(start: Array, end: Array, point: Array) -> float:
    """Distance in px from ``point`` to the segment between ``start`` and ``end``, all (2,)."""
    way = end - start
    along = float((point - start) @ way) / (float(way @ way) + 1e-9)
    return math.dist(start + min(1.0, max(0.0, along)) * way, point)
