"""What the mechanisms of a MechJEPA have come to mean, and whether its slots keep their order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pushjepa.evaluation.results import Row
from pushjepa.evaluation.statistics import Estimate, middle95, resample
from pushjepa.nets.mechanisms import perplexity
from pushjepa.pusht.model import PushTModel
from pushjepa.pusht.scene import PushTScene
from pushjepa.pusht.simulator import Simulator
from pushjepa.pusht.tasks import ExpertData

CONTACTS = ("push", "collide")  #: tee and agent, tee and wall; nothing lies on anything in Push-T, so no "support"
_CHUNK = 32  # frames: on a CPU more are slower, since their features leave the caches

Progress = Callable[[int, int], None]  #: (trajectories done, in all)


@dataclass(frozen=True)
class Retrieved:
    """What a model made of the rows of some trajectories that have an action after them.

    Attributes:
        codes: (M, K, K) entry of the codebook for slot i as slot j acts on it.
        contacts: (M, 2) what the simulator says touches in the step that follows, in the order of ``CONTACTS``.
        lengths: (N,) rows of each trajectory, which lie end to end.
        kept: (N,) share of each trajectory's steps in which every slot is nearest to its own next one.
    """

    codes: NDArray[np.int64]
    contacts: NDArray[np.bool_]
    lengths: NDArray[np.int64]
    kept: NDArray[np.float64]


def retrieve(model: PushTModel, data: ExpertData, episodes: int, progress: Progress | None = None) -> Retrieved:
    """Codes, contacts and order of slots over the first ``episodes`` trajectories.

    Raises:
        ValueError: the model has no codebook or learned from these trajectories, or there are fewer of them.
    """
    data.refuse_seen(model.learned, "the model")
    if not 1 <= episodes <= len(data.lengths):
        raise ValueError(f"episodes must be 1 ... {len(data.lengths)}, got {episodes}")
    scene, simulator = PushTScene(model.spec.frame_size), Simulator()
    codes, contacts, kept = [], [], []
    for episode in range(episodes):
        states, actions = data.trajectory(episode)
        slots = _encode(model, scene, states)
        kept.append(order_kept(slots))
        codes.append(model.codes(slots[:-1]))
        # Step by step from stored states: a contact that lasts would be remembered from step to step otherwise.
        contacts.append(np.concatenate([simulator.contacts(s, a[None]) for s, a in zip(states, actions, strict=False)]))
        if progress is not None:
            progress(episode + 1, episodes)
    lengths = np.array([len(part) for part in codes])
    return Retrieved(np.concatenate(codes), np.concatenate(contacts), lengths, np.array(kept))


def order_kept(slots: NDArray[np.floating]) -> float:
    """Share of the steps of slots (T, K, D) in which matching slots to the next ones leaves each in its place.

    The matching is the one of least squared distance over all orders, as C-JEPA matches slots that have none.
    """
    apart = np.square(slots[:-1, :, None] - slots[1:, None]).sum(-1)  # (T-1, K, K)
    here = np.arange(apart.shape[1])
    orders = np.array(list(itertools.permutations(here)))  # the first leaves every slot in its place
    costs = apart[:, here, orders].sum(-1)  # (T-1, K!)
    return float((costs.argmin(axis=1) == 0).mean()) if len(costs) else 1.0


def mutual_information(codes: NDArray[np.integer], events: NDArray[np.integer | np.bool_]) -> float:
    """Mutual information in bits between codes (M,) and events (M,), both numbered from 0, from their counts."""
    return float(_information(_count(codes, events, np.zeros(len(codes), dtype=np.int64), 1))[0])


def bootstrap_information(
    codes: NDArray[np.integer],
    events: NDArray[np.integer | np.bool_],
    lengths: NDArray[np.int64],
    rng: np.random.Generator,
) -> Estimate:
    """Mutual information with a bootstrap over the trajectories, of ``lengths`` (N,), whose rows they are.

    Counts of few rows seem to tell more than there is. A resample holds fewer trajectories than there are, and so with
    few of them the interval lies high.
    """
    units = np.repeat(np.arange(len(lengths)), lengths)
    counts = _count(codes, events, units, len(lengths))  # (N, C, E)
    resampled = np.tensordot(resample(len(lengths), rng), counts, axes=1)  # (R, C, E)
    return Estimate(mutual_information(codes, events), middle95(_information(resampled)))


def shift_within(events: NDArray[np.bool_], lengths: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Events (M,) moved on by a random number of rows, in a circle within each trajectory.

    How long they last and how often they come in each trajectory stays as it was; only when they come does not.
    """
    shifts = rng.integers(1, np.maximum(lengths, 2))  # by 0 they would all stay in place
    first = np.cumsum(lengths) - lengths
    place = np.arange(len(events)) - np.repeat(first, lengths)
    return events[np.repeat(first, lengths) + (place - np.repeat(shifts, lengths)) % np.repeat(lengths, lengths)]


