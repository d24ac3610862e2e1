"""A turn imagined substep by substep, in the coordinates that the state head reads from the latent.

A turn is five env steps, and most of what happens in it is contact: an agent meets a wall, the block, the other agent.
Seen as one jump from turn boundary to turn boundary that is a jagged function of eighteen numbers; seen at the game's
own substeps, 25 in a turn, it is one simple function applied again and again. The unroll does this: a learned simulator
in the manner of interaction networks (Battaglia et al., 2016; Sanchez-Gonzalez et al., 2020), between the state head
and the predictor. It carries positions and speeds and integrates them as mechanics does (semi-implicit Euler). The
actor's motor obeys its commands, as it is told to; what contact changes is learned.

Contacts have a form of their own. Where two bodies are tells along which directions they can push each other, and a
push of so much along such a direction changes the speeds of both (the contact Jacobian of rigid body mechanics; learned
in Pfrommer et al., 2020). So small networks see each pair's geometry and give directions and features; one network that
sees all features, and how fast bodies close in along all directions, gives the strength of every push at once.

Contact begins within a pixel, and a plain MLP learns such sharp functions of position slowly (Rahaman et al., 2019).
Distances between bodies are therefore also given as random Fourier features (Tancik et al., 2020), and each stage has a
learned map, a grid of numbers that is read between its nodes (Jaderberg et al., 2015): there it says where walls and
obstacles are. Agents read it where they are, the block at learned points that are fixed to it, its feelers.

Under other laws of physics bodies answer differently. Numbers that tell of the laws can be given along, in the order of
:func:`pushjepa.physics.tell_laws`. Four of them have their exact place: the speed that an action commands, the block's
scale, by which distances from the block are divided, how much of a speed remains, and the agent's force. All of them go
through a :class:`~pushjepa.nets.law_adapter.LawAdapter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pushjepa.nets.config import ModelConfig
from pushjepa.nets.law_adapter import LawAdapter, bend
from pushjepa.nets.layers import Residual, fourier_features
from pushjepa.physics import constants as c

SCENES = 8  #: stages that a model can tell apart
TOLD_SPEED, TOLD_SCALE, TOLD_DAMPING, TOLD_FORCE = 0, 1, 4, 5  #: laws with an exact place; see ``physics.tell_laws``
_HALF = c.BOARD_SIZE / 2  # px in the unit of positions
_NEAR = 4.0  # networks see distances in quarters of it: contact is at 0.5 ... 1.3
_FAST = 64.0  # and speeds in 4 px a substep, half of an agent's own
_SPINNING = 10.0  # and the block's spin in tenths of a radian a substep
_LEVER = _HALF / _NEAR / (_HALF / _FAST) / _SPINNING  # what a spin of 1 moves at a distance of 1, in those units
_TURNED = 0.03  # radians, of a learned change of angle or spin by 1
_CELLS = 64  # of a stage's map on each side, 8 px each
_FELT, _STOOD = 6, 8  # numbers of a map for feelers, besides the direction in which they are pushed, and for agents
_BLOCK_RATES = (1.5, 3.0, 6.0, 12.0, 24.0, 36.0)  # spreads of the waves' frequencies: the finest are about 11 px long
_AGENT_RATES = (3.0, 6.0, 12.0, 24.0)
_AGENT_WAVES = 12
_FEATURES = 40  # that each pair of bodies gives
_PUSHES = (4, 4, 2, 2, 2)  # directions: actor at block, waiter at block, actor at waiter, actor and waiter at the board
#: Which numbers of motion each of these concerns; in a row they are the speeds of actor, waiter and block as seen from
#: the block, its spin, and the speeds of actor and waiter on the board.
_FREEDOMS = ((0, 1, 4, 5, 6), (2, 3, 4, 5, 6), (7, 8, 9, 10), (7, 8), (9, 10))
_FREE = 13  # changes that no contact explains: of three speeds on the board and from the block, and of the spin
ARM = 40.0  #: px from the block's centre at which its spin and its angle are judged
_IDLE = 0.02  # px a substep along a direction of length 1, by which every push is weaker than the network says
_SIDE = 128  # width of the adapter to other laws
_KEPT = c.DAMPING**c.STEP_SECONDS  # of a speed in an env step without a force


class Moving(NamedTuple):
    """Where everything is between two substeps, seen from the actor's side, and how it moves.

    Attributes:
        bodies: (N, 3, 2) actor, waiter, block, half boards about the centre.
        turn: (N, 2) cosine and sine of the block's angle.
        speeds: (N, 3, 2) half boards a substep.
        spin: (N, 1) radians a substep.
    """

    bodies: Tensor
    turn: Tensor
    speeds: Tensor
    spin: Tensor


class Laws(NamedTuple):
    """What is told of the laws of physics, put into place.

    Attributes:
        speed: () or (N, 1) half boards a substep that an action of 1 commands.
        scale: () or (N, 1) of the block.
        kept: () or (N, 1) share of a speed that a substep leaves.
        force: () or (N, 1) most that an agent's motor changes its speed by in a substep.
        told: (N, C + 64) what the adapter is told; None under the standard laws.
        bends: what that does to each layer.
    """

    speed: Tensor
    scale: Tensor
    kept: Tensor
    force: Tensor
    told: Tensor | None
    bends: Sequence[tuple[Tensor, Tensor] | None]


class Contacts(NamedTuple):
    """What the geometry of all contacts says.

    Attributes:
        features: (N, 5 F) of the pairs.
        seen: (N, 56) along which motions each direction of each pair looks.
        changed: (N, 56) which motions a push along it changes.
        felt: (N, 6 P) what the map says at the feelers.
        jacobian: (N, 3, 2 P) what the block's speed on the board, x and y, and its spin are to each feeler: first along
            the direction in which the map pushes it there, of all feelers, then across that.
        near: (N, 2 W) where both agents are at the block, in numbers and waves.
    """

    features: Tensor
    seen: Tensor
    changed: Tensor
    felt: Tensor
    jacobian: Tensor
    near: Tensor


class StepUnroll(nn.Module):
    """From the state at a turn's start and its actions to the state after each of its steps.

    The board is looked at so that p1 acts, mirrored when it is p2 (as the game itself does), and the bodies take roles:
    the *actor*, the *waiter*, the *block*.

    Args:
        config: ``unroll_hidden``, ``unroll_layers``, ``unroll_waves`` and ``unroll_feelers`` are the network's sizes,
            ``laws`` says how many numbers tell of the laws of physics.
    """

    block_waves: Tensor
    agent_waves: Tensor
    mirror: Tensor
    beats: Tensor
    motion_of: Tensor
    push_of: Tensor
    motions: Tensor
    pushes: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden, waves, feelers = config.unroll_hidden, config.unroll_waves, config.unroll_feelers
        self.still = config.unroll_still
        self.register_buffer("block_waves", _frequencies(waves, _BLOCK_RATES))
        self.register_buffer("agent_waves", _frequencies(_AGENT_WAVES, _AGENT_RATES))
        # x of p1, p2 and block, and the sine of the angle, change sign in the mirror.
        self.register_buffer("mirror", torch.tensor([-1.0, 1, -1, 1, -1, 1, 1, -1]), persistent=False)
        self.register_buffer("beats", torch.eye(c.SUBSTEPS), persistent=False)  # which substep of an env step it is
        # Of each number of a direction, pair by pair: which motion it concerns, and which direction it is one of.
        motion_of, push_of = _rows()
        for name, rows in (("motion_of", motion_of), ("push_of", push_of)):
            self.register_buffer(name, rows, persistent=False)
        for name, rows in (("motions", motion_of), ("pushes", push_of)):  # and the same as matrices, one-hot
            self.register_buffer(name, functional.one_hot(rows).float(), persistent=False)
        self.feelers = nn.Parameter(0.6 * torch.randn(feelers, 2))  # from the block's centre, as networks see distances
        nodes = SCENES * _CELLS**2
        self.felt = nn.Parameter(0.1 * torch.randn(nodes, _FELT + 2))  # the stages' maps, for feelers
        self.stood = nn.Parameter(0.1 * torch.randn(nodes, _STOOD))  # and for agents
        sees = (2 * waves + 2, 2 * _AGENT_WAVES + 3, _STOOD + 2 + SCENES)
        of_block, of_agents, of_board = (
            _geometry_net(inputs, hidden // 2, _FEATURES + 2 * _PUSHES[i] * len(_FREEDOMS[i]))
            for inputs, i in zip(sees, (0, 2, 3), strict=True)
        )
        self.of_block, self.of_agents, self.of_board = of_block, of_agents, of_board
        pushes = sum(_PUSHES) + 2 * feelers
        inputs = 5 * _FEATURES + feelers * _FELT + c.SUBSTEPS + 4 + pushes + 11
        self.enter = nn.Linear(inputs, hidden)
        self.blocks = nn.ModuleList([Residual(hidden) for _ in range(config.unroll_layers)])
        self.norm = nn.LayerNorm(hidden)
        outputs = 2 * (_FREE + pushes)  # of speeds, and of places where bodies that overlap are parted
        self.motion = nn.Linear(hidden, outputs)
        # At first nothing but the commanded motion happens.
        nn.init.zeros_(self.motion.weight)
        nn.init.zeros_(self.motion.bias)
        self.laws: LawAdapter | None = None
        if config.laws:
            self.laws = LawAdapter(config.laws, inputs + 2 * sees[0], hidden, config.unroll_layers + 1, outputs, _SIDE)

    def forward(
        self, states: Tensor, scene: Tensor, blocks: Tensor, actors: Tensor, laws: Tensor | None = None
    ) -> Tensor:
        """Imagine N turns.

        Args:
            states: (N, 8) at the turns' start, as the state head gives them.
            scene: (N, SCENES) how much each stage is believed in; the map of the likeliest is read.
            blocks: (N, steps, 2, 2) joint action blocks.
            actors: (N,) who acts; -1 (nobody, whose block is zero) is taken for p1.
            laws: (N, C) what is known of the laws of physics; None for the standard ones.

        Returns:
            (N, steps, 8) the state after each step.

        Raises:
            ValueError: laws, for an unroll that was built without.
        """
        now, actions = self.begin(states, blocks, actors)
        placed = self.place_laws(states, laws)
        imagined = []
        for number in range(actions.shape[0]):
            beat = self.beats[number % c.SUBSTEPS].expand(states.shape[0], -1)
            now = self.move(now, actions[number], beat, scene, placed)
            if (number + 1) % c.SUBSTEPS == 0:
                imagined.append(torch.cat([now.bodies.flatten(1), now.turn], dim=-1))
        return self.end(torch.stack(imagined), actors)

    def begin(self, states: Tensor, blocks: Tensor, actors: Tensor) -> tuple[Moving, Tensor]:
        """Where everything is as seen by the actor, at rest, and its actions (substeps, N, 2); see :meth:`forward`."""
        swap = (actors == 1)[:, None]
        own = torch.where(swap[..., None], blocks[:, :, 1] * self.mirror[:2], blocks[:, :, 0])
        return at_rest(self._seat(states, swap)), own.repeat_interleave(c.SUBSTEPS, dim=1).transpose(0, 1)

    def end(self, imagined: Tensor, actors: Tensor) -> Tensor:
        """States (steps, N, 8) as seen by the actor to (N, steps, 8) as p1 sees them."""
        return self._seat(imagined.transpose(0, 1), (actors == 1)[:, None, None])

    def place_laws(self, like: Tensor, laws: Tensor | None) -> Laws:
        """What is told of the laws (N, C), None for the standard ones, where it belongs; in the precision of ``like``.

        Raises:
            ValueError: laws, for an unroll that was built without.
        """
        one = like.new_ones(())
        speed = one * (c.AGENT_SPEED * c.SUBSTEP_SECONDS / _HALF)
        force = one * (c.AGENT_FORCE / c.AGENT_MASS * c.SUBSTEP_SECONDS**2 / _HALF)
        layers = len(self.blocks) + 1
        if laws is None:
            return Laws(speed, one, (one * _KEPT) ** (1 / c.SUBSTEPS), force, None, [None] * layers)
        if self.laws is None:
            raise ValueError("this unroll knows no other laws of physics than the standard ones")
        kept = (_KEPT + laws[:, TOLD_DAMPING, None] / 3.0).clamp(min=1e-6)
        told = self.laws.tell(laws)
        return Laws(
            speed=speed * laws[:, TOLD_SPEED, None].exp(),
            scale=(0.5 * laws[:, TOLD_SCALE, None]).exp(),
            kept=kept ** (1 / c.SUBSTEPS),
            force=force * laws[:, TOLD_FORCE, None].exp(),
            told=told,
            bends=self.laws.bends(told),
        )

    def move(self, now: Moving, action: Tensor, beat: Tensor, scene: Tensor, laws: Laws) -> Moving:
        """One substep on.

        Args:
            now: where everything is.
            action: (N, 2) the actor's, as from its own side.
            beat: (N, SUBSTEPS) which substep of its env step this is, one-hot: after the last, bodies are parted.
            scene: (N, SCENES) how much each stage is believed in.
            laws: from :meth:`place_laws`.
        """
        bodies, turn = now.bodies + now.speeds, turn_by(now.turn, now.spin)
        told = torch.stack([laws.speed * action, torch.zeros_like(action)], dim=1)
        agents = _driven(now.speeds[:, :2], told, laws)
        speeds = torch.cat([agents, laws.kept[..., None] * now.speeds[:, 2:]], dim=1)
        spin = laws.kept * now.spin
        contacts = self._touch(bodies, turn, scene, laws.scale)
        fast, spinning = _FAST * speeds, _SPINNING * spin
        from_block = rotate(fast, _back(turn)).reshape(-1, 6)
        motions = torch.cat([from_block, spinning, fast[:, :2].reshape(-1, 4)], dim=-1)
        where = torch.cat([beat, turn, 0.5 * _NEAR * bodies[:, 2]], dim=-1)
        block = torch.cat([fast[:, 2], spinning], dim=-1)
        closing = self._closing(contacts, motions, block)
        seen = torch.cat([contacts.features, contacts.felt, where, closing, motions], dim=-1)
        moved, turned = self._push(self._answer(seen, contacts.near, laws), contacts, turn)
        return Moving(bodies + moved[:, 1], turn_by(turn, turned[:, 1]), speeds + moved[:, 0], spin + turned[:, 0])

    def hot(self) -> list[tuple[nn.Module, str]]:
        """The methods that take most of its time: what there is to compile."""
        return [(self, "move")]

    def _seat(self, states: Tensor, swap: Tensor) -> Tensor:
        """States (..., 8) from the other seat where ``swap`` (..., 1) is set."""
        mirrored = torch.cat([states[..., 2:4], states[..., :2], states[..., 4:]], dim=-1) * self.mirror
        return torch.where(swap, mirrored, states)

    def _touch(self, bodies: Tensor, turn: Tensor, scene: Tensor, scale: Tensor) -> Contacts:
        """The geometry of all contacts."""
        agents, block = bodies[:, :2], bodies[:, 2:]
        near = (_NEAR * rotate(agents - block, _back(turn)) / scale[..., None]).reshape(-1, 2)
        places = torch.cat([fourier_features(near[:, None], self.block_waves), near], dim=-1)
        apart = _NEAR * (agents[:, :1] - agents[:, 1:])
        waves = fourier_features(apart, self.agent_waves)
        between = torch.cat([waves, apart[:, 0], apart.norm(dim=-1)], dim=-1)
        stage = scene.argmax(dim=-1)[:, None] * _CELLS**2
        at = _NEAR * agents
        stood = self._read(self.stood, at[..., 0], at[..., 1], stage)
        standing = torch.cat([stood, at, scene[:, None].expand(-1, 2, -1)], dim=-1)
        nets = ((self.of_block, places, 0), (self.of_agents, between, 2), (self.of_board, standing, 3))
        parts = [_shares(net(told), bodies.shape[0], pair) for net, told, pair in nets]
        features, seen, changed = (torch.cat(some, dim=-1) for some in zip(*parts, strict=True))
        felt, jacobian = self._feel(_NEAR * block[:, 0], turn, stage, scale)
        return Contacts(features, seen, changed, felt, jacobian, places.reshape(-1, 2 * places.shape[-1]))

    def _feel(self, block: Tensor, turn: Tensor, stage: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """What the feelers of a block at (N, 2) read, (N, 6 P), and their :class:`Contacts` ``jacobian``.

        x and y go apart here: numbers that lie side by side are what a CPU is quick with.
        """
        (ahead, aside), (cos, sin) = self.feelers.T, (turn[:, :1], turn[:, 1:])
        arm_x, arm_y = scale * (cos * ahead - sin * aside), scale * (cos * aside + sin * ahead)
        read = self._read(self.felt, block[:, :1] + arm_x, block[:, 1:] + arm_y, stage)
        push_x, push_y = read[..., _FELT], read[..., _FELT + 1]
        in_x, in_y = torch.cat([push_x, -push_y], dim=-1), torch.cat([push_y, push_x], dim=-1)
        in_spin = _LEVER * (torch.cat([arm_x, arm_x], dim=-1) * in_y - torch.cat([arm_y, arm_y], dim=-1) * in_x)
        return read[..., :_FELT].reshape(-1, self.feelers.shape[0] * _FELT), torch.stack([in_x, in_y, in_spin], dim=1)

    def _read(self, table: Tensor, x: Tensor, y: Tensor, stage: Tensor) -> Tensor:
        """A map at places, x and y (N, P) as networks see them, of stages whose first nodes are ``stage`` (N, 1)."""
        x, y = ((some * (_CELLS / 2 / _NEAR) + (_CELLS / 2 - 0.5)).clamp(0.0, _CELLS - 1.001) for some in (x, y))
        left, top = x.detach().floor(), y.detach().floor()
        right, down = (x - left)[..., None], (y - top)[..., None]
        first = (left + _CELLS * top).long() + stage
        corners = torch.stack([first, first + 1, first + _CELLS, first + _CELLS + 1])
        left_above, right_above, left_below, right_below = functional.embedding(corners, table)
        above = left_above + right * (right_above - left_above)
        below = left_below + right * (right_below - left_below)
        return above + down * (below - above)

    def _closing(self, contacts: Contacts, motions: Tensor, block: Tensor) -> Tensor:
        """How fast bodies close in along all directions (N, K).

        Of ``motions`` (N, 11), and the block's speed on the board and spin (N, 3), as networks see them.
        """
        along = (contacts.seen * motions[:, self.motion_of]) @ self.pushes
        return torch.cat([along, (block[:, None] @ contacts.jacobian)[:, 0]], dim=-1)

    def _answer(self, seen: Tensor, near: Tensor, laws: Laws) -> Tensor:
        """How hard each contact pushes, of all that is seen (N, inputs): (N, outputs).

        A small block is touched where the features of the known one, once scaled, say that nothing is: the adapter sees
        for itself where agents are at the block (N, 2 W).
        """
        x = bend(self.enter(seen), laws.bends[0])
        for block, by in zip(self.blocks, laws.bends[1:], strict=True):
            x = bend(block(x), by)
        answer: Tensor = self.motion(self.norm(x))
        if self.laws is not None and laws.told is not None:
            answer = answer + self.laws.correct(torch.cat([seen, near], dim=-1), laws.told)
        return answer

    def _push(self, answer: Tensor, contacts: Contacts, turn: Tensor) -> tuple[Tensor, Tensor]:
        """What pushes (N, 2 (13 + K)) change: of bodies (N, 2, 3, 2) half boards, of the block's angle (N, 2, 1).

        First speeds, then places.
        """
        # What nothing touches stays exactly where it is: traces of a push in 25 substeps would add up to a drift. Here
        # they are cut off one by one, below all together; learned is as if they were not, or an unroll that answers
        # with nothing at first would stay with it.
        answer = answer - answer.clamp(-_IDLE, _IDLE).detach()
        sizes = [_FREE, sum(_PUSHES), 2 * self.feelers.shape[0]]
        free, pushes, felt = answer.reshape(-1, 2, sum(sizes)).split(sizes, dim=-1)
        spread = contacts.changed[:, None] * pushes[..., self.push_of]
        change = spread @ self.motions
        block = felt @ contacts.jacobian.transpose(1, 2)  # (N, 2, 3)
        on_board = free[..., :6] + torch.cat([change[..., 7:], block[..., :2]], dim=-1)
        from_block = (free[..., 6:12] + change[..., :6]).reshape(-1, 6, 2)
        moved = on_board.reshape(-1, 2, 3, 2) + rotate(from_block, turn).reshape(-1, 2, 3, 2)
        turned = _TURNED * (block[..., 2:] + change[..., 6:7] + free[..., 12:])
        return _beyond(moved / _HALF, self.still / _HALF), _beyond(turned, self.still / ARM)


class Lift(nn.Module):
    """What was imagined, as an addition to the token (N, D) from which the predictor starts; zero at initialisation."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        inputs = (config.frameskip + 1) * 8
        self.net = nn.Sequential(nn.Linear(inputs, config.width), nn.GELU())
        self.out = nn.Linear(inputs + config.width, config.width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, start: Tensor, states: Tensor) -> Tensor:
        """State at the start (N, 8) and after each step (N, steps, 8) to (N, D)."""
        x = torch.cat([start, (states - start[:, None]).flatten(1)], dim=-1)
        return self.out(torch.cat([x, self.net(x)], dim=-1))


