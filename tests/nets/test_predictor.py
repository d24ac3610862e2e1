"""The predictor: identity at the start, causality, and one fast path that equals the plain one."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pushjepa.nets import JEPA, ModelConfig
from pushjepa.nets.predictor import AdaLNBlock, Predictor

SMALL = ModelConfig(layers=2, heads=2, head_width=8, mlp_hidden=32, width=16, projector_hidden=32, head_hidden=16)


@pytest.fixture(params=[0, 32], ids=["published", "with unroll"])
def awake(request: pytest.FixtureRequest) -> JEPA:
    """A small model in which nothing starts at zero, so that actions matter; without and with a step unroll."""
    torch.manual_seed(0)
    # In double precision: the unroll's waves amplify rounding.
    model = JEPA(replace(SMALL, unroll_hidden=request.param, unroll_layers=1, unroll_waves=6)).double().eval()
    for module in model.modules():
        if isinstance(module, AdaLNBlock):
            nn.init.normal_(module.modulation.weight, std=0.3)
    for part in (model.unroll, model.lift, model.anchor):
        for parameter in part.parameters() if part is not None else ():
            if parameter.ndim == 2 and not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    return model


def window(batch: int, tokens: int = 3, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    blocks = torch.randn(batch, tokens, 5, 2, 2, generator=g, dtype=torch.float64)
    return (
        torch.randn(batch, tokens, 16, generator=g, dtype=torch.float64),
        blocks,
        torch.randint(-1, 2, (batch, tokens), generator=g),
    )


def test_adaln_blocks_are_the_identity_at_initialisation() -> None:
    torch.manual_seed(0)
    block = AdaLNBlock(SMALL)
    x, condition = torch.randn(4, 3, 16), torch.randn(4, 3, 16)
    assert torch.equal(block(x, condition), x)


def test_at_initialisation_the_action_changes_nothing() -> None:
    torch.manual_seed(0)
    predictor = Predictor(SMALL)
    x = torch.randn(4, 3, 16)
    assert torch.equal(predictor(x, torch.randn(4, 3, 16)), predictor(x, torch.randn(4, 3, 16)))


@pytest.mark.parametrize("changed", [1, 2])
def test_a_later_token_cannot_change_an_earlier_prediction(awake: JEPA, changed: int) -> None:
    latents, blocks, actors = window(4)
    before = awake.predict(latents, blocks, actors)
    later_latents, later_blocks, later_actors = latents.clone(), blocks.clone(), actors.clone()
    later_latents[:, changed] += 1.0
    later_blocks[:, changed] += 1.0
    later_actors[:, changed] = (actors[:, changed] + 2) % 3 - 1
    after = awake.predict(later_latents, later_blocks, later_actors)
    assert torch.equal(after[:, :changed], before[:, :changed])
    assert not torch.allclose(after[:, changed:], before[:, changed:])


def test_the_actor_matters_even_when_nobody_moves(awake: JEPA) -> None:
    latents, blocks, _ = window(4)
    p1 = awake.predict(latents, torch.zeros_like(blocks), torch.zeros(4, 3, dtype=torch.long))
    p2 = awake.predict(latents, torch.zeros_like(blocks), torch.ones(4, 3, dtype=torch.long))
    assert not torch.allclose(p1, p2)


def test_rows_of_a_batch_do_not_touch_each_other(awake: JEPA) -> None:
    latents, blocks, actors = window(4)
    alone = awake.predict(latents[2:3], blocks[2:3], actors[2:3])
    torch.testing.assert_close(awake.predict(latents, blocks, actors)[2:3], alone, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("shared", [True, False])
def test_the_cached_path_equals_the_plain_one(awake: JEPA, shared: bool) -> None:
    latents, blocks, actors = window(6)
    if shared:
        latents = latents[:1].expand(6, -1, -1)
        blocks = torch.cat([blocks[:1, :-1].expand(6, -1, -1, -1, -1), blocks[:, -1:]], dim=1)
        actors = torch.cat([actors[:1, :-1].expand(6, -1), actors[:, -1:]], dim=1)
    plain = awake.predict(latents, blocks, actors)[:, -1]
    n = 1 if shared else 6
    past = torch.stack([awake.turn_tokens(latents[:n, i], blocks[:n, i], actors[:n, i]) for i in range(2)], dim=1)
    fast = awake.predict_last(past, awake.turn_tokens(latents[:, -1], blocks[:, -1], actors[:, -1]))
    torch.testing.assert_close(fast, plain, atol=1e-9, rtol=1e-9)
