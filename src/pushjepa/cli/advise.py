"""``pushjepa advise``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from pushjepa.cli.common import SeedOption, missing_extra, say


def advise(
    experience: Annotated[Path, typer.Option(help="Matches, from `pushjepa selfplay`.")] = Path("data/experience.npz"),
    model: Annotated[
        Path | None, typer.Option(help="Checkpoint folder to put it into, where its players look for advice.")
    ] = None,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="The file to write, in place of --model.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace advice that is there already.")] = False,
    seed: SeedOption = 0,
) -> None:
    """Learn a policy prior and a value function for the search from played matches, for jepa+prior, jepa+value, ..."""
    try:
        from pushjepa.training.advice import AdviceOptions, learn_advice
    except ModuleNotFoundError as error:
        raise missing_extra(error, "advice") from None
    from pushjepa.data import Experience

    file = _place(model, out)
    _tell(learn_advice(Experience.load(experience), file, AdviceOptions(seed=seed), replace=replace))
    say(f"written to {file}")


def _place(model: Path | None, out: Path | None) -> Path:
    """The file to write.

    Raises:
        ValueError: none or two are asked for, or the folder holds no checkpoint.
    """
    from pushjepa.planning.advice import FILE
    from pushjepa.runtime.checkpoint import weights_digest

    if model is None and out is not None:
        return out
    if model is None or out is not None:
        raise ValueError("say where advice is to go: either --model FOLDER, where players look for it, or --out FILE")
    weights_digest(model)  # refuses what is no checkpoint
    return model / FILE


def _tell(figures: Mapping[str, float]) -> None:
    """Print the held-out figures."""
    say(f"held-out matches: {figures['matches']:.0f}, at true positions; with 95% intervals over matches")
    for name, words in (("value", "value"), ("margin", "the margin of the moment")):
        px, low, high = (figures[f"{name}_px{end}"] for end in ("", "_low", "_high"))
        correlation = figures[f"{name}_correlation"]
        say(f"{words}: {px:.1f} px [{low:.1f}, {high:.1f}] off the final margin, correlation {correlation:.2f}")
    say(
        f"prior: log-likelihood {figures['prior_log_likelihood']:.2f} an action, nearest mean "
        f"{figures['prior_nearest']:.2f} off; nearest of as many draws {figures['drawn_nearest']:.2f}"
    )
