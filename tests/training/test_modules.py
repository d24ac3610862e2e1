"""Losses with known answers, and who is trained by which optimiser."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from pushjepa.data import MOVED, EpisodeStore
from pushjepa.data.store import Episodes
from pushjepa.data.substeps import motors_alone
from pushjepa.nets import JEPA, ModelConfig, encode_state
from pushjepa.nets.unroll import Moving
from pushjepa.physics import Physics
from pushjepa.physics.constants import SUBSTEPS
from pushjepa.training.batches import Batches, FrameWindows, LatentWindows, Turns, encode_episodes
from pushjepa.training.modules import (
    SMOOTH,
    JointPhase,
    LatentsPhase,
    Phase,
    SceneBatch,
    ScenesPhase,
    SubstepBatch,
    SubstepsPhase,
    TurnsPhase,
    WindowBatch,
    distance_loss,
    match_loss,
    substep_loss,
)
from pushjepa.training.presets import LossWeights, PhaseConfig, Preset
from pushjepa.training.pusht_modules import PUSHT_MODULES
from pushjepa.training.recipe import compiled

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


def some_substeps(count: int = 6) -> SubstepBatch:
    """Substeps in which motors alone drive an actor that goes already."""
    g = torch.Generator().manual_seed(3)
    before = torch.cat([60 + 390 * torch.rand(count, 6, generator=g), torch.rand(count, 1, generator=g)], dim=1)
    speeds = torch.zeros(count, 7)
    speeds[:, :2] = 4.0 * torch.rand(count, 2, generator=g) - 2.0
    actions = 2.0 * torch.rand(count, 2, generator=g) - 1.0
    after, left = motors_alone(before.double().numpy(), speeds.double().numpy(), actions.double().numpy(), Physics())
    beat, stage = torch.arange(count) % SUBSTEPS, torch.zeros(count, dtype=torch.long)
    ended = (torch.from_numpy(part).float() for part in (after, left))
    return SubstepBatch(before, speeds, *ended, actions, beat, stage)


def as_it_was(batch: SubstepBatch) -> Moving:
    """What a substep led to, as an unroll would say it."""
    after = encode_state(batch.after)
    speeds = (batch.speeds_after[:, :6] / 256.0).unflatten(-1, (3, 2))
    return Moving(after[:, :6].unflatten(-1, (3, 2)), after[:, 6:], speeds, batch.speeds_after[:, 6:])


def test_the_substep_loss_is_in_px_of_places_and_weighed_speeds() -> None:
    batch = some_substeps()
    right = as_it_was(batch)
    assert substep_loss(right, batch).item() == pytest.approx(0.0, abs=1e-3)
    smooth = 0.02  # px: what is lost of a distance that is far from none
    for name, index, px, weight in (
        ("bodies", 0, 10.0, 1.0),
        ("bodies", 2, 10.0, 1.0),
        ("speeds", 0, 10.0, 1.0),
        ("speeds", 1, 10.0, 2.0),
        ("speeds", 2, 10.0, 4.0),
    ):
        wrong = getattr(right, name).clone()
        wrong[:, index] += torch.tensor([0.6, 0.8]) * px / 256.0
        lost = substep_loss(right._replace(**{name: wrong}), batch).item()
        assert lost == pytest.approx(weight * px, abs=weight * smooth)
    spun = substep_loss(right._replace(spin=right.spin + 0.25), batch).item()
    assert spun == pytest.approx(4.0 * 10.0, abs=4.0 * smooth)  # at 40 px from the block's centre


def test_substeps_are_taught_from_where_the_game_was(tiny: Preset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where motors explain all, an unroll that has learned nothing is right already; and it learns what is not."""
    torch.manual_seed(0)
    model = JEPA(tiny.model)
    module = SubstepsPhase(model, replace(PHASE, kind="substeps"), LossWeights(), seed=0)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    batch = some_substeps()
    assert module.training_step(batch, 0).item() == pytest.approx(0.0, abs=0.01)
    pushed = batch._replace(after=batch.after + 5.0, speeds_after=batch.speeds_after + 1.0)
    module.training_step(pushed, 0).backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained
    assert all(name.startswith("unroll.motion.") for name in trained), "all else is told of it once that is not zero"


