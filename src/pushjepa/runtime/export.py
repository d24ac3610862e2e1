"""Writing a checkpoint folder from a trained model. Needs the ``train`` extra.

The ONNX graphs hold no weights: their initialisers point into ``model.safetensors``, whose tensors lie there plainly
one after another. The folder therefore stores every number once, in half precision, and both backends read the same.
"""

from __future__ import annotations

import json
import logging
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import Tensor, nn

import pushjepa
from pushjepa.nets import JEPA
from pushjepa.runtime.checkpoint import CONFIG, FORMAT, LOOK, SHIFTED, WEIGHTS, file_digest, graphs_of
from pushjepa.runtime.looping import Begin, End, Substep, join

OPSET = 20
_SMALL = 4096  # numbers; anything smaller may stay inside the graph


class _Encoder(nn.Module):
    def __init__(self, model: JEPA) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> Tensor:
        return self.model.encode(frames)


class _Turns(nn.Module):
    def __init__(self, model: JEPA) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor, blocks: Tensor, actors: Tensor) -> Tensor:
        return self.model.turn_tokens(latents, blocks, actors)


class _Look(nn.Module):
    def __init__(self, model: JEPA) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> Tensor:
        return torch.cat(self.model.look(frames), dim=-1)


class _Predictor(nn.Module):
    def __init__(self, model: JEPA) -> None:
        super().__init__()
        self.model = model

    def forward(self, past: Tensor, newest: Tensor) -> Tensor:
        return self.model.predict_last(past, newest)


class _Decoder(nn.Module):
    def __init__(self, model: JEPA) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor) -> Tensor:
        numbers: Tensor = self.model.head(latents)
        return numbers


