"""A served model and its base enter, what each makes of general questions leaves: the evidence of metrics/text_forgetting.py.

    served   tuned prefix                                    question <suffix> | answer <end>     p of every token after the bar
    base     <system> four examples as past turns <user>     question <suffix> | answer <end>

The examples are for fairness: the prefix holds past turns too, and a base model that does not know how long an answer is
wanted is surprised by its form, not by its content.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from omni_core.metrics import TextProbe
from omni_core.progress import Progress, silent
from omni_core.text_questions import EXAMPLES, QUESTIONS

if TYPE_CHECKING:
    from omni_core.language_models.huggingface import CausalLanguageModel
    from omni_core.speech_to_speech import SpeechToSpeech


@dataclass(frozen=True)
class Question:
    """A general question, a right answer, and the word of it that decides."""

    question: str
    answer: str
    key: str


@dataclass(frozen=True)
class Reading:
    """Surprise at the answer in nats, and whether the deciding word was the likeliest at its place."""

    tokens: int
    nats: float
    right: bool


def questions() -> tuple[Question, ...]:
    """All of them, in their order."""
    return tuple(Question(*row) for row in QUESTIONS)


def probe(
    served: SpeechToSpeech, base: CausalLanguageModel, number: int, progress: Progress = silent
) -> list[TextProbe]:
    """The first `number` questions (there are 50), put to both."""
    from omni_core.language_models.huggingface import chat_format

    speaker = served.speaker
    chat = chat_format(base.tokenizer, base.system_prompt, list(EXAMPLES))
    found = []
    for done, item in enumerate(questions()[:number]):
        answer, key = answer_ids(speaker.tokenizer, item, speaker.end)
        ours = reading(speaker.answer_logits(item.question, answer), answer, key)
        theirs = read_base(base.model, chat.prefix + base.tokens(item.question) + chat.suffix, answer, key)
        found.append(TextProbe(item.question, len(answer), ours.nats, theirs.nats, ours.right, theirs.right))
        progress(done + 1, number, "general questions")
    return found


def answer_ids(tokenizer: Any, item: Question, end: int) -> tuple[list[int], int]:
    """Ids of the answer with its end sign, and the place of the first token of the deciding word."""
    word = re.search(rf"\b{re.escape(item.key)}\b", item.answer)
    assert word, f"text_questions.py: '{item.key}' is no word of '{item.answer}'"
    return [*_ids(tokenizer, item.answer), end], len(_ids(tokenizer, item.answer[: word.start()].rstrip()))


def read_base(model: Any, asked: Sequence[int], answer: Sequence[int], key: int) -> Reading:
    """The same by a transformers causal model, in one pass."""
    import torch

    with torch.inference_mode():
        logits = model(torch.tensor([[*asked, *answer[:-1]]])).logits[0, len(asked) - 1 :]
    return reading(logits.float().numpy(), answer, key)


def reading(logits: np.ndarray, answer: Sequence[int], key: int) -> Reading:
    """(tokens, vocabulary), the row before each token of the answer -> what they say of it."""
    nats = sum(surprise(row, token) for row, token in zip(logits, answer, strict=True))
    return Reading(len(answer), nats, int(logits[key].argmax()) == answer[key])


def surprise(logits: np.ndarray, token: int) -> float:
    """-log softmax(logits)[token], in nats."""
    shifted = np.asarray(logits, np.float64) - np.max(logits)
    return float(np.log(np.exp(shifted).sum()) - shifted[token])


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]
