import numpy as np
import pytest

from pushjepa.data.scenes import block_gap, random_scenes, scenes_clear
from pushjepa.physics import Board, Physics, block_parts
from pushjepa.relay.stages import STAGES

TEE = block_parts("tee")
TOP = TEE[0][:, 1].min()  # the bar's outer face, below the centre of gravity in y-down terms


def test_gap_and_way_out_have_known_values():
    points = np.array([[0.0, TOP - 10.0], [60.0, TOP + 12.0], [0.0, TOP + 3.0]])
    gap, way = block_gap(points, np.zeros((3, 3)), TEE)
    assert gap == pytest.approx([10.0, 12.0, -3.0])
    assert way == pytest.approx(np.array([[0.0, -1.0], [1.0, 0.0], [0.0, -1.0]]))


def test_gap_turns_and_moves_with_the_block():
    gap, way = block_gap(np.array([[200.0 - TOP + 7.0, 100.0]]), np.array([[200.0, 100.0, np.pi / 2]]), TEE)
    assert gap == pytest.approx([7.0])
    assert way == pytest.approx(np.array([[1.0, 0.0]]))


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_scenes_lie_at_rest_for_the_physics_engine(stage):
    """Overlapping bodies would push each other apart; a possible scene stays as it is."""
    board = Board(stage.obstacles)
    states = random_scenes(np.random.default_rng(1), 60, stage)
    after = np.array([board.run_turn(s, "p1", np.zeros((5, 2)))[-1] for s in states])
    assert np.abs(after - states)[:, :6].max() < 1.0


def test_an_overlap_is_not_clear():
    state = random_scenes(np.random.default_rng(0), 1)
    inside = state.copy()
    inside[:, 0:2] = inside[:, 4:6]
    assert scenes_clear(np.concatenate([state, inside]), STAGES["open"], TEE).tolist() == [True, False]


def test_a_block_across_a_jamb_is_not_clear():
    state = np.array([[60.0, 60.0, 60.0, 400.0, 256.0, 140.0, 0.0]])
    assert scenes_clear(state, STAGES["open"], TEE)
    assert not scenes_clear(state, STAGES["gate"], TEE)


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_scenes_cover_the_board(stage):
    s = random_scenes(np.random.default_rng(2), 6000, stage)
    for agent in (s[:, 0:2], s[:, 2:4]):
        counts, _, _ = np.histogram2d(agent[:, 0], agent[:, 1], bins=8, range=[[0, 512], [0, 512]])
        assert counts.min() > 5  # a jamb fills most of one cell
        at_wall = (agent < 21) | (agent > 491)
        assert at_wall.any(axis=1).mean() > 0.05
        assert at_wall.all(axis=1).sum() > 3
        gap, _ = block_gap(agent, s[:, 4:7], TEE)
        assert 0.05 < (gap < 17.0).mean() < 0.5
    counts, _ = np.histogram(s[:, 6], bins=8, range=(-np.pi, np.pi))
    assert counts.min() > 500
    assert (np.hypot(*(s[:, 0:2] - s[:, 2:4]).T) < 36).mean() > 0.02


def test_scenes_heed_the_size_of_the_block():
    physics = Physics(block_scale=1.6)
    s = random_scenes(np.random.default_rng(3), 200, physics=physics)
    assert scenes_clear(s, STAGES["open"], block_parts("tee", 1.6)).all()
    assert not scenes_clear(random_scenes(np.random.default_rng(3), 200), STAGES["open"], block_parts("tee", 1.6)).all()


def test_same_generator_same_scenes():
    one, two = (random_scenes(np.random.default_rng(5), 30, STAGES["pillars"]) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == (30, 7)
    assert random_scenes(np.random.default_rng(5), 0).shape == (0, 7)
    with pytest.raises(ValueError, match="must not be negative"):
        random_scenes(np.random.default_rng(5), -1)
