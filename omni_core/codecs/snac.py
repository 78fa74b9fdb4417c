"""snac: codes at three or four rates, flattened to streams of one rate, as Mini-Omni reads them; 24, 32 or 44.1 kHz.

    24 kHz, one frame of 85 ms:   coarse  t0                          streams  t0 t1 t2 t3 t4 t5 t6
                                  mid     t1          t4
                                  fine    t2    t3    t5    t6        (32 and 44.1 kHz: 4 rates, 15 streams)

Siuzdak 2024 (arXiv 2410.14411), through the package `snac` (MIT); weights by folder or hub id (hubertsiuzdak/snac_24khz).
The package draws its decoder's noise anew at each call; here it belongs to its place in the recording, so that the same codes
always sound the same, in one piece or in chunks.
"""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from data_contracts.components import CodecSettings
from data_contracts.errors import WeightsError
from omni_core.codecs._streaming import DecodingStream, OverlapStream
from omni_core.receptive_field import convolutions, look_ahead_frames
from omni_core.token_layout import flatten_rates, rate_order, split_rates

PUBLIC_WEIGHTS = "hubertsiuzdak/snac_24khz"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
NOISE_SEED = 0


class PlacedNoise(nn.Module):
    """A noise block of the decoder whose noise is a function of the frame, the same for every recording."""

    def __init__(self, linear: nn.Module, number: int, steps_per_frame: int):
        super().__init__()
        self.linear, self.number, self.steps_per_frame = linear, number, steps_per_frame
        self.first_frame = 0

    def forward(self, x: Tensor) -> Tensor:
        frames = range(self.first_frame, self.first_frame + x.shape[-1] // self.steps_per_frame)
        noise = torch.cat([self._noise(frame) for frame in frames]).to(x)
        return x + noise * self.linear(x)

    def _noise(self, frame: int) -> Tensor:
        generator = torch.Generator().manual_seed(NOISE_SEED + (self.number << 24) + frame)
        return torch.randn(self.steps_per_frame, generator=generator)


class Snac:
    """A loaded SNAC with its weight norm folded in; `config` is the checkpoint's own."""

    def __init__(self, model, config: dict):
        self.model, self.config = model, config
        self.strides = list(model.vq_strides)
        self.num_codebooks, self.codebook_size = len(rate_order(self.strides)), model.codebook_size
        self.sample_rate_hz = model.sampling_rate
        self.samples_per_frame = int(model.hop_length) * self.strides[0]
        self.frame_rate_hz = self.sample_rate_hz / self.samples_per_frame
        # The attention of the 32 and 44.1 kHz models stays inside windows of so many frames.
        self.window_frames = math.lcm(self.strides[0], model.attn_window_size or 1) // self.strides[0]
        self.look_ahead_frames = look_ahead_frames(
            convolutions(model.decoder), self.samples_per_frame, self.strides[0], self.window_frames
        )
        self.noises = _place_noises(model.decoder, self.strides[0])

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> Tensor:
        """(batch, samples) -> codes (batch, num_codebooks, ceil(samples / samples_per_frame))."""
        frames = math.ceil(waveform.shape[-1] / self.samples_per_frame)
        return flatten_rates(self.model.encode(waveform[:, None]), self.strides)[:, :, :frames]

    @torch.no_grad()
    def decode(self, codes: Tensor, first_frame: int = 0) -> Tensor:
        """Codes -> (batch, frames * samples_per_frame); first_frame is where they stand in their recording."""
        before, after = first_frame % self.window_frames, -(first_frame + codes.shape[2]) % self.window_frames
        for noise in self.noises:
            noise.first_frame = first_frame - before
        whole = F.pad(codes.float(), (before, after), mode="replicate").long()  # whole windows for the attention
        waveform = self.model.decode(split_rates(whole, self.strides))[:, 0]
        return waveform[:, before * self.samples_per_frame :][:, : codes.shape[2] * self.samples_per_frame]

    def stream(self) -> DecodingStream:
        """Overlapping chunks, each told where it stands."""
        return OverlapStream(self.decode, self.look_ahead_frames)

    @torch.no_grad()
    def code_vectors(self) -> Tensor:
        """(num_codebooks, codebook_size, steps * 768): a frame's latent is its finest time steps side by side.

        A stream's vector stands in the steps that it covers, zeros elsewhere. 0.35 GB at 24 kHz, 2 GB at 44.1 kHz.
        """
        steps, width = self.strides[0], self.model.latent_dim
        vectors = torch.zeros(self.num_codebooks, self.codebook_size, steps, width)
        for stream, (level, place) in enumerate(rate_order(self.strides)):
            quantizer, stride = self.model.quantizer.quantizers[level], self.strides[level]
            projected = quantizer.out_proj(quantizer.codebook.weight.T[None])[0].T
            vectors[stream, :, place * stride : (place + 1) * stride] = projected[:, None]
        return vectors.flatten(2)

    def save(self, folder: Path) -> None:
        """Writes config.json and model.safetensors, weights without weight norm."""
        save_file(
            {name: value.contiguous() for name, value in self.model.state_dict().items()}, folder / WEIGHT_FILES[0]
        )
        (folder / "config.json").write_text(json.dumps(self.config, indent=1))


def _place_noises(decoder: nn.Module, steps_per_frame: int) -> list[PlacedNoise]:
    """Put PlacedNoise where the package's NoiseBlocks are; parameter names stay."""
    from snac.layers import DecoderBlock, NoiseBlock

    placed: list[PlacedNoise] = []
    for block in (module.block for module in decoder.modules() if isinstance(module, DecoderBlock)):
        steps_per_frame *= next(layer.stride[0] for layer in block if isinstance(layer, nn.ConvTranspose1d))
        for at, layer in enumerate(block):
            if isinstance(layer, NoiseBlock):
                placed.append(PlacedNoise(layer.linear, len(placed), steps_per_frame))
                block[at] = placed[-1]
    return placed


def _fold_weight_norm(model: nn.Module) -> None:
    for module in model.modules():
        if nn.utils.parametrize.is_parametrized(module, "weight"):
            nn.utils.parametrize.remove_parametrizations(module, "weight")


def _files(folder: Path | str) -> Path:
    """A local folder of config.json and weights; a hub id's is downloaded."""
    if Path(folder).is_dir():
        return Path(folder)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(str(folder), allow_patterns=["config.json", *WEIGHT_FILES]))


def load(settings: CodecSettings, folder: Path | str, home: Path) -> Snac:
    """Folder or hub id -> codec. Raises WeightsError when it holds no SNAC; pickles are read with weights_only."""
    from snac import SNAC

    try:
        files = _files(folder)
        config = json.loads((files / "config.json").read_text())
        model = SNAC(**config)
        file = next((files / name for name in WEIGHT_FILES if (files / name).is_file()), None)
        if file is None:
            raise FileNotFoundError(f"no {' or '.join(WEIGHT_FILES)}")
        weights = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
        if not any("weight_g" in name or "parametrizations" in name for name in weights):
            _fold_weight_norm(model)
        model.load_state_dict(weights)
    except (OSError, EOFError, ValueError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"no SNAC codec in '{folder}': {str(error).splitlines()[0]}; name a folder with config.json and "
            f"{' or '.join(WEIGHT_FILES)}, or a hub id"
        ) from error
    _fold_weight_norm(model)
    return Snac(model.float().eval().requires_grad_(False), config)
