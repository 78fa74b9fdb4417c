"""One shard of the manifest enters, its features leave: what is heard, what is to be spoken, what is thought.

    question shard -> encoder_features_of_shard        -> features (frames, width) of every question
    answer shard   -> speech_targets_of_shard          -> codes, phonemes, durations, pitch, energy
    answer shard   -> answer_codes_of_shard            -> codes alone, for a head that needs no more
    answer shard   -> language_model_states_of_shard   -> states (words, width) of every answer

Each reads nothing but its shard and its component, so one more shard of data computes one shard of features.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from data_contracts.base import Artifact, Settings
from data_contracts.components import CodecSettings, EncoderSettings, LanguageModelSettings
from data_contracts.features import (
    ANSWER_CODES,
    ENCODER_FEATURES,
    LANGUAGE_MODEL_STATES,
    SPEECH_TARGETS,
    FeatureShard,
    FeaturesSettings,
)
from data_contracts.ingest import Manifest
from data_contracts.train import Aligner, FittedCodec
from omni_core import components, fit, prosody
from omni_core.alignment import align
from omni_core.answer_codes import CODE_COLUMNS, codes_of
from omni_core.encoders import Encoder
from omni_core.language_models.huggingface import CausalLanguageModel
from omni_core.mel import SAMPLE_RATE_HZ, log_mel
from omni_core.precision import fast_dtype
from omni_core.progress import Progress, silent
from omni_core.shard_reads import first_questions
from omni_core.speech_text import speech_text
from omni_core.store import ArtifactStore
from omni_core.tables import pack, rows, waveform_of
from omni_core.word_states import states_of_answers

ANSWERS_A_BATCH = 16


@lru_cache(maxsize=1)
def _encoder(encoder: EncoderSettings, home: Path) -> Encoder:
    """Loaded once for all shards of a run."""
    return components.load("encoders", encoder.name, encoder, home)


@lru_cache(maxsize=1)
def _language_model(language_model: LanguageModelSettings, home: Path) -> CausalLanguageModel:
    """Loaded once for all shards of a run; half the bytes and twice the speed where the CPU multiplies bfloat16."""
    return components.load("language_models", language_model.name, language_model, home, fast_dtype("cpu"))


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def _commit(
    store: ArtifactStore,
    manifest: Manifest,
    shard: str,
    found: list[dict],
    schema: pa.Schema,
    inputs: dict[str, Artifact],
    settings: Settings,
    facts: dict[str, Any],
) -> FeatureShard:
    """Write features.parquet whole. The manifest is no input by digest: a shard is the same in a larger manifest.

    Lineage goes on by the sha256 of the manifest's shard.
    """
    with store.scratch(FeatureShard.kind) as folder:
        pq.write_table(pa.Table.from_pylist(found, schema=schema), folder / "features.parquet", compression="zstd")
        return store.commit(FeatureShard, folder, inputs=inputs, settings=settings.model_dump(mode="json"),
                            facts={"shard": shard, "shards": manifest.shard_hashes([shard]), "rows": len(found), **facts})  # fmt: skip


def encoder_features_of_shard(
    store: ArtifactStore,
    manifest: Manifest,
    shard: str,
    encoder: EncoderSettings,
    settings: FeaturesSettings,
    home: Path,
    progress: Progress = silent,
) -> FeatureShard:
    """Encode every question of one shard; batches of like length, rows in the shard's order."""
    listener = _encoder(encoder, home)
    utterances = list(rows(store, manifest, shard, ["utterance_id", "duration_s", "audio"]))
    by_length = sorted(range(len(utterances)), key=lambda i: utterances[i]["duration_s"])
    found: list[dict] = [{}] * len(utterances)
    longest = max((u["duration_s"] for u in utterances), default=1.0)
    done = 0
    for batch in _batches(by_length, max(1, int(settings.batch_seconds / longest))):
        heard = listener.encode([waveform_of(utterances[i], listener.sample_rate_hz) for i in batch])
        for i, features in zip(batch, heard, strict=True):
            found[i] = {"utterance_id": utterances[i]["utterance_id"], "frames": len(features),
                        "width": features.shape[1], "features": pack(features, np.float16)}  # fmt: skip
        done += len(batch)
        progress(done, len(utterances), "questions")
    facts = {"kind": "encoder", "width": listener.width, "frame_rate_hz": listener.frame_rate_hz}
    return _commit(store, manifest, shard, found, ENCODER_FEATURES, {}, encoder, facts)


