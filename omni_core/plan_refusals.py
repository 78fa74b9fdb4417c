"""Settings and the facts of their components enter; nothing leaves, or one sentence about what could never work.

Each of these would otherwise fail minutes or hours into a run, after ingest and features were paid for.
"""

from __future__ import annotations

from pathlib import Path

from data_contracts.base import choices
from data_contracts.errors import ComponentError, WeightsError
from data_contracts.retrain import RetrainSettings
from omni_core import estimates, plan_parallel
from omni_core.plan_facts import Facts, heard_rate_hz, read_facts, tokens_a_second, tuned_positions
from omni_core.plan_starts import refuse_no_start
from omni_core.preflight import preflight


def checked_facts(settings: RetrainSettings, home: Path) -> Facts:
    """What is known of settings that can work. Raises SourceError, WeightsError or ComponentError for others."""
    preflight(settings, home)
    facts = read_facts(settings, home)
    refuse_the_impossible(settings, facts)
    return facts


def refuse_the_impossible(settings: RetrainSettings, facts: Facts) -> None:
    """Raises ComponentError or WeightsError, one sentence with the mend, for what would fail hours later."""
    _refuse_language(settings)
    _refuse_long_questions(settings, facts)
    _refuse_tokens(facts)
    refuse_no_start(settings)
    if plan_parallel.uses_parallel(settings):
        plan_parallel.refuse_the_impossible(settings, facts)
    else:
        _refuse_head(settings)
        _refuse_many_tokens(facts)
        _refuse_small_context(settings, facts)
    if settings.quantize.weight_quantizer == "onnx_int8":
        from omni_core.weight_quantizers.onnx_int8 import refuse_what_cannot_be_built

        refuse_what_cannot_be_built(facts.lm.class_name, facts.lm.files.config)


def _refuse_language(settings: RetrainSettings) -> None:
    if (language := settings.ingest.language) not in choices("languages"):
        raise ComponentError(
            f"there is no language pack '{language}' in omni_core/languages; there are: {', '.join(choices('languages'))}"
        )


def _refuse_head(settings: RetrainSettings) -> None:
    head = settings.components.speech_head
    if head.width % (2 * head.num_heads):
        raise ComponentError(
            f"speech_head.width {head.width} does not divide into {head.num_heads} heads of even width; make it a multiple of {2 * head.num_heads}"
        )


def _refuse_long_questions(settings: RetrainSettings, facts: Facts) -> None:
    longest = settings.ingest.quality.max_duration_s
    if facts.encoder and facts.encoder.max_s < longest:
        raise ComponentError(
            f"encoder {settings.components.encoder.name} hears at most {facts.encoder.max_s:g} s and ingest.quality.max_duration_s is {longest:g}; set that to {facts.encoder.max_s:g} or less"
        )


def _refuse_tokens(facts: Facts) -> None:
    highest = max((max(ids) for ids in facts.question_tokens + facts.answer_tokens if ids), default=0)
    if highest >= facts.lm.vocabulary > 0:
        raise WeightsError(
            f"the tokenizer of '{facts.lm.files.weights}' writes token {highest}, its embeddings end at {facts.lm.vocabulary - 1}; it belongs to another model"
        )


def _refuse_many_tokens(facts: Facts) -> None:
    rate = tokens_a_second(facts)
    if rate > (possible := heard_rate_hz(facts)):
        raise ComponentError(
            f"this tokenizer needs {rate:.1f} tokens a second of question and the adapter hears at most {possible:.1f}; choose a language model with larger tokens or an encoder with more frames"
        )


def _refuse_small_context(settings: RetrainSettings, facts: Facts) -> None:
    if not facts.lm.context or facts.chat is None:
        return
    prefix, longest = tuned_positions(settings, facts), max(map(len, facts.question_tokens), default=0)
    needed = prefix + longest + len(facts.chat.suffix) + estimates.MAX_ANSWER_TOKENS
    if needed > facts.lm.context:
        raise ComponentError(
            f"'{facts.lm.files.weights}' reads {facts.lm.context} positions; prefix {prefix}, longest question {longest} and answer {estimates.MAX_ANSWER_TOKENS} need {needed}; lower train.listen.prefix_examples or choose another language model"
        )
