"""Batches as functions of (seed, number): batch 700 of a run is the same whether or not the run was interrupted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pushjepa.data import EpisodeStore, Windows, draw_states, draw_windows, make_scenes, random_scenes
from pushjepa.data.joining import join_episodes
from pushjepa.data.shifted import draw_looks, make_shifted_episodes
from pushjepa.data.store import Episodes, count_held_out
from pushjepa.data.substeps import draw_substeps, trace_episodes
from pushjepa.data.windows import WindowBatch as StateWindows
from pushjepa.data.windows import check_flippable, flip_window
from pushjepa.nets import JEPA, SCENES
from pushjepa.physics import Physics, tell_laws
from pushjepa.physics.geometry import TURNED_ALIKE, Array
from pushjepa.relay.scene import Scene
from pushjepa.relay.stages import STAGES, get_stage
from pushjepa.training.modules import GlimpseBatch, LookBatch, SceneBatch, SubstepBatch, TurnBatch, WindowBatch
from pushjepa.training.presets import PhaseConfig

_ALIKE = 8  # scenes that are drawn with one block: what a new block costs is shared by them
_PREFETCHED = 4  # batches that each worker keeps ready
_BLUR_DEGREES = 0.5  # of angle for each px of position: what the state head's errors are like


Made = TypeVar("Made")  #: the kind of batch


def stage_numbers(stages: Sequence[str]) -> NDArray[np.int64]:
    """The game's own numbers of some stages (K,): the same in every store, so that weights can move between them.

    Raises:
        ValueError: a stage beyond what a model can tell apart.
    """
    numbers = np.array([list(STAGES).index(get_stage(name).name) for name in stages], dtype=np.int64)
    if numbers.max() >= SCENES:
        raise ValueError(f"a model can tell {SCENES} stages apart; {stages[int(numbers.argmax())]!r} is one too many")
    return numbers


def sample_windows(
    windows: Windows, rng: np.random.Generator, size: int, phase: PhaseConfig, *, mirror: bool = False
) -> StateWindows:
    """Windows in the shares that ``phase`` asks for."""
    return windows.sample(rng, size, phase.moved, mirror, phase.blocked, phase.jostled)


class Batches(Dataset[Made], ABC):
    """An endless list of batches; ``self[i]`` depends on the seed and ``i`` alone."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed

    def __getitem__(self, number: int) -> Made:
        return self.make(np.random.default_rng([self.seed, number]), self.size)

    @abstractmethod
    def make(self, rng: np.random.Generator, size: int) -> Made:
        """A batch drawn with ``rng``."""


class SceneBatches(Batches[SceneBatch]):
    """Uniformly random scenes on every stage, and states of episodes.

    Args:
        episodes: whose stages and laws they are.
        frame_size: height and width of a frame, px.
        phase: its ``batch`` and its share of ``played`` states.
        seed: of the draws.
    """

    def __init__(self, episodes: Episodes, frame_size: int, phase: PhaseConfig, seed: int) -> None:
        super().__init__(phase.batch, seed)
        self._episodes, self._played = episodes, phase.played
        self._scenes = make_scenes(episodes.stages, frame_size, episodes.physics)
        self._numbers = stage_numbers(episodes.stages)

    def make(self, rng: np.random.Generator, size: int) -> SceneBatch:
        episodes = self._episodes
        played = round(self._played * size)
        which = np.sort(rng.integers(len(episodes.stages), size=size - played))
        counts = np.bincount(which, minlength=len(episodes.stages))
        parts = [
            random_scenes(rng, int(n), get_stage(name), episodes.physics)
            for name, n in zip(episodes.stages, counts, strict=True)
        ]
        if played:
            episode, turn = rng.integers(len(episodes), size=played), rng.integers(episodes.turns + 1, size=played)
            parts.append(episodes.boundaries[episode, turn].astype(np.float64))
            which = np.concatenate([which, episodes.stage[episode]])
        states = np.concatenate(parts)
        frames = torch.from_numpy(draw_states(states, which, self._scenes))
        return SceneBatch(frames, _float(states), torch.from_numpy(self._numbers[which]))


