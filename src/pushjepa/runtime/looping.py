"""The graph of a turn with its unroll: one substep, and an ONNX ``Scan`` that applies it 25 times.

The exporter would write every substep out, which takes minutes and megabytes. So the turn is exported in three parts,
what comes before the substeps, one of them, and what comes after, and the parts are joined here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import torch
from onnx import GraphProto, ModelProto, helper, numpy_helper
from torch import Tensor, nn

from pushjepa.nets import JEPA
from pushjepa.nets.unroll import Laws, Moving
from pushjepa.physics.constants import SUBSTEPS

_CARRIED = ("bodies", "turn", "speeds", "spin")  #: from substep to substep
_TOLD = ("action", "beat")  #: in each of them


class Begin(nn.Module):
    """Latents, blocks, actors and perhaps laws to what a turn's substeps need."""

    def __init__(self, model: JEPA) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor, blocks: Tensor, actors: Tensor, laws: Tensor | None = None) -> list[Tensor]:
        assert self.model.unroll is not None
        start, scene = self.model.read(latents)
        now, actions = self.model.unroll.begin(start, blocks, actors)
        beats = self.model.unroll.beats.repeat(blocks.shape[1], 1)
        given = [*now, actions, beats, scene]
        if laws is not None:
            placed = self.model.unroll.place_laws(start, laws)
            assert placed.told is not None
            bends = [part for by in placed.bends if by is not None for part in by]
            given += [*placed[:4], placed.told, *bends]
        return given


class Substep(nn.Module):
    """What is carried, told and believed to what is carried on, and the state (N, 8)."""

    def __init__(self, model: JEPA) -> None:
        super().__init__()
        self.model = model

    def forward(self, *given: Tensor) -> list[Tensor]:
        unroll = self.model.unroll
        assert unroll is not None
        bodies, turn, speeds, spin, action, beat, scene = given[:7]
        laws = unroll.place_laws(bodies, None)
        if len(given) > 7:
            speed, scale, kept, force, told, *bends = given[7:]
            laws = Laws(speed, scale, kept, force, told, list(zip(bends[::2], bends[1::2], strict=True)))
        moved = unroll.move(Moving(bodies, turn, speeds, spin), action, beat.expand(bodies.shape[0], -1), scene, laws)
        return [*moved, torch.cat([moved.bodies.reshape(-1, 6), moved.turn], dim=-1)]


class End(nn.Module):
    """Latents, blocks, actors and what was imagined (steps, N, 8) to all that the predictor takes of the turn."""

    def __init__(self, model: JEPA) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor, blocks: Tensor, actors: Tensor, imagined: Tensor) -> Tensor:
        return self.model.tokens_of(latents, blocks, actors, imagined)


def join(begin: ModelProto, substep: ModelProto, end: ModelProto, steps: int) -> ModelProto:
    """The three parts as one graph.

    Args:
        begin: gives what is carried, what is told in each substep, and what holds in all of them, in this order.
        substep: takes the same, and gives what is carried on and what is to be kept of each substep.
        end: takes what ``begin`` takes, without laws, and what was kept.
        steps: env steps of the turn; of each the last substep is kept.
    """
    inputs = {value.name for value in begin.graph.input}
    first = _renamed(begin.graph, "begin", dict.fromkeys(inputs), inputs)
    given = [value.name for value in first.output]
    carried, told = len(_CARRIED), len(_TOLD)
    taken = [value.name for value in substep.graph.input]
    always = dict(zip(taken[carried + told :], given[carried + told :], strict=True))
    body = _renamed(substep.graph, "substep", always, set(always.values()))
    del body.input[carried + told :]
    scanned = [f"scan.{value.name}" for value in body.output]
    loop = helper.make_node(
        "Scan", given[: carried + told], scanned, body=_bare(body), num_scan_inputs=told, name="substeps"
    )
    ends = torch.arange(1, steps + 1) * SUBSTEPS - 1
    wanted = numpy_helper.from_array(ends.numpy(), "scan.wanted")
    chosen = helper.make_node("Gather", [scanned[-1], wanted.name], ["scan.steps"], axis=0)
    last = _renamed(end.graph, "end", {end.graph.input[-1].name: "scan.steps"}, inputs | {"scan.steps"})
    weights = {item.name: item for graph in (first, body, last) for item in graph.initializer}
    nodes = [*first.node, loop, chosen, *last.node]
    joined = helper.make_graph(nodes, "turn", list(first.input), list(last.output), [*weights.values(), wanted])
    return helper.make_model(joined, opset_imports=begin.opset_import, ir_version=begin.ir_version)


def _bare(graph: GraphProto) -> GraphProto:
    """A loop's body without its weights, which lie in the graph about it."""
    bare = GraphProto()
    bare.CopyFrom(graph)
    del bare.initializer[:]
    return bare


def _renamed(graph: GraphProto, part: str, names: Mapping[str, str | None], same: set[str]) -> GraphProto:
    """A copy whose values have names of their own, but for weights, those in ``same`` and what ``names`` renames."""
    weights = {item.name for item in graph.initializer if item.name.startswith("model.")}

    def rename(name: str) -> str:
        if not name or name in weights:
            return name
        return names.get(name) or (name if name in same else f"{part}.{name}")

    out = GraphProto()
    out.CopyFrom(graph)
    del out.value_info[:]
    for item in out.initializer:
        item.name = rename(item.name)
    for value in (*out.input, *out.output):
        value.name = rename(value.name)
    for node in out.node:
        if any(
            attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for attribute in node.attribute
        ):
            raise RuntimeError(f"{part} has a graph inside its node {node.op_type}: the exporter changed")
        for field in (node.input, node.output):
            renamed: Sequence[str] = [rename(name) for name in field]
            del field[:]
            field.extend(renamed)
        node.name = f"{part}.{node.name}"
        del node.metadata_props[:]  # which line of whose source it came from
        node.doc_string = ""
    return out
