"""Advice for a search in the game: a policy prior says what is worth trying, and what an opponent may answer, a value
function where a future leads.

The prior is distilled from the plans of an experience, which are one-turn searches of the player that gathered it, at
its cost; the value has learned from the ends of the matches in it what margin a position leads to where a side plays
so, with that budget, against the players it met there (compare expert iteration, Anthony et al., 2017). A deeper search
at another cost is advised by them all the same: they say what such searches find, not what is best. Both have learned
under the standard laws of physics, and know of no others. They are asked about the position that a model decodes, as
the side to move sees it, but have learned from true ones, blurred a little; and of the stage they see nothing: no
frame's latent is asked for more than its position. They are small enough for NumPy; ``pushjepa.nets.advice`` is the
same network in torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pushjepa.data.store import write_atomically
from pushjepa.physics import STATE_SIZE, mirror_block, mirror_state
from pushjepa.physics.constants import BOARD_CENTRE, TURN_STEPS
from pushjepa.physics.geometry import Array
from pushjepa.planning.costs import PLACE, AgentBehindBlock, Cost, WeightedSum, margin_cost
from pushjepa.relay.contract import Point, Side
from pushjepa.relay.rules import MATCH_TURNS, SIDES
from pushjepa.relay.stages import Stage, get_stage
from pushjepa.runtime.checkpoint import resolve
from pushjepa.runtime.contract import FloatArray

FILE = "advice.safetensors"  #: beside a model's weights
FORMAT = "pushjepa-advice-1"
TURN = (TURN_STEPS, 2)  #: shape of one turn's actions
MODES = 6  #: turns that the prior of a new advice is a mixture of
LEAST_STD = 0.05  #: of an action that the prior gives, which lives in [-1, 1]

_NUMBERS = int(np.prod(TURN))
_NEAR = 4.0  # places about the block are given in quarters of half a board
_GOALS = np.array([Stage("any").goals[side] for side in SIDES])  # every stage has them in the same places
_POINTS = len(SIDES) + len(_GOALS)
FEATURES = STATE_SIZE + 1 + 3 * _POINTS + 1 + MATCH_TURNS + 1  #: numbers that a network is given


def seen_by(states: Array, side: Side) -> Array:
    """States (..., 7) as ``side`` sees them: it sits where p1 does, and its goal is p1's."""
    return np.asarray(states, dtype=np.float64) if side == "p1" else mirror_state(states)


def turns_seen_by(turns: Array, side: Side) -> Array:
    """Turns (..., 5, 2) as ``side`` sees them; seen by the same side again, they are what they were."""
    return np.asarray(turns, dtype=np.float64) if side == "p1" else mirror_block(turns)


def margin(states: Array) -> Array:
    """How states (..., 7) would be judged for p1, px (...): block to p2's goal less block to p1's."""
    own, theirs = (np.hypot(*np.moveaxis(states[..., 4:6] - goal, -1, 0)) for goal in _GOALS)
    return np.asarray(theirs - own)


def check_goals(stages: Sequence[str]) -> None:
    """Refuse stages whose goals are elsewhere than advice takes them to be.

    Raises:
        ValueError: names the first such stage.
    """
    for name in stages:
        goals = get_stage(name).goals
        if not np.array_equal([goals[side] for side in SIDES], _GOALS):
            raise ValueError(f"stage {name} has its goals elsewhere than advice takes them to be")


def features(states: Array, turns_left: NDArray[np.int64] | int) -> FloatArray:
    """What a network is given (S, F) of states (S, 7) as the side to move sees them.

    The state itself, both agents and both goals as seen from the block, how far they are from it, the margin now, and
    which of the counts of turns left, 0 ... 10, it is.
    """
    places, block = (states[:, :6] - BOARD_CENTRE) / BOARD_CENTRE, states[:, 4:6]
    cos, sin = np.cos(states[:, 6:]), np.sin(states[:, 6:])
    agents = states[:, :4].reshape(-1, len(SIDES), 2)
    points = np.concatenate([agents, np.broadcast_to(_GOALS, (len(states), *_GOALS.shape))], axis=1)
    apart = _NEAR / BOARD_CENTRE * (points - block[:, None])  # (S, points, 2)
    along, across = (cos * apart[..., 0] + sin * apart[..., 1], cos * apart[..., 1] - sin * apart[..., 0])
    left = np.arange(MATCH_TURNS + 1) == np.broadcast_to(turns_left, len(states))[:, None]
    far, lead = np.hypot(along, across), margin(states)[:, None] / BOARD_CENTRE
    return np.concatenate([places, cos, sin, along, across, far, lead, left], axis=1).astype(np.float32)


