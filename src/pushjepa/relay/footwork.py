"""How a scripted player moves: the way round everything that stands on the board, and where to lay hands on the block.

Plain geometry on the position at the start of a turn; the physics engine is never asked.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics import Obstacle, Pillar, Wall, block_parts, place
from pushjepa.physics import constants as c
from pushjepa.physics.geometry import Array

STRIDE = c.AGENT_SPEED * c.STEP_SECONDS  #: px per component that one env step covers at full speed
_MARGIN = 3.0  # px kept free beside everything that is passed
_THROUGH = 12.0  # what a pixel through an obstacle costs, in pixels round it
_SPACING = 8.0  # px between the points of the block's outline at which it may be pushed
_GRIP = c.AGENT_FRICTION * c.BLOCK_FRICTION
_GYRATION_SQUARED = 1236.0  # px^2, moment of the tee over its mass


@dataclass(frozen=True)
class Box:
    """A rectangle to go round: half-sizes (w, h) about ``centre``, turned by ``angle`` radians; px."""

    centre: tuple[float, float]
    half: tuple[float, float]
    angle: float = 0.0


@dataclass(frozen=True)
class Contacts:
    """Places (N) at which an agent can touch the block.

    ``agent`` (N, 2) the agent's centre there, ``push`` (N, 2) the unit normal into the block, ``lever`` (N,) px by
    which a push along that normal misses the block's centre of gravity.
    """

    agent: Array
    push: Array
    lever: Array

    def at(self, index: NDArray[np.int64]) -> Contacts:
        """Those at ``index``, in its order."""
        return Contacts(self.agent[index], self.push[index], self.lever[index])


def block_boxes(block: Array) -> tuple[Box, ...]:
    """The parts of the tee at ``block`` (x, y, angle)."""
    x, y, angle = (float(v) for v in block)
    boxes = []
    for part in block_parts("tee"):
        middle = place(part.mean(axis=0, keepdims=True), x, y, angle)[0]
        half = np.ptp(part, axis=0) / 2
        boxes.append(Box((float(middle[0]), float(middle[1])), (float(half[0]), float(half[1])), angle))
    return tuple(boxes)


def stage_boxes(obstacles: Sequence[Obstacle]) -> tuple[Box, ...]:
    """The walls among a stage's obstacles."""
    return tuple(
        Box(((o.left + o.right) / 2, (o.top + o.bottom) / 2), ((o.right - o.left) / 2, (o.bottom - o.top) / 2))
        for o in obstacles
        if isinstance(o, Wall)
    )


def find_way(start: Array, end: Array, boxes: Sequence[Box], discs: Sequence[Pillar]) -> Array:
    """The quickest way (P, 2) from ``start`` to ``end``, both included, round boxes and discs.

    A visibility graph over their corners, measured in time at full speed (the larger component counts, since actions
    fill a square). Obstacles are dear rather than forbidden, so that there is always a way, even out of a touch.
    """
    nodes = np.concatenate([[start, end], _corners(boxes, discs)])
    cost = _edge_costs(nodes, boxes, discs)
    best = np.full(len(nodes), np.inf)
    best[0] = 0.0
    before = np.zeros(len(nodes), dtype=int)
    queue = [(0.0, 0)]
    while queue:
        so_far, node = heapq.heappop(queue)
        if node == 1:
            break
        if so_far > best[node]:
            continue
        reach = so_far + cost[node]
        for nearer in np.flatnonzero(reach < best - 1e-9):
            best[nearer], before[nearer] = reach[nearer], node
            heapq.heappush(queue, (float(reach[nearer]), int(nearer)))
    way = [1]
    while way[-1] != 0:
        way.append(int(before[way[-1]]))
    return np.asarray(nodes[way[::-1]])


def steps_along(way: Array) -> float:
    """Env steps that a way (P, 2) takes at full speed."""
    return float(np.abs(np.diff(way, axis=0)).max(axis=1, initial=0.0).sum()) / STRIDE


