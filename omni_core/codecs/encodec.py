"""encodec: Meta's streaming codec, 24 kHz mono at 75 frames a second; 8 codebooks are 6 kbit/s.

Défossez et al. 2022. Through transformers' EncodecModel; weights by folder or hub id (facebook/encodec_24khz).
The 48 kHz model is stereo and normalises each second of sound, so that codes alone do not say how loud it was: refused.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from data_contracts.components import CodecSettings
from data_contracts.errors import ComponentError
from omni_core.codecs._residual import codebooks_in_use, note_codebooks
from omni_core.codecs._streaming import CausalConvolutions, DecodingStream
from omni_core.pretrained import load_pretrained

PUBLIC_WEIGHTS = "facebook/encodec_24khz"


class Encodec:
    """A loaded EnCodec of which the first `num_codebooks` are used."""

    def __init__(self, model, num_codebooks: int):
        config = model.config
        self.model, self.num_codebooks = model, num_codebooks
        self.codebook_size, self.sample_rate_hz = config.codebook_size, config.sampling_rate
        self.samples_per_frame = config.hop_length
        self.frame_rate_hz = self.sample_rate_hz / self.samples_per_frame
        # Causal, but before its first frame it pads with the mirror image of the next ones.
        self.look_ahead_frames = config.kernel_size - 1 if config.pad_mode == "reflect" else 0

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> Tensor:
        """(batch, samples) -> codes (batch, num_codebooks, ceil(samples / samples_per_frame))."""
        padded = F.pad(waveform, (0, -waveform.shape[-1] % self.samples_per_frame))
        return self.model.quantizer.encode(self.model.encoder(padded[:, None]))[: self.num_codebooks].transpose(0, 1)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes -> (batch, frames * samples_per_frame)."""
        return self.model.decoder(self.latents(codes))[:, 0].clamp(-1, 1)

    def latents(self, codes: Tensor) -> Tensor:
        """(batch, num_codebooks, frames) -> (batch, latent_width, frames)."""
        return self.model.quantizer.decode(codes.long().transpose(0, 1))

    def stream(self) -> DecodingStream:
        """Decoding with the state of its convolutions and its LSTM, whose memory has no end that an overlap could reach."""
        return EncodecStream(self)

    def code_vectors(self) -> Tensor:
        """(num_codebooks, codebook_size, 128): the codebooks themselves."""
        return torch.stack([layer.codebook.embed for layer in self.model.quantizer.layers[: self.num_codebooks]])

    def save(self, folder: Path) -> None:
        """What save_pretrained writes, and the number of codebooks in use."""
        self.model.save_pretrained(folder)
        note_codebooks(folder, self.num_codebooks)


class EncodecStream:
    """Waits at the start for the frames that are mirrored; from then on every sample comes at once."""

    def __init__(self, codec: Encodec):
        self.codec, self.convolutions = codec, CausalConvolutions()
        self.waiting: Tensor | None = None
        self.started = False

    @torch.no_grad()
    def push(self, codes: Tensor, last: bool = False) -> Tensor:
        """See DecodingStream."""
        new = codes if self.waiting is None else torch.cat([self.waiting, codes], 2)
        self.waiting = None
        if not self.started and new.shape[2] <= self.codec.look_ahead_frames:
            if last and new.shape[2]:
                return self.codec.decode(new)
            self.waiting = new
        if self.waiting is not None or not new.shape[2]:
            return torch.zeros(len(codes), 0)
        self.started = True
        layers = self.codec.model.decoder.layers
        return self.convolutions.through(layers, self.codec.latents(new))[:, 0].clamp(-1, 1)


def load(settings: CodecSettings, folder: Path | str, home: Path) -> Encodec:
    """Folder or hub id -> codec."""
    from transformers import EncodecModel

    model = load_pretrained(EncodecModel, str(folder), ("encodec",), "EnCodec codec")
    config = model.config
    if config.normalize or config.chunk_length_s or config.audio_channels != 1 or not config.use_causal_conv:
        raise ComponentError(
            f"'{folder}' is not a streaming mono EnCodec (as the 48 kHz model is not); take facebook/encodec_24khz"
        )
    return Encodec(model, codebooks_in_use("encodec", folder, settings, config.num_quantizers))
