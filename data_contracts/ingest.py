"""What ingest takes and returns: its settings, the Manifest, and the Arrow schemas of the tables.

sources -> utterances/<role>-00-00000.parquet   every piece of speech with its audio, once: train and validation
           turns.parquet                        question utterance -> answer utterance, of those two splits
           sealed/                              the same two for the test split; only omni_core.sealed_set opens it
           rejected/rejected.parquet            what was set aside, and why      accepted + rejected = read
           data_docs/                           Great Expectations' pages
"""

from __future__ import annotations

from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from data_contracts.base import Artifact, Settings, member_of

ROLES = ("question", "answer", "speech")
SPLITS = ("train", "validation", "test")
SEALED, SEALED_FOLDER = "test", "sealed"
"""The split that no stage of training is handed, and where it lies in the manifest."""


class QualitySettings(Settings):
    """Bounds of one utterance; a record outside is set aside with its reason."""

    min_duration_s: float = Field(0.3, ge=0.05, le=30)
    """Shortest utterance kept, in seconds."""
    max_duration_s: float = Field(15.0, ge=1, le=60)
    """Longest utterance kept, in seconds."""
    max_answer_duration_s: float = Field(0, ge=0, le=300)
    """Longest answer kept, in seconds, where it differs: no encoder's window bounds an answer. 0 is max_duration_s."""
    min_sample_rate_hz: int = Field(16_000, ge=8_000, le=96_000)
    """Recordings below this rate lack the upper band and are set aside."""
    max_clipped_fraction: float = Field(0.01, ge=0, le=1)
    """Largest share of samples at full scale."""
    max_silence_fraction: float = Field(0.8, ge=0, le=1)
    """Largest share of 25 ms frames more than 40 dB under the loudest one."""
    min_snr_db: float = Field(8.0, ge=-10, le=80)
    """Smallest estimated signal-to-noise ratio, in dB."""
    min_words_per_second: float = Field(0.3, ge=0, le=5)
    """Slowest speech kept; a lower rate means that most of the recording is something else."""
    max_words_per_second: float = Field(8.0, ge=1, le=20)
    """Fastest speech kept; a higher rate means that text and audio do not belong together."""
    min_characters: int = Field(2, ge=1, le=100)
    """Shortest text kept, in characters."""
    max_characters: int = Field(300, ge=10, le=5_000)
    """Longest text kept, in characters."""
    max_rejected_fraction: float = Field(0.2, ge=0, le=1)
    """Above this share of rejected records the run stops."""
    min_train_turns: int = Field(1, ge=0)
    """Fewer accepted turns in the train split stop the run."""
    min_validation_turns: int = Field(1, ge=0)
    """Fewer accepted turns in the validation split stop the run."""
    min_test_turns: int = Field(1, ge=0)
    """Fewer accepted turns in the sealed test split stop the run."""

    @property
    def longest_answer_s(self) -> float:
        """The bound of answers."""
        return self.max_answer_duration_s or self.max_duration_s


class VoiceSettings(Settings):
    """How texts without audio are spoken."""

    teacher: str | None = "hibari"
    """Voice of the training targets; none refuses answers that bring no audio."""
    question_speed_range: tuple[float, float] = (0.85, 1.2)
    """Speaking rate of synthesized questions is drawn from this range."""
    question_pitch_range: tuple[float, float] = (0.85, 1.15)
    """Synthesized questions are shifted by a factor drawn from this range (pitch and formants together)."""
    question_noise_snr_db: tuple[float, float] = (15.0, 40.0)
    """Signal-to-noise ratio of the noise added to synthesized questions, in dB."""
    question_room_fraction: float = Field(0.3, ge=0, le=1)
    """Share of synthesized questions that get a synthetic room impulse response."""
    coded_answers: Literal["keep", "decode", "speak"] = "keep"
    """Answers that come as SNAC codes without sound: keep the codes alone, decode them too, or speak the texts instead."""
    snac_weights: str = ""
    """Weights of SNAC 24 kHz for decode: folder or hub id."""


