"""Fit the win odds that the page shows, on matches between the policies on offer, and measure them on others.

    python tools/fit_odds.py [--matches 800] [--held-out 200] [--workers 2] [--out src/pushjepa/server/odds.json]

Each match has a seed, and its seed draws who plays, who starts and where; matches to fit on and matches to measure on
have different seeds. Outcomes count 1 for a win of p1, 0 for one of p2, 0.5 for a draw. Every position before a turn is
one sample; the odds are compared with the constant guess, which is the mean outcome of the matches fitted on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import pushjepa
from pushjepa.data.parallel import parallel_map
from pushjepa.physics.geometry import Array
from pushjepa.planning import Advice, Budget, make_policy, needs_advice, needs_model
from pushjepa.relay import MATCH_TURNS, SIDES, STAGES, Match, MatchSetup, Policy, Side, get_stage, side_to_move
from pushjepa.runtime import WorldModel, load_model
from pushjepa.runtime.checkpoint import resolve
from pushjepa.server.odds import FEATURES, FORMAT, OddsModel, brier, fit_weights, odds_features
from pushjepa.server.roster import OFFERS

HELD_OUT_FROM = 1_000_000  # first seed of the matches that are measured on
# How often these are drawn, beside 1 for the others: they take their time.
SEARCHING = {"jepa": 0.5, "jepa-margin": 0.5, "jepa-reply": 0.5, "oracle": 0.5}
#: Smaller searches than the server's.
SMALLER = {"oracle": Budget(32, 3), "jepa-reply": Budget(64, 4)}
PLAYERS = tuple(offer.name for offer in OFFERS)


@dataclass(frozen=True)
class Sample:
    """One match: its stage, who started, the states (10, 7) before its turns, and the outcome for p1 (1, 0 or 0.5)."""

    stage: str
    first: Side
    states: Array
    won: float


def play(task: tuple[str, int]) -> Sample:
    """The match of one (stage, seed)."""
    stage, seed = task
    rng = np.random.default_rng([seed, list(STAGES).index(stage)])
    weights = np.array([SEARCHING.get(name, 1.0) for name in PLAYERS])
    names = rng.choice(PLAYERS, size=2, p=weights / weights.sum())
    match = Match(MatchSetup(stage, seed, first=SIDES[int(rng.integers(2))]))
    players = {side: seat(str(name), side, stage) for side, name in zip(SIDES, names, strict=True)}
    while not match.over:
        player = players[match.to_move]
        match.play(player.act(match.observation(player), rng))
    winner = match.result().winner
    won = 0.5 if winner is None else float(winner == "p1")
    return Sample(stage, match.setup.first, np.stack(match.states[:-1]), won)


def seat(name: str, side: Side, stage: str) -> Policy:
    """A player as the server would seat it, some with a smaller search."""
    model = bundled_model() if needs_model(name) else None
    advice = bundled_advice() if needs_advice(name) else None
    return make_policy(name, side, stage, model=model, budget=SMALLER.get(name), advice=advice)


@lru_cache(maxsize=1)
def bundled_model() -> WorldModel:
    """The bundled world model, on one thread: matches run side by side."""
    return load_model(threads=1)


@lru_cache(maxsize=1)
def bundled_advice() -> Advice:
    """The bundled model's advice."""
    return Advice.of_model(resolve(None))


def fit(samples: Sequence[Sample]) -> OddsModel:
    """Weights for every stage and number of turns left."""
    weights = {}
    for stage in STAGES:
        of_stage = [sample for sample in samples if sample.stage == stage]
        won = np.array([sample.won for sample in of_stage])
        rows = [
            fit_weights(np.stack([features(sample, MATCH_TURNS - left) for sample in of_stage]), won)
            for left in range(1, MATCH_TURNS + 1)
        ]
        weights[stage] = np.stack(rows)
    return OddsModel(weights)


def features(sample: Sample, turn: int) -> Array:
    """Features (4,) of the position before ``turn``."""
    return odds_features(sample.states[turn], side_to_move(turn, sample.first), get_stage(sample.stage))


def chances(model: OddsModel, sample: Sample) -> Array:
    """The odds of p1 before each turn (10,)."""
    stage, start = get_stage(sample.stage), sample.states[0]
    found = [
        model(start, state, turn, side_to_move(turn, sample.first), stage) for turn, state in enumerate(sample.states)
    ]
    return np.array([odds.p1 for odds in found if odds is not None])


def measure(model: OddsModel, fitted_on: Sequence[Sample], held_out: Sequence[Sample]) -> dict[str, Any]:
    """Brier scores on the held-out matches: of the odds, of the constant guess, and by turn."""
    guessed = np.stack([chances(model, sample) for sample in held_out])  # (matches, 10)
    won = np.repeat([[sample.won] for sample in held_out], MATCH_TURNS, axis=1)
    constant = float(np.mean([sample.won for sample in fitted_on]))
    return {
        "matches": len(held_out),
        "brier": round(brier(guessed, won), 4),
        "brier_constant": round(brier(np.full_like(won, constant), won), 4),
        "brier_by_turn": [round(brier(guessed[:, turn], won[:, turn]), 4) for turn in range(MATCH_TURNS)],
    }


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--matches", type=int, default=800, help="matches to fit on, on each stage")
    parser.add_argument("--held-out", type=int, default=200, help="matches to measure on, over all stages")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=Path("src/pushjepa/server/odds.json"), help="the file to write")
    return parser.parse_args(arguments)


def main() -> None:
    """Play, fit, measure and write."""
    options = parse()
    stages = list(STAGES)
    tasks = [(stage, seed) for seed in range(options.matches) for stage in stages]
    held_out_tasks = [(stages[i % len(stages)], HELD_OUT_FROM + i) for i in range(options.held_out)]
    samples = list(parallel_map(play, tasks + held_out_tasks, options.workers))
    fitted_on, held_out = samples[: len(tasks)], samples[len(tasks) :]
    model = fit(fitted_on)
    table = {
        "format": FORMAT,
        "command": f"python tools/fit_odds.py --matches {options.matches} --held-out {options.held_out}",
        "pushjepa": pushjepa.__version__,
        "players": list(PLAYERS),
        "matches": len(fitted_on),
        "held_out": measure(model, fitted_on, held_out),
        "features": list(FEATURES),
        "stages": {name: weights.round(4).tolist() for name, weights in model.weights.items()},
    }
    options.out.write_text(json.dumps(table, indent=1) + "\n")
    sys.stdout.write(json.dumps(table["held_out"], indent=1) + "\n")


if __name__ == "__main__":
    main()
