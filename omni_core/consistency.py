"""A served model and a few validation questions enter; what its parts say together leaves, before any time is spent on scores.

    joints, end token, rates, codes, context  do not fit -> ComponentError: the run ends here          (omni_core/chain.py)
    the model hears no question at all                 -> MetricError: there would be nothing to score
    speech against text, end tokens, silence           -> reasons of the verdict, as the latency gate's are

A swap changes one part of a chain whose parts know each other by their numbers only; this is the first time that the chain
speaks as a whole, and it costs a few answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.consistency import ConsistencyReport, ConsistencySettings
from data_contracts.errors import MetricError, SourceError
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from omni_core import chain, components, tables
from omni_core.audio import decode, resample
from omni_core.bundled_weights import resolve
from omni_core.chain import Check
from omni_core.judge import Judge, load_judge
from omni_core.metrics import LanguagePack
from omni_core.metrics.word_error_rate import word_errors
from omni_core.progress import Progress, silent
from omni_core.speech_to_speech import Answer, SpeechToSpeech
from omni_core.store import ArtifactStore

RATE_HZ = 16_000
SILENCE_S = 1.0
QUIET_ROOM_DB = -55.0
"""Noise of a room in which nobody speaks, in dB of full scale."""


def check_consistency(
    store: ArtifactStore,
    model: QuantizedModel,
    manifest: Manifest,
    settings: ConsistencySettings,
    judge: str,
    home: Path,
    progress: Progress = silent,
) -> ConsistencyReport:
    """Check a stored model on validation questions (the test split stays sealed); `judge` is evaluate's.

    Raises ComponentError for parts that do not fit, MetricError for a model that hears or says nothing, SourceError when
    there is no validation question.
    """
    questions, language = validation_questions(store, manifest, settings.answers), manifest.settings["language"]
    loaded = SpeechToSpeech.load(store.folder(model), settings.threads)
    checks, positions = check_chain(loaded, questions[0], longest_question(store, manifest))
    progress(0, len(questions), "the parts fit, answering questions")
    answers = answer_all(loaded, questions, progress)
    noise = [loaded.answer(waveform, RATE_HZ) for waveform in silences()]
    progress(0, 1, "judging the answers")
    ear = load_judge(resolve(judge, home), settings.threads, language)
    facts = measure(answers, noise, ear, components.load("languages", language))
    progress(1, 1, "judging the answers")
    gates, reasons = gate(facts, settings)
    facts |= {"long_question_positions": positions, "context": loaded.speaker.context, "passed": not reasons, "reasons": reasons,
              "checks": [asdict(check) for check in (*checks, *gates)]}  # fmt: skip
    with store.scratch(ConsistencyReport.kind) as folder:
        return store.commit(ConsistencyReport, folder, inputs={"model": model, "manifest": manifest},
                            settings=settings.model_dump(mode="json"), facts=facts)  # fmt: skip


def validation_questions(store: ArtifactStore, manifest: Manifest, count: int) -> list[np.ndarray]:
    """The first validation questions, (samples,) each at 16 kHz."""
    wanted = {turn["question_id"] for turn in tables.turns(store, manifest, "validation")[:count]}
    found = waveforms_of(store, manifest, wanted)
    if not found:
        raise SourceError("there is no validation question to check the model with; mark some rows split=validation")
    return found


def longest_question(store: ArtifactStore, manifest: Manifest) -> np.ndarray:
    """The longest question of training and validation, (samples,) at 16 kHz."""
    lengths = {
        row["utterance_id"]: row["duration_s"]
        for shard in manifest.shards("question")
        for row in tables.rows(store, manifest, shard, ["utterance_id", "duration_s"])
    }
    return waveforms_of(store, manifest, {max(lengths, key=lambda name: lengths[name])})[0]


def waveforms_of(store: ArtifactStore, manifest: Manifest, questions: set[str]) -> list[np.ndarray]:
    """Of these utterance ids, in the manifest's order; (samples,) each at 16 kHz."""
    return [
        resample(*decode(row["audio"]), RATE_HZ)
        for shard in manifest.shards("question")
        for row in tables.rows(store, manifest, shard, ["utterance_id", "audio"])
        if row["utterance_id"] in questions
    ]


