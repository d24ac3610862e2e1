"""The model as a whole, both encoders, and its configuration."""

import pytest
import torch

from pushjepa.nets import JEPA, ModelConfig, encode_state
from pushjepa.nets.actions import JointActionEncoder


@pytest.mark.parametrize("config", [ModelConfig(), ModelConfig(encoder="vit-tiny", frame_size=56)])
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
    implicit = JointActionEncoder(8, 5, 2, explicit_actor=False)(blocks, torch.tensor([-1, 0, 1]))
    assert torch.equal(implicit[0], implicit[1])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"encoder": "resnet"}, "unknown encoder 'resnet'; choose one of keypoint, vit-tiny"),
        ({"layer": 3}, "unknown model option 'layer'"),
        ({"encoder": "vit-tiny", "frame_size": 100}, "multiple"),
        ({"frame_size": 111}, "divide by 4"),
        ({"action_encoder": "none"}, "choose mlp or linear"),
        ({"unroll_hidden": 32, "action_encoder": "linear"}, "explicit actor"),
        ({"unroll_waves": 12}, "multiple of 8"),
        ({"unroll_substeps": 0}, "at least 1"),
    ],
)
def test_a_bad_configuration_is_refused_with_one_line(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        ModelConfig.from_dict(values)
    assert "\n" not in str(caught.value)
