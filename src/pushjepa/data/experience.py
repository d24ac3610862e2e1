"""Matches of a world model with all that its search asked about, and episodes branched from them.

A search asks its model about actions that no training episode holds, from positions that only play leads to, and there
the model is least to be trusted. What is recorded here says where that is; branching episodes from it has the
simulator answer what is asked near there (compare dataset aggregation, Ross et al., 2011). Who plays the matches is no
concern of this room; see ``planning.selfplay``.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushjepa.data.generate import Progress, check_stages, fill_store, make_recipe
from pushjepa.data.regimes import Episode, run_turns
from pushjepa.data.store import (
    VALIDATION_SHARE,
    VISITED,
    EpisodeStore,
    Recipe,
    Shard,
    count_held_out,
    write_atomically,
    write_shard,
)
from pushjepa.physics import STATE_SIZE, Board
from pushjepa.physics.constants import TURN_STEPS
from pushjepa.physics.geometry import Array
from pushjepa.relay.rules import MATCH_TURNS, SIDES
from pushjepa.relay.stages import get_stage

FORMAT = "pushjepa-experience"
VERSION = 1

PLAYED = 0.1  #: share of the branched turns that repeat what was played
_BRANCHES = 0x5E1F_0002  # first number of every spawn key here: with any seed, no other episode is drawn again
_COLUMNS = ("stage", "states", "actors", "blocks", "plans", "asked", "players")


@dataclass(frozen=True)
class Experience:
    """M matches of T = 10 turns each, and the world model's search in every turn, whoever played it.

    Attributes:
        stages: names of the stages.
        stage: (M,) int64 index into ``stages``.
        states: (M, T + 1, 7) float32 at turn boundaries.
        actors: (M, T) int64, who acted: 0 for p1, 1 for p2, by turns.
        blocks: (M, T, 5, 2) float32 what the acting side played.
        plans: (M, T, 5, 2) float32 the best turn that the model's search found for the acting side.
        asked: (M, T, K, 5, 2) float32 candidates of that search, as many from each of its iterations, earlier ones
            first; numbers that float16 can hold.
        players: (M, 2) names of the players in the seats p1 and p2.
        about: how it came about, in plain values; see ``planning.selfplay.gather``.

    Raises:
        ValueError: no matches, arrays that do not fit one another, numbers out of range, an unknown or repeated stage,
            or sides that do not take turns.
    """

    stages: tuple[str, ...]
    stage: NDArray[np.int64]
    states: NDArray[np.float32]
    actors: NDArray[np.int64]
    blocks: NDArray[np.float32]
    plans: NDArray[np.float32]
    asked: NDArray[np.float32]
    players: NDArray[np.str_]
    about: dict[str, Any]

    def __post_init__(self) -> None:
        check_stages(self.stages)
        count, turn = len(self.stage), (TURN_STEPS, 2)
        kept = self.asked.shape[2] if self.asked.ndim == 5 else 0
        shapes: dict[str, tuple[int, ...]] = {
            "stage": (count,),
            "states": (count, MATCH_TURNS + 1, STATE_SIZE),
            "actors": (count, MATCH_TURNS),
            "blocks": (count, MATCH_TURNS, *turn),
            "plans": (count, MATCH_TURNS, *turn),
            "asked": (count, MATCH_TURNS, kept, *turn),
            "players": (count, len(SIDES)),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} of {count} matches has shape {shape}, got {getattr(self, name).shape}")
        if not count or not kept:
            raise ValueError("an experience holds at least one match, and one candidate of every turn")
        if not ((self.stage >= 0) & (self.stage < len(self.stages))).all():
            raise ValueError(f"a stage index lies in 0 ... {len(self.stages) - 1}")
        if not (np.isin(self.actors, (0, 1)).all() and (np.diff(self.actors, axis=1) != 0).all()):
            raise ValueError("the sides of a match act by turns, 0 for p1 and 1 for p2")
        if not np.isfinite(self.states).all():
            raise ValueError("states must be finite")
        if not all((np.abs(getattr(self, name)) <= 1.0).all() for name in ("blocks", "plans", "asked")):
            raise ValueError("actions must lie in [-1, 1]")

    def __len__(self) -> int:
        return len(self.stage)

    def save(self, path: str | Path) -> None:
        """Write it to one .npz file, which appears whole or not at all; equal experiences give equal bytes."""
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, self._content())

    @classmethod
    def load(cls, path: str | Path) -> Experience:
        """Read one back.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is something else, of another version, or damaged.
        """
        return cls.read(_read(Path(path)), str(path))

    @classmethod
    def read(cls, content: bytes, name: str) -> Experience:
        """From the bytes of a file; ``name`` is what a complaint calls it.

        Raises:
            ValueError: it is something else, of another version, or damaged.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                columns = {column: file[column] for column in _COLUMNS}
            kind, version = header["format"], header["version"]
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"{name} holds no experience that can be read; play it again") from error
        if (kind, version) != (FORMAT, VERSION):
            raise ValueError(f"{name} holds {kind!r} of version {version}, not {FORMAT!r} of version {VERSION}")
        try:
            columns |= {column: columns[column].astype(np.int64) for column in ("stage", "actors")}
            columns |= {column: columns[column].astype(np.float32) for column in ("states", "blocks", "plans", "asked")}
            return cls(stages=tuple(header["stages"]), about=dict(header["about"]), **columns)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{name} is damaged ({error}); play it again") from error

    def _content(self) -> bytes:
        """The bytes of its file."""
        header = {"format": FORMAT, "version": VERSION, "stages": list(self.stages), "about": self.about}
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            header=np.array(json.dumps(header)),
            stage=self.stage.astype(np.int8),
            states=self.states.astype(np.float32),
            actors=self.actors.astype(np.int8),
            blocks=self.blocks.astype(np.float32),
            plans=self.plans.astype(np.float32),
            asked=self.asked.astype(np.float16),
            players=self.players.astype(np.str_),
        )
        return buffer.getvalue()


