"""MechJEPA: shapes, identities at the start, causality, and what a memory does."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from pushjepa.nets.dynamics import ActionAdaLN, MechPredictor
from pushjepa.nets.mech import MechJEPA, decode_pusht_state, encode_pusht_state, place_ends
from pushjepa.nets.mech_config import MechConfig
from pushjepa.nets.mechanisms import build_memory, perplexity
from pushjepa.nets.push_unroll import PushUnroll
from pushjepa.pusht.collect import draw_state
from pushjepa.pusht.geometry import place
from pushjepa.pusht.simulator import LAWS, PushTPhysics, Simulator, tell_laws

SMALL = {"frame_size": 32, "width": 16, "points": 3, "layers": 2, "heads": 2, "mlp_hidden": 32, "head_hidden": 16}
KINDS = [
    {"mechanism": "vq", "codes": 8, "mechanism_width": 4},
    {"mechanism": "vq", "codes": 8, "mechanism_width": 4, "bound": 4},
    {"mechanism": "lowrank", "mechanism_width": 4},
    {"mechanism": "none"},
    {"slots": 1, "mechanism": "none"},
    {"mechanism": "none", "unroll_hidden": 0},
]


def model_of(**options):
    torch.manual_seed(0)
    return MechJEPA(MechConfig(**SMALL | {"unroll_hidden": 16, "unroll_waves": 8} | options))


def window(model, batch=2, steps=3):
    c = model.config
    slots = torch.randn(batch, steps, c.slots, c.width)
    return slots, torch.rand(batch, steps, c.frameskip, 2) * 2 - 1, torch.zeros(batch, 2)


def shake(module):
    """Leave the starting point, where much is zero."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_shapes(kind):
    model = model_of(**kind)
    c = model.config
    slots = model.encode(torch.randint(0, 255, (2, 3, 32, 32, 3)))
    assert slots.shape == (2, 3, c.slots, 16)
    assert model.heads(slots).shape == (2, 3, 6)
    found = model.predict(slots, *window(model)[1:])
    assert found.slots.shape == slots.shape
    assert (found.steps is None) == (c.unroll_hidden == 0)
    if found.steps is not None:
        assert found.steps.shape == (2, 3, 5, 6)
    assert (found.mechanisms is None) == (c.mechanism == "none")
    assert sum(v for k, v in model.parameters_by_part().items() if k != "total") == sum(
        p.numel() for p in model.parameters()
    )


def test_actions_change_nothing_at_the_start():
    """Weights of a model that was trained without actions give the same outputs when actions are brought in."""
    model = model_of(mechanism="lowrank", mechanism_width=4, unroll_hidden=0)
    for name, parameter in model.named_parameters():
        if "modulation" not in name:
            nn.init.normal_(parameter, std=0.3)  # as pretraining would leave it
    slots, blocks, before = window(model)
    assert torch.equal(model.predict(slots, blocks, before).slots, model.predict_without_actions(slots).slots)
    shake(model)
    assert not torch.allclose(model.predict(slots, blocks, before).slots, model.predict_without_actions(slots).slots)


def test_action_layer_norm_is_layer_norm_at_the_start():
    norm, x, a = ActionAdaLN(8), torch.randn(5, 8), torch.randn(5, 8)
    assert torch.equal(norm(x, a), nn.functional.layer_norm(x, (8,)))
    assert torch.equal(norm(x, None), norm(x, a))


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_sees_itself_and_earlier_ones_only(kind):
    model = shake(model_of(**kind)).eval()
    slots, blocks, before = window(model)
    first = model.predict(slots, blocks, before).slots
    later = slots.clone()
    later[:, 2] += 1.0
    other = blocks.clone()
    other[:, 2] *= -1.0
    changed = model.predict(later, other, before).slots
    assert torch.allclose(first[:, :2], changed[:, :2], atol=1e-5)
    assert not torch.allclose(first[:, 2], changed[:, 2], atol=1e-3)


def test_each_block_leads_to_the_frame_after_it():
    model = shake(model_of(mechanism="none")).eval()
    slots, blocks, before = window(model, steps=2)
    other = blocks.clone()
    other[:, 1] = -blocks[:, 1]
    one, two = model.predict(slots, blocks, before), model.predict(slots, other, before)
    assert torch.allclose(one.slots[:, 0], two.slots[:, 0], atol=1e-6)
    assert not torch.allclose(one.slots[:, 1], two.slots[:, 1], atol=1e-3)
    assert torch.equal(one.steps[:, 0], two.steps[:, 0])


