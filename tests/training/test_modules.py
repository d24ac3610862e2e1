"""Losses with known answers, and who is trained by which optimiser."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from pushjepa.nets import JEPA, encode_state
from pushjepa.training.modules import (
    SMOOTH,
    JointPhase,
    LatentsPhase,
    build_optimizer,
    distance_loss,
    match_loss,
)
from pushjepa.training.presets import LossWeights, PhaseConfig, Preset

PHASE = PhaseConfig("joint", steps=4, batch=16, learning_rate=1e-3)


def test_the_distance_loss_is_a_tenth_of_the_mean_distance_of_four_points() -> None:
    states = torch.tensor([[100.0, 200.0, 300.0, 100.0, 256.0, 256.0, 0.3]])
    decoded = encode_state(states)
    assert distance_loss(decoded, states).item() == pytest.approx(0.0, abs=1e-7)
    decoded[0, 2:4] += torch.tensor([3.0, 4.0])  # p2 is off by five half boards
    assert distance_loss(decoded, states).item() == pytest.approx(0.1 * 5.0 / 4, abs=SMOOTH)


def test_near_zero_the_distance_loss_is_quadratic() -> None:
    states = torch.tensor([[100.0, 200.0, 300.0, 100.0, 256.0, 256.0, 0.3]])
    values = []
    for off in (0.001, 0.002):
        decoded = encode_state(states)
        decoded[0, 0] += off
        values.append(distance_loss(decoded, states).item())
    assert values[1] / values[0] == pytest.approx(4.0, rel=0.1)


def test_muon_takes_the_layers_matrices_and_adamw_the_rest(tiny: Preset) -> None:
    model = JEPA(tiny.model)
    optimizer = build_optimizer(model, replace(PHASE, matrix_rate=0.02))
    muon, adamw = optimizer.param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    taken = {names[id(p)] for p in muon["params"]}
    assert "unroll.blocks.0.net.1.weight" in taken
    assert "predictor.blocks.0.qkv.weight" in taken
    assert not any(name.startswith(("encoder.", "head.", "unroll.enter")) for name in taken)
    assert len(taken) + len(adamw["params"]) == len(names)
    assert (muon["lr"], adamw["lr"], adamw["use_fallback"]) == (0.02, 1e-3, True)


def test_what_is_frozen_has_no_optimiser(tiny: Preset) -> None:
    model = JEPA(tiny.model)
    model.encoder.requires_grad_(False)
    trained = {id(p) for group in build_optimizer(model, PHASE).param_groups for p in group["params"]}
    assert not trained & {id(p) for p in model.encoder.parameters()}


def test_a_frozen_unroll_rests_while_the_rest_learns_to_read_it(tiny: Preset) -> None:
    phase = PhaseConfig("latents", steps=4, batch=4, learning_rate=1e-3, frozen_unroll=True)
    module = LatentsPhase(JEPA(tiny.model), phase, LossWeights(), seed=0)
    trained = {name for name, p in module.model.named_parameters() if p.requires_grad}
    assert not any(name.startswith("unroll.") for name in trained)
    assert {"lift.out.weight", "anchor.weight", "predictor.out.weight"} <= trained


def test_frozen_norms_keep_their_statistics_and_the_others_do_not(tiny: Preset) -> None:
    for frozen in (True, False):
        phase = JointPhase(JEPA(tiny.model), replace(PHASE, frozen_norm=frozen), LossWeights(), seed=0)
        phase.train()
        phase.on_train_epoch_start()
        norms = [m for m in phase.model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        assert norms
        assert all(norm.training is not frozen for norm in norms)
        assert phase.model.head.training


def test_a_phase_may_weigh_sigreg_its_own_way(tiny: Preset) -> None:
    model = JEPA(tiny.model)
    assert JointPhase(model, PHASE, LossWeights(sigreg=0.5), seed=0).sigreg_weight() == 0.5
    assert JointPhase(model, replace(PHASE, sigreg=0.0), LossWeights(sigreg=0.5), seed=0).sigreg_weight() == 0.0


def test_latents_are_matched_where_they_count_alone():
    latents, wanted = torch.zeros(3, 2, 4), torch.ones(3, 2, 4)
    wanted[2] = 3.0
    assert match_loss(latents, wanted, torch.tensor([True, False, True])).item() == 5.0
    nothing = match_loss(latents.requires_grad_(), wanted, torch.zeros(3, dtype=torch.bool))
    nothing.backward()
    assert nothing.item() == 0.0
    assert not latents.grad.any()
