"""VideoSAUR: causality, the order of slots, known answers of its parts, and strict loading of published weights."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("timm", reason="timm is not installed")

from pushjepa.nets.videosaur import (
    PredictorAttention,
    SlotAttention,
    VideoSaurConfig,
    VideoSaurEncoder,
    load_videosaur,
)

SMALL = {"frame_size": 28, "depth": 2, "features": 12, "heads": 2, "position_grid": 3, "hidden": 10, "width": 8}
SMALL |= {"slots": 3, "predictor_heads": 2}
KINDS = [{}, {"layout": "timm", "position_grid": 2}, {"initialiser": "learned"}]


def model_of(**options):
    torch.manual_seed(0)
    model = VideoSaurEncoder(VideoSaurConfig(**SMALL | options)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.requires_grad_(False)


def video(batch=2, steps=4, size=28):
    return torch.randint(0, 256, (batch, steps, size, size, 3), dtype=torch.uint8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def published(layout="transformers", initialiser="random", **changes):
    """A small checkpoint's tensors, with the names that are published, written out by hand."""
    c, g = VideoSaurConfig(**SMALL | changes), seeded(5)
    shapes = {"decoder.module.pos_emb": (1, 4, 8)}
    body = "encoder.module.backbone."
    if layout == "transformers":
        shapes |= {
            f"{body}embeddings.cls_token": (1, 1, 12),
            f"{body}embeddings.mask_token": (1, 12),
            f"{body}embeddings.position_embeddings": (1, 10, 12),
            f"{body}embeddings.patch_embeddings.projection.weight": (12, 3, 14, 14),
            f"{body}embeddings.patch_embeddings.projection.bias": (12,),
        } | norm(f"{body}layernorm")
    else:
        body += "model."
        shapes |= {f"{body}cls_token": (1, 1, 12), f"{body}pos_embed": (1, 5, 12)}
        shapes |= {f"{body}patch_embed.proj.weight": (12, 3, 14, 14), f"{body}patch_embed.proj.bias": (12,)}
    for layer in range(2):
        name = f"{body}encoder.layer.{layer}." if layout == "transformers" else f"{body}blocks.{layer}."
        shapes |= norm(f"{name}norm1") | norm(f"{name}norm2")
        shapes |= linear(f"{name}mlp.fc1", 12, 48) | linear(f"{name}mlp.fc2", 48, 12)
        if layout == "transformers":
            for part in ("query", "key", "value"):
                shapes |= linear(f"{name}attention.attention.{part}", 12, 12)
            shapes |= linear(f"{name}attention.output.dense", 12, 12)
            shapes |= {f"{name}layer_scale1.lambda1": (12,), f"{name}layer_scale2.lambda1": (12,)}
        else:
            shapes |= linear(f"{name}attn.qkv", 12, 36) | linear(f"{name}attn.proj", 12, 12)
            shapes |= {f"{name}ls1.gamma": (12,), f"{name}ls2.gamma": (12,)}
    head = "encoder.module.output_transform.layers."
    shapes |= norm(f"{head}0") | linear(f"{head}1", 12, 10) | linear(f"{head}3", 10, 8)
    shapes |= slot_shapes(initialiser, c.slots)
    return {name: torch.randn(shape, generator=g) * 0.3 for name, shape in shapes.items()}


def slot_shapes(initialiser, slots):
    drawn = {"initializer.mean": (1, 1, 8), "initializer.log_std": (1, 1, 8)}
    shapes = drawn if initialiser == "random" else {"initializer.slots": (1, slots, 8)}
    name = "processor.module.corrector."
    shapes |= {f"{name}to_{part}.weight": (8, 8) for part in "qkv"}
    shapes |= norm(f"{name}norm_features", 8) | norm(f"{name}norm_slots", 8)
    for part in ("ih", "hh"):
        shapes |= {f"{name}gru.weight_{part}": (24, 8), f"{name}gru.bias_{part}": (24,)}
    name = "processor.module.predictor.blocks.0."
    shapes |= norm(f"{name}norm1", 8) | norm(f"{name}norm2", 8)
    shapes |= linear(f"{name}self_attn.qkv", 8, 24) | linear(f"{name}self_attn.out_proj", 8, 8)
    return shapes | linear(f"{name}linear1", 8, 32) | linear(f"{name}linear2", 32, 8)


def norm(name, width=12):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def linear(name, inside, outside):
    return {f"{name}.weight": (outside, inside), f"{name}.bias": (outside,)}


