"""An expert that solves Push-T by planning pushes on the true simulator.

It thinks in pushes, not in steps: stand beside some point of the tee's outline, push against it for a while, look
again. Pushes are tried out on the simulator, straight ones at every point and bent ones at the best, and cut off after
their best step; the best few are tried with a second push after them. Ways to the next push go round the tee. When the
block lies where it should, the agent goes to its own goal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from pushjepa.pusht.geometry import clearance, contacts, place, pose_error, turn, way_round
from pushjepa.pusht.simulator import DAMPING, DT, REACH, STIFFNESS, SUBSTEPS, Array, Simulator

LOW, HIGH = 10.0, 502.0  #: px, where the expert's agent goes
_SPACING = 14.0  # px between the points of the outline that are tried
_BEAM = 4  # best pushes that are tried with a second one
_BENT = 6  # best straight pushes that are tried bent too


@dataclass(frozen=True)
class ExpertOptions:
    """How an expert goes about it.

    Attributes:
        near: px, pose error at which the block lies where it should.
        walk: px a step, free motion.
        push: px a step, pushing.
        push_steps: longest push.
        gap: px between agent and tee before a push.
        noise: spread of what is added to every action.
        slips: chance in a step that the hand slips: it runs to some random place about the block.
        slip_steps: for at most so many steps.
    """

    near: float = 6.0
    walk: float = 25.0
    push: float = 10.0
    push_steps: int = 14
    gap: float = 5.0
    noise: float = 0.0
    slips: float = 0.0
    slip_steps: int = 15


@dataclass(frozen=True)
class Push:
    """A push that was tried out.

    Attributes:
        stand: (2,) where the agent stands before it.
        direction: (2,) unit vector.
        steps: how many env steps it takes.
        end: (7,) the state after it.
        error: px, the pose error that it leads to, a second push included where one was tried.
        way: corners of the way to where it begins, the stand last.
    """

    stand: Array
    direction: Array
    steps: int
    end: Array
    error: float
    way: list[Array] = field(default_factory=list)


def _controller() -> tuple[float, float, float, float]:
    """(a, b, c, d) of one env step: moved = a * offset + b * velocity, velocity after = c * offset + d * velocity."""
    found = []
    for offset, speed in ((1.0, 0.0), (0.0, 1.0)):
        x, v = 0.0, speed
        for _ in range(SUBSTEPS):
            v += (STIFFNESS * (offset - x) - DAMPING * v) * DT
            x += v * DT
        found.append((x, v))
    return found[0][0], found[1][0], found[0][1], found[1][1]


_MOVED, _DRIFT, _, _ = _controller()


def steer(state: Array, target: Array, pace: float) -> Array:
    """The action (2,) that brings the agent to ``target`` (2,) in one step, or ``pace`` px nearer to it."""
    way = target - state[:2]
    length = float(np.hypot(*way))
    if length > pace:
        way = way * (pace / length)
    offset = (way - _DRIFT * state[5:7]) / _MOVED
    return np.clip(offset / REACH, -1.0, 1.0)


def find_push(simulator: Simulator, state: Array, goal: Array, options: ExpertOptions) -> Push | None:
    """The push that brings the block nearest to its goal, among those that the agent can get to.

    Args:
        simulator: the true one.
        state: (7,) now.
        goal: (7,) the state to reach; only the block's pose counts.
        options: how to push.

    Returns:
        The best push; None if nothing can be pushed to advantage.
    """
    tried = _reachable(simulator, state, _try_pushes(simulator, state, goal[2:5], options), options)
    if not tried or tried[0].error <= options.near:
        return tried[0] if tried else None
    best = tried[0]
    for push in tried:
        after = _try_pushes(simulator, push.end, goal[2:5], options, coarse=True)
        error = min((second.error for second in after), default=push.error)
        # A push too many is worth less than the same pose sooner.
        if error + 2.0 < best.error:
            best = Push(push.stand, push.direction, push.steps, push.end, error, push.way)
    return best


def _reachable(simulator: Simulator, state: Array, tried: list[Push], options: ExpertOptions) -> list[Push]:
    """The best few that begin at different places and that there is a way to."""
    chosen: list[Push] = []
    for push in sorted(tried, key=lambda push: push.error):
        if any(np.hypot(*(push.stand - other.stand)) < 2 * _SPACING for other in chosen):
            continue
        way = find_way(state, push.stand, simulator.physics.agent_radius + 0.6 * options.gap)
        if way is not None:
            chosen.append(replace(push, way=way))
        if len(chosen) == _BEAM:
            break
    return chosen


def find_way(state: Array, end: Array, margin: float) -> list[Array] | None:
    """The corners of a way from where the agent is to ``end`` (2,); None if there is none."""
    start, pose, first = state[:2], state[2:5], []
    if clearance(start, pose) < margin:
        back = _step_back(start, pose, margin)
        if back is None:
            return None
        start, first = back, [back]
    way = way_round(start, end, pose, margin, LOW, HIGH)
    return None if way is None else first + way


def _step_back(start: Array, pose: Array, margin: float) -> Array | None:
    """The nearest place with ``margin`` px of room, straight away from the tee."""
    angles = np.linspace(0.0, 2 * np.pi, 24, endpoint=False)
    rays = np.stack([np.cos(angles), np.sin(angles)], -1)
    for length in range(2, 60, 2):
        ring = start + length * rays
        far = np.where(((ring > LOW) & (ring < HIGH)).all(axis=1), clearance(ring, pose), 0.0)
        if far.max() >= margin:
            return np.asarray(ring[int(np.argmax(far))])
    return None


def _try_pushes(
    simulator: Simulator, state: Array, goal: Array, options: ExpertOptions, coarse: bool = False
) -> list[Push]:
    """Pushes from ``state``, each cut off after its best step: straight ones everywhere, bent ones at the best places.

    ``coarse`` tries straight ones only, at fewer places.
    """
    pose = state[2:5]
    points, normals = contacts(1.6 * _SPACING if coarse else _SPACING)
    room = simulator.physics.agent_radius + options.gap
    stands = place(points + room * normals, pose)
    inward = turn(-normals, pose[2])
    standing = ((stands > LOW) & (stands < HIGH)).all(axis=1) & (clearance(stands, pose) > room - 1.0)
    straight = [
        _try_push(simulator, state, goal, stand, direction, options)
        for stand, direction in zip(stands[standing], inward[standing], strict=True)
    ]
    straight.sort(key=lambda push: push.error)
    bent = [
        _try_push(simulator, state, goal, push.stand, turn(push.direction, bend), options)
        for push in straight[: 0 if coarse else _BENT]
        for bend in (-0.5, 0.5)
    ]
    here = float(pose_error(pose, goal))
    return [push for push in straight + bent if push.error < here - 0.5]


def _try_push(
    simulator: Simulator, state: Array, goal: Array, stand: Array, direction: Array, options: ExpertOptions
) -> Push:
    states = _push(simulator, state, stand, direction, options)
    errors = pose_error(states[:, 2:5], goal)
    steps = int(np.argmin(errors)) + 1
    return Push(stand, direction, steps, states[steps - 1], float(errors[steps - 1]))


def _push(simulator: Simulator, state: Array, stand: Array, direction: Array, options: ExpertOptions) -> Array:
    """States (T, 7) of a whole push at the steady speed, begun at rest at ``stand``."""
    start = np.concatenate([stand, state[2:5], [0.0, 0.0]])
    offset = options.push / _steady() / REACH
    return simulator.run(start, np.repeat([offset * direction], options.push_steps, axis=0))


def _steady() -> float:
    """px moved in a step at steady speed for each px of offset."""
    a, b, c, d = _controller()
    return a + b * c / (1.0 - d)


@dataclass(frozen=True)
class Trajectory:
    """One episode.

    Attributes:
        states: (T + 1, 7).
        actions: (T, 2) in [-1, 1], the one between two states.
        goal: (7,) the state that was to be reached.
        solved: whether it was, as the environment judges it.
    """

    states: Array
    actions: Array
    goal: Array
    solved: bool


def is_solved(state: Array, goal: Array) -> bool:
    """The environment's own judgement: agent and block together within 20 px, the angle within 20 degrees."""
    apart = float(np.linalg.norm(state[:4] - goal[:4]))
    off = abs(state[4] - goal[4]) % (2 * np.pi)
    return apart < 20.0 and min(off, 2 * np.pi - off) < np.pi / 9


