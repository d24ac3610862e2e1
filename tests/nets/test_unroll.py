"""The step unroll: motors alone at first, one law for both seats, no step before its time; and the latent."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pushjepa.data.substeps import motors_alone
from pushjepa.nets import JEPA, SCENES, ModelConfig, encode_state
from pushjepa.nets.unroll import Moving, StepUnroll, at_rest
from pushjepa.physics import LAWS, Physics, mirror_block, mirror_state, tell_laws
from pushjepa.physics.constants import BOARD_CENTRE, SUBSTEPS

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
    unroll_waves=6,
    unroll_feelers=3,
)
LAWFUL = replace(SMALL, laws=LAWS)


def wake(model: nn.Module) -> nn.Module:
    """Give every matrix that starts at zero something to say."""
    for parameter in model.parameters():
        if parameter.ndim == 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model


def awake(config: ModelConfig = SMALL) -> StepUnroll:
    torch.manual_seed(0)
    unroll = wake(StepUnroll(config)).eval()
    assert isinstance(unroll, StepUnroll)
    return unroll


@pytest.fixture
def unroll() -> StepUnroll:
    return awake()


def turns(count: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """States (N, 7), stage beliefs, joint blocks with the waiting agent at zero, and actors of both kinds."""
    g = torch.Generator().manual_seed(4)
    states = torch.cat([60 + 390 * torch.rand(count, 6, generator=g), 6 * torch.rand(count, 1, generator=g) - 3], dim=1)
    actors = torch.arange(count) % 2
    blocks = torch.zeros(count, 5, 2, 2)
    blocks[torch.arange(count), :, actors] = 2 * torch.rand(count, 5, 2, generator=g) - 1
    return states, torch.rand(count, SCENES, generator=g).softmax(-1), blocks, actors


@pytest.mark.parametrize(
    "physics",
    [None, Physics(), Physics(agent_speed=500.0), Physics(damping=0.95, agent_force=2000.0)],
    ids=["untold", "standard", "fast", "icy and weak"],
)
def test_at_initialisation_motors_drive_the_actor_and_nothing_else_moves(physics: Physics | None) -> None:
    torch.manual_seed(0)
    unroll = StepUnroll(LAWFUL)
    states, scene, blocks, actors = turns()
    laws = None if physics is None else torch.from_numpy(tell_laws(physics)).expand(len(states), -1)
    imagined = unroll(encode_state(states), scene, blocks, actors, laws).detach()
    places, swap = states.double().numpy(), actors.numpy() == 1
    own = blocks[torch.arange(len(actors)), :, actors].double().numpy()
    places[swap], own[swap] = mirror_state(places[swap]), own[swap] * [-1.0, 1.0]  # from the actor's side
    speeds, expected = np.zeros_like(places), []
    for step in range(5):
        for _ in range(SUBSTEPS):
            places, speeds = motors_alone(places, speeds, own[:, step], physics or Physics())
        expected.append(np.where(swap[:, None], mirror_state(places), places))
    wanted = encode_state(torch.from_numpy(np.stack(expected, axis=1)))
    assert (BOARD_CENTRE * (imagined - wanted)[..., :6]).abs().max() < 0.01  # px
    torch.testing.assert_close(imagined[..., 6:], wanted[..., 6:], atol=1e-5, rtol=0)
    still = wanted[:, -1, 4:] - encode_state(states)[:, 4:]
    assert still.abs().max() < 1e-5, "the block has not moved"


def test_either_seat_obeys_the_same_law(unroll: StepUnroll) -> None:
    states, scene, blocks, actors = turns()
    start = encode_state(states)
    other = torch.cat([start[:, 2:4], start[:, :2], start[:, 4:]], dim=-1) * unroll.mirror
    # The mirror of the game itself; beyond rounding the two agree, and the rest is computed in double precision.
    torch.testing.assert_close(encode_state(torch.from_numpy(mirror_state(states.numpy()))), other, atol=1e-5, rtol=0)
    told = torch.from_numpy(mirror_block(blocks.flip(2).numpy()))
    exact = unroll.double()
    imagined = exact(start.double(), scene.double(), blocks.double(), actors)
    mirrored = exact(other.double(), scene.double(), told.double(), 1 - actors)
    back = torch.cat([mirrored[..., 2:4], mirrored[..., :2], mirrored[..., 4:]], dim=-1) * exact.mirror
    torch.testing.assert_close(back, imagined, atol=1e-9, rtol=0)


@pytest.mark.parametrize("step", [1, 4])
def test_action_k_moves_step_k_and_none_before(unroll: StepUnroll, step: int) -> None:
    states, scene, blocks, actors = turns()
    before = unroll(encode_state(states), scene, blocks, actors)
    blocks[:, step] *= -1.0
    after = unroll(encode_state(states), scene, blocks, actors)
    assert torch.equal(after[:, :step], before[:, :step])
    assert ((after - before)[:, step].abs().amax(dim=-1) > 1e-4).all()


def test_the_waiting_agents_actions_are_not_looked_at(unroll: StepUnroll) -> None:
    states, scene, blocks, actors = turns()
    before = unroll(encode_state(states), scene, blocks, actors)
    blocks[torch.arange(len(actors)), :, 1 - actors] = 1.0
    assert torch.equal(unroll(encode_state(states), scene, blocks, actors), before)


def test_all_that_is_awake_moves(unroll: StepUnroll) -> None:
    """And the block's heading keeps its length while it turns."""
    states, scene, blocks, actors = turns()
    start = encode_state(states)
    moved = unroll(start, scene, blocks, actors)[:, -1] - start
    assert (moved.unflatten(-1, (4, 2)).norm(dim=-1) > 1e-3).all()
    heading = unroll(start, scene, blocks, actors)[..., 6:].norm(dim=-1)
    torch.testing.assert_close(heading, torch.ones_like(heading), atol=1e-4, rtol=0)


