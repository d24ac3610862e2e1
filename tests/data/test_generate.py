import json

import numpy as np
import pytest

from pushjepa.data import EpisodeStore, generate, make_episode, make_recipe
from pushjepa.data.store import MANIFEST

SMALL = {"episodes": 260, "steps": 5, "seed": 3}  # two shards


def contents(path):
    """Name and bytes of every file in a store."""
    return {f.name: f.read_bytes() for f in sorted(path.iterdir())}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("made")
    generate(path, **SMALL, workers=1)
    return path


def test_two_workers_write_the_same_bytes(made, tmp_path):
    generate(tmp_path, **SMALL, workers=2)
    assert contents(tmp_path) == contents(made)


class InterruptionError(BaseException):
    """Stands for Ctrl-C, which pytest would take for itself."""


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_goes_on_where_it_stopped(made, tmp_path, workers):
    def interrupt(done, total):
        if done:
            raise InterruptionError

    with pytest.raises(InterruptionError):
        generate(tmp_path, **SMALL, workers=workers, progress=interrupt)
    kept = sorted(tmp_path.glob("shard-*.npz"))
    assert kept
    if workers == 1:
        with pytest.raises(ValueError, match=r"unfinished \(1 of 2 shards\); run the same generate command"):
            EpisodeStore(tmp_path)
    written = kept[0].stat().st_mtime_ns
    seen = []
    generate(tmp_path, **SMALL, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert kept[0].stat().st_mtime_ns == written
    assert seen[0][0] >= 10
    assert seen[-1] == (260, 260)
    assert contents(tmp_path) == contents(made)


def test_a_damaged_shard_is_made_again(made, tmp_path):
    generate(tmp_path, **SMALL, workers=1)
    (tmp_path / "shard-00001.npz").write_bytes(b"rubbish")
    generate(tmp_path, **SMALL, workers=1)
    assert contents(tmp_path) == contents(made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "with seed 3, not 4; choose another folder"),
        ({"episodes": 10}, "with episodes 260, not 10"),
        ({"stages": ["open"]}, r"with stages .*, not \['open'\]"),
    ],
)
def test_other_options_do_not_mix(made, change, message):
    before = contents(made)
    with pytest.raises(ValueError, match=message):
        generate(made, **SMALL | change, workers=1)
    assert contents(made) == before


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("all my work")
    with pytest.raises(ValueError, match="not empty and holds no episodes"):
        generate(tmp_path, **SMALL, workers=1)
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]


def test_mixture_and_content(made):
    data = EpisodeStore(made).episodes
    shares = np.bincount(data.regime[:200], minlength=5) / 200
    assert shares.tolist() == [0.40, 0.25, 0.15, 0.10, 0.10]
    assert np.bincount(data.stage[:60]).tolist() == [20, 20, 20]
    one = make_episode(make_recipe(**SMALL), 257)
    np.testing.assert_array_equal(data.states[257], one.states)
    np.testing.assert_array_equal(data.blocks[257], one.blocks)
    assert (data.stages[data.stage[257]], data.regimes[data.regime[257]]) == (one.stage, one.regime)


def test_no_episode_comes_twice():
    """Episodes 0 and 1500 share stage, regime and place in their shard."""
    recipe = make_recipe(2000, 5, 0)
    starts = [make_episode(recipe, i).states[0] for i in (0, 1500)]
    assert not np.array_equal(*starts)


def test_the_manifest_says_what_is_there(made):
    content = json.loads((made / MANIFEST).read_text())
    assert content["version"] == 1
    assert content["seed"] == 3
    assert [s["episodes"] for s in content["shards"]] == [250, 10]
    assert content["physics"]["block_mass"] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"steps": 7}, "multiple of 5"),
        ({"seed": -1}, "seed must not be negative"),
        ({"stages": ["moon"]}, "unknown stage 'moon'"),
        ({"stages": ["open", "open"]}, "each stage once"),
        ({"workers": 0}, "workers must be at least 1"),
    ],
)
def test_bad_options_leave_no_folder(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        generate(tmp_path / "new", **SMALL | change)
    assert not (tmp_path / "new").exists()
