"""Planned utterances enter, rows with audio and measures leave: recordings are read, texts are spoken.

    recording -> decode ----------------------+
    text -> teacher voice (answer, speech) ---+-> measures -> FLAC -> row
    text -> voice + variation (question) -----+

A row depends on its own plan alone (text or file, and a seed made of its id), never on its neighbours.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from data_contracts.errors import SourceError
from data_contracts.ingest import CODED_UTTERANCE, UTTERANCE, IngestSettings, VoiceSettings
from omni_core import answer_codes, measures
from omni_core.audio import decode, encode_flac, resample
from omni_core.augment import QUESTION_RATE_HZ, draw_variation, speak_varied
from omni_core.clips import Recording
from omni_core.records import Piece, Record
from omni_core.teacher import Voice, load_voice

VARIED = " varied"  # marks the speaker of synthesized questions: hibari/heart varied
UNKNOWN = "unknown"
FAULTS = (pa.field("fault", pa.string()), pa.field("fault_sentence", pa.string()))
ROW = pa.schema([*CODED_UTTERANCE, *FAULTS])  # of the work folder: rows without audio keep the reason


@dataclass(frozen=True, slots=True)
class Plan:
    """One utterance to be made. `audio` is where the recording lies, None for speech to be synthesized; `audio_name`
    is what the source calls it; with a `codec` it holds codes (see omni_core.records.Piece)."""

    utterance_id: str
    role: str
    source: str
    language: str
    split: str
    text: str
    speaker: str
    license: str
    audio: Recording | None
    audio_name: str
    audio_sha256: str
    seed: int
    codec: str = ""


@dataclass(frozen=True)
class PlannedShard:
    """Utterances that share a file; `name` is the file's name in the manifest."""

    name: str
    plans: tuple[Plan, ...]


def digest_of(*parts: str) -> str:
    """20 hex digits of a list of words."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def pieces_of(record: Record) -> list[tuple[str, Piece]]:
    """(role, piece) of a record: question and answer, or speech."""
    return [("question", record.said), ("answer", record.answer)] if record.answer else [("speech", record.said)]


def utterance_id_of(record: Record, role: str, piece: Piece) -> str:
    """Equal answers of a split are one utterance, also those of two sources; a question or speech is its record's."""
    if role != "answer":
        return digest_of(record.source, role, record.id)
    heard = (piece.text, piece.audio_sha256, piece.audio_name, piece.speaker)
    return digest_of(role, *heard, record.split, record.language, record.license)


def plan_of(record: Record, role: str, piece: Piece, settings: IngestSettings, speaker: str) -> Plan:
    """The utterance of a record's text; `speaker` is the teacher's name.

    Answers are seeded by their text, questions by their id, so neither hears of the rest of the data.
    """
    seeded = (record.source, record.id, piece.text, str(settings.seed)) if role == "question" else (piece.text,)
    synthetic = speaker + (VARIED if role == "question" else "")
    said_by = synthetic if piece.audio is None else piece.speaker or UNKNOWN
    return Plan(
        utterance_id_of(record, role, piece),
        role,
        record.source,
        record.language,
        record.split,
        piece.text,
        said_by,
        record.license,
        piece.audio,
        piece.audio_name,
        piece.audio_sha256,
        int(digest_of(*seeded)[:8], 16),
        piece.codec,
    )


@cache
def _voice(name: str) -> Voice:
    return load_voice(name)


