"""A manifest enters, the questions that a registered model must answer leave; and whether what came back is the answer.

    proof/question-0.wav ... question-2.wav + answers.json     travels with every registered version

The model answers before it is registered; the version, loaded from the registry, must answer the same, bit by bit.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.errors import PromotionError, SourceError
from data_contracts.ingest import Manifest
from omni_core.audio import decode, encode_wav, to_int16
from omni_core.store import ArtifactStore

SHORTEST_ANSWER_S = 0.2
QUIETEST_PEAK = 1e-3
PROBES = 3
ANSWERS = "answers.json"
Answers = Callable[[bytes], tuple[bytes, str]]
"""Question (wav) -> answer (wav) and its text."""


def probe_questions(store: ArtifactStore, manifest: Manifest, count: int = PROBES) -> list[bytes]:
    """The first validation questions (and, when there are too few, the first of training) as wav files.

    None of the sealed test split: its questions would travel with every version, and each promotion were a look at it.
    """
    import pyarrow.parquet as pq

    folder = store.folder(manifest)
    rows = [row for name in manifest.shards("question") for row in pq.read_table(folder / name).to_pylist()]
    if not rows:
        raise PromotionError("the manifest holds no question to probe a registered model with")
    chosen = sorted(rows, key=lambda row: row["split"] != "validation")[:count]
    return [encode_wav(*decode(row["audio"])) for row in chosen]


def check_answer(wav: bytes, text: str, what: str) -> None:
    """Raise PromotionError unless the wav holds sound and the text is not empty."""
    try:
        waveform, sample_rate_hz = decode(wav)
    except SourceError as error:  # no samples: nothing was heard, or nothing said
        raise PromotionError(
            f"{what} answered its probe with '{text}' and no sound; the champion was not moved"
        ) from error
    seconds, peak = len(waveform) / sample_rate_hz, float(np.abs(waveform).max())
    if seconds < SHORTEST_ANSWER_S or peak < QUIETEST_PEAK or not text.strip():
        raise PromotionError(
            f"{what} answered its probe with '{text}' in {seconds:.2f} s of sound with a peak of {peak:.4f}; "
            "the champion was not moved"
        )


def fingerprint(wav: bytes, text: str) -> str:
    """Hex sha256 of an answer: its text, its rate and its 16-bit samples."""
    waveform, sample_rate_hz = decode(wav)
    return hashlib.sha256(f"{text}\0{sample_rate_hz}\0".encode() + to_int16(waveform).tobytes()).hexdigest()


def machine() -> str:
    """What the bits of an answer depend on besides the model."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass
    return ", ".join([cpu, *(f"{name} {version(name).split('+')[0]}" for name in ("numpy", "torch", "onnxruntime"))])


def write_proof(folder: Path, answers: Answers, questions: Sequence[bytes], what: str) -> None:
    """Let the model answer, and note questions, texts and fingerprints in `folder`. Raises PromotionError for no answer."""
    noted: list[dict[str, Any]] = []
    for number, question in enumerate(questions):
        wav, text = answers(question)
        check_answer(wav, text, what)
        (folder / f"question-{number}.wav").write_bytes(question)
        noted.append({"question": f"question-{number}.wav", "text": text, "sha256": fingerprint(wav, text)})
    (folder / ANSWERS).write_text(json.dumps({"machine": machine(), "answers": noted}, indent=1))


def check_proof(folder: Path, answers: Answers, what: str) -> None:
    """Ask the noted questions again; raises PromotionError when an answer is none, or another than was noted."""
    proof = json.loads((folder / ANSWERS).read_text())
    if len(proof["answers"]) == 0:
        raise PromotionError(f"{what} has no probes; run the flow again, it registers a version with them")
    for number, noted in enumerate(proof["answers"], 1):
        wav, text = answers((folder / noted["question"]).read_bytes())
        check_answer(wav, text, what)
        if fingerprint(wav, text) != noted["sha256"]:
            raise PromotionError(f"{what} answered probe {number} with {_difference(text, noted, proof['machine'])}")


def _difference(text: str, noted: dict[str, Any], where: str) -> str:
    said = f"'{text}' instead of '{noted['text']}'" if text != noted["text"] else f"other sound for '{text}'"
    if where != machine():
        return (
            f"{said}; it was proven on another machine ({where}; this one: {machine()}): promote it there, or run the "
            "flow here; the champion was not moved"
        )
    return f"{said}: it is not the model that was evaluated; run the flow again; the champion was not moved"