def checkpoint(path, tensors):
    """As Lightning writes it."""
    torch.save({"epoch": 3, "pytorch-lightning_version": "2.5", "state_dict": tensors, "optimizer_states": []}, path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_s_slots_depend_on_it_and_earlier_ones_only(kind):
    model, frames = model_of(**kind), video()
    first = model.encode(frames, seeded())
    assert first.shape == (2, 4, 3, 8)
    assert torch.isfinite(first).all()
    changed = frames.clone()
    changed[:, 2] = 255 - changed[:, 2]
    second = model.encode(changed, seeded())
    assert torch.allclose(first[:, :2], second[:, :2], atol=1e-6)
    assert not torch.allclose(first[:, 2], second[:, 2], atol=1e-3)
    assert not torch.allclose(first[:, 3], second[:, 3], atol=1e-3), "slots are carried"


@pytest.mark.parametrize("kind", KINDS)
def test_frame_by_frame_and_in_pieces_is_the_whole_video(kind):
    model, frames = model_of(**kind), video()
    whole = model.encode(frames, seeded())
    slots = model.step(frames[:, 0], seeded())
    stepped = [slots]
    for step in range(1, 4):
        slots = model.step(frames[:, step], previous=slots)
        stepped.append(slots)
    assert torch.allclose(torch.stack(stepped, dim=1), whole, atol=1e-5)
    early = model.encode(frames[:, :2], seeded())
    late = model.encode(frames[:, 2:], previous=early[:, -1])
    assert torch.allclose(torch.cat([early, late], dim=1), whole, atol=1e-5)


def test_the_same_seed_gives_the_same_slots():
    model, frames = model_of(), video()
    first = model.encode(frames, seeded(1))
    model.encode(video(), seeded(9))  # nothing of it is remembered
    assert torch.equal(first, model.encode(frames, seeded(1)))
    assert not torch.allclose(first, model.encode(frames, seeded(2)), atol=1e-3)
    with pytest.raises(ValueError, match="first frame are drawn: pass a generator"):
        model.encode(frames)


def test_slots_keep_their_order():
    """Whichever slot held something holds it next: permuted slots give the same next ones, permuted."""
    model, frame = model_of(), video(batch=3, steps=1)[:, 0]
    previous, order = torch.randn(3, 3, 8), torch.tensor([2, 0, 1])
    permuted = model.step(frame, previous=previous[:, order])
    assert torch.allclose(permuted, model.step(frame, previous=previous)[:, order], atol=1e-5)


def test_the_start_is_drawn_with_the_learned_mean_and_spread():
    start = model_of().start
    start.mean.fill_(2.0)
    start.log_std.fill_(-1.0)
    drawn = start(4000, 3, seeded())
    assert drawn.mean() == pytest.approx(2.0, abs=0.01)
    assert drawn.std() == pytest.approx(torch.tensor(-1.0).exp().item(), abs=0.01)


def test_patches_are_shared_out_among_slots():
    """One iteration by hand; the GRU is handed the normalised slots, as in the published code."""
    torch.manual_seed(0)
    attention, slots, features = SlotAttention(4), torch.randn(1, 2, 4) * 3, torch.randn(1, 5, 4)
    with torch.no_grad():
        found = attention(slots, features, 1)[0]
        normed, seen = attention.norm_slots(slots[0]), attention.norm_features(features[0])
        logits = attention.to_q(normed) @ attention.to_k(seen).T / 2.0
        shares = logits.exp() / logits.exp().sum(dim=0)  # a patch's shares sum to 1 over the slots
        means = (shares / shares.sum(dim=1, keepdim=True)) @ attention.to_v(seen)
        assert found == pytest.approx(attention.gru(means, normed), abs=1e-5)


def test_the_predictor_s_logits_grow_with_the_width():
    """The published weights were trained with logits times, not over, the root of a head's width."""
    torch.manual_seed(0)
    attention, slots = PredictorAttention(8, 2), torch.randn(1, 3, 8)
    with torch.no_grad():
        q, k, v = attention.qkv(slots[0]).chunk(3, dim=-1)
        heads = [(q[:, h] @ k[:, h].T * 2.0).softmax(dim=-1) @ v[:, h] for h in (slice(0, 4), slice(4, 8))]
        assert attention(slots)[0] == pytest.approx(attention.out_proj(torch.cat(heads, dim=-1)), abs=1e-5)


def test_frames_of_another_size_are_resized():
    model = model_of()
    grey = torch.full((1, 40, 50, 3), 77, dtype=torch.uint8)
    assert torch.allclose(model.features(grey), model.features(grey[:, :28, :28]), atol=1e-5)
    for bad in (torch.zeros(1, 28, 28, 3), torch.zeros(1, 3, 28, 28, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"frames must be \(N, H, W, 3\) uint8"):
            model.features(bad)
    with pytest.raises(ValueError, match="videos must be"):
        model.encode(grey, seeded())


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_published_weights_are_loaded(kind, suffix, tmp_path):
    tensors, config = published(**kind), VideoSaurConfig(**SMALL | kind)
    path = tmp_path / f"videosaur{suffix}"
    save_file(tensors, path) if suffix == ".safetensors" else checkpoint(path, tensors)
    model = load_videosaur(path, config)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    gru, head = "processor.module.corrector.gru.weight_ih", "encoder.module.output_transform.layers.3.bias"
    assert torch.equal(model.corrector.gru.weight_ih, tensors[gru])
    assert torch.equal(model.project[3].bias, tensors[head])
    query, key = model.backbone.blocks[1].attn.qkv.weight[:24].chunk(2)
    if config.layout == "transformers":
        name = "encoder.module.backbone.encoder.layer.1.attention.attention."
        assert torch.equal(query, tensors[f"{name}query.weight"])
        assert torch.equal(key, tensors[f"{name}key.weight"])
        assert torch.equal(model.backbone.norm.bias, tensors["encoder.module.backbone.layernorm.bias"])
    else:
        assert torch.equal(query, tensors["encoder.module.backbone.model.blocks.1.attn.qkv.weight"][:12])
    assert model.encode(video(), seeded()).shape == (2, 4, 3, 8)


def test_positions_are_interpolated_to_the_frame_s_grid(tmp_path):
    tensors = published()
    name = "encoder.module.backbone.embeddings.position_embeddings"
    tensors[name][:, 1:] = torch.arange(3.0).repeat(3)[None, :, None]  # the column's number
    model = load_videosaur(checkpoint(tmp_path / "v.ckpt", tensors), VideoSaurConfig(**SMALL))
    grid = model.backbone.pos_embed[0, 1:].unflatten(0, (2, 2))
    assert torch.equal(model.backbone.pos_embed[:, 0], tensors[name][:, 0])
    assert torch.allclose(grid[0], grid[1], atol=1e-6)
    assert grid[0, 0, 0] + grid[0, 1, 0] == pytest.approx(2.0, abs=1e-5), "symmetric about the middle column"
    assert grid[0, 0, 0] < 0.5 < 1.5 < grid[0, 1, 0]


def without(tensors, name):
    return {k: v for k, v in tensors.items() if k != name}


GRU, BLOCK = "processor.module.corrector.gru.bias_ih", "processor.module.predictor.blocks."


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda t: without(t, GRU), {}, f"lacks {GRU}"),
        (lambda t: t | {"encoder.module.extra": torch.zeros(1)}, {}, "holds encoder.module.extra, which VideoSAUR"),
        (lambda t: t | {GRU: torch.zeros(23)}, {}, rf"has {GRU} of shape \(23,\); this architecture has \(24,\)"),
        (lambda t: t, {"depth": 3}, "lacks encoder.module.backbone.encoder.layer.2.norm1.weight"),
        (lambda t: t, {"depth": 1}, "holds encoder.module.backbone.encoder.layer.1.norm1"),
        (lambda t: t, {"width": 16}, r"of shape \(1, 1, 8\)|of shape \(8,|of shape \(8, 10\)"),
        (lambda t: t, {"predictor_blocks": 2}, f"lacks {BLOCK}1.norm1.weight"),
        (lambda t: t, {"position_grid": 4}, r"position_embeddings of shape \(1, 10, 12\)"),
        (lambda t: t, {"layout": "timm"}, "lacks encoder.module.backbone.model.cls_token: .*layout timm"),
        (lambda t: t, {"initialiser": "learned"}, "lacks initializer.slots: .*learned initialiser"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, options, said, tmp_path):
    path = checkpoint(tmp_path / "v.ckpt", change(published()))
    with pytest.raises(ValueError, match=said) as refused:
        load_videosaur(path, VideoSaurConfig(**SMALL | options))
    assert "\n" not in str(refused.value)


def test_another_number_of_learned_slots_is_refused(tmp_path):
    path = checkpoint(tmp_path / "v.ckpt", published(initialiser="learned"))
    with pytest.raises(ValueError, match=r"initializer.slots of shape \(1, 3, 8\); this architecture has \(1, 4, 8\)"):
        load_videosaur(path, VideoSaurConfig(**SMALL | {"initialiser": "learned", "slots": 4}))


class Harm:
    """What a pickle could run."""

    def __reduce__(self):
        return (print, ("harm",))


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, capsys):
    def refused(name, said):
        with pytest.raises(ValueError, match=said) as error:
            load_videosaur(tmp_path / name)
        assert "\n" not in str(error.value)

    refused("none.ckpt", "no such file")
    for name in ("noise.ckpt", "noise.safetensors"):
        (tmp_path / name).write_bytes(b"noise of no kind that is known")
        refused(name, "cannot be read as plain tensors")
    torch.save({"state_dict": {"a": 1}}, tmp_path / "numbers.ckpt")
    refused("numbers.ckpt", "has no state_dict of tensors")
    torch.save({"state_dict": {}, "hooks": Harm()}, tmp_path / "harm.ckpt")
    refused("harm.ckpt", "cannot be read as plain tensors")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layout": "jax"}, "unknown layout 'jax'"),
        ({"initialiser": "zero"}, "unknown initialiser 'zero'"),
        ({"slots": 0}, "slots must be at least 1"),
        ({"frame_size": 30}, "frame_size must divide by patch, got 30 and 14"),
        ({"predictor_heads": 3}, "width must divide by predictor_heads"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        VideoSaurConfig(**SMALL | options)
