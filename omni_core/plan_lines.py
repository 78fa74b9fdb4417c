"""Settings and facts enter, the plan's lines for a person leave: every derived quantity, and notes about what is allowed."""

from __future__ import annotations

from data_contracts.plan import Derived
from data_contracts.retrain import RetrainSettings
from omni_core import estimates, plan_parallel
from omni_core.plan_facts import (
    Facts,
    heard_rate_hz,
    lengths_of,
    longest_answer_s,
    longest_question_s,
    tokens_a_second,
    trained_parameters,
    tuned_positions,
)

MANY_CODES_A_SECOND = 400
"""Above it the talker's heads alone are slow: mel_rvq at 12.3 Hz writes 98, SNAC 82, Mimi with 8 codebooks 100, EnCodec 600."""


def derived_quantities(settings: RetrainSettings, facts: Facts) -> tuple[Derived, ...]:
    """Everything that a person would otherwise have to look up."""
    lines = [
        *_of_language_model(settings, facts),
        *_of_encoder(facts),
        *_of_codec(facts),
        *(plan_parallel.derived if plan_parallel.uses_parallel(settings) else _of_talker)(settings, facts),
        *_of_the_whole(settings, facts),
    ]
    return tuple(Derived(part=part, quantity=quantity, value=value) for part, quantity, value in lines)


Lines = list[tuple[str, str, str]]


def _of_language_model(settings: RetrainSettings, facts: Facts) -> Lines:
    lm, name = facts.lm, "language model"
    window = f", sliding layers see {lm.window}" if lm.window else ""
    lines = [
        (name, "class", lm.class_name),
        (name, "width, layers", f"{lm.width}, {lm.num_layers}"),
        (name, "vocabulary", f"{lm.vocabulary} tokens"),
        (name, "context", f"{lm.context or 'not stated'} positions{window}"),
    ]
    if facts.chat is None:
        return [*lines, (name, "special ids, fertility", "known on loading: there is no tokenizer.json")]
    lines.append(
        (
            name,
            "special ids",
            f"end of answer {facts.chat.end}; {len(facts.chat.suffix)} tokens between question and answer",
        )
    )
    if not plan_parallel.uses_parallel(settings):
        lines.append(
            (
                name,
                "prefix",
                f"{facts.prefix_positions} positions of prompt, about {tuned_positions(settings, facts)} with {settings.train.listen.prefix_examples} example turns",
            )
        )
    words = sum(len(text.split()) for text in facts.texts.questions + facts.texts.answers)
    if not words:
        lines.append((name, "fertility on the data", "not known: no turn could be read"))
    if words:
        tokens = sum(map(len, facts.question_tokens + facts.answer_tokens))
        lines.append(
            (
                name,
                "fertility on the data",
                f"{tokens / words:.2f} tokens a word, {tokens_a_second(facts):.1f} a second of question",
            )
        )
        longest = max(map(len, facts.question_tokens), default=0), max(map(len, facts.answer_tokens), default=0)
        lines.append((name, "longest on the data", f"question {longest[0]}, answer {longest[1]} tokens"))
    return lines


def _of_encoder(facts: Facts) -> Lines:
    encoder = facts.encoder
    if encoder is None:
        return [("encoder", "all", "known on loading: this member is not described")]
    return [
        ("encoder", "hears", f"{encoder.sample_rate_hz} Hz, {f'{encoder.num_mels} mel bands' if encoder.num_mels else 'the waveform'}"),
        ("encoder", "features", f"{encoder.width} wide at {encoder.frame_rate_hz:g} Hz"),
    ]  # fmt: skip


def _of_codec(facts: Facts) -> Lines:
    codec = facts.codec
    if codec is None:
        return [("codec", "all", "known on loading: this member is not described")]
    return [
        ("codec", "speaks", f"{codec.sample_rate_hz} Hz, {codec.frame_rate_hz:.2f} frames a second"),
        ("codec", "codebooks", f"{codec.layout}, {codec.codebook_size} codes each"),
    ]


