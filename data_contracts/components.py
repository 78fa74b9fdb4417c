"""The swappable parts: one line a part. Each names a family member and its weights or shape."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from data_contracts.base import Settings, member_of


class LanguageModelSettings(Settings):
    """The model that thinks."""

    name: member_of("language_models") = "huggingface"
    """Member of omni_core/language_models/."""
    weights: str = "bundled:smollm2_135m_instruct"
    """Folder, hub id, or bundled:NAME of omni_core/bundled_weights.toml."""
    system_prompt: str = "You are a voice assistant. Answer in one short sentence."
    """System message of every conversation."""


class EncoderSettings(Settings):
    """The model that listens."""

    name: member_of("encoders") = "whisper"
    """Member of omni_core/encoders/."""
    weights: str = "bundled:whisper_tiny_en"
    """Folder, hub id or bundled:NAME; empty for members without weights."""
    layer: int = Field(0, ge=0, le=100)
    """Of wav2vec2 and its kin: the transformer layer whose output is taken, counted from 1; 0 is the last."""
    window_s: float = Field(0, ge=0, le=30)
    """Of whisper: questions are padded to this many seconds and encoded in float32, as a model wants that was trained on Whisper's own window (Mini-Omni: 30, at fifteen times the work for a 2 s question); 0 pads to the longest of a batch."""


class CodecSettings(Settings):
    """Waveform <-> codes."""

    name: member_of("codecs") = "mel_rvq"
    """Member of omni_core/codecs/."""
    weights: str = ""
    """Folder or hub id; empty for a codec that is fitted to the data."""
    num_codebooks: int = Field(8, ge=1, le=32)
    """Codebooks of a fitted codec; of mimi, encodec and dac the first so many are used; snac has its own number."""
    codebook_size: int = Field(512, ge=16, le=8192)
    """Entries a codebook of a fitted codec."""
    patch_frames: int = Field(7, ge=1, le=16)
    """Mel frames (11.6 ms each) a codec frame of mel_rvq: 4 is 21.5 Hz, 7 is 12.3 Hz."""
    vocoder: Literal["hifigan", "griffin_lim"] = "hifigan"
    """How mel_rvq finds phase."""
    fit_minutes: float = Field(60.0, ge=0.1, le=600)
    """At most this much speech is used to fit a codec."""
    refine_steps: int = Field(600, ge=0)
    """Training steps of mel_rvq's refiner, which mends joints and wrong codes before the vocoder; 0 leaves it out."""


class SpeechHeadSettings(Settings):
    """The part that speaks."""

    name: member_of("speech_heads") = "talker"
    """Member of omni_core/speech_heads/."""
    width: int = Field(256, ge=16, le=4096)
    """Of talker: width of its decoder."""
    num_layers: int = Field(4, ge=1, le=64)
    """Of talker: layers of its decoder."""
    num_heads: int = Field(4, ge=1, le=64)
    """Of talker: attention heads."""
    weights: str = ""
    """Of parallel: folder of a head to start from, as `omni import mini-omni` writes it; empty for a fresh one."""
    adapter_width: int = Field(0, ge=0, le=65536)
    """Of parallel: inner width of a fresh speech adapter; 0 is the language model's own inner width."""
    post_adapter_layers: int = Field(0, ge=0, le=64)
    """Of parallel: blocks of a fresh head that only the audio passes; 0 is Mini-Omni's released shape."""


class ComponentsSettings(Settings):
    """Change one line here, run the flow, and what no longer fits is retrained."""

    language_model: LanguageModelSettings = LanguageModelSettings()
    encoder: EncoderSettings = EncoderSettings()
    codec: CodecSettings = CodecSettings()
    speech_head: SpeechHeadSettings = SpeechHeadSettings()
