"""The model as a whole, both encoders, and its configuration."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pushjepa.nets import JEPA, ModelConfig, encode_state
from pushjepa.nets.actions import JointActionEncoder
from pushjepa.nets.encoder import KeypointEncoder


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(),
        ModelConfig(encoder_fine=6, bypass=True),
        ModelConfig(encoder="vit-tiny", frame_size=56),
    ],
    ids=["keypoint", "fine", "vit-tiny"],
)
def test_frames_become_latents_of_the_stated_width(config: ModelConfig) -> None:
    model = JEPA(config).eval()
    frames = torch.randint(0, 256, (2, 3, config.frame_size, config.frame_size, 3), dtype=torch.uint8)
    latents = model.encode(frames)
    assert latents.shape == (2, 3, config.width)
    assert model.head(latents).shape == (2, 3, 8)
    torch.testing.assert_close(model.encode(frames[1:, 2]), latents[1:, 2], atol=1e-4, rtol=1e-4)


def test_the_published_sizes_are_the_presets() -> None:
    from pushjepa.training.presets import load_preset

    config = load_preset("vit-tiny").model
    assert (config.layers, config.heads, config.head_width, config.mlp_hidden) == (6, 16, 64, 2048)
    assert (config.width, config.projector_hidden, config.frame_size) == (192, 2048, 224)
    assert (config.history, config.frameskip) == (3, 5)


def test_the_keypoint_encoder_comes_in_the_sizes_that_are_asked_for() -> None:
    wide = JEPA(ModelConfig(encoder_channels=(8, 12), encoder_points=5))
    assert wide.encoder.maps.weight.shape[:2] == (5, 12)
    assert ModelConfig.from_dict(wide.config.to_dict()) == wide.config
    with pytest.raises(ValueError, match="encoder_channels are two numbers"):
        ModelConfig(encoder_channels=(8, 0))


def blob(x: float, y: float, size: int = 32) -> Tensor:
    """A frame (1, H, W, 3) with a bright spot at (x, y) px, some pixels wide."""
    ys, xs = np.mgrid[:size, :size] + 0.5
    bright = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 3.0**2))
    return torch.from_numpy(np.repeat((255 * bright).astype(np.uint8)[None, ..., None], 3, axis=-1))


def brightness_finder() -> KeypointEncoder:
    """An encoder whose one fine key point is where a frame is bright."""
    encoder = KeypointEncoder(8, 32, (4, 6), points=2, fine=1).eval()
    for parameter in encoder.parameters():
        nn.init.zeros_(parameter)
    assert encoder.fine is not None
    blur, norm, same, found = encoder.stem[0], encoder.stem[1], encoder.fine[0], encoder.fine[2]
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    blur.weight.data[0] = line[:, None] * line / 3.0
    nn.init.ones_(norm.weight)
    same.weight.data[0, 0, 1, 1] = 1.0
    found.weight.data[0, 0] = 4.0
    return encoder


@torch.no_grad()
def test_fine_key_points_tell_half_a_pixel() -> None:
    encoder, px = brightness_finder(), 15.0  # a fine line runs over 16 nodes, 2 px apart, from -1 to 1
    for axis in range(2):
        places = [(13.0 + 0.5 * k, 17.0) if axis == 0 else (17.0, 13.0 + 0.5 * k) for k in range(5)]
        found = torch.stack([px * encoder.look(blob(*place))[0][0, 2 * 5 : 2 * 5 + 2] for place in places])
        ahead = found.diff(dim=0)
        # From node to node it goes as far as the spot does, and a part of that with every half pixel.
        assert ahead[:, axis].sum() == pytest.approx(2.0, abs=0.1)
        assert (ahead[:, axis] > 0.15).all()
        assert ahead[:, 1 - axis].abs().max() < 0.05


def test_fine_key_points_are_told_beside_the_others() -> None:
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    fine, coarse = (KeypointEncoder(8, 32, (4, 6), points=5, fine=count).eval() for count in (2, 0))
    coarse.load_state_dict(
        {n: v for n, v in fine.state_dict().items() if n in coarse.state_dict()}
        | {"out.weight": fine.out.weight[:, :25], "out.bias": fine.out.bias}
    )
    moments, amounts = fine.look(frames)
    plain, same = coarse.look(frames)
    assert (moments.shape, plain.shape, amounts.shape) == ((3, 35), (3, 25), (3, 6))
    assert torch.equal(moments[:, :25], plain)
    assert torch.equal(amounts, same)
    torch.testing.assert_close(fine(frames), coarse(frames) + moments[:, 25:] @ fine.out.weight[:, 25:].T)
    assert not any(name.startswith("fine") for name in coarse.state_dict())


def test_ways_round_projector_and_head_add_nothing_at_first() -> None:
    torch.manual_seed(0)
    plain = JEPA(ModelConfig(frame_size=32)).eval()
    bypassed = JEPA(replace(plain.config, bypass=True)).eval()
    missing = bypassed.load_state_dict(plain.state_dict(), strict=False)
    assert (missing.missing_keys, missing.unexpected_keys) == (["projector.bypass", "head.bypass"], [])
    frames = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    latents = bypassed.encode(frames)
    assert torch.equal(latents, plain.encode(frames))
    assert torch.equal(bypassed.head(latents), plain.head(latents))
    nn.init.normal_(bypassed.projector.bypass)
    features = plain.encoder(frames)
    torch.testing.assert_close(bypassed.encode(frames), latents + features @ bypassed.projector.bypass.T)


def test_parameters_are_counted_by_part() -> None:
    model = JEPA(ModelConfig())
    counts = model.parameters_by_part()
    assert counts["total"] == sum(p.numel() for p in model.parameters())
    assert set(counts) == {"encoder", "projector", "actions", "predictor", "head", "scene", "total"}


def test_the_head_speaks_of_half_boards_about_the_centre() -> None:
    state = torch.tensor([[0.0, 256.0, 512.0, 256.0, 256.0, 384.0, torch.pi / 2]])
    wanted = torch.tensor([[-1.0, 0.0, 1.0, 0.0, 0.0, 0.5, 0.0, 1.0]])
    torch.testing.assert_close(encode_state(state), wanted, atol=1e-6, rtol=0)


def test_an_absent_actor_is_neither_agent() -> None:
    torch.manual_seed(0)
    encoder = JointActionEncoder(8, 5, 2)
    blocks = torch.zeros(3, 5, 2, 2)
    nobody, first, second = encoder(blocks, torch.tensor([-1, 0, 1]))
    assert not torch.allclose(nobody, first)
    assert not torch.allclose(first, second)


def test_a_linear_action_encoder_is_as_published_where_nothing_is_said_of_the_actor() -> None:
    assert ModelConfig.from_dict({"action_encoder": "linear"}).explicit_actor is False
    assert ModelConfig.from_dict({}).explicit_actor is True
    assert ModelConfig.from_dict({"action_encoder": "linear", "explicit_actor": True}).explicit_actor is True


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("explicit", [True, False])
def test_an_actor_is_told_or_has_to_be_guessed(linear: bool, explicit: bool) -> None:
    torch.manual_seed(0)
    encoder = JointActionEncoder(8, 5, 2, linear=linear, explicit_actor=explicit)
    told = encoder(torch.zeros(3, 5, 2, 2), torch.tensor([-1, 0, 1]))
    assert torch.equal(told[0], told[1]) != explicit
    doubled = encoder(torch.full((1, 5, 2, 2), 2.0), torch.tensor([-1])) - told[0]
    once = encoder(torch.ones(1, 5, 2, 2), torch.tensor([-1])) - told[0]
    assert torch.allclose(doubled, 2 * once, atol=1e-6) == linear


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"encoder": "resnet"}, "unknown encoder 'resnet'; choose one of keypoint, vit-tiny"),
        ({"layer": 3}, "unknown model option 'layer'"),
        ({"encoder": "vit-tiny", "frame_size": 100}, "multiple"),
        ({"frame_size": 111}, "divide by 4"),
        ({"action_encoder": "none"}, "choose mlp or linear"),
        ({"unroll_hidden": 32, "explicit_actor": False}, "explicit actor"),
        ({"unroll_hidden": 32, "action_encoder": "linear"}, "explicit actor"),
        ({"anchor_steps": 0}, "anchor_steps at least 1, got 0.03 and 0"),
        ({"unroll_still": -0.1}, "unroll_still must not be negative"),
        ({"unroll_waves": 8}, "positive multiple of 6, got 8"),
        ({"unroll_hidden": 8, "laws": 3}, "a place for 6 at least, got 3"),
        ({"unroll_waves": 0}, "positive multiple of 6, got 0"),
        ({"unroll_feelers": 0}, "unroll_feelers must be at least 1"),
        ({"unroll_substeps": 2}, "unknown model option 'unroll_substeps'"),
        ({"encoder_fine": -1}, "encoder_fine must not be negative"),
        ({"encoder": "vit-tiny", "encoder_fine": 4}, "encoder_fine is for the keypoint encoder"),
    ],
)
def test_a_bad_configuration_is_refused_with_one_line(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        ModelConfig.from_dict(values)
    assert "\n" not in str(caught.value)


def test_mixed_precision_does_not_reach_where_things_are_seen() -> None:
    torch.manual_seed(0)
    model = JEPA(ModelConfig(frame_size=32, width=16, projector_hidden=32, encoder_fine=2, bypass=True)).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        early, late = model.encoder.features(torch.randint(0, 255, (2, 32, 32, 3), dtype=torch.uint8))
        moments = model.encoder.moments(early, late)
    assert moments.dtype == torch.float32
    torch.testing.assert_close(moments, model.encoder.moments(early.float(), late.float()))
