"""MechJEPA's own test of System M, under its own name: recorded slots, multiplied. Needs the ``pusht`` extra.

The slots of a recorded expert episode are all multiplied by a number, 1.4 as published, from the start on, and a model
that never saw such slots predicts them block by block. Nothing is played: the expert's actions are those of the
recording, and a plan is never carried out. That is no change of physics (the tee is no larger and no heavier, and the
actions lead where they always led) but a change of the numbers in which it is told; how a model does when the world
itself is another is measured by ``pushjepa adapt eval``.

System M is the published one: where a prediction's mean squared error is above a threshold, three gradient steps on the
codebook and the predictor. Three things are other than in the published code. A prediction is scored before its frame
is learned from; there the frame that a step learned from is the one that the plan error was then taken on, so that part
of the gain is a score on what was trained on. The threshold is not a number that was set but the one that keeps to a
stated rate of alarms on unscaled episodes. And every episode begins with the model as it was given, unless ``carry``
asks for what the published adaptations per episode (12, then 1, 6, 7, 3) look like.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pushjepa.adaptation.learning import copy_of, tensors_of, with_net
from pushjepa.evaluation.results import Row
from pushjepa.evaluation.statistics import bootstrap_ratio
from pushjepa.nets.mech import MechJEPA
from pushjepa.pusht.model import PushTModel
from pushjepa.pusht.tasks import ExpertData
from pushjepa.relay.contract import last_history
from pushjepa.runtime.contract import Context, FloatArray

#: What is published for this test, with other slots: means, frozen and A-B-M.
PUBLISHED = {"surprise": (0.0340, 0.0090), "plan_error": (0.0483, 0.0169)}
PUBLISHED_ADAPTATIONS = 29
CAVEAT = (
    "Errors in the latents of different models are not comparable, and multiplying latents is no change of physics: "
    "compare the two columns of one model."
)
_CODES = "memory.codebook._codebook.embed"

Progress = Callable[[int, int], None]  #: (episodes done, in all)


@dataclass(frozen=True)
class LatentShift:
    """The test's settings; by default the published ones.

    Attributes:
        scale: what every slot is multiplied by; 1 changes nothing.
        steps: of gradient in an adaptation (Adam).
        codebook_rate, predictor_rate: of these steps.
        clip: their gradient is no longer than this.
        ahead: blocks of a plan, which are the expert's own next ones.
        carry: go on with what was learned from one episode to the next.

    Raises:
        ValueError: a scale or a rate that is not positive, negative steps, or no block ahead.
    """

    scale: float = 1.4
    steps: int = 3
    codebook_rate: float = 5e-4
    predictor_rate: float = 1e-4
    clip: float = 0.1
    ahead: int = 5
    carry: bool = False

    def __post_init__(self) -> None:
        if min(self.scale, self.codebook_rate, self.predictor_rate, self.clip) <= 0.0:
            raise ValueError("scale, rates and clip must be positive")
        if self.steps < 0 or self.ahead < 1:
            raise ValueError("steps must not be negative and ahead at least 1")


class Recorded(NamedTuple):
    """An episode at its boundaries: slots (T, K, D) and the blocks (T - 1, frameskip, 1, 2) between them."""

    slots: FloatArray
    blocks: FloatArray

    def scaled(self, scale: float) -> Recorded:
        """With every slot multiplied."""
        return Recorded((scale * self.slots).astype(np.float32), self.blocks)


class Scored(NamedTuple):
    """How an episode was foreseen.

    Attributes:
        surprise: (T - 1,) mean squared error of the prediction for each boundary but the first.
        plan_error: of the slots imagined after the next ``ahead`` blocks, from each boundary that has as many.
        adaptations: how often it was learned from.
    """

    surprise: tuple[float, ...]
    plan_error: tuple[float, ...]
    adaptations: int


class Mind(Protocol):
    """What foresees and may learn."""

    def foresee(self, context: Context, blocks: FloatArray) -> FloatArray:
        """Slots (H, K, D) after each of the blocks (H, frameskip, 1, 2)."""
        ...

    def learn(self, context: Context, block: FloatArray, seen: FloatArray) -> None:
        """Learn that ``block`` (frameskip, 1, 2) led to slots (K, D)."""
        ...


def live_through(mind: Mind, episode: Recorded, threshold: float, history: int, ahead: int) -> Scored:
    """Anticipate, score, and only then learn, boundary by boundary; a plan is imagined with what was learned so far.

    Args:
        mind: who foresees.
        episode: what is recorded.
        threshold: it learns from a boundary whose surprise lies above it; infinite for a frozen one.
        history: boundaries of a context.
        ahead: blocks of a plan.
    """
    surprise, plan_error, adaptations = [], [], 0
    count = len(episode.slots)
    for now in range(count):
        if now:
            before, seen = _context(episode, now - 1, history), episode.slots[now]
            block = episode.blocks[now - 1]
            surprise.append(_error(mind.foresee(before, block[None])[0], seen))
            if surprise[-1] > threshold:
                mind.learn(before, block, seen)
                adaptations += 1
        if now + ahead < count:
            imagined = mind.foresee(_context(episode, now, history), episode.blocks[now : now + ahead])
            plan_error.append(_error(imagined[-1], episode.slots[now + ahead]))
    return Scored(tuple(surprise), tuple(plan_error), adaptations)


class NetMind:
    """A Push-T model whose codebook and predictor learn; the given model is left alone.

    Raises:
        ValueError: the model has no codebook.
    """

    def __init__(self, model: PushTModel, settings: LatentShift) -> None:
        self.settings = settings
        names = tensors_of(model.net, "codebook")
        self.net = copy_of(model.net, names)
        assert isinstance(self.net, MechJEPA)
        self.model = with_net(model, self.net)
        tensors = dict(self.net.named_parameters()) | dict(self.net.named_buffers())
        groups: list[dict[str, Any]] = [
            {"params": [tensors[name] for name in names if name.startswith("memory.") == memory], "lr": rate}
            for memory, rate in ((True, settings.codebook_rate), (False, settings.predictor_rate))
        ]
        self._weights: list[Tensor] = [tensor for group in groups for tensor in group["params"]]
        self._optimiser = torch.optim.Adam(groups)

    def foresee(self, context: Context, blocks: FloatArray) -> FloatArray:
        """See :class:`Mind`."""
        return np.asarray(self.model.rollout(context, blocks[None], np.zeros(len(blocks), dtype=np.int64))[0])

    def learn(self, context: Context, block: FloatArray, seen: FloatArray) -> None:
        """See :class:`Mind`: a few steps of Adam on the one transition."""
        for weight in self._weights:
            weight.requires_grad_(True)
        wanted = torch.from_numpy(seen)
        for _ in range(self.settings.steps):
            error = (self._predict(context, block) - wanted).square().mean()
            # Not backward(): other weights are shared with the given model, whose gradients are not ours.
            slopes = torch.autograd.grad(error, self._weights, allow_unused=True)
            for weight, slope in zip(self._weights, slopes, strict=True):
                weight.grad = slope
            torch.nn.utils.clip_grad_norm_(self._weights, self.settings.clip)
            self._optimiser.step()
        for weight in self._weights:
            weight.grad = None
            weight.requires_grad_(False)

    def _predict(self, context: Context, block: FloatArray) -> Tensor:
        """The slots (K, D) after a block, as a rollout has them, with a gradient to the codebook's entries."""
        net = self.net
        assert isinstance(net, MechJEPA)
        blocks = torch.from_numpy(np.concatenate([context.blocks, block[None]])[:, :, 0])  # (h, frameskip, 2)
        earlier = torch.cat([torch.zeros(1, 2), blocks[:-1, -1]])
        seen, retrieved = net.frame(torch.from_numpy(context.latents), earlier, blocks)
        if retrieved is not None and net.config.mechanism == "vq":
            # The same vectors: entries are chosen, and a choice has no gradient.
            seen = seen._replace(mechanisms=net.get_buffer(_CODES)[0][retrieved.codes])
        return net.attend(seen.map(lambda part: part[None]))[0, -1]


