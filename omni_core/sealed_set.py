"""A manifest and who reads it enter, the test turns with their audio leave, always the same and in the same order: the sealed set.

No other module opens the sealed shards, and nobody is handed a turn before the look is in the log.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.errors import SourceError
from data_contracts.ingest import SEALED_FOLDER, Manifest
from omni_core import tables
from omni_core.audio import decode
from omni_core.sealed_looks import log_look
from omni_core.store import ArtifactStore


@dataclass(frozen=True)
class SealedTurn:
    """One turn of the test split with its audio."""

    turn_id: str
    topic: str
    speaker: str
    """Of the question."""
    source: str
    """Of the question: a speaker's name counts within its source only."""
    question_text: str
    answer_text: str
    question: np.ndarray
    question_rate_hz: int
    teacher: np.ndarray
    teacher_rate_hz: int


@dataclass(frozen=True)
class Reader:
    """Who looks: what is written of it in the log of looks in `home`."""

    home: Path
    name: str
    model: str


@dataclass(frozen=True)
class SealedSet:
    """The turns of one look, their language and digest, and which look at them this is, from 1."""

    turns: list[SealedTurn]
    language: str
    digest: str
    look: int


def open_sealed(store: ArtifactStore, manifest: Manifest, max_turns: int, reader: Reader) -> SealedSet:
    """The sealed set, once the look is logged. Raises StorageError when it cannot be, SourceError without a test turn."""
    turns, language = _turns(store, manifest, max_turns)
    digest = digest_of(turns)
    look = log_look(reader.home, reader=reader.name, model=reader.model, manifest=manifest.digest, sealed_set=digest,
                    turns=len(turns))  # fmt: skip
    return SealedSet(turns, language, digest, look)


def _turns(store: ArtifactStore, manifest: Manifest, max_turns: int) -> tuple[list[SealedTurn], str]:
    """The first test turns by turn_id with the audio of both sides, and their language."""
    turns = tables.rows_of(store, manifest, f"{SEALED_FOLDER}/turns.parquet")
    rows = sorted(turns, key=lambda row: row["turn_id"])[:max_turns]
    if not rows:
        raise SourceError("there is no test turn to evaluate on; mark some rows split=test in a metadata.csv")
    languages = sorted({row["language"] for row in rows})
    if len(languages) > 1:
        raise SourceError(
            f"the test turns are in several languages ({', '.join(languages)}); evaluate one assistant a language"
        )
    wanted = {row[side] for row in rows for side in ("question_id", "answer_id")}
    columns = ["utterance_id", "source", "speaker", "audio"]
    utterances = {
        row["utterance_id"]: row
        for role in ("question", "answer") for shard in manifest.sealed_shards(role)
        for row in tables.rows_of(store, manifest, shard, columns) if row["utterance_id"] in wanted
    }  # fmt: skip
    return [_sealed(row, utterances) for row in rows], languages[0]


def _sealed(row: Mapping[str, Any], utterances: Mapping[str, Mapping[str, Any]]) -> SealedTurn:
    """Raises SourceError when a side has no sound: the teacher's recording is what several metrics compare with."""
    question, answer = utterances[row["question_id"]], utterances[row["answer_id"]]
    if not answer["audio"]:
        raise SourceError(
            f"the answer of test turn {row['turn_id']} came as codes alone, and evaluate compares with its sound: set "
            "ingest.voice.coded_answers to 'decode' with ingest.voice.snac_weights, or to 'speak'; nothing was evaluated"
        )
    return SealedTurn(row["turn_id"], row["topic"], question["speaker"], question["source"], row["question_text"],
                      row["answer_text"], *decode(question["audio"]), *decode(answer["audio"]))  # fmt: skip


def digest_of(turns: Sequence[SealedTurn]) -> str:
    """Digest of what is asked and what counts as right: equal digests can be paired turn by turn."""
    digest = hashlib.sha256()
    for turn in turns:
        texts = [turn.turn_id, turn.speaker, turn.question_text, turn.answer_text, turn.question_rate_hz]
        digest.update(json.dumps(texts).encode())
        digest.update(turn.question.tobytes())
    return digest.hexdigest()[:32]
