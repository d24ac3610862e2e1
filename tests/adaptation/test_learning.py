"""Gradient steps on a few weights: only on those, only if they help, and every one of them can be undone."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed")

from safetensors.torch import save_file

from pushjepa.adaptation import Transition, learning
from pushjepa.adaptation.learning import SETS, Delta, WeightLearner, copy_of, net_of, tensors_of, with_net
from pushjepa.nets import JEPA, ModelConfig
from pushjepa.nets.mech import MechJEPA
from pushjepa.nets.mech_config import MechConfig
from pushjepa.pusht.model import PushTModel
from pushjepa.relay.contract import joint_block
from pushjepa.runtime.checkpoint import WEIGHTS, spec_of
from pushjepa.runtime.contract import Context
from pushjepa.runtime.torch_backend import TorchBackend

LAWS = 8  # as many as the game's; some have their exact place in its unroll
GAME = ModelConfig(
    layers=2,
    heads=2,
    head_width=8,
    mlp_hidden=32,
    width=16,
    projector_hidden=32,
    head_hidden=16,
    unroll_hidden=32,
    unroll_layers=2,
    unroll_waves=6,
    unroll_feelers=2,
    laws=LAWS,
)
PUSHT = MechConfig(
    frame_size=32,
    width=16,
    points=3,
    layers=2,
    heads=2,
    mlp_hidden=32,
    head_hidden=16,
    codes=8,
    mechanism_width=4,
    unroll_hidden=16,
    unroll_waves=8,
    laws=LAWS,
)
ONE_SLOT = replace(PUSHT, slots=1, mechanism="none")
LOWRANK = replace(PUSHT, mechanism="lowrank")
SHIFT = np.array([0.3, -0.2, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
OTHER, NONE = SHIFT, np.zeros(LAWS)


def shaken(net, spread=0.03):
    """Away from where much is zero."""
    chance = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += spread * torch.randn(parameter.shape, generator=chance)
    return net


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """A small model of a kind; each time another one with the same weights."""

    def make(kind):
        torch.manual_seed(0)
        if kind != "game":
            return PushTModel(shaken(MechJEPA({"slots": PUSHT, "one slot": ONE_SLOT, "lowrank": LOWRANK}[kind])))
        folder = tmp_path_factory.mktemp("game")
        save_file(shaken(JEPA(GAME)).state_dict(), folder / WEIGHTS)
        return TorchBackend(folder, spec_of({"model": GAME.to_dict()}), "tiny", GAME.to_dict())

    return make


SOME = [
    *(("game", name) for name in SETS if name != "codebook"),
    *(("slots", name) for name in SETS if name != "head"),
    ("one slot", "head"),
    ("lowrank", "codebook"),
]


def tensors(model):
    net = net_of(model)
    return dict(itertools.chain(net.named_parameters(), net.named_buffers()))


def bits(model):
    return {name: tensor.detach().numpy().tobytes() for name, tensor in tensors(model).items()}


def teacher_of(model, weights, spread=0.02):
    """The same model with other numbers in a set of weights: what there is to be learned."""
    names = tensors_of(net_of(model), weights)
    other, chance = with_net(model, copy_of(net_of(model), names)), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name in names:
            part = tensors(other)[name]
            part += spread * torch.randn(part.shape, generator=chance)
    return other


def transitions(model, count, laws=OTHER, seed=0):
    """What ``model`` has happen under some laws, from latents at random."""
    s, rng, found = model.spec, np.random.default_rng(seed), []
    told = laws.astype(np.float32) if laws.any() else None
    for index in range(count):
        actor = index % s.agents
        latents = rng.standard_normal((s.history, s.tokens, s.width)).astype(np.float32)
        blocks = rng.uniform(-1, 1, (s.history, s.frameskip, s.agents, 2)).astype(np.float32)
        if s.agents == 2:
            blocks[-1] = joint_block(blocks[-1, :, 0], actor)
        context = Context(latents, blocks[:-1], np.array([-1, 0]))
        after = model.rollout(context, blocks[None, -1:], np.array([actor]), told)[0, 0]
        parts = (part[None] for part in (latents[-1], blocks[-2], blocks[-1], np.array(actor), laws))
        seen = model.foresee(*parts)[0]
        found.append(Transition(latents[-1], blocks[-2], blocks[-1], actor, seen, context, after))
    return found


def taught(model, weights, laws=OTHER):
    """Eight transitions of a teacher; those that are held back are like those before, so that to learn is to pass."""
    return 4 * transitions(teacher_of(model, weights), 2, laws)


def learn(model, weights, seen, laws=OTHER, seconds=60.0, **options):
    rate = 5e-4 if weights in learning._LATENTS else 5e-5
    return WeightLearner(weights, **{"steps": 6, "rate": rate, **options}).learn(model, seen, laws, seconds)


@pytest.mark.parametrize(("kind", "weights"), SOME)
def test_what_is_learned_is_what_the_model_itself_would_foresee(make, kind, weights):
    """The error is that of ``foresee`` or of a rollout, under the laws that are told: of the model's own it is none."""
    model = make(kind)
    net, whole = net_of(model), weights in learning._LATENTS
    for laws in (OTHER, NONE):
        batch = learning._Batch.of(transitions(model, 5, laws), laws, whole, torch.device("cpu"))
        assert float(learning._error(net, batch).detach()) == pytest.approx(0.0, abs=1e-5)
        shifted = learning._Batch.of(transitions(model, 5, laws), laws + 0.3, whole, torch.device("cpu"))
        assert float(learning._error(net, shifted).detach()) > 1e-4


