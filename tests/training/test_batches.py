"""Batches: the same for the same seed and number, drawn as the game draws, aligned in time."""

from __future__ import annotations

import numpy as np
import torch

from pushjepa.data import EpisodeStore
from pushjepa.nets import JEPA
from pushjepa.physics import Board, Physics
from pushjepa.relay.scene import Scene
from pushjepa.relay.stages import get_stage
from pushjepa.training.batches import FrameWindows, LatentWindows, SceneBatches, encode_episodes
from pushjepa.training.presets import PhaseConfig, Preset

PHASE = PhaseConfig("joint", steps=4, batch=16, learning_rate=1e-3)


def test_a_batch_depends_on_the_seed_and_its_number_alone(store: EpisodeStore) -> None:
    first, again = (FrameWindows(store.episodes, 3, 32, PHASE, seed=1) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[5], again[5], strict=True))
    assert not torch.equal(first[5].states, first[6].states)
    assert not torch.equal(first[5].states, FrameWindows(store.episodes, 3, 32, PHASE, seed=2)[5].states)


def test_scenes_carry_the_state_they_show() -> None:
    batch = SceneBatches(("open",), Physics(), 32, 6, seed=0)[0]
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
