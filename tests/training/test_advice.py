"""Learning advice from played matches: what is learned is what is played with, and it can be learned again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from safetensors import safe_open

from pushjepa.data import Experience
from pushjepa.nets.advice import AdviceNet
from pushjepa.physics import Pillar, flip_block, flip_state, mirror_block, mirror_state
from pushjepa.planning import Advice, find_advice
from pushjepa.planning.advice import FEATURES, LEAST_STD, MODES, Perceptron, Prior, features, margin, outputs_of_prior
from pushjepa.relay.stages import STAGES, Stage
from pushjepa.training.advice import AdviceOptions, learn_advice, prior_mixture, samples_of, value_figures

TINY = AdviceOptions(seed=2, hidden=16, layers=1, prior_steps=20, value_steps=20, batch=32, dropout=0.2)


def experience(matches: int = 12, seed: int = 0) -> Experience:
    """Matches in which the side to move wants to push the block home, and the one whose agent is nearer to it does."""
    rng = np.random.default_rng(seed)
    actors = (rng.integers(2, size=matches)[:, None] + np.arange(10)) % 2
    states = np.empty((matches, 11, 7))
    states[:, :, :4] = rng.uniform(40, 472, (matches, 11, 4))
    states[:, 0, 4:6] = rng.uniform(200, 312, (matches, 2))
    states[:, :, 6] = rng.uniform(-np.pi, np.pi, (matches, 1))
    plans = np.clip(rng.normal(0.0, 0.1, (matches, 10, 5, 2)), -1, 1)
    for match in range(matches):
        way = 1.0 if np.hypot(*(states[match, 0, :2] - states[match, 0, 4:6])) < 150 else -1.0
        for turn, actor in enumerate(actors[match]):
            plans[match, turn, :, 0] = 0.8 if actor == 0 else -0.8
            states[match, turn + 1, 4:6] = np.clip(states[match, turn, 4:6] + [10.0 * way, 0.0], 60, 452)
    return Experience(
        stages=("open", "gate"),
        stage=np.arange(matches) % 2,
        states=states.astype(np.float32),
        actors=actors,
        blocks=plans.astype(np.float32),
        plans=plans.astype(np.float32),
        asked=plans[:, :, None].astype(np.float32),
        players=np.full((matches, 2), "jepa-reply"),
        about={"model": "toy", "weights": "ab12", "seed": seed},
    )


def mirrored(played: Experience) -> Experience:
    """The same matches with the seats swapped."""
    return Experience(
        stages=played.stages,
        stage=played.stage,
        states=mirror_state(played.states).astype(np.float32),
        actors=1 - played.actors,
        blocks=mirror_block(played.blocks).astype(np.float32),
        plans=mirror_block(played.plans).astype(np.float32),
        asked=mirror_block(played.asked).astype(np.float32),
        players=played.players[:, ::-1],
        about=played.about,
    )


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    out = tmp_path_factory.mktemp("advice") / "new" / "advice.safetensors"
    return out, learn_advice(experience(), out, TINY)


def test_numpy_gives_what_torch_gives():
    torch.manual_seed(0)
    net = AdviceNet(FEATURES, outputs_of_prior(MODES), 16, 2, dropout=0.5).eval()
    run = Perceptron({name: value.numpy() for name, value in net.state_dict().items()})
    x = 20.0 * np.random.default_rng(0).standard_normal((7, FEATURES)).astype(np.float32)
    with torch.no_grad():
        assert run(x) == pytest.approx(net(torch.from_numpy(x)).numpy(), abs=1e-4)


def test_numpy_mixes_what_torch_mixes():
    torch.manual_seed(1)
    net = AdviceNet(FEATURES, outputs_of_prior(MODES), 16, 1).eval()
    prior = Prior(Perceptron({name: value.numpy() for name, value in net.state_dict().items()}))
    state = experience().states[3, 4].astype(np.float64)
    weights, means, stds = (part[0] for part in prior.mixture(state[None], "p1", 6))
    with torch.no_grad():
        mixture = prior_mixture(net(torch.from_numpy(features(state[None], 6))))
    order = mixture.logits[0].argsort(descending=True)
    assert weights == pytest.approx(mixture.logits[0].softmax(-1)[order].numpy(), abs=1e-5)
    assert means == pytest.approx(mixture.means[0, order, 0].numpy(), abs=1e-5)
    assert stds == pytest.approx(mixture.stds[0, order, 0].numpy(), abs=1e-5)
    assert stds.min() > LEAST_STD


def test_samples_are_seen_by_the_side_to_move():
    played = experience()
    samples = samples_of(played, np.array([2, 5]))
    assert samples.states.shape == (22, 7)
    assert samples.left[:11].tolist() == list(range(10, -1, -1))
    ends = margin(played.states[:, -1].astype(float))
    assert samples.match.tolist() == [0] * 11 + [1] * 11
    for row, match in ((0, 2), (11, 5)):
        for turn in range(11):
            first = int(played.actors[match, 0])
            moves = (first + turn) % 2
            state = played.states[match, turn].astype(float)
            assert np.allclose(samples.states[row + turn], state if moves == 0 else mirror_state(state))
            assert samples.ends[row + turn] == pytest.approx(ends[match] * (1 if moves == 0 else -1))
    assert np.allclose(samples.plans[:10, :, 0], 0.8)  # towards the own goal, whoever it was
    assert not samples.plans[10].any()
    assert len(samples.playable().left) == 20
    upside_down = samples.flipped()
    assert np.array_equal(upside_down.states, flip_state(samples.states))
    assert np.array_equal(upside_down.plans, flip_block(samples.plans))
    assert np.array_equal(upside_down.ends, samples.ends)


def test_the_seats_swapped_teach_the_same():
    matches = np.arange(4)
    ours, theirs = samples_of(experience(), matches), samples_of(mirrored(experience()), matches)
    for name in ("left", "ends", "plans"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=1e-3)
    assert ours.states[:, :6] == pytest.approx(theirs.states[:, :6], abs=1e-3)


def test_positions_are_blurred_and_nothing_else_is():
    samples = samples_of(experience(200), np.arange(200))
    seen = samples.blurred(1.5, np.random.default_rng(0))
    off = seen.states - samples.states
    # The root of the mean square of U x N(0, 1), U uniform up to 1.5 px, is 1.5 / sqrt(3).
    assert np.sqrt(np.square(off).mean(axis=0)) == pytest.approx([0.866] * 6 + [np.radians(0.433)], rel=0.1)
    for name in ("match", "left", "ends", "plans"):
        assert np.array_equal(getattr(seen, name), getattr(samples, name))
    assert np.array_equal(samples.blurred(0.0, np.random.default_rng(0)).states, samples.states)


def test_the_interval_is_one_over_matches_and_a_constant_guess_tells_nothing():
    class Still(torch.nn.Module):
        def forward(self, x):
            return torch.zeros(len(x), 1)

    samples = samples_of(experience(20), np.arange(20)).playable()
    found = value_figures(Still(), samples, np.random.default_rng(0))
    assert found["matches"] == 20
    assert found["value_px"] == pytest.approx(found["margin_px"])
    each = np.abs(margin(samples.states) - samples.ends).reshape(20, 10).mean(axis=1)
    width = 2 * 1.96 * each.std() / np.sqrt(20)
    assert found["value_px_high"] - found["value_px_low"] == pytest.approx(width, rel=0.25)
    assert found["value_px_low"] < found["value_px"] < found["value_px_high"]
    rows = samples.at(np.flatnonzero(samples.match == 0)[:1].repeat(5))
    constant = value_figures(Still(), rows, np.random.default_rng(0))
    assert (constant["value_correlation"], constant["margin_correlation"]) == (0.0, 0.0)


def test_the_file_holds_both_and_tells_how_it_came_about(learned):
    out, figures = learned
    advice = Advice.load(out)
    state = experience().states[0, 0].astype(float)
    assert advice.prior.propose(state, "p2", 10, 9, np.random.default_rng(0)).shape == (9, 5, 2)
    assert np.isfinite(advice.value(state[None], "p1", "p2", 10)).all()
    with safe_open(str(out), framework="numpy") as file:
        about = json.loads(file.metadata()["about"])
    assert about["held_out"] == figures
    assert about["matches"] == 12
    assert about["experience"] == {"model": "toy", "weights": "ab12", "seed": 0}
    assert figures["matches"] == 1
    assert figures["value_px_low"] <= figures["value_px"] <= figures["value_px_high"]
    assert set(figures) == {
        *("matches", "value_px", "value_px_low", "value_px_high", "value_correlation"),
        *("margin_px", "margin_px_low", "margin_px_high", "margin_correlation"),
        *("prior_log_likelihood", "prior_nearest", "drawn_nearest"),
    }


def test_the_same_seed_learns_the_same(learned, tmp_path):
    out, figures = learned
    torch.manual_seed(99)
    again = tmp_path / "again.safetensors"
    assert learn_advice(experience(), again, TINY) == figures
    ours, theirs = Advice.load(out), Advice.load(again)
    for one, other in ((ours.prior, theirs.prior), (ours.value, theirs.value)):
        assert all(np.array_equal(one.net.weights[name], other.net.weights[name]) for name in one.net.weights)


def test_it_learns_what_there_is_to_learn(tmp_path):
    options = AdviceOptions(hidden=32, layers=1, prior_steps=150, value_steps=150, batch=128, rate=5e-3, held_out=0.2)
    figures = learn_advice(experience(60), tmp_path / "a.safetensors", options)
    assert figures["value_px"] < 0.8 * figures["margin_px"]
    assert figures["value_correlation"] > 0.8
    assert figures["prior_nearest"] < 0.25 < figures["drawn_nearest"]
    advice = Advice.load(tmp_path / "a.safetensors")
    state = experience(3, seed=9).states[0, 0].astype(float)
    for side, way in (("p1", 0.8), ("p2", -0.8)):
        means = advice.prior.propose(state, side, 10, 1, np.random.default_rng(0))
        assert means[..., 0] == pytest.approx(way, abs=0.2)


def test_too_few_matches_or_senseless_options_are_refused(tmp_path):
    with pytest.raises(ValueError, match="too few"):
        learn_advice(experience(1), tmp_path / "a.safetensors", TINY)
    for options in ({"hidden": 0}, {"held_out": 1.0}, {"rate": 0.0}, {"dropout": 1.0}, {"blur": -1.0}):
        with pytest.raises(ValueError, match="must"):
            AdviceOptions(**options)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Stage("odd", goal=(460.0, 256.0)), "stage odd has its goals elsewhere"),
        (Stage("odd", obstacles=(Pillar(256.0, 100.0, 24.0),)), "stage odd is not the same upside down"),
    ],
    ids=["goals", "obstacles"],
)
def test_stages_that_teach_something_else_are_refused(tmp_path, monkeypatch, stage, message):
    monkeypatch.setitem(STAGES, "odd", stage)
    with pytest.raises(ValueError, match=message):
        learn_advice(dataclasses.replace(experience(), stages=("open", "odd")), tmp_path / "a.safetensors", TINY)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The command on a small experience, with the smallest networks."""
    import pushjepa.training.advice as room

    monkeypatch.setattr(room, "AdviceOptions", lambda seed: AdviceOptions(**{**vars(TINY), "seed": seed}))
    experience().save(tmp_path / "e.npz")
    return ("advise", "--experience", str(tmp_path / "e.npz"))


