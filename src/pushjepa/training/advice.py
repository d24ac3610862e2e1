"""Learn advice for the game's search from played matches: a prior from plans, a value from how the matches ended.

Both can be no better than what they are shown. The plans are what one-turn searches of the player that gathered them
(``jepa`` unless told) found, for whoever was to move; the ends are those of matches that it played so, with the budget
of ``pushjepa selfplay``, against the players that it met there. Positions are true ones, blurred a little, where in
play a model decodes them from frames; the held-out figures are of true ones, so a decoded position may fare worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from pushjepa.data.experience import Experience
from pushjepa.data.windows import check_flippable
from pushjepa.nets.advice import AdviceNet
from pushjepa.nets.prior import PlanMixture
from pushjepa.physics import STATE_SIZE, flip_block, flip_state
from pushjepa.physics.constants import BOARD_CENTRE
from pushjepa.physics.geometry import Array
from pushjepa.planning.advice import (
    FEATURES,
    MODES,
    TURN,
    check_goals,
    components,
    features,
    margin,
    outputs_of_prior,
    save_advice,
    seen_by,
    turns_seen_by,
)
from pushjepa.relay.rules import SIDES

_BEND = 0.1  # half boards: errors of the value below 26 px are squared, larger ones count as they are
_BLUR_DEGREES = 0.5  # of angle for each px of position, as in the phase ``turns``
_RESAMPLES = 1000
# Spawn keys: the split, what each network is learned with, the turns that a prior's means are compared with, and the
# resamples of the matches draw from streams of their own.
_SPLIT, _PRIOR, _VALUE, _DRAWN, _RESAMPLED = range(0xAD71_CE01, 0xAD71_CE06)


@dataclass(frozen=True)
class AdviceOptions:
    """How advice is learned.

    Attributes:
        seed: of everything random.
        hidden, layers, dropout: of both networks.
        prior_steps, value_steps: optimiser steps of each. A value has few matches to learn from and soon knows them by
            heart.
        batch: positions in a step.
        rate: peak of the learning rate, which then falls along a cosine.
        weight_decay: of AdamW.
        blur: largest standard deviation, px, of a position as frames show it; as in the phase ``turns``.
        held_out: share of the matches that nothing is learned from.

    Raises:
        ValueError: a value out of range.
    """

    seed: int = 0
    hidden: int = 128
    layers: int = 3
    dropout: float = 0.1
    prior_steps: int = 6000
    value_steps: int = 2000
    batch: int = 512
    rate: float = 1e-3
    weight_decay: float = 0.05
    blur: float = 1.5
    held_out: float = 0.1

    def __post_init__(self) -> None:
        for name in ("hidden", "layers", "prior_steps", "value_steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not (self.rate > 0.0 and self.weight_decay >= 0.0 and 0.0 <= self.dropout < 1.0):
            raise ValueError("rate must be positive, weight_decay not negative and dropout in [0, 1)")
        if not self.blur >= 0.0:
            raise ValueError(f"blur must not be negative, got {self.blur:g}")
        if not 0.0 < self.held_out < 1.0:
            raise ValueError(f"held_out must lie in (0, 1), got {self.held_out:g}")


class Samples(NamedTuple):
    """N turn boundaries as the side to move sees them; after the last turn, as the one that did not play it does.

    Attributes:
        match: (N,) which match they are of, counted from 0.
        states: (N, 7).
        left: (N,) turns left.
        ends: (N,) px, the margin that the match ended with.
        plans: (N, 5, 2) what the search found; zeros where no turn is left.
    """

    match: NDArray[np.int64]
    states: Array
    left: NDArray[np.int64]
    ends: Array
    plans: Array

    def at(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Samples:
        """Those in some rows."""
        return Samples._make(column[rows] for column in self)

    def playable(self) -> Samples:
        """Those with a turn left."""
        return self.at(self.left > 0)

    def flipped(self) -> Samples:
        """The same upside down, on stages that look the same so."""
        return self._replace(states=flip_state(self.states), plans=flip_block(self.plans))

    def blurred(self, most: float, rng: np.random.Generator) -> Samples:
        """The same with positions as a frame shows them: with errors of a standard deviation up to ``most`` px."""
        scale = np.array([1.0] * 6 + [math.radians(_BLUR_DEGREES)])
        errors = rng.uniform(0.0, most, (len(self.left), 1)) * scale * rng.standard_normal(self.states.shape)
        return self._replace(states=self.states + errors)


def samples_of(experience: Experience, matches: NDArray[np.int64]) -> Samples:
    """Every boundary of some matches of an experience, given by their numbers (K,)."""
    states = experience.states[matches].astype(np.float64)  # (K, T + 1, 7)
    ends = np.repeat(states[:, -1:], states.shape[1], axis=1)  # (K, T + 1, 7)
    actors = experience.actors[matches]
    to_move = np.concatenate([actors, 1 - actors[:, -1:]], axis=1)  # (K, T + 1)
    plans = np.zeros((*to_move.shape, *TURN))
    plans[:, :-1] = experience.plans[matches]
    for number, side in enumerate(SIDES):
        own = to_move == number
        states[own], ends[own] = seen_by(states[own], side), seen_by(ends[own], side)
        plans[own] = turns_seen_by(plans[own], side)
    match, played = np.indices(to_move.shape)
    return Samples(
        match=match.reshape(-1),
        states=states.reshape(-1, STATE_SIZE),
        left=actors.shape[1] - played.reshape(-1),
        ends=margin(ends).reshape(-1),
        plans=plans.reshape(-1, *TURN),
    )


def learn_advice(
    experience: Experience, out: Path, options: AdviceOptions | None = None, *, replace: bool = False
) -> dict[str, float]:
    """Learn a prior and a value, write them to one file and say how good they are on held-out matches.

    The file's header keeps the options, the figures and all that the experience tells of how it came about: its model,
    the digest of that model's weights where it tells it, its seed and its budget.

    Args:
        experience: matches to learn from.
        out: the file.
        options: how; the defaults if None.
        replace: write it in the place of a file that is there already.

    Returns:
        Held-out figures by name; see :func:`value_figures` and :func:`prior_figures`.

    Raises:
        ValueError: too few matches to hold some out, a stage that is not the same upside down or has its goals
            elsewhere, or a file that is there already.
    """
    options = options or AdviceOptions()
    check_goals(experience.stages)
    check_flippable(experience.stages)
    if out.exists() and not replace:
        raise ValueError(f"{out} exists already; choose another file, or give --replace")
    known, unknown = _split(len(experience), options)
    samples, held_out = samples_of(experience, known), samples_of(experience, unknown).playable()
    value = _fit("value", _VALUE, 1, options.value_steps, _value_loss, samples, options)
    searched, outputs = samples.playable(), outputs_of_prior(MODES)
    prior = _fit("prior", _PRIOR, outputs, options.prior_steps, _prior_loss, searched, options)
    figures = value_figures(value, held_out, _stream(options, _RESAMPLED))
    figures |= prior_figures(prior, held_out, _stream(options, _DRAWN))
    networks = {name: _weights(net) for name, net in (("prior", prior), ("value", value))}
    about = {"options": asdict(options), "matches": len(experience), "experience": experience.about}
    save_advice(out, networks, about | {"held_out": figures})
    return figures


def value_figures(net: nn.Module, held_out: Samples, rng: np.random.Generator) -> dict[str, float]:
    """How well a value knows the margin that matches end with, beside the guess that it stays as it is.

    ``value_px`` and ``margin_px`` are mean errors, with 95% intervals from ``..._low`` to ``..._high`` by a percentile
    bootstrap over the ``matches``; ``value_correlation`` and ``margin_correlation`` are correlations with the outcome.
    All are over the boundaries with turns left, at true positions.

    Args:
        net: the value's network.
        held_out: boundaries with turns left.
        rng: draws the resamples.
    """
    now = margin(held_out.states)
    with torch.no_grad():
        grown = net(_inputs(held_out))[:, 0].double().numpy()
    found: dict[str, float] = {"matches": len(np.unique(held_out.match))}
    for name, guess in (("value", now + BOARD_CENTRE * grown), ("margin", now)):
        off = np.abs(guess - held_out.ends)
        found[f"{name}_px"] = float(off.mean())
        found[f"{name}_px_low"], found[f"{name}_px_high"] = _interval(off, held_out.match, rng)
        found[f"{name}_correlation"] = _correlation(guess, held_out.ends)
    return found


def prior_figures(net: nn.Module, held_out: Samples, rng: np.random.Generator) -> dict[str, float]:
    """How near a prior comes to what a search of the experience finds, at true positions.

    ``prior_log_likelihood`` is that of plans, in nats for each of their actions. ``prior_nearest`` is the mean distance
    of a plan's actions from those of the nearest of the components' means (a full speed is 1), ``drawn_nearest`` from
    those of the nearest of as many turns drawn at random, as a search without a prior begins.

    Args:
        net: the prior's network.
        held_out: boundaries with turns left.
        rng: draws those turns.
    """
    with torch.no_grad():
        mixture = prior_mixture(net(_inputs(held_out)))
        likelihood = -_likelihood_loss(mixture, _floats(held_out.plans)).item()
    drawn = np.clip(rng.standard_normal((len(held_out.left), MODES, *TURN)), -1.0, 1.0)
    found = {"prior_log_likelihood": likelihood}
    for name, turns in (("prior", mixture.means[:, :, 0].clamp(-1.0, 1.0).double().numpy()), ("drawn", drawn)):
        apart = np.linalg.norm(turns - held_out.plans[:, None], axis=-1).mean(axis=-1)  # (N, M)
        found[f"{name}_nearest"] = float(apart.min(axis=1).mean())
    return found


def prior_mixture(given: Tensor) -> PlanMixture:
    """The mixture that the outputs (N, outputs) of a prior's network stand for, of plans one turn long."""
    logits, means, stds = components(given, MODES, functional.softplus)
    return PlanMixture(logits, means[:, :, None], stds[:, :, None])


