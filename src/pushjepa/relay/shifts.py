"""Named shifts of the game's laws: what a world model that knows the standard ones is tried under."""

from __future__ import annotations

from pushjepa.physics import Physics

_TABLE: dict[str, tuple[Physics, str]] = {
    "slow-agents": (Physics(agent_speed=220.0), "an action makes an agent 0.55 times as fast"),
    "fast-agents": (Physics(agent_speed=600.0), "an action makes an agent 1.5 times as fast"),
    "weak-agents": (Physics(agent_force=2_500.0), "an agent pushes with a fifth of its force"),
    "heavy-block": (Physics(block_mass=8.0), "the block weighs 8 times as much"),
    "light-block": (Physics(block_mass=0.2), "the block weighs a fifth"),
    "mud": (
        Physics(agent_speed=280.0, agent_force=4_000.0, block_mass=3.0),
        "agents are slower and weaker, and the block weighs 3 times as much",
    ),
    "sticky-block": (
        Physics(block_mass=3.0, block_friction=1.6),
        "the block weighs 3 times as much and its faces rub 2.7 times as much",
    ),
    "ice": (Physics(damping=0.7), "the block glides: 70% of its speed is left a second later, not 2%"),
    "smooth-block": (Physics(block_friction=0.0), "nothing rubs at the block"),
    "rough-block": (Physics(block_friction=1.5), "the block's faces rub 2.5 times as much"),
    "big-block": (Physics(block_scale=1.4), "the block is 1.4 times as large"),
    "small-block": (Physics(block_scale=0.7), "the block is 0.7 times as large"),
    "plus": (Physics(block_shape="plus"), "the block is a plus"),
}

STANDARD = "none"  #: name of no shift at all

SHIFTS: dict[str, Physics] = {name: physics for name, (physics, _) in _TABLE.items()}
#: What each of ``SHIFTS`` changes, in a line.
DESCRIPTIONS: dict[str, str] = {name: line for name, (_, line) in _TABLE.items()}


def find_physics(name: str) -> Physics:
    """The laws of a shift; the standard ones are called ``STANDARD``.

    Raises:
        ValueError: no such shift.
    """
    if name != STANDARD and name not in SHIFTS:
        raise ValueError(f"unknown shift {name!r}; choose one of {STANDARD}, {', '.join(SHIFTS)}")
    return Physics() if name == STANDARD else SHIFTS[name]
