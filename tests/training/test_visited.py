"""Stores of branches and how training splits them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from pushjepa.data import Episodes, Experience, branch
from pushjepa.relay import get_stage
from pushjepa.training.batches import split_episodes


def experience(matches: int) -> Experience:
    """Matches whose positions and actions have nothing to do with each other."""
    rng = np.random.default_rng(0)
    starts = np.stack([get_stage("open").sample_start(rng) for _ in range(matches * 11)])
    asked = rng.uniform(-1, 1, (matches, 10, 3, 5, 2)).astype(np.float16).astype(np.float32)
    return Experience(
        stages=("open",),
        stage=np.zeros(matches, dtype=np.int64),
        states=starts.reshape(matches, 11, 7).astype(np.float32),
        actors=np.tile([0, 1], (matches, 5)),
        blocks=asked[:, :, 0],
        plans=asked[:, :, 0],
        asked=asked,
        players=np.full((matches, 2), "jepa"),
        about={"model": "toy"},
    )


def test_what_is_held_out_starts_where_nothing_that_is_trained_on_does(tmp_path: Path) -> None:
    """The store has 150 episodes, 3 of them held out, and the experience 60 matches, 2 of them for these alone."""
    played = experience(60)
    played.save(tmp_path / "played.npz")
    store = branch(tmp_path / "played.npz", tmp_path / "store", 150, 4, steps=5, workers=1)

    def begun(episodes: Episodes) -> set[int]:
        """Numbers of the matches that episodes start in."""
        starts = episodes.boundaries[:, None, None, 0]  # (N, 1, 1, 7)
        return set(np.argwhere((starts == played.states).all(axis=3))[:, 1].tolist())

    training, held_out = split_episodes([store.episodes])
    assert (len(training), len(held_out)) == (147, 3)
    assert begun(held_out) <= {58, 59}
    assert max(begun(training)) < 58
    assert len(begun(training)) > 30