def branch(
    source: str | Path,
    out: str | Path,
    episodes: int,
    seed: int,
    steps: int = 40,
    workers: int | None = None,
    progress: Progress | None = None,
) -> EpisodeStore:
    """Make a store of episodes branched from an experience, or finish one that was interrupted.

    An episode starts where a turn of a match did, early enough for the match to last as long if it can. Its first turn
    is one of the candidates that the model's search asked about at exactly that position, now and then what was played
    there. Turn k after it likewise plays what was asked k turns later in the same match, but from where the branch has
    come to: near positions that play visits, and no longer at them. The episodes that training holds out have the last
    few matches to themselves.

    Args:
        source: the file of the experience.
        out: folder of the store.
        episodes: how many.
        seed: of everything random; episode ``i`` is a function of (seed, i), the source, ``steps`` and whether it is
            held out.
        steps: env steps in each, a multiple of 5.
        workers: processes; one per core if None. One worker works in this process.
        progress: told (episodes done, in all).

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: a source that cannot be read or is a single match, a bad option, or a folder that holds something
            else.
    """
    file, path = Path(source), Path(out)
    sha256 = _digest(_read(file))
    experience = _source(file, sha256)
    visited = {"sha256": sha256, "reserved": count_reserved(len(experience)), "about": experience.about}
    recipe = make_recipe(episodes, steps, seed, experience.stages, visited=visited)
    return fill_store(path, recipe, partial(_branch_shard, path, recipe, file, sha256), workers, progress)


def branch_episode(
    experience: Experience, recipe: Recipe, i: int, boards: Mapping[str, Board] | None = None
) -> Episode:
    """Episode number ``i`` of a recipe of branches.

    Args:
        experience: what it is branched from.
        recipe: its seed, steps and laws.
        i: which episode.
        boards: the board of each stage under these laws, if the caller keeps them.

    Raises:
        ValueError: an experience of a single match.
    """
    rng = np.random.default_rng(np.random.SeedSequence(recipe.seed, spawn_key=(_BRANCHES, i)))
    turns, matches = recipe.steps // TURN_STEPS, _matches_for(i, recipe, len(experience))
    # Starts that leave room for the episode, or any start if it is longer than a match.
    starts = MATCH_TURNS - turns + 1 if turns <= MATCH_TURNS else MATCH_TURNS
    match, first = int(rng.integers(matches.start, matches.stop)), int(rng.integers(starts))
    stage = get_stage(experience.stages[experience.stage[match]])
    board = boards[stage.name] if boards is not None else Board(stage.obstacles, recipe.physics)
    acts = [_draw(experience, match, _turn_within(first + k), rng) for k in range(turns)]
    start, actor = experience.states[match, first], int(experience.actors[match, first])
    states, blocks, actors = run_turns(board, start, actor, turns, lambda turn, state, actor: acts[turn])
    return Episode(states, blocks, actors, stage.name, VISITED, recipe.physics)


def count_reserved(matches: int) -> int:
    """How many matches at the end of an experience of so many are for held-out episodes alone.

    Raises:
        ValueError: a single match, which cannot be both for these and for the others.
    """
    if matches < 2:
        raise ValueError(
            "held-out episodes are branched from other matches than the rest, and this experience has only one; "
            "play more with pushjepa selfplay --matches"
        )
    return math.ceil(matches * VALIDATION_SHARE)


def _matches_for(i: int, recipe: Recipe, matches: int) -> range:
    """Numbers of the matches, of so many, that episode ``i`` may be branched from."""
    split = matches - count_reserved(matches)
    held_out = i >= recipe.episodes - count_held_out(recipe.episodes)
    return range(split, matches) if held_out else range(split)


def _draw(experience: Experience, match: int, turn: int, rng: np.random.Generator) -> Array:
    """An action block (5, 2) that was asked about in a turn, or now and then the one that was played."""
    asked = experience.asked[match, turn]
    block = experience.blocks[match, turn] if rng.random() < PLAYED else asked[rng.integers(len(asked))]
    return np.asarray(block, dtype=np.float64)


def _turn_within(turn: int) -> int:
    """``turn`` of a match, or the last one of the same side if the match is over by then."""
    last = MATCH_TURNS - 1
    return turn if turn <= last else last - (turn - last) % 2


def _branch_shard(path: Path, recipe: Recipe, source: Path, sha256: str, index: int) -> Shard:
    """Simulate and write one shard of branches; what a worker does."""
    experience = _source(source, sha256)
    boards = {name: Board(get_stage(name).obstacles, recipe.physics) for name in recipe.stages}
    episodes = [branch_episode(experience, recipe, i, boards) for i in recipe.members(index)]
    return write_shard(path, index, episodes, recipe)


@lru_cache(maxsize=1)  # one worker process makes many shards from one experience
def _source(file: Path, sha256: str) -> Experience:
    content = _read(file)
    if _digest(content) != sha256:
        raise ValueError(f"{file} was changed while episodes were branched from it; start again in another folder")
    return Experience.read(content, str(file))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(file: Path) -> bytes:
    if not file.is_file():
        raise FileNotFoundError(f"no experience in {file}; make some with pushjepa selfplay")
    return file.read_bytes()
