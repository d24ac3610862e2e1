"""SIGReg against values worked out by hand."""

import pytest
import torch

from pushjepa.nets import SIGReg


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def expected_on_gaussian(sigreg: SIGReg) -> float:
    """E |empirical - target|^2 = (1 - target^2) / N for N standard normal samples; the statistic is N times its sum."""
    return float((sigreg.weight * (1 - sigreg.target.square())).sum())


def expected_on_collapse(sigreg: SIGReg) -> float:
    """All samples at zero: the empirical function is 1 everywhere; per sample."""
    return float((sigreg.weight * (1 - sigreg.target).square()).sum())


def test_gaussian_samples_give_the_expected_value_whatever_their_number() -> None:
    sigreg = SIGReg()
    for count in (64, 512):
        draws = [sigreg(torch.randn(count, 32, generator=generator(i)), generator(100 + i)) for i in range(8)]
        assert torch.stack(draws).mean().item() == pytest.approx(expected_on_gaussian(sigreg), rel=0.15)


def test_collapsed_samples_give_n_times_the_distance_to_a_constant() -> None:
    sigreg = SIGReg()
    value = sigreg(torch.zeros(256, 32), generator()).item()
    assert value == pytest.approx(256 * expected_on_collapse(sigreg), rel=1e-4)
    assert value > 50 * expected_on_gaussian(sigreg)


def test_a_collapse_along_one_direction_is_noticed() -> None:
    sigreg = SIGReg()
    samples = torch.randn(512, 8, generator=generator())
    flat = samples.clone()
    flat[:, 0] = 0.0
    assert sigreg(flat, generator(1)) > 2 * sigreg(samples, generator(1))


def test_groups_are_averaged_and_directions_come_from_the_generator() -> None:
    sigreg = SIGReg(projections=64)
    a, b = torch.randn(100, 16, generator=generator(1)), 2 * torch.randn(100, 16, generator=generator(2))
    both = sigreg(torch.stack([a, b]), generator(3))
    assert both.item() == pytest.approx((sigreg(a, generator(3)) + sigreg(b, generator(3))).item() / 2, rel=1e-5)
    assert sigreg(a, generator(3)) == sigreg(a, generator(3))
    assert sigreg(a, generator(3)) != sigreg(a, generator(4))


def test_its_gradient_pulls_a_wide_cloud_in_and_a_narrow_one_out() -> None:
    sigreg = SIGReg()
    for scale, sign in ((1.5, 1.0), (0.5, -1.0)):
        samples = (scale * torch.randn(512, 16, generator=generator())).requires_grad_()
        sigreg(samples, generator(1)).backward()
        assert samples.grad is not None
        assert sign * (samples.grad * samples.detach()).sum() > 0
