"""The checkpoint folder: ``config.json``, ``model.safetensors``, ONNX graphs and the card. Never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pushjepa.physics import STATE_FIELDS
from pushjepa.runtime.contract import ModelSpec

FORMAT = 2  #: 1 had other graphs; its weights can still be read
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
GRAPHS = ("encoder.onnx", "turns.onnx", "first.onnx", "next.onnx", "decoder.onnx")
SHIFTED = "shifted.onnx"  #: the graph of a model that can be told of other laws
LOOK = "look.onnx"  #: that of one with a second look
CARD = "README.md"


def graphs_of(model: Mapping[str, Any]) -> tuple[str, ...]:
    """The graphs of a model, by the sizes that its config has."""
    return GRAPHS + (SHIFTED,) * bool(model.get("laws")) + (LOOK,) * bool(model.get("visible"))


def resolve(model: str | Path | None) -> Path:
    """The folder of a model: None is the bundled default, else a folder, else ``owner/name`` on the Hugging Face Hub.

    Raises:
        ValueError: neither a folder nor a name that the Hub knows.
    """
    if model is None:
        return Path(str(resources.files("pushjepa.runtime") / "models" / "compact"))
    path = Path(model)
    if path.is_dir():
        return path
    name = str(model)
    if path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise ValueError(f"no checkpoint folder {name}; give a folder, or owner/name on the Hugging Face Hub")
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name))
    except Exception as error:  # noqa: BLE001  the Hub client raises many kinds; whichever it was, there is no model
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"no checkpoint folder {name}, and the Hugging Face Hub did not give it: {reason}") from None


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights_digest(folder: Path) -> str:
    """The digest of a checkpoint's weights, of the game or of Push-T, as its config has it.

    Raises:
        ValueError: the folder is no checkpoint.
    """
    try:
        return str(json.loads((folder / CONFIG).read_text())["files"][WEIGHTS])
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{folder} is no checkpoint folder: {CONFIG} names no weights") from None


def read_config(folder: Path, *, weights_only: bool = False) -> dict[str, Any]:
    """Read and check ``config.json``; for ``weights_only`` an older format will do.

    Raises:
        ValueError: the folder is no checkpoint, or one of another format.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(f"{folder} is no checkpoint folder: {CONFIG} is missing")
    try:
        config = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(config, dict) or config.get("format") not in ((1, FORMAT) if weights_only else (FORMAT,)):
        found = config.get("format") if isinstance(config, dict) else None
        hint = "; `pushjepa export model` brings it up to date" if found == 1 else ""
        raise ValueError(f"{path} has format {found!r}; this version reads format {FORMAT}{hint}")
    for name in ("model", "files", "name"):
        if name not in config:
            raise ValueError(f"{path} lacks the entry {name!r}")
    return config


def verify(folder: Path, config: dict[str, Any], *, weights_only: bool = False) -> None:
    """Hold every file, or only the weights, against the digest that was written with it.

    Raises:
        ValueError: a file is missing or is not the one that belongs here.
    """
    graphs = graphs_of(config["model"])
    for name in (WEIGHTS,) if weights_only else (WEIGHTS, *graphs):
        if not (folder / name).is_file():
            raise ValueError(f"checkpoint {folder} lacks {name}; export it again or fetch the folder whole")
        if file_digest(folder / name) != config["files"].get(name):
            raise ValueError(f"checkpoint {folder}: {name} does not match {CONFIG}; the files are of different exports")


def refuse_other(folder: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuse to start from weights of another architecture.

    Args:
        folder: the checkpoint whose weights they are.
        theirs: its sizes.
        ours: those of the model that is to take the weights.

    Raises:
        ValueError: they differ; it says in what.
    """
    if theirs != ours:
        name = next(k for k in {**ours, **theirs} if theirs.get(k) != ours.get(k))
        found, wanted = theirs.get(name), ours.get(name)
        raise ValueError(f"{folder} has {name}={found!r}, this preset {wanted!r}: another architecture")


def spec_of(config: dict[str, Any]) -> ModelSpec:
    """The runtime's view of a model's configuration."""
    model = config["model"]
    return ModelSpec(
        tokens=1,
        width=model["width"],
        agents=model["agents"],
        frameskip=model["frameskip"],
        history=model["history"],
        frame_size=model["frame_size"],
        state_fields=STATE_FIELDS,
        laws=model.get("laws", 0),
        visible=tuple(model.get("visible", ())),
    )
