"""The action prior: its likelihood against a slow one, and that it learns two ways at once."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from pushjepa.nets.mech import MechJEPA
from pushjepa.nets.mech_config import MechConfig
from pushjepa.nets.prior import PlanMixture

TINY = MechConfig(
    frame_size=16,
    slots=2,
    width=8,
    points=2,
    layers=1,
    heads=2,
    mlp_hidden=16,
    mechanism="none",
    head_hidden=8,
    unroll_hidden=0,
    prior_hidden=32,
    prior_layers=1,
    prior_modes=2,
    prior_blocks=2,
)


def mixture(count=3, modes=2):
    torch.manual_seed(0)
    means = torch.rand(count, modes, 2, 5, 2) - 0.5
    return PlanMixture(torch.randn(count, modes), means, 0.1 + torch.rand_like(means))


def test_the_loss_is_the_mixture_s_likelihood_over_what_is_known():
    found, plans = mixture(), torch.rand(3, 2, 5, 2) - 0.5
    known = torch.ones(3, 2, 5, dtype=torch.bool)
    known[1, 1:] = False
    wanted = 0.0
    for n in range(3):
        likely = 0.0
        for m in range(2):
            normal = torch.distributions.Normal(found.means[n, m][known[n]], found.stds[n, m][known[n]])
            log = normal.log_prob(plans[n][known[n]]).sum() + found.logits[n].log_softmax(-1)[m]
            likely += math.exp(log)
        wanted -= math.log(likely)
    assert found.loss(plans, known).item() == pytest.approx(wanted / 3 / 10, rel=1e-4)


def test_what_comes_after_the_goal_does_not_count():
    found, plans = mixture(), torch.rand(3, 2, 5, 2)
    known = torch.zeros(3, 2, 5, dtype=torch.bool)
    known[:, 0, :3] = True
    other = plans.clone()
    other[:, 0, 3:] = 7.0
    other[:, 1] = -7.0
    assert found.loss(plans, known).item() == pytest.approx(found.loss(other, known).item())


def test_the_likeliest_plan_is_the_heaviest_component_s_mean():
    found = mixture()
    for row, plan in enumerate(found.likeliest()):
        assert torch.equal(plan, found.means[row, int(found.logits[row].argmax())])


def test_two_ways_to_a_goal_are_both_proposed():
    torch.manual_seed(0)
    net = MechJEPA(TINY)
    assert net.prior is not None
    slots, goal, before = torch.randn(1, 2, 8), torch.randn(1, 2, 8), torch.zeros(1, 2)
    known = torch.ones(64, 2, 5, dtype=torch.bool)
    side = torch.where(torch.arange(64) % 2 == 0, 0.8, -0.8)
    plans = side[:, None, None, None].expand(64, 2, 5, 2)
    optimizer = torch.optim.AdamW(net.prior.parameters(), 1e-2)
    for _ in range(200):
        found = net.propose(slots.expand(64, -1, -1), goal.expand(64, -1, -1), before.expand(64, -1))
        optimizer.zero_grad()
        found.loss(plans, known).backward()
        optimizer.step()
    means = net.propose(slots, goal, before).means.mean(dim=(2, 3, 4))[0]
    assert sorted(means.tolist()) == pytest.approx([-0.8, 0.8], abs=0.1)


def test_a_model_without_a_prior_says_so():
    net = MechJEPA(MechConfig(**{**TINY.to_dict(), "prior_hidden": 0}))
    with pytest.raises(ValueError, match="no action prior; train a preset with prior_hidden"):
        net.propose(torch.zeros(1, 2, 8), torch.zeros(1, 2, 8), torch.zeros(1, 2))
