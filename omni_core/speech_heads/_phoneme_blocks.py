"""Blocks of the talker that work along phonemes: (batch, phonemes, width) enters, the same or a few numbers each leave."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Residual convolution over phonemes, (batch, phonemes, width) in and out, blind to padding."""

    def __init__(self, width: int, kernel: int = 5):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, 2 * width, kernel, padding=kernel // 2)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        hidden = self.conv((self.norm(x) * mask[..., None]).transpose(1, 2)).transpose(1, 2)
        return x + self.dropout(self.out(F.glu(hidden, dim=-1)))


class VariancePredictor(nn.Module):
    """(batch, phonemes, width) -> (batch, phonemes, outputs)."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.block = ConvBlock(width, 3)
        self.out = nn.Linear(width, outputs)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.out(self.block(x, mask))
