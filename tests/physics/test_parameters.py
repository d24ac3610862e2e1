from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pushjepa.data.shifted import draw_physics
from pushjepa.physics import LAWS, Physics, guess_laws, tell_laws


def test_a_record_survives_its_dict():
    physics = Physics(block_scale=1.2, block_shape="plus", damping=0.3)
    assert Physics.from_dict(physics.to_dict()) == physics
    assert Physics.from_dict({}) == Physics()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"block_mass": 0.0}, r"block_mass must lie in \[0.1, 20\]"),
        ({"block_scale": 9.0}, "block_scale"),
        ({"damping": float("nan")}, "finite"),
        ({"agent_speed": "fast"}, "finite number"),
        ({"agent_force": True}, "finite number"),
        ({"block_shape": "moon"}, "tee, plus, square"),
        ({"gravity": 1.0}, "unknown physics option 'gravity'"),
    ],
)
def test_a_bad_value_is_refused_with_what_would_do(values, message):
    with pytest.raises(ValueError, match=message):
        Physics.from_dict(values)


def test_a_record_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Physics().damping = 1.0


def test_the_standard_laws_are_told_as_zeros():
    assert not tell_laws(Physics()).any()
    assert tell_laws(Physics()).shape == (LAWS,)


def test_what_is_told_of_laws_tells_them_again():
    rng = np.random.default_rng(0)
    for _ in range(50):
        physics = draw_physics(rng)
        again = guess_laws(tell_laws(physics))
        assert again.block_shape == physics.block_shape
        for name in Physics.limits:
            assert getattr(again, name) == pytest.approx(getattr(physics, name), rel=1e-4, abs=1e-4)


def test_a_guess_stays_within_the_limits():
    assert isinstance(guess_laws(np.full(LAWS, 9.0)), Physics)
    assert guess_laws(np.full(LAWS, -9.0)).block_mass == Physics.limits["block_mass"][0]