def at_rest(states: Tensor) -> Moving:
    """Everything where states (N, 8) of the actor's side have it, and nothing in motion."""
    bodies = states[:, :6].unflatten(-1, (3, 2))
    return Moving(bodies, unit(states[:, 6:]), torch.zeros_like(bodies), torch.zeros_like(states[:, :1]))


def rotate(vectors: Tensor, turn: Tensor) -> Tensor:
    """Vectors (N, K, 2) turned by the angles whose cosine and sine are ``turn`` (N, 2)."""
    cos, sin = turn[:, None, :1], turn[:, None, 1:]
    return cos * vectors + sin * _across(vectors)


def turn_by(turn: Tensor, angle: Tensor) -> Tensor:
    """Cosine and sine (N, 2) of angles that are (N, 1) larger."""
    return rotate(turn[:, None], torch.cat([angle.cos(), angle.sin()], dim=-1))[:, 0]


def unit(vectors: Tensor) -> Tensor:
    """Vectors (N, 2) at length 1."""
    return vectors / (vectors.square().sum(-1, keepdim=True) + 1e-6).sqrt()


def _beyond(vectors: Tensor, least: float) -> Tensor:
    """Vectors (..., D) shorter by ``least``, none where they are not longer; gradients pass as if they were whole."""
    share = (least / (vectors.square().sum(-1, keepdim=True) + 1e-16).sqrt()).clamp(max=1.0)
    return vectors - (share * vectors).detach()


