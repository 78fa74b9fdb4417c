"""mimi: Kyutai's streaming speech codec, 24 kHz at 12.5 frames a second; one semantic codebook, the others acoustic.

Défossez et al. 2024 (Moshi), section 3.3. Through transformers' MimiModel; weights by folder or hub id (kyutai/mimi).
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from data_contracts.components import CodecSettings
from omni_core.codecs._residual import codebooks_in_use, note_codebooks
from omni_core.codecs._streaming import CausalConvolutions, DecodingStream
from omni_core.pretrained import load_pretrained

PUBLIC_WEIGHTS = "kyutai/mimi"


class Mimi:
    """A loaded Mimi of which the first `num_codebooks` are used; it never looks ahead."""

    look_ahead_frames = 0

    def __init__(self, model, num_codebooks: int):
        self.model, self.num_codebooks = model, num_codebooks
        self.codebook_size = model.config.codebook_size
        self.sample_rate_hz = model.config.sampling_rate
        self.frame_rate_hz = float(model.config.frame_rate)
        self.samples_per_frame = round(self.sample_rate_hz / self.frame_rate_hz)

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> Tensor:
        """(batch, samples) at 24 kHz -> codes (batch, num_codebooks, ceil(samples / samples_per_frame))."""
        padded = F.pad(waveform, (0, -waveform.shape[-1] % self.samples_per_frame))
        return self.model.encode(padded[:, None], num_quantizers=self.num_codebooks).audio_codes

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes -> (batch, frames * samples_per_frame)."""
        return self.model.decode(codes.long()).audio_values[:, 0].clamp(-1, 1)

    def stream(self) -> DecodingStream:
        """Decoding with Mimi's own state."""
        return MimiStream(self.model)

    def code_vectors(self) -> Tensor:
        """(num_codebooks, codebook_size, 512): the semantic and the acoustic part each have their own projection."""
        quantizer = self.model.quantizer
        parts = (quantizer.semantic_residual_vector_quantizer, quantizer.acoustic_residual_vector_quantizer)
        vectors = []
        for part in parts:
            for layer in part.layers:
                book = layer.codebook.embed
                vectors.append(book if part.output_proj is None else book @ part.output_proj.weight[:, :, 0].T)
        return torch.stack(vectors[: self.num_codebooks])

    def save(self, folder: Path) -> None:
        """What save_pretrained writes, and the number of codebooks in use."""
        self.model.save_pretrained(folder)
        note_codebooks(folder, self.num_codebooks)


class MimiStream:
    """transformers keeps the state of the transformer (its keys and values, the last 250 steps); we that of the convolutions."""

    def __init__(self, model):
        self.model, self.convolutions, self.keys_values = model, CausalConvolutions(), None

    @torch.no_grad()
    def push(self, codes: Tensor, last: bool = False) -> Tensor:
        """See DecodingStream; every sample comes at once."""
        if not codes.shape[2]:
            return torch.zeros(len(codes), 0)
        decoder = self.model.decoder
        steps = self.convolutions(decoder.upsample, self.model.quantizer.decode(codes.long()))
        thought = decoder.decoder_transformer(steps.transpose(1, 2), past_key_values=self.keys_values, use_cache=True)
        self.keys_values = thought.past_key_values
        waveform = self.convolutions.through(decoder.decoder_seanet.layers, thought.last_hidden_state.transpose(1, 2))
        return waveform[:, 0].clamp(-1, 1)


def load(settings: CodecSettings, folder: Path | str, home: Path) -> Mimi:
    """Folder or hub id -> codec."""
    from transformers import MimiModel

    model = load_pretrained(MimiModel, str(folder), ("mimi",), "Mimi codec")
    at_least = model.config.num_semantic_quantizers + 1
    return Mimi(model, codebooks_in_use("mimi", folder, settings, model.config.num_quantizers, at_least))
