"""What every test shares: one thread per process, so that two test workers do not fight over two cores."""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # read when NumPy and torch are first imported, so before any test

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from pushjepa.adaptation import Usual
from pushjepa.physics import LAWS, STATE_FIELDS
from pushjepa.physics.constants import AGENT_FORCE, AGENT_SPEED, DAMPING
from pushjepa.relay.scene import COLOURS
from pushjepa.runtime.contract import Context, ModelSpec

# Timing differs between machines and neighbours; what a property says does not.
settings.register_profile("pushjepa", deadline=None, print_blob=True)
settings.load_profile("pushjepa")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class Gate:
    """A policy that moves, at random, only once it is let through."""

    sees = "state"

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def act(self, observation: Any, rng: np.random.Generator) -> np.ndarray:
        self.entered.set()
        assert self.open.wait(20.0), "the gate was not opened"
        return rng.uniform(-1, 1, (5, 2))


@pytest.fixture
def gate() -> Gate:
    return Gate()


class Glider:
    """A world model that can be told of laws: it reads the bodies' places off the colours of a frame.

    Its agents glide as the laws of their speed have it; its block is neither turned nor ever moved.
    """

    spec = ModelSpec(1, 7, agents=2, frameskip=5, history=3, frame_size=128, state_fields=STATE_FIELDS, laws=LAWS)
    usual = Usual(mean=(0.9, 0.9), std=(0.5, 0.5), threshold=4.0, rate=0.0, n=100)

    def encode(self, frames: np.ndarray) -> np.ndarray:
        assert frames.shape[1:] == (128, 128, 3)
        ys, xs = np.mgrid[:128, :128] * 4.0 + 2.0  # px at the middle of a pixel
        states = np.zeros((len(frames), 7), dtype=np.float32)
        for at, name in ((0, "p1"), (2, "p2"), (4, "block")):
            share = np.clip(1.0 - np.abs(frames - np.float32(COLOURS[name])).max(axis=-1) / 60.0, 1e-9, 1.0)
            total = share.sum(axis=(1, 2))
            states[:, at], states[:, at + 1] = ((share * axis).sum(axis=(1, 2)) / total for axis in (xs, ys))
        return states[:, None] / 256.0

    def decode(self, latents: np.ndarray) -> np.ndarray:
        return latents[..., 0, :].astype(np.float64) * 256.0

    def rollout(
        self, context: Context, candidates: np.ndarray, actors: np.ndarray, conditions: np.ndarray | None = None
    ) -> np.ndarray:
        speed = np.full(len(candidates), 1.0 if conditions is None else np.exp(conditions[0]))
        states = np.repeat(self.decode(context.latents[-1])[None], len(candidates), axis=0)
        out = []
        for turn in range(candidates.shape[1]):
            states = self._glide(states, candidates[:, turn], speed)
            out.append(states)
        return (np.stack(out, axis=1)[:, :, None] / 256.0).astype(np.float32)

    def foresee(
        self, latents: np.ndarray, earlier: np.ndarray, blocks: np.ndarray, actors: np.ndarray, conditions: np.ndarray
    ) -> np.ndarray:
        return self._glide(self.decode(latents), blocks, np.exp(conditions[:, 0]))

    def _glide(self, states: np.ndarray, blocks: np.ndarray, speed: np.ndarray) -> np.ndarray:
        """States (N, 7) after joint blocks (N, 5, 2, 2) of agents that are ``speed`` (N,) times as fast as usual."""
        from pushjepa.server.aiming import FreeAgent  # most tests have no need of the server

        laws: Any = SimpleNamespace(
            agent_speed=AGENT_SPEED * speed[:, None, None], agent_force=AGENT_FORCE, damping=DAMPING
        )
        agents = FreeAgent(laws, states[:, :4].reshape(-1, 2, 2).astype(np.float64), np.zeros((len(states), 2, 2)))
        for step in range(blocks.shape[1]):
            agents.step(blocks[:, step])
        after = states.astype(np.float64)
        after[:, :4] = np.clip(agents.position, 20.0, 492.0).reshape(-1, 4)
        return after


@pytest.fixture
def glider() -> Glider:
    return Glider()


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run ``pushjepa ARGUMENTS`` in this process; gives (exit code, stdout, stderr)."""
    from pushjepa.cli import main

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(list(arguments))
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small collection of Push-T trajectories, with its frames in a file."""
    pytest.importorskip("h5py", reason="h5py is not installed")
    pytest.importorskip("pygame", reason="pygame is not installed")
    from pushjepa.pusht.collect import CollectOptions, collect, export_hdf5

    folder = tmp_path_factory.mktemp("pusht")
    options = CollectOptions(episodes=6, seed=5, limit=150)
    export_hdf5(collect(folder, options, workers=1), folder / "pusht.h5", 64, options=options)
    return folder


@pytest.fixture(scope="session")
def expert_data(collection: Path) -> Any:
    """That collection as tasks are drawn from it."""
    pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")
    from pushjepa.pusht.tasks import ExpertData

    return ExpertData(collection / "pusht.h5")


@pytest.fixture(scope="session")
def tiny_model() -> Any:
    """An untrained MechJEPA with a codebook and an action prior that sees frames of 64 px."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pushjepa.nets.mech import MechJEPA
    from pushjepa.nets.mech_config import MechConfig
    from pushjepa.pusht.model import PushTModel

    torch.manual_seed(0)
    sizes = {"frame_size": 64, "slots": 3, "width": 16, "points": 3, "layers": 1, "heads": 2, "mlp_hidden": 32}
    memory = {"mechanism": "vq", "codes": 8, "mechanism_width": 4, "head_hidden": 16}
    unroll = {"unroll_hidden": 16, "unroll_layers": 1, "unroll_waves": 8, "prior_hidden": 16, "prior_layers": 1}
    return PushTModel(MechJEPA(MechConfig(**sizes, **memory, **unroll)))
