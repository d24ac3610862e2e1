"""A turn imagined step by step, in the coordinates that the state head reads from the latent.

A turn is five env steps, and most of what happens in it is contact: an agent meets a wall, the block, the other agent.
Seen as one jump from turn boundary to turn boundary that is a jagged function of eighteen numbers; seen step by step it
is one simple function applied five times. It is applied ten times where each step is halved: an agent covers up to
40 px in a step, more than its own width, and half of that is simpler to foresee than the whole. The unroll does this:
a learned simulator in the manner of interaction networks (Battaglia et al., 2016; Sanchez-Gonzalez et al., 2020),
between the state head and the predictor.

Contact begins within a pixel, and a plain MLP learns such sharp functions of position slowly (Rahaman et al., 2019), so
distances between bodies and places on the board are also given as random Fourier features (Tancik et al., 2020).

Under other laws of physics bodies answer differently. Numbers that tell of the laws can be given along, in the order of
:func:`pushjepa.physics.tell_laws`: the first is the logarithm of how fast an action makes the agent, which is a factor
of the actions; the second is twice the logarithm of the block's scale, by which distances from the block are divided;
and all of them go through a :class:`~pushjepa.nets.law_adapter.LawAdapter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pushjepa.nets.config import ModelConfig
from pushjepa.nets.law_adapter import LawAdapter, bend
from pushjepa.nets.layers import Residual, fourier_features

SCENES = 8  #: stages that a model can tell apart
MEMORY = 32  #: numbers carried from step to step beside positions and speeds
_NEAR = 4.0  # distances between bodies are given in quarters of half a board: contact is at 0.5 ... 1.3
_FAST = 6.0  # motion is given in about the 40 px that an agent covers in a step
_PAIRS = 4  # distances given as waves: actor, actor as commanded and waiter from the block, actor from waiter
_FEELERS = 8  # learned points fixed to the block, whose places on the board tell when it meets a wall or an obstacle
_PLACES = 3 + _FEELERS  # places given as waves: actor, actor as commanded, waiter, feelers
_GEOMETRY = 43
_RATES = (1.5, 3.0, 6.0, 12.0)  # spreads of the waves' frequencies: the finest are about 33 px long
_SIDE = 128  # width of the adapter to other laws


class Moving(NamedTuple):
    """Where everything is between two substeps.

    Attributes:
        bodies: (N, 3, 2) actor, waiter, block, half boards about the centre.
        turn: (N, 2) cosine and sine of the block's angle.
        moved: (N, 3, 2) by the last substep.
        spin: (N, 1) by the last substep, radians.
        memory: (N, MEMORY) numbers that the network keeps for itself.
    """

    bodies: Tensor
    turn: Tensor
    moved: Tensor
    spin: Tensor
    memory: Tensor


class StepUnroll(nn.Module):
    """From the state at a turn's start and its actions to the state after each of its steps.

    The board is looked at so that p1 acts, mirrored when it is p2 (as the game itself does), and the bodies take roles:
    the *actor*, the *waiter*, the *block*. In each step the actor goes as it is commanded, and the network corrects the
    motion of all three. It sees them on the board and from the block (relative positions, turned by the block's angle),
    and gives its corrections in both frames.

    Args:
        config: ``unroll_hidden``, ``unroll_layers`` and ``unroll_waves`` are the network's sizes, ``unroll_substeps``
            says how often it is applied in a step, ``laws`` how many numbers tell of the laws of physics.
    """

    pair_waves: Tensor
    place_waves: Tensor
    mirror: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden, count = config.unroll_hidden, config.unroll_waves
        self.substeps = config.unroll_substeps
        self.stride = nn.Parameter(torch.tensor(0.1))  # half boards an agent covers in a step at full speed
        self.feelers = nn.Parameter(0.2 * torch.randn(_FEELERS, 2))  # half boards from the block's centre
        self.register_buffer("pair_waves", _frequencies(_PAIRS, count))
        self.register_buffer("place_waves", _frequencies(_PLACES, count // 2))
        # x of p1, p2 and block, and the sine of the angle, change sign in the mirror.
        self.register_buffer("mirror", torch.tensor([-1.0, 1, -1, 1, -1, 1, 1, -1]), persistent=False)
        waved = 2 * (self.pair_waves[:, 0].numel() + self.place_waves[:, 0].numel())
        inputs = _GEOMETRY + waved + SCENES + MEMORY
        self.enter = nn.Linear(inputs, hidden)
        self.blocks = nn.ModuleList([Residual(hidden) for _ in range(config.unroll_layers)])
        self.norm = nn.LayerNorm(hidden)
        self.motion = nn.Linear(hidden, 13)
        self.memory = nn.Linear(hidden, MEMORY)
        # At first nothing but the commanded motion happens.
        nn.init.zeros_(self.motion.weight)
        nn.init.zeros_(self.motion.bias)
        self.laws: LawAdapter | None = None
        if config.laws:
            self.laws = LawAdapter(config.laws, inputs, hidden, config.unroll_layers + 1, 13, _SIDE)

    def forward(
        self, states: Tensor, scene: Tensor, blocks: Tensor, actors: Tensor, laws: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Imagine N turns.

        Args:
            states: (N, 8) at the turns' start, as the state head gives them.
            scene: (N, SCENES) how much each stage is believed in.
            blocks: (N, steps, 2, 2) joint action blocks.
            actors: (N,) who acts; -1 (nobody, whose block is zero) is taken for p1.
            laws: (N, C) what is known of the laws of physics; None for the standard ones.

        Returns:
            (N, steps, 8) the state after each step, and (N, MEMORY) what is remembered of the turn.

        Raises:
            ValueError: laws, for an unroll that was built without.
        """
        swap = (actors == 1)[:, None]
        start = self._seat(states, swap)
        bodies, turn = start[:, :6].unflatten(-1, (3, 2)), unit(start[:, 6:])
        own = torch.where(swap[..., None], blocks[:, :, 1] * self.mirror[:2], blocks[:, :, 0])
        commanded = own * (self.stride / self.substeps)  # (N, steps, 2), in each substep
        told, scale = None, states.new_ones(())
        bends: Sequence[tuple[Tensor, Tensor] | None] = [None] * (len(self.blocks) + 1)
        if laws is not None:
            if self.laws is None:
                raise ValueError("this unroll knows no other laws of physics than the standard ones")
            commanded, scale = laws[:, None, :1].exp() * commanded, (0.5 * laws[:, 1:2]).exp()
            told = self.laws.tell(laws)
            bends = self.laws.bends(told)
        moved, spin = torch.zeros_like(bodies), torch.zeros_like(states[:, :1])
        now = Moving(bodies, turn, moved, spin, states.new_zeros(states.shape[0], MEMORY))
        imagined = []
        for substep in range(blocks.shape[1] * self.substeps):
            now = self.move(now, commanded[:, substep // self.substeps], scene, scale, told, bends)
            imagined.append(torch.cat([now.bodies.flatten(1), now.turn], dim=-1))
        ends = torch.stack(imagined[self.substeps - 1 :: self.substeps], dim=1)
        return self._seat(ends, swap[..., None]), now.memory

    def move(
        self,
        now: Moving,
        commanded: Tensor,
        scene: Tensor,
        scale: Tensor,
        laws: Tensor | None,
        bends: Sequence[tuple[Tensor, Tensor] | None],
    ) -> Moving:
        """One substep on.

        Args:
            now: where everything is.
            commanded: (N, 2) the actor's motion if nothing stopped it.
            scene: (N, SCENES) how much each stage is believed in.
            scale: () or (N, 1) of the block.
            laws: (N, C + 64) what is told of the laws, as the adapter puts it; None for the standard ones.
            bends: what that does to each layer; None for the standard laws.
        """
        seen = torch.cat([self._look(now, commanded, scale), scene, now.memory], dim=-1)
        x = bend(self.enter(seen), bends[0])
        for block, by in zip(self.blocks, bends[1:], strict=True):
            x = bend(block(x), by)
        x = self.norm(x)
        motion = 0.25 * self.motion(x)
        if self.laws is not None and laws is not None:
            motion = motion + 0.25 * self.laws.correct(seen, laws)
        on_board, from_block = motion[:, :6].unflatten(-1, (3, 2)), motion[:, 6:12].unflatten(-1, (3, 2))
        moved, spin = on_board + rotate(from_block, now.turn), motion[:, 12:]
        moved = torch.cat([moved[:, :1] + commanded[:, None], moved[:, 1:]], dim=1)
        turn = rotate(now.turn[:, None], torch.cat([spin.cos(), spin.sin()], dim=-1))[:, 0]
        return Moving(now.bodies + moved, turn, moved, spin, self.memory(x))

    def hot(self) -> list[tuple[nn.Module, str]]:
        """The methods that take most of its time: what there is to compile."""
        return [(self, "move")]

    def _seat(self, states: Tensor, swap: Tensor) -> Tensor:
        """States (..., 8) from the other seat where ``swap`` (..., 1) is set."""
        mirrored = torch.cat([states[..., 2:4], states[..., :2], states[..., 4:]], dim=-1) * self.mirror
        return torch.where(swap, mirrored, states)

    def _look(self, now: Moving, commanded: Tensor, scale: Tensor) -> Tensor:
        """What the network sees of a substep: positions, distances and motions, on the board and from the block.

        Shapes: commanded (N, 2) the actor's motion if nothing stopped it; scale () or (N, 1) of the block, by which
        distances from it are divided.
        """
        bodies, turn, moved, spin, _ = now
        actor, waiter, block = bodies.unbind(1)
        back = turn * turn.new_tensor([1.0, -1.0])
        points = torch.stack([actor, actor + commanded, waiter], dim=1)
        apart = _NEAR * (points - block[:, None]) / scale[..., None]
        motions = _FAST * torch.cat([commanded[:, None], moved], dim=1)
        others = _NEAR * (points[:, :2] - waiter[:, None])
        near = rotate(apart, back)
        feelers = block[:, None] + scale[..., None] * rotate(self.feelers.expand(turn.shape[0], -1, -1), turn)
        pairs = fourier_features(torch.cat([near, others[:, :1]], dim=1), self.pair_waves)
        places = fourier_features(_NEAR * torch.cat([points, feelers], dim=1), self.place_waves)
        on_board = [2.0 * bodies.flatten(1), 2.0 * points[:, 1], turn, apart.flatten(1), motions.flatten(1)]
        from_block = [near.flatten(1), rotate(motions, back).flatten(1)]
        return torch.cat([*on_board, others.flatten(1), *from_block, 10.0 * spin, pairs, places], dim=-1)


class Lift(nn.Module):
    """What was imagined, as an addition to the token (N, D) from which the predictor starts; zero at initialisation."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        inputs = (config.frameskip + 1) * 8 + MEMORY
        self.net = nn.Sequential(nn.Linear(inputs, config.width), nn.GELU())
        self.out = nn.Linear(inputs + config.width, config.width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, start: Tensor, states: Tensor, memory: Tensor) -> Tensor:
        """State at the start (N, 8), after each step (N, steps, 8) and the memory (N, MEMORY) to (N, D)."""
        changes = (states - start[:, None]).flatten(1)
        x = torch.cat([start, changes, memory], dim=-1)
        return self.out(torch.cat([x, self.net(x)], dim=-1))


def rotate(vectors: Tensor, turn: Tensor) -> Tensor:
    """Vectors (N, K, 2) turned by the angles whose cosine and sine are ``turn`` (N, 2)."""
    cos, sin = turn[:, None, 0], turn[:, None, 1]
    x, y = vectors.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)


def _frequencies(points: int, count: int) -> Tensor:
    """``count`` random directions and frequencies for each of some points (points, 2, count)."""
    return torch.cat([rate * torch.randn(points, 2, count // len(_RATES)) for rate in _RATES], dim=-1)


def unit(vectors: Tensor) -> Tensor:
    """Vectors (N, 2) at length 1."""
    return vectors / (vectors.square().sum(-1, keepdim=True) + 1e-6).sqrt()
