"""Push-T's training: which action belongs to which frame, and whole runs on a tiny preset."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("pygame", reason="pygame is not installed")

from pushjepa.nets.mech import MechJEPA, encode_pusht_state, place_ends
from pushjepa.nets.mech_config import MechConfig
from pushjepa.nets.push_unroll import PushUnroll
from pushjepa.pusht.branches import LEAD, STEPS, make_branches, make_shifted_branches
from pushjepa.pusht.collect import Trajectories, read_trajectories
from pushjepa.pusht.expert import Trajectory
from pushjepa.pusht.geometry import OUTLINE, clearance, place
from pushjepa.pusht.model import load_net, load_pusht_model
from pushjepa.pusht.scene import PushTScene
from pushjepa.pusht.simulator import BLOCK_SHAPES, PushTPhysics, Simulator, block_parts, tell_laws
from pushjepa.runtime.contract import Context
from pushjepa.training import pusht_batches
from pushjepa.training.presets import LossWeights, parse_preset
from pushjepa.training.pusht import PushTTask
from pushjepa.training.pusht_batches import (
    GoalBatch,
    OtherPushTScenes,
    PushTBatch,
    PushTFrames,
    PushTGoals,
    PushTScenes,
    PushTTurns,
    PushTWindows,
    random_state,
    turn_batch,
    turn_states,
    turn_vectors,
)
from pushjepa.training.pusht_modules import SlotLatentsPhase, SlotScenesPhase, block_moves, off_by, smooth_norm
from pushjepa.training.recipe import TrainingOptions, train

TINY = """
task = "pusht"
seed = 3
[model]
frame_size = 32
slots = 3
width = 16
points = 3
layers = 1
heads = 2
mlp_hidden = 32
mechanism = "vq"
codes = 4
mechanism_width = 4
head_hidden = 16
unroll_hidden = 16
unroll_layers = 1
unroll_waves = 8
prior_hidden = 16
prior_layers = 1
prior_modes = 2
prior_blocks = 2
[[phase]]
kind = "scenes"
steps = 4
batch = 8
played = 0.5
branches = 3
learning_rate = 1e-3
warmup_steps = 2
validate_every = 2
validation = 8
[[phase]]
kind = "joint"
steps = 4
batch = 8
learning_rate = 1e-3
warmup_steps = 2
moved = 0.4
masked = 0.2
validate_every = 2
validation = 16
[[phase]]
kind = "turns"
steps = 4
batch = 16
learning_rate = 1e-3
matrix_rate = 1e-2
warmup_steps = 2
moved = 0.5
flip = true
branches = 3
validate_every = 2
validation = 64
[[phase]]
kind = "latents"
frozen_unroll = true
branches = 2
steps = 4
batch = 16
learning_rate = 1e-3
warmup_steps = 2
validate_every = 2
validation = 16
[[phase]]
kind = "prior"
flip = true
steps = 4
batch = 16
learning_rate = 1e-3
warmup_steps = 2
validate_every = 2
validation = 16
"""


def ramp(length):
    """A trajectory whose row r is state r in every number, and whose action after row r is r / 1000."""
    states = np.repeat(np.arange(length, dtype=np.float64)[:, None], 7, axis=1)
    actions = np.repeat(np.arange(length - 1)[:, None] / 1000.0, 2, axis=1)
    return Trajectory(states, actions, states[-1], True)


@pytest.fixture(scope="module")
def windows():
    return PushTWindows(Trajectories.of([ramp(23), ramp(4), ramp(12)], [True, True, True]), 3, 5)


def test_frames_and_actions_belong_together(windows):
    # The second trajectory is shorter than a block; the others have windows at rows 0, 5, 10, and from row 11 at each.
    assert len(windows) == 10 + 2
    rows, batch = windows.at(np.array([9]))
    assert rows.tolist() == [[7, 12, 17, 22]]
    assert batch.states[0, :, 0].tolist() == [7, 12, 17, 22]
    assert batch.blocks[0, :, :, 0] * 1000 == pytest.approx(np.array([range(7, 12), range(12, 17), range(17, 22)]))
    assert batch.steps[0, :, :, 0].tolist() == [list(range(8, 13)), list(range(13, 18)), list(range(18, 23))]
    assert batch.before[0].tolist() == pytest.approx([0.006, 0.006])
    assert batch.known.tolist() == [[True, True, True]]


def test_a_start_is_padded_as_play_pads_it(windows):
    rows, batch = windows.at(np.array([0, 1]))
    assert rows.tolist() == [[0, 0, 0, 5], [0, 0, 5, 10]]
    assert batch.known.tolist() == [[False, False, True], [False, True, True]]
    assert not batch.blocks[0, :2].any()
    assert batch.blocks[1, 1, :, 0] * 1000 == pytest.approx(np.arange(0, 5))
    assert not batch.before.any()
    assert batch.steps[0, 0, :, 0].tolist() == [0] * 5


def test_windows_do_not_cross_trajectories(windows):
    rows, _ = windows.boundaries(np.arange(len(windows)))
    third = rows[10:]
    assert third.min() == 27
    assert rows[:10].max() == 22


def test_no_window_says_of_a_moving_agent_that_it_rests(trajectories):
    """Neither of a trajectory that begins in motion, nor of a branch, which leaves in the middle of one."""
    whole = read_trajectories(trajectories)
    branches = make_branches(whole, 40, 1, workers=1)
    cut = PushTWindows(Trajectories.join([whole, branches]), 3, 5)
    rows, batch = cut.at(np.arange(len(cut)))
    first = np.concatenate([whole.offsets, len(whole.states) + branches.offsets])
    moving = torch.from_numpy(np.hypot(*cut.states[rows[:, 0], 5:].T) > 1.0)
    told = torch.where(batch.known[:, 0], batch.before.abs().amax(-1), torch.zeros(()))
    assert not (moving & (told == 0)).any(), "the oldest boundary knows the action before it"
    assert np.isin(rows[~batch.known[:, 0].numpy(), 0], first).all()
    leaving = len(whole.states) + branches.offsets + branches.lengths - 1 - STEPS
    assert np.isin(leaving[branches.lengths == LEAD + 1 + STEPS], rows[:, -2]).all(), "the row of leaving has a window"


@pytest.mark.parametrize("kind", ["scenes", "turns", "latents"])
def test_what_a_phase_is_validated_on_knows_no_branches(kind, trajectories, monkeypatch):
    """Branches leave from what is trained on."""
    whole, asked = read_trajectories(trajectories), []
    preset = parse_preset("tiny", TINY)
    phase = next(phase for phase in preset.phases if phase.kind == kind and phase.branches)

    def branch(found, count, seed):
        asked.append((len(found), count))
        return found.take(0, 1)

    monkeypatch.setattr(pusht_batches, "with_branches", branch)
    monkeypatch.setattr(pusht_batches, "PhaseData", lambda training, validation, *_: (training, validation))
    pair = pusht_batches.build_pusht_data(MechJEPA(preset.model), phase, whole, 1, 0, torch.device("cpu"))
    assert asked == [(len(whole) - 1, phase.branches)]
    parts = [_states_of(batches) for batches in pair]
    assert [len(part) for part in parts] == [whole.lengths[0], whole.lengths[-1]]
    assert np.array_equal(parts[1], whole.states[-whole.lengths[-1] :])


def _states_of(batches):
    """The stored states that some batches are cut from."""
    return batches._stored if isinstance(batches, PushTScenes) else batches._windows.states


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 0.4), (0.5, 0.7), (1.0, 1.0)])
def test_moved_blocks_are_drawn_as_often_as_asked(share, wanted, rng):
    """Two fifths of all windows move; whatever is not drawn apart is drawn from all."""
    still = ramp(31)
    still.states[:] = still.states[0]
    cut = PushTWindows(Trajectories.of([still, ramp(25)], [True, True]), 3, 5)
    assert cut.moved.mean() == pytest.approx(0.4)
    assert cut.moved[cut.sample(rng, 4000, share)].mean() == pytest.approx(wanted, abs=0.04)


def test_a_goal_lies_ahead_on_its_own_trajectory_and_what_was_done_leads_there():
    trajectories = Trajectories.of([ramp(23), ramp(4)], [True, True])
    trajectories.states[23:] += 100.0  # the second one's rows are told apart by their numbers
    phase = replace(parse_preset("tiny", TINY).phases[4], batch=400, reach=12, blur=0.0, flip=False)
    batch = PushTGoals(trajectories, (2, 5), phase, 1)[0]
    now, goal = batch.states[:, 0, 0], batch.states[:, 1, 0]
    ahead = goal - now
    assert 1 <= ahead.min() < ahead.max() == 12
    assert ((now < 23) == (goal < 23)).all()
    row = torch.where(now < 23, now, now - 100)  # of its trajectory; the action after row r is r / 1000
    known = batch.known.flatten(1)
    assert (known.sum(1) == ahead.clamp(max=10)).all()
    played = 1000 * batch.plans.flatten(1, 2)[..., 0]
    wanted = row[:, None] + torch.arange(10)
    assert torch.allclose(played[known], wanted[known], atol=1e-4)
    assert torch.allclose(1000 * batch.before[:, 0], (row - 1).clamp(min=0), atol=1e-4)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", range(4))
def test_a_turned_and_mirrored_board_obeys_the_same_law(quarters, mirrored, rng):
    """What was pushed there ends where what was pushed here ends, turned and mirrored; as the prior is shown it."""
    moved = 0
    for _ in range(40):
        state = random_state(rng)
        actions = np.clip((state[2:4] - state[:2]) / 150.0, -1, 1) * np.ones((12, 1))
        how = np.array([quarters]), np.array([mirrored])
        ends = Simulator().run(state, actions)[-1]
        there = Simulator().run(turn_states(state[None], *how)[0], turn_vectors(actions[None], *how)[0])[-1]
        wanted = turn_states(ends[None], *how)[0]
        if (place(OUTLINE, ends[2:5]) > 20).all() and (place(OUTLINE, ends[2:5]) < 492).all():
            assert there[:4] == pytest.approx(wanted[:4], abs=0.5)
            assert np.cos(there[4] - wanted[4]) == pytest.approx(1.0, abs=1e-3)
            moved += np.hypot(*(ends - state)[2:4]) > 5.0
    assert moved >= 8


def test_turned_windows_obey_the_law(trajectories):
    """``flip`` turns states, actions and what came before alike."""
    cut = PushTWindows(read_trajectories(trajectories), 3, 5)
    _, batch = cut.at(np.arange(60, 100))
    quarters, mirrored = np.arange(40) % 4, np.arange(40) % 8 > 3
    turned = turn_batch(batch, quarters, mirrored)
    there = turned.states[:, :-1, :2] - 255.5
    assert torch.allclose(there.norm(dim=-1), (batch.states[:, :-1, :2] - 255.5).norm(dim=-1), atol=1e-3)
    for row in range(0, 40, 3):
        start, blocks = turned.states[row, -2].numpy(), turned.blocks[row, -1].numpy()
        played = Simulator().run(start, blocks)
        assert played[:, :2] == pytest.approx(turned.steps[row, -1, :, :2].numpy(), abs=0.05)
        told = turned.blocks[row, -2, -1].numpy()
        if np.hypot(*told) > 0.05:
            assert told @ start[5:] > 0, "an agent moves where it was last told to"


def test_flipped_turns_are_drawn_at_random(trajectories):
    phase = parse_preset("tiny", TINY).phases[2]
    cut = PushTWindows(read_trajectories(trajectories), 3, 5)
    plain, flipped = (PushTTurns(cut, replace(phase, flip=flip, batch=400, blur=0.0), 1)[0] for flip in (False, True))
    same = (plain.states == flipped.states).flatten(1).all(1).float().mean()
    assert 0.05 < same < 0.25  # one in eight


def test_every_turn_is_told_of_its_own_laws(trajectories):
    """Turns under other laws are the simulator's under the laws that they are told of, turned boards too."""
    branches, laws = make_shifted_branches(read_trajectories(trajectories), 60, 1, workers=1)
    phase = replace(parse_preset("tiny", TINY).phases[2], flip=True, batch=60, blur=0.0, moved=0.5)
    assert any(physics.block_shape == "ell" for physics in laws), "which is not its own mirror image"
    told = np.repeat(np.stack([tell_laws(physics) for physics in laws]), branches.lengths, axis=0)
    turns = PushTTurns(PushTWindows(branches, 3, 5), phase, 1, told)
    batch = turns[0]
    assert batch.laws is not None
    by_numbers = {tell_laws(physics).tobytes(): physics for physics in laws}
    assert {told.tobytes() for told in batch.laws.numpy()} == set(by_numbers)
    off, astray = [], []
    for row in range(60):
        physics = by_numbers[batch.laws[row].numpy().tobytes()]
        start, blocks = batch.states[row, -2].numpy(), batch.blocks[row, -1].numpy()
        steps = batch.steps[row, -1].numpy()
        played, elsewhere = (Simulator(rules).run(start, blocks) for rules in (physics, PushTPhysics()))
        assert played[:, :2] == pytest.approx(steps[:, :2], abs=0.05), "nothing stops the agent"
        if not physics.damping:  # a block that glides has a velocity, which is no part of a state
            off.append(np.hypot(*(played[:, 2:4] - steps[:, 2:4]).T).max())
            astray.append(np.hypot(*(elsewhere[:, 2:4] - steps[:, 2:4]).T).max())
    assert len(off) >= 15
    # The last push before a state still acts after it, and is no part of it either; at two walls at once it acts much.
    assert np.median(off) < 0.5 < 3.0 < np.median(astray)
    assert all(torch.equal(a, b) for a, b in zip(batch, turns[0], strict=True))