def silences() -> list[np.ndarray]:
    """A muted microphone, and a quiet room."""
    samples = round(SILENCE_S * RATE_HZ)
    noise = np.random.default_rng(0).standard_normal(samples) * 10 ** (QUIET_ROOM_DB / 20)
    return [np.zeros(samples, np.float32), noise.astype(np.float32)]


def check_chain(model: SpeechToSpeech, question: np.ndarray, longest: np.ndarray) -> tuple[list[Check], int]:
    """Everything that has to hold for the model to be one; also the positions that the longest question takes."""
    stated = [chain.check_joints(model), chain.check_end(model)]
    measured = [chain.check_features(model, question, RATE_HZ), chain.check_codes(model, question, RATE_HZ)]
    context, positions = chain.check_context(model, longest, RATE_HZ)
    return [*stated, *measured, context], positions


def answer_all(model: SpeechToSpeech, questions: Sequence[np.ndarray], progress: Progress = silent) -> list[Answer]:
    """The answers with speech in them; raises MetricError when there is none, since nothing could be scored."""
    answers = []
    for question in questions:
        answers.append(model.answer(question, RATE_HZ))
        progress(len(answers), len(questions), "answering questions")
    spoken = [answer for answer in answers if answer.outcome == "answered"]
    for answer in spoken:
        if not np.isfinite(answer.waveform).all():
            raise MetricError(
                f"the spoken answer '{answer.text}' holds samples that are not numbers; look into the codec"
            )
    if not spoken:
        what = "hears no words in" if answers[0].outcome == "nothing heard" else "answers nothing to"
        raise MetricError(
            f"the model {what} any of {len(answers)} validation questions, so there is nothing to score; raise the steps of "
            "train.listen, and look at its curves in the report of the last run that ended"
        )
    return spoken


def measure(answers: Sequence[Answer], silence: Sequence[Answer], judge: Judge, pack: LanguagePack) -> dict[str, Any]:
    """The figures that a verdict can do something with."""
    heard = judge.transcribe([answer.waveform for answer in answers], answers[0].sample_rate_hz)
    counts = [word_errors(pack, answer.text, text) for answer, text in zip(answers, heard, strict=True)]
    errors, words = (sum(column) for column in zip(*counts, strict=True))
    return {
        "own_speech_wer": errors / max(1, words), "words": words, "answers": len(answers),
        "ended_answers": sum(answer.ended for answer in answers) / len(answers),
        "speech_on_silence_s": max(len(answer.waveform) / answer.sample_rate_hz for answer in silence),
    }  # fmt: skip


def gate(facts: dict[str, Any], settings: ConsistencySettings) -> tuple[list[Check], list[str]]:
    """A row for each measured figure, and the reasons against the model, in sentences."""
    wer, ended, noise = facts["own_speech_wer"], facts["ended_answers"], facts["speech_on_silence_s"]
    of = f"{facts['answers']} validation answers"
    rows = [
        Check("text and speech agree", f"{wer:.0%} of {facts['words']} words differ",
              f"at most {settings.max_own_speech_wer:.0%}", wer <= settings.max_own_speech_wer),
        Check("answers end", f"{ended:.0%} of {facts['answers']} come to their end token",
              f"at least {settings.min_ended_answers:.0%}", ended >= settings.min_ended_answers),
        Check("silence gives no speech", f"{noise:.1f} s of speech",
              f"at most {settings.max_speech_on_silence_s:g} s", noise <= settings.max_speech_on_silence_s),
    ]  # fmt: skip
    sentences = [
        f"in {of} the judge hears {wer:.0%} of the words otherwise than the model wrote them, over the bound of "
        f"{settings.max_own_speech_wer:.0%}",
        f"{ended:.0%} of {of} come to their end token, under the bound of {settings.min_ended_answers:.0%}",
        f"silence is answered with {noise:.1f} s of speech, over the bound of {settings.max_speech_on_silence_s:g} s",
    ]
    return rows, [sentence for row, sentence in zip(rows, sentences, strict=True) if not row.passed]
