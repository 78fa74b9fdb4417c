"""Settings and facts of a model with speech head parallel enter; what is derived, counted and refused leaves.

    steps of one turn   | 1 | a feature each | end, answer | a codec frame each, delays, end |   <= the context

Nothing heavy is imported: the folder of a head that there is is read as JSON and by its safetensors header.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.errors import ComponentError, WeightsError
from data_contracts.retrain import RetrainSettings
from omni_core import estimates
from omni_core.model_files import model_files

if TYPE_CHECKING:
    from omni_core.plan_facts import Facts

POST_ADAPTER_IN_ONNX = (
    "onnx_int8 gives hidden states behind the last norm only, and a post-adapter reads those before it; set "
    "quantize.weight_quantizer to dynamic_int8"
)
WHISPER_WINDOW_S = 30.0
FRAMING_STEPS = 3
"""Of a spoken question: input before the features, end and answer behind them."""


def uses_parallel(settings: RetrainSettings) -> bool:
    """The settings' speech head is this one."""
    return settings.components.speech_head.name == "parallel"


def head_config(settings: RetrainSettings, home: Path) -> dict[str, Any]:
    """Shape and source of the head that the settings start from, empty for a fresh one. Raises WeightsError for another folder."""
    weights = settings.components.speech_head.weights
    if not weights:
        return {}
    config = model_files(weights, home).json("config.json")
    found = config.get("parallel")
    if not found:
        raise WeightsError(
            f"no parallel head in '{weights}' (speech_head.weights); name the folder that `omni import mini-omni` wrote, or a trained checkpoint"
        )
    return found | {"source": config.get("source", "")}


def has_its_own_language_model(settings: RetrainSettings) -> bool:
    """The language model is the one inside the head's folder, so nothing is swapped."""
    lm, head = settings.components.language_model, settings.components.speech_head
    return lm.name == "mini_omni" and lm.weights == head.weights


def refuse_the_impossible(settings: RetrainSettings, facts: Facts) -> None:
    """Raises ComponentError or WeightsError with the mend for what would fail hours later."""
    layers = facts.head.get("post_adapter_layers", settings.components.speech_head.post_adapter_layers)
    if layers and settings.quantize.weight_quantizer == "onnx_int8":
        raise ComponentError(POST_ADAPTER_IN_ONNX)
    room = longest_question_s(settings, facts)
    mean = _lengths(settings, facts).question_s
    if room < mean:
        raise ComponentError(
            f"'{facts.lm.files.weights}' reads {facts.lm.context} steps: behind a mean answer there is room for questions of {max(0.0, room):.1f} s, and their mean is {mean:.1f} s; choose a language model with a longer context or an encoder with fewer frames a second"
        )


def longest_question_s(settings: RetrainSettings, facts: Facts) -> float:
    """Seconds of question that fit the context beside an answer of mean length; infinite where nothing is known."""
    if not facts.lm.context or not facts.encoder or not facts.codec:
        return math.inf
    said = _lengths(settings, facts).answer_s * facts.codec.frame_rate_hz + facts.codec.num_codebooks + 1
    return (facts.lm.context - FRAMING_STEPS - said) / facts.encoder.frame_rate_hz


def longest_answer_s(settings: RetrainSettings, facts: Facts) -> tuple[float, str]:
    """Seconds of the longest answer to a question of mean length, and what sets the bound."""
    bounds = [(estimates.MAX_PARALLEL_ANSWER_S, "the bound of a served answer")]
    if facts.lm.context and facts.codec and facts.encoder:
        heard = _lengths(settings, facts).question_s * facts.encoder.frame_rate_hz
        room = facts.lm.context - FRAMING_STEPS - heard - facts.codec.num_codebooks - 1
        bounds.append((room / facts.codec.frame_rate_hz, "the language model's context"))
    return min(bounds)


def _lengths(settings: RetrainSettings, facts: Facts) -> estimates.Lengths:
    from omni_core.plan_facts import lengths_of

    return lengths_of(settings, facts)