@pytest.mark.parametrize(("kind", "weights"), SOME)
def test_a_set_of_weights_is_learned_and_nothing_else(make, kind, weights):
    model = make(kind)
    before = bits(model)
    found = learn(model, weights, taught(model, weights))
    assert found is not None, "what the teacher does can be learned"
    learned, steps = found
    assert steps == 6
    assert type(learned) is type(model)
    own, old, new = tensors_of(net_of(model), weights), tensors(model), tensors(learned)
    changed = {name for name in new if not torch.equal(new[name], old[name])}
    assert changed
    assert changed <= set(own)
    # Of each part of the set something is changed; all else is not even copied.
    assert {name.split(".")[0] for name in changed} == {name.split(".")[0] for name in own}
    assert all(new[name] is old[name] for name in new if name not in own)
    assert bits(model) == before
    assert all(tensor.grad is None for tensor in itertools.chain(old.values(), new.values()))
    assert {n: t.requires_grad for n, t in new.items()} == {n: t.requires_grad for n, t in old.items()}


@pytest.mark.parametrize(("kind", "weights"), [("game", "unroll-last"), ("slots", "codebook")])
def test_what_is_held_back_is_foreseen_better(make, kind, weights):
    model = make(kind)
    seen = taught(model, weights)
    learned, _ = learn(model, weights, seen)
    batch = learning._Batch.of(seen[-2:], OTHER, weights in learning._LATENTS, torch.device("cpu"))
    before, after = (float(learning._error(net_of(m), batch).detach()) for m in (model, learned))
    assert after < before


@pytest.mark.parametrize(("kind", "weights"), SOME)
def test_steps_that_hurt_what_is_held_back_are_refused(make, kind, weights):
    model = make(kind)
    seen = taught(model, weights)
    seen[-2:] = transitions(model, 2)  # these the model foresees as well as can be
    before = bits(model)
    assert learn(model, weights, seen) is None
    assert bits(model) == before


@pytest.mark.parametrize("options", [{"steps": 0}, {"rate": 0.0}, {"seconds": 0.0}, {"seconds": -1.0}], ids=str)
def test_nothing_is_learned_without_steps_rate_or_time(make, options):
    model = make("slots")
    before = bits(model)
    assert learn(model, "unroll-last", taught(model, "unroll-last"), **options) is None
    assert bits(model) == before


def test_steps_of_no_size_leave_every_bit(make):
    model = make("game")
    names = tensors_of(net_of(model), "unroll-last")
    net = copy_of(net_of(model), names)
    seen = taught(model, "unroll-last")
    task = learning._Task.of(net, False, seen, OTHER, [])
    own = tensors(with_net(model, net))
    assert WeightLearner(rate=0.0)._descend(task, [own[name] for name in names], 0.0, float("inf")) == 8
    assert bits(with_net(model, net)) == bits(model)


def test_no_step_is_begun_after_the_time_is_up(make, monkeypatch):
    model, clock = make("slots"), itertools.count()
    seen = taught(model, "unroll-last")
    monkeypatch.setattr(learning.time, "perf_counter", lambda: float(next(clock)))
    _, steps = learn(model, "unroll-last", seen, seconds=3.5, steps=50)
    assert steps == 3