def _likelihood_loss(mixture: PlanMixture, plans: Tensor) -> Tensor:
    """Negative log-likelihood of turns (N, 5, 2), in nats for each action."""
    return mixture.loss(plans[:, None], torch.ones_like(plans[:, None, :, 0]))


def _prior_loss(given: Tensor, batch: Samples) -> Tensor:
    return _likelihood_loss(prior_mixture(given), _floats(batch.plans))


def _value_loss(given: Tensor, batch: Samples) -> Tensor:
    # The growth is counted from the blurred position, as a value in play counts from the decoded one.
    growth = (batch.ends - margin(batch.states)) / BOARD_CENTRE
    return functional.smooth_l1_loss(given[:, 0], _floats(growth), beta=_BEND)


def _fit(
    name: str,
    key: int,
    outputs: int,
    steps: int,
    loss: Callable[[Tensor, Samples], Tensor],
    samples: Samples,
    options: AdviceOptions,
) -> AdviceNet:
    """Train one network on samples, the right way up and upside down; all its luck has the spawn key ``key``."""
    both = Samples(*(np.concatenate(pair) for pair in zip(samples, samples.flipped(), strict=True)))
    draws = _stream(options, key)
    with torch.random.fork_rng(devices=[]):  # weights and dropout draw from torch's own stream
        torch.manual_seed(int(draws.integers(2**63)))
        net = AdviceNet(FEATURES, outputs, options.hidden, options.layers, options.dropout)
        optimizer = torch.optim.AdamW(net.parameters(), options.rate, weight_decay=options.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 0.01 * options.rate)
        bar = tqdm(range(steps), desc=f"learning the {name}")
        for _ in bar:
            batch = both.at(draws.integers(len(both.left), size=options.batch)).blurred(options.blur, draws)
            lost = loss(net(_inputs(batch)), batch)
            optimizer.zero_grad()
            lost.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            bar.set_postfix(loss=f"{lost.item():.3f}", refresh=False)
    return net.eval()