def _of_talker(settings: RetrainSettings, facts: Facts) -> Lines:
    """Of the adapter and the head."""
    lines: Lines = []
    if facts.encoder:
        stack = max(1, round(facts.encoder.frame_rate_hz / estimates.ADAPTER_RATE_HZ))
        lines.append(
            ("adapter", "frames", f"{stack} features each, {heard_rate_hz(facts):.1f} Hz, into {facts.lm.width}")
        )
    if codec := facts.codec:
        delay = codec.num_codebooks - 1
        codes = codec.num_codebooks * codec.frame_rate_hz
        lines += [
            ("speech head", "streams", f"{codec.num_codebooks} of {codec.codebook_size + 1} ids, {codec.codebook_size} is pad"),
            ("speech head", "delays", f"0 to {delay} steps, {delay} in all: {delay / codec.frame_rate_hz:.2f} s"),
            ("speech head", "rate", f"{codes:.0f} codes a second, states {facts.lm.width} wide"),
        ]  # fmt: skip
    return lines


def _of_the_whole(settings: RetrainSettings, facts: Facts) -> Lines:
    trained = trained_parameters(settings, facts)
    frozen = {"language model": facts.lm.parameters, "encoder": facts.encoder.parameters if facts.encoder else 0,
              "codec": facts.codec.parameters if facts.codec else 0}  # fmt: skip
    others = frozen["encoder"] + frozen["codec"] + sum(n for part, n in trained.items() if part != "language model")
    frozen = {part: number for part, number in frozen.items() if part not in trained}
    training = _training_mb(settings, facts, len(facts.texts.questions))
    serving = estimates.serving_mb(facts.lm, settings.quantize.weight_quantizer, others)
    question, answer = longest_question_s(settings, facts), longest_answer_s(facts)
    if plan_parallel.uses_parallel(settings):
        answer = plan_parallel.longest_answer_s(settings, facts)
    return [
        ("whole", "longest question", f"{question[0]:.1f} s, set by {question[1]}"),
        ("whole", "longest answer", f"{answer[0]:.1f} s, set by {answer[1]}"),
        ("whole", "parameters, frozen", _millions(frozen)),
        ("whole", "parameters, trained", _millions(trained)),
        (
            "whole",
            "memory for training",
            f"about {training / 1000:.1f} GB of {estimates.machine_mb() / 1000:.1f} GB here",
        ),
        ("whole", "memory for serving", f"about {serving / 1000:.1f} GB with {settings.quantize.weight_quantizer}"),
    ]


def _training_mb(settings: RetrainSettings, facts: Facts, turns: int) -> float:
    if plan_parallel.uses_parallel(settings):
        return plan_parallel.training_mb(settings, facts)
    lengths = lengths_of(settings, facts)
    return estimates.training_mb(facts.lm, facts.encoder, lengths, settings.train.listen.answer_batch, turns)


def _millions(numbers: dict[str, int]) -> str:
    known = ", ".join(f"{part} {number / 1e6:.2f} M" for part, number in numbers.items() if number)
    return f"{sum(numbers.values()) / 1e6:.2f} M: {known}"


def notes_of(settings: RetrainSettings, facts: Facts) -> tuple[str, ...]:
    """What is allowed and yet worth a sentence."""
    notes = [f"source '{source}' cannot be read; its texts are not in these figures" for source in facts.texts.unread]
    notes += [f"source '{source}' is large: texts and counts are of its first records" for source in facts.texts.cut]
    if plan_parallel.uses_parallel(settings):
        notes += plan_parallel.notes(settings, facts)
    long = sum(len(ids) > estimates.MAX_ANSWER_TOKENS for ids in facts.answer_tokens)
    if long and not plan_parallel.uses_parallel(settings):
        notes.append(f"{long} answers have more than {estimates.MAX_ANSWER_TOKENS} tokens and would be cut when served")
    if not facts.lm.parameters:
        notes.append("the language model has no safetensors header to be read, so parameters, memory and time lack it")
    training = _training_mb(settings, facts, 0)
    if training > estimates.machine_mb():
        notes.append(f"training needs about {training / 1000:.0f} GB, more than this machine has")
    if settings.components.encoder.weights == settings.evaluate.judge:
        notes.append(
            "encoder and judge are the same model, so the judge is not independent; set evaluate.judge to another"
        )
    if facts.codec and facts.codec.frame_rate_hz * facts.codec.num_codebooks > MANY_CODES_A_SECOND:
        notes.append(
            f"{facts.codec.num_codebooks * facts.codec.frame_rate_hz:.0f} codes a second are many for real time on a CPU"
        )
    return tuple(notes)