def evaluate_latent_shift(
    model: PushTModel,
    data: ExpertData,
    settings: LatentShift | None = None,
    *,
    episodes: int = 5,
    calibration: int = 30,
    rate: float = 0.01,
    seed: int = 0,
    progress: Progress | None = None,
) -> Row:
    """The test on some held-out episodes.

    Args:
        model: a MechJEPA.
        data: held-out expert trajectories.
        settings: of the test.
        episodes: that are tested.
        calibration: other episodes, unscaled, that the threshold is chosen on.
        rate: alarms for each boundary of theirs that are put up with.
        seed: draws the episodes.

    Returns:
        Mean surprise and plan error, frozen and A-B-M, with a bootstrap over episodes, and the same ``by_episode``.

    Raises:
        ValueError: a model without a codebook, one that learned from these trajectories, or too few of them.
    """
    settings = settings or LatentShift()
    data.refuse_seen(model.learned, "the model")
    frozen, history = NetMind(model, settings), model.spec.history
    chosen = _draw(data, episodes + calibration, (settings.ahead + 1) * model.spec.frameskip, seed)
    recorded = [record(model, data, int(one)) for one in chosen]
    usual = [live_through(frozen, one, math.inf, history, settings.ahead) for one in recorded[episodes:]]
    threshold = find_threshold([one.surprise for one in usual], rate)
    mind, found = NetMind(model, settings), []
    for done, one in enumerate(recorded[:episodes], start=1):
        scaled = one.scaled(settings.scale)
        mind = mind if settings.carry else NetMind(model, settings)
        scores = [
            live_through(who, scaled, limit, history, settings.ahead)
            for who, limit in ((frozen, math.inf), (mind, threshold))
        ]
        found.append((scores[0], scores[1]))
        if progress is not None:
            progress(done, episodes)
    return {
        "scale": settings.scale,
        "carry": settings.carry,
        "seed": seed,
        "n": episodes,
        "threshold": threshold,
        "rate": rate,
        "calibration_episodes": calibration,
        "calibration_boundaries": sum(len(one.surprise) for one in usual),
        "calibration_alarms": sum(value > threshold for one in usual for value in one.surprise),
        "unscaled_surprise": float(np.mean([value for one in usual for value in one.surprise])),
        "unscaled_plan_error": float(np.mean([value for one in usual for value in one.plan_error])),
    } | summarise(chosen[:episodes].tolist(), found, np.random.default_rng([seed, 1]))


