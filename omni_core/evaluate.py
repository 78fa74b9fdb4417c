"""A model and the sealed test split enter, its scores leave, an utterance a row: what the verdict is made of.

    test turns -> model hears and answers -> judge writes down what it hears -> metrics -> per_utterance.parquet
               -> teacher's recordings    -> judge (its own errors: the floor)            metrics.json, slices.parquet, clips/*.ogg

The same turns, in the same order, for every model: the first by turn_id.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from data_contracts.components import LanguageModelSettings
from data_contracts.errors import MetricError, WeightsError
from data_contracts.evaluate import EvaluateSettings, EvaluationReport
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from omni_core import asking, components, evaluation_files, evidence
from omni_core.answering_parts import answering_parts
from omni_core.bundled_weights import resolve
from omni_core.evaluation_files import Reply
from omni_core.judge import Heard, Judge, load_judge
from omni_core.judge_pin import pinned
from omni_core.measures import frame_power_db, snr_db
from omni_core.metrics import AnsweredTurn, Columns, Metric
from omni_core.progress import Progress, silent
from omni_core.sealed_set import Reader, SealedTurn, digest_of, open_sealed
from omni_core.slices import by_slice, length_slice, noise_slice
from omni_core.store import ArtifactStore

if TYPE_CHECKING:
    from omni_core.language_models.huggingface import CausalLanguageModel

UNSCORED = float("nan")


class Answers(asking.Answers, Protocol):
    """What is evaluated: omni_core.speech_to_speech.SpeechToSpeech, or anything that answers as it does."""

    def round_trip(self, waveform: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, int]: ...


def evaluate(
    store: ArtifactStore,
    model: QuantizedModel,
    manifest: Manifest,
    settings: EvaluateSettings,
    home: Path,
    progress: Progress = silent,
) -> EvaluationReport:
    """Score a stored model on the manifest's test split.

    Raises SourceError when there is no test turn, WeightsError when the judge is missing, MetricError naming metric
    and turn when a score is not a number.
    """
    from omni_core.speech_to_speech import SpeechToSpeech

    sealed = open_sealed(store, manifest, settings.max_turns, Reader(home, "evaluate", model.digest))
    turns, language = sealed.turns, sealed.language
    judge_sha256 = pinned(resolve(settings.judge, home), store.folder(model), _sources(model, home))
    judge = load_judge(resolve(settings.judge, home), settings.threads, language)
    many = settings.threads > 1 and len(turns) >= asking.WORTH_PROCESSES
    replies = asking.ask_side_by_side(store.folder(model), turns, settings.threads, progress) if many else None
    loaded = SpeechToSpeech.load(store.folder(model), threads=settings.threads)

    def base() -> CausalLanguageModel:
        parts = LanguageModelSettings.model_validate(model.facts["components"]["language_model"])
        return components.load("language_models", parts.name, parts, home)

    with store.scratch(EvaluationReport.kind) as folder:
        facts = score_model(loaded, judge, turns, language, settings, folder, progress, base, replies)
        facts |= {"judge_sha256": judge_sha256, "look": sealed.look}
        facts["parts"] = answering_parts(store.folder(model), settings.threads)
        return store.commit(
            EvaluationReport,
            folder,
            inputs={"model": model, "manifest": manifest},
            settings=settings.model_dump(mode="json"),
            facts=facts,
        )


def _sources(model: QuantizedModel, home: Path) -> dict[str, str]:
    """Part -> folder or hub id that it was made of, of those that are here."""
    parts = model.facts["components"]
    found = {}
    for name in ("encoder", "language_model"):
        with suppress(WeightsError):  # bundled weights that this home has not
            found[name.replace("_", " ")] = resolve(parts[name]["weights"], home)
    return {part: weights for part, weights in found.items() if weights}


def score_model(
    model: Answers,
    judge: Judge,
    turns: Sequence[SealedTurn],
    language: str,
    settings: EvaluateSettings,
    folder: Path,
    progress: Progress = silent,
    base: evidence.BaseModel | None = None,
    replies: Sequence[Reply] | None = None,
) -> dict[str, Any]:
    """Ask (where there are no replies yet), judge, measure; writes the report's files into `folder`, returns its facts."""
    pack = components.load("languages", language)
    metrics: list[Metric] = [components.load("metrics", name, pack, settings.threads) for name in settings.metrics]
    replies = replies or asking.ask(model, turns, progress)
    answered = judge_answers(judge, turns, replies, settings.perceptual_turns, progress, language)
    answered = judge_codec(judge, model, answered, settings.perceptual_turns, progress)
    answered = evidence.gather(model, base, answered, settings.metrics, settings.perceptual_turns, progress)
    columns = score(metrics, answered, settings.perceptual_turns, progress)
    figures = [figure for metric in metrics for figure in metric.figures]
    facts: dict[str, Any] = {
        "metrics": evaluation_files.summary(figures, columns), "turns": len(turns), "sealed_set": digest_of(turns),
        "speakers": len({turn.speaker for turn in turns}), "language": language, "judge": settings.judge,
    }  # fmt: skip
    clips = evaluation_files.clips_to_keep(columns, len(turns), settings.clips_kept)
    evaluation_files.write(folder, turns, replies, answered, columns, clips)
    evaluation_files.write_slices(folder, by_slice(figures, columns, dimensions(turns, language)))
    return facts


