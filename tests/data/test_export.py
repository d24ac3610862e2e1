import sys

import numpy as np
import pytest

from pushjepa.data import Episodes, make_episode, make_recipe, make_scenes
from pushjepa.data.export import export_hdf5


@pytest.fixture
def episodes():
    recipe = make_recipe(22, 10, 2)
    return Episodes.of([make_episode(recipe, i) for i in (0, 1, 21)], recipe.stages)


def test_rows_hold_frame_state_and_the_action_that_leaves_it(episodes, tmp_path):
    h5py = pytest.importorskip("h5py")
    seen = []
    export_hdf5(episodes, tmp_path / "out.h5", size=32, progress=lambda done, total: seen.append((done, total)))
    scenes = make_scenes(episodes.stages, 32)
    with h5py.File(tmp_path / "out.h5", "r", swmr=True) as file:
        assert file["pixels"].shape == (33, 32, 32, 3)
        assert file["pixels"].compression == "lzf"
        np.testing.assert_array_equal(file["ep_len"][:], [11, 11, 11])
        np.testing.assert_array_equal(file["ep_offset"][:], [0, 11, 22])
        row = file["ep_offset"][2] + 7  # the second step of the second turn
        np.testing.assert_array_equal(file["state"][row], episodes.states[2, 7])
        np.testing.assert_array_equal(file["action"][row], episodes.blocks[2, 1, 2].reshape(4))
        assert file["actor"][row] == episodes.actors[2, 1]
        assert not file["action"][row + 3].any()
        np.testing.assert_array_equal(file["pixels"][row], scenes[episodes.stage[2]].draw(episodes.states[2, 7]))
        assert (file["ep_idx"][row], file["step_idx"][row]) == (2, 7)
        assert {len(file[name]) for name in file if not name.startswith("ep_") or name == "ep_idx"} == {33}
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_file_is_not_overwritten(episodes, tmp_path):
    pytest.importorskip("h5py")
    (tmp_path / "out.h5").write_text("mine")
    with pytest.raises(ValueError, match="exists already"):
        export_hdf5(episodes, tmp_path / "out.h5")


def test_without_h5py_it_says_what_to_install(episodes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match="install the extra `train`"):
        export_hdf5(episodes, tmp_path / "out.h5")