def test_the_same_transitions_teach_the_same(make):
    model = make("slots")
    seen, stored = taught(model, "unroll-last"), transitions(model, 66, NONE, seed=3)
    one, other = (bits(learn(model, "unroll-last", seen, stored=stored)[0]) for _ in range(2))
    assert one == other
    assert bits(learn(model, "unroll-last", seen, stored=stored, seed=1)[0]) != one


def test_stored_transitions_have_an_equal_share_however_many(make):
    model = make("slots")
    seen, stored = taught(model, "unroll-last"), transitions(model, 4, NONE, seed=3)
    alone, few, many = (learn(model, "unroll-last", seen, stored=some)[0] for some in ([], stored, [*stored] * 10))
    for name in tensors_of(net_of(model), "unroll-last"):
        torch.testing.assert_close(tensors(few)[name], tensors(many)[name], atol=1e-5, rtol=0)
    assert bits(alone) != bits(few)


def test_what_a_step_makes_smaller_is_half_recent_half_stored(make):
    model, cpu = make("slots"), torch.device("cpu")
    seen, stored = taught(model, "unroll-last"), taught(model, "unroll-last", NONE)[:2]
    found = learning._Task.of(net_of(model), False, seen, OTHER, stored).error()
    parts = [
        learning._error(net_of(model), learning._Batch.of(some, laws, False, cpu))
        for some, laws in ((seen[:-2], OTHER), (stored, NONE))
    ]
    assert float(found.detach()) == pytest.approx(float(sum(parts).detach()) / 2)
    assert min(float(part.detach()) for part in parts) > 1.0


def test_stored_transitions_are_of_the_standard_laws(make):
    """They keep what the model does in its own world: it forgets less of it with them."""
    model = make("slots")
    seen = taught(model, "unroll-last")
    stored, fresh = transitions(model, 24, NONE, seed=3), transitions(model, 12, NONE, seed=4)
    batch = learning._Batch.of(fresh, NONE, False, torch.device("cpu"))
    forgotten = [
        float(
            learning._error(net_of(learn(model, "unroll-last", seen, stored=s, steps=20, rate=1e-4)[0]), batch).detach()
        )
        for s in ([], stored)
    ]
    assert forgotten[1] < 0.9 * forgotten[0]


def test_a_single_transition_is_judged_by_stored_ones(make):
    model = make("slots")
    teacher = teacher_of(model, "unroll-last")
    one, alike = transitions(teacher, 1), 8 * transitions(teacher, 2, NONE)
    assert learn(model, "unroll-last", one) is None
    assert learn(model, "unroll-last", [], stored=alike) is None
    assert learn(model, "unroll-last", one, stored=alike, steps=20) is not None
    own = transitions(model, 16, NONE, seed=3)
    assert learn(model, "unroll-last", one, stored=own, steps=20) is None


def test_under_the_standard_laws_there_is_nothing_of_laws_to_learn(make):
    model = make("game")
    assert learn(model, "laws", taught(model, "unroll-last", NONE), NONE) is None


def test_a_mind_can_learn_with_it(make, toys):
    from pushjepa.adaptation import LawSpace, Moment, Options, Seen, SystemM, live

    model = make("slots")
    teacher = teacher_of(model, "predictor-last", 0.2)
    seen = 6 * transitions(teacher, 2, NONE)
    moments = [Moment(one.context, one.block, 0) for one in seen]
    after = iter(seen)
    mind = SystemM(
        model,
        toys.usual,
        LawSpace(-np.ones(LAWS), np.ones(LAWS), 0),
        Options(gain=1e9, seconds=60.0, steps=1),
        WeightLearner("predictor-last", rate=1e-2, steps=20),
    )
    events = live(mind, moments, lambda _: Seen(next(after).after))
    assert "learn" in [event.act for event in events]
    assert max(event.steps for event in events) == 20
    mind.restore()
    assert mind.model is model


@pytest.mark.parametrize("weights", ["unrol-last", "", "encoder"])
def test_unknown_weights_are_one_line(make, weights):
    with pytest.raises(ValueError, match="choose one of unroll-last, laws, codebook, predictor-first"):
        WeightLearner(weights)
    with pytest.raises(ValueError, match=r"unknown weights .* choose one of unroll-last, laws"):
        tensors_of(net_of(make("game")), weights)