def _back(turn: Tensor) -> Tensor:
    """Cosine and sine (N, 2) of the opposite angles."""
    return torch.cat([turn[:, :1], -turn[:, 1:]], dim=-1)


def _across(vectors: Tensor) -> Tensor:
    """Vectors (..., 2) a quarter turn on."""
    return torch.cat([-vectors[..., 1:], vectors[..., :1]], dim=-1)


def _driven(speeds: Tensor, told: Tensor, laws: Laws) -> Tensor:
    """Speeds (N, 2, 2) after a substep in which the agents' motors make for those that they are told (N, 2, 2)."""
    left = laws.kept[..., None] * speeds
    wanted = told - left
    length = (wanted.square().sum(-1, keepdim=True) + 1e-12).sqrt()
    return left + wanted * (laws.force[..., None] / length).clamp(max=1.0)


def _shares(given: Tensor, count: int, pair: int) -> list[Tensor]:
    """What a geometry network gives of one pair of bodies or of two alike, of N boards each: features, directions.

    Args:
        given: (N or 2 N, F + 2 K) or (N, 2, F + 2 K).
        count: N.
        pair: the first one's number in ``_PUSHES``.

    Returns:
        (N, F) or (N, 2 F) features, and alike the numbers of the directions that they look along and are changed along.
    """
    numbers = _PUSHES[pair] * len(_FREEDOMS[pair])
    return [some.reshape(count, -1) for some in given.split([_FEATURES, numbers, numbers], dim=-1)]


def _rows() -> tuple[Tensor, Tensor]:
    """Of each number of a direction (56,), pair by pair: which motion it concerns, and which direction it is one of."""
    motion_of: list[int] = []
    push_of: list[int] = []
    for pushes, motions in zip(_PUSHES, _FREEDOMS, strict=True):
        push_of += [len(set(push_of)) + push for push in range(pushes) for _ in motions]
        motion_of += pushes * list(motions)
    return torch.tensor(motion_of), torch.tensor(push_of)


def _geometry_net(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, outputs)
    )


def _frequencies(count: int, rates: Sequence[float]) -> Tensor:
    """``count`` random directions and frequencies for a point (1, 2, count)."""
    return torch.cat([rate * torch.randn(1, 2, count // len(rates)) for rate in rates], dim=-1)
