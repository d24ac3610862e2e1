"""What every test shares: one thread per process, so that two test workers do not fight over two cores."""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # read when NumPy and torch are first imported, so before any test

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

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
