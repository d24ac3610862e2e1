from __future__ import annotations

import dataclasses

import pytest

from pushjepa.physics import Physics


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
