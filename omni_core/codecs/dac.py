"""dac: Descript's codec for speech and music, 16, 24 or 44.1 kHz; 50, 75 or 86 frames a second, 9 to 32 codebooks.

Kumar et al. 2023. Through transformers' DacModel; weights by folder or hub id (descript/dac_24khz). Not causal: chunks overlap.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from data_contracts.components import CodecSettings
from omni_core.codecs._residual import codebooks_in_use, note_codebooks
from omni_core.pretrained import load_pretrained
from omni_core.receptive_field import convolutions, look_ahead_frames

PUBLIC_WEIGHTS = "descript/dac_24khz"


class Dac:
    """A loaded DAC of which the first `num_codebooks` are used."""

    def __init__(self, model, num_codebooks: int):
        self.model, self.num_codebooks = model, num_codebooks
        self.codebook_size, self.sample_rate_hz = model.config.codebook_size, model.config.sampling_rate
        self.samples_per_frame = model.config.hop_length
        self.frame_rate_hz = self.sample_rate_hz / self.samples_per_frame
        self.look_ahead_frames = look_ahead_frames(convolutions(model.decoder), self.samples_per_frame)

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> Tensor:
        """(batch, samples) -> codes (batch, num_codebooks, ceil(samples / samples_per_frame))."""
        padded = F.pad(waveform, (0, -waveform.shape[-1] % self.samples_per_frame))
        return self.model.encode(padded[:, None], n_quantizers=self.num_codebooks).audio_codes

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes -> (batch, frames * samples_per_frame); transformers' layers of odd stride leave out the last samples."""
        waveform = self.model.decode(audio_codes=codes.long()).audio_values
        return F.pad(waveform, (0, codes.shape[2] * self.samples_per_frame - waveform.shape[1]))

    def code_vectors(self) -> Tensor:
        """(num_codebooks, codebook_size, latent_width): each codebook through its own projection, bias and all."""
        quantizers = self.model.quantizer.quantizers[: self.num_codebooks]
        return torch.stack([q.out_proj(q.codebook.weight.T[None])[0].T for q in quantizers])

    def save(self, folder: Path) -> None:
        """What save_pretrained writes, and the number of codebooks in use."""
        self.model.save_pretrained(folder)
        note_codebooks(folder, self.num_codebooks)


def load(settings: CodecSettings, folder: Path | str, home: Path) -> Dac:
    """Folder or hub id -> codec."""
    from transformers import DacModel

    model = load_pretrained(DacModel, str(folder), ("dac",), "DAC codec")
    return Dac(model, codebooks_in_use("dac", folder, settings, model.config.n_codebooks))