def test_the_stage_matters(unroll: StepUnroll) -> None:
    states, scene, blocks, actors = turns()
    before = unroll(encode_state(states), scene, blocks, actors)
    assert not torch.allclose(unroll(encode_state(states), scene.flip(-1), blocks, actors), before)
    # How much it is believed in, too, and not just which is the likeliest.
    surer = (scene + 1.0 * nn.functional.one_hot(scene.argmax(-1), SCENES)) / 2.0
    assert not torch.equal(unroll(encode_state(states), surer, blocks, actors), before)


@pytest.mark.parametrize("name", ["felt", "stood"])
def test_the_map_of_the_likeliest_stage_is_read_and_no_other(unroll: StepUnroll, name: str) -> None:
    states, scene, blocks, actors = turns()
    scene = scene.clone()
    scene[:, 2] += 1.0
    before = unroll(encode_state(states), scene, blocks, actors)
    maps = getattr(unroll, name).data.unflatten(0, (SCENES, -1))
    maps[torch.arange(SCENES) != 2] += 1.0
    assert torch.equal(unroll(encode_state(states), scene, blocks, actors), before)
    maps[2] += 1.0
    assert not torch.allclose(unroll(encode_state(states), scene, blocks, actors), before)


def test_a_map_is_read_between_its_nodes(unroll: StepUnroll) -> None:
    """A map that grows from left to right and downwards tells where it is read, and its ends beyond the board."""
    side = int((len(unroll.stood) / SCENES) ** 0.5)
    y, x = torch.meshgrid(*2 * [torch.arange(side) + 0.5], indexing="ij")
    nodes = torch.stack([x, y], dim=-1).flatten(0, 1) * (2 * BOARD_CENTRE / side)  # px
    table = torch.cat([torch.zeros_like(nodes), nodes]).repeat(SCENES // 2, 1)
    places = torch.tensor([[[100.0, 333.0], [256.0, 8.0]], [[-50.0, 300.0], [500.0, 600.0]]])
    seen = 4.0 * (places - BOARD_CENTRE) / BOARD_CENTRE
    x, y = seen.unbind(-1)
    read = unroll._read(table, x, y, torch.tensor([[1], [1]]) * side**2)
    edge = BOARD_CENTRE / side
    torch.testing.assert_close(read, places.clamp(edge, 2 * BOARD_CENTRE - edge), atol=0.05, rtol=0)
    assert not unroll._read(table, x, y, torch.tensor([[0], [2]]) * side**2).any()


def test_a_turn_is_its_substeps_in_a_row(unroll: StepUnroll) -> None:
    states, scene, blocks, actors = turns()
    actors = torch.zeros_like(actors)
    now, laws = at_rest(encode_state(states)), unroll.place_laws(scene, None)
    for number in range(5 * SUBSTEPS):
        beat = unroll.beats[number % SUBSTEPS].expand(len(states), -1)
        now = unroll.move(now, blocks[:, number // SUBSTEPS, 0], beat, scene, laws)
    assert isinstance(now, Moving)
    end = torch.cat([now.bodies.flatten(1), now.turn], dim=-1)
    assert torch.equal(unroll(encode_state(states), scene, blocks, actors)[:, -1], end)


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


def test_the_anchor_goes_two_steps() -> None:
    """An anchor that is half as long as it should be leaves a quarter."""
    torch.manual_seed(0)
    model = JEPA(SMALL).eval()
    linear = nn.Linear(16, 8)
    model.head = linear  # type: ignore[assignment]
    assert model.anchor is not None
    before, states = model.predict_steps(*window(4))  # an anchor of zeros draws nowhere
    with torch.no_grad():
        model.anchor.weight.copy_(0.5 * torch.linalg.pinv(linear.weight))
    after, _ = model.predict_steps(*window(4))
    assert states is not None
    wanted = states[:, :, -1]
    torch.testing.assert_close(linear(after) - wanted, 0.25 * (linear(before) - wanted), atol=1e-4, rtol=0)


@pytest.mark.parametrize("each", [0.015, 0.022], ids=["each a trace", "all together a trace"])
def test_traces_of_a_push_move_nothing_and_are_learned_from_all_the_same(unroll: StepUnroll, each: float) -> None:
    states, scene, _, actors = turns()
    told = (encode_state(states), scene, torch.zeros(len(states), 5, 2, 2), actors)
    with torch.no_grad():
        unroll.motion.weight.zero_()
        unroll.motion.bias.fill_(each)
    end = unroll(*told)[:, -1]
    torch.testing.assert_close(end, told[0], atol=1e-5, rtol=0)
    end.square().sum().backward()
    assert unroll.motion.bias.grad is not None
    assert unroll.motion.bias.grad.any()
    with torch.no_grad():
        unroll.motion.bias.fill_(0.3)
    assert ((unroll(*told)[:, -1] - told[0]).unflatten(-1, (4, 2)).norm(dim=-1) > 1e-3).all()


def test_an_unroll_that_rests_gets_no_gradient_and_passes_none_on() -> None:
    torch.manual_seed(0)
    model = wake(JEPA(SMALL)).eval()
    assert isinstance(model, JEPA)
    assert model.unroll is not None
    assert model.lift is not None
    learned = model.predict_steps(*window(4))[1]
    assert learned is not None
    model.unroll.requires_grad_(False)
    predicted, imagined = model.predict_steps(*window(4))
    assert imagined is not None
    assert torch.equal(imagined, learned)
    assert (learned.requires_grad, imagined.requires_grad) == (True, False)
    predicted.square().sum().backward()
    assert all(p.grad is None for p in model.unroll.parameters())
    # What reads it learns all the same; the stage is told to the unroll alone.
    assert model.lift.out.weight.grad is not None
    assert model.lift.out.weight.grad.any()
    assert model.scene.weight.grad is None


def test_laws_that_nothing_was_learned_of_change_nothing_but_what_has_its_place() -> None:
    unroll = awake()
    lawful = StepUnroll(LAWFUL).eval()
    lawful.load_state_dict(lawful.state_dict() | unroll.state_dict())
    states, scene, blocks, actors = turns()
    inputs = (encode_state(states), scene, blocks, actors)
    plain = unroll(*inputs)
    placed = torch.isin(torch.arange(LAWS), torch.tensor([0, 1, 4, 5]))  # speed, scale, damping, force
    other = torch.randn(len(states), LAWS)
    assert torch.equal(lawful(*inputs, other * ~placed), plain)
    for index in (0, 1, 4, 5):
        assert not torch.equal(lawful(*inputs, 0.1 * other * (torch.arange(LAWS) == index)), plain), index
    assert lawful.laws is not None
    wake(lawful.laws)
    assert not torch.equal(lawful(*inputs, other * ~placed), plain)
    # Bit for bit: what is believed of the standard laws is the model that was given.
    assert torch.equal(lawful(*inputs, 0.0 * other), plain)
    with pytest.raises(ValueError, match="no other laws"):
        unroll(*inputs, other)


def test_under_other_laws_too_both_seats_are_one() -> None:
    unroll = awake(LAWFUL).double()
    states, scene, blocks, actors = (part.double() if part.is_floating_point() else part for part in turns())
    laws = 0.5 * torch.randn(len(states), LAWS, dtype=torch.float64)
    start = encode_state(states).double()
    sign = torch.tensor([-1.0, 1, -1, 1, -1, 1, 1, -1], dtype=torch.float64)
    mirrored = torch.cat([start[:, 2:4], start[:, :2], start[:, 4:]], dim=-1) * sign
    theirs = torch.from_numpy(mirror_block(blocks.flip(2).numpy()))
    imagined = unroll(start, scene, blocks, actors, laws)
    again = unroll(mirrored, scene, theirs, 1 - actors, laws)
    swapped = torch.cat([again[..., 2:4], again[..., :2], again[..., 4:]], dim=-1)
    torch.testing.assert_close(imagined, swapped * sign, atol=1e-9, rtol=0)


def unbent() -> StepUnroll:
    """An unroll that is told of laws and has learned nothing of them; in double precision."""
    unroll = awake(LAWFUL)
    assert unroll.laws is not None
    nn.init.zeros_(unroll.laws.film.weight)
    nn.init.zeros_(unroll.laws.out.weight)
    return unroll.double()


def exactly(unroll: StepUnroll, laws: Tensor | None = None, faster: float = 1.0) -> Tensor:
    states, scene, blocks, actors = turns()
    told = (encode_state(states).double(), scene.double(), faster * blocks.double(), actors)
    imagined: Tensor = unroll(*told, None if laws is None else laws.double().expand(len(states), -1))
    return imagined


def test_the_first_law_is_a_factor_of_the_actions() -> None:
    unroll, slower = unbent(), torch.zeros(LAWS)
    slower[0] = -0.5
    factor = slower[0].double().exp().item()
    torch.testing.assert_close(exactly(unroll, slower), exactly(unroll, faster=factor), atol=1e-9, rtol=0)
    assert not torch.allclose(exactly(unroll, slower), exactly(unroll), atol=1e-3)


def test_the_second_law_scales_all_that_is_measured_at_the_block() -> None:
    unroll, larger, factor = unbent(), torch.zeros(LAWS), 1.25
    larger[1] = 2.0 * torch.tensor(factor).log()
    plain, scaled = copy.deepcopy(unroll), exactly(unroll, larger)
    plain.block_waves /= factor
    entry = plain.of_block[0]
    assert isinstance(entry, nn.Linear)
    entry.weight.data[:, -2:] /= factor
    plain.feelers.data *= factor
    torch.testing.assert_close(scaled, exactly(plain), atol=1e-5, rtol=0)
    assert not torch.allclose(scaled, exactly(unroll), atol=1e-3)