@pytest.mark.parametrize(
    ("option", "added"),
    [
        ("laws = 12", ("unroll.laws.",)),
        ("bound = 4", ("heads.parts.",)),
        ("laws = 12\nvisible = [1, 6, 7, 8, 9, 10, 11]", ("second.", "unroll.laws.")),
    ],
    ids=["laws", "bound", "looks"],
)
def test_weights_without_an_addition_are_a_start_for_a_model_with_it(option, added, trajectories, tmp_path):
    """Everything else is taken over; the addition is as the new model has it, and is learned in the next phase."""
    text = TINY.replace("slots = 3", "slots = 4")
    head, phases = text[: text.index("[[phase]]")], text.split("[[phase]]")[1:]
    scenes, turns = phases[0], next(part for part in phases if 'kind = "turns"' in part)
    alone = parse_preset("plain", f"{head}[[phase]]{scenes}")
    plain = train(alone, TrainingOptions((trajectories,), tmp_path / "plain"))
    kind = {"second.": "looks", "unroll.laws.": "laws"}.get(added[0])
    if kind is not None:
        turns = turns.replace('"turns"', f'"{kind}"').replace("branches = 3", "branches = 50")
    if kind == "looks":
        turns = re.sub(r"(flip|matrix_rate|moved) = .*\n", "", turns) + "played = 0.5\nfrozen_norm = true\n"
    preset = parse_preset(
        "more", head.replace("slots = 4", f"slots = 4\n{option}") + f"[[phase]]{scenes}[[phase]]{turns}"
    )
    task = PushTTask(preset, trajectories)
    net, fresh = task.make_model(), task.make_model()
    fresh.load_state_dict(net.state_dict())
    task.load_weights(net, plain)
    old, new, begun = load_net(plain).state_dict(), net.state_dict(), fresh.state_dict()
    assert {name for name in new if name not in old} == {name for name in new if name.startswith(added)} != set()
    assert all(torch.equal(value, old[name] if name in old else begun[name]) for name, value in new.items())
    folder = train(preset, TrainingOptions((trajectories,), tmp_path / "more", plain, device="cpu", threads=1))
    learned = load_net(folder).state_dict()
    assert not all(torch.equal(learned[name], new[name]) for name in new if name.startswith(added[0]))
    if kind is not None:
        before, after = (load_file(tmp_path / "more" / f / "model.safetensors") for f in ("0-scenes", f"1-{kind}"))
        assert all(torch.equal(after[name], before[name]) for name in before if not name.startswith(added[0]))
        metrics = json.loads((folder / "config.json").read_text())["metrics"][f"1-{kind}"]
        figures = {"laws": {"told_block_px", "unaware_block_px"}, "looks": {"decode_block_px", "first_block_px"}}
        assert figures[kind] <= metrics.keys()
    without = PushTTask(parse_preset("plain", f"{head}[[phase]]{scenes}"), trajectories)
    with pytest.raises(ValueError, match="another architecture"):
        without.load_weights(without.make_model(), folder)


