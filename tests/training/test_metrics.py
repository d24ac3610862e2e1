"""Board-pixel figures against positions whose errors are known."""

import pytest
import torch

from pushjepa.nets import encode_state
from pushjepa.training.metrics import decode_summary, turn_summary


def states(n: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.cat([100 + 300 * torch.rand(n, 6, generator=g), 6 * torch.rand(n, 1, generator=g) - 3], dim=1)


def test_a_perfect_decode_has_no_error_and_a_shifted_one_has_its_shift() -> None:
    true = states(50)
    assert max(decode_summary(encode_state(true), true).values()) < 1e-3
    off = true.clone()
    off[:, 0] += 3
    off[:, 1] += 4  # p1 by 5 px, p2 not at all
    off[:, 5] -= 2
    off[:, 6] += torch.pi / 18 + 2 * torch.pi
    found = decode_summary(encode_state(off), true)
    assert found["decode_agent_px"] == pytest.approx(2.5, abs=1e-3)
    assert found["decode_block_px"] == pytest.approx(2.0, abs=1e-3)
    assert found["decode_angle_deg"] == pytest.approx(10.0, abs=1e-2)


def test_turn_figures_tell_actor_from_waiter_and_halve_the_ratio_of_half_a_push() -> None:
    before = states(40)
    after = before.clone()
    after[:20, 4] += 30.0  # half of the turns push the block; the others must not count
    actors = torch.arange(40) % 2
    guess = after.clone()
    guess[:20, 4] = before[:20, 4] + 15.0
    guess[torch.arange(40), 2 * actors] += 7.0
    found = turn_summary(encode_state(guess), before, after, actors)
    assert found["push_ratio"] == pytest.approx(0.5, abs=1e-3)
    assert found["turn_block_px"] == pytest.approx(15.0, abs=1e-3)
    assert found["turn_actor_px"] == pytest.approx(7.0, abs=1e-3)
    assert found["turn_waiter_px"] == pytest.approx(0.0, abs=1e-3)
