"""The closer look at each body: where its crops are cut, and which way its corrections go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pushjepa.nets import JEPA, ModelConfig, encode_state
from pushjepa.nets.glimpses import AGENT_REACH, Glimpses, _crop
from pushjepa.relay.scene import COLOURS, Scene
from pushjepa.relay.stages import get_stage

SIZE = 112
CONFIG = ModelConfig(width=16, projector_hidden=32, head_hidden=16, layers=1, heads=2, head_width=8, mlp_hidden=32)
GLIMPSING = replace(CONFIG, unroll_hidden=16, unroll_layers=1, glimpse_hidden=8)


def drawn(*states: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Frames (N, H, W, 3) of states (N, 7), and the states as the head would give them (N, 8)."""
    some = np.array(states)
    return torch.from_numpy(Scene(get_stage("open"), SIZE).draw_many(some)), encode_state(torch.from_numpy(some))


def crop_of_block(frames: Tensor, numbers: Tensor, glimpses: Glimpses) -> Tensor:
    return _crop(glimpses.normalise(frames), glimpses.block, numbers[:, 4:6], numbers[:, 6:])


def test_the_middle_of_an_agents_crop_is_the_agent() -> None:
    frames, numbers = drawn((120.3, 200.7, 400.1, 77.7, 250.0, 300.0, 0.4))
    glimpses = Glimpses(SIZE, 8)
    pixels = frames.permute(0, 3, 1, 2).float()
    assert len(glimpses.agent) == (2 * int(AGENT_REACH * SIZE / 512) + 1) ** 2
    for name, place in (("p1", numbers[:, :2]), ("p2", numbers[:, 2:4])):
        crop = _crop(pixels, glimpses.agent, place, torch.tensor([[1.0, 0.0]])).unflatten(1, (3, -1))
        middle = crop[0, :, len(glimpses.agent) // 2] * (3 * len(glimpses.agent)) ** 0.5 / 4
        assert middle.tolist() == pytest.approx(COLOURS[name], abs=1.0)


def test_a_block_is_upright_in_its_crop_wherever_it_lies() -> None:
    glimpses = Glimpses(SIZE, 8)
    lying = drawn(*((60.0, 60.0, 450.0, 60.0, 256.0 + 9 * i, 300.0 - 7 * i, 0.7 * i) for i in range(6)))
    crops = crop_of_block(*lying, glimpses)
    apart = (crops - crops[:1]).abs().mean(dim=1)[1:]
    frames, numbers = lying
    wrong = crop_of_block(frames, numbers * torch.tensor([1.0] * 7 + [-1.0]), glimpses)
    assert apart.max() < 0.2 * (wrong - wrong[:1]).abs().mean(dim=1)[1:].min()


def test_at_first_nothing_is_read_differently() -> None:
    frames, numbers = drawn(
        (100.0, 200.0, 400.0, 300.0, 256.0, 256.0, 2.0), (90.0, 80.0, 70.0, 60.0, 300.0, 200.0, -1.0)
    )
    read = Glimpses(SIZE, 8)(numbers * torch.tensor([1.0] * 6 + [0.9, 0.9]), frames)
    torch.testing.assert_close(read, numbers)  # a heading has length 1 then


def test_a_correction_is_along_the_block_as_it_lies_and_of_a_few_px_at_most() -> None:
    glimpses = Glimpses(SIZE, 8)
    frames, numbers = drawn((100.0, 200.0, 400.0, 300.0, 256.0, 256.0, np.pi / 2))
    with torch.no_grad():
        glimpses.of_block[-1].bias.copy_(torch.tensor([100.0, 0.0, 100.0]))
        glimpses.of_p2[-1].bias.copy_(torch.tensor([0.0, -100.0]))
    moved = glimpses(numbers, frames)[0]
    # The block's own x axis points down the board at 90 degrees.
    assert (256 * (moved - numbers[0])[:6]).tolist() == pytest.approx([0, 0, 0, -6, 0, 6], abs=1e-3)
    assert torch.atan2(moved[7], moved[6]).item() == pytest.approx(np.pi / 2 + 0.1, abs=1e-5)


def test_what_is_read_is_written_into_the_latent() -> None:
    torch.manual_seed(0)
    model = JEPA(GLIMPSING).eval()
    frames, _ = drawn((100.0, 200.0, 400.0, 300.0, 256.0, 256.0, 2.0))
    assert model.glimpses is not None
    assert model.anchor is not None
    with torch.no_grad():
        model.glimpses.of_p1[-1].bias.fill_(0.5)
        model.anchor.weight.normal_(std=0.1)
        first = model.glance(frames)
        wanted = model.glimpses(model.head(first), frames)
        nearer = first
        for _ in range(GLIMPSING.anchor_steps):
            nearer = nearer + model.anchor(wanted - model.head(nearer))
        torch.testing.assert_close(model.encode(frames), nearer)
        assert (model.head(nearer) - model.head(first))[0, 0].abs() > 1e-3, "p1 was moved"


def test_a_few_hundred_frames_teach_to_find_an_agent() -> None:
    rng, glimpses = np.random.default_rng(0), Glimpses(SIZE, 16)
    states = np.tile([0.0, 0.0, 60.0, 60.0, 400.0, 400.0, 0.0], (400, 1))
    states[:, :2] = rng.uniform(60, 300, (400, 2))
    frames, numbers = drawn(*states)
    torch.manual_seed(0)
    seen = numbers + torch.randn(400, 8) * torch.tensor([2 / 256] * 2 + [0.0] * 6)
    optimizer = torch.optim.AdamW(glimpses.of_p1.parameters(), lr=3e-3)

    def off(low: int, high: int) -> Tensor:
        return 256 * (glimpses(seen[low:high], frames[low:high]) - numbers[low:high])[:, :2].norm(dim=1).mean()

    assert off(300, 400) > 2.0
    for step in range(60):
        optimizer.zero_grad()
        off(100 * (step % 3), 100 * (step % 3) + 100).backward()
        optimizer.step()
    assert off(300, 400) < 0.7, "on frames that it has not learned from"


def test_glimpses_ask_for_an_unroll() -> None:
    with pytest.raises(ValueError, match="glimpse_hidden 8, unroll_hidden 0"):
        replace(CONFIG, glimpse_hidden=8)