class Perceptron:
    """The residual MLP of ``pushjepa.nets.advice`` in NumPy.

    Args:
        weights: by the names that torch gives them.

    Raises:
        ValueError: a weight is missing or does not fit the others.
    """

    def __init__(self, weights: Mapping[str, FloatArray]) -> None:
        self.weights = {name: np.asarray(value, dtype=np.float32) for name, value in weights.items()}
        self.layers = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
        try:
            self.outputs = len(self(np.zeros((1, FEATURES), np.float32))[0])
        except (KeyError, ValueError, IndexError) as error:
            raise ValueError(f"the weights of a network do not fit one another: {error}") from None

    def __call__(self, x: FloatArray) -> FloatArray:
        """Inputs (S, F) to outputs (S, N)."""
        x = self._linear("enter", x)
        for layer in range(self.layers):
            block = f"blocks.{layer}"
            risen = self._linear(f"{block}.rise", self._norm(f"{block}.norm", x))
            # x times its logistic function, by a tanh, which does not overflow
            x = x + self._linear(f"{block}.fall", 0.5 * risen * (1.0 + np.tanh(0.5 * risen)))
        return self._linear("leave", self._norm("norm", x))

    def _linear(self, name: str, x: FloatArray) -> FloatArray:
        return np.asarray(x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"])

    def _norm(self, name: str, x: FloatArray) -> FloatArray:
        x = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(1e-5))
        return np.asarray(x / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"])


class Prior:
    """A policy prior distilled from plans: from a position to a mixture of normal distributions over turns.

    Args:
        net: gives each component's log-weight, then all their means, then all their spreads.

    Raises:
        ValueError: a network with another number of outputs.
    """

    def __init__(self, net: Perceptron) -> None:
        self.net, self.modes = net, net.outputs // (1 + 2 * _NUMBERS)
        if net.outputs != outputs_of_prior(self.modes) or not self.modes:
            raise ValueError(f"a prior's network has {outputs_of_prior(1)} outputs a component, got {net.outputs}")

    def mixture(self, states: Array, side: Side, turns_left: int) -> tuple[Array, Array, Array]:
        """Weights (S, M), means (S, M, 5, 2) and standard deviations (S, M, 5, 2) as ``side`` sees the board.

        The heaviest component of a mixture comes first.

        Args:
            states: (S, 7) positions.
            side: who is to move.
            turns_left: this one included.
        """
        given = self.net(features(seen_by(states, side), turns_left)).astype(np.float64)
        logits, means, stds = components(given, self.modes, _softplus)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        order = np.argsort(-weights, axis=1, kind="stable")
        rows = np.arange(len(order))[:, None]
        return (weights / weights.sum(axis=1, keepdims=True))[rows, order], means[rows, order], stds[rows, order]

    def likeliest(self, states: Array, side: Side, turns_left: int, count: int) -> FloatArray:
        """The means (S, count at most, 5, 2), in [-1, 1], of the heaviest components, as the board is drawn.

        Args:
            states, side, turns_left: as for :meth:`mixture`.
            count: how many; all components if there are fewer.
        """
        means = np.clip(self.mixture(states, side, turns_left)[1][:, :count], -1.0, 1.0)
        return turns_seen_by(means, side).astype(np.float32)

    def propose(self, state: Array, side: Side, turns_left: int, count: int, rng: np.random.Generator) -> FloatArray:
        """Turns (count, 5, 2) in [-1, 1] that are worth trying: the components' means, then draws from the mixture.

        Args:
            state: (7,) the position.
            side: who is to move.
            turns_left: this one included.
            count: how many.
            rng: where the draws come from.
        """
        weights, means, stds = (part[0] for part in self.mixture(state[None], side, turns_left))
        which = rng.choice(self.modes, size=max(0, count - self.modes), p=weights)
        drawn = means[which] + stds[which] * rng.standard_normal((len(which), *TURN))
        turns = np.clip(np.concatenate([means, drawn])[:count], -1.0, 1.0)
        return turns_seen_by(turns, side).astype(np.float32)


class Value:
    """A value function: what margin a match is expected to end with, by its position.

    Args:
        net: gives by how much the margin will grow for the side to move, in half boards.

    Raises:
        ValueError: a network with more outputs than one.
    """

    def __init__(self, net: Perceptron) -> None:
        if net.outputs != 1:
            raise ValueError(f"a value's network has one output, got {net.outputs}")
        self.net = net

    def __call__(self, states: Array, side: Side, to_move: Side, turns_left: int) -> Array:
        """Expected final margin (S,) px, positive where it is good for ``side``.

        Args:
            states: (S, 7).
            side: for whom.
            to_move: who plays the next turn.
            turns_left: the next one included.
        """
        seen = seen_by(states, to_move)
        ends = margin(seen) + BOARD_CENTRE * self.net(features(seen, turns_left))[:, 0]
        return np.asarray(ends if side == to_move else -ends, dtype=np.float64)


@dataclass(frozen=True)
class Advice:
    """What a file of advice holds: a prior, a value or both."""

    prior: Prior | None = None
    value: Value | None = None

    @classmethod
    def of_model(cls, folder: Path) -> Advice:
        """The advice that players with the model of a checkpoint folder go by; see :func:`find_advice`.

        Raises:
            ValueError: there is none, or none that can be read.
        """
        return cls.load(find_advice(folder))

    @classmethod
    def load(cls, path: str | Path) -> Advice:
        """Read what :func:`save_advice` wrote.

        Raises:
            ValueError: there is no such file, or it holds something else.
        """
        try:
            with safe_open(str(path), framework="numpy") as file:
                kind = (file.metadata() or {}).get("format")
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
        except (OSError, SafetensorError) as error:
            raise ValueError(f"no advice can be read from {path}: {error}") from None
        if kind != FORMAT:
            raise ValueError(f"{path} holds no advice of this version; make some with pushjepa advise")
        try:
            prior, value = (_network(weights, name) for name in ("prior", "value"))
            return cls(None if prior is None else Prior(prior), None if value is None else Value(value))
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}") from None


