"""A served model and its base enter, what each makes of general questions leaves: the evidence of metrics/text_forgetting.py.

    served   tuned prefix                      question <suffix> | answer <end>      p of every token after the bar
    base     <system ...><user> as first ids   question <suffix> | answer <end>

Both are read by the role of the served language models, a token at a time, so that every weight quantizer can be probed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omni_core.metrics import TextProbe
from omni_core.progress import Progress, silent

if TYPE_CHECKING:
    from omni_core.language_models.huggingface import CausalLanguageModel
    from omni_core.speech_to_speech import SpeechToSpeech
    from omni_core.weight_quantizers import ServedLanguageModel


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


@cache
def questions() -> tuple[Question, ...]:
    """All of text_probes.toml, in its order."""
    return tuple(Question(**row) for row in tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["probe"])


def probe(
    served: SpeechToSpeech, base: CausalLanguageModel, number: int, progress: Progress = silent
) -> list[TextProbe]:
    """The first `number` questions (there are 50), put to both."""
    from omni_core.weight_quantizers.none import TorchLanguageModel

    reference = TorchLanguageModel(base.model)
    nothing = served.prefix[..., :0, :]
    table, base_table = served.embeddings.float().numpy(), base.embedding.detach().float().numpy()
    found = []
    for done, item in enumerate(questions()[:number]):
        asked = _ids(served.tokenizer, item.question) + served.chat.suffix
        answer, key = answer_ids(served.tokenizer, item, served.chat.end)
        ours = read(served.language_model, served.prefix, table, asked, answer, key)
        base_asked = base.chat.prefix + base.tokens(item.question) + base.chat.suffix
        theirs = read(reference, nothing, base_table, base_asked, answer, key)
        found.append(TextProbe(item.question, len(answer), ours.nats, theirs.nats, ours.right, theirs.right))
        progress(done + 1, number, "general questions")
    return found


def answer_ids(tokenizer: Any, item: Question, end: int) -> tuple[list[int], int]:
    """Ids of the answer with its end sign, and the place of the first token of the deciding word."""
    before = item.answer[: item.answer.index(item.key)].rstrip()
    return [*_ids(tokenizer, item.answer), end], len(_ids(tokenizer, before))


def read(
    model: ServedLanguageModel, keys_values: np.ndarray, table: np.ndarray, asked: Sequence[int],
    answer: Sequence[int], key: int,
) -> Reading:  # fmt: skip
    """Teacher-forced: keys_values as `start` takes them, table (vocabulary, width) of embeddings, ids of both texts."""
    model.start(keys_values)
    logits, _ = model.step(table[list(asked)])
    nats, right = 0.0, False
    for place, token in enumerate(answer):
        nats += surprise(logits, token)
        if place == key:
            right = int(logits.argmax()) == token
        if place + 1 < len(answer):
            logits, _ = model.step(table[[token]])
    return Reading(len(answer), nats, right)


def surprise(logits: np.ndarray, token: int) -> float:
    """-log softmax(logits)[token], in nats."""
    shifted = np.asarray(logits, np.float64) - np.max(logits)
    return float(np.log(np.exp(shifted).sum()) - shifted[token])


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]
