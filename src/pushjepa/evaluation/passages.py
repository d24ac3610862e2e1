"""Where a model is put to the test: episodes that it never saw, and matches in which it does not play."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pushjepa.data import REGIMES, simulate_episode
from pushjepa.data.parallel import parallel_map
from pushjepa.physics.geometry import Array
from pushjepa.planning import Budget, make_policy
from pushjepa.relay import SIDES, Match, MatchSetup, get_stage

_BULL, _KEEPER, _NUDGER, _SPINNER, _BISHOP, _MARKER = (
    f"pushjepa.relay.strangers:{name}" for name in ("Bull", "Keeper", "Nudger", "Spinner", "Bishop", "Marker")
)
#: Who plays whom in a source of matches. The oracle stands for a player that plans; a small budget will do. Episodes
#: that are branched from a model's own matches may begin against players of the first, never against the strangers.
PAIRINGS = {
    "matches": (
        ("chase_t", "shove"),
        ("oracle", "adversarial"),
        ("shove", "adversarial"),
        ("chase_t", "oracle"),
        ("adversarial", "chase_t"),
        ("oracle", "shove"),
    ),
    "strangers": (
        (_BULL, _KEEPER),
        (_NUDGER, _SPINNER),
        (_BISHOP, _MARKER),
        (_KEEPER, _BISHOP),
        (_MARKER, _BULL),
        (_SPINNER, _NUDGER),
    ),
}
SOURCES = ("episodes", *PAIRINGS)
# Of the small oracle in matches. That of self-play is the same by chance: a change there must move no figure here.
ORACLE_BUDGET = Budget(candidates=24, iterations=3)
# First number of every spawn key here: even with the seed of the training data, nothing of it is drawn again.
_EPISODES, _MATCHES = 0xCA11_0001, 0xCA11_0002


@dataclass(frozen=True)
class Passage:
    """T turns on one stage, from one source.

    Attributes:
        stage: name of the stage.
        states: (T + 1, 7) at turn boundaries.
        blocks: (T, 5, 2, 2) joint action blocks between them.
        actors: (T,) who acted.
    """

    stage: str
    states: Array
    blocks: NDArray[np.float32]
    actors: NDArray[np.int64]


def episode_passages(count: int, seed: int, stages: Sequence[str], workers: int = 1) -> Iterator[Passage]:
    """``count`` fresh episodes in the training data's regimes, over ``stages`` in turn."""
    return parallel_map(partial(_episode, seed, tuple(stages)), range(count), workers)


def match_passages(
    count: int, seed: int, stages: Sequence[str], workers: int = 1, source: str = "matches"
) -> Iterator[Passage]:
    """``count`` matches as passages; see :func:`matches`."""
    for match in matches(count, seed, stages, workers, source):
        actors = np.array(match.actors, dtype=np.int64)
        yield Passage(match.stage.name, np.stack(match.states), match.joint_blocks(), actors)


def matches(count: int, seed: int, stages: Sequence[str], workers: int = 1, source: str = "matches") -> Iterator[Match]:
    """``count`` whole matches of a source of ``PAIRINGS``, over ``stages`` in turn; seats and first turn vary."""
    return parallel_map(partial(_match, source, seed, tuple(stages)), range(count), workers)


def _episode(seed: int, stages: tuple[str, ...], index: int) -> Passage:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_EPISODES, index)))
    names, shares = list(REGIMES), np.array(list(REGIMES.values()))
    regime = names[rng.choice(len(names), p=shares / shares.sum())]
    episode = simulate_episode(rng, get_stage(stages[index % len(stages)]), regime)
    states, actors = episode.boundaries.astype(np.float64), episode.actors.astype(np.int64)
    return Passage(episode.stage, states, episode.blocks, actors)


def _match(source: str, seed: int, stages: tuple[str, ...], index: int) -> Match:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_MATCHES, index)))
    stage = stages[index % len(stages)]
    names = PAIRINGS[source][rng.integers(len(PAIRINGS[source]))]
    seats = SIDES if rng.integers(2) else SIDES[::-1]
    players = {
        side: make_policy(name, side, stage, budget=ORACLE_BUDGET) for name, side in zip(names, seats, strict=True)
    }
    match = Match(MatchSetup(stage, int(rng.integers(2**32)), first=SIDES[rng.integers(2)]))
    while not match.over:
        player = players[match.to_move]
        match.play(player.act(match.observation(player), rng))
    return match
