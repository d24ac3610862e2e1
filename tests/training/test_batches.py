"""Batches: the same for the same seed and number, drawn as the game draws, aligned in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pushjepa.data import Episodes, EpisodeStore, make_episode, make_recipe
from pushjepa.data.scenes import scenes_clear
from pushjepa.data.shifted import make_shifted_episodes
from pushjepa.data.substeps import motors_alone
from pushjepa.nets import JEPA
from pushjepa.physics import VISIBLE, Board, Physics, block_parts, guess_laws, tell_laws
from pushjepa.physics.constants import AGENTS
from pushjepa.relay.scene import Scene
from pushjepa.relay.stages import STAGES, get_stage
from pushjepa.training.batches import (
    FrameWindows,
    GlimpseBatches,
    LatentWindows,
    OtherScenes,
    SceneBatches,
    SubstepBatches,
    Turns,
    encode_episodes,
    share_out,
    split_episodes,
    stage_numbers,
)
from pushjepa.training.modules import SubstepBatch
from pushjepa.training.presets import PhaseConfig, Preset

PHASE = PhaseConfig("joint", steps=4, batch=16, learning_rate=1e-3)
SCENES = PhaseConfig("scenes", steps=4, batch=24, learning_rate=1e-3)
SUBSTEPS = PhaseConfig("substeps", steps=4, batch=256, learning_rate=1e-3)


def some_episodes(*stages: str) -> Episodes:
    """Two episodes on each of some stages."""
    recipe = make_recipe(2 * len(stages), 10, 5, stages=stages)
    return Episodes.of([make_episode(recipe, i) for i in range(2 * len(stages))], recipe.stages)


def test_a_batch_depends_on_the_seed_and_its_number_alone(store: EpisodeStore) -> None:
    first, again = (FrameWindows(store.episodes, 3, 32, PHASE, seed=1) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[5], again[5], strict=True))
    assert not torch.equal(first[5].states, first[6].states)
    assert not torch.equal(first[5].states, FrameWindows(store.episodes, 3, 32, PHASE, seed=2)[5].states)


def test_scenes_carry_the_state_they_show() -> None:
    batch = SceneBatches(some_episodes("open"), 32, replace(SCENES, batch=6), seed=0)[0]
    scene = Scene(get_stage("open"), 32)
    drawn = scene.draw_many(batch.states.numpy().astype(np.float64))
    # States are stored in single precision: the rounding may move an edge by one grey level.
    assert np.abs(drawn.astype(int) - batch.frames.numpy().astype(int)).max() <= 2


def test_block_i_of_a_window_leads_from_state_i_to_state_i_plus_1(store: EpisodeStore) -> None:
    phase = PhaseConfig("joint", steps=4, batch=64, learning_rate=1e-3)
    open_only = store.episodes.take(np.flatnonzero(store.episodes.stage == store.episodes.stages.index("open")))
    batch = FrameWindows(open_only, 3, 32, phase, seed=1)[0]
    board = Board()
    for row in range(64):
        for i in range(3):
            actor = int(batch.actors[row, i])
            before, after = (batch.states[row, j].numpy().astype(np.float64) for j in (i, i + 1))
            if actor < 0:
                assert np.array_equal(before, after)
                continue
            ends = board.run_turn(before, ("p1", "p2")[actor], batch.blocks[row, i, :, actor].numpy())[-1]
            assert np.abs(ends - after)[:6].max() < 0.5


@pytest.mark.parametrize("flip", [False, True])
def test_a_turn_leads_from_its_start_through_its_steps(store: EpisodeStore, flip: bool) -> None:
    phase = PhaseConfig("turns", steps=4, batch=32, learning_rate=1e-3, moved=0.5, flip=flip)
    batch = Turns(store.episodes, phase, seed=1)[0]
    stored = {tuple(state) for state in store.episodes.boundaries.reshape(-1, 7)[:, :6].round(2).tolist()}
    upright = sum(tuple(state) in stored for state in batch.before[:, :6].numpy().round(2).tolist())
    assert upright == 32 if not flip else 4 < upright < 28
    close = []
    for row in range(32):
        board = Board(get_stage(store.episodes.stages[batch.stage[row]]).obstacles)
        actor = int(batch.actors[row])
        before = batch.before[row].numpy().astype(np.float64)
        steps = board.run_turn(before, ("p1", "p2")[actor], batch.blocks[row, :, actor].numpy())
        close.append(np.abs(steps - batch.steps[row].numpy())[:, :6].max() < 0.5)
    assert np.mean(close) > 0.9  # stored in single precision: a glancing contact may go another way


def test_a_turns_start_is_blurred_by_as_much_as_asked(store: EpisodeStore) -> None:
    phase = PhaseConfig("turns", steps=4, batch=4096, learning_rate=1e-3, blur=3.0)
    batch = Turns(store.episodes, phase, seed=1)[0]
    off = (batch.seen - batch.before).numpy()
    # The spread is even over [0, 3] px for each turn: its mean square is 3 px squared.
    assert np.abs(off[:, :6].std() - np.sqrt(3.0)) < 0.1
    assert np.abs(np.degrees(off[:, 6]).std() - 0.5 * np.sqrt(3.0)) < 0.1
    sharp = Turns(store.episodes, PhaseConfig("turns", steps=4, batch=8, learning_rate=1e-3, blur=0.0), seed=1)[0]
    assert torch.equal(sharp.seen, sharp.before)


def test_of_each_store_the_last_episodes_are_held_out(store: EpisodeStore) -> None:
    both = [store.episodes.take(slice(0, 40)), store.episodes.take(slice(40, 60))]
    training, held_out = split_episodes(both)
    assert (len(training), len(held_out)) == (58, 2)
    assert np.array_equal(held_out.states, store.episodes.states[[39, 59]])
    half, still = split_episodes(both, 29)
    assert np.array_equal(half.states, store.episodes.states[[*range(20), *range(40, 49)]])
    assert np.array_equal(still.states, held_out.states)


@pytest.mark.parametrize("sizes", [(1,), (7,), (39, 19), (19, 39), (1, 1, 1), (0, 5), (5, 0, 3), (100, 1, 1)])
def test_no_more_is_shared_out_than_is_wanted_and_no_less(sizes: tuple[int, ...]) -> None:
    for wanted in range(1, sum(sizes) + 3):
        shares = share_out(wanted, sizes)
        assert sum(shares) == min(wanted, sum(sizes))
        for share, size in zip(shares, sizes, strict=True):
            assert 0 <= share <= size
            assert abs(share - min(wanted, sum(sizes)) * size / sum(sizes)) <= 1
    assert share_out(3, (6,)) == [3]


@pytest.mark.parametrize("lengths", [(2,), (60,), (30, 2), (1, 20), (3, 3, 3)])
def test_some_are_left_to_train_on_and_no_more_than_asked_for(store: EpisodeStore, lengths: tuple[int, ...]) -> None:
    parts = [store.episodes.take(slice(0, length)) for length in lengths]
    splits = [length - 1 for length in lengths]  # too few to hold out more
    for wanted in (0, 1, 2, 5, 1000):
        training, held_out = split_episodes(parts, wanted)
        assert len(training) == min(wanted or sum(splits), sum(splits)) > 0
        assert len(held_out) == len(lengths)


def test_stores_of_one_episode_leave_nothing_to_train_on(store: EpisodeStore) -> None:
    with pytest.raises(ValueError, match="none is left to train on"):
        split_episodes([store.episodes.take(slice(0, 1))] * 2)


@pytest.mark.parametrize("played", [0.0, 0.5])
def test_scenes_carry_the_number_of_their_stage(played: float) -> None:
    names = ("open", "pillars", "gate")
    batch = SceneBatches(some_episodes(*names), 32, replace(SCENES, played=played), seed=0)[0]
    assert set(batch.stage.tolist()) == {0, 1, 2}
    drawn = [Scene(get_stage(names[k]), 32).draw(s.numpy()) for k, s in zip(batch.stage, batch.states, strict=True)]
    assert np.abs(np.stack(drawn).astype(int) - batch.frames.numpy().astype(int)).max() <= 16


@pytest.mark.parametrize(("played", "count"), [(0.0, 0), (0.25, 16), (1.0, 64)])
def test_a_share_of_scenes_was_played(store: EpisodeStore, played: float, count: int) -> None:
    phase = replace(SCENES, batch=64, played=played)
    first, again = (SceneBatches(store.episodes, 32, phase, seed=1)[3] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    stored = {state.tobytes() for state in store.episodes.boundaries.reshape(-1, 7)}
    assert sum(state.tobytes() in stored for state in first.states.numpy()) == count


def test_a_stage_has_one_number_whatever_store_it_is_in() -> None:
    gate = some_episodes("gate")
    for phase in (replace(SCENES, batch=4), replace(SCENES, batch=4, played=1.0)):
        assert SceneBatches(gate, 32, phase, seed=0)[0].stage.tolist() == [2] * 4
    substeps = SubstepBatches(gate, replace(SUBSTEPS, batch=4), seed=0)[0]
    assert substeps.stage.tolist() == [2] * 4
    assert stage_numbers(("open", "pillars", "gate")).tolist() == [0, 1, 2]


def test_cached_latents_are_those_of_the_drawn_frames(store: EpisodeStore, tiny: Preset) -> None:
    torch.manual_seed(0)
    model = JEPA(tiny.model)
    latents = encode_episodes(model, store.episodes, torch.device("cpu"))
    cached = LatentWindows(store.episodes, latents, 3, PHASE, seed=1)[0]
    row, place = 4, 2
    found = (store.episodes.boundaries.reshape(-1, 7) == cached.states[row, place].numpy()).all(axis=1).argmax()
    stage = store.episodes.stages[store.episodes.stage[found // (store.episodes.turns + 1)]]
    frame = Scene(get_stage(stage), 32).draw(cached.states[row, place].numpy())
    model.eval()
    fresh = model.encode(torch.from_numpy(frame[None]))[0]
    torch.testing.assert_close(cached.items[row, place], fresh, atol=1e-4, rtol=1e-4)


def test_scenes_of_other_blocks_are_shown_as_they_are_and_as_known_ones() -> None:
    scenes = OtherScenes(("open", "gate"), 64, 40, seed=2)
    batch = scenes[3]
    assert all(torch.equal(a, b) for a, b in zip(batch, scenes[3], strict=True))
    assert len(batch.laws.unique(dim=0)) > 2
    assert 0 < int(batch.headed.sum()) < 40
    for row in range(40):
        stage, state = STAGES[list(STAGES)[int(batch.stage[row])]], batch.states[row].numpy().astype(np.float64)
        physics = guess_laws(batch.laws[row].numpy())
        drawn = Scene(stage, 64, physics.block_shape, physics.block_scale).draw(state)
        assert np.abs(batch.frames[row].numpy().astype(int) - drawn).mean() < 0.5
        assert np.abs(batch.plain[row].numpy().astype(int) - Scene(stage, 64).draw(state)).mean() < 0.5
        assert bool(batch.headed[row]) == (physics.block_shape == "tee")
        assert scenes_clear(state[None], stage, block_parts(physics.block_shape, physics.block_scale)).all()
        unseen = [index for index in range(len(batch.laws[row])) if index not in VISIBLE]
        assert not batch.laws[row][unseen].any()


def test_every_turn_is_told_of_the_laws_it_was_played_under() -> None:
    episodes, laws = make_shifted_episodes(("open", "pillars"), 60, 2, workers=1)
    told = np.stack([tell_laws(physics) for physics in laws])
    phase = PhaseConfig("laws", steps=4, batch=64, learning_rate=1e-3, blur=0.0, flip=True, episodes=60)
    batch = Turns(episodes, phase, seed=1, laws=told)[0]
    assert batch.laws is not None
    names = {value.tobytes(): physics for value, physics in zip(told, laws, strict=True)}
    for row in range(0, 64, 4):
        stage = get_stage(list(STAGES)[int(batch.stage[row])])
        actor = int(batch.actors[row])
        board = Board(stage.obstacles, names[batch.laws[row].numpy().tobytes()])
        block = batch.blocks[row, :, actor].double().numpy()
        played = board.run_turn(batch.before[row].double().numpy(), AGENTS[actor], block)
        assert played[-1, :6] == pytest.approx(batch.steps[row, -1, :6].double().numpy(), abs=0.05)


def left_alone(batch: SubstepBatch, row: int, physics: Physics) -> bool:
    """Whether a substep led where the motors alone would have led it."""
    before, speeds = (part[row : row + 1].double().numpy() for part in (batch.before, batch.speeds_before))
    places, then = motors_alone(before, speeds, batch.actions[row : row + 1].double().numpy(), physics)
    turned = np.angle(np.exp(1j * (places[0, 6] - batch.after[row, 6].item())))  # batches mirror angles
    off = np.abs(places[0, :6] - batch.after[row, :6].numpy()).max(), abs(turned)
    return bool(max(*off, np.abs(then[0] - batch.speeds_after[row].numpy()).max()) < 0.011)


def test_substeps_follow_from_the_motors_but_for_the_eventful_ones(store: EpisodeStore) -> None:
    """The motors of p1, for it is always the actor's side that is shown; told of no laws but the standard ones."""
    few = store.episodes.take(slice(0, 20))
    plain, eventful = (SubstepBatches(few, replace(SUBSTEPS, eventful=share), seed=1) for share in (0.0, 1.0))
    first, again = plain[5], SubstepBatches(few, SUBSTEPS, seed=1)[5]
    assert all(torch.equal(a, b) for a, b in zip(first[:-1], again[:-1], strict=True))
    assert not torch.equal(first.before, plain[6].before)
    assert first.laws is None
    assert (first.beat.min(), first.beat.max()) == (0, 4)
    alone = [sum(left_alone(batch[5], row, Physics()) for row in range(256)) for batch in (plain, eventful)]
    assert alone[0] > 64
    assert alone[1] < 10  # what was stored in single precision may fall below what makes a substep eventful


