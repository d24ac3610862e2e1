"""Whole runs on a tiny preset: from episodes to a model that plays, stopped and resumed, started from another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pushjepa.nets import JEPA
from pushjepa.physics import LAWS, VISIBLE
from pushjepa.planning.policies import PlanningPolicy
from pushjepa.relay.match import Match, MatchSetup
from pushjepa.runtime import load_model
from pushjepa.training.modules import JointPhase, Phase, TurnsPhase
from pushjepa.training.presets import PhaseConfig, Preset
from pushjepa.training.recipe import TrainingOptions, train

SUBSTEPS = PhaseConfig(
    "substeps", steps=4, batch=64, learning_rate=1e-2, warmup_steps=2, eventful=0.75, validate_every=2, validation=64
)


def options(episodes: Path, out: Path, init_from: Path | None = None) -> TrainingOptions:
    return TrainingOptions((episodes,), out, init_from, device="cpu", threads=1)


def test_a_run_ends_in_a_checkpoint_that_plans_a_turn(run: Path) -> None:
    model = load_model(run / "checkpoint", threads=1)
    match = Match(MatchSetup(stage="gate", seed=0))
    policy = PlanningPolicy(model, "p1")
    plan = policy.plan(match.observation(policy), np.random.default_rng(0))
    assert match.play(plan.block).shape == (5, 7)


def test_the_card_and_the_config_tell_of_the_run(run: Path, tiny: Preset) -> None:
    folder = run / "checkpoint"
    card = (folder / "README.md").read_text()
    config = json.loads((folder / "config.json").read_text())
    assert config["preset"]["phases"][1]["moved"] == tiny.phases[1].moved
    assert config["data"]["episodes"] == 60
    assert f"| total | {config['parameters']['total']:,} |" in card
    for name in ("val_pred", "val_state", "decode_block_px", "turn_block_px", "push_ratio", "samples_per_s"):
        assert name in config["metrics"]["3-latents"]
        assert name in card


def test_what_is_bundled_weighs_each_number_once(run: Path) -> None:
    folder = run / "checkpoint"
    numbers = sum(t.numel() for t in load_file(folder / "model.safetensors").values())
    assert (folder / "model.safetensors").stat().st_size < 2 * numbers + 60_000


@pytest.mark.parametrize(("phase", "folder"), [(JointPhase, "1-joint"), (TurnsPhase, "2-turns")])
def test_a_stopped_run_resumes_to_the_very_same_weights(
    phase: type[Phase],
    folder: str,
    run: Path,
    episodes: Path,
    tiny: Preset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = phase.training_step

    def fail(self: Phase, batch: object, batch_idx: int) -> torch.Tensor:
        if self.global_step == 3:
            raise RuntimeError("pulled the plug")
        return step(self, batch, batch_idx)  # type: ignore[arg-type]

    monkeypatch.setattr(phase, "training_step", fail)
    with pytest.raises(RuntimeError, match="plug"):
        train(tiny, options(episodes, tmp_path))
    assert (tmp_path / folder / "last.ckpt").exists()
    monkeypatch.setattr(phase, "training_step", step)
    train(tiny, options(episodes, tmp_path))
    ours, theirs = (load_file(f / "3-latents" / "model.safetensors") for f in (tmp_path, run))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_run_starts_from_the_weights_it_is_given(run: Path, episodes: Path, tiny: Preset, tmp_path: Path) -> None:
    frozen = replace(tiny, phases=(replace(tiny.phases[3], learning_rate=1e-12, weight_decay=0.0),))
    folder = train(frozen, options(episodes, tmp_path, init_from=run / "checkpoint"))
    ours, theirs = (load_file(f / "model.safetensors") for f in (folder, run / "checkpoint"))
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=1e-9, rtol=1e-6)
    learned, before = (json.loads((f / "config.json").read_text())["data"] for f in (folder, run / "checkpoint"))
    assert learned == before | {"start": before}
    assert "start" not in before


def test_weights_of_another_architecture_are_refused(run: Path, episodes: Path, tiny: Preset, tmp_path: Path) -> None:
    other = replace(tiny, model=replace(tiny.model, layers=2))
    with pytest.raises(ValueError, match="layers=1, this preset 2"):
        train(other, options(episodes, tmp_path, init_from=run / "checkpoint"))


def test_a_folder_of_another_preset_is_refused(run: Path, episodes: Path, tiny: Preset) -> None:
    with pytest.raises(ValueError, match="another preset"):
        train(replace(tiny, seed=4), options(episodes, run))


def test_the_turns_phase_trains_the_unroll_alone(run: Path) -> None:
    joint, turns = (load_file(run / name / "model.safetensors") for name in ("1-joint", "2-turns"))
    changed = {name.split(".")[0] for name in joint if not torch.equal(joint[name], turns[name])}
    assert changed == {"unroll"}


def test_in_the_latents_phase_the_encoder_rests(run: Path) -> None:
    joint, latents = (load_file(run / name / "model.safetensors") for name in ("1-joint", "3-latents"))
    for name in joint:
        same = torch.equal(joint[name], latents[name])
        if name.startswith(("encoder.", "projector.")):
            assert same, name
    assert not torch.equal(joint["predictor.out.weight"], latents["predictor.out.weight"])


def test_the_substeps_phase_trains_the_unroll_alone(run: Path, episodes: Path, tiny: Preset, tmp_path: Path) -> None:
    alone = replace(tiny, phases=(SUBSTEPS,))
    folder = train(alone, options(episodes, tmp_path, init_from=run / "checkpoint"))
    ours, theirs = (load_file(f / "model.safetensors") for f in (folder, run / "checkpoint"))
    changed = {name for name in theirs if not torch.equal(ours[name], theirs[name])}
    assert {name.split(".")[0] for name in changed} == {"unroll"}
    assert {"unroll.felt", "unroll.stood", "unroll.feelers", "unroll.of_block.2.weight"} <= changed
    figures = json.loads((folder / "config.json").read_text())["metrics"]["0-substeps"]
    assert {"turn_actor_px", "turn_block_px", "val_state"} <= figures.keys()
    assert "eventful 0.75" in (folder / "README.md").read_text()


def test_the_laws_phase_teaches_other_laws_and_nothing_else(
    run: Path, episodes: Path, tiny: Preset, tmp_path: Path
) -> None:
    laws = PhaseConfig(
        "laws",
        steps=4,
        batch=64,
        learning_rate=1e-2,
        eventful=0.75,
        episodes=24,
        validate_every=2,
        validation=64,
    )
    lawful = replace(tiny, model=replace(tiny.model, laws=LAWS), phases=(laws,))
    folder = train(lawful, options(episodes, tmp_path, init_from=run / "checkpoint"))
    ours, theirs = (load_file(f / "model.safetensors") for f in (folder, run / "checkpoint"))
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    assert ours["unroll.laws.out.weight"].any(), "which was zero at first"
    figures = json.loads((folder / "config.json").read_text())["metrics"]["0-laws"]
    assert {"told_actor_px", "told_block_px", "unaware_actor_px", "unaware_block_px"} <= figures.keys()
    assert (folder / "shifted.onnx").is_file()
    assert load_model(folder, threads=1).spec.laws == LAWS


def test_the_glimpses_phase_teaches_a_closer_look_and_nothing_else(
    run: Path, episodes: Path, tiny: Preset, tmp_path: Path
) -> None:
    glimpses = PhaseConfig(
        "glimpses", steps=8, batch=32, learning_rate=1e-3, played=0.5, blur=2.0, validate_every=4, validation=32
    )
    closer = replace(tiny, model=replace(tiny.model, glimpse_hidden=8), phases=(glimpses,))
    folder = train(closer, options(episodes, tmp_path, init_from=run / "checkpoint"))
    ours, theirs = (load_file(f / "model.safetensors") for f in (folder, run / "checkpoint"))
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    assert ours["glimpses.of_block.4.weight"].any(), "which was zero at first"
    figures = json.loads((folder / "config.json").read_text())["metrics"]["0-glimpses"]
    assert {"decode_agent_px", "decode_block_px", "first_decode_agent_px", "first_decode_block_px"} <= figures.keys()
    frames = np.random.default_rng(0).integers(0, 256, (5, *(tiny.model.frame_size,) * 2, 3), dtype=np.uint8)
    seen = load_model(folder, threads=1).encode(frames)[:, 0]
    model = JEPA(closer.model).eval()
    model.load_state_dict({name: value.float() for name, value in ours.items()})
    with torch.no_grad():
        assert np.abs(seen - model.encode(torch.from_numpy(frames)).numpy()).max() < 1e-4, "the graph looks closer too"


def test_the_looks_phase_teaches_a_second_look_and_nothing_else(
    run: Path, episodes: Path, tiny: Preset, tmp_path: Path
) -> None:
    looks = PhaseConfig(
        "looks", steps=4, batch=16, learning_rate=1e-2, frozen_norm=True, validate_every=2, validation=16
    )
    twice = replace(tiny, model=replace(tiny.model, laws=LAWS, visible=VISIBLE), phases=(looks,))
    folder = train(twice, options(episodes, tmp_path, init_from=run / "checkpoint"))
    ours, theirs = (load_file(f / "model.safetensors") for f in (folder, run / "checkpoint"))
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    learned = ours["second.encoder.maps.weight"]
    assert not torch.equal(learned, theirs["encoder.maps.weight"])
    # It began as the first encoder's copy: four steps on, it is not far from it.
    assert (learned.float() - theirs["encoder.maps.weight"].float()).abs().max() < 0.1
    figures = json.loads((folder / "config.json").read_text())["metrics"]["0-looks"]
    assert {
        "decode_block_px",
        "first_decode_block_px",
        "number_1_off",
        "number_6_off",
        "number_7_off",
    } <= figures.keys()
    assert load_model(folder, threads=1).spec.visible == VISIBLE
    # Whoever goes on from there need not learn to look anew; whoever starts without a second look has to.
    refined = replace(twice, phases=(SUBSTEPS,))
    with pytest.raises(ValueError, match="trained already; say which by --init-from"):
        train(refined, options(episodes, tmp_path / "unseeing"))
    with pytest.raises(ValueError, match="has visible="):
        train(refined, options(episodes, tmp_path / "unseeing", init_from=run / "checkpoint"))
    more = load_file(train(refined, options(episodes, tmp_path / "refined", init_from=folder)) / "model.safetensors")
    assert all(torch.equal(ours[name], more[name]) for name in ours if not name.startswith("unroll."))
    assert not torch.equal(ours["unroll.felt"], more["unroll.felt"])
