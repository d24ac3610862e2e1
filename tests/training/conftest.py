"""A tiny preset and a tiny episode store, for whole training runs in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from pushjepa.data import EpisodeStore, generate
from pushjepa.training.presets import Preset, parse_preset
from pushjepa.training.recipe import TrainingOptions, train

TINY = """
seed = 3
[model]
frame_size = 32
width = 16
projector_hidden = 32
layers = 1
heads = 2
head_width = 8
mlp_hidden = 32
head_hidden = 32
unroll_hidden = 16
unroll_layers = 1
unroll_waves = 8
[[phase]]
kind = "scenes"
steps = 4
batch = 8
learning_rate = 1e-3
warmup_steps = 2
validate_every = 2
validation = 8
[[phase]]
kind = "joint"
steps = 4
batch = 8
learning_rate = 1e-3
warmup_steps = 2
moved = 0.4
validate_every = 2
validation = 16
[[phase]]
kind = "turns"
steps = 4
batch = 16
learning_rate = 1e-3
matrix_rate = 1e-2
warmup_steps = 2
moved = 0.5
validate_every = 2
validation = 64
[[phase]]
kind = "latents"
steps = 4
batch = 16
learning_rate = 1e-3
warmup_steps = 2
validate_every = 2
validation = 16
"""


@pytest.fixture(scope="session")
def tiny() -> Preset:
    return parse_preset("tiny", TINY)


@pytest.fixture(scope="session")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("episodes") / "store"
    generate(folder, episodes=60, steps=40, seed=5, workers=1)
    return folder


@pytest.fixture(scope="session")
def store(episodes: Path) -> EpisodeStore:
    return EpisodeStore(episodes)


@pytest.fixture(scope="session")
def run(tiny: Preset, episodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished tiny run, shared by the tests that only look at it."""
    out = tmp_path_factory.mktemp("run")
    train(tiny, TrainingOptions(episodes, out, device="cpu", threads=1))
    return out
