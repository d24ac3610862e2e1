"""The recipe: run every phase of a preset in order, resumable at any point, and write one checkpoint folder."""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors.torch import load_file, save_file
from torch import nn

from pushjepa.training.batches import PhaseData
from pushjepa.training.modules import Phase
from pushjepa.training.presets import PhaseConfig, Preset, with_defaults


class Start(NamedTuple):
    """A checkpoint that a run starts from.

    Attributes:
        files: digests of its files.
        data: what it learned from, as its config's entry ``data`` tells.
    """

    files: dict[str, str]
    data: dict[str, Any]


class Task(Protocol):
    """What a recipe trains, and on what: the game's model, Push-T's, or the peer that Push-T's are compared with."""

    def describe(self) -> dict[str, Any]:
        """What the data are made from, for the run's folder and the model's config."""
        ...

    def make_model(self) -> nn.Module: ...

    def load_weights(self, model: Any, folder: Path) -> None:
        """Load a checkpoint folder's weights into ``model``, strictly."""
        ...

    def read_start(self, folder: Path) -> Start:
        """What a checkpoint folder to start from is, and what it learned from."""
        ...

    def make_phase(self, model: Any, phase: PhaseConfig, seed: int) -> Phase[Any]: ...

    def build_data(
        self, model: Any, phase: PhaseConfig, seed: int, workers: int, device: torch.device
    ) -> PhaseData: ...

    def write_checkpoint(
        self, model: Any, folder: Path, curves: dict[str, dict[str, float]], learned: dict[str, Any]
    ) -> None:
        """Write the finished model; ``learned`` is all that it learned from, its start's data too."""
        ...


@dataclass(frozen=True)
class TrainingOptions:
    """What a recipe runs on, and where. A run goes on only with the data and weights that it began with.

    Attributes:
        data: episode stores, as ``pushjepa generate`` writes, or one folder of Push-T's trajectories.
        out: folder of the run; the finished checkpoint lies in ``out/checkpoint``.
        init_from: a checkpoint folder whose weights to start from.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; None leaves torch's choice.
        workers: processes that draw frames; 0 draws in the main process.
        precision: Lightning's name, or ``auto``: bf16 mixed for the ViT on a GPU, fp32 for all else.
        compile: whether to compile what takes most of a step; None compiles on a GPU.

    Raises:
        ValueError: data that are one path instead of several.
    """

    data: tuple[Path, ...]
    out: Path
    init_from: Path | None = None
    device: str = "auto"
    threads: int | None = None
    workers: int = 0
    precision: str = "auto"
    compile: bool | None = None

    def __post_init__(self) -> None:
        given: Any = self.data  # a slip that only a type checker would tell of
        if isinstance(given, str | Path):
            raise ValueError(f"data is a tuple of folders, also where it is one: (Path({str(given)!r}),)")