def test_whole_turns_are_imagined_for_each_of_a_batch(tiny: Preset, store: EpisodeStore) -> None:
    torch.manual_seed(0)
    model = JEPA(tiny.model)
    batch = Turns(store.episodes, replace(PHASE, kind="turns", blur=0.0), seed=1)[0]
    phase = TurnsPhase(model, replace(PHASE, kind="turns"), LossWeights(), seed=0)
    imagined = phase.imagine(batch, None)
    assert imagined.shape == (16, 5, 8)
    assert model.unroll is not None
    scene = nn.functional.one_hot(batch.stage, 8).float()
    wanted = model.unroll(encode_state(batch.seen), scene, batch.blocks, batch.actors)
    assert torch.equal(imagined, wanted)


def test_a_frozen_unroll_rests_while_the_rest_learns_to_read_it(tiny: Preset) -> None:
    phase = PhaseConfig("latents", steps=4, batch=4, learning_rate=1e-3, frozen_unroll=True)
    module = LatentsPhase(JEPA(tiny.model), phase, LossWeights(), seed=0)
    trained = {name for name, p in module.model.named_parameters() if p.requires_grad}
    assert not any(name.startswith("unroll.") for name in trained)
    assert {"lift.out.weight", "anchor.weight", "predictor.out.weight"} <= trained


def test_what_a_frozen_unroll_imagines_is_to_be_read_as_it_is(tiny: Preset, store: EpisodeStore) -> None:
    """Half a board off in x everywhere costs a tenth of half a board, at the right turn; right costs nothing."""
    torch.manual_seed(0)
    model = JEPA(tiny.model).eval()
    phase = PhaseConfig("latents", steps=4, batch=4, learning_rate=1e-3, frozen_unroll=True)
    latents = encode_episodes(model, store.episodes, torch.device("cpu"))
    batch = LatentWindows(store.episodes, latents, 3, phase, seed=1)[0]
    read = {}

    class Telling(nn.Module):
        """A head that says of the predictions what it is told to, and of anything else nothing."""

        def forward(self, asked: torch.Tensor) -> torch.Tensor:
            return read["says"] if asked is read["predicted"] else torch.zeros(*asked.shape[:-1], 8)

    module = LatentsPhase(model, phase, LossWeights(), seed=0)
    predicted, imagined = module.predict(batch.items[:, :3], batch)
    assert imagined is not None
    read["predicted"] = predicted
    module.predict = lambda *_: (predicted, imagined)  # type: ignore[method-assign]
    model.head = Telling()  # type: ignore[assignment]
    read["says"] = imagined[:, :, -1]
    assert module.losses(batch)[0]["read"].item() == pytest.approx(0.0, abs=1e-6)
    read["says"] = imagined[:, :, -1] + torch.tensor([0.5, 0.0] * 4)
    assert module.losses(batch)[0]["read"].item() == pytest.approx(0.05, abs=1e-3)
    learning = LatentsPhase(model, replace(phase, frozen_unroll=False), LossWeights(), seed=0)
    learning.predict = lambda *_: (predicted, imagined)  # type: ignore[method-assign]
    assert "read" not in learning.losses(batch)[0], "of an unroll that learns more is wanted than to be read"