def test_a_closed_gate_keeps_a_slot_to_itself():
    config = MechConfig(**SMALL, slots=2, mechanism="lowrank", mechanism_width=4)
    torch.manual_seed(0)
    predictor = shake(MechPredictor(config)).eval()
    for block in predictor.blocks:
        nn.init.zeros_(block.gate.weight)
        nn.init.zeros_(block.gate.bias)
        block.gate.weight.data[:, 0] = 1.0
    slots, vectors = torch.randn(1, 1, 2, 16), torch.zeros(1, 1, 2, 2, 4)
    vectors[..., 0, 1, 0] = -1e4  # slot 0 does not listen to slot 1
    changed = slots.clone()
    changed[:, :, 1] = torch.randn(16)  # layer norm would not notice a constant
    one, two = predictor(slots, None, vectors), predictor(changed, None, vectors)
    assert torch.allclose(one[:, :, 0], two[:, :, 0], atol=1e-5)
    open_ = torch.zeros_like(vectors)
    assert not torch.allclose(predictor(slots, None, open_)[:, :, 0], predictor(changed, None, open_)[:, :, 0])


def outputs(model, slots, blocks, before, masked):
    """All that a prediction tells, with actions and without."""
    found, blind = model.predict(slots, blocks, before, masked), model.predict_without_actions(slots, masked)
    memory = found.mechanisms if found.mechanisms is not None else ()
    return [part for part in (found.slots, found.steps, *memory, blind.slots) if part is not None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slot", [0, 1])
def test_nothing_tells_of_what_a_hidden_slot_holds(kind, slot):
    model = shake(model_of(**kind)).eval()
    slots, blocks, before = window(model)
    slot %= model.config.slots
    masked = torch.zeros(slots.shape[:3], dtype=torch.bool)
    masked[:, 1, slot] = True
    changed = slots.clone()
    changed[:, 1, slot] = torch.randn(16)  # layer norm would not notice a constant
    with torch.no_grad():
        one, two = (outputs(model, given, blocks, before, masked) for given in (slots, changed))
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
        open_, other = (outputs(model, given, blocks, before, None) for given in (slots, changed))
    assert not torch.equal(open_[0], other[0])
    assert not torch.equal(open_[-1], other[-1])
    assert not torch.equal(open_[0][:, 1], one[0][:, 1])


def test_a_codebook_learns_the_kinds_of_pairs_that_there_are():
    config = MechConfig(**SMALL, slots=2, mechanism="vq", codes=8, mechanism_width=4)
    torch.manual_seed(0)
    memory = build_memory(config)
    kinds = torch.randn(3, 2, 16) * 3.0
    for _ in range(60):
        memory(kinds[torch.randint(3, (32,))] + 0.01 * torch.randn(32, 2, 16))
    memory.eval()
    with torch.no_grad():
        codes = [memory(kinds[k][None]).codes[0] for k in range(3)]
    assert len({int(code[0, 1]) for code in codes}) == 3
    assert perplexity(torch.stack(codes)) > 2.0


def test_perplexity_counts_entries_in_use():
    assert perplexity(torch.arange(64) % 8) == pytest.approx(8.0)
    assert perplexity(np.full((5, 2), 3)) == pytest.approx(1.0)


def test_the_unroll_s_agent_goes_as_the_true_one():
    """The few numbers that its path follows from are near the truth before any training."""
    unroll = PushUnroll(MechConfig(**SMALL, unroll_hidden=8, unroll_waves=8))
    state = torch.tensor([[-0.5, -0.5, 0.5, 0.5, 1.0, 0.0]])
    actions = torch.tensor([[[0.5, 0.0], [0.5, 0.2], [0.5, 0.2], [0.0, 0.2], [0.0, 0.0]]])
    with torch.no_grad():
        states, _ = unroll(state, torch.zeros(1, 2), actions)
    true = Simulator().run(torch.tensor([128.0, 128, 384, 384, 0, 0, 0]).numpy(), actions[0].numpy())
    assert states[0, :, :2] * 256 + 256 == pytest.approx(true[:, :2], abs=6.0)
    assert states[0, :, 2:] == pytest.approx(state[:, 2:].expand(5, -1))


def test_how_far_actions_reach_is_a_factor_of_them():
    """The first condition, of a simulator's laws, for the agent's path: in the unroll and in the simulator alike."""
    torch.manual_seed(0)
    unroll = PushUnroll(MechConfig(**SMALL, unroll_hidden=8, unroll_waves=8, laws=LAWS))
    torch.nn.init.normal_(unroll.motion.weight)
    state, before = torch.tensor([[-0.5, -0.5, 0.5, 0.5, 1.0, 0.0]]), torch.tensor([[0.2, -0.1]])
    actions = torch.rand(1, 5, 2) - 0.5
    physics = PushTPhysics(agent_gain=0.6)
    told = torch.from_numpy(tell_laws(physics))[None]
    with torch.no_grad():
        states, _ = unroll(state, before, actions, told)
        scaled, _ = unroll(state, 0.6 * before, 0.6 * actions)
    assert torch.allclose(states, scaled, atol=1e-6)
    start, played = np.array([128.0, 128, 384, 384, 0, 0, 0]), actions[0].double().numpy()
    assert Simulator(physics).run(start, played) == pytest.approx(Simulator().run(start, 0.6 * played), abs=1e-9)


def test_laws_are_not_told_in_vain():
    unroll = PushUnroll(MechConfig(**SMALL, unroll_hidden=8, unroll_waves=8))
    with pytest.raises(ValueError, match="knows no other laws"):
        unroll(torch.zeros(1, 6), torch.zeros(1, 2), torch.zeros(1, 5, 2), torch.zeros(1, LAWS))


def test_bar_and_stem_are_where_the_tee_has_them(rng):
    states = np.stack([draw_state(rng) for _ in range(5)])
    bar, stem = [[-60.0, 15.0], [60.0, 15.0]], [[0.0, 30.0], [0.0, 120.0]]
    wanted = np.stack([place(np.array(bar + stem), state[2:5]) for state in states])
    assert place_ends(torch.from_numpy(states)).numpy() * 256 + 256 == pytest.approx(wanted, abs=1e-3)


def test_heads_of_the_parts_read_their_own_slots():
    torch.manual_seed(0)
    model = MechJEPA(MechConfig(**SMALL | {"slots": 4}, bound=4))
    slots = torch.randn(2, 3, 4, model.config.width)
    ends, state = model.heads.ends(slots), model.heads(slots)
    assert ends.shape == (2, 3, 4, 2)
    for slot, same in ((0, slice(0, 4)), (1, slice(0, 4)), (2, slice(2, 4)), (3, slice(0, 2))):
        other = slots.clone()
        other[..., slot, :] += 1.0
        kept = (model.heads.ends(other) == ends).flatten(0, 1).all(dim=0).all(dim=-1)
        assert kept[same].all()
        assert kept.all() == (slot < 2)
        assert torch.equal(model.heads(other), state) == (slot > 1)


def test_states_survive_their_encoding(rng):
    states = torch.from_numpy(np.stack([draw_state(rng) for _ in range(20)]))
    again = decode_pusht_state(encode_pusht_state(states).numpy())
    assert again == pytest.approx(states[:, :5].numpy(), abs=1e-3)
    turned = encode_pusht_state(torch.tensor([[0.0, 0, 0, 0, math.pi / 2, 0, 0]]))
    assert turned[0, 4:].tolist() == pytest.approx([0.0, 1.0], abs=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mechanism": "magic"}, "unknown mechanism 'magic'"),
        ({"slots": 1, "mechanism": "vq"}, "at least 2 slots"),
        ({"heads": 3}, "must divide by the number of heads"),
        ({"frame_size": 30}, "must divide by 4"),
        ({"unroll_waves": 6}, "multiple of 4"),
        ({"slots": 0, "mechanism": "none"}, "slots must be at least 1"),
        ({"bound": 3}, "bound must be 2, or 4 with at least 4 slots, got 3"),
        ({"bound": 4, "slots": 3}, "got 4 with 3 slots"),
        ({"laws": 12, "unroll_hidden": 0}, "and unroll_hidden is 0"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        MechConfig(**{"width": 16, "heads": 2} | options)


def test_a_config_survives_json():
    config = MechConfig(**SMALL)
    assert MechConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="unknown model option 'colour'"):
        MechConfig.from_dict({"colour": 1})
