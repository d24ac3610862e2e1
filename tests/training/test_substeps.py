"""The unroll taught one substep at a time: the loss, what is learned, the batches and what presets refuse."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from pushjepa.data import Episodes, EpisodeStore
from pushjepa.data import substeps as data
from pushjepa.data.regimes import Episode, run_turns
from pushjepa.data.substeps import motors_alone
from pushjepa.nets import JEPA, ModelConfig, encode_state
from pushjepa.nets.unroll import Moving
from pushjepa.physics import LAWS, Board, Physics, tell_laws
from pushjepa.relay.stages import STAGES
from pushjepa.training.batches import SubstepBatches, Turns, build_phase_data
from pushjepa.training.modules import (
    PHASE_MODULES,
    GamePhase,
    LawsPhase,
    SubstepBatch,
    SubstepsPhase,
    TurnBatch,
    substep_loss,
)
from pushjepa.training.optimizer import build_optimizer
from pushjepa.training.presets import PHASES, LossWeights, PhaseConfig, parse_preset

PHASE = PhaseConfig("substeps", steps=40, batch=64, learning_rate=3e-3, eventful=0.5, validation=16)
SMALL = ModelConfig(
    frame_size=32,
    width=16,
    projector_hidden=32,
    layers=1,
    heads=2,
    head_width=8,
    mlp_hidden=32,
    head_hidden=32,
    unroll_hidden=32,
    unroll_layers=1,
    unroll_waves=12,
    unroll_feelers=6,
    laws=LAWS,
)
CLEAR = 0.02  # px that the loss is smooth within


@pytest.fixture
def model() -> JEPA:
    torch.manual_seed(0)
    return JEPA(SMALL)


@pytest.fixture(scope="module")
def few(store: EpisodeStore) -> Episodes:
    return store.episodes.take(slice(0, 24))


@pytest.fixture(scope="module")
def batches(few: Episodes) -> SubstepBatches:
    return SubstepBatches(few, PHASE, seed=1)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """What the phases log, without a trainer."""
    found: dict[str, float] = {}
    monkeypatch.setattr(GamePhase, "log", lambda _, name, value, **__: found.update({name: value.item()}))
    monkeypatch.setattr(GamePhase, "log_dict", lambda _, values, **__: found.update(values))
    yield found
    assert all(math.isfinite(value) for value in found.values())


def without_contact(batch: SubstepBatch, physics: Physics | None = None) -> torch.Tensor:
    """Which substeps (B,) are what the motors alone do, to 1e-4 px."""
    before, speeds, actions = (part.double().numpy() for part in (batch.before, batch.speeds_before, batch.actions))
    places, moves = motors_alone(before, speeds, actions, physics or Physics())
    off = np.abs(np.concatenate([places - batch.after.numpy(), moves - batch.speeds_after.numpy()], axis=1))
    off[:, 6] = np.abs(np.sin(off[:, 6] / 2))  # whole turns aside
    return torch.from_numpy(off.max(axis=1) < 1e-4)


def rows_of(batch: SubstepBatch, rows: torch.Tensor) -> SubstepBatch:
    return SubstepBatch(*(None if part is None else part[rows] for part in batch))


def rest(batch: SubstepBatch) -> Moving:
    """What ``batch`` comes to, imagined without an error."""
    after = encode_state(batch.after)
    speeds = (batch.speeds_after[:, :6] / 256.0).unflatten(-1, (3, 2))
    return Moving(after[:, :6].unflatten(-1, (3, 2)), after[:, 6:], speeds, batch.speeds_after[:, 6:])


def glide(physics: Physics, seed: int) -> Episode:
    """An episode of four turns in which p1 and p2 move in corners of their own, and touch nothing."""
    rng = np.random.default_rng(seed)
    block = 0.2 * rng.choice([-1.0, 1.0], (4, 5, 2))
    block[:, 1::2] = -block[:, 0:4:2]  # there and back
    start = np.array([150.0, 150.0, 362.0, 362.0, 420.0, 92.0, 0.3])
    states, blocks, actors = run_turns(Board((), physics), start, 0, 4, lambda turn, *_: block[turn])
    return Episode(states, blocks, actors, "open", "near_t", Physics())


# The loss.


def test_an_untrained_unroll_is_exact_where_nothing_touches(
    model: JEPA, batches: SubstepBatches, logged: dict[str, float]
) -> None:
    batch = batches[0]
    clear = without_contact(batch)
    assert 8 < int(clear.sum()) < 60
    phase = SubstepsPhase(model, PHASE, LossWeights(), seed=0)
    assert phase.training_step(rows_of(batch, clear), 0).item() == pytest.approx(0.0, abs=1e-4)
    assert phase.training_step(rows_of(batch, ~clear), 0).item() > 0.1
    assert logged["train_substeps"] > 0.1


def test_what_is_told_of_the_laws_is_obeyed_exactly_from_the_start(
    model: JEPA, logged: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Speed, force and damping have their exact place in the unroll: no law adapter has to learn them."""
    monkeypatch.setattr(data, "_QUIET", 1.1)
    physics = Physics(agent_speed=250.0, agent_force=3_000.0, damping=0.4)
    episodes = Episodes.of([glide(physics, 1)], tuple(STAGES))
    batch = SubstepBatches(episodes, PHASE, 1, [physics])[0]
    assert bool(without_contact(batch, physics).all())
    phase = LawsPhase(model, replace(PHASE, kind="laws", episodes=1), LossWeights(), seed=0)
    assert phase.training_step(batch, 0).item() == pytest.approx(0.0, abs=1e-4)
    assert phase.training_step(batch._replace(laws=None), 0).item() > 0.1


