"""Episodes of several stores as if they were one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from pushjepa.data.store import Episodes


def check_alike(parts: Sequence[Episodes]) -> None:
    """Refuse episodes that cannot be laid end to end.

    Raises:
        ValueError: none, or parts of another length, other stages, other laws or another way of acting than the first.
    """
    if not parts:
        raise ValueError("there are no episodes to learn from")
    alike = {"turns": "length", "stages": "stages", "physics": "laws of physics", "acting": "way of acting"}
    for name, words in alike.items():
        here = getattr(parts[0], name)
        for there in (getattr(part, name) for part in parts[1:]):
            if there != here:
                raise ValueError(
                    f"stores of episodes that are learned from together must have the same {words}: "
                    f"{_told(name, here, there)} here, {_told(name, there, here)} there"
                )


def join_episodes(parts: Sequence[Episodes]) -> Episodes:
    """Episodes of one or more stores, laid end to end.

    Raises:
        ValueError: as :func:`check_alike`.
    """
    check_alike(parts)
    if len(parts) == 1:
        return parts[0]
    regimes = tuple(dict.fromkeys(name for part in parts for name in part.regimes))
    number = [np.array([regimes.index(name) for name in part.regimes]) for part in parts]
    return replace(
        parts[0],
        states=np.concatenate([part.states for part in parts]),
        boundaries=np.concatenate([part.boundaries for part in parts]),
        blocks=np.concatenate([part.blocks for part in parts]),
        actors=np.concatenate([part.actors for part in parts]),
        stage=np.concatenate([part.stage for part in parts]),
        regime=np.concatenate([which[part.regime] for which, part in zip(number, parts, strict=True)]),
        regimes=regimes,
    )


def _told(name: str, value: Any, other: Any) -> str:
    """An attribute of episodes in words; of laws only those that are other ones in ``other``."""
    if name == "turns":
        return f"{value} turns"
    if name == "stages":
        return ", ".join(value)
    if name == "physics":
        laws, others = asdict(value), asdict(other)
        return ", ".join(f"{law} {laws[law]}" for law in laws if laws[law] != others[law])
    return str(value)