class IngestSettings(Settings):
    """Where the data is and what is good enough."""

    sources: tuple[str, ...] = (
        "examples/quickstart/texts",
        "examples/quickstart/practice",
        "examples/quickstart/recordings",
    )
    """Folders, each in a format of omni_core/source_formats/ (metadata.csv: columns in examples/README.md)."""
    formats: dict[str, member_of("source_formats")] = Field({})
    """Source -> its format, for a source that is not recognised by what lies in it."""
    licences: dict[str, str] = Field({})
    """Source -> licence of those of its records that name none; a record without a licence is set aside."""
    held_out_fraction: float = Field(0.05, ge=0, le=0.4)
    """Of a source without splits: share of texts for validation, and as much again for the sealed test."""
    language: str = Field("en", min_length=2, max_length=8)
    """BCP 47 language of the assistant; records of others are set aside."""
    seed: int = Field(0, ge=0)
    """Seed of the variation of synthesized questions."""
    shard_rows: int = Field(512, ge=8, le=100_000)
    """Utterances a Parquet shard."""
    quality: QualitySettings = QualitySettings()
    voice: VoiceSettings = VoiceSettings()


class Manifest(Artifact):
    """Validated records in Parquet.

    facts: read, accepted, rejected (records), rejected_by_rule {rule: records}, turns {split: turns},
    utterances {role: count}, minutes {role: {split: minutes}}, sources {name: {read, accepted}}, voice (speaker of
    synthesized speech or None), unknown_speakers (accepted recordings that name none), without_sound (accepted
    utterances that are codes alone).
    """

    kind: ClassVar[str] = "manifest"

    def shards(self, role: str) -> list[str]:
        """Names of the role's utterance shards, in order: training and validation, never the sealed test split."""
        return sorted(name for name in self.files if name.startswith(f"utterances/{role}-"))

    def shard_hashes(self, shards: list[str]) -> dict[str, str]:
        """Shard -> sha256: what an artifact that is made of some shards names in its facts, for it stays the same in a
        larger manifest, whose digest is another."""
        return {shard: self.files[shard].sha256 for shard in shards}

    def sealed_shards(self, role: str) -> list[str]:
        """The same of the test split, for omni_core.sealed_set alone."""
        return sorted(name for name in self.files if name.startswith(f"{SEALED_FOLDER}/{role}-"))


class RejectedRecords(Artifact):
    """rejected.parquet and data_docs/ of an ingest that stopped: too much was set aside, or too little was left."""

    kind: ClassVar[str] = "rejected"


UTTERANCE = pa.schema(
    [
        pa.field("utterance_id", pa.string(), nullable=False),  # digest of source, id and role
        pa.field("role", pa.string(), nullable=False),  # question, answer or speech
        pa.field("source", pa.string(), nullable=False),  # name of the source folder
        pa.field("language", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("speaker", pa.string(), nullable=False),
        pa.field("license", pa.string(), nullable=False),
        pa.field("synthesized", pa.bool_(), nullable=False),
        pa.field("sample_rate_hz", pa.int32(), nullable=False),  # of the stored audio
        pa.field("source_sample_rate_hz", pa.int32(), nullable=False),
        pa.field("duration_s", pa.float32(), nullable=False),
        pa.field("clipped_fraction", pa.float32(), nullable=False),
        pa.field("silence_fraction", pa.float32(), nullable=False),
        pa.field("snr_db", pa.float32(), nullable=False),
        pa.field("words_per_second", pa.float32(), nullable=False),
        pa.field("audio", pa.binary(), nullable=False),  # FLAC, mono, 16 bit
    ]
)

# Of a shard in which an answer came as codes: those columns too. `audio` is empty, and what is measured on it NaN,
# where no decoder was at hand (VoiceSettings.coded_answers).
CODED_UTTERANCE = pa.schema(
    [
        *UTTERANCE,
        pa.field("codec", pa.string()),  # "snac_24khz"; null: sound alone
        pa.field("codebooks", pa.int32()),  # streams
        pa.field("codes", pa.binary()),  # int16 (codebooks, frames), undelayed
    ]
)

TURN = pa.schema(
    [
        pa.field("turn_id", pa.string(), nullable=False),
        pa.field("question_id", pa.string(), nullable=False),  # utterance_id
        pa.field("answer_id", pa.string(), nullable=False),  # utterance_id
        pa.field("question_text", pa.string(), nullable=False),
        pa.field("answer_text", pa.string(), nullable=False),
        pa.field("topic", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
    ]
)

REJECTED = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field(
            "row", pa.int64(), nullable=False
        ),  # line of the metadata file (header = 1), else number in the source
        pa.field("reason", pa.string(), nullable=False),  # one sentence
        pa.field("rule", pa.string(), nullable=False),  # short name, to count by
        pa.field("record", pa.string(), nullable=False),  # the source's row as JSON, without sound
    ]
)