@pytest.mark.parametrize(
    ("part", "index", "off", "weight"),
    [
        # Places count alike; the speeds of actor, waiter and block count one, two and four times.
        ("bodies", 0, (3.0, 4.0), 1.0),
        ("bodies", 1, (0.0, -2.0), 1.0),
        ("bodies", 2, (3.0, 4.0), 1.0),
        ("speeds", 0, (3.0, 4.0), 1.0),
        ("speeds", 1, (-3.0, 4.0), 2.0),
        ("speeds", 2, (0.3, -0.4), 4.0),
    ],
)
def test_the_loss_is_the_distance_in_px_with_the_weight_of_who_is_off(
    batches: SubstepBatches, part: str, index: int, off: tuple[float, float], weight: float
) -> None:
    batch = rows_of(batches[0], torch.arange(8))
    now = rest(batch)
    assert substep_loss(now, batch).item() == pytest.approx(0.0, abs=1e-5)
    moved = getattr(now, part).clone()
    moved[0, index] += torch.tensor(off) / 256.0
    found = substep_loss(now._replace(**{part: moved}), batch).item()
    # One of eight is off.
    assert found == pytest.approx(weight * (math.hypot(*off, CLEAR) - CLEAR) / 8, rel=1e-3)


def test_spin_and_angle_are_judged_40_px_from_the_blocks_centre(batches: SubstepBatches) -> None:
    batch = rows_of(batches[0], torch.arange(4))
    now = rest(batch)
    spun = substep_loss(now._replace(spin=now.spin + 0.05), batch).item()
    assert spun == pytest.approx(4.0 * (math.hypot(2.0, CLEAR) - CLEAR), rel=1e-3)
    angle = torch.atan2(now.turn[:, 1], now.turn[:, 0]) + 0.1
    turned = substep_loss(now._replace(turn=torch.stack([angle.cos(), angle.sin()], dim=-1)), batch).item()
    assert turned == pytest.approx(math.hypot(80.0 * math.sin(0.05), CLEAR) - CLEAR, rel=1e-3)


def test_the_loss_is_quadratic_near_zero_and_straight_beyond(batches: SubstepBatches) -> None:
    batch = rows_of(batches[0], torch.arange(1))
    now = rest(batch)
    found = [
        substep_loss(now._replace(bodies=now.bodies + torch.tensor([px / 256.0, 0.0])), batch).item()
        for px in (0.002, 0.004, 10.0, 20.0)
    ]
    assert found[1] / found[0] == pytest.approx(4.0, rel=0.05)
    assert found[3] / found[2] == pytest.approx(2.0, rel=0.02)


# What is learned.


def learn(phase: SubstepsPhase, batches: SubstepBatches, steps: int) -> None:
    optimizer = build_optimizer(phase.model, phase.phase)
    for step in range(steps):
        optimizer.zero_grad()
        phase.training_step(batches[step], step).backward()
        torch.nn.utils.clip_grad_norm_(phase.model.parameters(), phase.phase.clip)
        optimizer.step()


def test_a_few_steps_lower_the_loss_on_what_was_not_yet_seen(
    model: JEPA, few: Episodes, logged: dict[str, float]
) -> None:
    phase = SubstepsPhase(model, replace(PHASE, batch=128, learning_rate=1e-2), LossWeights(), seed=0)
    kept = {name: value.clone() for name, value in model.state_dict().items() if not name.startswith("unroll.")}
    batches = SubstepBatches(few, phase.phase, seed=1)
    fresh = [batches[1000 + i] for i in range(4)]

    def loss() -> float:
        with torch.no_grad():
            return sum(phase.training_step(batch, 0).item() for batch in fresh) / len(fresh)

    before = loss()
    learn(phase, batches, 60)
    assert loss() < 0.9 * before
    assert all(torch.equal(model.state_dict()[name], value) for name, value in kept.items())