@dataclass(frozen=True)
class LeafValue:
    """Less the margin in px that ``value`` expects at the end of the match, for ``side``.

    Attributes:
        value: asked about the last imagined states.
        side: who plans.
        to_move: who plays the turn after them.
        turns_left: after them.
    """

    value: Value
    side: Side
    to_move: Side
    turns_left: int

    def __call__(self, states: Array, latents: FloatArray) -> Array:
        return -self.value(states[:, -1], self.side, self.to_move, self.turns_left)


def value_cost(value: Value, side: Side, goals: tuple[Point, Point], to_move: Side, turns_left: int) -> Cost:
    """What a future is worth by what the match will end with.

    Where it ends with that future the lead itself is known, and :func:`~pushjepa.planning.costs.margin_cost` judges.
    Elsewhere the value stands for the lead in that cost, whatever the player's own cost is.

    Args:
        value: asked about the last imagined states.
        side: who plans.
        goals: own first, px.
        to_move: who plays the turn after the last imagined one.
        turns_left: after the last imagined turn.
    """
    if turns_left <= 0:
        return margin_cost(side, goals, turns_left)
    leaf = LeafValue(value, side, to_move, turns_left)
    return WeightedSum(((1.0, leaf), (PLACE, AgentBehindBlock(side, goals[0]))))


def outputs_of_prior(modes: int) -> int:
    """Numbers that the network of a prior of so many components gives."""
    return modes * (1 + 2 * _NUMBERS)


def components(given: Any, modes: int, softplus: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    """Log-weights (S, M), means and standard deviations (S, M, 5, 2) in the outputs (S, N) of a prior's network.

    Args:
        given: the outputs, NumPy's or torch's; what comes back is the same.
        modes: M.
        softplus: of the same library.
    """
    turns = given[:, modes:].reshape(-1, 2, modes, *TURN)
    return given[:, :modes], turns[:, 0], LEAST_STD + softplus(turns[:, 1] - 1.0)


def save_advice(path: Path, networks: Mapping[str, Mapping[str, FloatArray]], about: Mapping[str, object]) -> None:
    """Write a file of advice, which appears whole or not at all, in the place of any that was there.

    Args:
        path: where to.
        networks: weights of ``prior``, ``value`` or both, each by the names that torch gives them.
        about: how it came about; goes into the file's header as JSON.
    """
    weights = {f"{net}.{name}": np.ascontiguousarray(w) for net, named in networks.items() for name, w in named.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(weights, metadata={"format": FORMAT, "about": json.dumps(dict(about))}))


def find_advice(folder: Path) -> Path:
    """The advice in a checkpoint folder, or else that of the bundled model: advice is asked about positions alone.

    Raises:
        ValueError: there is neither.
    """
    for path in (folder / FILE, resolve(None) / FILE):
        if path.is_file():
            return path
    raise ValueError(f"checkpoint {folder} has no {FILE}, and neither has the bundled model; see pushjepa advise")


def _softplus(x: Array) -> Array:
    return np.logaddexp(0.0, x)


def _network(weights: Mapping[str, FloatArray], name: str) -> Perceptron | None:
    """The network called ``name``; None if the file has no such one."""
    own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
    return Perceptron(own) if own else None
