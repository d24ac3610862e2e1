"""The step unroll: commanded motion at first, one law for both seats, no step before its time; and the latent."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pushjepa.nets import JEPA, SCENES, ModelConfig, encode_state
from pushjepa.nets.unroll import StepUnroll
from pushjepa.physics import mirror_block, mirror_state

SMALL = ModelConfig(
    layers=1,
    heads=2,
    head_width=8,
    mlp_hidden=32,
    width=16,
    projector_hidden=32,
    head_hidden=16,
    unroll_hidden=32,
    unroll_layers=1,
    unroll_waves=8,
)


def wake(model: nn.Module) -> nn.Module:
    """Give every matrix that starts at zero something to say."""
    for parameter in model.parameters():
        if parameter.ndim == 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture(params=[1, 2], ids=["one-substep", "two-substeps"])
def unroll(request: pytest.FixtureRequest) -> StepUnroll:
    torch.manual_seed(0)
    return wake(StepUnroll(replace(SMALL, unroll_substeps=request.param))).eval()  # type: ignore[return-value]


def turns(count: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """States (N, 7), stage beliefs, joint blocks with the waiting agent at zero, and actors of both kinds."""
    g = torch.Generator().manual_seed(4)
    states = torch.cat([60 + 390 * torch.rand(count, 6, generator=g), 6 * torch.rand(count, 1, generator=g) - 3], dim=1)
    actors = torch.arange(count) % 2
    blocks = torch.zeros(count, 5, 2, 2)
    blocks[torch.arange(count), :, actors] = 2 * torch.rand(count, 5, 2, generator=g) - 1
    return states, torch.rand(count, SCENES, generator=g).softmax(-1), blocks, actors


@pytest.mark.parametrize("substeps", [1, 2, 3])
def test_at_initialisation_the_actor_goes_as_told_and_nothing_else_moves(substeps: int) -> None:
    torch.manual_seed(0)
    unroll = StepUnroll(replace(SMALL, unroll_substeps=substeps))
    states, scene, blocks, actors = turns()
    start = encode_state(states)
    imagined, _ = unroll(start, scene, blocks, actors)
    expected = start[:, None].repeat(1, 5, 1)
    expected[..., :4] += (unroll.stride * blocks).cumsum(dim=1).flatten(2)
    torch.testing.assert_close(imagined, expected, atol=1e-5, rtol=0)


def test_two_substeps_are_two_steps_of_half_the_motion(unroll: StepUnroll) -> None:
    states, scene, blocks, actors = turns()
    fine, coarse = copy.deepcopy(unroll), copy.deepcopy(unroll)
    fine.substeps, coarse.substeps = 2, 1
    halves = 0.5 * blocks.repeat_interleave(2, dim=1)
    imagined, memory = fine(encode_state(states), scene, blocks, actors)
    expected, same = coarse(encode_state(states), scene, halves, actors)
    torch.testing.assert_close(imagined, expected[:, 1::2])
    torch.testing.assert_close(memory, same)


def test_either_seat_obeys_the_same_law(unroll: StepUnroll) -> None:
    states, scene, blocks, actors = turns()
    start = encode_state(states)
    other = torch.cat([start[:, 2:4], start[:, :2], start[:, 4:]], dim=-1) * unroll.mirror
    # The mirror of the game itself; beyond rounding the two agree, and the rest is computed in double precision.
    torch.testing.assert_close(encode_state(torch.from_numpy(mirror_state(states.numpy()))), other, atol=1e-5, rtol=0)
    told = torch.from_numpy(mirror_block(blocks.flip(2).numpy()))
    exact = unroll.double()
    imagined, memory = exact(start.double(), scene.double(), blocks.double(), actors)
    mirrored, same = exact(other.double(), scene.double(), told.double(), 1 - actors)
    back = torch.cat([mirrored[..., 2:4], mirrored[..., :2], mirrored[..., 4:]], dim=-1) * exact.mirror
    torch.testing.assert_close(back, imagined, atol=1e-9, rtol=0)
    torch.testing.assert_close(same, memory, atol=1e-9, rtol=0)


@pytest.mark.parametrize("step", [1, 4])
def test_action_k_moves_step_k_and_none_before(unroll: StepUnroll, step: int) -> None:
    states, scene, blocks, actors = turns()
    before, _ = unroll(encode_state(states), scene, blocks, actors)
    blocks[:, step] *= -1.0
    after, _ = unroll(encode_state(states), scene, blocks, actors)
    assert torch.equal(after[:, :step], before[:, :step])
    assert ((after - before)[:, step].abs().amax(dim=-1) > 1e-4).all()


def test_the_waiting_agents_actions_are_not_looked_at(unroll: StepUnroll) -> None:
    states, scene, blocks, actors = turns()
    before, _ = unroll(encode_state(states), scene, blocks, actors)
    blocks[torch.arange(len(actors)), :, 1 - actors] = 1.0
    assert torch.equal(unroll(encode_state(states), scene, blocks, actors)[0], before)


def test_the_stage_matters(unroll: StepUnroll) -> None:
    states, scene, blocks, actors = turns()
    before, _ = unroll(encode_state(states), scene, blocks, actors)
    assert not torch.allclose(unroll(encode_state(states), scene.flip(-1), blocks, actors)[0], before)


def window(batch: int) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    blocks = torch.randn(batch, 3, 5, 2, 2, generator=g)
    return torch.randn(batch, 3, 16, generator=g), blocks, torch.randint(-1, 2, (batch, 3), generator=g)


def test_at_initialisation_a_model_with_an_unroll_predicts_that_nothing_changes() -> None:
    torch.manual_seed(0)
    model = JEPA(SMALL).eval()
    nn.init.zeros_(model.predictor.out.weight)
    nn.init.zeros_(model.predictor.out.bias)
    latents, blocks, actors = window(4)
    predicted, states = model.predict_steps(latents, blocks, actors)
    assert torch.equal(predicted, latents)
    assert states is not None
    assert states.shape == (4, 3, 5, 8)


def test_half_precision_does_not_reach_what_is_imagined() -> None:
    torch.manual_seed(0)
    model = wake(JEPA(SMALL)).eval()
    assert isinstance(model, JEPA)
    exact = model.imagine(*window(4))[2]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model.imagine(*window(4))[2]
        predicted = model.predict(*window(4))
    assert exact is not None
    assert mixed is not None
    assert torch.equal(mixed, exact)
    assert predicted.dtype == torch.float32


def test_the_anchor_makes_the_head_read_what_was_imagined() -> None:
    torch.manual_seed(0)
    model = JEPA(SMALL).eval()
    linear = nn.Linear(16, 8)
    model.head = linear  # type: ignore[assignment]  # with a linear head one step of the anchor is exact
    assert model.anchor is not None
    with torch.no_grad():
        model.anchor.weight.copy_(torch.linalg.pinv(linear.weight))
    predicted, states = model.predict_steps(*window(4))
    assert states is not None
    torch.testing.assert_close(linear(predicted), states[:, :, -1], atol=1e-3, rtol=0)


def test_laws_that_nothing_was_learned_of_change_nothing_but_speed_and_scale() -> None:
    torch.manual_seed(0)
    unroll = wake(StepUnroll(SMALL)).eval()
    lawful = StepUnroll(replace(SMALL, laws=8)).eval()
    lawful.load_state_dict(lawful.state_dict() | unroll.state_dict())
    states, scene, blocks, actors = turns()
    inputs = (encode_state(states), scene, blocks, actors)
    plain = unroll(*inputs)  # type: ignore[operator]
    other = torch.randn(len(states), 8) * (torch.arange(8) > 1)
    assert all(torch.equal(a, b) for a, b in zip(lawful(*inputs, other), plain, strict=True))
    assert lawful.laws is not None
    wake(lawful.laws)
    assert not torch.equal(lawful(*inputs, other)[0], plain[0])
    # Bit for bit: what is believed of the standard laws is the model that was given.
    assert all(torch.equal(a, b) for a, b in zip(lawful(*inputs, 0.0 * other), plain, strict=True))
    with pytest.raises(ValueError, match="no other laws"):
        unroll(*inputs, other)  # type: ignore[operator]


def test_under_other_laws_too_both_seats_are_one() -> None:
    torch.manual_seed(0)
    unroll = wake(StepUnroll(replace(SMALL, laws=8))).eval()
    states, scene, blocks, actors = turns()
    laws = 0.5 * torch.randn(len(states), 8)
    imagined = unroll(encode_state(states), scene, blocks, actors, laws)[0]  # type: ignore[operator]
    mirrored = torch.from_numpy(mirror_state(states.double().numpy()))
    theirs = torch.from_numpy(mirror_block(blocks.flip(2).double().numpy())).float()
    again = unroll(encode_state(mirrored), scene, theirs, 1 - actors, laws)[0]  # type: ignore[operator]
    swapped = torch.cat([again[..., 2:4], again[..., :2], again[..., 4:]], dim=-1)
    sign = torch.tensor([-1.0, 1, -1, 1, -1, 1, 1, -1])
    torch.testing.assert_close(imagined, swapped * sign, atol=1e-4, rtol=0)


def test_the_first_law_is_a_factor_of_the_actions() -> None:
    torch.manual_seed(0)
    unroll = wake(StepUnroll(replace(SMALL, laws=8))).eval()
    assert isinstance(unroll, StepUnroll)
    assert unroll.laws is not None
    nn.init.zeros_(unroll.laws.film.weight)
    nn.init.zeros_(unroll.laws.out.weight)
    states, scene, blocks, actors = turns()
    laws = torch.zeros(len(states), 8)
    laws[:, 0] = -0.5
    slower = unroll(encode_state(states), scene, blocks, actors, laws)[0]
    factor = torch.tensor(-0.5).exp()
    wanted = unroll(encode_state(states), scene, factor * blocks, actors)[0]
    torch.testing.assert_close(slower, wanted, atol=1e-4, rtol=0)
