"""wav2vec2: encoders that learned speech from speech alone, frozen; 16 kHz speech enters, features at 50 Hz leave.

wav2vec 2.0 (Baevski et al. 2020), HuBERT (Hsu et al. 2021), WavLM (Chen et al. 2022) and others of their shape in transformers.
Their last layer is bent to the pre-training task; phones stand clearest in a layer at about two thirds (HuBERT, section IV):
`encoder.layer` chooses.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from data_contracts.components import EncoderSettings
from data_contracts.errors import ComponentError, WeightsError
from omni_core import bundled_weights
from omni_core.pretrained import load_pretrained

MODEL_TYPES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "wav2vec2-conformer")


class Wav2Vec2Features:
    """A loaded encoder and its own normalisation of loudness."""

    def __init__(self, extractor, model, layer: int):
        self.extractor, self.model, self.layer = extractor, model, layer
        self.sample_rate_hz = extractor.sampling_rate
        self.frame_rate_hz = self.sample_rate_hz / math.prod(model.config.conv_stride)
        self.width = model.config.hidden_size

    @torch.no_grad()
    def encode(self, waveforms: list[Tensor]) -> list[Tensor]:
        """List of (samples,) -> list of (frames, width) float32.

        One by one: the base models normalise over time, so padding to a common length would change what they hear.
        """
        return [self._features(waveform) for waveform in waveforms]

    def _features(self, waveform: Tensor) -> Tensor:
        inputs = self.extractor(waveform.numpy(), sampling_rate=self.sample_rate_hz, return_tensors="pt")
        if not self.layer:
            return self.model(inputs["input_values"]).last_hidden_state[0]
        return self.model(inputs["input_values"], output_hidden_states=True).hidden_states[self.layer][0]


def load(settings: EncoderSettings, home: Path) -> Wav2Vec2Features:
    """Folder or hub id -> encoder. Raises WeightsError without one, ComponentError when it has not that many layers."""
    from transformers import AutoFeatureExtractor, AutoModel

    where = bundled_weights.resolve(settings.weights, home)
    model = load_pretrained(AutoModel, where, MODEL_TYPES, "wav2vec2 encoder")
    if settings.layer > model.config.num_hidden_layers:
        raise ComponentError(
            f"encoder.layer is {settings.layer}; '{settings.weights}' has {model.config.num_hidden_layers} layers"
        )
    try:
        extractor = AutoFeatureExtractor.from_pretrained(where)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"'{settings.weights}' has no preprocessor_config.json, which says how its sound was normalised; "
            "save the model's feature extractor beside it"
        ) from error
    return Wav2Vec2Features(extractor, model, settings.layer)