def dimensions(turns: Sequence[SealedTurn], language: str) -> dict[str, list[str]]:
    """Dimension -> the slice of each turn; see omni_core/slices.py."""
    return {
        "language": [language] * len(turns),
        "speaker": [turn.speaker for turn in turns],
        "topic": [turn.topic for turn in turns],
        "length": [length_slice(len(turn.question) / turn.question_rate_hz) for turn in turns],
        "noise": [noise_slice(snr_db(frame_power_db(turn.question, turn.question_rate_hz))) for turn in turns],
    }


def judge_answers(
    judge: Judge,
    turns: Sequence[SealedTurn],
    replies: Sequence[Reply],
    teacher_turns: int,
    progress: Progress = silent,
    language: str = "en",
) -> list[AnsweredTurn]:
    """Let the judge write down every answer, and the teacher's recording of the first `teacher_turns`."""
    heard = listen(judge, [(reply.waveform, reply.sample_rate_hz) for reply in replies], progress)
    taught = transcribe(judge, [(turn.teacher, turn.teacher_rate_hz) for turn in turns[:teacher_turns]], progress)
    answered = [
        AnsweredTurn(
            turn_id=turn.turn_id, question_text=turn.question_text, reference_text=turn.answer_text,
            heard_text=reply.heard_text, spoken_text=reply.text, waveform=reply.waveform,
            sample_rate_hz=reply.sample_rate_hz, transcript=said.text, teacher_waveform=turn.teacher,
            teacher_sample_rate_hz=turn.teacher_rate_hz, language=language, heard_language=said.language,
            time_to_first_audio_s=reply.time_to_first_audio_s, total_s=reply.total_s,
        )
        for turn, reply, said in zip(turns, replies, heard, strict=True)
    ]  # fmt: skip
    return [replace(turn, teacher_transcript=text) for turn, text in zip(answered, taught, strict=False)] + answered[
        len(taught) :
    ]


def judge_codec(
    judge: Judge, model: Answers, answered: list[AnsweredTurn], number: int, progress: Progress = silent
) -> list[AnsweredTurn]:
    """Let the judge write down the first `number` of the teacher's recordings once they have been through the codec."""
    clips = [model.round_trip(turn.teacher_waveform, turn.teacher_sample_rate_hz) for turn in answered[:number]]
    texts = transcribe(judge, clips, progress)
    return [replace(turn, codec_transcript=text) for turn, text in zip(answered, texts, strict=False)] + answered[
        len(texts) :
    ]


def transcribe(judge: Judge, clips: Sequence[tuple[np.ndarray, int]], progress: Progress = silent) -> list[str]:
    """One text a clip; see `listen`."""
    return [heard.text for heard in listen(judge, clips, progress)]


def listen(judge: Judge, clips: Sequence[tuple[np.ndarray, int]], progress: Progress = silent) -> list[Heard]:
    """What the judge hears in each clip; equal clips are heard once."""
    unique = {(waveform.tobytes(), rate): (waveform, rate) for waveform, rate in clips}
    found: dict[tuple[bytes, int], Heard] = {}
    for rate in sorted({rate for _, rate in clips}):
        keys = [key for key in unique if key[1] == rate]
        found |= zip(keys, judge.listen([unique[key][0] for key in keys], rate, progress), strict=True)
    return [found[waveform.tobytes(), rate] for waveform, rate in clips]


def score(
    metrics: Sequence[Metric], turns: Sequence[AnsweredTurn], perceptual_turns: int, progress: Progress = silent
) -> dict[str, np.ndarray]:
    """Columns (turns,) of all metrics; NaN for a turn that a metric was not asked about."""
    columns: dict[str, np.ndarray] = {}
    for number, metric in enumerate(metrics):
        chosen = turns[:perceptual_turns] if metric.is_slow else turns
        for name, values in checked(metric, chosen).items():
            rest = [UNSCORED] * (len(turns) - len(chosen))
            columns[name] = np.array([UNSCORED if value is None else value for value in values] + rest)
        progress(number + 1, len(metrics), "metrics")
    return columns


def checked(metric: Metric, turns: Sequence[AnsweredTurn]) -> Columns:
    """The metric's columns; MetricError for a value that is no number."""
    columns = metric.score(turns)
    for name, values in columns.items():
        for turn, value in zip(turns, values, strict=True):
            if value is not None and not math.isfinite(value):
                raise MetricError(
                    f"{name} of turn {turn.turn_id} is {value}; a metric that cannot be computed stops the run, look at that turn"
                )
    return columns
