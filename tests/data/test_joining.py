"""Episodes of several stores as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pushjepa.data import Episodes, simulate_episode
from pushjepa.data.joining import join_episodes
from pushjepa.physics import Physics
from pushjepa.relay import get_stage


def some(seed: int, count: int, steps: int = 10) -> Episodes:
    rng = np.random.default_rng(seed)
    played = [simulate_episode(rng, get_stage("open"), "near_t", steps) for _ in range(count)]
    return Episodes.of(played, ("open",))


def test_they_are_laid_end_to_end_and_keep_their_regimes() -> None:
    first, second = some(0, 3), some(1, 2)
    renamed = replace(second, regimes=("visited",), regime=np.zeros(2, dtype=np.int64))
    joined = join_episodes([first, renamed])
    assert len(joined) == 5
    assert np.array_equal(joined.states, np.concatenate([first.states, second.states]))
    names = [joined.regimes[i] for i in joined.regime]
    assert names == ["near_t"] * 3 + ["visited"] * 2


def test_one_store_is_itself() -> None:
    alone = some(0, 2)
    assert join_episodes([alone]) is alone


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (some(1, 2, steps=15), "length: 2 turns here, 3 turns there"),
        (replace(some(1, 2), stages=("gate", "open")), "stages: open here, gate, open there"),
        (
            replace(some(1, 2), physics=Physics(block_mass=2.0)),
            "laws of physics: block_mass 1.0 here, block_mass 2.0 there",
        ),
        (replace(some(1, 2), acting="step"), "way of acting: turn here, step there"),
    ],
)
def test_what_does_not_fit_together_is_refused(other: Episodes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        join_episodes([some(0, 2), some(2, 2), other])