def make(plan: Plan, settings: VoiceSettings) -> dict[str, Any]:
    """The row (ROW) of one utterance; what cannot be read or spoken gets a fault and its sentence, never an error."""
    try:
        if plan.codec and plan.audio is not None:
            return _coded(plan, answer_codes.parse(plan.audio.read_bytes().decode()), settings)
        waveform, source_rate_hz, clipped = _record_or_speak(plan, settings)
    except (FileNotFoundError, IsADirectoryError):
        sentence = f"the {plan.role}'s file '{plan.audio_name}' does not exist; add it or correct the path"
        return _faulty(plan, "missing_file", sentence)
    except SourceError as error:
        return _faulty(plan, "broken_audio", f"the {plan.role}'s file '{plan.audio_name}': {error}")
    if not len(waveform):
        sentence = f"the voice finds nothing to say in the {plan.role} '{plan.text}'; write it in words"
        return _faulty(plan, "unspeakable", sentence)
    is_question = plan.role == "question"
    rate_hz = QUESTION_RATE_HZ if is_question else source_rate_hz
    return _row(plan, waveform, rate_hz, source_rate_hz, clipped)


def _record_or_speak(plan: Plan, settings: VoiceSettings) -> tuple[np.ndarray, int, float]:
    """(waveform at the stored rate, rate of the source, clipped share of the source's samples)."""
    if plan.audio is not None:
        waveform, rate_hz = decode(plan.audio.read_bytes())
        stored_hz = QUESTION_RATE_HZ if plan.role == "question" else rate_hz
        return resample(waveform, rate_hz, stored_hz), rate_hz, measures.clipped_fraction(waveform)
    assert settings.teacher is not None, "records without audio and voice were set aside before"
    voice = _voice(settings.teacher)
    if plan.role == "question":
        random = np.random.default_rng(plan.seed)
        waveform = speak_varied(voice, plan.text, draw_variation(settings, random), random)
    else:
        waveform = voice.speak(plan.text, seed=plan.seed)
    return waveform, voice.sample_rate_hz, measures.clipped_fraction(waveform)


def _coded(plan: Plan, codes: np.ndarray, settings: VoiceSettings) -> dict[str, Any]:
    """Codes with their sound where there is a decoder, else alone: what sound would tell is not a number then."""
    rate_hz = answer_codes.SAMPLE_RATE_HZ
    if settings.coded_answers == "decode":
        waveform = answer_codes.decode(codes, settings.snac_weights)
        row = _row(plan, waveform, rate_hz, rate_hz, measures.clipped_fraction(waveform))
    else:
        duration_s = answer_codes.duration_s(codes)
        unheard = dict.fromkeys(("clipped_fraction", "silence_fraction", "snr_db"), math.nan)
        row = _faulty(plan, None, None) | unheard | {
            "sample_rate_hz": rate_hz, "source_sample_rate_hz": rate_hz, "duration_s": duration_s,
            "words_per_second": measures.words_per_second(plan.text, duration_s),
        }  # fmt: skip
    return row | answer_codes.cells(codes)


def _row(plan: Plan, waveform: np.ndarray, rate_hz: int, source_rate_hz: int, clipped: float) -> dict[str, Any]:
    duration_s, power_db = len(waveform) / rate_hz, measures.frame_power_db(waveform, rate_hz)
    return _described(plan) | {
        "sample_rate_hz": rate_hz,
        "source_sample_rate_hz": source_rate_hz,
        "duration_s": duration_s,
        "clipped_fraction": clipped,
        "silence_fraction": measures.silence_fraction(power_db),
        "snr_db": measures.snr_db(power_db),
        "words_per_second": measures.words_per_second(plan.text, duration_s),
        "audio": encode_flac(waveform, rate_hz),
        "fault": None,
        "fault_sentence": None,
    }


def _faulty(plan: Plan, fault: str | None, sentence: str | None) -> dict[str, Any]:
    numbers = {field.name: 0 for field in UTTERANCE if field.type in (pa.int32(), pa.float32())}
    return _described(plan) | numbers | {"audio": b"", "fault": fault, "fault_sentence": sentence}


def _described(plan: Plan) -> dict[str, Any]:
    words = ("utterance_id", "role", "source", "language", "split", "text", "speaker", "license")
    return {word: getattr(plan, word) for word in words} | {"synthesized": plan.audio is None}