@pytest.mark.parametrize(
    ("kind", "weights", "choices"),
    [
        ("game", "codebook", "unroll-last, laws, predictor-first, predictor-last, head$"),
        ("slots", "head", "unroll-last, laws, codebook, predictor-first, predictor-last$"),
        ("one slot", "codebook", "unroll-last, laws, predictor-first, predictor-last, head$"),
    ],
)
def test_weights_that_a_model_lacks_are_one_line(make, kind, weights, choices):
    model = make(kind)
    with pytest.raises(ValueError, match=f"this model has no weights called '{weights}'; choose one of {choices}"):
        learn(model, weights, transitions(model, 4))


def test_a_model_without_an_unroll_has_its_predictor_to_learn():
    net = MechJEPA(replace(ONE_SLOT, unroll_hidden=0, laws=0))
    with pytest.raises(ValueError, match=r"choose one of predictor-first, predictor-last$"):
        tensors_of(net, "head")


def test_a_model_that_does_not_run_on_torch_is_refused(toys):
    with pytest.raises(ValueError, match="runs on torch"):
        learn(toys.Toy(), "unroll-last", toys.transitions(NONE, 3))


def test_the_predictor_needs_to_know_the_past(make):
    model = make("slots")
    bare = [replace(one, context=None) for one in transitions(model, 4)]
    with pytest.raises(ValueError, match="context"):
        learn(model, "predictor-last", bare)


@pytest.mark.parametrize("options", [{"steps": -1}, {"rate": -1e-3}])
def test_a_learner_s_numbers_are_checked(options):
    with pytest.raises(ValueError, match="must not be negative"):
        WeightLearner(**options)


@pytest.mark.parametrize(("kind", "weights"), [("game", "unroll-last"), ("slots", "codebook"), ("game", "head")])
def test_a_difference_of_weights_goes_to_disk_and_back(make, tmp_path, kind, weights):
    model = make(kind)
    learned = teacher_of(model, weights)
    delta = Delta.between(model, learned, "abc")
    assert set(delta.tensors) <= set(tensors_of(net_of(model), weights))
    delta.save(tmp_path / "delta.safetensors")
    read = Delta.load(tmp_path / "delta.safetensors")
    assert (read.base, read.before, read.after) == ("abc", delta.before, delta.after)
    again = read.apply(make(kind), "abc")
    assert bits(again) == bits(learned)
    assert bits(read.undo(again)) == bits(model)
    assert bits(again) == bits(learned), "undoing leaves the model that is given alone"


def test_the_oddest_numbers_come_back(make):
    model = make("slots")
    name = "predictor.norm.weight"
    other = with_net(model, copy_of(net_of(model), [name]))
    odd = torch.tensor([-0.0, 0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, float("inf"), 1 / 3])
    with torch.no_grad():
        tensors(model)[name][:8] = odd
        tensors(other)[name][:8] = odd.flip(0)
    delta = Delta.between(model, other, "abc")
    assert list(delta.tensors) == [name]
    assert bits(delta.apply(model, "abc")) == bits(other)
    assert bits(delta.undo(other)) == bits(model)


def test_nothing_learned_is_no_difference(make):
    delta = Delta.between(make("slots"), make("slots"), "abc")
    assert delta.tensors == {}
    model = make("slots")
    assert bits(delta.apply(model, "abc")) == bits(model)


def test_a_difference_fits_its_own_model_only(make):
    model = make("slots")
    other = teacher_of(model, "predictor-last")
    delta = Delta.between(model, other, "abc")
    with pytest.raises(ValueError, match="belong to the model abc, not to xyz"):
        delta.apply(model, "xyz")
    for wrong in (other, make("one slot"), make("game"), teacher_of(model, "predictor-last", 0.5)):
        with pytest.raises(ValueError, match="are not those"):
            delta.apply(wrong, "abc")
    with pytest.raises(ValueError, match="are not those"):
        delta.undo(model)
    with pytest.raises(ValueError, match="different sizes"):
        Delta.between(model, make("one slot"), "abc")


def test_a_file_that_is_no_difference_is_one_line(make, tmp_path):
    with pytest.raises(ValueError, match="is missing"):
        Delta.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no")
    with pytest.raises(ValueError, match="holds no difference of weights"):
        Delta.load(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="holds no difference of weights"):
        Delta.load(tmp_path / "weights.safetensors")
    about = {"base": "a", "before": "b", "after": "c"}
    save_file({"a": torch.zeros(2)}, tmp_path / "floats.safetensors", about)
    with pytest.raises(ValueError, match="whole numbers"):
        Delta.load(tmp_path / "floats.safetensors")
