"""One player measured whole: against every opponent on every stage, and what its model sees and foresees.

The measuring is cut into parts. Each is kept in the report's folder once it is done, so that a report that was stopped
goes on where it was, and one that asks for more opponents plays only those.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import pushjepa
from pushjepa.data.parallel import count_workers
from pushjepa.evaluation.calibration import RANK_POSITIONS, calibrate
from pushjepa.evaluation.match_play import ModelOptions, play_pairs
from pushjepa.evaluation.passages import SOURCES
from pushjepa.evaluation.ranking import rank_candidates, rank_correlation
from pushjepa.evaluation.results import Row, plain, write_results
from pushjepa.planning import check_player, needs_model
from pushjepa.relay import STAGES, get_stage
from pushjepa.relay.opponents import OPPONENTS

OPPONENTS_OF_A_REPORT = (*OPPONENTS, "oracle", "oracle-margin", "oracle-reply")
Progress = Callable[[int, int], None]  #: (done, in all) of one part


@dataclass(frozen=True)
class Suite:
    """What a report is about.

    Attributes:
        player: whose figures they are.
        opponents: against whom; names of :func:`pushjepa.planning.make_policy`.
        stages: where.
        pairs: start positions for each opponent and stage.
        seed: of the matches.
        episodes: episodes, and matches, to calibrate on.
        positions: positions of matches at which candidates are ranked.
        calibration_seed: of those three.
        options: the world model.

    Raises:
        ValueError: an unknown opponent or stage, or a count out of range.
    """

    player: str = "jepa-reply"
    opponents: tuple[str, ...] = OPPONENTS_OF_A_REPORT
    stages: tuple[str, ...] = tuple(STAGES)
    pairs: int = 100
    seed: int = 0
    episodes: int = 300
    positions: int = RANK_POSITIONS
    calibration_seed: int = 7
    options: ModelOptions = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        for name in (self.player, *self.opponents):
            check_player(name)
        for stage in self.stages:
            get_stage(stage)
        for name, least in (("pairs", 1), ("episodes", 1), ("positions", 0), ("seed", 0), ("calibration_seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")

    def parts(self) -> Iterator[Part]:
        """What there is to measure, in the order in which it is measured."""
        if needs_model(self.player):
            yield from (Calibration(source, self.episodes, self.calibration_seed) for source in SOURCES)
            if self.positions:
                yield Ranking(self.positions, self.calibration_seed)
        for stage in self.stages:
            yield from (Pairs(self.player, other, stage, self.pairs, self.seed) for other in self.opponents)


@dataclass(frozen=True)
class Pairs:
    """Match play against one opponent on one stage: one row."""

    player: str
    opponent: str
    stage: str
    pairs: int
    seed: int

    @property
    def title(self) -> str:
        return f"{self.opponent} on {self.stage}"

    def measure(self, options: ModelOptions, workers: int | None, progress: Progress | None) -> list[Row]:
        row = play_pairs(
            self.player,
            self.opponent,
            self.stage,
            self.pairs,
            self.seed,
            workers=workers,
            options=options,
            progress=progress,
        )
        return [row]


@dataclass(frozen=True)
class Calibration:
    """Errors of decoding and of prediction on one source: a row for each condition and number of turns ahead."""

    source: str
    episodes: int
    seed: int

    @property
    def title(self) -> str:
        return f"calibration on {self.source}"

    def measure(self, options: ModelOptions, workers: int | None, progress: Progress | None) -> list[Row]:
        model = options.load()
        return calibrate(
            model, self.episodes, self.seed, self.source, rank_positions=0, workers=workers, progress=progress
        )


@dataclass(frozen=True)
class Ranking:
    """Rank correlation of costs: one row, with every cost of the first iteration (positions, S) for a picture."""

    positions: int
    seed: int

    @property
    def title(self) -> str:
        return "ranking of candidates"

    def measure(self, options: ModelOptions, workers: int | None, progress: Progress | None) -> list[Row]:
        report = None if progress is None else lambda done: progress(done, self.positions)
        processes = count_workers(workers, self.positions)
        ranked = rank_candidates(
            options.load(), self.seed, list(STAGES), self.positions, progress=report, workers=processes
        )
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0xCA11_0004,)))
        costs = {
            "model_costs": np.round([position.imagined[0] for position in ranked], 1),
            "true_costs": np.round([position.true[0] for position in ranked], 1),
        }
        return [rank_correlation(ranked, rng) | costs]


Part = Pairs | Calibration | Ranking


def run_suite(
    suite: Suite,
    folder: Path,
    *,
    workers: int | None = None,
    on_part: Callable[[Part], Progress | None] | None = None,
) -> list[tuple[Part, list[Row]]]:
    """Measure every part that ``folder`` does not hold yet.

    Args:
        suite: what to measure.
        folder: of the report; finished parts lie in ``folder/parts``.
        workers: processes, every core if None; the figures do not depend on it.
        on_part: told about each part that is about to be measured; gives what is told about its progress.

    Returns:
        Every part with its rows, each with its ``seed`` and the digests of the ``weights`` and the ``advice`` in play.

    Raises:
        ValueError: a model that cannot be loaded, a player that fails, or a folder that cannot be written.
    """
    played = suite.options.digests((suite.player, *suite.opponents))
    marks = {"version": pushjepa.__version__} | played
    measured: list[tuple[Part, list[Row]]] = []
    for part in suite.parts():
        path = folder / "parts" / f"{_file_name(part)}.json"
        settings = plain({"part": type(part).__name__, **vars(part)}) | marks
        rows = _read(path, settings)
        if rows is None:
            progress = on_part(part) if on_part else None
            rows = [plain(row) for row in part.measure(suite.options, workers, progress)]
            write_results(path, {"settings": settings, "rows": rows})
        measured.append((part, [row | {"seed": part.seed} | played for row in rows]))
    return measured


def flat_rows(measured: Sequence[tuple[Part, list[Row]]]) -> list[Row]:
    """The rows of all parts, without the single costs, which are for the picture."""
    return [{k: v for k, v in row.items() if not k.endswith("_costs")} for _, rows in measured for row in rows]


def _file_name(part: Part) -> str:
    """A name for the part's file that any file system takes."""
    words = [type(part).__name__, *map(str, vars(part).values())]
    return "-".join(words).lower().replace(":", "_").replace("/", "_")


def _read(path: Path, settings: Row) -> list[Row] | None:
    """The rows of a finished part; None if there is none, or one of other settings."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return kept["rows"] if kept.get("settings") == settings else None
