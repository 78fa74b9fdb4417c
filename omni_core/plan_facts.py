"""Settings enter; all that is known of their components and texts before anything is loaded leaves: rates, limits, sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

from data_contracts.retrain import RetrainSettings
from omni_core import estimates, plan_parallel
from omni_core.chat_format import ChatFormat, chat_format
from omni_core.component_facts import (
    CodecFacts,
    EncoderFacts,
    LanguageModelFacts,
    codec_facts,
    encoder_facts,
    language_model_facts,
)
from omni_core.light_tokenizer import LightTokenizer
from omni_core.source_texts import SourceTexts, source_texts

NO_LIMIT = math.inf


@dataclass(frozen=True)
class Facts:
    """All that is known before loading. tokenizer and chat are None for a model without tokenizer.json."""

    lm: LanguageModelFacts
    encoder: EncoderFacts | None
    codec: CodecFacts | None
    chat: ChatFormat | None
    texts: SourceTexts
    question_tokens: list[list[int]]
    answer_tokens: list[list[int]]
    head: dict[str, Any] = field(default_factory=dict)
    """Shape of the parallel head that the settings start from; empty without one."""

    @property
    def prefix_positions(self) -> int:
        """System prompt alone."""
        return len(self.chat.prefix) if self.chat else 0


def read_facts(settings: RetrainSettings, home: Path) -> Facts:
    """Raises WeightsError or ComponentError for components that cannot be what the settings say."""
    parts = settings.components
    lm = language_model_facts(parts.language_model, home)
    tokenizer = LightTokenizer(lm.files) if lm.files.path("tokenizer.json") else None
    texts = source_texts(settings.ingest)
    asked, said = ((tokenizer.counts(found) if tokenizer else []) for found in (texts.questions, texts.answers))
    return Facts(
        lm, encoder_facts(parts.encoder, home), codec_facts(parts.codec, home),
        chat_format(tokenizer, parts.language_model.system_prompt) if tokenizer else None, texts, asked, said,
        plan_parallel.head_config(settings, home),
    )  # fmt: skip


def tokens_a_second(facts: Facts) -> float:
    """Mean, of the questions; from their texts, at the usual pace of speech."""
    characters = sum(map(len, facts.texts.questions))
    return sum(map(len, facts.question_tokens)) * estimates.CHARACTERS_A_SECOND / characters if characters else 0.0


def heard_rate_hz(facts: Facts) -> float:
    """Adapter frames a second: CTC writes at most one token a frame."""
    rate = facts.encoder.frame_rate_hz if facts.encoder else estimates.ADAPTER_RATE_HZ
    return rate / max(1, round(rate / estimates.ADAPTER_RATE_HZ))


def tuned_positions(settings: RetrainSettings, facts: Facts) -> int:
    """Positions of the prefix with its example turns, at their mean length."""
    if facts.chat is None:
        return 0
    turn = _mean(facts.question_tokens) + _mean(facts.answer_tokens) + len(facts.chat.suffix) + 4
    return facts.prefix_positions + round(settings.train.listen.prefix_examples * turn)


def _mean(sequences: list[list[int]]) -> float:
    return sum(map(len, sequences)) / len(sequences) if sequences else 0.0


def longest_question_s(settings: RetrainSettings, facts: Facts) -> tuple[float, str]:
    """Seconds of the longest question that fits, and what sets the bound: every adapter frame may write one token."""
    bounds = [(settings.ingest.quality.max_duration_s, "ingest.quality.max_duration_s")]
    if facts.encoder:
        bounds.append((facts.encoder.max_s, "the encoder's window"))
    if plan_parallel.uses_parallel(settings):
        bounds.append((plan_parallel.longest_question_s(settings, facts), "the language model's context"))
    elif facts.lm.context and facts.chat:
        left = (
            facts.lm.context - tuned_positions(settings, facts) - len(facts.chat.suffix) - estimates.MAX_ANSWER_TOKENS
        )
        bounds.append((left / heard_rate_hz(facts), "the language model's context"))
    return min(bounds)


def longest_answer_s(facts: Facts) -> tuple[float, str]:
    """Seconds of the longest answer that fits, and what sets the bound."""
    spoken = " ".join(facts.texts.answers)
    tokens = sum(map(len, facts.answer_tokens))
    bounds = [(NO_LIMIT, "nothing known")]
    if tokens:
        of_text = estimates.MAX_ANSWER_TOKENS * len(spoken) / tokens / estimates.CHARACTERS_A_SECOND
        bounds.append((of_text, f"{estimates.MAX_ANSWER_TOKENS} tokens of text, at the usual pace"))
    if facts.codec:
        steps = estimates.MAX_TALKER_STEPS - facts.codec.num_codebooks + 1
        bounds.append((steps / facts.codec.frame_rate_hz, f"{estimates.MAX_TALKER_STEPS} steps of the talker"))
    return min(bounds)


def lengths_of(settings: RetrainSettings, facts: Facts) -> estimates.Lengths:
    """Means and padded lengths of the data."""
    question = _characters(facts.texts.questions, settings.train.listen.alignment_batch)
    answer = _characters(facts.texts.answers + facts.texts.speech, settings.train.speak.batch)[0]
    suffix = len(facts.chat.suffix) if facts.chat else 4
    turn = _mean(facts.question_tokens) + suffix + _mean(facts.answer_tokens)
    pace = estimates.CHARACTERS_A_SECOND
    return estimates.Lengths(question[0] / pace, question[1] / pace, answer / pace, turn)


def _characters(texts: list[str], batch: int) -> tuple[float, float]:
    """Mean length of a text, and that of the longest of a batch, as all the others are padded to."""
    lengths = sorted(map(len, texts)) or [40]
    longest = quantiles(lengths, n=max(2, batch))[-1] if len(lengths) > 1 else lengths[0]
    return sum(lengths) / len(lengths), min(longest, lengths[-1])


def trained_parameters(settings: RetrainSettings, facts: Facts) -> dict[str, int]:
    """Part -> number; empty where a part is not described."""
    if plan_parallel.uses_parallel(settings):
        return plan_parallel.trained_parameters(settings, facts)
    found = {}
    heard = len({token for ids in facts.question_tokens for token in ids})
    if facts.encoder:
        found["adapter"] = estimates.adapter_parameters(
            facts.encoder.width, facts.encoder.frame_rate_hz, facts.lm.width, heard
        )
    found["tuned prefix"] = estimates.prefix_parameters(facts.lm, tuned_positions(settings, facts))
    head = settings.components.speech_head
    if facts.codec and head.name == "talker":
        found["talker"] = estimates.talker_parameters(head.width, head.num_layers, facts.lm.width, facts.codec)
    return found
