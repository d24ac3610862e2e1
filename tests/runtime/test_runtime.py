"""Checkpoints and backends: parity, alignment of a rollout, and clear words about a broken folder."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file as load_numpy
from safetensors.torch import load_file
from torch import nn

from pushjepa.data import random_scenes
from pushjepa.nets import JEPA, ModelConfig
from pushjepa.nets.predictor import AdaLNBlock
from pushjepa.physics import Physics
from pushjepa.relay.scene import Scene
from pushjepa.relay.stages import STAGES, get_stage
from pushjepa.runtime import Context, load_model
from pushjepa.runtime.checkpoint import GRAPHS, read_config, resolve
from pushjepa.runtime.export import OPSET, export_checkpoint
from pushjepa.training.relay import load_weights

CONFIG = ModelConfig(
    frame_size=32,
    width=16,
    projector_hidden=32,
    layers=2,
    heads=2,
    head_width=8,
    mlp_hidden=32,
    unroll_hidden=16,
    unroll_layers=1,
    unroll_waves=6,
    unroll_feelers=2,
)


@pytest.fixture(scope="session")
def model() -> JEPA:
    """A small model with the modulations awake, so that every action leaves a trace."""
    torch.manual_seed(0)
    model = JEPA(CONFIG)
    for module in model.modules():
        if isinstance(module, AdaLNBlock):
            nn.init.normal_(module.modulation.weight, std=0.3)
    for part in (model.unroll, model.lift, model.anchor):
        for parameter in part.parameters() if part is not None else ():
            if parameter.ndim == 2 and not parameter.any():
                # Small, for a wild unroll would turn the last digit of a latent into a difference that can be seen.
                nn.init.normal_(parameter, std=0.005)
    return model


@pytest.fixture(scope="session")
def folder(model: JEPA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    export_checkpoint(model, folder, preset={"name": "small"}, data={}, metrics={})
    return folder


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def real_frames(size: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    stage = STAGES["pillars"]
    return Scene(stage, size).draw_many(np.stack([stage.sample_start(rng) for _ in range(count)]))


def context(latents: np.ndarray) -> Context:
    rng = np.random.default_rng(4)
    return Context(latents, rng.uniform(-1, 1, (2, 5, 2, 2)).astype(np.float32), np.array([-1, 1]))


def test_onnx_equals_torch_on_real_frames(folder: Path) -> None:
    ours, theirs = load_model(folder, threads=1), load_model(folder, backend="torch", threads=1)
    check_parity(ours, theirs)


def test_the_bundled_model_is_the_same_in_both_backends() -> None:
    check_parity(load_model(threads=1), load_model(backend="torch", threads=1))


def test_the_bundled_model_sees_each_body_to_a_quarter_of_a_pixel() -> None:
    model = load_model(threads=1)
    stage = get_stage("pillars")
    states = random_scenes(np.random.default_rng(4), 60, stage, Physics())
    seen = model.decode(model.encode(Scene(stage, model.spec.frame_size).draw_many(states)))
    off = np.linalg.norm((seen.reshape(60, 7) - states)[:, :6].reshape(60, 3, 2), axis=-1).mean(axis=0)
    assert off.max() < 0.25, "at a glance it would be 0.5"


def check_parity(ours, theirs) -> None:  # type: ignore[no-untyped-def]
    frames = real_frames(ours.spec.frame_size, 5)
    latents = theirs.encode(frames)
    assert np.abs(ours.encode(frames) - latents).max() < 1e-4
    assert np.abs(ours.encode(frames[:1]) - latents[:1]).max() < 1e-4
    past = context(latents[:3])
    candidates = np.random.default_rng(5).uniform(-1, 1, (7, 3, 5, 2, 2)).astype(np.float32)
    actors = np.array([0, 1, 0])
    rolled = theirs.rollout(past, candidates, actors)
    assert np.abs(ours.rollout(past, candidates, actors) - rolled).max() < 1e-4
    # One turn with many answers: the first block is one row, with which no graph was traced.
    candidates[:, 0] = candidates[0, 0]
    rolled = theirs.rollout(past, candidates, actors)
    assert np.abs(ours.rollout(past, candidates, actors) - rolled).max() < 1e-4
    decoded, wanted = ours.decode(rolled), theirs.decode(rolled)
    assert decoded.shape == (7, 3, 7)
    assert np.abs(decoded - wanted)[..., :6].max() < 256 * 1e-4


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_rollout_slides_its_window_as_training_laid_it(folder: Path, model: JEPA, backend: str) -> None:
    """Against the plain causal predictor, fed by hand: block i leads from boundary i to i + 1."""
    loaded = load_model(folder, backend=backend, threads=1)
    past = context(loaded.encode(real_frames(32, 3)))
    candidates = np.random.default_rng(6).uniform(-1, 1, (4, 3, 5, 2, 2)).astype(np.float32)
    actors = np.array([0, 1, 0])
    rolled = loaded.rollout(past, candidates, actors)
    latents = torch.from_numpy(np.repeat(past.latents[None, :, 0], 4, axis=0))
    blocks = torch.from_numpy(np.concatenate([np.repeat(past.blocks[None], 4, axis=0), candidates], axis=1))
    who = torch.from_numpy(np.concatenate([past.actors, actors]))[None].expand(4, -1)
    for step in range(3):
        window = slice(step, step + 3)
        with torch.no_grad():
            nxt = model.predict(latents[:, window], blocks[:, window], who[:, window])[:, -1]
        np.testing.assert_allclose(rolled[:, step, 0], nxt.numpy(), atol=2e-5)
        latents = torch.cat([latents, nxt[:, None]], dim=1)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_candidates_do_not_touch_each_other(folder: Path, backend: str) -> None:
    loaded = load_model(folder, backend=backend, threads=1)
    past = context(loaded.encode(real_frames(32, 3)))
    candidates = np.random.default_rng(7).uniform(-1, 1, (5, 2, 5, 2, 2)).astype(np.float32)
    together = loaded.rollout(past, candidates, np.array([1, 0]))
    alone = loaded.rollout(past, candidates[3:4], np.array([1, 0]))
    np.testing.assert_allclose(together[3:4], alone, atol=1e-5)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_candidates_that_begin_alike_are_imagined_once_and_come_out_the_same(folder: Path, backend: str) -> None:
    loaded = load_model(folder, backend=backend, threads=1)
    past = context(loaded.encode(real_frames(32, 3)))
    blocks = np.random.default_rng(8).uniform(-1, 1, (4, 5, 2, 2)).astype(np.float32)
    paths = [(0, 1, 2), (0, 1, 3), (1, 1, 2), (0, 2, 2), (0, 1, 2)]
    candidates = np.stack([blocks[list(path)] for path in paths])
    asked: list[int] = []

    def count(predict):  # type: ignore[no-untyped-def]
        def counted(*arrays):  # type: ignore[no-untyped-def]
            asked.append(len(arrays[1]))
            return predict(*arrays)

        return counted

    loaded._first, loaded._next = count(loaded._first), count(loaded._next)
    rolled = loaded.rollout(past, candidates, np.array([0, 1, 0]))
    assert asked == [2, 3, 4]
    alone = np.concatenate([loaded.rollout(past, one[None], np.array([0, 1, 0])) for one in candidates])
    # The unroll's waves amplify the rounding of batches of another size; a wrong past is off by tenths.
    np.testing.assert_allclose(rolled, alone, atol=1e-3)


def test_graphs_have_the_stated_opset_hold_no_weights_and_no_paths(folder: Path) -> None:
    for name in GRAPHS:
        graph = onnx.load(folder / name, load_external_data=False)
        assert [o.version for o in graph.opset_import if o.domain in ("", "ai.onnx")] == [OPSET]
        assert b"/" + b"site-packages" not in (folder / name).read_bytes()
        assert sum(len(item.raw_data) for item in graph.graph.initializer) < 20_000
        onnx.checker.check_model(str(folder / name))


def test_the_substeps_of_a_turn_are_a_loop_in_its_graph(folder: Path) -> None:
    """Written out, the graph would be as many times as large as there are substeps in a turn."""
    graph = onnx.load(folder / "turns.onnx", load_external_data=False).graph
    loops = [node for node in graph.node if node.op_type == "Scan"]
    assert len(loops) == 1
    (body,) = (attribute.g for attribute in loops[0].attribute if attribute.name == "body")
    assert len(graph.node) < 2 * len(body.node)


def test_matrices_are_stored_in_half_precision(folder: Path) -> None:
    for name, value in load_numpy(folder / "model.safetensors").items():
        wanted = np.float16 if value.ndim >= 2 else (np.float32, np.int64)
        assert value.dtype in np.atleast_1d(wanted), name


def test_frames_of_another_size_are_refused(folder: Path) -> None:
    loaded = load_model(folder, threads=1)
    with pytest.raises(ValueError, match=r"frames must be \(N, 32, 32, 3\) uint8"):
        loaded.encode(np.zeros((1, 64, 64, 3), np.uint8))


def test_a_rollout_of_the_wrong_shape_is_refused(folder: Path) -> None:
    loaded = load_model(folder, threads=1)
    past = context(loaded.encode(real_frames(32, 3)))
    with pytest.raises(ValueError, match="candidates must be"):
        loaded.rollout(past, np.zeros((2, 1, 5, 1, 2), np.float32), np.array([0]))
    with pytest.raises(ValueError, match="one actor for each of 1 blocks"):
        loaded.rollout(past, np.zeros((2, 1, 5, 2, 2), np.float32), np.array([0, 1]))
    with pytest.raises(ValueError, match="context latents must be"):
        loaded.rollout(past._replace(latents=past.latents[1:]), np.zeros((2, 1, 5, 2, 2), np.float32), np.array([0]))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", *GRAPHS])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ValueError, match=re.escape(name)) as caught:
        load_model(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "next.onnx"])
def test_a_file_of_another_export_is_noticed(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"{name} does not match config.json")):
        load_model(copy)


def test_the_weights_of_an_older_checkpoint_can_still_be_read(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    del config["model"]["head_hidden"]  # as if that option were younger than it
    (copy / "config.json").write_text(json.dumps(config | {"format": 1}))
    (copy / "turns.onnx").unlink()
    with pytest.raises(ValueError, match=r"format 1; this version reads format 2; `pushjepa export model` brings"):
        load_model(copy)
    fresh = JEPA(CONFIG)
    load_weights(fresh, copy)
    assert torch.equal(fresh.scene.weight, load_file(copy / "model.safetensors")["scene.weight"].float())


def test_a_config_of_another_kind_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(ValueError, match="format 99; this version reads format 2"):
        read_config(copy)
    (copy / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        read_config(copy)
    del config["files"]
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="lacks the entry 'files'"):
        read_config(copy)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "just-a-word"])
def test_a_folder_that_is_not_there_is_said_so(name: str) -> None:
    with pytest.raises(ValueError, match=f"no checkpoint folder {name}"):
        resolve(name)


def test_unknown_backends_and_devices_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="choose one of onnx, torch"):
        load_model(folder, backend="tensorflow")
    with pytest.raises(ValueError, match="threads must be at least 1"):
        load_model(folder, threads=0)
    with pytest.raises(ValueError, match=r"cannot load .* on abacus"):
        load_model(folder, device="abacus")


@pytest.fixture(scope="session")
def lawful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that can be told of other laws, awake in all its parts."""
    torch.manual_seed(1)
    net = JEPA(replace(CONFIG, laws=8, visible=(1, 6, 7)))
    for parameter in net.parameters():
        if parameter.ndim == 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.01)
    folder = tmp_path_factory.mktemp("lawful")
    export_checkpoint(net, folder, preset={"name": "lawful"}, data={}, metrics={})
    return folder