def export_checkpoint(
    model: JEPA,
    folder: Path,
    *,
    preset: Mapping[str, Any],
    data: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> None:
    """Write ``config.json``, ``model.safetensors`` (fp16 matrices) and the ONNX graphs.

    Args:
        model: the trained model; it is set to evaluation and its matrices are rounded to half precision in place, so
            that every figure taken afterwards is a figure of what was written.
        folder: where to; made if missing.
        preset, data, metrics: what the model was trained with, on and to; kept in the config.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.cpu().eval()
    tensors = {name: _stored(value) for name, value in model.state_dict().items()}
    model.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    )
    save_file(tensors, folder / WEIGHTS)
    _export_graphs(model, folder)
    config = {
        "format": FORMAT,
        "pushjepa": pushjepa.__version__,
        "name": preset["name"],
        "model": model.config.to_dict(),
        "parameters": model.parameters_by_part(),
        "preset": preset,
        "data": data,
        "metrics": metrics,
        "files": {name: file_digest(folder / name) for name in (WEIGHTS, *graphs_of(model.config.to_dict()))},
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")


def _stored(value: Tensor) -> Tensor:
    """Matrices in half precision; vectors, BatchNorm's variances among them, stay as they are."""
    return value.half().contiguous() if value.is_floating_point() and value.ndim >= 2 else value.contiguous()


def _export_graphs(model: JEPA, folder: Path) -> None:
    c = model.config
    count = torch.export.Dim("candidates", min=2, max=1_000_000)
    many = {0: count}
    frames = torch.zeros(2, c.frame_size, c.frame_size, 3, dtype=torch.uint8)
    turns = (
        torch.zeros(3, c.width),
        torch.zeros(3, c.frameskip, c.agents, 2),
        torch.zeros(3, dtype=torch.long),
    )
    with torch.no_grad():
        newest = model.turn_tokens(*turns)
    _export(_Encoder(model), (frames,), (many,), ["frames"], folder / "encoder.onnx")
    _export_turns(model, turns, many, folder / "turns.onnx")
    if c.laws:
        _export_turns(model, (*turns, torch.zeros(3, c.laws)), many, folder / SHIFTED)
    if c.visible:
        _export(_Look(model), (frames,), (many,), ["frames"], folder / LOOK)
    for name, pasts, shapes in (("first", 1, (None, many)), ("next", 3, (many, many))):
        past = torch.zeros(pasts, c.history - 1, newest.shape[-1])
        _export(_Predictor(model), (past, newest), shapes, ["past", "newest"], folder / f"{name}.onnx")
    _export(_Decoder(model), (torch.zeros(2, c.width),), (many,), ["latents"], folder / "decoder.onnx")


def _export_turns(model: JEPA, turns: tuple[Tensor, ...], many: dict[int, Any], path: Path) -> None:
    """Export the graph of single turns; with an unroll, whose substeps are a loop, in three parts."""
    names = ["latents", "blocks", "actors", "laws"][: len(turns)]
    if model.unroll is None:
        _export(_Turns(model), turns, (many,) * len(turns), names, path)
        return
    begin, substep, end = Begin(model), Substep(model), End(model)
    with torch.no_grad():
        given = begin(*turns)
        # The same in each substep is whatever has no substeps in front.
        once = [*given[:4], *(some[0] for some in given[4:6]), *given[6:]]
        imagined = torch.stack([substep(*once)[-1]] * model.config.frameskip)
    alike = [None if number == 5 else many for number in range(len(once))]  # the beat is one for all candidates
    parts = (
        _graph(begin, turns, (many,) * len(turns), names, len(given)),
        _graph(substep, tuple(once), (tuple(alike),), [f"given_{i}" for i in range(len(once))], 5),
        _graph(end, (*turns[:3], imagined), (many, many, many, {1: many[0]}), [*names[:3], "imagined"], 1),
    )
    _save(join(*parts, steps=model.config.frameskip), path)


def _export(
    module: nn.Module, example: tuple[Tensor, ...], shapes: tuple[Any, ...], inputs: list[str], path: Path
) -> None:
    """Export one graph with one output, ``out``."""
    _save(_graph(module, example, shapes, inputs, 1), path)


def _graph(
    module: nn.Module, example: tuple[Tensor, ...], shapes: tuple[Any, ...], inputs: list[str], outputs: int
) -> onnx.ModelProto:
    """A module as a graph; its outputs are ``out``, or ``out_0`` and so on."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            optimize=False,
            opset_version=OPSET,
            dynamic_shapes=shapes,
            input_names=inputs,
            output_names=["out"] if outputs == 1 else [f"out_{i}" for i in range(outputs)],
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _save(graph: onnx.ModelProto, path: Path) -> None:
    """Write a graph whose weights stay in the safetensors file beside it."""
    _point_at_weights(graph, path.parent / WEIGHTS)
    onnx.save(graph, path)


def _point_at_weights(graph: onnx.ModelProto, weights: Path) -> None:
    """Replace initialisers by references into the safetensors file, with a cast where that holds half precision."""
    entries, start = _safetensors_layout(weights)
    kept, casts = [], []
    for item in graph.graph.initializer:
        entry = entries.get(item.name.removeprefix("model."))
        if entry is None:
            if len(item.raw_data) > 4 * _SMALL:
                raise RuntimeError(f"{item.name} is large and not in {weights.name}: the exporter changed it")
            kept.append(item)
            continue
        half = entry["dtype"] == "F16"
        name = f"{item.name}.half" if half else item.name
        kept.append(_external(name, item, entry, start, weights.name, TensorProto.FLOAT16 if half else item.data_type))
        if half:
            casts.append(helper.make_node("Cast", [name], [item.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.graph.node]
    for node in nodes:  # the exporter notes in each node which line of whose source it came from
        del node.metadata_props[:]
        node.doc_string = ""
    for field, values in ((graph.graph.initializer, kept), (graph.graph.node, nodes)):
        del field[:]
        field.extend(values)
    del graph.graph.value_info[:]
    del graph.graph.metadata_props[:]
    del graph.metadata_props[:]


def _external(
    name: str, item: TensorProto, entry: dict[str, Any], start: int, location: str, data_type: int
) -> TensorProto:
    """A tensor whose bytes lie in another file."""
    low, high = entry["data_offsets"]
    tensor = TensorProto(name=name, dims=item.dims, data_type=data_type, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", str(start + low)), ("length", str(high - low))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _safetensors_layout(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its data begin: 8 bytes of length, the JSON header, the data."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return {name: entry for name, entry in header.items() if name != "__metadata__"}, 8 + length
