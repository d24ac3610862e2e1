"""Small parts: moments and waves are sums, which no GPU rounds as it may round a matrix product; ways round layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from pushjepa.nets.layers import Bypassed, fourier_features, heat_moments


def test_moments_are_those_of_the_heat() -> None:
    torch.manual_seed(0)
    heat = (4 * torch.randn(2, 3, 64, dtype=torch.float64)).softmax(-1)
    line = torch.linspace(-1.0, 1.0, 8, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([x, y], dim=-1).flatten(0, 1)
    mean = heat @ places  # (2, 3, 2)
    apart = places - mean[..., None, :]
    spread = 4 * torch.einsum("bpk,bpki,bpkj->bpij", heat, apart, apart)
    wanted = torch.cat([mean, torch.stack([spread[..., 0, 0], spread[..., 1, 1], spread[..., 0, 1]], dim=-1)], dim=-1)
    torch.testing.assert_close(heat_moments(heat.unflatten(2, (8, 8)), line), wanted)
    single = heat_moments(heat.float().unflatten(2, (8, 8)), line.float())
    torch.testing.assert_close(single.double(), wanted, atol=3e-6, rtol=0)


def test_waves_have_the_phase_of_their_points() -> None:
    points, frequencies = torch.randn(4, 3, 2), torch.randn(3, 2, 5)
    phases = torch.einsum("npx,pxk->npk", points, frequencies).flatten(1)
    torch.testing.assert_close(fourier_features(points, frequencies), torch.cat([phases.sin(), phases.cos()], dim=-1))


@pytest.mark.parametrize(
    ("function", "shapes"), [(heat_moments, ((2, 3, 8, 8), (8,))), (fourier_features, ((4, 3, 2), (3, 2, 5)))]
)
def test_nothing_that_is_near_a_position_is_a_matrix_product(function, shapes) -> None:
    graph = make_fx(function)(*(torch.rand(shape) for shape in shapes)).graph
    used = {str(node.target) for node in graph.nodes if node.op == "call_function"}
    assert used
    assert not [name for name in used if any(word in name for word in ("mm", "matmul", "conv", "dot", "einsum"))]


def test_a_way_round_adds_nothing_at_first_and_then_what_is_linear() -> None:
    torch.manual_seed(0)
    layers = nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3)
    plain, bypassed = Bypassed(*layers, bypass=None), Bypassed(*layers, bypass=(5, 3))
    x, y = torch.randn(4, 5), torch.randn(4, 5)
    assert torch.equal(bypassed(x), plain(x))
    assert torch.equal(plain(x), nn.Sequential(*layers)(x))
    assert bypassed.bypass is not None
    nn.init.normal_(bypassed.bypass)

    def added(inputs: torch.Tensor) -> torch.Tensor:
        return bypassed(inputs) - plain(inputs)

    assert added(x).abs().amin() > 0
    torch.testing.assert_close(added(x), x @ bypassed.bypass.T)
    torch.testing.assert_close(added(x + 2 * y), added(x) + 2 * added(y))


def test_weights_of_layers_fit_whether_or_not_there_is_a_way_round() -> None:
    layers = nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3)
    plain, bypassed = Bypassed(*layers, bypass=None), Bypassed(*layers, bypass=(5, 3))
    assert set(plain.state_dict()) == set(nn.Sequential(*layers).state_dict())
    assert set(bypassed.state_dict()) - set(plain.state_dict()) == {"bypass"}
