"""Importing an expert's data set: a round trip, both forms of the layout, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("h5py", reason="h5py is not installed")
pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")
pytest.importorskip("pygame", reason="pygame is not installed")

import h5py

from pushjepa.pusht.collect import CollectOptions, Trajectories, collect, read_options, read_trajectories
from pushjepa.pusht.importer import import_dataset


@pytest.fixture
def columns(collection):
    """Those of a file as stable-worldmodel would have recorded it."""
    with h5py.File(collection / "pusht.h5") as file:
        return {name: file[name][:] for name in ("pixels", "action", "state", "proprio", "ep_len", "ep_offset")}


@pytest.fixture
def write(tmp_path):
    def write(columns):
        path = tmp_path / "expert.h5"
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values
        return path

    return write


def test_an_imported_data_set_is_a_collection(collection, columns, write, tmp_path):
    told, out = [], tmp_path / "in"
    found = import_dataset(write(columns), out, lambda *n: told.append(n))
    ours, again = read_trajectories(collection), read_trajectories(out)
    assert (found.left_out, found.redrawn, told) == (0, True, [(6, 6)])
    for name in ("states", "actions", "lengths"):
        assert np.array_equal(getattr(again, name), getattr(ours, name), equal_nan=name == "actions")
        assert getattr(again, name).dtype == getattr(ours, name).dtype
    ends = ours.offsets + ours.lengths - 1
    assert np.array_equal(again.goals, ours.states[ends])
    assert again.solved.all()
    assert again.clean.all()
    options = CollectOptions(6, limit=int(ours.lengths.max()) - 1, shard=200, source="expert.h5")
    assert read_options(out) == options
    assert json.loads((out / "collection.json").read_text())["source"] == "expert.h5"
    assert read_options(collection).source is None


def test_a_folder_from_before_sources_were_noted_can_be_read(tmp_path):
    (tmp_path / "collection.json").write_text('{"episodes": 2, "seed": 1, "limit": 5, "shard": 20}')
    assert read_options(tmp_path) == CollectOptions(2, 1, 5)


def test_rows_may_be_numbered_instead(columns, write, tmp_path):
    lengths = columns.pop("ep_len")
    columns.pop("ep_offset")
    columns["episode_idx"] = np.repeat(np.array([7, 3, 9, 0, 1, 2]), lengths)
    found = import_dataset(write(columns), tmp_path / "in")
    assert np.array_equal(found.trajectories.lengths, lengths)
    columns["step_idx"] = np.concatenate([np.arange(length) for length in lengths])[:, None]
    assert np.array_equal(import_dataset(write(columns), tmp_path / "in").trajectories.lengths, lengths)
    columns["step_idx"][5] = 0
    with pytest.raises(ValueError, match="'step_idx' does not count"):
        import_dataset(write(columns), tmp_path / "in")
    columns["episode_idx"][-1] = 7
    with pytest.raises(ValueError, match="the rows of a trajectory lie apart"):
        import_dataset(write(columns), tmp_path / "in")


def test_actions_out_of_range_leave_their_trajectory_out(columns, write, tmp_path):
    ends = np.cumsum(columns["ep_len"]) - 1
    columns["action"][ends] = 5.0  # nothing follows a last row: whatever stands there counts for nothing
    columns["action"][0] = 1.0 + 1e-7
    columns["action"][columns["ep_offset"][2] + 3, 1] = -1.5
    columns["action"][columns["ep_offset"][4], 0] = np.nan
    found = import_dataset(write(columns), tmp_path / "in")
    made, kept = found.trajectories, [0, 1, 3, 5]
    assert found.left_out == 2
    assert made.lengths.tolist() == columns["ep_len"][kept].tolist()
    assert np.array_equal(made.goals, columns["state"][ends[kept]])
    assert np.array_equal(made.states[made.offsets], columns["state"][columns["ep_offset"][kept]])
    assert np.nanmax(np.abs(made.actions)) <= 1.0
    assert np.flatnonzero(np.isnan(made.actions).any(axis=1)).tolist() == (np.cumsum(made.lengths) - 1).tolist()
    columns["action"][:] = 3.0
    with pytest.raises(ValueError, match="holds no trajectory whose actions all lie in"):
        import_dataset(write(columns), tmp_path / "none")


def test_frames_that_are_drawn_otherwise_are_noticed(columns, write, tmp_path):
    other = columns | {"pixels": columns["pixels"][::-1].copy()}
    assert import_dataset(write(other), tmp_path / "a").redrawn is False
    small = columns | {"pixels": columns["pixels"][:, :8, :8]}
    assert import_dataset(write(small), tmp_path / "b").redrawn is None
    columns.pop("pixels")
    assert import_dataset(write(columns), tmp_path / "c").redrawn is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("state"), "lacks the column 'state'; it holds action, ep_len"),
        (lambda c: c.pop("action"), "lacks the column 'action'"),
        (lambda c: c.pop("ep_len"), r"lacks the column 'ep_len' \(or 'episode_idx'\)"),
        (lambda c: c.update(state=c["state"][:, :5]), r"a row of 'state' must have shape \(7,\), got \(5,\)"),
        (lambda c: c.update(action=c["action"][:-1]), r"has \d+ states but \d+ actions"),
        (lambda c: c.update(pixels=c["pixels"][:-1]), r"has \d+ states but \d+ frames"),
        (lambda c: c["state"].__setitem__((3, 0), np.inf), "not finite, first in row 3"),
        (lambda c: c["ep_len"].__setitem__(0, 1), "do not fill its"),
        (lambda c: c["ep_offset"].__setitem__(1, 1), "do not fill its"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(change, said, columns, write, tmp_path):
    change(columns)
    with pytest.raises(ValueError, match=said) as refused:
        import_dataset(write(columns), tmp_path / "in")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "in").exists()


def test_a_folder_of_something_else_is_left_alone(columns, write, tmp_path):
    made = collect(tmp_path / "in", CollectOptions(episodes=1, seed=1, limit=5), workers=1)
    with pytest.raises(ValueError, match="holds another collection"):
        import_dataset(write(columns), tmp_path / "in")
    assert np.array_equal(read_trajectories(tmp_path / "in").states, made.states)
    import_dataset(write(columns), tmp_path / "new")
    (tmp_path / "new" / "trajectories-000000.npz").unlink()
    with pytest.raises(ValueError, match="run `pushjepa pusht import` again"):
        read_trajectories(tmp_path / "new")


def test_imported_trajectories_can_be_taken_apart(columns, write, tmp_path):
    found = import_dataset(write(columns), tmp_path / "in").trajectories
    parts = Trajectories.join([found.take(0, 2), found.take(2, 6)])
    assert np.array_equal(parts.states, found.states)


def test_the_command_says_what_it_did(columns, write, tmp_path, command):
    columns["action"][0] = 2.0
    columns["pixels"][:] = 0
    code, out, err = command("pusht", "import", str(write(columns)), "--out", str(tmp_path / "in"))
    assert code == 0, err
    assert "5 trajectories" in out
    assert "left out 1 trajectories" in err
    assert "warning: frames drawn from the states differ" in err
    for path, said in ((tmp_path / "none.h5", "no such file"), (tmp_path / "noise.h5", "is no HDF5 file")):
        if "noise" in path.name:
            path.write_bytes(b"noise")
        code, out, err = command("pusht", "import", str(path), "--out", str(tmp_path / "other"))
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert said in err