def test_both_backends_imagine_alike_under_other_laws(lawful: Path) -> None:
    ours, theirs = (load_model(lawful, backend=backend, threads=1) for backend in ("onnx", "torch"))
    check_parity(ours, theirs)
    past = context(theirs.encode(real_frames(32, 3)))
    rng = np.random.default_rng(5)
    candidates, actors = rng.uniform(-1, 1, (4, 2, 5, 2, 2)).astype(np.float32), np.array([0, 1])
    laws = rng.normal(0, 0.5, 8).astype(np.float32)
    plain, wanted = theirs.rollout(past, candidates, actors), theirs.rollout(past, candidates, actors, laws)
    assert np.abs(wanted - plain).max() > 1e-3
    assert np.abs(ours.rollout(past, candidates, actors, laws) - wanted).max() < 1e-4
    for model in (ours, theirs):  # zeros are the standard laws, bit for bit
        nothing = model.rollout(past, candidates, actors, np.zeros(8, np.float32))
        assert np.array_equal(nothing, model.rollout(past, candidates, actors))


def test_what_each_of_many_laws_would_lead_to_is_the_unrolls_end(lawful: Path) -> None:
    ours, theirs = (load_model(lawful, backend=backend, threads=1) for backend in ("onnx", "torch"))
    latents = theirs.encode(real_frames(32, 3))
    rng = np.random.default_rng(7)
    blocks, actors = rng.uniform(-1, 1, (3, 5, 2, 2)).astype(np.float32), np.array([0, 1, 0])
    laws = rng.normal(0, 0.5, (3, 8)).astype(np.float32)
    earlier = np.zeros_like(blocks)
    found = theirs.foresee(latents, earlier, blocks, actors, laws)
    assert found.shape == (3, 7)
    assert np.abs(ours.foresee(latents, earlier, blocks, actors, laws) - found).max() < 0.05  # px
    alone = theirs.foresee(latents[1:2], earlier[1:2], blocks[1:2], actors[1:2], laws[1:2])
    assert np.abs(alone - found[1:2]).max() < 1e-3


