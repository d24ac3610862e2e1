"""``pushjepa export``: episodes with their frames, and the graphs of a checkpoint made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pushjepa.cli.common import ModelOption, console, missing_extra, progress_bar, say

app = typer.Typer(help="Write episodes to HDF5, or a checkpoint's ONNX graphs anew.", no_args_is_help=False)


@app.command()
def episodes(
    out: Annotated[Path, typer.Option(dir_okay=False, help="The HDF5 file; it must not exist.")],
    data: Annotated[Path, typer.Option(help="An episode store, from `pushjepa generate`.")] = Path("data/episodes"),
    size: Annotated[int, typer.Option(min=16, max=1024, help="Height and width of the frames.")] = 224,
) -> None:
    """Draw the frames of a store and write them with states and actions to one HDF5 file."""
    from pushjepa.data import EpisodeStore
    from pushjepa.data.export import export_hdf5

    with progress_bar("episodes") as report:
        export_hdf5(EpisodeStore(data).episodes, out, size, report)
    say(f"{out} ({out.stat().st_size / 1e6:,.0f} MB)")


@app.command()
def model(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the new checkpoint.")],
    model: ModelOption = None,
) -> None:
    """Export a checkpoint's ONNX graphs anew from its weights, into another folder."""
    try:
        from pushjepa.nets import JEPA, ModelConfig
        from pushjepa.runtime.export import export_checkpoint
        from pushjepa.training.relay import load_weights
    except ModuleNotFoundError as error:
        raise missing_extra(error, "exporting a model") from None
    from pushjepa.runtime.checkpoint import CARD, read_config, resolve

    source = resolve(model)
    config = read_config(source, weights_only=True)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty; choose another folder")
    net = JEPA(ModelConfig.from_dict(config["model"]))
    load_weights(net, source)
    with console.status("exporting"):
        export_checkpoint(net, out, preset=config["preset"], data=config["data"], metrics=config["metrics"])
    if (source / CARD).is_file():
        (out / CARD).write_bytes((source / CARD).read_bytes())
    say(f"{out}")
