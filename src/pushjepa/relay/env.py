"""The game as a PettingZoo AEC environment: one ``step`` is one turn, an action block of five env steps.

Both agents see the same board (it is not mirrored for p2). Rewards are zero-sum: with ``reward="progress"`` a turn
pays each side the change of its net progress in board px (own progress minus the other's), with ``reward="outcome"``
the last turn pays 1 to the winner and -1 to the loser. Illegal actions raise a ValueError and change nothing.
"""

from __future__ import annotations

import math
import sys
from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray
from pettingzoo import AECEnv
from pettingzoo.utils import wrappers

from pushjepa.physics import STATE_SIZE, check_state
from pushjepa.physics.constants import BOARD_SIZE, TURN_STEPS
from pushjepa.physics.geometry import Array
from pushjepa.relay.contract import Side
from pushjepa.relay.match import Match, MatchSetup, changes_from, physics_from
from pushjepa.relay.rules import SIDES, check_side
from pushjepa.relay.scene import Frame
from pushjepa.relay.stages import get_stage

#: PettingZoo's API test hands in an option of this name; any other unknown option is an error.
_API_TEST_OPTION = "options"
_OPTIONS = ("stage", "physics", "first", "state", "changes")
_TERMINAL_COLUMNS = 64


def env(
    stage: str = "open",
    observation: Literal["state", "frames"] = "state",
    frame_size: int = 224,
    reward: Literal["progress", "outcome"] = "progress",
    render_mode: Literal["rgb_array", "human"] | None = None,
) -> AECEnv[Side, NDArray[Any], Array]:
    """The environment, wrapped to check the order of calls; arguments as for :class:`raw_env`."""
    return wrappers.OrderEnforcingWrapper(raw_env(stage, observation, frame_size, reward, render_mode))