def training_mb(settings: RetrainSettings, facts: Facts) -> float:
    """Peak of training: weights, gradients and two moments in float32, and what backward needs of a micro-batch."""
    lengths, lm = _lengths(settings, facts), facts.lm
    said = lengths.answer_s * (facts.codec.frame_rate_hz if facts.codec else 12.5)
    steps = lengths.question_s * (facts.encoder.frame_rate_hz if facts.encoder else 50.0) + said
    rows = max(group.micro_batch for group in settings.train.parallel.stages.values())
    kept = 4 * lm.num_layers * rows * steps * (10 * lm.width + 4 * lm.inner_width)
    logits = 12 * rows * said * lm.vocabulary
    return 2 * estimates.RUNTIME_MB + (16 * sum(trained_parameters(settings, facts).values()) + kept + logits) / 1e6


def derived(settings: RetrainSettings, facts: Facts) -> list[tuple[str, str, str]]:
    """(part, quantity, value) of the adapter and of the head."""
    lines = []
    if facts.encoder:
        rate = facts.encoder.frame_rate_hz
        lines.append(("adapter", "frames", f"a step a feature, {rate:g} Hz, into {facts.lm.width}"))
    if facts.codec:
        codec, size = facts.codec, facts.codec.codebook_size + estimates.NUM_SPECIALS
        lines += [
            ("speech head", "streams", f"{codec.num_codebooks} of {size} ids, of which {estimates.NUM_SPECIALS} specials, beside the text"),
            ("speech head", "delays", f"1 to {codec.num_codebooks} steps: {codec.num_codebooks / codec.frame_rate_hz:.2f} s"),
            ("speech head", "rate", f"{codec.frame_rate_hz:.2f} steps of the language model a second of answer, in two rows"),
        ]  # fmt: skip
    return lines


def trained_parameters(settings: RetrainSettings, facts: Facts) -> dict[str, int]:
    """Part -> number, of a fresh head or of one that there is; a codec or an encoder of another shape changes its size."""
    asked, head, lm = settings.components.speech_head, facts.head, facts.lm
    found = {"language model": lm.parameters}
    if facts.encoder and head.get("adapter") == "linear":
        found["speech adapter"] = (facts.encoder.width + 1) * lm.width
    elif facts.encoder:
        inner = head.get("adapter_width") or asked.adapter_width or lm.inner_width
        found["speech adapter"] = inner * (2 * facts.encoder.width + lm.width)
    if facts.codec:
        layers = head.get("post_adapter_layers", asked.post_adapter_layers)
        own = head if has_its_own_language_model(settings) else {}
        found |= estimates.parallel_parameters(lm, facts.codec, layers, own)
    return found


def starts(settings: RetrainSettings, champion: str) -> tuple[str, str, str]:
    """What adapter, language model and speech start from, for the plan's table. champion: its start in words, or empty."""
    if champion:
        return champion, f"its own weights, or the {champion}", champion
    if not settings.components.speech_head.weights:
        return "random", "its own weights", "random"
    if has_its_own_language_model(settings):
        return (
            "the head's own, if the encoder is as wide",
            "the head's own",
            "the head's own, if the codec has its streams",
        )
    through = "the head's own, through the map of shared tokens, if better than random"
    return through, "its own weights", through


def notes(settings: RetrainSettings, facts: Facts) -> list[str]:
    """What is allowed and yet worth a sentence."""
    found = []
    if facts.head.get("vision_width"):
        what = (
            "kept as it is"
            if has_its_own_language_model(settings)
            else "set aside, it wrote for the language model before"
        )
        found.append(f"the head's vision adapter (Mini-Omni2) is {what}; no image is read here")
    encoder = settings.components.encoder
    if facts.head.get("source") == "mini-omni" and encoder.name == "whisper" and encoder.window_s != WHISPER_WINDOW_S:
        found.append(
            f"the head comes from Mini-Omni, whose adapter was trained on Whisper's own window; set components.encoder.window_s to {WHISPER_WINDOW_S:g}, unless the adapter is trained anew"
        )
    longest, room = settings.ingest.quality.max_duration_s, longest_question_s(settings, facts)
    if room < longest:
        found.append(
            f"turns whose question and answer do not fit {facts.lm.context} steps are left out of training: beside a mean answer that is questions over {room:.1f} s"
        )
    return found