def _split(matches: int, options: AdviceOptions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the matches to learn from and of those that are held out."""
    if matches < 2:
        raise ValueError(f"advice is learned from some matches and tried on others; {matches} is too few")
    order = _stream(options, _SPLIT).permutation(matches)
    kept = min(matches - 1, max(1, round(options.held_out * matches)))
    return np.sort(order[kept:]), np.sort(order[:kept])


def _stream(options: AdviceOptions, key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(options.seed, spawn_key=(key,)))


def _interval(off: Array, match: NDArray[np.int64], rng: np.random.Generator) -> tuple[float, float]:
    """The 95% interval of the mean of ``off`` (N,), by a percentile bootstrap over matches, all equally long."""
    each = np.array([off[match == which].mean() for which in np.unique(match)])
    means = each[rng.integers(len(each), size=(_RESAMPLES, len(each)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _correlation(guess: Array, ends: Array) -> float:
    """Between a guess (N,) and the ends (N,); 0 where one of them never changes, and so tells nothing."""
    if not (np.ptp(guess) and np.ptp(ends)):
        return 0.0
    return float(np.corrcoef(guess, ends)[0, 1])


def _inputs(samples: Samples) -> Tensor:
    return torch.from_numpy(features(samples.states, samples.left))


def _floats(values: Array) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _weights(net: nn.Module) -> dict[str, NDArray[np.float32]]:
    return {name: value.detach().numpy() for name, value in net.state_dict().items()}
