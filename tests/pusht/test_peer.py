"""The peer in the real environment: what it is shown, how its actions come back, and what is no peer."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")

from pushjepa.evaluation.pusht import evaluate_pusht
from pushjepa.nets.peer_config import PeerConfig
from pushjepa.planning import Budget
from pushjepa.pusht.adapters import ActionNormaliser
from pushjepa.pusht.peer import Peer, Tokens, build_peer, load_peer, save_peer
from pushjepa.pusht.tasks import Search, make_player, peer_policy, play

SMALL = Search(Budget(candidates=8, iterations=2, elite_fraction=0.5), horizon=2, receding=2)
SIZES = {"width": 16, "points": 3, "depth": 1, "heads": 2, "head_width": 8, "mlp_hidden": 32, "projector_hidden": 16}
STATISTICS = ActionNormaliser(np.array([0.1, -0.2]), np.array([0.3, 0.4]))


def peer_of(size=64):
    torch.manual_seed(1)
    config = PeerConfig(frame_size=size, **SIZES)
    return Peer(build_peer(config).eval(), config, STATISTICS)


def saved(folder, size=64, seed=0):
    peer = peer_of(size)
    save_peer(peer, folder, preset={"name": "tiny"}, data={"seed": seed, "source": None}, metrics={})
    return peer


class Recorder(torch.nn.Module):
    """An encoder that keeps the pixels it is given."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.seen = encoder, []

    def forward(self, pixels, interpolate_pos_encoding=False):
        self.seen.append(pixels.clone())
        return self.encoder(pixels, interpolate_pos_encoding=interpolate_pos_encoding)


def frames_of(data, rows):
    h5py = pytest.importorskip("h5py")
    with h5py.File(data.path) as file:
        return [torch.from_numpy(file["pixels"][row]).permute(2, 0, 1).float() for row in rows]


def test_it_sees_now_and_the_goal_as_in_training(expert_data):
    peer = peer_of()
    peer.net.encoder = recorder = Recorder(peer.net.encoder)
    tasks = expert_data.draw_tasks(2, 20, 11, seed=0)
    play(expert_data, tasks, peer_policy(peer, SMALL, 0))
    first = expert_data.offsets[tasks.episodes] + tasks.starts
    goals, starts = frames_of(expert_data, first + 20), frames_of(expert_data, first)
    # For each environment the goal is encoded, then what there is to see now; and again for the second plan.
    assert [tuple(pixels.shape) for pixels in recorder.seen] == [(1, 3, 64, 64)] * 8
    for pixels in recorder.seen:
        assert pixels.dtype == torch.float32
        assert 250 < pixels.max() <= 255
        assert torch.equal(pixels, pixels.round())
    for env in range(2):
        for plan in range(2):
            assert torch.equal(recorder.seen[4 * plan + 2 * env][0], goals[env])
        assert torch.equal(recorder.seen[2 * env + 1][0], starts[env])
        assert not torch.equal(recorder.seen[4 + 2 * env + 1][0], starts[env])  # ten steps later


def test_the_environment_is_given_actions_as_it_takes_them(expert_data, monkeypatch):
    from stable_worldmodel.envs.pusht.env import PushT

    policy, plans, given = peer_policy(peer_of(), SMALL, 0), [], []
    solve, step = policy.solver.solver.solve, PushT.step

    def plan(*arguments):
        plans.append(solve(*arguments))
        return plans[-1]

    def take(self, action):
        given.append(np.array(action))
        return step(self, action)

    monkeypatch.setattr(policy.solver.solver, "solve", plan)
    monkeypatch.setattr(PushT, "step", take)
    tasks = expert_data.draw_tasks(2, 20, 10, seed=0)
    play(expert_data, tasks, policy)
    assert len(plans) == 1
    normalised = plans[0]["actions"].numpy()  # (2, 2, 10)
    assert normalised.std() > 0.1
    raw = normalised.reshape(2, 10, 2) * [0.3, 0.4] + [0.1, -0.2]
    assert np.stack(given).reshape(10, 2, 2) == pytest.approx(raw.transpose(1, 0, 2), abs=1e-6)


def test_its_encoder_is_ours_on_the_same_frames(rng):
    net = peer_of().net
    frames = torch.from_numpy(rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    with torch.no_grad():
        seen = net.encode({"pixels": frames.permute(0, 3, 1, 2)[None]})["emb"]
        assert torch.equal(seen[0], net.projector(net.encoder.slots(frames)[:, 0]))


class Colour(torch.nn.Module):
    """Embeds a frame as its first two channels at the corner."""

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(1))

    def forward(self, pixels, interpolate_pos_encoding=False):
        return Tokens(self.one * pixels[:, None, :2, 0, 0])


class Walk(torch.nn.Module):
    """The next embedding is the present one and the sum of the block after it."""

    num_frames = 3

    def forward(self, embeddings, actions):
        return embeddings + actions