class GlimpseBatches(Batches[GlimpseBatch]):
    """Scenes as :class:`SceneBatches` draws them, and their states as blurred as a glance leaves them.

    Args:
        episodes: whose stages and laws they are.
        frame_size: height and width of a frame, px.
        phase: its ``batch``, its share of ``played`` states and its ``blur``.
        seed: of the draws.
    """

    def __init__(self, episodes: Episodes, frame_size: int, phase: PhaseConfig, seed: int) -> None:
        super().__init__(phase.batch, seed)
        self._scenes, self._blur = SceneBatches(episodes, frame_size, phase, seed), phase.blur

    def make(self, rng: np.random.Generator, size: int) -> GlimpseBatch:
        frames, states, _ = self._scenes.make(rng, size)
        return GlimpseBatch(frames, states, _float(blur(states.numpy(), rng, self._blur)))


class OtherScenes(Batches[LookBatch]):
    """Uniformly random scenes on every stage, with blocks of sizes and shapes drawn at random."""

    def __init__(self, stages: tuple[str, ...], frame_size: int, size: int, seed: int) -> None:
        super().__init__(size, seed)
        self._stages, self._size = stages, frame_size
        self._plain = make_scenes(stages, frame_size)
        self._numbers = stage_numbers(stages)

    def make(self, rng: np.random.Generator, size: int) -> LookBatch:
        parts = [self._some(rng, len(rows)) for rows in np.array_split(np.arange(size), -(-size // _ALIKE))]
        return LookBatch(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _some(self, rng: np.random.Generator, count: int) -> LookBatch:
        """Scenes of one stage and one block."""
        number = int(rng.integers(len(self._stages)))
        stage, laws = get_stage(self._stages[number]), draw_looks(rng)
        states = random_scenes(rng, count, stage, laws)
        drawn = Scene(stage, self._size, laws.block_shape, laws.block_scale).draw_many(states)
        return LookBatch(
            torch.from_numpy(drawn),
            torch.from_numpy(self._plain[number].draw_many(states)),
            _float(states),
            torch.full((count,), int(self._numbers[number])),
            _float(np.repeat(tell_laws(laws)[None], count, axis=0)),
            torch.full((count,), laws.block_shape not in TURNED_ALIKE),
        )


class FrameWindows(Batches[WindowBatch]):
    """Windows of an episode store with their frames drawn on demand."""

    def __init__(self, episodes: Episodes, history: int, frame_size: int, phase: PhaseConfig, seed: int) -> None:
        super().__init__(phase.batch, seed)
        self._phase = phase
        self._windows = Windows(episodes, history, phase.rollout)
        self._numbers = stage_numbers(episodes.stages)
        self._scenes = make_scenes(episodes.stages, frame_size, episodes.physics)

    def make(self, rng: np.random.Generator, size: int) -> WindowBatch:
        batch = sample_windows(self._windows, rng, size, self._phase, mirror=True)
        items = torch.from_numpy(draw_windows(batch, self._scenes))
        return _windows(items, batch, self._numbers)


class LatentWindows(Batches[WindowBatch]):
    """Windows of an episode store with latents that were encoded once."""

    def __init__(self, episodes: Episodes, latents: Tensor, history: int, phase: PhaseConfig, seed: int) -> None:
        super().__init__(phase.batch, seed)
        self._phase = phase
        self._windows = Windows(episodes, history, phase.rollout)
        self._numbers = stage_numbers(episodes.stages)
        self._latents = latents

    def make(self, rng: np.random.Generator, size: int) -> WindowBatch:
        batch = sample_windows(self._windows, rng, size, self._phase)
        items = self._latents[torch.from_numpy(batch.frame)]
        return _windows(items, batch, self._numbers)


class Turns(Batches[TurnBatch]):
    """Single turns of an episode store; no frame is drawn, but their starts are blurred as a frame would blur them.

    Args:
        episodes: where they are cut from.
        phase: its ``batch``, ``blur``, ``flip`` and shares.
        seed: of the draws.
        laws: (N, C) what there is to tell of the laws of each episode; None for the standard ones.
    """

    def __init__(
        self, episodes: Episodes, phase: PhaseConfig, seed: int, laws: NDArray[np.float32] | None = None
    ) -> None:
        super().__init__(phase.batch, seed)
        self._phase, self._laws = phase, laws
        self._blur = phase.blur
        if phase.flip:
            check_flippable(episodes.stages)
        self._windows = Windows(episodes, history=1)
        self._numbers = stage_numbers(episodes.stages)

    def make(self, rng: np.random.Generator, size: int) -> TurnBatch:
        batch = sample_windows(self._windows, rng, size, self._phase)
        if self._phase.flip:
            batch = flip_window(batch, rng.random(size) < 0.5)
        before = batch.states[:, 0]
        episode = batch.frame[:, 0] // (self._windows.episodes.turns + 1)
        return TurnBatch(
            before=_float(before),
            seen=_float(blur(before, rng, self._blur)),
            steps=_float(batch.steps[:, 0]),
            blocks=_float(batch.blocks[:, 0]),
            actors=torch.from_numpy(batch.actors[:, 0]),
            stage=torch.from_numpy(self._numbers[batch.stage]),
            laws=None if self._laws is None else _float(self._laws[episode]),
        )


class SubstepBatches(Batches[SubstepBatch]):
    """Single substeps of turns that are played again.

    Args:
        episodes: whose turns they are, those in which something happens above all.
        phase: its ``batch`` and its share of ``eventful`` substeps.
        seed: of the draws.
        laws: of each episode; the standard ones if None.
    """

    def __init__(
        self, episodes: Episodes, phase: PhaseConfig, seed: int, laws: Sequence[Physics] | None = None
    ) -> None:
        super().__init__(phase.batch, seed)
        check_flippable(episodes.stages)
        with tqdm(desc="playing turns again", unit_scale=True) as bar:

            def report(done: int, turns: int) -> None:
                bar.total = turns
                bar.update(done - bar.n)

            self._substeps = trace_episodes(episodes, seed, laws, progress=report)
        self._eventful = phase.eventful
        self._numbers = stage_numbers(episodes.stages)
        self._laws = None if laws is None else np.stack([tell_laws(physics) for physics in laws])

    def make(self, rng: np.random.Generator, size: int) -> SubstepBatch:
        some = draw_substeps(self._substeps, rng, size, self._eventful)
        return SubstepBatch(
            _float(some.before),
            _float(some.speeds_before),
            _float(some.after),
            _float(some.speeds_after),
            _float(some.actions),
            torch.from_numpy(some.beat),
            torch.from_numpy(self._numbers[some.stage]),
            None if self._laws is None else _float(self._laws[some.episode]),
        )


def blur(states: NDArray[np.floating], rng: np.random.Generator, largest: float) -> Array:
    """States (N, 7) as frames show them: with Gaussian errors, of a deviation drawn for each below ``largest`` px."""
    scale = np.array([1.0] * 6 + [math.radians(_BLUR_DEGREES)])
    return states + rng.uniform(0.0, largest, (len(states), 1)) * scale * rng.standard_normal(states.shape)


def _windows(items: Tensor, batch: StateWindows, numbers: NDArray[np.int64]) -> WindowBatch:
    """The training batch of ``batch``, whose frames or latents are ``items`` (B, L, ...), L = history + rollout.

    ``numbers`` (K,) are those of the stages that ``batch`` counts.
    """
    actors, stage = torch.from_numpy(batch.actors), torch.from_numpy(numbers[batch.stage])
    return WindowBatch(items, _float(batch.states), _float(batch.steps), _float(batch.blocks), actors, stage)


def _float(array: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def frames_at_once(device: torch.device) -> int:
    """Frames that are encoded together: the features of 256 leave a CPU's caches, and each takes twice as long."""
    return 32 if device.type == "cpu" else 256


@torch.inference_mode()
def encode_episodes(model: JEPA, episodes: Episodes, device: torch.device) -> Tensor:
    """Latents (N * (T + 1), D) of every turn boundary, on the CPU."""
    states = episodes.boundaries.reshape(-1, 7)
    stage = np.repeat(episodes.stage, episodes.turns + 1)
    scenes = make_scenes(episodes.stages, model.config.frame_size, episodes.physics)
    out = torch.empty(len(states), model.config.width)
    model.to(device).eval()
    chunk = frames_at_once(device)
    for low in tqdm(range(0, len(states), chunk), desc="encoding episodes", unit_scale=chunk):
        rows = slice(low, low + chunk)
        frames = torch.from_numpy(draw_states(states[rows], stage[rows], scenes))
        out[rows] = model.glance(frames.to(device)).cpu()
    model.train()
    return out


def play_shifted(stages: Sequence[str], count: int, seed: int) -> tuple[Episodes, list[Physics]]:
    """``count`` episodes, each under laws of its own, and those laws."""
    with tqdm(total=count, desc="playing under other laws") as bar:
        return make_shifted_episodes(stages, count, seed, progress=lambda done, _: bar.update(done - bar.n))


class PhaseData(L.LightningDataModule):
    """Training and validation batches of one phase.

    One epoch is the stretch between two validations, so that a resumed run goes on with the very next batch.
    """

    def __init__(self, training: Batches[Any], validation: Batches[Any], phase: PhaseConfig, workers: int) -> None:
        super().__init__()
        self._training = training
        self._phase = phase
        self._workers = workers
        count = -(-phase.validation // validation.size)
        self._validation = [validation[i] for i in range(count)]

    def train_dataloader(self) -> DataLoader[Any]:
        assert self.trainer is not None
        first = self.trainer.current_epoch * self._phase.validate_every
        numbers = range(first, min(first + self._phase.validate_every, self._phase.steps))
        # Pages that stay in place go to a GPU while it works on the batch before.
        pinned = self.trainer.strategy.root_device.type == "cuda"
        return DataLoader(
            self._training,
            batch_size=None,
            sampler=numbers,
            num_workers=self._workers,
            prefetch_factor=_PREFETCHED if self._workers else None,
            pin_memory=pinned,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self._validation, batch_size=None)  # type: ignore[arg-type]


def split_episodes(stores: Sequence[Episodes], wanted: int = 0) -> tuple[Episodes, Episodes]:
    """Episodes to train on and held-out ones, laid end to end: of each store the last few are held out.

    Args:
        stores: one or more, of equal length, stages and laws.
        wanted: how many to train on at most, each store giving its share; 0 for all.

    Raises:
        ValueError: stores that do not fit together, or none of them with an episode beside those held out.
    """
    splits = [len(some) - count_held_out(len(some)) for some in stores]
    if not sum(splits):
        raise ValueError("every store holds one episode, which is held out: none is left to train on")
    shares = share_out(wanted or sum(splits), splits)
    training = [some.take(slice(0, share)) for some, share in zip(stores, shares, strict=True)]
    held_out = [some.take(slice(split, None)) for some, split in zip(stores, splits, strict=True)]
    return join_episodes(training), join_episodes(held_out)


def share_out(wanted: int, sizes: Sequence[int]) -> list[int]:
    """How many each of some parts gives of ``wanted`` things, by its size; together so many, or all there are.

    What is left when all are rounded down comes from the first that have more.
    """
    total, most = sum(sizes), min(wanted, sum(sizes))
    shares = [most * size // total for size in sizes]
    for index, size in enumerate(sizes):
        shares[index] += int(sum(shares) < most and shares[index] < size)
    return shares


def build_phase_data(
    model: JEPA, phase: PhaseConfig, stores: Sequence[EpisodeStore], seed: int, workers: int, device: torch.device
) -> PhaseData:
    """The batches that ``phase`` trains on and is validated on."""
    config = model.config
    training, held_out = split_episodes([store.episodes for store in stores], phase.episodes)
    episodes = training
    if phase.kind == "scenes":
        pair: tuple[Batches[Any], Batches[Any]] = (
            SceneBatches(training, config.frame_size, phase, seed),
            SceneBatches(held_out, config.frame_size, phase, seed + 1),
        )
    elif phase.kind == "glimpses":
        pair = (
            GlimpseBatches(training, config.frame_size, phase, seed),
            GlimpseBatches(held_out, config.frame_size, phase, seed + 1),
        )
    elif phase.kind == "looks":
        if episodes.physics != Physics():
            raise ValueError("the phase looks is for a model that knows the standard block, not that of these episodes")
        pair = (
            OtherScenes(episodes.stages, config.frame_size, phase.batch, seed),
            OtherScenes(episodes.stages, config.frame_size, phase.batch, seed + 1),
        )
    elif phase.kind == "joint":
        pair = (
            FrameWindows(training, config.history, config.frame_size, phase, seed),
            FrameWindows(held_out, config.history, config.frame_size, phase, seed + 1),
        )
    elif phase.kind == "turns":
        pair = (Turns(training, phase, seed), Turns(held_out, phase, seed + 1))
    elif phase.kind == "substeps":
        pair = (SubstepBatches(training, phase, seed), Turns(held_out, phase, seed + 1))
    elif phase.kind == "laws":
        # Validation needs no more episodes than it looks at turns.
        counts = phase.episodes, min(phase.episodes, phase.validation)
        (played, laws), (held, others) = (
            play_shifted(episodes.stages, count, seed + i) for i, count in enumerate(counts)
        )
        told = np.stack([tell_laws(physics) for physics in others])
        pair = (SubstepBatches(played, phase, seed, laws), Turns(held, phase, seed + 1, told))
    else:
        pair = (
            LatentWindows(training, encode_episodes(model, training, device), config.history, phase, seed),
            LatentWindows(held_out, encode_episodes(model, held_out, device), config.history, phase, seed + 1),
        )
    return PhaseData(*pair, phase, workers)