def test_the_laws_phase_changes_the_law_adapter_alone(model: JEPA, few: Episodes, logged: dict[str, float]) -> None:
    laws = [Physics(block_mass=3.0) if i % 2 else Physics(damping=0.5, block_scale=1.2) for i in range(len(few))]
    torch.nn.init.normal_(model.unroll.motion.weight, std=0.01)  # as if taught: what its layers see has consequences
    config = replace(PHASE, kind="laws", episodes=24, weight_decay=0.1)
    phase = LawsPhase(model, config, LossWeights(), seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learn(phase, SubstepBatches(few, config, 1, laws), 3)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {"unroll.laws.film.weight", "unroll.laws.out.weight", "unroll.laws.bend.weight"} <= changed
    assert all(name.startswith("unroll.laws.") for name in changed)


def test_under_the_standard_laws_the_taught_adapter_says_nothing(
    model: JEPA, few: Episodes, batches: SubstepBatches, logged: dict[str, float]
) -> None:
    phase = LawsPhase(model, replace(PHASE, kind="laws", episodes=24), LossWeights(), seed=0)
    before = phase.training_step(batches[0], 0).item()
    learn(phase, SubstepBatches(few, phase.phase, 1, [Physics(block_mass=3.0)] * len(few)), 3)
    usual = batches[0]._replace(laws=torch.zeros(PHASE.batch, LAWS))
    assert phase.training_step(usual, 0).item() == pytest.approx(before, abs=1e-4)


# Whole turns, by which they are validated.


def test_a_lone_agents_turn_is_imagined_as_the_simulator_plays_it(model: JEPA, logged: dict[str, float]) -> None:
    episodes = Episodes.of([glide(Physics(), seed) for seed in (1, 2, 3)], tuple(STAGES))
    batch = Turns(episodes, PhaseConfig("turns", steps=4, batch=16, learning_rate=1e-3, blur=0.0), seed=1)[0]
    phase = SubstepsPhase(model, PHASE, LossWeights(), seed=0)
    with torch.no_grad():
        imagined = phase.imagine(batch, None)
    assert imagined.shape == (16, 5, 8)
    torch.testing.assert_close(imagined, encode_state(batch.steps), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["substeps", "laws"])
def test_it_is_validated_on_whole_turns(kind: str, model: JEPA, few: Episodes, logged: dict[str, float]) -> None:
    told = np.stack([tell_laws(Physics(agent_speed=300.0))] * len(few)) if kind == "laws" else None
    config = replace(PHASE, kind=kind, episodes=24, moved=0.5 if kind == "laws" else 0.0)
    phase = PHASE_MODULES[kind](model, config, LossWeights(), seed=0)
    turns = Turns(few, config, 2, told)
    with torch.no_grad():
        for number in range(2):
            phase.validation_step(turns[number], number)
    phase.on_validation_epoch_end()
    assert logged["val_state"] > 0.0
    assert any(name.startswith("turn_" if kind == "substeps" else "told_") for name in logged)


# Batches.


def same(one: SubstepBatch, other: SubstepBatch) -> bool:
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a is not None or b is not None]
    return all(a is not None and b is not None and torch.equal(a, b) for a, b in pairs)


def test_a_batch_depends_on_the_seed_and_its_number_alone(few: Episodes, batches: SubstepBatches) -> None:
    again, other = (SubstepBatches(few, PHASE, seed) for seed in (1, 2))
    assert same(batches[5], again[5])
    assert same(batches[5], batches[5])
    assert not torch.equal(batches[5].before, batches[6].before)
    assert not torch.equal(batches[5].before, other[5].before)


def test_a_batch_has_the_share_of_eventful_substeps_that_was_asked_for(few: Episodes) -> None:
    shares = []
    for eventful in (0.0, 0.5, 1.0):
        batch = SubstepBatches(few, replace(PHASE, batch=1000, eventful=eventful), seed=1)[0]
        shares.append(1.0 - without_contact(batch).float().mean().item())
    assert shares[2] == 1.0
    assert shares[1] == pytest.approx((shares[0] + 1.0) / 2, abs=0.06)
    assert shares[0] < 0.8