def test_frozen_norms_keep_their_statistics_and_the_others_do_not(tiny: Preset) -> None:
    for frozen in (True, False):
        phase = JointPhase(JEPA(tiny.model), replace(PHASE, frozen_norm=frozen), LossWeights(), seed=0)
        phase.train()
        phase.on_train_epoch_start()
        norms = [m for m in phase.model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        assert norms
        assert all(norm.training is not frozen for norm in norms)
        assert phase.model.head.training


def test_a_frozen_encoder_rests_while_the_heads_learn_to_read_it(tiny: Preset) -> None:
    torch.manual_seed(0)
    model, size = JEPA(tiny.model), tiny.model.frame_size
    config = replace(PHASE, kind="scenes", frozen_encoder=True, learning_rate=1e-2)
    phase = ScenesPhase(model, config, LossWeights(state=0.0), seed=0)  # as where no state was shown before
    phase.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    frames = torch.randint(0, 256, (8, size, size, 3), dtype=torch.uint8)
    batch = SceneBatch(frames, torch.rand(8, 7) * 512, torch.zeros(8, dtype=torch.long))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    phase.train()
    phase.on_train_epoch_start()
    phase.training_step(batch, 0).backward()
    optimizer.step()
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head", "scene"}


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


class Recording(nn.Module):
    """A world in which a latent is the number of its turn: what follows is one more. It keeps what it was asked."""

    def __init__(self, tiny: Preset) -> None:
        super().__init__()
        self.config, self.unroll, self.encoder, self.projector = tiny.model, None, nn.Identity(), nn.Identity()
        self.asked: list[tuple[list[float], list[float], list[int]]] = []

    def predict_steps(self, latents: torch.Tensor, blocks: torch.Tensor, actors: torch.Tensor):
        self.asked.append((latents[0, :, 0].tolist(), blocks[0, :, 0, 0, 0].tolist(), actors[0].tolist()))
        return latents + 1, None


def test_a_rollout_goes_on_from_its_own_prediction_with_the_block_that_follows(tiny: Preset) -> None:
    """Block i leads from boundary i to i + 1: of a window of 3 + 3 boundaries the blocks are numbers 0 ... 4."""
    model = Recording(tiny)
    phase = JointPhase(model, replace(PHASE, rollout=3), LossWeights(), seed=0)
    blocks = torch.arange(5.0).reshape(1, 5, 1, 1, 1).expand(1, 5, 5, 2, 2)
    actors = torch.tensor([[0, 1, 0, 1, 0]])
    latents = torch.arange(3.0).reshape(1, 3, 1)
    empty = torch.zeros(1)
    predicted, imagined = phase.predict(latents, WindowBatch(empty, empty, empty, blocks, actors, empty))
    assert imagined is None
    assert predicted[0, :, 0].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert model.asked == [
        ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [0, 1, 0]),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1, 0, 1]),
        ([2.0, 3.0, 4.0], [2.0, 3.0, 4.0], [0, 1, 0]),
    ]


@pytest.mark.parametrize(("kind", "module"), [("joint", JointPhase), ("latents", LatentsPhase)])
@pytest.mark.parametrize("rollout", [1, 2])
def test_a_rollout_is_learned_and_validated_by_its_first_turn_and_its_last(
    kind: str,
    module: type[JointPhase],
    rollout: int,
    tiny: Preset,
    store: EpisodeStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    model = JEPA(tiny.model)
    config = replace(PHASE, kind=kind, rollout=rollout, moved=1.0, validation=16)
    batches = build_batches(kind, model, store.episodes.take(slice(0, 12)), config)
    phase = module(model, config, LossWeights(), seed=0)
    logged: dict[str, float] = {}
    monkeypatch.setattr(phase, "log_dict", lambda values, **_: logged.update(values))
    phase.training_step(batches[0], 0).backward()
    assert model.predictor.out.weight.grad is not None
    assert model.predictor.out.weight.grad.isfinite().all()
    phase.eval()
    batch = batches[1]
    phase.validation_step(batch, 0)
    seen = phase._seen[0]
    # Drawn for a first foreseen turn that moves the block: of every window that turn is the one that is judged.
    assert ((seen["after"] - seen["before"])[:, 4:6].norm(dim=-1) > MOVED).all()
    assert torch.equal(seen["before"], batch.states[:, 2])
    assert torch.equal(seen["after"], batch.states[:, 3])
    assert torch.equal(seen["actors"], batch.actors[:, 2].float())
    assert torch.equal(seen["shown"], batch.states[:, 2 + rollout])
    phase.on_validation_epoch_end()
    assert ("rollout_block_px" in logged) is (rollout > 1)
    if rollout > 1:
        apart = (256 + 256 * seen["ended"][:, 4:6] - seen["shown"][:, 4:6]).norm(dim=-1).mean()
        assert logged["rollout_block_px"] == pytest.approx(apart.item(), rel=1e-4)


def build_batches(kind: str, model: JEPA, episodes: Episodes, phase: PhaseConfig) -> Batches[WindowBatch]:
    if kind == "joint":
        return FrameWindows(episodes, 3, 32, phase, seed=1)
    return LatentWindows(episodes, encode_episodes(model, episodes, torch.device("cpu")), 3, phase, seed=1)


def test_what_is_compiled_gives_the_same_and_is_itself_again_afterwards(tiny: Preset) -> None:
    model = JEPA(tiny.model)
    phase = TurnsPhase(model, PhaseConfig("turns", steps=4, batch=4, learning_rate=1e-3), LossWeights(), seed=0)
    assert phase.hot() == [(model.unroll, "move")]
    nn.init.normal_(model.unroll.motion.weight, std=0.01)
    torch.manual_seed(0)
    turns = torch.randn(4, 8), torch.randn(4, 8).softmax(-1), torch.rand(4, 5, 2, 2), torch.tensor([0, 1, 1, 0])
    before = model.unroll(*turns)
    calls: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch, "compile", lambda method, **_: lambda *given: calls.append("move") or method(*given))
        with compiled(phase.hot()):
            torch.testing.assert_close(model.unroll(*turns), before)
    assert len(calls) == 5 * SUBSTEPS
    assert "move" not in vars(model.unroll)
    torch.testing.assert_close(model.unroll(*turns), before)


