"""Spoken questions enter, a model's replies leave, in their order: asked by this process, or by several of one thread each.

    question 1, 3, 4 ... -> process of one thread, model loaded ->
    question 2, 5, 6 ... -> process of one thread, model loaded -> replies 1, 2, 3, ...

Tokens, codes and chunks of sound come one after the other, so a second thread helps an answer little; another answer beside
it helps more. Times of answers taken so are no latency: benchmark.py measures that, alone.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from data_contracts.errors import MetricError, OmniError
from omni_core.evaluation_files import Reply
from omni_core.processes import cores, end_with_parent
from omni_core.progress import Progress, silent
from omni_core.sealed_set import SealedTurn

WORTH_PROCESSES = 32
"""Turns from which on further processes pay: each of them imports torch and loads the model, for seconds."""

_model: Any = None
"""Of a process that is asked."""


class Answers(Protocol):
    """What is asked: omni_core.speech_to_speech.SpeechToSpeech, or anything that answers as it does."""

    def answer(self, waveform: np.ndarray, sample_rate_hz: int, seed: int = 0) -> Any: ...


def ask(model: Answers, turns: Sequence[SealedTurn], progress: Progress = silent) -> list[Reply]:
    """Put every question to the model. Raises MetricError for an answer with samples that are not numbers."""
    replies = []
    for number, turn in enumerate(turns):
        replies.append(_checked(turn, _reply(model, turn.question, turn.question_rate_hz)))
        progress(number + 1, len(turns), "questions answered")
    return replies


def ask_side_by_side(
    folder: Path, turns: Sequence[SealedTurn], threads: int, progress: Progress = silent
) -> list[Reply]:
    """As `ask`, of a model's folder, by as many processes as `threads` and cores allow. Raises OmniError when one is killed."""
    # spawn: a forked child would inherit torch's and onnxruntime's threads in an unknown state
    context = multiprocessing.get_context("spawn")
    replies: list[Reply] = []
    with ProcessPoolExecutor(min(threads, cores()), context, initializer=_load, initargs=(folder,)) as pool:
        waiting = [pool.submit(_ask_here, turn.question, turn.question_rate_hz) for turn in turns]
        try:
            for turn, reply in zip(turns, waiting, strict=True):
                replies.append(_checked(turn, reply.result()))
                progress(len(replies), len(turns), "questions answered")
        except BrokenProcessPool as error:
            raise OmniError(
                "a process that answers questions was ended from outside, often for want of memory; start again, "
                "or set evaluate.threads to 1"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return replies


def _load(folder: Path) -> None:
    global _model
    os.environ["OMP_NUM_THREADS"] = "1"
    end_with_parent()
    from omni_core.speech_to_speech import SpeechToSpeech

    _model = SpeechToSpeech.load(folder, threads=1)


def _ask_here(question: np.ndarray, sample_rate_hz: int) -> Reply:
    return _reply(_model, question, sample_rate_hz)


def _reply(model: Answers, question: np.ndarray, sample_rate_hz: int) -> Reply:
    answer = model.answer(question, sample_rate_hz, seed=0)
    return Reply(answer.heard_text, answer.text, np.asarray(answer.waveform, np.float32), answer.sample_rate_hz,
                 answer.time_to_first_audio_s, answer.total_s)  # fmt: skip


def _checked(turn: SealedTurn, reply: Reply) -> Reply:
    if not np.isfinite(reply.waveform).all():
        raise MetricError(
            f"the spoken answer of turn {turn.turn_id} holds samples that are not numbers; look into the codec"
        )
    return reply
