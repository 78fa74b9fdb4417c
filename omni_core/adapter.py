"""What the encoder heard enters, embeddings that the language model can read leave.

    features (frames, width) -> stack -> transformer -> CTC over the model's own tokens
                                                          | runs of one token become one embedding
                                                          v
                         expected token embedding + learned correction   (segments, LM width)

Compressing by CTC (Gaido et al. 2021, "CTC-based Compression for Direct Speech Translation") hands the language
model about as many positions as the written question has, in its own embedding space, so that the frozen model is on
familiar ground from the first step, and the adapter learns most of its work without running the language model at all.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_contracts.errors import SourceError

BLANK = 0


@dataclass(frozen=True)
class AdapterConfig:
    """Shape of an adapter. tokens: ids of the language model that it can hear, in the order of its CTC classes."""

    feature_width: int
    feature_rate_hz: float
    model_width: int
    tokens: tuple[int, ...]
    width: int = 256
    num_layers: int = 2
    num_heads: int = 4
    stacked_rate_hz: float = 16.7

    @property
    def stack(self) -> int:
        """Features joined into one adapter frame."""
        return max(1, round(self.feature_rate_hz / self.stacked_rate_hz))


class Adapter(nn.Module):
    """See the module's picture. `embeddings` (len(tokens), model_width) is the frozen model's own table, copied."""

    def __init__(self, config: AdapterConfig, embeddings: Tensor):
        super().__init__()
        self.config = config
        self.embeddings: Tensor
        self.register_buffer("embeddings", embeddings.float())
        self.norm = nn.LayerNorm(config.feature_width)
        self.project = nn.Linear(config.feature_width * config.stack, config.width)
        self.local = nn.Conv1d(config.width, config.width, 5, padding=2)
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.num_heads,
            4 * config.width,
            dropout=0.1,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, config.num_layers, enable_nested_tensor=False)
        self.classes = nn.Linear(config.width, 1 + len(config.tokens))
        self.correction = nn.Linear(config.width, config.model_width)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def frames(self, features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, feature_width), counts (batch,) -> hidden (batch, stacked, width), counts of stacked frames."""
        stack = self.config.stack
        features = F.pad(self.norm(features), (0, 0, 0, -features.shape[1] % stack))
        x = self.project(features.reshape(len(features), -1, stack * features.shape[2]))
        counts = (counts + stack - 1) // stack
        outside = torch.arange(x.shape[1]) >= counts[:, None]
        x = x.masked_fill(outside[..., None], 0)
        x = x + F.gelu(self.local(x.transpose(1, 2))).transpose(1, 2)
        return self.layers(x, src_key_padding_mask=outside), counts

    def log_probs(self, hidden: Tensor) -> Tensor:
        """(batch, stacked, width) -> CTC log-probabilities (batch, stacked, 1 + tokens)."""
        return self.classes(hidden).log_softmax(-1)

    def alignment_loss(self, features: Tensor, counts: Tensor, targets: Tensor, target_counts: Tensor) -> Tensor:
        """CTC to the question's tokens, as classes (index in config.tokens + 1)."""
        hidden, counts = self.frames(features, counts)
        return F.ctc_loss(self.log_probs(hidden).transpose(0, 1), targets, counts, target_counts, zero_infinity=True)

    def listen(self, features: Tensor) -> tuple[list[int], Tensor]:
        """One question (frames, feature_width) -> the tokens heard, as ids of the language model, and their embeddings
        (segments, model_width); silence gives none."""
        hidden, _ = self.frames(features[None], torch.tensor([len(features)]))
        log_probs = self.log_probs(hidden)[0]
        best = log_probs.argmax(-1)
        owner = self._segments(best)
        heard = owner >= 0
        number = int(owner.max()) + 1 if len(owner) else 0
        tokens = [self.config.tokens[int(best[owner == segment][0]) - 1] for segment in range(number)]
        weights = log_probs[heard, 1:].softmax(-1)
        values = weights @ self.embeddings + self.correction(hidden[0][heard])
        sums = values.new_zeros(number, self.config.model_width).index_add(0, owner[heard], values)
        counts = values.new_zeros(number).index_add(0, owner[heard], torch.ones_like(values[:, 0]))
        return tokens, sums / counts[:, None]

    def forward(self, features: Tensor) -> Tensor:
        """One question (frames, feature_width) -> (segments, model_width)."""
        return self.listen(features)[1]

    def hear(self, features: Tensor) -> list[int]:
        """One question (frames, feature_width) -> ids of the language model's tokens that the adapter heard."""
        return self.listen(features)[0]

    @staticmethod
    def _segments(best: Tensor) -> Tensor:
        """Best class a frame -> number of the run that it belongs to, -1 for blank frames: a a - a b -> 0 0 -1 1 2."""
        changed = torch.ones_like(best, dtype=torch.bool)
        changed[1:] = best[1:] != best[:-1]
        number = (changed & (best != BLANK)).long().cumsum(0) - 1
        return torch.where(best == BLANK, -1, number)

    def config_dict(self) -> dict:
        """For config.json."""
        return asdict(self.config)


def tokens_to_hear(texts: list[list[int]]) -> tuple[int, ...]:
    """The token ids that occur in the training questions, sorted; raises SourceError when there are none."""
    found = sorted({token for text in texts for token in text})
    if not found:
        raise SourceError(
            "no training question has any text; the adapter has nothing to learn: check the split column of the sources"
        )
    return tuple(found)