class Episode:
    """The expert at work: it keeps the trajectory so far, and decides what to do next from the state alone."""

    def __init__(
        self,
        simulator: Simulator,
        start: Array,
        goal: Array,
        options: ExpertOptions,
        rng: np.random.Generator,
        limit: int,
    ) -> None:
        self.simulator, self.goal, self.options, self.rng, self.limit = simulator, goal, options, rng, limit
        self.states: list[Array] = [start]
        self.actions: list[Array] = []
        self.slipping = 0  # steps left
        self.whither = start[:2]

    @property
    def state(self) -> Array:
        return self.states[-1]

    @property
    def over(self) -> bool:
        return len(self.actions) >= self.limit or is_solved(self.state, self.goal)

    def run(self) -> Trajectory:
        """Play to the end."""
        while not self.over:
            if pose_error(self.state[2:5], self.goal[2:5]) <= self.options.near:
                self._go_home()
            else:
                self._push_once()
        solved = is_solved(self.state, self.goal)
        return Trajectory(np.array(self.states), np.array(self.actions), self.goal, solved)

    def _act(self, action: Array) -> bool:
        """Play one step, noise and slips included; False if the plan behind it is spoilt or the episode over."""
        options, rng = self.options, self.rng
        if self.slipping == 0 and rng.random() < options.slips:
            self.slipping = int(rng.integers(3, options.slip_steps + 1))
            self.whither = np.clip(self.state[2:4] + rng.uniform(-90.0, 90.0, 2), LOW, HIGH)
        slipped = self.slipping > 0
        if slipped:
            self.slipping -= 1
            action = steer(self.state, self.whither, options.walk) + 0.1 * rng.standard_normal(2)
        action = np.clip(action + options.noise * rng.standard_normal(2), -1.0, 1.0)
        action = action.astype(np.float32).astype(np.float64)  # as it is stored, so that a replay is exact
        self.actions.append(action)
        self.states.append(self.simulator.run(self.state, action[None])[0])
        return not slipped and not self.over

    def _go_home(self) -> None:
        """The block lies right: bring the agent to its own goal without moving it."""
        radius = self.simulator.physics.agent_radius
        ways = (find_way(self.state, self.goal[:2], radius + room) for room in (4.0, 1.0, -4.0))
        self._walk(next((way for way in ways if way is not None), [self.goal[:2]]))

    def _push_once(self) -> None:
        push = find_push(self.simulator, self.state, self.goal, self.options)
        if push is None:
            self._act(self.rng.uniform(-1.0, 1.0, 2))
            return
        if not self._walk(push.way):
            return
        offset = self.options.push / _steady() / REACH * push.direction
        for _ in range(push.steps):
            if not self._act(offset):
                return

    def _walk(self, way: list[Array]) -> bool:
        """Walk along the corners of a way; False if something came between."""
        block = self.state[2:5]
        for corner in way:
            while np.hypot(*(self.state[:2] - corner)) > 2.0:
                if not self._act(steer(self.state, corner, self.options.walk)):
                    return False
                if not np.allclose(self.state[2:5], block, atol=1.0):
                    return False
        return True
