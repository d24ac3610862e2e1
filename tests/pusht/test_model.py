"""A Push-T model behind the world model's contract, against the plain network window by window."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from pushjepa.nets.mech import Frame, MechJEPA, encode_pusht_state
from pushjepa.nets.mech_config import MechConfig
from pushjepa.pusht.model import BUNDLED, PushTModel, load_pusht_model, save_model
from pushjepa.runtime import load_model
from pushjepa.runtime.contract import Context

SIZES = {"frame_size": 32, "width": 16, "points": 3, "layers": 2, "heads": 2, "mlp_hidden": 32, "head_hidden": 16}
KINDS = [
    {"slots": 3, "mechanism": "vq", "codes": 4, "mechanism_width": 4, "unroll_hidden": 16, "unroll_waves": 8},
    {"slots": 1, "mechanism": "none", "unroll_hidden": 16, "unroll_waves": 8},
    {"slots": 2, "mechanism": "lowrank", "mechanism_width": 4, "unroll_hidden": 0},
]


def net_of(kind):
    torch.manual_seed(1)
    net = MechJEPA(MechConfig(**SIZES, **kind)).eval()
    for name, parameter in net.named_parameters():
        if "codebook" not in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return net


def context_of(model, rng):
    s = model.spec
    latents = rng.standard_normal((s.history, s.tokens, s.width)).astype(np.float32)
    blocks = rng.uniform(-1, 1, (s.history - 1, 5, 1, 2)).astype(np.float32)
    return Context(latents, blocks, np.zeros(s.history - 1, dtype=np.int64))


def imagine_slowly(net, context, blocks, laws=None, begun=None):
    """Slots (H, K, D) after blocks (H, 5, 2), frame by frame: the unroll goes on from where it ended."""
    laws = None if laws is None else torch.from_numpy(laws)[None]
    slots = [*torch.from_numpy(context.latents)]
    told = [*torch.from_numpy(context.blocks[:, :, 0]), *torch.from_numpy(blocks)]
    frames, ended = [], None
    for boundary, block in enumerate(told):
        before = told[boundary - 1][-1] if boundary else torch.zeros(2)
        imagined = boundary >= len(context.latents)
        start = ended if imagined and ended is not None else None
        if boundary == len(context.latents) - 1:
            start = begun
        frame, _ = net.frame(slots[boundary][None], before[None], block[None], start, laws)
        frames.append(frame)
        ended = None if frame.steps is None else frame.steps[:, -1]
        if boundary >= len(context.latents) - 1:
            window = frames[-net.config.history :]
            parts = [None if part[0] is None else torch.stack(part, dim=1) for part in zip(*window, strict=True)]
            slots.append(net.attend(Frame(*parts))[0, -1])
    return torch.stack(slots[len(context.latents) :])


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollout_is_the_network_applied_frame_by_frame(kind, rng):
    net = net_of(kind)
    model = PushTModel(net)
    context, candidates = context_of(model, rng), rng.uniform(-1, 1, (5, 3, 5, 1, 2)).astype(np.float32)
    found = model.rollout(context, candidates, np.zeros(3, dtype=np.int64))
    for row, blocks in zip(found, candidates[:, :, :, 0], strict=True):
        with torch.no_grad():
            assert row == pytest.approx(imagine_slowly(net, context, blocks).numpy(), abs=1e-4)
    # The first step is that of a whole window at once.
    told = np.concatenate([context.blocks[:, :, 0], candidates[0, :1, :, 0]])[None]
    with torch.no_grad():
        known = torch.from_numpy(context.latents)[None], torch.from_numpy(told), torch.zeros(1, 2)
        assert found[0, 0] == pytest.approx(net.predict(*known).slots[0, -1].numpy(), abs=1e-4)


def test_a_rollout_heeds_the_laws_that_it_is_told_of(rng):
    net = net_of(KINDS[0] | {"laws": 5})
    model = PushTModel(net)
    context, candidates = context_of(model, rng), rng.uniform(-1, 1, (3, 2, 5, 1, 2)).astype(np.float32)
    laws, actors = rng.normal(size=5).astype(np.float32), np.zeros(2, dtype=np.int64)
    found = model.rollout(context, candidates, actors, laws)
    for row, blocks in zip(found, candidates[:, :, :, 0], strict=True):
        with torch.no_grad():
            # Laws this far out drive the unroll hard, and machines add up in different orders.
            assert row == pytest.approx(imagine_slowly(net, context, blocks, laws).numpy(), abs=1e-3)
    assert np.abs(found - model.rollout(context, candidates, actors)).max() > 1e-2
    with pytest.raises(ValueError, match=r"conditions must be \(5,\) numbers that tell of the laws, got \(2,\)"):
        model.rollout(context, candidates, actors, np.zeros(2, dtype=np.float32))
    with pytest.raises(ValueError, match="knows no other laws"):
        PushTModel(net_of(KINDS[0])).rollout(context, candidates, actors, laws)


def test_proposals_follow_the_prior_through_the_model_s_own_imagination(rng):
    net = net_of(KINDS[0] | {"prior_hidden": 16, "prior_layers": 1, "prior_modes": 3})
    model = PushTModel(net)
    context, goal = context_of(model, rng), rng.standard_normal((3, 16)).astype(np.float32)
    plans = model.propose(context, goal, 4, 3, np.random.default_rng(1))
    assert plans.shape == (4, 3, 5, 2)
    assert np.abs(plans).max() <= 1.0
    assert np.array_equal(plans, model.propose(context, goal, 4, 3, np.random.default_rng(1)))
    other = model.propose(context, goal, 4, 3, np.random.default_rng(2))
    assert np.array_equal(plans[0], other[0]), "the first is the likeliest, without chance"
    assert not np.array_equal(plans[1:], other[1:])
    imagined = model.rollout(context, plans[:1, :, :, None], np.zeros(3, dtype=np.int64))[0]
    slots, before = context.latents[-1], context.blocks[-1, -1, 0]
    for block, after in zip(plans[0], imagined, strict=True):
        with torch.no_grad():
            found = net.propose(*(torch.from_numpy(part[None]) for part in (slots, goal, before)))
        assert block == pytest.approx(found.likeliest()[0, 0].clamp(-1, 1).numpy(), abs=1e-5)
        slots, before = after, block[-1]


def test_codes_are_those_of_the_memory(rng):
    model = PushTModel(net_of(KINDS[0]))
    slots = rng.standard_normal((4, 3, 16)).astype(np.float32)
    codes = model.codes(slots)
    assert codes.shape == (4, 3, 3)
    assert set(np.unique(codes)) <= set(range(4))
    with pytest.raises(ValueError, match="no codebook: its mechanism is 'lowrank'"):
        PushTModel(net_of(KINDS[2])).codes(slots[:, :2])


def test_many_candidates_are_imagined_in_parts(rng, monkeypatch):
    model = PushTModel(net_of(KINDS[0]))
    context, candidates = context_of(model, rng), rng.uniform(-1, 1, (7, 2, 5, 1, 2)).astype(np.float32)
    whole = model.rollout(context, candidates, np.zeros(2, dtype=np.int64))
    monkeypatch.setattr("pushjepa.pusht.model._CHUNK", 3)
    # Not to the last digit: matrix products of other sizes are summed in another order, and fine waves enlarge that, by
    # 0.002 on some machines. Parts in the wrong order would be off by 1.
    assert model.rollout(context, candidates, np.zeros(2, dtype=np.int64)) == pytest.approx(whole, abs=2e-2)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_futures_begin_in_the_states_that_are_told(kind, rng):
    model = PushTModel(net_of(kind))
    context, candidates = context_of(model, rng), rng.uniform(-1, 1, (3, 2, 5, 1, 2)).astype(np.float32)
    read = model.decode(context.latents[-1])
    plain = model.rollout(context, candidates, np.zeros(2, dtype=np.int64))
    states = np.stack([read] * 3)
    states[1, 0] += 40.0
    told = model.rollout_from(states, context, candidates)
    alone = model.rollout_from(states[1:2], context, candidates[1:2])[0]
    assert told[1] == pytest.approx(alone, abs=1e-4), "each from its own start"
    begun = encode_pusht_state(torch.from_numpy(states))
    for row in range(3):
        with torch.no_grad():
            slow = imagine_slowly(model.net, context, candidates[row, :, :, 0], begun=begun[row : row + 1])
        assert told[row] == pytest.approx(slow.numpy(), abs=1e-4)
    assert np.abs(told[1] - plain[1]).max() > 1e-2


def test_a_model_without_unroll_cannot_begin_elsewhere(rng):
    model = PushTModel(net_of(KINDS[2]))
    candidates = rng.uniform(-1, 1, (1, 1, 5, 1, 2)).astype(np.float32)
    with pytest.raises(ValueError, match="no unroll that could begin elsewhere"):
        model.rollout_from(np.zeros((1, 5)), context_of(model, rng), candidates)


def saved(tmp_path, kind=KINDS[0]):
    net = net_of(kind)
    save_model(net, tmp_path, preset={"name": "tiny"}, data={}, metrics={})
    return net


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_comes_back_as_it_was_written(kind, tmp_path, rng):
    written = PushTModel(saved(tmp_path, kind))
    read = load_pusht_model(tmp_path)
    assert read.spec == written.spec
    frames = rng.integers(0, 255, (2, 32, 32, 3), dtype=np.uint8)
    assert np.array_equal(read.encode(frames), written.encode(frames))


def test_bad_checkpoints_are_one_line(tmp_path):
    with pytest.raises(ValueError, match="is no checkpoint folder"):
        load_pusht_model(tmp_path / "none")
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())

    def write(**changes):
        (tmp_path / "config.json").write_text(json.dumps(config | changes))

    write(format=2)
    with pytest.raises(ValueError, match="not a Push-T model"):
        load_pusht_model(tmp_path)
    write(model=config["model"] | {"slots": 4})
    with pytest.raises(ValueError, match="another architecture"):
        load_pusht_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="not the file that belongs"):
        load_pusht_model(tmp_path)
    write()
    with pytest.raises(ValueError, match="format 'pushjepa-mech-1'"):
        load_model(tmp_path)


def test_frames_and_contexts_of_another_shape_are_refused(rng):
    model = PushTModel(net_of(KINDS[0]))
    with pytest.raises(ValueError, match=r"frames must be \(N, 32, 32, 3\)"):
        model.encode(np.zeros((1, 64, 64, 3), dtype=np.uint8))
    context = context_of(model, rng)
    with pytest.raises(ValueError, match="slots, got"):
        model.rollout(
            context._replace(latents=context.latents[:, :2]), np.zeros((1, 1, 5, 1, 2), np.float32), np.zeros(1)
        )


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_model_reads_frames_and_is_small(name, rng):
    """Known answers: random scenes, whose states it has to find. Their cards tell 1.4 to 2 px."""
    pytest.importorskip("pygame", reason="pygame is not installed")
    from pushjepa.pusht.scene import PushTScene
    from pushjepa.training.pusht_batches import random_state

    model = load_pusht_model(Path(name))
    states = np.stack([random_state(rng) for _ in range(40)])
    read = model.decode(model.encode(PushTScene(model.spec.frame_size).draw_many(states)))
    assert np.hypot(*(read[:, :2] - states[:, :2]).T).mean() < 4.0
    assert np.hypot(*(read[:, 2:4] - states[:, 2:4]).T).mean() < 4.0
    folder = resources.files("pushjepa.runtime") / "models" / name
    assert sum(item.stat().st_size for item in Path(str(folder)).iterdir()) < 20e6


def test_a_name_that_is_no_folder_is_told_what_is_bundled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_pusht_model().net.config.slots == 4
    assert load_pusht_model(Path("pusht-compact")).net.config.slots == 1
    (tmp_path / "pusht-compact").mkdir()
    with pytest.raises(ValueError, match=r"config\.json is missing \(bundled are pusht-slots and pusht-compact\)"):
        load_pusht_model(Path("pusht-compact"))
