"""Episodes at rest: a folder of .npz shards and one manifest that says what belongs there.

``manifest.json`` holds the recipe (seed, number of episodes, steps, stages, regimes, physics) and, for every
finished shard, its file name, number of episodes and SHA-256. The recipe of episodes that were branched from matches
says from which, and that of episodes in which the agents alternate at every env step says so. Shards and manifest are
written beside their place and then moved into it, so that an interrupted run leaves finished shards and nothing
half-written that anyone would read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushjepa.data.regimes import REGIMES, Episode, check_acting, step_actors
from pushjepa.physics import Physics
from pushjepa.physics.constants import TURN_STEPS

FORMAT = "pushjepa-episodes"
VERSION = 1
MANIFEST = "manifest.json"
SHARD_EPISODES = 250  # about half a megabyte
VISITED = "visited"  #: the one regime of episodes that are branched from matches
VALIDATION_SHARE = 0.02  #: the last episodes of a store are never trained on


@dataclass(frozen=True)
class Recipe:
    """What a store is made from. Two stores of one recipe are the same.

    Attributes:
        episodes: number of episodes.
        steps: env steps in each, a multiple of 5.
        seed: of everything random.
        stages: names of the stages, in turn.
        physics: the laws.
        shard_episodes: episodes in a shard (the last may hold fewer).
        visited: of episodes branched from matches: the file that holds them, by its SHA-256, and how they came about.
            None for episodes in ``REGIMES``.
        acting: who acts in a block of 5 env steps; see ``regimes.ACTINGS``.

    Raises:
        ValueError: an unknown way of acting, or branches of matches in which the agents alternate at every step.
    """

    episodes: int
    steps: int
    seed: int
    stages: tuple[str, ...]
    physics: Physics = field(default_factory=Physics)
    shard_episodes: int = SHARD_EPISODES
    visited: dict[str, Any] | None = None
    acting: str = "turn"

    def __post_init__(self) -> None:
        check_acting(self.acting)
        if self.visited is not None and self.acting != "turn":
            raise ValueError("episodes branched from matches are of whole turns, as matches are; leave acting at turn")

    @property
    def regimes(self) -> dict[str, float]:
        """The share of each regime, in the order that a regime index points into."""
        return dict(REGIMES) if self.visited is None else {VISITED: 1.0}

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.episodes // self.shard_episodes)

    def members(self, shard: int) -> range:
        """Numbers of the episodes in a shard."""
        first = shard * self.shard_episodes
        return range(first, min(first + self.shard_episodes, self.episodes))

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, strings, lists and dicts; the mixture of regimes is part of it."""
        known = asdict(self)
        # What a recipe does without is left out: it is written as it was before there was such a thing.
        special = {"visited": known.pop("visited"), "acting": known.pop("acting")}
        known |= {"stages": list(self.stages), "regimes": self.regimes}
        return known | {name: value for name, value in special.items() if value not in (None, "turn")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Read a recipe back.

        Raises:
            ValueError, KeyError, TypeError: not what :meth:`to_dict` writes.
        """
        known = dict(values)
        regimes = known.pop("regimes")
        physics = Physics.from_dict(known.pop("physics"))
        recipe = cls(**known | {"stages": tuple(known["stages"])}, physics=physics)
        if list(regimes.items()) != list(recipe.regimes.items()):
            raise ValueError("these episodes are a mixture of other regimes")
        return recipe


@dataclass(frozen=True)
class Shard:
    """A finished shard: its number, file name, number of episodes and SHA-256."""

    index: int
    file: str
    episodes: int
    sha256: str


@dataclass(frozen=True)
class Episodes:
    """Many episodes of T turns as flat arrays.

    Attributes:
        states: (N, 5 T + 1, 7) float32, every env step.
        boundaries: (N, T + 1, 7) float32, the states between turns.
        blocks: (N, T, 5, 2, 2) float32 joint action blocks.
        actors: (N, T) int64, 0 for p1, 1 for p2. Where agents alternate at every step: who begins.
        stage: (N,) int64 index into ``stages``.
        regime: (N,) int64 index into ``regimes``.
        stages: names of the stages.
        regimes: names of the regimes.
        physics: the laws of all of them.
        acting: who acts in a block, in all of them; see ``regimes.ACTINGS``.
    """

    states: NDArray[np.float32]
    boundaries: NDArray[np.float32]
    blocks: NDArray[np.float32]
    actors: NDArray[np.int64]
    stage: NDArray[np.int64]
    regime: NDArray[np.int64]
    stages: tuple[str, ...]
    regimes: tuple[str, ...]
    physics: Physics
    acting: str = "turn"

    @classmethod
    def of(
        cls, episodes: Sequence[Episode], stages: Sequence[str], regimes: Sequence[str] = tuple(REGIMES)
    ) -> Episodes:
        """Stack episodes of equal length; ``stages`` and ``regimes`` are the names that their indices point into.

        Raises:
            ValueError: no episodes, or episodes of different lengths, laws, ways of acting or unlisted stages or
                regimes.
        """
        if not episodes:
            raise ValueError("there are no episodes to stack")
        physics, acting = episodes[0].physics, episodes[0].acting
        if len({e.states.shape for e in episodes}) > 1 or any(e.physics != physics for e in episodes):
            raise ValueError("episodes that are stacked must have the same length and physics")
        if any(e.acting != acting for e in episodes):
            raise ValueError("episodes that are stacked must have the same way of acting")
        for kind, used, names in (
            ("stage", {e.stage for e in episodes}, stages),
            ("regime", {e.regime for e in episodes}, regimes),
        ):
            missing = sorted(used - set(names))
            if missing:
                raise ValueError(f"{kind} {missing[0]!r} is not among {', '.join(names)}")
        states = np.stack([e.states for e in episodes])
        return cls(
            states=states,
            boundaries=np.ascontiguousarray(states[:, ::TURN_STEPS]),
            blocks=np.stack([e.blocks for e in episodes]),
            actors=np.stack([e.actors for e in episodes]).astype(np.int64),
            stage=np.array([list(stages).index(e.stage) for e in episodes], dtype=np.int64),
            regime=np.array([list(regimes).index(e.regime) for e in episodes], dtype=np.int64),
            stages=tuple(stages),
            regimes=tuple(regimes),
            physics=physics,
            acting=acting,
        )

    def __len__(self) -> int:
        return len(self.states)

    @property
    def turns(self) -> int:
        """T, turns in each episode."""
        return int(self.blocks.shape[1])

    def take(self, rows: NDArray[np.int64] | slice) -> Episodes:
        """Some of the episodes, by index; for instance to hold a part out."""
        names = ("states", "boundaries", "blocks", "actors", "stage", "regime")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def episode(self, i: int) -> Episode:
        """Episode ``i`` as a record of its own."""
        return Episode(
            self.states[i],
            self.blocks[i],
            self.actors[i].astype(np.int8),
            self.stages[self.stage[i]],
            self.regimes[self.regime[i]],
            self.physics,
            self.acting,
        )


def count_held_out(episodes: int) -> int:
    """How many episodes at the end of a store of so many are held out of training: at least one."""
    return max(1, int(episodes * VALIDATION_SHARE))


class EpisodeWriter:
    """Opens a folder for one recipe and keeps its manifest. A folder with finished shards of the same recipe goes on.

    Args:
        path: the folder; made if it is not there.
        recipe: what belongs into it.

    Attributes:
        shards: finished shards by number.

    Raises:
        ValueError: the folder holds something else, or episodes of another recipe.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path, self.recipe = path, recipe
        self.shards: dict[int, Shard] = {}
        path.mkdir(parents=True, exist_ok=True)
        if (path / MANIFEST).exists():
            found, shards = read_manifest(path)
            _check_same(path, found, recipe)
            self.shards = {s.index: s for s in shards if _intact(path, s)}
        elif any(path.iterdir()):
            raise ValueError(f"{path} is not empty and holds no episodes; choose another folder")
        self._write_manifest()

    @property
    def missing(self) -> list[int]:
        """Numbers of the shards still to be made."""
        return [i for i in range(self.recipe.shards) if i not in self.shards]

    @property
    def episodes_done(self) -> int:
        """Episodes in finished shards."""
        return sum(s.episodes for s in self.shards.values())

    def record(self, shard: Shard) -> None:
        """Enter a shard that :func:`write_shard` has written."""
        self.shards[shard.index] = shard
        self._write_manifest()

    def _write_manifest(self) -> None:
        shards = [asdict(self.shards[i]) for i in sorted(self.shards)]
        content = {"format": FORMAT, "version": VERSION, **self.recipe.to_dict(), "shards": shards}
        write_atomically(self.path / MANIFEST, (json.dumps(content, indent=1) + "\n").encode())


class EpisodeStore:
    """A finished store, read whole into memory and checked.

    Args:
        path: its folder.

    Attributes:
        path: as given.
        recipe: what it was made from.
        episodes: its content.

    Raises:
        FileNotFoundError: there is no store.
        ValueError: another version, an unfinished store, or a shard that is missing or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe, shards = read_manifest(self.path)
        if len(shards) < self.recipe.shards:
            raise ValueError(
                f"the episodes in {self.path} are unfinished ({len(shards)} of {self.recipe.shards} shards); "
                "run the same generate command again to finish them"
            )
        columns = [_read_shard(self.path, shard, self.recipe) for shard in shards]
        joined = {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}
        self.episodes = _unpack(joined, self.recipe)


def write_shard(path: Path, index: int, episodes: Sequence[Episode], recipe: Recipe) -> Shard:
    """Write one shard of a store and return its record; equal episodes give equal bytes."""
    stacked = Episodes.of(episodes, recipe.stages, tuple(recipe.regimes))
    who = step_actors(stacked.actors, recipe.acting)[..., None, None]  # (N, T, 5, 1, 1)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        states=stacked.states,
        actions=np.take_along_axis(stacked.blocks, who, axis=3)[:, :, :, 0],  # (N, T, 5, 2): who waits has 0
        actors=stacked.actors.astype(np.int8),
        stage=stacked.stage.astype(np.int8),
        regime=stacked.regime.astype(np.int8),
    )
    content, name = buffer.getvalue(), f"shard-{index:05d}.npz"
    write_atomically(path / name, content)
    return Shard(index, name, len(episodes), hashlib.sha256(content).hexdigest())


def write_atomically(file: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all."""
    beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    beside.write_bytes(content)
    os.replace(beside, file)


def read_manifest(path: Path) -> tuple[Recipe, list[Shard]]:
    """Recipe and finished shards of the store in ``path``.

    Raises:
        FileNotFoundError: no manifest there.
        ValueError: it cannot be read, or is of another version.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(f"no episodes in {path}: {MANIFEST} is missing; make some with pushjepa generate")
    try:
        content = json.loads(file.read_bytes())
        kind, version = content.pop("format"), content.pop("version")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{file} is damaged and cannot be read; generate the episodes again") from error
    if kind != FORMAT:
        raise ValueError(f"{file} describes {kind!r}, not {FORMAT!r}")
    if version != VERSION:
        raise ValueError(f"{file} is of version {version}, this program reads version {VERSION}; generate again")
    try:
        shards = [Shard(**values) for values in content.pop("shards")]
        return Recipe.from_dict(content), shards
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{file} is damaged and cannot be read; generate the episodes again") from error


def _check_same(path: Path, found: Recipe, wanted: Recipe) -> None:
    """One line that names the first option in which two recipes differ."""
    # Written only where it is unusual, so the folder's recipe may not name it.
    asked_for = wanted.to_dict() | {"acting": wanted.acting}
    for name, value in (found.to_dict() | {"acting": found.acting}).items():
        asked = asked_for.get(name)
        if value != asked:
            raise ValueError(f"{path} holds episodes made with {name} {value}, not {asked}; choose another folder")


def _read_shard(path: Path, shard: Shard, recipe: Recipe) -> dict[str, NDArray[Any]]:
    """The columns of a shard, checked against its record."""
    file = path / shard.file
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"shard {file} is missing; run the same generate command again to restore it") from error
    if hashlib.sha256(content).hexdigest() != shard.sha256:
        raise ValueError(f"shard {file} is damaged; run the same generate command again to restore it")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as columns:
            read = {name: columns[name] for name in ("states", "actions", "actors", "stage", "regime")}
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"shard {file} is not a shard of episodes; generate the episodes again") from error
    if read["states"].shape != (len(recipe.members(shard.index)), recipe.steps + 1, 7):
        raise ValueError(f"shard {file} does not fit the manifest; generate the episodes again")
    return read


def _unpack(columns: dict[str, NDArray[Any]], recipe: Recipe) -> Episodes:
    """Stored columns as flat arrays."""
    states, actors = columns["states"], columns["actors"].astype(np.int64)
    blocks = np.zeros((*actors.shape, TURN_STEPS, 2, 2), dtype=np.float32)
    who = step_actors(actors, recipe.acting)[..., None, None]  # (N, T, 5, 1, 1)
    np.put_along_axis(blocks, who, columns["actions"][:, :, :, None], axis=3)
    return Episodes(
        states=states,
        boundaries=np.ascontiguousarray(states[:, ::TURN_STEPS]),
        blocks=blocks,
        actors=actors,
        stage=columns["stage"].astype(np.int64),
        regime=columns["regime"].astype(np.int64),
        stages=recipe.stages,
        regimes=tuple(recipe.regimes),
        physics=recipe.physics,
        acting=recipe.acting,
    )


def _intact(path: Path, shard: Shard) -> bool:
    file = path / shard.file
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == shard.sha256