def test_what_no_law_was_learned_of_changes_nothing():
    torch.manual_seed(0)
    unroll = PushUnroll(MechConfig(frame_size=32, width=16, heads=2, unroll_hidden=16, unroll_waves=8, laws=12))
    torch.nn.init.normal_(unroll.motion.weight)
    inputs = (torch.randn(4, 6), torch.randn(4, 2), torch.rand(4, 5, 2))
    other = torch.randn(4, 12) * (torch.arange(12) > 1)  # reach and scale need no learning
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(unroll(*inputs, other), unroll(*inputs), strict=True))
        torch.nn.init.normal_(unroll.laws.film.weight)
        torch.nn.init.normal_(unroll.laws.out.weight)
        assert not torch.equal(unroll(*inputs, other)[0], unroll(*inputs)[0])
        assert torch.equal(unroll(*inputs, 0.0 * other)[0], unroll(*inputs)[0])


def test_bar_and_stem_are_asked_for_where_slots_are_bound_to_them(rng):
    states = torch.from_numpy(np.stack([random_state(rng) for _ in range(6)])).float()

    class Heads(torch.nn.Module):
        """Reads all as it is, but for the ends of bar and stem, which it has 5 px off."""

        parts = (None, None)

        def forward(self, slots):
            return encode_pusht_state(states)

        def ends(self, slots):
            return place_ends(states) + torch.tensor([3.0, 4.0]) / 256

    config = MechConfig(frame_size=32, width=16, heads=2, bound=4)
    phase = SlotScenesPhase(MechJEPA(config), parse_preset("tiny", TINY).phases[0], LossWeights(), 1)
    phase.model.heads = Heads()
    found = phase.slot_state_loss(torch.zeros(6, 4, 16), states).item()
    assert found == pytest.approx(0.1 * smooth_norm(torch.tensor([5.0 / 256])).item(), rel=1e-4)