def test_places_are_read_in_full_precision_under_autocast(tiny: Preset) -> None:
    model = JEPA(tiny.model).eval()
    assert model.unroll is not None
    for weight in (model.unroll.motion.weight, model.predictor.out.weight):
        nn.init.normal_(weight, std=0.1)
    features = model.encoder.features(torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8))
    actors = torch.tensor([[0, 1, 0], [1, 0, 1]])

    def look() -> tuple[torch.Tensor, ...]:
        moments = model.encoder.moments(*features)
        latents = model.projector(model.encoder.read(moments)).unflatten(0, (2, 3))
        predicted, imagined = model.predict_steps(latents, 0.5 * torch.ones(2, 3, 5, 2, 2), actors)
        assert imagined is not None
        return moments, latents, model.head(latents), imagined, predicted

    exact = look()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        *mixed, predicted = look()
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(mixed, exact[:-1], strict=True))
    assert predicted.dtype == torch.float32
    # The predictor itself is what autocast is for: near, and not the same.
    torch.testing.assert_close(predicted, exact[-1], atol=0.05, rtol=0)
    assert not torch.equal(predicted, exact[-1])


def test_bf16_serves_the_vit_alone(tiny: Preset) -> None:
    vit = ModelConfig(encoder="vit-tiny", frame_size=28, unroll_hidden=16, unroll_layers=1, unroll_waves=6)
    turns = replace(PHASE, kind="turns")
    for config, serves in ((tiny.model, False), (vit, True)):
        assert JointPhase(JEPA(config), PHASE, LossWeights(), seed=0).bf16 is serves
        assert TurnsPhase(JEPA(config), turns, LossWeights(), seed=0).bf16 is False
    assert not any(kind.bf16 for kind in PUSHT_MODULES.values())


def test_the_networks_name_what_there_is_to_compile_of_them(tiny: Preset) -> None:
    model = JEPA(tiny.model)
    keypoints, unroll = [(model.encoder, "features"), (model.encoder, "moments")], [(model.unroll, "move")]
    latents = replace(PHASE, kind="latents")
    assert JointPhase(model, PHASE, LossWeights(), seed=0).hot() == keypoints + unroll
    assert ScenesPhase(model, replace(PHASE, kind="scenes"), LossWeights(), seed=0).hot() == keypoints
    assert LatentsPhase(model, latents, LossWeights(), seed=0).hot() == unroll
    plain = JEPA(replace(tiny.model, unroll_hidden=0))
    assert LatentsPhase(plain, latents, LossWeights(), seed=0).hot() == []
    vit = JEPA(ModelConfig(encoder="vit-tiny", frame_size=28))
    assert JointPhase(vit, PHASE, LossWeights(), seed=0).hot() == [(b, "forward") for b in vit.encoder.vit.blocks]
    assert all(kind.hot is Phase.hot for kind in PUSHT_MODULES.values()), "which --compile is refused for"