def pace(way: Array, push: Array) -> Array:
    """The action block (5, 2) that follows a way (P, 2) at full speed and spends the rest on ``push`` (2,)."""
    arrivals = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(way, axis=0)).max(axis=1))]) / STRIDE
    times, points = arrivals, way
    if arrivals[-1] < c.TURN_STEPS:
        times = np.append(arrivals, c.TURN_STEPS)
        points = np.concatenate([way, [way[-1] + push]])
    ticks = np.arange(c.TURN_STEPS + 1)
    track = np.stack([np.interp(ticks, times, points[:, axis]) for axis in (0, 1)], axis=1)
    return np.asarray(np.clip(np.diff(track, axis=0) / STRIDE, -1.0, 1.0))


def contacts(block: Array) -> Contacts:
    """Where an agent can touch the tee at ``block`` (x, y, angle), whether it can get there or not."""
    x, y, angle = (float(v) for v in block)
    return Contacts(place(_LOCAL_AGENT, x, y, angle), place(_LOCAL_PUSH, 0.0, 0.0, angle), _LOCAL_LEVER)


def follow_push(block: Array, places: Contacts, run: Array, count: int) -> Array:
    """Where the block's centre goes when an agent pushes it, by balance of forces at the touching point alone.

    Args:
        block: (x, y, angle) at the start.
        places: N contacts, one to each push.
        run: (N, 2) px that the agent covers in one of the ``count`` equal parts of its push.
        count: how many parts.

    Returns:
        (N, count + 1, 2) the block's centre before, between and after them.
    """
    centre = np.repeat(block[None, :2], len(run), axis=0)
    arm = places.agent + places.push * (c.AGENT_RADIUS + 1.0) - centre  # from the block's centre to the touch
    normal = places.push
    track = [centre]
    for _ in range(count):
        moved, spin, slip = _respond(arm, normal, run)
        centre = centre + moved
        arm, normal = _turn(arm + slip, spin), _turn(normal, spin)
        track.append(centre)
    return np.stack(track, axis=1)


def _respond(arm: Array, normal: Array, run: Array) -> tuple[Array, Array, Array]:
    """What a block at rest does when its point at ``arm`` is pushed by ``run``; all (N, 2).

    Returns:
        how far its centre moves (N, 2), how far it turns (N,) rad, and how far the agent slips along it (N, 2).
    """
    side = np.stack([-normal[:, 1], normal[:, 0]], axis=1)
    # Moved by j at the arm, a free body shifts its touching point by j + arm_across (arm_across . j) / gyration^2.
    across = np.stack([-arm[:, 1], arm[:, 0]], axis=1)
    a_n, a_t = (across * normal).sum(axis=1), (across * side).sum(axis=1)
    nn, nt, tt = 1 + a_n**2 / _GYRATION_SQUARED, a_n * a_t / _GYRATION_SQUARED, 1 + a_t**2 / _GYRATION_SQUARED
    v_n, v_t = (run * normal).sum(axis=1), (run * side).sum(axis=1)
    j_n, j_t = (tt * v_n - nt * v_t) / (nn * tt - nt**2), (nn * v_t - nt * v_n) / (nn * tt - nt**2)
    bound = np.clip(j_t / np.where(np.abs(j_n) < 1e-9, 1e-9, j_n), -_GRIP, _GRIP)
    j_n = np.maximum(v_n, 0.0) / (nn + nt * bound)
    moved = j_n[:, None] * normal + (j_n * bound)[:, None] * side
    spin = (across * moved).sum(axis=1) / _GYRATION_SQUARED
    slip = (v_t - j_n * (nt + tt * bound))[:, None] * side
    return moved, spin, slip


def _turn(vectors: Array, angles: Array) -> Array:
    """Vectors (N, 2), each turned by its angle (N,)."""
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([vectors[:, 0] * cos - vectors[:, 1] * sin, vectors[:, 0] * sin + vectors[:, 1] * cos], axis=1)


