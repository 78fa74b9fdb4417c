"""whisper: the encoder of any Whisper size, frozen; 16 kHz speech enters, features at 50 Hz leave.

Whisper was trained on 30 s windows; a 2 s question padded to 30 s costs fifteen times the work, here it is padded to
the longest of its batch and half a second of silence, with the positions that it would have had at the start of a window.
The adapter is trained on just these features, so nothing is lost by it. An adapter that was trained elsewhere on whole
windows (Mini-Omni's) wants them as they were: EncoderSettings.window_s.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from data_contracts.components import EncoderSettings
from data_contracts.errors import WeightsError
from omni_core import bundled_weights
from omni_core.precision import fast_dtype

TRAILING_SILENCE_S = 0.5
SAMPLES_PER_FEATURE = 320


class WhisperFeatures:
    """A loaded Whisper encoder; T = samples // 320 + 1 features of a question are kept (Mini-Omni keeps the same)."""

    sample_rate_hz = 16_000
    frame_rate_hz = 50.0

    def __init__(self, extractor, model, window_s: float = 0):
        self.extractor, self.model = extractor, model.eval().requires_grad_(False)
        self.width = model.config.d_model
        self.window_samples = int(window_s * self.sample_rate_hz)
        self.max_samples = model.config.max_source_positions * SAMPLES_PER_FEATURE

    @torch.no_grad()
    def encode(self, waveforms: list[Tensor]) -> list[Tensor]:
        """List of (samples,) at 16 kHz, at most 30 s each -> list of (samples // 320 + 1, width) float32."""
        longest = max(len(w) for w in waveforms) + int(TRAILING_SILENCE_S * self.sample_rate_hz)
        longest = max(longest, self.window_samples)
        longest = min(longest + -longest % (2 * SAMPLES_PER_FEATURE), self.max_samples)
        padded = [F.pad(w[:longest], (0, max(0, longest - len(w)))).numpy() for w in waveforms]
        mel = self.extractor(padded, sampling_rate=self.sample_rate_hz, padding="longest", return_tensors="pt")
        fast = not self.window_samples and fast_dtype("cpu") is torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            hidden = self._layers(mel["input_features"]).float()
        return [h[: len(w) // SAMPLES_PER_FEATURE + 1] for h, w in zip(hidden, waveforms, strict=True)]

    def _layers(self, mel: Tensor) -> Tensor:
        """WhisperEncoder.forward without its demand for exactly 3 000 mel frames."""
        model = self.model
        x = F.gelu(model.conv2(F.gelu(model.conv1(mel)))).transpose(1, 2)
        x = x + model.embed_positions.weight[: x.shape[1]]
        for layer in model.layers:
            x = layer(x, None)
        return model.layer_norm(x)


def load(settings: EncoderSettings, home: Path) -> WhisperFeatures:
    """Any Whisper by folder or hub id; cast to float32 (float16 is three to four times slower on a CPU), multiplied in bfloat16 where the CPU can."""
    from transformers import WhisperFeatureExtractor, WhisperModel

    where = bundled_weights.resolve(settings.weights, home)
    try:
        extractor = WhisperFeatureExtractor.from_pretrained(where)
        model = WhisperModel.from_pretrained(where, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"no Whisper encoder in '{settings.weights}': {str(error).splitlines()[0]}; name a folder or hub id of a Whisper model"
        ) from error
    return WhisperFeatures(extractor, model.encoder, settings.window_s)