class Sum(torch.nn.Module):
    """The sum of a block's actions, along both axes."""

    def forward(self, blocks):
        return blocks.float().unflatten(-1, (5, 2)).sum(-2)


def test_a_plan_s_cost_is_the_squared_distance_at_its_end(rng):
    """Every block counts once, the first of them from the frame that is seen."""
    from pushjepa.pusht.stable import LeWM

    model = LeWM(Colour(), Walk(), Sum())
    pixels, goal = (torch.full((1, 4, 1, 3, 8, 8), value, dtype=torch.uint8) for value in (100, 110))
    blocks = torch.from_numpy(rng.standard_normal((1, 4, 5, 10))).float()
    info = {"pixels": pixels, "goal": goal, "action": torch.zeros(1, 4, 1, 2)}
    with torch.no_grad():
        costs = model.get_cost(info, blocks)
    wanted = (100 + blocks.reshape(1, 4, 25, 2).sum(2) - 110).square().sum(-1)
    assert costs.numpy() == pytest.approx(wanted.numpy(), rel=1e-4)


def test_its_budget_is_our_search_s():
    policy = peer_policy(peer_of(), Search(), 7)
    solver = policy.solver.solver
    assert (solver.num_samples, solver.n_steps, solver.topk, solver.batch_size) == (300, 10, 30, 1)
    assert (policy.cfg.horizon, policy.cfg.receding_horizon, policy.cfg.action_block) == (5, 5, 5)
    assert policy.process["action"] is STATISTICS


def test_the_same_seed_plays_the_same(expert_data):
    tasks = expert_data.draw_tasks(2, 20, 10, seed=0)
    plans = []
    for seed in (3, 3, 4):
        policy = make_player("peer", expert_data, tasks, SMALL, seed, peer=peer_of())
        solver = policy.solver.solver
        solver.solve = lambda *told, solve=solver.solve: plans.append(solve(*told)) or plans[-1]
        play(expert_data, tasks, policy)
    one, two, other = (plan["actions"] for plan in plans)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_a_report_has_the_time_of_its_plans(expert_data, tmp_path):
    saved(tmp_path)
    (row,) = evaluate_pusht(
        expert_data, ["peer"], peer=tmp_path, eval_seeds=2, episodes=2, budget=10, goal_offset=10, search=SMALL
    )
    assert (row["policy"], row["n"], row["candidates"], row["iterations"]) == ("peer", 4, 8, 2)
    assert row["replan_s_median"] > 0


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path):
    written, read = saved(tmp_path), load_peer(tmp_path)
    assert read.config == written.config
    assert np.array_equal(read.actions.mean, STATISTICS.mean)
    assert np.array_equal(read.actions.std, STATISTICS.std)
    theirs = read.net.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in written.net.state_dict().items())
    assert not read.net.training
    assert read.learned == {"seed": 0, "source": None}


def test_what_is_no_peer_is_one_line(tmp_path):
    folder = tmp_path / "peer"
    with pytest.raises(ValueError, match=r"config\.json is missing"):
        load_peer(folder)
    saved(folder)
    config = json.loads((folder / "config.json").read_text())
    for changed, words in (
        ({"format": "pushjepa-mech-1"}, "format 'pushjepa-mech-1', not a peer"),
        ({"model": None}, "lacks the entry 'model'"),
        ({"model": config["model"] | {"depth": 2}}, "weights of another architecture: predictor"),
        ({"model": config["model"] | {"deep": 2}}, "unknown model option 'deep'"),
        ({"actions": None}, "lacks the mean and std of the actions"),
        ({"actions": {"mean": [0.0], "std": [1.0]}}, "an action has 2 numbers"),
        ({"actions": {"mean": [0.0, 0.0], "std": [1.0, 0.0]}}, "must be positive"),
        ({"files": {}}, "is not the file that belongs to config.json"),
    ):
        (folder / "config.json").write_text(json.dumps(config | changed))
        with pytest.raises(ValueError, match=words) as caught:
            load_peer(folder)
        assert "\n" not in str(caught.value)


def test_it_is_not_measured_on_what_it_learned_from(expert_data, tmp_path):
    saved(tmp_path, seed=5)
    with pytest.raises(ValueError, match="both were collected with seed 5"):
        evaluate_pusht(expert_data, ["random", "peer"], peer=tmp_path)


def test_a_game_without_its_peer_is_one_line(expert_data, tmp_path):
    with pytest.raises(ValueError, match="'peer' needs a checkpoint folder: --peer"):
        evaluate_pusht(expert_data, ["peer"])
    saved(tmp_path, size=32)
    with pytest.raises(ValueError, match=r"sees frames of 32 px, .* holds 64 px"):
        evaluate_pusht(expert_data, ["peer"], peer=tmp_path)
    with pytest.raises(ValueError, match="the player 'peer' needs a peer"):
        make_player("peer", expert_data, expert_data.draw_tasks(1, 20, 10, 0), SMALL, 0)