class raw_env(AECEnv[Side, NDArray[Any], Array]):  # type: ignore[misc]  # PettingZoo has no types
    """A match between agents "p1" and "p2".

    Args:
        stage: the stage when the reset options name none.
        observation: "state" for a box (7,) float64 (p1 xy, p2 xy, block xy in px, angle within [-pi, pi]), "frames"
            for a box (frame_size, frame_size, 3) uint8 of the position now.
        frame_size: height and width of frames, px; also of what ``rgb_array`` renders.
        reward: "progress" or "outcome"; see the module.
        render_mode: "rgb_array" gives a frame, "human" draws on the terminal.

    ``infos[agent]`` holds, after the agent's turn, ``states`` (5, 7), the state after each of its five steps, and
    ``turn``; once the match is over both agents' infos hold ``winner`` ("p1", "p2" or None).

    Raises:
        ValueError: an unknown stage, observation, reward or render mode.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "relay_v1",
        "render_modes": ["rgb_array", "human"],
        "is_parallelizable": False,
        "render_fps": 2,
    }
    agents: list[Side]
    agent_selection: Side
    rewards: dict[Side, float]
    terminations: dict[Side, bool]
    truncations: dict[Side, bool]
    infos: dict[Side, dict[str, Any]]
    _cumulative_rewards: dict[Side, float]
    match: Match

    def __init__(
        self,
        stage: str = "open",
        observation: Literal["state", "frames"] = "state",
        frame_size: int = 224,
        reward: Literal["progress", "outcome"] = "progress",
        render_mode: Literal["rgb_array", "human"] | None = None,
    ) -> None:
        super().__init__()
        _choose("observation", observation, ("state", "frames"))
        _choose("reward", reward, ("progress", "outcome"))
        _choose("render_mode", render_mode, (None, "rgb_array", "human"))
        self.stage = get_stage(stage).name
        self.observation_kind = observation
        self.frame_size = frame_size
        self.reward_kind = reward
        self.render_mode = render_mode
        self.possible_agents: list[Side] = list(SIDES)
        self.observation_spaces = {side: self._observation_box() for side in SIDES}
        self.action_spaces = {side: Box(-1.0, 1.0, (TURN_STEPS, 2), np.float64) for side in SIDES}
        self._rng = np.random.default_rng()

    def observation_space(self, agent: Side) -> Box:
        return self.observation_spaces[agent]

    def action_space(self, agent: Side) -> Box:
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start a match.

        Args:
            seed: draws the start position, and the seeds of later resets that name none.
            options: any of ``stage`` (name), ``physics`` (Physics or its dict), ``first`` ("p1" or "p2" acts first),
                ``state`` (7,) to start from, ``changes`` (physics changes or their dicts).

        Raises:
            ValueError: an unknown option or a bad value; the environment is as it was before.
        """
        given = {name: value for name, value in (options or {}).items() if name != _API_TEST_OPTION}
        unknown = sorted(set(given) - set(_OPTIONS))
        if unknown:
            raise ValueError(f"unknown reset option {unknown[0]!r}; known: {', '.join(_OPTIONS)}")
        rng = self._rng if seed is None else np.random.default_rng(seed)
        state = given.get("state")
        setup = MatchSetup(
            stage=given.get("stage", self.stage),
            seed=int(rng.integers(2**31)) if seed is None else seed,
            first=check_side(given.get("first", "p1")),
            physics=physics_from(given.get("physics", {})),
            changes=changes_from(given.get("changes", ())),
            start=None if state is None else tuple(check_state(state).tolist()),
        )
        self.match, self._rng = Match(setup), rng
        self._begin()

    def step(self, action: Array | None) -> None:
        """Play the turn of ``agent_selection``: ``action`` (5, 2) in [-1, 1]; None once the match is over.

        Raises:
            ValueError: a malformed action; the environment is as it was before.
        """
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        before = self.match.result()
        turn = self.match.turn
        states = self.match.play(np.asarray(np.nan) if action is None else action)
        result = self.match.result()
        self._cumulative_rewards[agent] = 0.0
        self.infos[agent] = {"states": states, "turn": turn}
        gain = 0.0
        if self.reward_kind == "progress":
            gain = result.net_progress("p1") - before.net_progress("p1")
        elif self.match.over and result.winner is not None:
            gain = 1.0 if result.winner == "p1" else -1.0
        self.rewards = {"p1": gain, "p2": -gain}
        self._accumulate_rewards()
        self.agent_selection = self.match.to_move
        self._mark_end()
        if self.render_mode == "human":
            self.render()

    def observe(self, agent: Side) -> NDArray[Any]:
        if self.observation_kind == "frames":
            return self.match.frame(self.frame_size)
        vector = self.match.state
        vector[-1] = math.remainder(vector[-1], math.tau)
        return vector

    def state(self) -> Array:
        """The position (7,) float64, exactly."""
        return self.match.state

    def get_state(self) -> Array:
        """The position (7,) float64, exactly; see :meth:`set_state`."""
        return self.match.state

    def set_state(self, state: Array, turn: int | None = None) -> None:
        """Put the board into ``state`` (7,), at ``turn`` of the match if given. Rewards and infos start afresh.

        From there the match goes on bit for bit like one that came there by play.

        Raises:
            ValueError: a malformed state or turn; the environment is as it was before.
        """
        self.match.set_state(state, turn)
        self._begin()

    def render(self) -> Frame | None:
        """The frame of the position now for "rgb_array"; for "human" it is drawn on the terminal instead."""
        if self.render_mode == "rgb_array":
            return self.match.frame(self.frame_size)
        if self.render_mode == "human":
            sys.stdout.write(_as_text(self.match.frame(_TERMINAL_COLUMNS)))
        return None

    def close(self) -> None:
        """Nothing is held open."""

    def _begin(self) -> None:
        """Every agent alive and without rewards at the match's position."""
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}
        self.agent_selection = self.match.to_move
        self._skip_agent_selection = None
        self._mark_end()

    def _mark_end(self) -> None:
        self.terminations = dict.fromkeys(self.agents, self.match.over)
        if self.match.over:
            for info in self.infos.values():
                info["winner"] = self.match.result().winner

    def _observation_box(self) -> Box:
        if self.observation_kind == "frames":
            return Box(0, 255, (self.frame_size, self.frame_size, 3), np.uint8)
        low, high = np.zeros(STATE_SIZE), np.full(STATE_SIZE, BOARD_SIZE)
        low[-1], high[-1] = -math.pi, math.pi
        return Box(low, high, dtype=np.float64)


def _choose(name: str, value: str | None, known: tuple[str | None, ...]) -> None:
    if value not in known:
        raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(map(str, known))}")


def _as_text(frame: Frame) -> str:
    """A frame (H, W, 3) as half-block characters in 24-bit colour, two rows of pixels to a line."""
    lines = []
    for upper, lower in zip(frame[::2], frame[1::2], strict=True):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m\u2580"
            for a, b in zip(upper, lower, strict=True)
        )
        lines.append("".join(cells) + "\x1b[0m\n")
    return "".join(lines)
