"""mimi: the encoder half of Kyutai's codec, frozen; 24 kHz speech enters, its latents before quantization leave at 12.5 Hz.

The first codebook was distilled from WavLM, so the latents hold what was said as well as how (Défossez et al. 2024,
section 3.3.2). Few frames: a question of 3 s is 37 of them.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from data_contracts.components import EncoderSettings
from omni_core import bundled_weights
from omni_core.pretrained import load_pretrained


class MimiFeatures:
    """A loaded Mimi without its decoder."""

    def __init__(self, model):
        self.model, config = model, model.config
        self.sample_rate_hz, self.frame_rate_hz = config.sampling_rate, float(config.frame_rate)
        self.width = config.hidden_size
        self.samples_per_frame = round(self.sample_rate_hz / self.frame_rate_hz)

    @torch.no_grad()
    def encode(self, waveforms: list[Tensor]) -> list[Tensor]:
        """List of (samples,) at 24 kHz -> list of (ceil(samples / samples_per_frame), width) float32.

        Mimi is causal, so silence after a waveform changes none of its frames: one batch, cut afterwards.
        """
        frames = [math.ceil(len(w) / self.samples_per_frame) for w in waveforms]
        longest = max(frames) * self.samples_per_frame
        batch = torch.stack([F.pad(w, (0, longest - len(w))) for w in waveforms])[:, None]
        latents = self.model(batch).latents.transpose(1, 2)
        return [found[:count] for found, count in zip(latents, frames, strict=True)]


def load(settings: EncoderSettings, home: Path) -> MimiFeatures:
    """Folder or hub id of a whole Mimi -> its encoder."""
    from transformers import MimiModel

    where = bundled_weights.resolve(settings.weights, home)
    return MimiFeatures(load_pretrained(MimiModel, where, ("mimi",), "Mimi encoder").encoder)
