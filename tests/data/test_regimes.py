import numpy as np
import pytest

from pushjepa.data.regimes import REGIMES, simulate_episode
from pushjepa.physics import Board, Physics
from pushjepa.relay.stages import STAGES

STAGE_LIST = list(STAGES.values())


@pytest.fixture(scope="module")
def episodes():
    """24 episodes of each regime, over all stages."""
    rng = np.random.default_rng(11)
    boards = {s.name: Board(s.obstacles) for s in STAGE_LIST}
    stages = [STAGE_LIST[i % 3] for i in range(24)]
    return {name: [simulate_episode(rng, s, name, board=boards[s.name]) for s in stages] for name in REGIMES}


def travelled(episodes):
    """How far the block went in each turn, px."""
    return np.array([np.hypot(*np.diff(e.boundaries[:, 4:6], axis=0).T) for e in episodes])


@pytest.mark.parametrize("regime", REGIMES)
def test_each_agent_acts_for_whole_turns_and_alternately(episodes, regime):
    for e in episodes[regime]:
        assert e.states.shape == (41, 7)
        assert e.boundaries.shape == (9, 7)
        assert e.blocks.shape == (8, 5, 2, 2)
        assert e.actors.shape == (8,)
        assert (e.actors[1:] != e.actors[:-1]).all()
        for block, actor in zip(e.blocks, e.actors, strict=True):
            assert not block[:, 1 - actor].any()
    assert {int(e.actors[0]) for e in episodes[regime]} == {0, 1}


@pytest.mark.parametrize("regime", REGIMES)
def test_every_stored_turn_runs_again_exactly(episodes, regime):
    for e in episodes[regime][:3]:
        board = Board(STAGES[e.stage].obstacles, e.physics)
        for i, actor in enumerate(e.actors):
            again = board.run_turn(e.boundaries[i], ("p1", "p2")[actor], e.blocks[i, :, actor])
            np.testing.assert_array_equal(again.astype(np.float32), e.states[5 * i + 1 : 5 * i + 6])


@pytest.mark.parametrize("regime", REGIMES)
def test_states_are_on_the_board_and_actions_in_range(episodes, regime):
    for e in episodes[regime]:
        assert np.isfinite(e.states).all()
        assert ((e.states[:, :6] >= 0) & (e.states[:, :6] <= 512)).all()
        assert np.abs(e.blocks).max() <= 1.0


def test_regimes_do_what_they_are_called(episodes):
    moved = {name: (travelled(found) > 10).mean() for name, found in episodes.items()}
    assert moved["contact_push"] > 0.55
    assert moved["approach_no_push"] < 0.05
    assert 0.2 < moved["near_t"] < 0.6
    assert moved["null_thrust"] < 0.25
    assert travelled(episodes["far_from_t"]).max() < 1.0


def test_pushes_come_from_all_sides_and_spin_the_block(episodes):
    bearings, spins = [], []
    for e in episodes["contact_push"]:
        b = e.boundaries
        for i in np.flatnonzero(travelled([e])[0] > 10):
            rel = b[i, 2 * e.actors[i] : 2 * e.actors[i] + 2] - b[i, 4:6]
            bearings.append(np.arctan2(rel[1], rel[0]) - b[i, 6])
            spins.append(abs(b[i + 1, 6] - b[i, 6]))
    counts, _ = np.histogram(np.mod(bearings, 2 * np.pi), bins=6, range=(0, 2 * np.pi))
    assert counts.min() > 3
    assert 0.4 < (np.degrees(spins) > 10).mean() < 0.95


def test_one_side_gives_no_thrust(episodes):
    for e in episodes["null_thrust"]:
        loudest = [np.abs(e.blocks[e.actors == side]).max() for side in (0, 1)]
        assert min(loudest) < 0.3


def test_near_t_moves_are_small_once_at_the_block(episodes):
    means = np.concatenate([np.abs(e.blocks.sum(axis=2).mean(axis=1)).max(axis=1) for e in episodes["near_t"]])
    assert np.mean(means < 0.5) > 0.8


def test_the_generator_decides_everything():
    one, two, other = (
        simulate_episode(np.random.default_rng(seed), STAGES["gate"], "contact_push", 20) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(one.states, two.states)
    np.testing.assert_array_equal(one.blocks, two.blocks)
    assert not np.array_equal(one.states, other.states)


def test_the_laws_are_kept_and_felt():
    heavy = Physics(block_mass=20.0)
    e = simulate_episode(np.random.default_rng(4), STAGES["open"], "contact_push", physics=heavy)
    light = simulate_episode(np.random.default_rng(4), STAGES["open"], "contact_push")
    assert e.physics == heavy
    assert travelled([e]).sum() < travelled([light]).sum()


@pytest.mark.parametrize(
    ("regime", "steps", "message"), [("push", 40, "unknown regime 'push'"), ("near_t", 12, "multiple of 5")]
)
def test_bad_options(regime, steps, message):
    with pytest.raises(ValueError, match=message):
        simulate_episode(np.random.default_rng(0), STAGES["open"], regime, steps)


def test_shares_add_up():
    assert sum(REGIMES.values()) == pytest.approx(1.0)
