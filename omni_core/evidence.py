"""Answered turns enter, the same leave with what some metrics ask for beside the answer: nothing is done that no metric reads.

cascade_retention   the model's answer to the written question      every turn: a guard, and only turns that are right count
text_forgetting     a general question, by the served model and by its base         the first turns, a second each
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from omni_core.metrics import AnsweredTurn
from omni_core.progress import Progress, silent

if TYPE_CHECKING:
    from omni_core.language_models.huggingface import CausalLanguageModel

BaseModel = Callable[[], "CausalLanguageModel"]
"""Loads the language model that the served one was made of."""


def gather(
    model: Any,
    base: BaseModel | None,
    turns: Sequence[AnsweredTurn],
    metrics: Sequence[str],
    number: int,
    progress: Progress = silent,
) -> list[AnsweredTurn]:
    """The turns with the evidence of the named metrics, text_forgetting's on the first `number` of them.

    model: omni_core.speech_to_speech.SpeechToSpeech. Without `base` no general question is asked.
    """
    found = list(turns)
    if "cascade_retention" in metrics:
        answers = _read(model, found, progress)
        found = [replace(turn, text_in_answer=text) for turn, text in zip(found, answers, strict=True)]
    if "text_forgetting" in metrics and base is not None:
        from omni_core.text_probes import probe

        probes = probe(model, base(), len(found[:number]), progress)
        found = [replace(t, text_probe=p) for t, p in zip(found, probes, strict=False)] + found[len(probes) :]
    return found


def _read(model: Any, turns: Sequence[AnsweredTurn], progress: Progress) -> list[str]:
    texts = []
    for done, turn in enumerate(turns):
        texts.append(model.answer_text(turn.question_text))
        progress(done + 1, len(turns), "written questions answered")
    return texts
