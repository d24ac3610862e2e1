"""The ``pushjepa`` command. It parses, shows progress and prints; the work is done by the rooms that it calls.

Rooms are imported inside the commands, so that ``--help`` answers at once and no command loads what it does not use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

import pushjepa
from pushjepa.cli import ablate, adapt, advise, evaluate, export, generate, measure, play, pusht, selfplay, train

_INTERRUPTED = 130  # what Typer turns Ctrl-C into

app = typer.Typer(
    name="pushjepa",
    help="Train a JEPA world model from pixels, play against it, measure it.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("play")(play.play)
app.command("generate")(generate.generate)
app.command("selfplay")(selfplay.selfplay)
app.command("train")(train.train)
app.command("ablate")(ablate.ablate)
app.command("advise")(advise.advise)
app.command("match")(measure.match)
app.command("calibrate")(measure.calibrate)
app.command("bench")(measure.bench)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(pusht.app, name="pusht")
app.add_typer(adapt.app, name="adapt")
app.add_typer(export.app, name="export")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Train a JEPA world model from pixels, play against it, measure it."""
    if version:
        typer.echo(pushjepa.__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code.

    Bad input of any kind ends in one line on stderr and exit code 2; set PUSHJEPA_DEBUG to see where it came from.
    """
    try:
        code = app(arguments, prog_name="pushjepa", standalone_mode=False)
    except (TyperException, ValueError, OSError) as error:
        if os.environ.get("PUSHJEPA_DEBUG"):
            raise
        text = error.format_message() if isinstance(error, TyperException) else str(error)
        typer.echo(f"pushjepa: {' '.join(text.split()) or type(error).__name__}", err=True)
        code = 2
    if code == _INTERRUPTED:
        typer.echo("pushjepa: interrupted", err=True)
    sys.exit(code if isinstance(code, int) else 0)