def _count(
    codes: NDArray[np.integer], events: NDArray[np.integer | np.bool_], units: NDArray[np.int64], number: int
) -> NDArray[np.float64]:
    """How often (units, C, E) each code came with each event (M,), in each of a ``number`` of units."""
    shape = (number, int(codes.max()) + 1, int(events.max()) + 1)
    places = np.ravel_multi_index((units, codes.astype(np.int64), events.astype(np.int64)), shape)
    return np.bincount(places, minlength=math.prod(shape)).reshape(shape).astype(np.float64)


def _information(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mutual information (N,) in bits of each table of counts (N, C, E)."""
    joint = counts / counts.sum(axis=(1, 2), keepdims=True)
    apart = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
    # What never came adds nothing.
    bits = np.log2(np.divide(joint, apart, out=np.ones_like(joint), where=joint > 0))
    return np.asarray((joint * bits).sum(axis=(1, 2)))


def describe_mechanisms(found: Retrieved, entries: int, rng: np.random.Generator, controls: int = 100) -> list[Row]:
    """One row for each kind of contact and each ordered pair of slots.

    Args:
        found: what was retrieved.
        entries: of the codebook.
        rng: draws the controls and the interval.
        controls: how many of each kind.

    Returns:
        Rows with ``contact``, ``slot`` and ``acted_on_by``, ``mutual_information`` in bits with its interval over
        trajectories (``_ci``), that of two controls, mean and 95th percentile, ``entropy`` of the contact (the most
        there is to know), ``perplexity`` of the pair's codes, and ``by_code``: for each entry, how often it was
        retrieved and the share of contact then. The controls are contacts shuffled over all rows (``shuffled``,
        ``shuffled_p95``) and shifted within their trajectories (``shifted``, ``shifted_p95``): contacts and codes both
        last, and so agree for a while by chance.
    """
    rows: list[Row] = []
    slots = found.codes.shape[1]
    for number, contact in enumerate(CONTACTS):
        events = found.contacts[:, number]
        for i, j in ((i, j) for i in range(slots) for j in range(slots)):
            codes = found.codes[:, i, j]
            told = bootstrap_information(codes, events, found.lengths, rng)
            rows.append(
                {
                    "contact": contact,
                    "slot": i,
                    "acted_on_by": j,
                    "n": len(codes),
                    "mutual_information": told.value,
                    "mutual_information_ci": told.ci,
                    **_controls(codes, events, found.lengths, rng, controls),
                    "entropy": mutual_information(events.astype(np.int64), events),
                    "perplexity": perplexity(codes),
                    "by_code": _by_code(codes, events, entries),
                }
            )
    return rows


def _controls(
    codes: NDArray[np.int64],
    events: NDArray[np.bool_],
    lengths: NDArray[np.int64],
    rng: np.random.Generator,
    count: int,
) -> dict[str, float]:
    """What codes seem to tell of events that have nothing to do with them, each kind drawn ``count`` times."""
    kinds = {
        "shuffled": [mutual_information(codes, rng.permutation(events)) for _ in range(count)],
        "shifted": [mutual_information(codes, shift_within(events, lengths, rng)) for _ in range(count)],
    }
    means = {name: float(np.mean(bits)) for name, bits in kinds.items()}
    return means | {f"{name}_p95": float(np.percentile(bits, 95)) for name, bits in kinds.items()}


def _by_code(codes: NDArray[np.int64], events: NDArray[np.bool_], entries: int) -> list[dict[str, float | int | None]]:
    """How often each entry was retrieved, and the share of ``events`` among them."""
    counts = np.bincount(codes, minlength=entries)
    hits = np.bincount(codes, weights=events, minlength=entries)
    return [
        {"code": code, "n": int(n), "share": float(h / n) if n else None}
        for code, (n, h) in enumerate(zip(counts, hits, strict=True))
    ]


def _encode(model: PushTModel, scene: PushTScene, states: NDArray[np.float64]) -> NDArray[np.float32]:
    """Slots (T, K, D) of states (T, 7)."""
    parts = [states[low : low + _CHUNK] for low in range(0, len(states), _CHUNK)]
    return np.concatenate([model.encode(scene.draw_many(part)) for part in parts])
