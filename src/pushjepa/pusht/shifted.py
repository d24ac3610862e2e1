"""``pushjepa/PushT-v1``: stable-worldmodel's Push-T under other laws.

The released environment takes two of its laws as options, ignores others (the tee's scale, the friction that it sets)
and fixes the rest. Here its bodies are built from a :class:`PushTPhysics` instead, by the function that the simulator
builds its own with, and everything else stays: observations, controller, judgement and drawing, which follows the
bodies. Under the standard laws both environments do the same, in states and in pixels. Import this module to register
the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import pygame

from pushjepa.pusht.simulator import Array, PushTPhysics, build_space, place_bodies, reach
from pushjepa.pusht.stable import PushT

ENV_ID = "pushjepa/PushT-v1"

_WALL_COLOUR = "LightGray"
#: What the environment would vary, and the record decides.
_DECIDED = ("agent.scale", "agent.shape", "block.scale", "block.shape")


class ShiftedPushT(PushT):
    """Push-T by the record.

    The laws hold until others are given: to :meth:`reset`, as ``options={"physics": ...}``, or to :meth:`set_physics`.

    Args:
        physics: the laws, as a record or as the dictionary of one; those of ``swm/PushT-v1`` if None.
        resolution: height and width of a frame, px.
        with_target: draw the green goal.
        render_action: mark the action in frames.
        render_mode: of the environment.

    Raises:
        ValueError: laws that make no sense.
    """

    def __init__(
        self,
        physics: PushTPhysics | Mapping[str, Any] | None = None,
        resolution: int = 224,
        with_target: bool = True,
        render_action: bool = False,
        render_mode: str = "rgb_array",
    ) -> None:
        super().__init__(
            resolution=resolution, with_target=with_target, render_action=render_action, render_mode=render_mode
        )
        self.physics = _read_physics(physics)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: of the random scene.
            options: the environment's own, and ``physics``: the laws from now on.

        Raises:
            ValueError: laws that make no sense, or a variation of what the laws decide.
        """
        options = dict(options or {})
        for name in _DECIDED:
            if name in options.get("variation", ()) or name in options.get("variation_values", {}):
                raise ValueError(f"the variation {name!r} turns nothing here; give a physics instead")
        if "physics" in options:
            self.physics = _read_physics(options.pop("physics"))
        found: tuple[dict[str, Array], dict[str, Any]] = super().reset(seed=seed, options=options)
        return found

    def set_physics(self, physics: PushTPhysics | Mapping[str, Any]) -> None:
        """Change the laws, between episodes or in the middle of one. The goal's picture stays as it was drawn.

        The bodies are built anew and stand where the old ones stood; a block that was gliding has stopped.

        Raises:
            ValueError: laws that make no sense.
        """
        self.physics = _read_physics(physics)
        if self.space is not None:
            state = self._get_obs()
            self._setup()
            place_bodies(self.space, self.agent, self.block, state)

    def _setup(self) -> None:
        """The environment's own, with the bodies of the record instead of those that it builds."""
        super()._setup()
        self.space, self.agent, self.block = build_space(self.physics)
        agent, block = self.variation_space["agent"], self.variation_space["block"]
        pose = [*block["start_position"].value, block["angle"].value]
        start = np.array([*agent["start_position"].value, *pose, 0.0, 0.0])
        place_bodies(self.space, self.agent, self.block, start)
        for wall in self.space.static_body.shapes:
            wall.color = pygame.Color(_WALL_COLOUR)
        self.space.on_collision(0, 0, post_solve=self._handle_collision)
        self.action_scale = reach(self.physics)

    def _set_state(self, state: Array) -> None:
        """The environment's own, but a block that was gliding is stopped first: its velocity is no part of a state."""
        if self.physics.damping > 0.0:
            self.block.velocity, self.block.angular_velocity = (0.0, 0.0), 0.0
        super()._set_state(state)


def _read_physics(physics: PushTPhysics | Mapping[str, Any] | None) -> PushTPhysics:
    if physics is None or isinstance(physics, PushTPhysics):
        return physics or PushTPhysics()
    if not isinstance(physics, Mapping):
        raise ValueError(f"physics must be a PushTPhysics or the dictionary of one, got {physics!r}")
    return PushTPhysics.from_dict(dict(physics))


gymnasium.register(ENV_ID, entry_point="pushjepa.pusht.shifted:ShiftedPushT")