def test_every_substep_is_told_of_the_laws_it_was_played_under() -> None:
    """Those of speed, damping and force are seen where nothing touches anything."""
    episodes, laws = make_shifted_episodes(("open", "pillars"), 20, 2, workers=1)
    batch = SubstepBatches(episodes, SUBSTEPS, seed=1, laws=laws)[0]
    assert batch.laws is not None
    names = {tell_laws(physics).tobytes(): physics for physics in laws}
    own = [names[told.tobytes()] for told in batch.laws.numpy()]
    assert len(set(own)) > 10
    alone, of_others = (
        sum(left_alone(batch, row, told[row]) for row in range(256)) for told in (own, own[1:] + own[:1])
    )
    assert alone > 64
    assert of_others < alone / 2


def test_glimpses_are_learned_from_scenes_whose_states_are_blurred() -> None:
    episodes = some_episodes("open", "gate")
    phase = PhaseConfig("glimpses", steps=4, batch=200, learning_rate=1e-3, played=0.5, blur=2.0)
    batches = GlimpseBatches(episodes, 32, phase, 3)
    first, again, other = batches[0], batches[0], batches[1]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.seen, other.seen)
    scenes = SceneBatches(episodes, 32, replace(phase, kind="scenes"), 3)[0]
    assert torch.equal(first.frames, scenes.frames)
    assert torch.equal(first.states, scenes.states), "the states are true"
    off = first.seen - first.states
    spread = off.std(dim=0)
    # A deviation drawn evenly below 2 px: 2 / sqrt(3) in all; half a degree of angle for each px.
    assert spread[:6].tolist() == pytest.approx([2 / 3**0.5] * 6, rel=0.25)
    assert spread[6].item() == pytest.approx(np.radians(0.5) * 2 / 3**0.5, rel=0.25)
    assert off[:, :6].abs().max() > 3.0
    still = GlimpseBatches(episodes, 32, replace(phase, blur=0.0), 3)[0]
    assert torch.equal(still.seen, still.states)
