"""Named shifts of Push-T's laws: what a world model that knows the standard ones is tried under."""

from __future__ import annotations

from pushjepa.pusht.simulator import PushTPhysics

_TABLE: dict[str, tuple[PushTPhysics, str]] = {
    "big-block": (PushTPhysics(block_scale=42.0), "the tee is 1.4 times as large"),
    "small-block": (PushTPhysics(block_scale=21.0), "the tee is 0.7 times as large"),
    "short-stem": (PushTPhysics(block_shape="small_tee"), "a tee with a shorter bar and a third of the stem"),
    "ell": (PushTPhysics(block_shape="ell"), "the block is an L of short, thick bars"),
    "plus": (PushTPhysics(block_shape="plus"), "the block is a plus"),
    "some-friction": (PushTPhysics(friction=0.3), "agent and walls drag at the block a little; as a rule nothing does"),
    "high-friction": (PushTPhysics(friction=1.0), "agent and walls drag hard at the block; as a rule nothing does"),
    "off-centre": (PushTPhysics(centre_of_gravity=40.0), "the centre of gravity lies 40 px further down the stem"),
    "gliding": (PushTPhysics(damping=0.05), "the block glides on after a push: 5% of its speed is left a second later"),
    "big-hand": (PushTPhysics(agent_radius=22.0), "the agent's disc is 1.5 times as wide"),
    "small-hand": (PushTPhysics(agent_radius=10.0), "the agent's disc is two thirds as wide"),
    "weak-agent": (PushTPhysics(agent_gain=0.6), "an action sends the agent 0.6 times as far"),
    "strong-agent": (PushTPhysics(agent_gain=1.5), "an action sends the agent 1.5 times as far"),
}

STANDARD = "none"  #: name of no shift at all

SHIFTS: dict[str, PushTPhysics] = {name: physics for name, (physics, _) in _TABLE.items()}
#: What each of ``SHIFTS`` changes, in a line.
DESCRIPTIONS: dict[str, str] = {name: line for name, (_, line) in _TABLE.items()}


def find_laws(name: str) -> PushTPhysics | None:
    """The laws of a shift, or None for the environment's own, which are called ``STANDARD``.

    Raises:
        ValueError: no such shift.
    """
    if name != STANDARD and name not in SHIFTS:
        raise ValueError(f"unknown shift {name!r}; choose one of {STANDARD}, {', '.join(SHIFTS)}")
    return None if name == STANDARD else SHIFTS[name]
