"""A tiny preset, a tiny episode store and a few trajectories of Push-T, for whole training runs in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
unroll_waves = 6
unroll_feelers = 2
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
    train(tiny, TrainingOptions((episodes,), out, device="cpu", threads=1))
    return out


@pytest.fixture(scope="session")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of five expert trajectories of Push-T, without their frames."""
    from pushjepa.pusht.collect import CollectOptions, collect

    folder = tmp_path_factory.mktemp("trajectories")
    collect(folder, CollectOptions(episodes=5, seed=2, limit=60), workers=1)
    return folder


@pytest.fixture
def train_in_two_sittings(monkeypatch: pytest.MonkeyPatch) -> Callable[[Preset, TrainingOptions, Any], None]:
    """Train a preset, with a break before the fourth step of a phase, whose module is given."""

    def run(preset: Preset, options: TrainingOptions, phase: Any) -> None:
        begin = phase.on_train_batch_start

        def stop(self: Any, batch: object, batch_idx: int) -> None:
            if self.global_step == 3:
                raise KeyboardInterrupt
            begin(self, batch, batch_idx)

        with monkeypatch.context() as patch:
            patch.setattr(phase, "on_train_batch_start", stop)
            with pytest.raises((KeyboardInterrupt, SystemExit, RuntimeError)):
                train(preset, options)
        train(preset, options)

    return run
