import hashlib
import json

import numpy as np
import pytest

from pushjepa.data import Episodes, EpisodeStore, generate, make_episode, make_recipe
from pushjepa.data.store import MANIFEST

SHARD = "shard-00000.npz"


@pytest.fixture
def store(tmp_path):
    generate(tmp_path, episodes=20, steps=10, seed=1, workers=1)
    return tmp_path


def rewrite_manifest(path, change):
    file = path / MANIFEST
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_what_is_read_is_what_was_simulated(store):
    recipe = make_recipe(20, 10, 1)
    data = EpisodeStore(store).episodes
    expected = Episodes.of([make_episode(recipe, i) for i in range(20)], recipe.stages)
    for name in ("states", "boundaries", "blocks", "actors", "stage", "regime"):
        np.testing.assert_array_equal(getattr(data, name), getattr(expected, name))
        assert getattr(data, name).dtype == getattr(expected, name).dtype
    assert data.boundaries.shape == (20, 3, 7)
    assert (len(data), data.turns, data.stages) == (20, 2, ("open", "pillars", "gate"))


def test_some_episodes(store):
    data = EpisodeStore(store).episodes
    some = data.take(np.array([3, 5]))
    np.testing.assert_array_equal(some.states[1], data.states[5])
    one = data.episode(5)
    np.testing.assert_array_equal(one.boundaries, data.boundaries[5])
    assert one.regime == "contact_push"


def damage(path):
    content = bytearray((path / SHARD).read_bytes())
    content[len(content) // 2] ^= 1
    (path / SHARD).write_bytes(content)


def truncate(path):
    (path / SHARD).write_bytes((path / SHARD).read_bytes()[:-100])


def swap(path):
    """A shard of another store, entered with its own checksum."""
    generate(path / "other", episodes=20, steps=5, seed=1, workers=1)
    content = (path / "other" / SHARD).read_bytes()
    (path / SHARD).write_bytes(content)
    rewrite_manifest(path, lambda m: m["shards"][0].update(sha256=hashlib.sha256(content).hexdigest()))


def replace_by_text(path):
    (path / SHARD).write_bytes(b"text")
    rewrite_manifest(path, lambda m: m["shards"][0].update(sha256=hashlib.sha256(b"text").hexdigest()))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage, "is damaged; run the same generate command again"),
        (truncate, "is damaged"),
        (lambda p: (p / SHARD).unlink(), "is missing"),
        (swap, "does not fit the manifest"),
        (replace_by_text, "is not a shard of episodes"),
        (
            lambda p: rewrite_manifest(p, lambda m: m.update(version=99)),
            "is of version 99, this program reads version 1",
        ),
        (lambda p: rewrite_manifest(p, lambda m: m.update(format="songs")), "describes 'songs'"),
        (lambda p: rewrite_manifest(p, lambda m: m["regimes"].popitem()), "is damaged"),
        (lambda p: rewrite_manifest(p, lambda m: m["shards"].clear()), r"unfinished \(0 of 1 shards\)"),
        (lambda p: rewrite_manifest(p, lambda m: m.pop("seed")), "is damaged"),
        (lambda p: (p / MANIFEST).write_text("[1, 2"), "is damaged"),
        (lambda p: (p / MANIFEST).write_text("[1, 2]"), "is damaged"),
    ],
)
def test_a_spoilt_store_gives_one_clear_line(store, spoil, message):
    spoil(store)
    with pytest.raises(ValueError, match=message) as caught:
        EpisodeStore(store)
    assert "\n" not in str(caught.value)


def test_no_store(tmp_path):
    with pytest.raises(FileNotFoundError, match="make some with pushjepa generate"):
        EpisodeStore(tmp_path)


def test_only_like_episodes_are_stacked():
    one, two = make_episode(make_recipe(1, 10, 0), 0), make_episode(make_recipe(1, 5, 0), 0)
    with pytest.raises(ValueError, match="same length and physics"):
        Episodes.of([one, two], ["open"])
    with pytest.raises(ValueError, match="'open' is not among gate"):
        Episodes.of([one], ["gate"])
    with pytest.raises(ValueError, match="no episodes"):
        Episodes.of([], ["open"])