def test_a_block_moves_when_it_shifts_or_turns():
    states = torch.zeros(1, 4, 7)
    steps = torch.zeros(1, 3, 5, 7)
    steps[0, 0, 0, 2] = 0.5  # shifted in the first step
    steps[0, 1, 0, 4] = 2 * np.pi - 0.02  # turned a little, the other way round
    steps[0, 2, 1:, 2] = 9.0  # moves later only
    batch = PushTBatch(states, states, steps, steps[..., :2], states[:, 0, :2], torch.ones(1, 3, dtype=torch.bool))
    assert block_moves(batch).tolist() == [[True, True, False]]


def test_batches_are_functions_of_their_number(trajectories):
    preset = parse_preset("tiny", TINY)
    cut = PushTWindows(read_trajectories(trajectories), 3, 5)
    for batches in (
        PushTScenes(32, 4, 1),
        PushTFrames(cut, 32, preset.phases[1], 1),
        PushTTurns(cut, preset.phases[2], 1),
    ):
        one, two, other = batches[3], batches[3], batches[4]
        assert all(torch.equal(a, b) for a, b in zip(one[:6], two[:6], strict=True))
        assert not torch.equal(one[0], other[0])


def test_frames_show_their_states(trajectories):
    preset = parse_preset("tiny", TINY)
    batch = PushTFrames(PushTWindows(read_trajectories(trajectories), 3, 5), 32, preset.phases[1], 1)[0]
    drawn = PushTScene(32).draw_many(batch.states[2].numpy().astype(np.float64))
    assert (batch.items[2].numpy() != drawn).mean() < 0.01  # float32 states may round to another pixel