def train(preset: Preset, options: TrainingOptions) -> Path:
    """Run the phases that are not finished yet and write the checkpoint folder, whose path is returned.

    A run that was stopped goes on from its last checkpoint when called again with the same preset and folder.

    Raises:
        ValueError: the folder holds a run of another preset, the data cannot be read, a phase needs weights
            to start from, or there is nothing to compile.
    """
    check_compile(preset, options.compile)
    if preset.needs_start() and options.init_from is None:
        raise ValueError(f"{preset.name} begins with weights that are trained already; say which by --init-from")
    if options.threads:
        torch.set_num_threads(options.threads)
    # TF32 on a GPU: matrix products of layers are rounded to 11 bits. The moments of key points and the unrolls' waves,
    # which that would spoil, are sums.
    torch.set_float32_matmul_precision("high")
    task = make_task(preset, options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    start = None if options.init_from is None else task.read_start(options.init_from)
    _claim(preset, task, options.out, start)
    torch.manual_seed(preset.seed)
    model = task.make_model()
    if options.init_from is not None:
        task.load_weights(model, options.init_from)
    for index in range(len(preset.phases)):
        _run_phase(model, preset, index, task, options)
    curves: dict[str, dict[str, float]] = {
        f"{i}-{p.kind}": json.loads((options.out / f"{i}-{p.kind}" / "metrics.json").read_text())
        for i, p in enumerate(preset.phases)
    }
    folder = options.out / "checkpoint"
    task.write_checkpoint(model, folder, curves, task.describe() | ({} if start is None else {"start": start.data}))
    return folder


def make_task(preset: Preset, data: Sequence[Path]) -> Task:
    """What ``preset`` is for, with the data it learns from.

    Raises:
        ValueError: the data cannot be read, or are more than one folder where the task takes one.
    """
    if preset.task == "relay":
        from pushjepa.training.relay import RelayTask

        return RelayTask(preset, data)
    if len(data) != 1:
        raise ValueError(f"{preset.name} learns from one folder of trajectories, got {len(data)}")
    if preset.task == "peer":
        try:
            from pushjepa.training.peer import PeerTask
        except ModuleNotFoundError as error:
            raise ValueError(f"the peer needs {error.name}; install the extra `pusht`: tools/setup.sh full") from None

        return PeerTask(preset, data[0])
    from pushjepa.training.pusht import PushTTask

    return PushTTask(preset, data[0])


def _claim(preset: Preset, task: Task, out: Path, start: Start | None) -> None:
    """Write into the run's folder what its result depends on, or refuse a folder that belongs to another run."""
    parts = {"preset": preset.to_dict(), "data": task.describe(), "start": None if start is None else start.files}
    path, ours = out / "run.json", json.loads(json.dumps(parts))
    theirs = _read_claim(path, preset) if path.exists() else ours
    for name, words in (("preset", "preset"), ("data", "episodes"), ("start", "starting weights")):
        if theirs.get(name) != ours[name]:
            raise ValueError(f"{out} holds a run with another {words}; choose another --out or delete it")
    path.write_text(json.dumps(ours, indent=1))


def _read_claim(path: Path, preset: Preset) -> dict[str, Any]:
    """What a run's result depends on; entries that presets had not yet when it began are at their defaults."""
    theirs: dict[str, Any] = json.loads(path.read_text())
    filled = with_defaults(theirs.get("preset", {}), preset)
    return theirs | {"preset": json.loads(json.dumps(filled))}


def _run_phase(model: nn.Module, preset: Preset, index: int, task: Task, options: TrainingOptions) -> None:
    phase = preset.phases[index]
    folder = options.out / f"{index}-{phase.kind}"
    finished = folder / "model.safetensors"
    if finished.exists():
        model.load_state_dict(load_file(finished))
        return
    folder.mkdir(exist_ok=True)
    start = time.perf_counter()
    seed = preset.seed + 1000 * index
    module = task.make_phase(model, phase, seed)
    last = folder / "last.ckpt"
    with _quiet():
        trainer = build_trainer(phase, folder, options, bf16=module.bf16)
        data = task.build_data(model, phase, seed, options.workers, trainer.strategy.root_device)
        on_gpu = trainer.strategy.root_device.type == "cuda"
        with compiled(module.hot() if choose_compile(options.compile, on_gpu=on_gpu) else []):
            trainer.fit(module, datamodule=data, ckpt_path=str(last) if last.exists() else None)
    if trainer.global_step < phase.steps:
        raise RuntimeError(f"phase {phase.kind} stopped at step {trainer.global_step} of {phase.steps}")
    _finish_phase(model, trainer, folder, time.perf_counter() - start)


def _finish_phase(model: nn.Module, trainer: L.Trainer, folder: Path, seconds: float) -> None:
    """Keep the phase's last validation and its weights; the weights' file says that the phase is finished."""
    metrics = {name: float(value) for name, value in trainer.logged_metrics.items()}
    metrics["seconds"] = seconds
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
    model.cpu().requires_grad_(True)
    save_file(model.state_dict(), folder / "part.safetensors")
    os.replace(folder / "part.safetensors", folder / "model.safetensors")


def check_compile(preset: Preset, asked: bool | None) -> None:
    """Refuse to compile where no phase names anything that would be worth it.

    Raises:
        ValueError: it is asked for, and the task is not the game.
    """
    if asked and preset.task != "relay":
        raise ValueError(f"{preset.name}: nothing is compiled in models of Push-T; leave --compile out")


def choose_compile(asked: bool | None, *, on_gpu: bool) -> bool:
    """Whether to compile what takes most of a step: as ``asked``, else on a GPU, where it pays within a phase."""
    return on_gpu if asked is None else asked


def choose_precision(asked: str, *, on_gpu: bool, bf16: bool) -> str:
    """Lightning's name of the precision: as ``asked``, or for ``auto`` bf16 mixed where it serves, on a GPU."""
    if asked != "auto":
        return asked
    return "bf16-mixed" if on_gpu and bf16 else "32-true"


@contextmanager
def compiled(methods: Sequence[tuple[nn.Module, str]]) -> Iterator[None]:
    """These methods of modules compiled for a while."""
    for module, name in methods:
        setattr(module, name, torch.compile(getattr(module, name), dynamic=False))
    try:
        yield
    finally:
        for module, name in methods:
            delattr(module, name)


def build_trainer(phase: PhaseConfig, folder: Path, options: TrainingOptions, *, bf16: bool = False) -> L.Trainer:
    """Lightning's trainer for one phase: an epoch is the stretch between two validations.

    ``bf16`` says whether that serves where the phase is trained on a GPU.
    """
    epochs = -(-phase.steps // phase.validate_every)
    accelerator = {"auto": "auto", "cpu": "cpu", "cuda": "gpu"}[options.device]
    on_gpu = accelerator != "cpu" and torch.cuda.is_available()
    precision = choose_precision(options.precision, on_gpu=on_gpu, bf16=bf16)
    return L.Trainer(
        accelerator=accelerator,
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        # Counted in epochs, not steps: Lightning resumes at an epoch's end only then. The last epoch may be shorter.
        max_epochs=epochs,
        max_steps=-1,
        gradient_clip_val=phase.clip,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        log_every_n_steps=25,
        enable_model_summary=False,
        logger=TensorBoardLogger(folder, name="curves", version=""),
        callbacks=[
            # Saved once the epoch is over, or a resumed run would take its last validation for unfinished business.
            ModelCheckpoint(folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False),
            TQDMProgressBar(refresh_rate=25),
        ],
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's advice about loader workers, log intervals and its other products."""
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        finally:
            logger.setLevel(level)