def _outline() -> tuple[Array, Array, Array]:
    """Contacts in the block's own frame, without those at which the agent would overlap another part."""
    parts = block_parts("tee")
    agents, pushes = [], []
    for part in parts:
        for corner, following in zip(part, np.roll(part, -1, axis=0), strict=True):
            length = float(np.hypot(*(following - corner)))
            along = (following - corner) / length
            inward = np.array([-along[1], along[0]])
            count = int(length // _SPACING)
            for share in (np.arange(count) + 0.5) / count:
                agents.append(corner + share * (following - corner) - inward * (c.AGENT_RADIUS + 1.0))
                pushes.append(inward)
    agent, push = np.array(agents), np.array(pushes)
    boxes = block_boxes(np.zeros(3))
    free = np.all([_distance(agent, box) > c.AGENT_RADIUS for box in boxes], axis=0)
    agent, push = agent[free], push[free]
    return agent, push, np.abs(agent[:, 0] * push[:, 1] - agent[:, 1] * push[:, 0])


def _distance(points: Array, box: Box) -> Array:
    local = np.abs(_into(points, box))
    return np.asarray(np.hypot(*np.maximum(local - box.half, 0.0).T))


def _into(points: Array, box: Box) -> Array:
    """Points (..., 2) in the frame of a box."""
    cos, sin = np.cos(box.angle), np.sin(box.angle)
    return np.asarray((points - box.centre) @ np.array([[cos, -sin], [sin, cos]]))


def _corners(boxes: Sequence[Box], discs: Sequence[Pillar]) -> Array:
    """Points (N, 2) to turn at, an agent's radius and a margin outside everything, those on the board."""
    gap = c.AGENT_RADIUS + _MARGIN + 1.0
    signs = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    rings = [place(signs * (np.array(b.half) + gap), *b.centre, b.angle) for b in boxes]
    turn = np.arange(8) * np.pi / 4 + np.pi / 8
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1) / np.cos(np.pi / 8)
    rings += [circle * (d.radius + gap) + (d.x, d.y) for d in discs]
    points = np.concatenate([np.empty((0, 2)), *rings])
    low, high = c.WALL_INSET + c.AGENT_RADIUS, c.BOARD_SIZE - c.WALL_INSET - c.AGENT_RADIUS
    return np.asarray(points[((points >= low) & (points <= high)).all(axis=1)])


def _edge_costs(nodes: Array, boxes: Sequence[Box], discs: Sequence[Pillar]) -> Array:
    """Time (N, N) from node to node in pixels at full speed, dearer by what lies inside obstacles."""
    gap = c.AGENT_RADIUS + _MARGIN
    inside = np.zeros((len(nodes), len(nodes)))
    for box in boxes:
        inside += _share_in_box(_into(nodes, box), np.array(box.half) + gap)
    for disc in discs:
        inside += _share_in_disc(nodes - (disc.x, disc.y), disc.radius + gap)
    run = np.abs(nodes[:, None] - nodes[None])
    length = run.max(axis=2) + 0.01 * run.sum(axis=2)  # the second term only breaks ties
    return np.asarray(length * (1.0 + _THROUGH * inside))


def _share_in_box(points: Array, half: Array) -> Array:
    """Share (N, N) of each segment between points (N, 2) that lies within ``half`` (2,) of the origin."""
    origin = points[:, None]
    run = points[None] - origin
    run = np.where(np.abs(run) < 1e-9, 1e-9, run)
    one, two = (-half - origin) / run, (half - origin) / run
    enter = np.minimum(one, two).max(axis=2).clip(0.0, 1.0)
    leave = np.maximum(one, two).min(axis=2).clip(0.0, 1.0)
    return np.asarray(np.maximum(leave - enter, 0.0))


def _share_in_disc(points: Array, radius: float) -> Array:
    """Share (N, N) of each segment between points (N, 2) that lies within ``radius`` of the origin."""
    run = points[None] - points[:, None]
    a = np.maximum((run**2).sum(axis=2), 1e-9)
    b = (run * points[:, None]).sum(axis=2)
    root = np.sqrt(np.maximum(b**2 - a * ((points**2).sum(axis=1)[:, None] - radius**2), 0.0))
    enter, leave = ((-b - root) / a).clip(0.0, 1.0), ((-b + root) / a).clip(0.0, 1.0)
    return np.asarray(leave - enter)


_LOCAL_AGENT, _LOCAL_PUSH, _LOCAL_LEVER = _outline()