def test_the_command_learns_and_says_how_well(tmp_path, command, tiny):
    out = tmp_path / "a.safetensors"
    code, printed, _ = command(*tiny, "--out", str(out), "--seed", "3")
    assert code == 0
    assert "held-out matches: 1," in printed
    assert "] off the final margin" in printed
    assert Advice.load(out).prior is not None


def test_the_command_replaces_advice_only_when_asked(tmp_path, command, tiny):
    out = tmp_path / "a.safetensors"
    out.write_text("mine")
    code, _, complaint = command(*tiny, "--out", str(out))
    assert (code, complaint.count("\n")) == (2, 1)
    assert "exists already" in complaint
    assert out.read_text() == "mine"
    assert command(*tiny, "--out", str(out), "--replace")[0] == 0
    assert Advice.load(out).value is not None


def test_the_command_puts_advice_where_players_look_for_it(tmp_path, command, tiny):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    code, _, complaint = command(*tiny, "--model", str(folder))
    assert (code, complaint.count("\n")) == (2, 1)
    assert "is no checkpoint folder" in complaint
    (folder / "config.json").write_text(json.dumps({"files": {"model.safetensors": "ab12"}}))
    assert command(*tiny, "--model", str(folder))[0] == 0
    assert Advice.load(find_advice(folder)).prior is not None
    for places in ((), ("--model", str(folder), "--out", str(tmp_path / "a.safetensors"))):
        code, _, complaint = command(*tiny, *places)
        assert (code, complaint.count("\n")) == (2, 1)
        assert "either --model FOLDER" in complaint


def test_the_command_without_experience_is_one_line(tmp_path, command):
    code, printed, complaint = command("advise", "--experience", str(tmp_path / "none.npz"), "--out", "x.safetensors")
    assert (code, printed) == (2, "")
    assert complaint.count("\n") == 1
    assert "none.npz" in complaint