def test_random_scenes_are_possible_ones(rng):
    near = 0
    for _ in range(60):
        state = random_state(rng)
        gap = float(clearance(state[:2], state[2:5]))
        assert gap > 13.0
        near += gap < 60.0
    assert near > 25, "most of what a planner asks about is near the block"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_scenes_of_other_blocks_show_what_is_told_of_them(trajectories, share):
    branches, laws = make_shifted_branches(read_trajectories(trajectories), 60, 1, workers=1)
    scenes = OtherPushTScenes(64, 48, 3, (branches, laws), share)
    batch = scenes[2]
    assert all(torch.equal(a, b) for a, b in zip(batch, scenes[2], strict=True))
    known = {tell_laws(one).tobytes(): one for one in laws}
    for row in range(48):
        told, state = batch.laws[row].numpy(), batch.states[row].numpy().astype(np.float64)
        shape = (["tee", *BLOCK_SHAPES[1:]])[int(told[6:].argmax()) + 1 if told[6:].any() else 0]
        physics = PushTPhysics(30.0 * float(np.exp(told[1] / 2)), 15.0 * float(np.exp(told[2] / 2)), shape)
        for shown, drawer in ((batch.frames, PushTScene(64, physics)), (batch.plain, PushTScene(64))):
            assert (shown[row].numpy() != drawer.draw(state)).mean() < 0.02
        assert bool(batch.headed[row]) == (shape in ("tee", "small_tee", "ell"))
        assert (told.tobytes() in known) == bool(share), "played scenes are told of all their laws"
        if not share:
            assert clearance(state[:2], state[2:5], block_parts(physics)) > physics.agent_radius - 2.5


