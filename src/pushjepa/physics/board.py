"""One turn of pushing, in a pymunk space built afresh from seven numbers.

pymunk keeps solver caches between steps, so a match that simply went on would differ from one restored from its
state. Building the space anew for every turn makes a turn a pure function of (state, actor, action block): the
oracle, every replay and ``set_state`` rest on that. The turn is always computed as if p1 acted, on a mirrored board
when it is p2's, so that neither seat can gain from the order in which the solver visits contacts. A block of steps in
which both act is computed likewise, as if p1 began.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pymunk

from pushjepa.physics import constants as c
from pushjepa.physics.geometry import (
    Array,
    Obstacle,
    Pillar,
    Wall,
    block_parts,
    mirror_block,
    mirror_state,
    place,
)
from pushjepa.physics.parameters import Physics

STATE_FIELDS = ("p1_x", "p1_y", "p2_x", "p2_y", "block_x", "block_y", "angle")
STATE_SIZE = len(STATE_FIELDS)


def check_state(state: Array) -> Array:
    """Return ``state`` as float64 (7,), or raise ValueError if it is not a finite position on the board."""
    s = _numbers("a board state", state)
    if s.shape != (STATE_SIZE,):
        raise ValueError(f"a board state has shape ({STATE_SIZE},), got {s.shape}")
    if not np.isfinite(s).all():
        raise ValueError("a board state must be finite")
    if (s[:6] < 0).any() or (s[:6] > c.BOARD_SIZE).any():
        raise ValueError(f"a board state must lie on the board, 0 to {c.BOARD_SIZE:g} px: {s[:6].round(1).tolist()}")
    return s


def check_block(block: Array) -> Array:
    """Return an action block as float64 (5, 2), or raise ValueError: malformed, not finite or beyond [-1, 1]."""
    b = _numbers("an action block", block)
    if b.shape != (c.TURN_STEPS, 2):
        raise ValueError(f"an action block has shape ({c.TURN_STEPS}, 2), got {b.shape}")
    if not np.isfinite(b).all():
        raise ValueError("an action block must be finite")
    if (np.abs(b) > 1.0).any():
        raise ValueError(f"actions must lie in [-1, 1], got {np.abs(b).max():.3g}")
    return b


def _folded(state: Array) -> Array:
    """A copy whose angle is folded, exactly, into [-pi, pi]: a pose given with whole turns added plays the same."""
    out = state.copy()
    out[-1] = math.remainder(out[-1], math.tau)
    return out


def _check_actors(actors: Sequence[str]) -> None:
    """Refuse actors that are not one agent for each of the steps."""
    for actor in actors:
        if actor not in c.AGENTS:
            raise ValueError(f"actor must be one of {', '.join(c.AGENTS)}, got {actor!r}")
    if len(actors) != c.TURN_STEPS:
        raise ValueError(f"a block has {c.TURN_STEPS} steps with an actor each, got {len(actors)} actors")


def _numbers(what: str, values: Array) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{what} must be an array of numbers") from None


class Trace(NamedTuple):
    """A turn substep by substep, seen from the actor's side.

    Attributes:
        places: (25, 7) the state after each substep, px and radians.
        speeds: (25, 7) by how much of it moves then, px and radians a substep.
    """

    places: Array
    speeds: Array


class Board:
    """The push board: static obstacles and the laws of physics; no position of its own.

    Args:
        obstacles: fixed shapes, the same set when mirrored left to right.
        physics: the laws.

    Raises:
        ValueError: the obstacles favour a seat (they are not their own mirror image).
    """

    def __init__(self, obstacles: Sequence[Obstacle] = (), physics: Physics | None = None) -> None:
        self.obstacles = tuple(obstacles)
        self.physics = physics or Physics()
        if set(self.obstacles) != {o.mirrored() for o in self.obstacles}:
            raise ValueError("obstacles must be their own mirror image, or one seat would gain from them")
        self._parts = block_parts(self.physics.block_shape, self.physics.block_scale)
        self._moment = self._block_moment()
        self._verify_physics()

    def run_turn(self, state: Array, actor: str, block: Array) -> Array:
        """Let ``actor`` act for one turn while the other agent is commanded to stand still.

        Args:
            state: (7,) p1 xy, p2 xy, block xy in px, angle in radians; everything at rest.
            actor: "p1" or "p2".
            block: (5, 2) commanded velocities in [-1, 1].

        Returns:
            (5, 7) float64, the state after each env step; the last row is the next position.

        Raises:
            ValueError: a malformed state or action block, or an unknown actor.
        """
        return self.run_steps(state, (actor,) * c.TURN_STEPS, block)

    def run_steps(self, state: Array, actors: Sequence[str], block: Array) -> Array:
        """Run one block of env steps, each of them with its own actor.

        Who does not act in a step is commanded to stand still in it; it takes a while to brake from a step of its own.

        Args:
            state: (7,) p1 xy, p2 xy, block xy in px, angle in radians; everything at rest.
            actors: "p1" or "p2" for each of the 5 steps.
            block: (5, 2) commanded velocities in [-1, 1], each for the actor of its step.

        Returns:
            (5, 7) float64, the state after each env step; the last row is the next position.

        Raises:
            ValueError: a malformed state or action block, an unknown actor, or actors that are not one for each step.
        """
        _check_actors(actors)
        state, block = _folded(check_state(state)), check_block(block)
        leads = [actor == actors[0] for actor in actors]
        if actors[0] == "p1":
            return self._simulate(state, block, leads)
        return mirror_state(self._simulate(mirror_state(state), mirror_block(block), leads))

    def trace_turn(self, state: Array, actor: str, block: Array) -> Trace:
        """Play one turn as :meth:`run_turn` does, and tell of each substep; seen from the actor's side.

        Where p2 acts, the board is mirrored and the agents' names swapped, so that p1 always is who acts.

        Raises:
            ValueError: as :meth:`run_turn`.
        """
        _check_actors((actor,) * c.TURN_STEPS)
        state, block = _folded(check_state(state)), check_block(block)
        if actor != "p1":
            state, block = mirror_state(state), mirror_block(block)
        notes: list[tuple[Array, Array]] = []
        ends = self._simulate(state, block, [True] * c.TURN_STEPS, notes)
        shown, speeds = (np.array(column) for column in zip(*notes, strict=True))
        # The engine moves bodies at the start of a substep: where it starts from, overlaps parted, is found in the next
        # one. An env step ends where bodies that overlap were parted at once.
        places = np.empty_like(shown)
        places[:-1] = shown[1:] - speeds[:-1]
        places[c.SUBSTEPS - 1 :: c.SUBSTEPS] = ends
        return Trace(places, speeds)

    def _simulate(
        self, state: Array, block: Array, leads: Sequence[bool], notes: list[tuple[Array, Array]] | None = None
    ) -> Array:
        """p1 acts in the steps (5,) in which ``leads`` holds, p2 in the others; see :meth:`run_steps`.

        Of each substep the state (7,) and what moves by how much in a substep (7,) are noted down, if asked for.
        """
        space, first, second, tee = self._build(state)
        damping = self.physics.damping**c.SUBSTEP_SECONDS
        limit = self.physics.agent_force
        states = np.empty((c.TURN_STEPS, STATE_SIZE))
        for step in range(c.TURN_STEPS):
            actor, waiter = (first, second) if leads[step] else (second, first)
            goal_x, goal_y = (block[step] * self.physics.agent_speed).tolist()
            for _ in range(c.SUBSTEPS):
                _drive(actor, goal_x, goal_y, damping, limit)
                _drive(waiter, 0.0, 0.0, damping, limit)
                space.step(c.SUBSTEP_SECONDS)
                if notes is not None:
                    notes.append(_note(first, second, tee))
            # Who braked from a step of its own rests again by now, but maybe inside a wall.
            alone = all(leads[: step + 1])
            if not (alone and _runs_free(actor, waiter, tee, goal_x, goal_y)):
                _settle(space, (first, second), tee, 2 if step < c.TURN_STEPS - 1 else 4)
            states[step] = (*first.position, *second.position, *tee.position, tee.angle)
        # The solver lets resting contacts sink in by a fraction of a pixel; positions themselves stay on the board.
        np.clip(states[:, :6], 0.0, c.BOARD_SIZE, out=states[:, :6])
        return states

    def _build(self, state: Array) -> tuple[pymunk.Space, pymunk.Body, pymunk.Body, pymunk.Body]:
        space = pymunk.Space()
        # A light block between an agent and a wall needs more iterations, or it is driven into the wall.
        space.iterations = round(c.SOLVER_ITERATIONS * max(1.0, c.AGENT_MASS / self.physics.block_mass))
        space.damping = self.physics.damping
        for shape in _wall_shapes(space.static_body, self.obstacles):
            shape.friction = c.WALL_FRICTION
            space.add(shape)
        agents = []
        for x, y in (state[0:2].tolist(), state[2:4].tolist()):
            body = pymunk.Body(c.AGENT_MASS, float("inf"))
            body.position = (x, y)
            disc = pymunk.Circle(body, c.AGENT_RADIUS)
            disc.friction = c.AGENT_FRICTION
            space.add(body, disc)
            agents.append(body)
        tee = pymunk.Body(self.physics.block_mass, self._moment)
        tee.position = (float(state[4]), float(state[5]))
        tee.angle = float(state[6])
        space.add(tee)
        for corners in self._parts:
            part = pymunk.Poly(tee, corners.tolist())
            part.friction = self.physics.block_friction
            space.add(part)
        return space, agents[0], agents[1], tee

    def _block_moment(self) -> float:
        areas = [pymunk.area_for_poly(p.tolist()) for p in self._parts]
        masses = [self.physics.block_mass * a / sum(areas) for a in areas]
        return sum(pymunk.moment_for_poly(m, p.tolist()) for m, p in zip(masses, self._parts, strict=True))

    def _verify_physics(self) -> None:
        """Read every option back from the bodies: a knob that turned nothing would be a silent lie."""
        space, actor, _, tee = self._build(np.array([100.0, 256.0, 400.0, 256.0, 256.0, 256.0, 0.0]))
        area = sum(
            abs(pymunk.area_for_poly(part.get_vertices())) for part in tee.shapes if isinstance(part, pymunk.Poly)
        )
        wanted = sum(abs(pymunk.area_for_poly(p.tolist())) for p in self._parts)
        found = {
            "block_mass": np.isclose(tee.mass, self.physics.block_mass),
            "block_friction": all(np.isclose(part.friction, self.physics.block_friction) for part in tee.shapes),
            "block_shape": len(tee.shapes) == len(self._parts),
            "block_scale": np.isclose(area, wanted),
            "damping": np.isclose(space.damping, self.physics.damping),
            "agent mass": np.isclose(actor.mass, c.AGENT_MASS),
        }
        for name, good in found.items():
            if not good:
                raise RuntimeError(f"the physics engine did not take {name}")

    def block_corners(self, state: Array) -> tuple[Array, ...]:
        """Corners (4, 2) px of each part of the block at its pose in ``state`` (7,)."""
        return tuple(place(p, float(state[4]), float(state[5]), float(state[6])) for p in self._parts)


def _note(first: pymunk.Body, second: pymunk.Body, tee: pymunk.Body) -> tuple[Array, Array]:
    """The state (7,), and what moves by how much in a substep (7,), px and radians."""
    speeds = (*first.velocity, *second.velocity, *tee.velocity, tee.angular_velocity)
    places = (*first.position, *second.position, *tee.position, tee.angle)
    return np.array(places), np.array(speeds) * c.SUBSTEP_SECONDS


def _drive(body: pymunk.Body, goal_x: float, goal_y: float, damping: float, limit: float) -> None:
    """Push ``body`` towards a velocity with a force of at most ``limit``, made up for the damping of this substep."""
    vx, vy = body.velocity
    if vx == vy == goal_x == goal_y == 0.0:
        return
    fx = (goal_x - vx * damping) * c.AGENT_MASS / c.SUBSTEP_SECONDS
    fy = (goal_y - vy * damping) * c.AGENT_MASS / c.SUBSTEP_SECONDS
    norm = (fx * fx + fy * fy) ** 0.5
    scale = 1.0 if norm <= limit else limit / norm
    body.apply_force_at_local_point((fx * scale, fy * scale))


def _runs_free(actor: pymunk.Body, waiter: pymunk.Body, tee: pymunk.Body, goal_x: float, goal_y: float) -> bool:
    """Whether the actor moves as told and all else rests, so that nothing can be in touch with it.

    It takes for granted that the other agent has not acted in this block: who rests has then not driven anywhere.
    """
    vx, vy = actor.velocity
    return abs(vx - goal_x) + abs(vy - goal_y) < 1e-6 and not any(tee.velocity) and not any(waiter.velocity)


def _settle(space: pymunk.Space, agents: tuple[pymunk.Body, pymunk.Body], tee: pymunk.Body, rounds: int) -> None:
    """Part bodies that overlap, without giving them speed.

    A body runs into another by as much as it covers in a substep, and pymunk then parts them only slowly. Here it is
    asked to part them at once while everything stands still: one round finds by how much, the next one moves them.
    """
    speeds, spin = (agents[0].velocity, agents[1].velocity, tee.velocity), tee.angular_velocity
    bias, space.collision_bias = space.collision_bias, 0.0
    for _ in range(rounds):
        agents[0].velocity = agents[1].velocity = tee.velocity = (0.0, 0.0)
        tee.angular_velocity = 0.0
        space.step(c.SUBSTEP_SECONDS)
    space.collision_bias = bias
    agents[0].velocity, agents[1].velocity, tee.velocity = speeds
    tee.angular_velocity = spin


def _wall_shapes(static: pymunk.Body, obstacles: Sequence[Obstacle]) -> list[pymunk.Shape]:
    """The four walls as thick boxes outside their inner faces, and the stage's obstacles."""
    low, high, thick = c.WALL_INSET, c.BOARD_SIZE - c.WALL_INSET, 200.0
    rects = [
        Wall(low - thick, low - thick, low, high + thick),
        Wall(high, low - thick, high + thick, high + thick),
        Wall(low, low - thick, high, low),
        Wall(low, high, high, high + thick),
    ]
    shapes: list[pymunk.Shape] = []
    for item in [*rects, *obstacles]:
        if isinstance(item, Pillar):
            shapes.append(pymunk.Circle(static, item.radius, (item.x, item.y)))
        else:
            corners = [
                (item.left, item.top),
                (item.right, item.top),
                (item.right, item.bottom),
                (item.left, item.bottom),
            ]
            shapes.append(pymunk.Poly(static, corners))
    return shapes
