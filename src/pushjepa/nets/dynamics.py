"""The predictor over time and slots: actions modulate every layer, mechanisms gate who listens to whom."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pushjepa.nets.mech_config import MechConfig

_OPEN = 2.0  # a gate's logit at the start: 0.88 of the way open


class ActionAdaLN(nn.Module):
    """Layer norm whose scale and shift are given by the action: LN(x) * (1 + scale(a)) + shift(a).

    It starts as plain layer norm, so that a model which was trained without actions gives the same outputs when they
    are brought in.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulation = nn.Linear(width, 2 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Tokens (..., D) and conditions (..., D), or None for no action, to tokens."""
        y: Tensor = self.norm(x)
        if condition is None:
            return y
        scale, shift = self.modulation(functional.silu(condition)).chunk(2, dim=-1)
        return y * (1 + scale) + shift


class MechBlock(nn.Module):
    """A transformer block over T x K tokens: a slot sees every slot of its own and of earlier frames."""

    def __init__(self, config: MechConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm1, self.norm2 = ActionAdaLN(width), ActionAdaLN(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, config.mlp_hidden), nn.GELU(), nn.Linear(config.mlp_hidden, width))
        self.dropout = nn.Dropout(config.dropout)
        self.gate = nn.Linear(config.mechanism_width, config.heads) if config.mechanism != "none" else None
        if self.gate is not None:
            nn.init.constant_(self.gate.bias, _OPEN)

    def forward(self, x: Tensor, condition: Tensor | None, mask: Tensor, mechanisms: Tensor | None) -> Tensor:
        """Tokens (B, T, K, D), conditions alike, mask (T K, T K), mechanisms (B, T, K, K, M), to tokens."""
        batch, steps, slots, _ = x.shape
        y = self.norm1(x, condition)
        q, k, v = self.qkv(y).flatten(1, 2).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        bias = mask
        if self.gate is not None and mechanisms is not None:
            # How far slot i lets slot j through is decided in the frame that j is looked at in.
            gates = functional.logsigmoid(self.gate(mechanisms)).permute(0, 4, 2, 1, 3)  # (B, heads, i, T, j)
            gates = gates.flatten(3).unsqueeze(2).expand(-1, -1, steps, -1, -1)  # (B, heads, T, i, T j)
            bias = mask + gates.reshape(batch, self.heads, steps * slots, steps * slots)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.dropout(self.attention_out(attended.transpose(1, 2).flatten(-2)).reshape(x.shape))
        return x + self.dropout(self.mlp(self.norm2(x, condition)))


class MechPredictor(nn.Module):
    """Slots and the action blocks that follow them to the next slots.

    The tokens of frame ``i`` are modulated by block ``i``, the one that leads from frame ``i`` to ``i + 1``; what comes
    out of them is the prediction of frame ``i + 1``, as a change to the slot they started from.
    """

    def __init__(self, config: MechConfig) -> None:
        super().__init__()
        self.time = nn.Parameter(0.02 * torch.randn(config.history, 1, config.width))
        self.slot = nn.Parameter(0.02 * torch.randn(config.slots, config.width))
        self.hidden = nn.Parameter(torch.zeros(config.width))  # stands for a slot that is hidden in training
        self.blocks = nn.ModuleList([MechBlock(config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, config.width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def hide(self, slots: Tensor, masked: Tensor | None) -> Tensor:
        """Slots (..., K, D) with what stands for a hidden one where ``masked`` (..., K) says so; None hides none."""
        return slots if masked is None else torch.where(masked[..., None], self.hidden, slots)

    def forward(self, slots: Tensor, conditions: Tensor | None, mechanisms: Tensor | None = None) -> Tensor:
        """Predict.

        Args:
            slots: (B, T, K, D), T at most ``history``.
            conditions: (B, T, K, D), or None to predict without actions.
            mechanisms: (B, T, K, K, M), or None.

        Returns:
            (B, T, K, D) the next slots.
        """
        steps, count = slots.shape[1:3]
        x = slots + self.time[-steps:] + self.slot
        frame = torch.arange(steps, device=slots.device).repeat_interleave(count)
        mask = torch.zeros(steps * count, steps * count, device=slots.device, dtype=slots.dtype)
        mask = mask.masked_fill(frame[None] > frame[:, None], float("-inf"))
        for block in self.blocks:
            x = block(x, conditions, mask, mechanisms)
        return slots + self.out(self.norm(x))