def test_both_backends_look_alike_a_second_time(lawful: Path) -> None:
    ours, theirs = (load_model(lawful, backend=backend, threads=1) for backend in ("onnx", "torch"))
    assert ours.spec.visible == theirs.spec.visible == (1, 6, 7)
    frames = real_frames(32, 5)
    latents, told = theirs.look(frames)
    assert (latents.shape, told.shape) == ((5, 1, 16), (5, 8))
    assert not told[:, [0, 2, 3, 4, 5]].any(), "no frame shows these"
    assert told[:, [1, 6, 7]].all()
    assert np.abs(latents - theirs.encode(frames)).max() > 0.1, "it is an encoder of its own"
    for found, wanted in zip(ours.look(frames), (latents, told), strict=True):
        assert np.abs(found - wanted).max() < 1e-4
    one = ours.look(frames[2:3])
    assert np.abs(one[0] - latents[2:3]).max() < 1e-4
    with pytest.raises(ValueError, match="frames must be"):
        ours.look(frames[:, :16])


def test_a_model_without_a_second_look_refuses_one(folder: Path) -> None:
    model = load_model(folder, threads=1)
    assert model.spec.visible == ()
    assert not (folder / "look.onnx").exists()
    with pytest.raises(ValueError, match="no second look"):
        model.look(real_frames(32, 1))


