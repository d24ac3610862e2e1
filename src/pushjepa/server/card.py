"""What the page tells about the world model: read from the model's own folder, never typed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pushjepa.runtime.checkpoint import CARD, read_config, spec_of
from pushjepa.server.messages import Part


class PartSize(Part):
    """One part of the model and how many parameters it has."""

    name: str
    parameters: int


class ModelCard(Part):
    """A model's figures as its ``config.json`` has them; ``card`` is the text of its ``README.md``.

    ``parts`` are without the total, which is ``parameters``. ``episodes`` and ``steps`` are those of all stores that it
    learned from together; None where they are not told. ``model``, ``data``, ``loss`` and ``phases`` are the
    configuration that it was trained with. ``metrics`` are the figures at the end of each phase, ``measured`` those of
    the last: ``*_px`` in board pixels, ``*_deg`` in degrees. ``assembled`` says how a model came about whose phases
    were not run one after another; else it is empty.
    """

    name: str
    parts: list[PartSize]
    parameters: int | None
    history: int
    frame_size: int
    model: dict[str, Any]
    data: dict[str, Any]
    episodes: int | None
    steps: int | None
    loss: dict[str, Any]
    phases: list[dict[str, Any]]
    metrics: dict[str, dict[str, float | None]]
    measured: dict[str, float | None]
    assembled: str
    card: str


def read_card(folder: Path) -> ModelCard:
    """The card of the model in ``folder``. What its configuration lacks stays empty.

    Raises:
        ValueError: the folder is no checkpoint, or its configuration is malformed.
    """
    config = read_config(folder)
    text = folder / CARD
    try:
        parameters = dict(config.get("parameters", {}))
        total = parameters.pop("total", None)
        episodes, steps = _count_lessons(config.get("data", {}))
        preset, metrics, spec = config.get("preset", {}), config.get("metrics", {}), spec_of(config)
        return ModelCard(
            name=config["name"],
            parts=[PartSize(name=name, parameters=count) for name, count in parameters.items()],
            parameters=total,
            history=spec.history,
            frame_size=spec.frame_size,
            model=config["model"],
            data=config.get("data", {}),
            episodes=episodes,
            steps=steps,
            loss=preset.get("loss", {}),
            phases=preset.get("phases", []),
            metrics=metrics,
            measured=_own_world(metrics),
            assembled=config.get("assembled", ""),
            card=text.read_text(encoding="utf-8") if text.is_file() else "",
        )
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"the configuration of the model in {folder.name} cannot be read: {reason}") from None


def _count_lessons(data: dict[str, Any]) -> tuple[int | None, int | None]:
    """Episodes and env steps of all stores of ``data`` together: of the first, and of those beside it."""
    stores = [data, *data.get("beside", [])]
    if not all("episodes" in store and "steps" in store for store in stores):
        return None, None
    return sum(store["episodes"] for store in stores), sum(store["episodes"] * store["steps"] for store in stores)


def _own_world(metrics: dict[str, dict[str, float | None]]) -> dict[str, float | None]:
    """The figures of the last phase that has such of the known world, with what is read after ``glimpses``.

    Those of ``laws`` and ``looks`` are of other worlds, and ``glimpses`` foresee nothing. None if there are none.
    """
    own = [values for name, values in metrics.items() if not name.endswith(("-laws", "-looks", "-glimpses"))]
    closer = [values for name, values in metrics.items() if name.endswith("-glimpses")]
    read = {name: value for name, value in (closer[-1] if closer else {}).items() if name.startswith("decode_")}
    return (own[-1] if own else {}) | read