def speech_targets_of_shard(
    store: ArtifactStore,
    manifest: Manifest,
    shard: str,
    codec: FittedCodec,
    codec_settings: CodecSettings,
    aligner: Aligner,
    language: str,
    home: Path,
    progress: Progress = silent,
) -> FeatureShard:
    """Codes by the codec; durations by forced alignment; pitch and energy a phoneme."""
    pack_ = components.load("languages", language)
    speaker = components.load("codecs", codec_settings.name, codec_settings, store.folder(codec), home)
    recogniser = fit.load_aligner(store, aligner)
    utterances = list(rows(store, manifest, shard, ["utterance_id", "split", "text", "audio", *CODE_COLUMNS]))
    found: list[dict] = []
    not_aligned: list[dict[str, str]] = []
    for batch in _batches(utterances, 64):
        texts = [speech_text(u["text"], pack_) for u in batch]
        waveforms = [waveform_of(u, SAMPLE_RATE_HZ) for u in batch]
        mels = [log_mel(w) for w in waveforms]
        durations = align(recogniser, mels, [fit.bases_of(t.phonemes, pack_) for t in texts])
        for u, text, waveform, spans in zip(batch, texts, waveforms, durations, strict=True):
            if spans is None:
                not_aligned.append(_cannot_be_aligned(u, len(waveform), len(text.phonemes)))
                continue
            own = waveform if speaker.sample_rate_hz == SAMPLE_RATE_HZ else waveform_of(u, speaker.sample_rate_hz)
            codes = codes_of(u, codec_settings.name, speaker.sample_rate_hz)
            codes = speaker.encode(own[None])[0] if codes is None else codes
            log_f0, energy = prosody.frame_prosody(waveform)
            lengths = torch.tensor(spans)
            found.append({
                "utterance_id": u["utterance_id"], "split": u["split"], "frames": codes.shape[1],
                "codebooks": codes.shape[0], "codes": pack(codes, np.int16), "phonemes": text.phonemes.tolist(),
                "word_of_phoneme": text.words.tolist(), "durations": spans,
                "log_f0": prosody.phoneme_means(log_f0, lengths, only_nonzero=True).tolist(),
                "energy": prosody.phoneme_means(energy, lengths).tolist(),
            })  # fmt: skip
        progress(len(found) + len(not_aligned), len(utterances), "answers")
    facts = {"kind": "speech", "not_aligned": not_aligned}
    return _commit(
        store, manifest, shard, found, SPEECH_TARGETS, {"codec": codec, "aligner": aligner}, codec_settings, facts
    )


def _cannot_be_aligned(utterance: dict[str, Any], samples: int, phonemes: int) -> dict[str, str]:
    """Why an answer has no targets: there are fewer frames than phonemes."""
    return {
        "utterance_id": utterance["utterance_id"],
        "text": utterance["text"],
        "reason": f"{samples / SAMPLE_RATE_HZ:.2f} s of sound are too short for the {phonemes} phonemes of its text: "
        "text and audio do not belong together",
    }


def answer_codes_of_shard(
    store: ArtifactStore,
    manifest: Manifest,
    shard: str,
    codec: FittedCodec,
    codec_settings: CodecSettings,
    home: Path,
    progress: Progress = silent,
) -> FeatureShard:
    """Codes of the answers of one shard; those that came as codes of this codec are taken as they are, without sound."""
    speaker = components.load("codecs", codec_settings.name, codec_settings, store.folder(codec), home)
    utterances = list(rows(store, manifest, shard, ["utterance_id", "split", "audio", *CODE_COLUMNS]))
    found = []
    for done, u in enumerate(utterances, start=1):
        codes = codes_of(u, codec_settings.name, speaker.sample_rate_hz)
        if codes is None:
            codes = speaker.encode(waveform_of(u, speaker.sample_rate_hz)[None])[0]
        found.append({"utterance_id": u["utterance_id"], "split": u["split"], "frames": codes.shape[1],
                      "codebooks": codes.shape[0], "codes": pack(codes, np.int16)})  # fmt: skip
        progress(done, len(utterances), "answers")
    return _commit(store, manifest, shard, found, ANSWER_CODES, {"codec": codec}, codec_settings, {"kind": "codes"})


def language_model_states_of_shard(
    store: ArtifactStore,
    manifest: Manifest,
    shard: str,
    language_model: LanguageModelSettings,
    language: str,
    home: Path,
    progress: Progress = silent,
) -> FeatureShard:
    """States at each answer's words, the question that first asked for it going in as text."""
    lm = _language_model(language_model, home)
    question_of = first_questions(store, manifest, shard)
    utterances = [u for u in rows(store, manifest, shard, ["utterance_id", "text"]) if u["text"].split()]
    found = []
    utterances.sort(key=lambda u: len(u["text"]))  # batches of like length
    for batch in _batches(utterances, ANSWERS_A_BATCH):
        states = states_of_answers(lm, [(question_of.get(u["utterance_id"], ""), u["text"]) for u in batch])
        found += [
            {"utterance_id": u["utterance_id"], "words": len(s), "width": s.shape[1], "states": pack(s, np.float16)}
            for u, s in zip(batch, states, strict=True)
        ]
        progress(len(found), len(utterances), "answers")
    facts = {"kind": "language_model", "width": lm.width}
    return _commit(store, manifest, shard, found, LANGUAGE_MODEL_STATES, {}, language_model, facts)
