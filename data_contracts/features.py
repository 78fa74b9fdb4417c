"""What features takes and returns: settings, one FeatureShard a Parquet shard, and their Arrow schemas.

question shard -> encoder features (frames, width) float16
answer shard   -> codes (codebooks, frames), phonemes, durations, pitch, energy
answer shard   -> language model states at the answer's tokens
answer shard   -> codes alone (codebooks, frames)
"""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from data_contracts.base import Artifact, Settings


class FeaturesSettings(Settings):
    """How features are computed; nothing here changes a component."""

    batch_seconds: float = Field(60.0, ge=5, le=600)
    """Seconds of audio a batch of the encoder."""


class FeatureShard(Artifact):
    """Features of one shard of the manifest. facts: rows, seconds, widths and rates."""

    kind: ClassVar[str] = "features"


ENCODER_FEATURES = pa.schema(
    [
        pa.field("utterance_id", pa.string(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("features", pa.binary(), nullable=False),  # float16 (frames, width), row major
    ]
)

SPEECH_TARGETS = pa.schema(
    [
        pa.field("utterance_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),  # codec frames
        pa.field("codebooks", pa.int32(), nullable=False),
        pa.field("codes", pa.binary(), nullable=False),  # int16 (codebooks, frames)
        pa.field("phonemes", pa.list_(pa.int16()), nullable=False),
        pa.field("word_of_phoneme", pa.list_(pa.int16()), nullable=False),  # index of the word each phoneme belongs to
        pa.field("durations", pa.list_(pa.int16()), nullable=False),  # in aligner frames, sums to their count
        pa.field("log_f0", pa.list_(pa.float32()), nullable=False),  # a phoneme, 0 where unvoiced
        pa.field("energy", pa.list_(pa.float32()), nullable=False),  # a phoneme, log RMS
    ]
)

ANSWER_CODES = pa.schema(
    [SPEECH_TARGETS.field(name) for name in ("utterance_id", "split", "frames", "codebooks", "codes")]
)

LANGUAGE_MODEL_STATES = pa.schema(
    [
        pa.field("utterance_id", pa.string(), nullable=False),
        pa.field("words", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field(
            "states", pa.binary(), nullable=False
        ),  # float16 (words, width), last hidden state, mean over a word's tokens
    ]
)
