"""Weight quantizers: how the frozen language model is stored and run for serving. A file here is a quantizer.

    quantize(lm, folder)       writes the served form of the model into a folder
    load(folder, threads)      -> ServedLanguageModel

What a served language model is: one conversation at a time, embeddings in, logits and last hidden states out. It may
have rows: sequences of equal length that are read side by side (Mini-Omni's batch-parallel decoding has two).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np


class ServedLanguageModel(Protocol):
    """The role."""

    def start(self, keys_values: np.ndarray, rows: int = 1) -> None:
        """Forget the conversation; begin behind a prefix (layers, 2, kv_heads, positions, head_width) float32;
        positions may be 0."""

    def step(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read (positions, width) -> logits of the last position (vocabulary,), hidden states (positions, width)."""
        ...

    def step_rows(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As step, of all rows: (rows, positions, width) -> (rows, vocabulary), (rows, positions, width)."""
        ...


def folder_size_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
