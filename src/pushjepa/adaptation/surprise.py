"""When is a world model surprised? Not by one noisy frame, but by a run of errors that its own world does not give.

An error is told in standard deviations above what is usual in the model's own world, on a logarithmic scale, since
errors of contact span decades. A cumulative sum of them (CUSUM; Page, 1954) raises the alarm; its threshold is chosen
on play in that world alone, for a stated rate of false alarms.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pushjepa.adaptation.records import Surprise
from pushjepa.runtime.checkpoint import weights_digest

SLACK = 0.75  #: standard deviations above the usual that are put up with: the test's drift
_LEAST = 1e-3  # a model that is never wrong has no spread to measure by
FILE = "surprise.json"  #: beside a model's weights: what is usual for it


@dataclass(frozen=True)
class Usual:
    """What errors are usual, and when they are too many.

    Attributes:
        mean, std: median of log(1 + px) and its spread (1.48 median absolute deviations, which is a normal one's
            standard deviation), for turns in which the block is predicted to stay and to move.
        threshold: of the cumulative sum.
        rate: alarms for each boundary of the play that the threshold was chosen on.
        n: how many boundaries that were.
        cap: no single error counts for more.
        weights: digest of the weights that it is of; empty if that is not known.
    """

    mean: tuple[float, float]
    std: tuple[float, float]
    threshold: float
    rate: float
    n: int
    cap: float = 4.0
    weights: str = ""

    def __post_init__(self) -> None:
        if len(self.mean) != 2 or len(self.std) != 2 or not min(self.std) > 0.0:
            raise ValueError("mean and std are two numbers each, without and with contact, and std is positive")

    def level(self, surprise: Surprise) -> float:
        """Standard deviations above the usual, at most ``cap``."""
        kind = int(surprise.contact)
        return min(self.cap, (math.log1p(surprise.px) - self.mean[kind]) / self.std[kind])

    @classmethod
    def of(cls, play: Sequence[Sequence[Surprise]], rate: float = 1 / 500, weights: str = "") -> Usual:
        """What was usual in some matches or episodes, with the least threshold that keeps to a rate of alarms.

        The threshold lies above what any single error can reach.

        Args:
            play: the surprises of each match or episode, in order; the test begins anew with each.
            rate: alarms for each boundary that are put up with.
            weights: digest of the model's weights.

        Raises:
            ValueError: fewer than 20 boundaries of either kind, or a rate outside (0, 1).
        """
        if not 0.0 < rate < 1.0:
            raise ValueError(f"a rate of alarms lies between 0 and 1, got {rate:g}")
        mean, std = [], []
        for kind in (False, True):
            logs = np.array([math.log1p(s.px) for one in play for s in one if s.contact == kind])
            if len(logs) < 20:
                which = "with" if kind else "without"
                raise ValueError(f"{len(logs)} boundaries {which} contact are too few to calibrate on")
            # The median and its spread: a few wild errors are for the threshold to reckon with.
            mean.append(float(np.median(logs)))
            std.append(max(_LEAST, 1.4826 * float(np.median(np.abs(logs - np.median(logs))))))
        count = sum(len(one) for one in play)
        draft = cls((mean[0], mean[1]), (std[0], std[1]), 1.0, 0.0, count)
        levels = [[draft.level(s) for s in one] for one in play]
        threshold, alarms = _least_threshold(levels, math.floor(rate * count), draft.cap - SLACK)
        return cls(draft.mean, draft.std, threshold, alarms / count, count, weights=weights)

    @classmethod
    def read(cls, path: Path, weights: str) -> Usual:
        """What :meth:`write` wrote, for weights with this digest.

        Raises:
            ValueError: no such file, something else in it, or what is usual for other weights.
        """
        try:
            values = json.loads(path.read_text())
            found = cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
        except FileNotFoundError:
            raise ValueError(f"{path} is missing; `pushjepa adapt calibrate` writes it") from None
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{path} does not tell what is usual for a model: {error}") from None
        if found.weights != weights:
            raise ValueError(f"{path} is of other weights; run `pushjepa adapt calibrate` again")
        return found

    @classmethod
    def of_model(cls, folder: Path) -> Usual:
        """What is usual for the model of a checkpoint folder.

        Raises:
            ValueError: see :meth:`read`.
        """
        return cls.read(folder / FILE, weights_digest(folder))

    def write(self, path: Path) -> None:
        """Keep it for the next time."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


class DriftTest:
    """A cumulative sum of how far errors lie above the usual.

    Args:
        usual: for its threshold.

    Attributes:
        value: the sum now; an alarm at the threshold.
        rising: how many of the latest levels belong to the present rise: where the change is thought to have begun.
    """

    def __init__(self, usual: Usual) -> None:
        self.threshold = usual.threshold
        self.value = 0.0
        self.rising = 0

    def update(self, level: float) -> bool:
        """Take one more level; whether there is an alarm. The sum goes on; :meth:`reset` begins anew."""
        self.value = max(0.0, self.value + level - SLACK)
        self.rising = self.rising + 1 if self.value > 0.0 else 0
        return self.value >= self.threshold

    def reset(self) -> None:
        """Begin anew."""
        self.value, self.rising = 0.0, 0


def _least_threshold(levels: Sequence[Sequence[float]], allowed: int, least: float) -> tuple[float, int]:
    """The least threshold, in tenths and above ``least``, with no more alarms than are allowed; and how many."""
    tenths = math.floor(10.0 * least) + 1
    while (alarms := sum(_alarms(one, tenths / 10.0) for one in levels)) > allowed:
        tenths += 1
    return tenths / 10.0, alarms


def _alarms(levels: Sequence[float], threshold: float) -> int:
    value, alarms = 0.0, 0
    for level in levels:
        value = max(0.0, value + level - SLACK)
        if value >= threshold:
            alarms, value = alarms + 1, 0.0
    return alarms
