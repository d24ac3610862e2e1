"""The autoregressive predictor: a causal transformer whose blocks are modulated by the action (AdaLN)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pushjepa.nets.config import ModelConfig


class AdaLNBlock(nn.Module):
    """A pre-norm transformer block with adaptive layer norm (Peebles and Xie, DiT, 2023).

    The action gives shift, scale and gate of both halves. The modulation starts at zero, so that at initialisation
    every block is the identity and the model predicts that nothing changes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, inner = config.width, config.heads * config.head_width
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * inner)
        self.attention_out = nn.Linear(inner, width)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = nn.Sequential(nn.Linear(width, config.mlp_hidden), nn.GELU(), nn.Linear(config.mlp_hidden, width))
        self.dropout = nn.Dropout(config.dropout)
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def modulate(self, condition: Tensor) -> tuple[Tensor, ...]:
        """Condition (..., D) to the six modulations (..., D): shift, scale, gate of attention, then of the MLP."""
        return self.modulation(functional.silu(condition)).chunk(6, dim=-1)

    def project(self, x: Tensor, shift: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (B, T, D) to queries, keys and values (B, heads, T, head_width)."""
        qkv = self.qkv(self.norm1(x) * (1 + scale) + shift)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def finish(self, x: Tensor, attended: Tensor, modulations: tuple[Tensor, ...]) -> Tensor:
        """Add what attention gave (B, heads, T, head_width) to the tokens (B, T, D), then the MLP."""
        _, _, gate1, shift2, scale2, gate2 = modulations
        x = x + gate1 * self.dropout(self.attention_out(attended.transpose(1, 2).flatten(-2)))
        return x + gate2 * self.dropout(self.mlp(self.norm2(x) * (1 + scale2) + shift2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Tokens (B, T, D), conditions (B, T, D) to tokens; a token sees itself and earlier ones only."""
        modulations = self.modulate(condition)
        q, k, v = self.project(x, modulations[0], modulations[1])
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.finish(x, attended, modulations)


class Predictor(nn.Module):
    """Latents and the action blocks that follow them to the next latents.

    Token ``i`` is the latent at turn boundary ``i`` and is modulated by block ``i``, the one that leads from boundary
    ``i`` to ``i + 1``; its output is the prediction of boundary ``i + 1``, as a change to the latent it started from.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.history = config.history
        self.position = nn.Parameter(0.02 * torch.randn(config.history, config.width))
        self.blocks = nn.ModuleList([AdaLNBlock(config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, latents: Tensor, conditions: Tensor) -> Tensor:
        """Latents (B, T, D) and conditions (B, T, D), T at most ``history``, to the next latents (B, T, D)."""
        x = latents + self.position[-latents.shape[1] :]
        for block in self.blocks:
            x = block(x, conditions)
        return latents + self.out(self.norm(x))

    def last(self, past: Tensor, past_conditions: Tensor, latest: Tensor, conditions: Tensor) -> Tensor:
        """The last output of :meth:`forward`, when many candidates share one past.

        Causality makes the past's keys and values independent of the candidates: they are computed once and
        broadcast, which makes a search about three times cheaper.

        Args:
            past: (P, history-1, D) earlier latents, P is 1 or S.
            past_conditions: (P, history-1, D).
            latest: (S, 1, D) the newest latent of each candidate.
            conditions: (S, 1, D).

        Returns:
            (S, D) the predicted latents.
        """
        x = past + self.position[:-1]
        y = latest + self.position[-1:]
        for layer in self.blocks:
            block: AdaLNBlock = layer  # type: ignore[assignment]
            modulations = block.modulate(conditions)
            q, k, v = block.project(y, modulations[0], modulations[1])
            past_modulations = block.modulate(past_conditions)
            past_q, past_k, past_v = block.project(x, past_modulations[0], past_modulations[1])
            y = block.finish(y, _attend_to_past(q, k, v, past_k, past_v), modulations)
            attended = functional.scaled_dot_product_attention(past_q, past_k, past_v, is_causal=True)
            x = block.finish(x, attended, past_modulations)
        return (latest + self.out(self.norm(y)))[:, 0]


def _attend_to_past(q: Tensor, k: Tensor, v: Tensor, past_k: Tensor, past_v: Tensor) -> Tensor:
    """Attention of one token (S, heads, 1, d) to a broadcast past (P, heads, T, d) and to itself."""
    scale = q.shape[-1] ** -0.5
    earlier = (q @ past_k.transpose(-1, -2)) * scale  # (S, heads, 1, T)
    own = (q * k).sum(dim=-1, keepdim=True) * scale  # (S, heads, 1, 1)
    weights = torch.cat([earlier, own], dim=-1).softmax(dim=-1)
    return weights[..., :-1] @ past_v + weights[..., -1:] * v