def test_laws_are_refused_by_a_model_that_knows_one_world(folder: Path, lawful: Path) -> None:
    model = load_model(folder, threads=1)
    past = context(model.encode(real_frames(32, 3)))
    candidates, actors = np.zeros((1, 1, 5, 2, 2), np.float32), np.array([0])
    with pytest.raises(ValueError, match="numbers of laws"):
        model.rollout(past, candidates, actors, np.ones(8, np.float32))
    latents = past.latents[:1]
    with pytest.raises(ValueError, match="knows no other laws"):
        model.foresee(latents, candidates[:, 0], candidates[:, 0], actors, np.ones((1, 8), np.float32))
    with pytest.raises(ValueError, match="numbers of laws"):
        load_model(lawful, threads=1).rollout(past, candidates, actors, np.ones(3, np.float32))


def test_weights_that_know_one_world_are_a_start_for_a_model_with_laws(folder: Path) -> None:
    torch.manual_seed(2)
    net = JEPA(replace(CONFIG, laws=8))
    fresh = {name: value.clone() for name, value in net.state_dict().items() if name.startswith("unroll.laws.")}
    load_weights(net, folder)
    found, stored = net.state_dict(), load_file(folder / "model.safetensors")
    assert fresh
    assert all(torch.equal(found[name], value) for name, value in fresh.items())
    assert all(torch.equal(found[name], stored[name].float()) for name in stored)
