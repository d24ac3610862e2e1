"""Slots of a whole data set: against the encoders frame by frame, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

torch = pytest.importorskip("torch", reason="torch is not installed")
h5py = pytest.importorskip("h5py", reason="h5py is not installed")
pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")
pytest.importorskip("timm", reason="timm is not installed")

from pushjepa.nets.mech import MechJEPA
from pushjepa.nets.mech_config import MechConfig
from pushjepa.nets.videosaur import VideoSaurConfig, VideoSaurEncoder, published_layout
from pushjepa.pusht.collect import read_trajectories
from pushjepa.pusht.encode import VideoSaurSlots, encode_dataset, load_encoder, read_slots
from pushjepa.pusht.model import save_model
from pushjepa.runtime.checkpoint import file_digest

MECH = {"slots": 3, "width": 16, "points": 3, "layers": 1, "heads": 2, "mlp_hidden": 32, "head_hidden": 16}
MECH |= {"mechanism": "none", "unroll_hidden": 0}
SAUR = VideoSaurConfig(
    frame_size=28, depth=1, features=12, heads=2, position_grid=2, hidden=10, width=8, predictor_heads=2
)


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    net = MechJEPA(MechConfig(frame_size=64, **MECH))
    save_model(net, tmp_path / "model", preset={"name": "tiny"}, data={}, metrics={})
    return tmp_path / "model"


@pytest.fixture
def videosaur(tmp_path):
    g = torch.Generator().manual_seed(1)
    shapes = published_layout(VideoSaurEncoder(SAUR))
    state = {name: torch.randn(shape, generator=g) * 0.4 for name, shape in shapes.items()}
    torch.save({"state_dict": state}, tmp_path / "saur.ckpt")
    return tmp_path / "saur.ckpt"


@pytest.fixture
def source(tmp_path):
    """Three short trajectories of noise, one of them of a single row."""
    rng, lengths = np.random.default_rng(2), np.array([5, 1, 7])
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["pixels"] = rng.integers(0, 256, (13, 64, 64, 3), dtype=np.uint8)
        file["action"] = rng.uniform(-1, 1, (13, 2)).astype(np.float32)
        file["ep_len"], file["ep_offset"] = lengths, np.cumsum(lengths) - lengths
    return tmp_path / "d.h5"


def pixels_of(path):
    with h5py.File(path) as file:
        return file["pixels"][:]


def test_every_frame_is_encoded_as_the_model_encodes_it(collection, checkpoint, tmp_path):
    told, out = [], tmp_path / "deep" / "slots.safetensors"
    encoder = load_encoder(checkpoint, None, "cpu", 0)
    made = encode_dataset(collection / "pusht.h5", out, encoder, lambda *n: told.append(n))
    found, ours = read_slots(out), read_trajectories(collection)
    assert found.slots.dtype == np.float16
    assert found.slots.shape == (len(ours.states), 3, 16)
    assert np.array_equal(found.slots, made.slots)
    assert np.array_equal(found.actions, ours.actions, equal_nan=True)
    assert np.array_equal(found.lengths, ours.lengths)
    assert np.array_equal(found.offsets, ours.offsets)
    assert (found.model, found.source) == ("tiny", "pusht.h5")
    assert found.digest == file_digest(checkpoint / "model.safetensors")
    assert told == [(n, 6) for n in range(1, 7)]
    assert [path.name for path in out.parent.iterdir()] == ["slots.safetensors"]
    frames, rows = pixels_of(collection / "pusht.h5"), [0, 5, int(ours.offsets[3]), len(ours.states) - 1]
    with torch.inference_mode():
        wanted = encoder.net.encode(torch.from_numpy(frames[rows]))
    assert found.slots[rows] == pytest.approx(wanted.numpy(), abs=5e-3)


@pytest.mark.parametrize("chunk", [2, 128])
def test_videosaur_s_slots_are_carried_through_a_trajectory_and_no_further(
    chunk, source, videosaur, tmp_path, monkeypatch
):
    monkeypatch.setattr("pushjepa.pusht.encode._CHUNK", chunk)
    encoder = VideoSaurSlots(videosaur, torch.device("cpu"), 4, SAUR)
    found = encode_dataset(source, tmp_path / "s.safetensors", encoder)
    frames = torch.from_numpy(pixels_of(source))
    with torch.inference_mode():
        for first, length in zip(found.offsets, found.lengths, strict=True):
            rows = slice(first, first + length)
            wanted = encoder.net.encode(frames[None, rows], torch.Generator().manual_seed(4))[0]
            assert found.slots[rows] == pytest.approx(wanted.numpy(), abs=3e-3)
    assert (found.model, found.digest) == ("saur.ckpt", file_digest(videosaur))


def test_the_seed_decides_where_slots_start(source, videosaur, tmp_path):
    def slots(seed):
        encoder = VideoSaurSlots(videosaur, torch.device("cpu"), seed, SAUR)
        return encode_dataset(source, tmp_path / "s.safetensors", encoder).slots

    first = slots(0)
    assert np.array_equal(first, slots(0))
    assert not np.allclose(first, slots(1), atol=1e-2)


def test_the_docs_read_the_file_as_it_is(source, checkpoint, tmp_path, monkeypatch):
    page = (Path(__file__).resolve().parents[2] / "docs" / "pusht.md").read_text()
    (example,) = (code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "read_slots" in code)
    encode_dataset(
        source, tmp_path / "data/pusht-eval/pusht.slots.safetensors", load_encoder(checkpoint, None, "cpu", 0)
    )
    monkeypatch.chdir(tmp_path)
    names: dict[str, np.ndarray] = {}
    exec(example, names)  # noqa: S102  what is on the page
    assert names["slots"].shape == (7, 3, 16)
    assert names["actions"].shape == (7, 2)


class Bright:
    """Gives the frame's first pixel as its only slot, times a factor."""

    name, digest, shape, frame_size = "bright", "0", (1, 3), None

    def __init__(self, factor=1.0):
        self.factor = factor

    def encode(self, frames, previous):
        return torch.from_numpy(frames[:, :1, 0].astype(np.float32)) * self.factor


