"""What the mechanisms of a MechJEPA have come to mean, and whether its slots keep their order."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pushjepa.evaluation.results import Row
from pushjepa.pusht.model import PushTModel
from pushjepa.pusht.scene import PushTScene
from pushjepa.pusht.simulator import Simulator
from pushjepa.pusht.tasks import ExpertData

CONTACTS = ("push", "collide")  #: tee and agent, tee and wall; nothing lies on anything in Push-T, so no "support"
_CHUNK = 256

Progress = Callable[[int, int], None]  #: (trajectories done, in all)


@dataclass(frozen=True)
class Retrieved:
    """What a model made of the rows of some trajectories that have an action after them.

    Attributes:
        codes: (M, K, K) entry of the codebook for slot i as slot j acts on it.
        contacts: (M, 2) what the simulator says touches in the step that follows, in the order of ``CONTACTS``.
        kept: (N,) share of each trajectory's steps in which every slot is nearest to its own next one.
    """

    codes: NDArray[np.int64]
    contacts: NDArray[np.bool_]
    kept: NDArray[np.float64]


def retrieve(model: PushTModel, data: ExpertData, episodes: int, progress: Progress | None = None) -> Retrieved:
    """Codes, contacts and order of slots over the first ``episodes`` trajectories.

    Raises:
        ValueError: the model has no codebook, or there are fewer trajectories.
    """
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
    return Retrieved(np.concatenate(codes), np.concatenate(contacts), np.array(kept))


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
    numbers = events.astype(np.int64)
    joint = np.zeros((int(codes.max()) + 1, int(numbers.max()) + 1))
    np.add.at(joint, (codes, numbers), 1.0)
    joint /= joint.sum()
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log2(joint[seen] / apart[seen])).sum())


def describe_mechanisms(found: Retrieved, entries: int, rng: np.random.Generator, shuffles: int = 20) -> list[Row]:
    """One row for each kind of contact and each ordered pair of slots.

    Args:
        found: what was retrieved.
        entries: of the codebook.
        rng: shuffles the contacts for the control.
        shuffles: how often.

    Returns:
        Rows with ``contact``, ``slot`` and ``acted_on_by``, ``mutual_information`` in bits beside that of shuffled
        contacts (``shuffled``, mean, and ``shuffled_p95``), ``entropy`` of the contact (the most there is to know),
        ``perplexity`` of the pair's codes, and ``by_code``: for each entry, how often it was retrieved and the share
        of contact then.
    """
    rows: list[Row] = []
    slots = found.codes.shape[1]
    for number, contact in enumerate(CONTACTS):
        events = found.contacts[:, number]
        for i, j in ((i, j) for i in range(slots) for j in range(slots)):
            codes = found.codes[:, i, j]
            control = [mutual_information(codes, rng.permutation(events)) for _ in range(shuffles)]
            rows.append(
                {
                    "contact": contact,
                    "slot": i,
                    "acted_on_by": j,
                    "n": len(codes),
                    "mutual_information": mutual_information(codes, events),
                    "shuffled": float(np.mean(control)),
                    "shuffled_p95": float(np.percentile(control, 95)),
                    "entropy": mutual_information(events.astype(np.int64), events),
                    "perplexity": perplexity(codes),
                    "by_code": _by_code(codes, events, entries),
                }
            )
    return rows


def perplexity(codes: NDArray[np.int64]) -> float:
    """How many entries of a codebook are in use: two to the power of the entropy of ``codes`` in bits."""
    return float(2.0 ** mutual_information(codes, codes))


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