def test_stages_have_the_games_own_numbers(store: EpisodeStore) -> None:
    gate = store.episodes.stages.index("gate")
    some = store.episodes.take(np.flatnonzero(store.episodes.stage == gate)[:6])
    only = replace(some, stages=("gate",), stage=np.zeros(len(some), dtype=np.int64))
    batch = SubstepBatches(only, PHASE, seed=1)[0]
    assert batch.stage.tolist() == [list(STAGES).index("gate")] * PHASE.batch
    assert batch.laws is None
    assert [part.dtype for part in batch[:5]] == [torch.float32] * 5
    assert 0 <= int(batch.beat.min()) < int(batch.beat.max()) < 5


def test_the_laws_that_are_told_are_those_of_the_turns_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_QUIET", 1.1)  # nothing much happens in any of them
    laws = [Physics(), Physics(agent_speed=250.0), Physics(agent_force=2_500.0), Physics(damping=0.6)]
    episodes = Episodes.of([glide(physics, i) for i, physics in enumerate(laws)], tuple(STAGES))
    batch = SubstepBatches(episodes, replace(PHASE, batch=200), 1, laws)[0]
    assert batch.laws is not None
    told = [torch.from_numpy(tell_laws(physics)) for physics in laws]
    for physics, numbers in zip(laws, told, strict=True):
        rows = (batch.laws == numbers).all(dim=1)
        assert 25 < int(rows.sum()) < 80
        assert bool(without_contact(rows_of(batch, rows), physics).all())
    for physics in laws[1:3]:  # under whose laws an agent that starts starts otherwise
        assert not bool(without_contact(batch, physics).all())


def test_phases_are_built_with_substeps_to_learn_from_and_turns_to_be_judged_by(
    model: JEPA, store: EpisodeStore
) -> None:
    for kind, played in (("substeps", 24), ("laws", 8)):
        phase = replace(PHASE, kind=kind, episodes=played)
        built = build_phase_data(model, phase, [store], seed=4, workers=0, device=torch.device("cpu"))
        training, validation = built._training[0], built._validation[0]
        assert isinstance(training, SubstepBatch)
        assert isinstance(validation, TurnBatch)
        assert (training.laws is None) is (validation.laws is None) is (kind == "substeps")
        if training.laws is not None:
            assert training.laws.shape == (PHASE.batch, LAWS)
            assert 1 < len(training.laws.unique(dim=0)) <= played


# Presets.

ANY = "[[phase]]\nkind = '{}'\nsteps = 1\nbatch = 1\nlearning_rate = 1\n"
UNROLL = f"[model]\nunroll_hidden = 8\nlaws = {LAWS}\n"
PUSHT = "task = 'pusht'\n"


@pytest.mark.parametrize("kind", sorted(set(PHASES) - {"substeps", "laws"}))
def test_eventful_is_for_phases_of_substeps_only(kind: str) -> None:
    with pytest.raises(ValueError, match=f"^phase {kind}: eventful is for substeps and laws only$"):
        parse_preset("mine", UNROLL + ANY.format(kind) + "eventful = 0.5")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PUSHT + ANY.format("substeps"), "preset mine: the phase substeps is for the game only"),
        (
            PUSHT + "[model]\nlaws = 12\n" + ANY.format("laws") + "branches = 2\neventful = 0.5",
            "preset mine: blocked, jostled and eventful are for the game only",
        ),
        ("task = 'peer'\n" + ANY.format("substeps"), "the peer has phases joint and latents, not substeps"),
        (ANY.format("substeps"), "substeps and turns train the step unroll, and unroll_hidden is 0"),
        (UNROLL + ANY.format("substeps") + "eventful = 1.1", "eventful is a share, 1.1 is too much"),
        (UNROLL + ANY.format("substeps") + "eventful = -0.1", "eventful must not be negative, got -0.1"),
        (UNROLL + ANY.format("substeps") + "moved = 0.5", "phase substeps: moved means nothing to it"),
        (UNROLL + ANY.format("substeps") + "sigreg = 0.1", "so sigreg and frozen_norm mean nothing"),
        (UNROLL + ANY.format("substeps") + "flip = true", "flip is for turns and prior and laws only"),
        (UNROLL + ANY.format("substeps") + "rollout = 2", "rollout is for joint and latents only"),
        (UNROLL + ANY.format("substeps") + "played = 0.5", "played is for scenes and glimpses and looks only"),
    ],
)
def test_what_substeps_do_not_heed_is_refused_with_one_clear_line(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_preset("mine", text)
    assert "\n" not in str(caught.value)


def test_a_preset_may_ask_for_eventful_substeps() -> None:
    text = UNROLL + ANY.format("substeps") + "eventful = 0.7\n" + ANY.format("laws") + "episodes = 2\neventful = 1"
    assert [phase.eventful for phase in parse_preset("mine", text).phases] == [0.7, 1]