def test_a_share_of_the_scenes_was_played(trajectories):
    states = read_trajectories(trajectories).states
    batch = PushTScenes(32, 40, 1, states, 0.75)[0]
    about_the_middle = {tuple(np.sort(np.abs(row[:2] - 255.5)).round(2)) for row in states}
    played = [
        tuple(np.sort(np.abs(row[:2] - 255.5)).round(2)) in about_the_middle for row in batch.states.double().numpy()
    ]
    assert sum(played) == 30, "turned and mirrored, an agent keeps its distances from the middle"
    assert not any(played[:10])


def test_what_happens_is_not_asked_for_where_agent_or_block_are_hidden(trajectories):
    """Nobody could tell it there; the hidden slots themselves are to be predicted all the same."""
    preset = parse_preset("tiny", TINY)
    torch.manual_seed(0)
    model = MechJEPA(preset.model)
    phase = SlotLatentsPhase(model, replace(preset.phases[3], masked=0.3), preset.loss, 1)
    _, batch = PushTWindows(read_trajectories(trajectories), 3, 5).at(np.arange(30, 90))
    batch = batch._replace(items=torch.randn(60, 4, 3, 16))
    hidden = phase.masks(batch.items[:, :-1])[..., :2].any(-1)
    assert 0.3 < hidden.float().mean() < 0.7
    steps = batch.steps.clone()
    steps[hidden] += 50.0
    model.memory.requires_grad_(False).eval()  # its codebook would learn from being looked at
    told, other = (phase.losses(given)[0] for given in (batch, batch._replace(steps=steps)))
    assert {name: loss.item() for name, loss in told.items()} == {name: loss.item() for name, loss in other.items()}
    phase.phase = replace(phase.phase, masked=1.0)
    assert set(phase.losses(batch)[0]) == {"pred", "state", "pred_state", "codes"}


def test_a_plan_is_off_by_its_first_block_s_actions_while_the_goal_is_ahead():
    plans, known = torch.zeros(1, 2, 5, 2), torch.ones(1, 2, 5, dtype=torch.bool)
    known[0, 0, 3:] = known[0, 1] = False
    proposed = torch.full((1, 2, 2, 5, 2), 9.0)
    proposed[0, 0, 0, :3] = torch.tensor([0.3, 0.4])
    proposed[0, 1, 0, :3] = 0.0
    batch = GoalBatch(torch.zeros(1, 2, 7), torch.zeros(1, 2), plans, known)
    assert off_by(proposed, batch).tolist() == [[pytest.approx(0.5), 0.0]]


