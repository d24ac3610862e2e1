"""What the commands share: their common options, the progress bar and the tables."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

#: Progress goes to stderr, so that what a command prints can be piped.
progress_console = Console(stderr=True)
console = Console()

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", help="Checkpoint folder, or owner/name on the Hugging Face Hub (default: the bundled one)."
    ),
]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads of the model.")]
DeviceOption = Annotated[
    str, typer.Option(help="Where the model runs: cpu (ONNX Runtime), or a torch device such as cuda.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Of everything random.")]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Processes (default: one per core).")]
JsonOption = Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write the results to this file too.")]


def missing_extra(error: ModuleNotFoundError, what: str, extra: str = "train") -> ValueError:
    """The one line for a package that the base install does not have; a module of our own that is missing is a bug.

    Raises:
        ModuleNotFoundError: ``error`` itself, if it is about our own package.
    """
    if (error.name or "").startswith("pushjepa"):
        raise error
    return ValueError(f"{what} needs {error.name}; install the extra `{extra}`: tools/setup.sh full")


def allow_own_players() -> None:
    """Let ``package.module:factory`` be found in the working directory, where a person's own players lie."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def say(text: str, to: Console = console) -> None:
    """Print a line as it is: not coloured, not marked up, not broken at the terminal's width."""
    to.print(text, highlight=False, markup=False, soft_wrap=True)


def command_line() -> str:
    """The command that is running, as it can be typed again."""
    return shlex.join(["pushjepa", *sys.argv[1:]])


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr; yields ``report(done, total)``. It shows from the first report on: bad input leaves one line."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=progress_console)
    task = progress.add_task(what, total=None)

    def report(done: int, total: int) -> None:
        progress.start()
        progress.update(task, completed=done, total=total)

    try:
        yield report
    finally:
        if progress.live.is_started:  # stopping what never ran would print an empty line
            progress.stop()