def test_rows_stay_where_they_are(source, tmp_path):
    found = encode_dataset(source, tmp_path / "s.safetensors", Bright())
    assert np.array_equal(found.slots[:, 0], pixels_of(source)[:, 0, 0].astype(np.float16))


def test_a_run_that_fails_leaves_the_older_file(source, tmp_path):
    out = tmp_path / "s.safetensors"
    encode_dataset(source, out, Bright())
    before = out.read_bytes()
    with pytest.raises(ValueError, match=r"rows 0 \.\.\. 4 have slots that half precision cannot hold"):
        encode_dataset(source, out, Bright(1e4))
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.pop("pixels"), "lacks the column 'pixels'"),
        (lambda f: f.pop("action"), "lacks the column 'action'"),
        (lambda f: f.pop("ep_len"), "lacks the column 'ep_len'"),
        (
            lambda f: f.update(pixels=f["pixels"][:, :32, :32]),
            "tiny takes frames of 64 x 64 px; those in .* are 32 x 32",
        ),
        (lambda f: f.update(pixels=f["pixels"][..., :1]), r"pixels must be \(M, H, W, 3\) uint8, got"),
        (lambda f: f.update(pixels=f["pixels"][:-1]), "has 12 frames but 13 actions"),
        (lambda f: f.update(ep_len=f["ep_len"] + 1), "do not fill its 13 rows"),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused(change, said, source, checkpoint, tmp_path):
    with h5py.File(source) as file:
        columns = {name: file[name][:] for name in file}
    change(columns)
    with h5py.File(source, "w") as file:
        for name, values in columns.items():
            file[name] = values
    with pytest.raises(ValueError, match=said) as refused:
        encode_dataset(source, tmp_path / "s.safetensors", load_encoder(checkpoint, None, "cpu", 0))
    assert "\n" not in str(refused.value)


def test_a_file_of_something_else_is_refused(source, tmp_path):
    path = tmp_path / "s.safetensors"
    with pytest.raises(ValueError, match="no such file"):
        read_slots(path)
    path.write_bytes(b"noise")
    with pytest.raises(ValueError, match=r"is no \.safetensors file"):
        read_slots(path)
    encode_dataset(source, path, Bright())
    parts = load_file(path)
    save_file(parts, path, metadata={"format": "other"})
    with pytest.raises(ValueError, match="holds 'other', not slots"):
        read_slots(path)
    save_file(parts | {"actions": parts["actions"][1:]}, path, metadata={"format": "pushjepa-slots-1"})
    with pytest.raises(ValueError, match="do not fit together"):
        read_slots(path)


def test_the_command_writes_a_file_or_one_line(source, checkpoint, videosaur, tmp_path, command):
    code, out, err = command("pusht", "encode", "--data", str(source), "--model", str(checkpoint), "--device", "cpu")
    assert code == 0, err
    assert "13 frames of 3 trajectories, 3 x 16" in " ".join(out.split())
    assert read_slots(tmp_path / "d.slots.safetensors").model == "tiny"
    for words, said in (
        ([], "--model FOLDER"),
        (["--model", checkpoint, "--videosaur", videosaur], "--model FOLDER"),
        (["--model", checkpoint, "--data", tmp_path / "none.h5"], "no such file"),
        (["--videosaur", tmp_path / "none.ckpt"], "no such file"),
        (["--videosaur", videosaur], "saur.ckpt has initializer.mean of shape|saur.ckpt lacks"),
        (["--model", checkpoint, "--device", "abacus"], "unknown device 'abacus'"),
    ):
        code, out, err = command("pusht", "encode", "--data", str(source), *map(str, words))
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert any(part in err for part in said.split("|"))
