"""What quantize takes and returns: the language model and the complete model as they will be served, and what that cost."""

from __future__ import annotations

from typing import ClassVar

from data_contracts.base import Artifact, Settings, member_of


class QuantizeSettings(Settings):
    """How the weights of the language model are stored for serving."""

    weight_quantizer: member_of("weight_quantizers") = "onnx_int8"
    """Member of omni_core/weight_quantizers/."""


class QuantizedLanguageModel(Artifact):
    """A frozen language model as it will be served: language_model/, tokenizer/, embeddings.safetensors.

    facts: logit_cosine (quantized against float32, behind the tuned prefix), token_agreement, float32_bytes, context.
    """

    kind: ClassVar[str] = "language_model"


class QuantizedModel(Artifact):
    """A whole speech-to-speech model in one folder (omni_core.speech_to_speech.SpeechToSpeech.load).

    facts: size_bytes, logit_cosine (quantized against float32), token_agreement, components.
    """

    kind: ClassVar[str] = "model"
