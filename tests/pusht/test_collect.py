from __future__ import annotations

import json

import numpy as np
import pytest

from pushjepa.pusht.collect import CollectOptions, Trajectories, collect, draw_state, make_trajectory, read_trajectories
from pushjepa.pusht.geometry import OUTLINE, clearance, place


def same(one, other):
    names = Trajectories.__dataclass_fields__
    return all(np.array_equal(getattr(one, n), getattr(other, n), equal_nan=n == "actions") for n in names)


def test_starts_are_fair():
    rng = np.random.default_rng(0)
    for _ in range(50):
        state = draw_state(rng)
        corners = place(OUTLINE, state[2:5])
        assert corners.min() > 8.0
        assert corners.max() < 504.0
        assert clearance(state[:2], state[2:5]) > 16.0


def test_a_collection_is_its_trajectories_end_to_end(collection):
    found, options = read_trajectories(collection), CollectOptions(episodes=6, seed=5, limit=150)
    assert len(found) == 6
    assert found.clean.tolist() == [True, False] * 3
    for number, (first, length) in enumerate(zip(found.offsets, found.lengths, strict=True)):
        made, clean = make_trajectory(options, number)
        assert np.array_equal(found.states[first : first + length], made.states)
        assert np.array_equal(found.actions[first : first + length - 1], made.actions.astype(np.float32))
        assert np.isnan(found.actions[first + length - 1]).all()
        assert (found.solved[number], found.clean[number]) == (made.solved, clean)
        assert np.array_equal(found.goals[number], made.goal)


def test_an_interrupted_collection_goes_on(collection, tmp_path):
    options = CollectOptions(episodes=6, seed=5, limit=150, shard=2)
    whole = collect(tmp_path, options, workers=1)
    assert same(whole, read_trajectories(collection)), "how it is cut into shards changes nothing"
    (tmp_path / "trajectories-000002.npz").unlink()
    with pytest.raises(ValueError, match="lacks 1 of 3 shards"):
        read_trajectories(tmp_path)
    told = []
    assert same(collect(tmp_path, options, workers=2, progress=lambda *n: told.append(n)), whole)
    assert told == [(6, 6)]


def test_a_collection_may_grow(collection, tmp_path):
    collect(tmp_path, CollectOptions(episodes=3, seed=5, limit=150, shard=2), workers=1)
    grown = collect(tmp_path, CollectOptions(episodes=6, seed=5, limit=150, shard=2), workers=1)
    assert same(grown, read_trajectories(collection))
    with pytest.raises(ValueError, match="another collection"):
        collect(tmp_path, CollectOptions(episodes=3, seed=5, limit=150, shard=2), workers=1)


def test_a_folder_of_something_else_is_refused(tmp_path):
    collect(tmp_path, CollectOptions(episodes=1, seed=1, limit=5), workers=1)
    with pytest.raises(ValueError, match="another collection"):
        collect(tmp_path, CollectOptions(episodes=1, seed=2, limit=5), workers=1)
    with pytest.raises(ValueError, match="holds no Push-T trajectories"):
        read_trajectories(tmp_path / "nowhere")
    (tmp_path / "collection.json").write_text(json.dumps({"episodes": 1, "colour": "red"}))
    with pytest.raises(ValueError, match="holds no Push-T trajectories"):
        read_trajectories(tmp_path)


@pytest.mark.parametrize("values", [{"episodes": 0}, {"seed": -1}, {"limit": 0}])
def test_numbers_that_make_no_sense_are_refused(values):
    with pytest.raises(ValueError, match=f"{next(iter(values))} must be at least"):
        CollectOptions(**values)


def test_stable_worldmodel_reads_the_file(swm, collection):
    from stable_worldmodel.data.formats.hdf5 import HDF5Dataset

    found = read_trajectories(collection)
    data = HDF5Dataset(path=collection / "pusht.h5", frameskip=5, num_steps=3)
    assert data.lengths.tolist() == found.lengths.tolist()
    first = int(found.offsets[2])
    chunk = data.load_chunk(np.array([2]), np.array([4]), np.array([19]))[0]
    assert chunk["state"].numpy() == pytest.approx(found.states[first + 4 : first + 19 : 5])
    assert chunk["action"].numpy().reshape(-1, 2) == pytest.approx(found.actions[first + 4 : first + 19])
    assert tuple(chunk["pixels"].shape[1:]) == (3, 64, 64)


def test_frames_belong_to_their_states(collection):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    from pushjepa.pusht.scene import PushTScene

    found, scene = read_trajectories(collection), PushTScene(64)
    with h5py.File(collection / "pusht.h5") as file:
        for row in (0, 7, len(found.states) - 1):
            assert np.array_equal(file["pixels"][row], scene.draw(found.states[row]))
        assert file["proprio"][3] == pytest.approx(found.states[3][[0, 1, 5, 6]])