def summarise(episodes: Sequence[int], found: Sequence[tuple[Scored, Scored]], rng: np.random.Generator) -> Row:
    """Means over boundaries, frozen and A-B-M, in all and by episode."""
    row: Row = {"adaptations": sum(abm.adaptations for _, abm in found)}
    for name in ("surprise", "plan_error"):
        for who, which in (("frozen", 0), ("abm", 1)):
            curves = [getattr(pair[which], name) for pair in found]
            mean = bootstrap_ratio([sum(one) for one in curves], [len(one) for one in curves], rng)
            row |= {f"{name}_{who}": mean.value, f"{name}_{who}_ci": mean.ci}
    row["by_episode"] = [
        {
            "episode": episode,
            "boundaries": len(frozen.surprise),
            "surprise_frozen": float(np.mean(frozen.surprise)),
            "surprise_abm": float(np.mean(abm.surprise)),
            "plan_error_frozen": float(np.mean(frozen.plan_error)),
            "plan_error_abm": float(np.mean(abm.plan_error)),
            "adaptations": abm.adaptations,
        }
        for episode, (frozen, abm) in zip(episodes, found, strict=True)
    ]
    return row


def record(model: PushTModel, data: ExpertData, episode: int) -> Recorded:
    """A trajectory as the model encodes it, at the boundaries of its action blocks, from the first row on."""
    step = model.spec.frameskip
    length = int(data.lengths[episode])
    rows = data.load_chunk(*(np.array([value]) for value in (episode, 0, length)))[0]
    frames = rows["pixels"][::step].permute(0, 2, 3, 1).numpy()
    slots = np.concatenate([model.encode(frames[low : low + 32]) for low in range(0, len(frames), 32)])
    count = len(frames) - 1
    blocks = rows["action"][: count * step].numpy().astype(np.float32).reshape(count, step, 1, 2)
    return Recorded(slots.astype(np.float32), blocks)


def find_threshold(surprises: Sequence[Sequence[float]], rate: float) -> float:
    """The least of some surprises that no more than ``rate`` of them lie above.

    Raises:
        ValueError: a rate outside [0, 1), or nothing to calibrate on.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"a rate of alarms lies in [0, 1), got {rate:g}")
    ordered = sorted(value for one in surprises for value in one)
    if not ordered:
        raise ValueError("a threshold needs surprises to be chosen on; calibrate on at least one episode")
    return ordered[len(ordered) - 1 - math.floor(rate * len(ordered))]


def _context(episode: Recorded, now: int, history: int) -> Context:
    """What is known at boundary ``now``, padded as training is."""
    actors = np.zeros(now, dtype=np.int64)
    past = last_history(episode.slots[: now + 1], episode.blocks[:now], actors, history)
    return Context(past.items.astype(np.float32), past.blocks.astype(np.float32), past.actors)


def _draw(data: ExpertData, count: int, least: int, seed: int) -> np.ndarray:
    """Different trajectories of a steady hand with more than ``least`` rows."""
    fit = np.flatnonzero(data.steady & (data.lengths > least))
    if len(fit) < count:
        raise ValueError(f"{count} episodes of more than {least} rows are asked for; {data.path} has {len(fit)}")
    return np.random.default_rng(seed).choice(fit, count, replace=False)


def _error(one: FloatArray, other: FloatArray) -> float:
    return float(np.square(one.astype(np.float64) - other).mean())