@pytest.fixture(scope="module")
def run(trajectories, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(parse_preset("tiny", TINY), TrainingOptions((trajectories,), out, device="cpu", threads=1))
    return out


def test_a_run_ends_in_a_model_that_imagines(run, rng):
    model = load_pusht_model(run / "checkpoint")
    frames = rng.integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    context = Context(model.encode(frames), np.zeros((2, 5, 1, 2), np.float32), np.array([-1, 0]))
    candidates = rng.uniform(-1, 1, (4, 2, 5, 1, 2)).astype(np.float32)
    latents = model.rollout(context, candidates, np.zeros(2, dtype=np.int64))
    assert latents.shape == (4, 2, 3, 16)
    assert model.decode(latents).shape == (4, 2, 5)
    card = (run / "checkpoint" / "README.md").read_text()
    config = json.loads((run / "checkpoint" / "config.json").read_text())
    assert f"| total | {config['parameters']['total']:,} |" in card
    for name in ("val_pred", "decode_block_px", "turn_block_px", "code_perplexity"):
        assert name in config["metrics"]["3-latents"]
        assert name in card
    assert "masked 0.2" in card


def test_a_stopped_run_resumes_to_the_very_same_weights(run, trajectories, tmp_path, train_in_two_sittings):
    options = TrainingOptions((trajectories,), tmp_path, device="cpu", threads=1)
    train_in_two_sittings(parse_preset("tiny", TINY), options, SlotLatentsPhase)
    one, two = (load_file(p / "checkpoint" / "model.safetensors") for p in (run, tmp_path))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_frozen_parts_stay_as_they_were(run):
    before, after = (load_file(run / name / "model.safetensors") for name in ("2-turns", "3-latents"))
    still = [name for name in before if name.startswith(("encoder.", "unroll."))]
    assert still
    assert all(torch.equal(before[name], after[name]) for name in still)
    assert not torch.equal(before["predictor.out.weight"], after["predictor.out.weight"])


def test_the_prior_alone_learns_in_its_phase(run):
    before, after = (load_file(run / name / "model.safetensors") for name in ("3-latents", "4-prior"))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"prior"}


def test_pretraining_needs_no_actions(run, trajectories, tmp_path):
    """What is learned without actions is predicted with them too, at first; then actions are brought in."""
    latents = TINY[
        TINY.rindex("[[phase]]", 0, TINY.index('kind = "latents"')) : TINY.index('[[phase]]\nkind = "prior"')
    ]
    blind = TINY[: TINY.index('[[phase]]\nkind = "joint"')] + latents.replace(
        "frozen_unroll = true", "action_free = true"
    )
    folder = train(parse_preset("blind", blind), TrainingOptions((trajectories,), tmp_path, device="cpu", threads=1))
    net = load_pusht_model(folder).net
    torch.manual_seed(0)
    slots, blocks = torch.randn(2, 3, 3, 16), torch.rand(2, 3, 5, 2)
    with torch.no_grad():
        free = net.predict_without_actions(slots).slots
        for part in (net.lift, net.anchor):  # the unroll's two ways in are closed until it has learned something
            assert part is not None
            assert not part.weight.any()
        assert torch.equal(net.predict(slots, blocks, torch.zeros(2, 2)).slots, free)
    assert not torch.equal(free, slots)


def test_another_architecture_is_refused(run, trajectories, tmp_path):
    other = parse_preset("other", TINY.replace("width = 16", "width = 8", 1))
    with pytest.raises(ValueError, match="width=16, this preset 8: another architecture"):
        train(other, TrainingOptions((trajectories,), tmp_path, run / "checkpoint", device="cpu", threads=1))
    with pytest.raises(ValueError, match="holds no Push-T trajectories"):
        train(parse_preset("tiny", TINY), TrainingOptions((tmp_path,), tmp_path / "o", device="cpu", threads=1))
