"""A closer look at what a frame shows: small crops about each body, read by itself.

Key points tell where a body is to a fraction of a cell of their maps, out of all that the frame shows. Once that is
known, a crop about the body settles the rest: in it the body lies near the middle, the block upright, and its offset
from the middle is nearly linear in the crop's pixels. This is not the second look (``second_look.py``), an encoder of
its own for other blocks. Crops are cut bilinearly (spatial transformer; Jaderberg et al., 2015, eq. 5), at places that
an earlier look chose (glimpses; Mnih et al., 2014).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pushjepa.nets.encoder import Normalise
from pushjepa.nets.layers import Bypassed, in_full_precision
from pushjepa.physics.constants import BOARD_CENTRE, BOARD_SIZE

AGENT_REACH = 25.0  #: px on either side of an agent that its crop shows, in whole pixels of the frame
BLOCK_REACH = 66.0  #: and of the block: all of it, its farthest corner by a hair
_AT_MOST = 6.0  # px that one glimpse may move a body by: beyond that the crop shows something else
_AT_MOST_TURNED = 0.1  # and radians that it may turn the block by
_SCALE = 4.0  # of a crop as one vector, whatever its pixels are: a step of AdamW changes what is read in proportion


class Glimpses(nn.Module):
    """Frames, and the state as a first glance reads it, to the state as a closer look reads it.

    At initialisation it changes nothing but the length of the heading, which it makes one.

    Args:
        frame_size: height and width of a frame, px.
        hidden: width of the MLP that reads a body's crop.
    """

    agent: Tensor
    block: Tensor

    def __init__(self, frame_size: int, hidden: int) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.register_buffer("agent", _window(AGENT_REACH, frame_size), persistent=False)
        self.register_buffer("block", _window(BLOCK_REACH, frame_size), persistent=False)
        self.of_p1 = _reader(len(self.agent), hidden, 2)
        self.of_p2 = _reader(len(self.agent), hidden, 2)
        self.of_block = _reader(len(self.block), hidden, 3)

    @in_full_precision
    def forward(self, states: Tensor, frames: Tensor) -> Tensor:
        """Read states (N, 8), as the head gives them, anew from frames (N, H, W, 3) of 0 ... 255: (N, 8)."""
        pixels = self.normalise(frames)
        p1, p2, place, heading = states.split(2, dim=-1)
        heading = functional.normalize(heading, dim=-1)
        upright = torch.cat([torch.ones_like(heading[:, :1]), torch.zeros_like(heading[:, :1])], dim=-1)
        of_p1 = self.of_p1(_crop(pixels, self.agent, p1, upright))
        of_p2 = self.of_p2(_crop(pixels, self.agent, p2, upright))
        of_block = self.of_block(_crop(pixels, self.block, place, heading))
        far = _AT_MOST / BOARD_CENTRE
        turned = _AT_MOST_TURNED * of_block[:, 2:].tanh()
        return torch.cat(
            [
                p1 + far * of_p1.tanh(),
                p2 + far * of_p2.tanh(),
                place + far * _turn(of_block[:, :2].tanh(), heading),
                _turn(torch.cat([turned.cos(), turned.sin()], dim=-1), heading),
            ],
            dim=-1,
        )


def _window(reach: float, frame_size: int) -> Tensor:
    """Where the pixels of a crop lie about its middle (K, 2), a pixel of the frame apart, in half boards."""
    pixel = BOARD_SIZE / frame_size
    line = torch.arange(-math.floor(reach / pixel), math.floor(reach / pixel) + 1) * (pixel / BOARD_CENTRE)
    return torch.cartesian_prod(line, line)


def _reader(pixels: int, hidden: int, numbers: int) -> Bypassed:
    """What reads a crop (N, 3 K): an MLP, and a linear way round it."""
    last = nn.Linear(hidden, numbers)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    layers = (nn.Linear(3 * pixels, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), last)
    return Bypassed(*layers, bypass=(3 * pixels, numbers))


def _turn(vectors: Tensor, headings: Tensor) -> Tensor:
    """Vectors (..., 2) turned by the angles of unit vectors (..., 2); either may be one for several of the other."""
    (x, y), (cos, sin) = vectors.unbind(-1), headings.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)


def _crop(pixels: Tensor, window: Tensor, places: Tensor, headings: Tensor) -> Tensor:
    """Pixels (N, 3, H, W) about places (N, 2), turned as the headings (N, 2) are: (N, 3 K).

    Places in half boards about the centre are coordinates of ``grid_sample``, for a frame shows the board and no more.
    """
    grid = places[:, None] + _turn(window, headings[:, None])
    found = functional.grid_sample(pixels, grid[:, None], padding_mode="border", align_corners=False).flatten(1)
    return found * (_SCALE / math.sqrt(found.shape[1]))
