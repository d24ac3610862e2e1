"""The peer's training: which block goes with which frame, what is not predicted, and whole runs on a tiny preset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("pygame", reason="pygame is not installed")
pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")

from pushjepa.nets.mech import MechJEPA, encode_pusht_state
from pushjepa.nets.mech_config import MechConfig
from pushjepa.nets.peer_config import PeerConfig
from pushjepa.pusht.adapters import ActionNormaliser
from pushjepa.pusht.collect import Trajectories, read_trajectories
from pushjepa.pusht.expert import Trajectory
from pushjepa.pusht.model import load_net, save_model
from pushjepa.pusht.peer import Tokens, build_peer, load_peer
from pushjepa.pusht.stable import LeWM
from pushjepa.training.peer import PeerPhase, PeerTask, probe
from pushjepa.training.presets import LossWeights, PhaseConfig, parse_preset
from pushjepa.training.pusht_batches import PushTFrames, PushTWindows
from pushjepa.training.recipe import TrainingOptions, train

TINY = """
task = "peer"
seed = 3
[model]
frame_size = 32
width = 16
points = 3
depth = 1
heads = 2
head_width = 8
mlp_hidden = 32
projector_hidden = 16
[[phase]]
kind = "joint"
steps = 4
batch = 8
learning_rate = 1e-3
warmup_steps = 2
moved = 0.4
validate_every = 2
validation = 16
"""
PHASE = PhaseConfig(kind="joint", steps=4, batch=8, learning_rate=1e-3)
STATISTICS = ActionNormaliser(np.array([0.01, -0.02]), np.array([0.02, 0.05]))


class ColourEncoder(torch.nn.Module):
    """Embeds a frame as its colour; keeps the pixels that it was given."""

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(1))
        self.seen = []

    def forward(self, pixels, interpolate_pos_encoding=False):
        self.seen.append(pixels)
        return Tokens(self.one * pixels[:, None, 0, 0, :1])


class FirstAction(torch.nn.Module):
    """1000 times the first x of a normalised block, as the environment would be told it."""

    def forward(self, blocks):
        return 1000 * (blocks[..., :1] * 0.02 + 0.01)


class Five(torch.nn.Module):
    """Says that 5 rows after row r, of which the action tells r, comes row r + 5, whatever was seen."""

    def forward(self, embeddings, actions):
        return actions + 5


def colour_window(row):
    """The window at a row of a trajectory whose row r has colour r, and r / 1000 for its action."""
    states = np.repeat(np.arange(23, dtype=np.float64)[:, None], 7, axis=1)
    actions = np.repeat(np.arange(22)[:, None] / 1000.0, 2, axis=1)
    cut = PushTWindows(Trajectories.of([Trajectory(states, actions, states[-1], True)], [True]), 3, 5)
    rows, batch = cut.at(np.flatnonzero(cut.now == row))
    frames = np.broadcast_to(rows[..., None, None, None], (*rows.shape, 8, 8, 3)).astype(np.uint8)
    return rows, batch._replace(items=torch.from_numpy(frames.copy()))


@pytest.fixture
def toy():
    phase = PeerPhase(LeWM(ColourEncoder(), Five(), FirstAction()), PHASE, LossWeights(sigreg=0.0), 1, STATISTICS)
    phase.log_dict = lambda *metrics, **how: None
    return phase


def test_the_block_after_a_frame_leads_to_the_next(toy):
    rows, batch = colour_window(17)
    embeddings, predicted = toy.predict(batch)
    assert embeddings[0, :, 0].tolist() == rows[0].tolist() == [7, 12, 17, 22]
    assert predicted[0, :, 0].tolist() == pytest.approx([12, 17, 22], abs=1e-3)
    assert toy.training_step(batch, 0).item() == pytest.approx(0.0, abs=1e-5)


def test_padding_is_not_predicted(toy):
    _, batch = colour_window(5)
    assert batch.known.tolist() == [[False, True, True]]
    _, predicted = toy.predict(batch)
    assert predicted[0, 0, 0].item() != pytest.approx(0.0, abs=0.5)  # the toy is wrong about what is repeated
    assert toy.training_step(batch, 0).item() == pytest.approx(0.0, abs=1e-5)
    toy.validation_step(batch, 0)
    seen = toy.kept()
    assert (seen["pred"].shape, seen["copy"].tolist()) == ((2,), [25.0, 25.0])


def test_the_weight_of_sigreg_counts(toy):
    _, batch = colour_window(17)
    without, toy.weights = toy.training_step(batch, 0), LossWeights(sigreg=0.5)
    torch.manual_seed(0)
    loss = toy.training_step(batch, 0)
    torch.manual_seed(0)
    sigreg = toy.regulariser(toy.predict(batch)[0].transpose(0, 1))
    assert sigreg > 0
    assert (loss - without).item() == pytest.approx(0.5 * sigreg.item(), abs=1e-4)


def test_the_encoder_is_given_frames_as_they_are(trajectories, toy):
    batch = PushTFrames(PushTWindows(read_trajectories(trajectories), 3, 5), 32, PHASE, 1)[0]
    toy.predict(batch)
    (pixels,) = toy.model.encoder.seen
    assert pixels.shape == (8 * 4, 3, 32, 32)
    assert pixels.max() == 255
    assert torch.equal(pixels, batch.items.flatten(0, 1).permute(0, 3, 1, 2).float())


def test_a_probe_reads_what_is_there_and_no_more():
    generator = torch.Generator().manual_seed(0)
    states = torch.rand(400, 7, generator=generator) * torch.tensor([512.0, 512, 512, 512, 6.28, 0, 0])
    mixed = encode_pusht_state(states) @ torch.randn(6, 16, generator=generator) + 3.0
    told = probe(mixed, states)
    assert set(told) == {"probe_agent_px", "probe_block_px", "probe_angle_deg"}
    assert max(told.values()) < 1.0
    blind = probe(torch.randn(400, 16, generator=generator), states)
    assert min(blind.values()) > 50.0
    assert probe(torch.zeros(400, 16), states)["probe_block_px"] > 50.0, "collapsed embeddings are no error"


@pytest.fixture(scope="module")
def run(trajectories, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(parse_preset("tiny", TINY), TrainingOptions((trajectories,), out, device="cpu", threads=1))
    return out


def test_a_run_ends_in_a_checkpoint_that_gives_the_same(run, trajectories):
    peer = load_peer(run / "checkpoint")
    trained = build_peer(peer.config).eval()
    trained.load_state_dict(load_file(run / "0-joint" / "model.safetensors"))
    untrained = build_peer(peer.config).eval()
    window = {"pixels": torch.randint(0, 256, (2, 3, 3, 32, 32), dtype=torch.uint8), "action": torch.randn(2, 3, 10)}
    outputs = []
    with torch.no_grad():
        for net in (peer.net, trained, untrained):
            seen = net.encode(dict(window))
            outputs.append(net.predict(seen["emb"], seen["act_emb"]))
    assert not peer.net.training
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    learned = read_trajectories(trajectories).take(0, 4)  # the fifth trajectory is held out
    assert np.array_equal(peer.actions.mean, ActionNormaliser.of(learned.actions).mean)
    assert np.array_equal(peer.actions.std, ActionNormaliser.of(learned.actions).std)


def test_the_folder_tells_what_it_holds(run):
    folder = run / "checkpoint"
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    config, card = json.loads((folder / "config.json").read_text()), (folder / "README.md").read_text()
    assert config["format"] == "pushjepa-peer-1"
    assert config["model"]["width"] == 16
    assert f"| total | {config['parameters']['total']:,} |" in card
    for name in ("val_pred", "val_copy", "probe_agent_px", "probe_block_px"):
        assert name in config["metrics"]["0-joint"]
        assert name in card


def test_a_stopped_run_resumes_to_the_very_same_weights(run, trajectories, tmp_path, train_in_two_sittings):
    options = TrainingOptions((trajectories,), tmp_path, device="cpu", threads=1)
    train_in_two_sittings(parse_preset("tiny", TINY), options, PeerPhase)
    one, two = (load_file(p / "checkpoint" / "model.safetensors") for p in (run, tmp_path))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_starts_from_weights_of_the_same_architecture_only(run, trajectories):
    task = PeerTask(parse_preset("tiny", TINY), trajectories)
    fresh = task.make_model()
    task.load_weights(fresh, run / "checkpoint")
    saved = load_file(run / "checkpoint" / "model.safetensors")
    assert all(torch.equal(value, saved[name]) for name, value in fresh.state_dict().items())
    other = PeerTask(parse_preset("other", TINY.replace("depth = 1", "depth = 2")), trajectories)
    with pytest.raises(ValueError, match="depth=1, this preset 2: another architecture"):
        other.load_weights(other.make_model(), run / "checkpoint")
    with pytest.raises(ValueError, match=r"config\.json is missing"):
        task.read_start(trajectories)


@pytest.fixture(scope="module")
def eyes(trajectories, tmp_path_factory) -> Path:
    """The checkpoint folder of an untrained single-token model of ours."""
    torch.manual_seed(9)
    sizes = {"frame_size": 32, "slots": 1, "width": 16, "points": 3, "layers": 1, "heads": 2, "mlp_hidden": 32}
    folder = tmp_path_factory.mktemp("eyes")
    net = MechJEPA(MechConfig(**sizes, mechanism="none", head_hidden=16, unroll_hidden=0))
    save_model(net, folder, preset={"name": "eyes"}, data={"seed": 7}, metrics={})
    return folder


def test_it_learns_on_the_resting_encoder_of_our_model(eyes, trajectories, tmp_path):
    preset = parse_preset("frozen", TINY.replace('kind = "joint"', 'kind = "latents"\nbranches = 2'))
    with pytest.raises(ValueError, match="trained already; say which by --init-from"):
        train(preset, TrainingOptions((trajectories,), tmp_path, device="cpu", threads=1))
    train(preset, TrainingOptions((trajectories,), tmp_path, init_from=eyes, device="cpu", threads=1))
    peer, ours = load_peer(tmp_path / "checkpoint"), load_net(eyes)
    assert peer.learned["start"] == {"seed": 7}
    assert "started from weights" in (tmp_path / "checkpoint" / "README.md").read_text()
    theirs = peer.net.encoder.slots.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.encoder.state_dict().items())
    assert (
        "| 0 | latents | 4 | 8 | moved 0.4, 2 branches | all | 0.001 |  | 0.001 | 0.09 | learning |"
        in (tmp_path / "checkpoint" / "README.md").read_text()
    )
    task = PeerTask(preset, trajectories)
    start = task.make_model()
    assert not torch.equal(start.projector.net[0].weight, peer.net.projector.net[0].weight)


def test_sigreg_looks_along_as_many_directions_as_the_preset_says(trajectories):
    preset = parse_preset("tiny", TINY.replace("[[phase]]", "[loss]\ndirections = 5\n[[phase]]", 1))
    task = PeerTask(preset, trajectories)
    phase = task.make_phase(task.make_model(), preset.phases[0], 1)
    assert phase.regulariser.num_proj == 5
    assert phase.sigreg.projections == 5, "our own models' too"


def test_what_the_peer_is_validated_on_knows_no_branches(trajectories, monkeypatch):
    preset, asked = parse_preset("frozen", TINY.replace('kind = "joint"', 'kind = "latents"\nbranches = 2')), []
    task = PeerTask(preset, trajectories)

    def branch(found, count, seed):
        asked.append((len(found), count))
        return found.take(0, 1)

    monkeypatch.setattr("pushjepa.training.peer.with_branches", branch)
    monkeypatch.setattr("pushjepa.training.peer.PhaseData", lambda training, validation, *_: (training, validation))
    training, validation = task.build_data(task.make_model(), preset.phases[0], 1, 0, torch.device("cpu"))
    assert asked == [(len(task.training), 2)]
    assert len(training._windows.states) == task.training.lengths[0]
    assert np.array_equal(validation._windows.states, task.held_out.states)


def test_embeddings_of_cached_tokens_are_those_of_frames(eyes, trajectories):
    """What the phase on cached tokens is shown of a window is what the whole model makes of its frames."""
    preset = parse_preset("frozen", TINY.replace('kind = "joint"', 'kind = "latents"'))
    task = PeerTask(preset, trajectories)
    model = task.make_model()
    task.load_weights(model, eyes)
    cached = task.make_phase(model, preset.phases[0], 1)
    data = task.build_data(model, preset.phases[0], 1, 0, torch.device("cpu"))
    model.eval()
    windows = PushTWindows(task.held_out, 3, 5)
    frames = PushTFrames(windows, 32, preset.phases[0], 2)[0]
    tokens = next(iter(data.val_dataloader()))
    assert torch.equal(frames.states, tokens.states), "both draw the same windows"
    cached.mean, cached.std = torch.tensor(STATISTICS.mean).float(), torch.tensor(STATISTICS.std).float()
    with torch.no_grad():
        wanted = PeerPhase(model, PHASE, LossWeights(), 1, STATISTICS).predict(frames)
        found = cached.predict(tokens)
    for one, other in zip(wanted, found, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_eyes_of_another_size_are_refused(eyes, trajectories):
    task = PeerTask(parse_preset("other", TINY.replace("points = 3", "points = 4")), trajectories)
    with pytest.raises(ValueError, match="points=3, this preset 4: another architecture"):
        task.load_weights(task.make_model(), eyes)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("depth = 1", "depth = 0"), "depth must be at least 1, got 0"),
        (("depth = 1", "layers = 1"), "unknown model option 'layers'"),
        (("frame_size = 32", "frame_size = 30"), "must divide by 4, got 30"),
        (("depth = 1", "dropout = 1.0"), "dropout must lie in"),
        (('kind = "joint"', 'kind = "scenes"'), "phases joint and latents, not scenes"),
        (("moved = 0.4", "masked = 0.4"), "masked is for our own models"),
        (("moved = 0.4", "matrix_rate = 0.01"), "matrix_rate is for our own models"),
    ],
)
def test_a_preset_that_the_peer_would_not_heed_is_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        parse_preset("tiny", TINY.replace(*changed))


def test_the_encoder_is_the_one_of_the_single_token_model():
    from pushjepa.training.presets import load_preset

    ours, theirs = load_preset("pusht-compact").model, load_preset("pusht-peer").model
    assert isinstance(theirs, PeerConfig)
    names = ("frame_size", "slots", "width", "points", "channels", "history", "frameskip")
    assert [getattr(theirs.encoder(), name) for name in names] == [getattr(ours, name) for name in names]
