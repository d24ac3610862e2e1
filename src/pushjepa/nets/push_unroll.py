"""A block of Push-T's actions imagined step by step, in the coordinates that the state heads read.

Like the game's unroll (:mod:`pushjepa.nets.unroll`) this is a learned simulator between read-out and predictor. Here it
is simpler: nothing stops the agent, whose path follows from its speed and its actions alone (a few learned numbers),
and the tee answers to it. How it answers is a function of where the agent goes past it, seen from the tee, and of where
the tee is on the board, since walls stop it.

Under other laws of physics the tee answers differently. Numbers that tell of the laws can be given along: the first is
the logarithm of how far an action sends the agent, which is exactly a factor of the actions; the second is twice the
logarithm of the block's scale, by which all that is seen from the block is divided; and all of them go through a
:class:`~pushjepa.nets.law_adapter.LawAdapter`. They are zero under the standard laws, where nothing of this matters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushjepa.nets.law_adapter import LawAdapter, bend
from pushjepa.nets.layers import Residual, fourier_features
from pushjepa.nets.mech_config import MechConfig
from pushjepa.nets.unroll import rotate, unit

MEMORY = 16  #: numbers that the unroll leaves of a block of actions, beside the states
_NEAR = 4.0  # distances between agent and tee are given in quarters of half a board: contact is at 0.2 ... 1.6
_RATES = (1.5, 3.0, 6.0, 12.0)  # spreads of the waves' frequencies: the finest are about 33 px long
_FEELERS = 6  # learned points fixed to the tee, whose places on the board tell when it meets a wall
_GEOMETRY = 3 * 2 + 2 + 2 * _FEELERS
_SIDE = 128  # width of the adapter to other laws


class PushUnroll(nn.Module):
    """From the state at a block's start, the agent's speed and its actions to the state after each step.

    Args:
        config: ``unroll_hidden``, ``unroll_layers``, ``unroll_waves``, ``unroll_substeps`` and ``laws``.
    """

    waves: Tensor

    def __init__(self, config: MechConfig) -> None:
        super().__init__()
        hidden, self.substeps = config.unroll_hidden, config.unroll_substeps
        shares = torch.linspace(0.0, 1.0, self.substeps + 1)[1:]
        # Half boards: an action of 1 moves a resting agent by 30 px in a step and leaves it 37 px a step fast.
        self.moved = nn.Parameter(0.115 * shares**2)
        self.drift = nn.Parameter(0.37 * shares)
        self.speed = nn.Parameter(torch.tensor([0.145, 0.0]))  # of the action, and of the speed before it
        self.feelers = nn.Parameter(0.2 * torch.randn(_FEELERS, 2))
        each = config.unroll_waves // len(_RATES)
        self.register_buffer("waves", torch.cat([rate * torch.randn(2, 2, each) for rate in _RATES], dim=-1))
        inputs = _GEOMETRY + 4 * config.unroll_waves
        self.enter = nn.Linear(inputs, hidden)
        self.blocks = nn.ModuleList([Residual(hidden) for _ in range(config.unroll_layers)])
        self.norm = nn.LayerNorm(hidden)
        self.motion = nn.Linear(hidden, 3)
        self.memory = nn.Linear(hidden, MEMORY)
        # At first the agent's path is all that happens.
        nn.init.zeros_(self.motion.weight)
        nn.init.zeros_(self.motion.bias)
        self.laws: LawAdapter | None = None
        if config.laws:
            self.laws = LawAdapter(config.laws, inputs, hidden, config.unroll_layers + 1, 3, _SIDE)

    def forward(
        self, states: Tensor, before: Tensor, actions: Tensor, laws: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Imagine N blocks.

        Args:
            states: (N, 6) at the start.
            before: (N, 2) the action before the first, which is what the agent's speed comes from; zeros at rest.
            actions: (N, steps, 2).
            laws: (N, C) what is known of the laws of physics, as :func:`pushjepa.pusht.simulator.tell_laws` puts it;
                None for the standard ones.

        Returns:
            (N, steps, 6) the state after each step, and (N, MEMORY) the mean of what was noticed on the way.

        Raises:
            ValueError: laws, for an unroll that was built without.
        """
        agent, block, turn = states[:, :2], states[:, 2:4], unit(states[:, 4:])
        told, scale = None, states.new_ones(())
        bends: Sequence[tuple[Tensor, Tensor] | None] = [None] * (len(self.blocks) + 1)
        if laws is not None:
            if self.laws is None:
                raise ValueError("this unroll knows no other laws of physics than the standard ones")
            gain, scale = laws[:, :1].exp(), (0.5 * laws[:, 1:2]).exp()
            before, actions = gain * before, gain[:, None] * actions
            told = self.laws.tell(laws)
            bends = self.laws.bends(told)
        speed = self.speed[0] * before
        noticed = states.new_zeros(len(states), MEMORY)
        imagined = []
        for step in range(actions.shape[1]):
            action, start = actions[:, step], agent
            for substep in range(self.substeps):
                there = start + self.moved[substep] * action + self.drift[substep] * speed
                seen = self._look(agent, there, block, turn, scale)
                x = bend(self.enter(seen), bends[0])
                for layer, by in zip(self.blocks, bends[1:], strict=True):
                    x = bend(layer(x), by)
                x = self.norm(x)
                motion = 0.25 * self.motion(x)
                if self.laws is not None and told is not None:
                    motion = motion + 0.25 * self.laws.correct(seen, told)
                noticed = noticed + self.memory(x)
                block = block + scale * rotate(motion[:, None, :2], turn)[:, 0]
                spin = motion[:, 2:]
                turn = rotate(turn[:, None], torch.cat([spin.cos(), spin.sin()], dim=-1))[:, 0]
                agent = there
            speed = self.speed[0] * action + self.speed[1] * speed
            imagined.append(torch.cat([agent, block, turn], dim=-1))
        return torch.stack(imagined, dim=1), noticed / (actions.shape[1] * self.substeps)

    def _look(self, agent: Tensor, there: Tensor, block: Tensor, turn: Tensor, scale: Tensor) -> Tensor:
        """What the network sees of a substep: where the agent is and goes, from the tee; where the tee is.

        Distances from the tee are divided by its scale, () or (N, 1).
        """
        back = turn * turn.new_tensor([1.0, -1.0])
        near = _NEAR * rotate(torch.stack([agent - block, there - block], dim=1), back) / scale[..., None]
        way = 4.0 * (near[:, 1] - near[:, 0])
        feelers = block[:, None] + scale[..., None] * rotate(self.feelers.expand(len(turn), -1, -1), turn)
        waves = fourier_features(near, self.waves)
        return torch.cat([near.flatten(1), way, 2.0 * block, feelers.flatten(1), waves], dim=-1)
