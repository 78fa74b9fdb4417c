"""Shapes, settings and texts enter; parameter counts, seconds of training and megabytes leave, nothing is built or run.

Counts are exact (held equal to the modules by a test). Seconds and megabytes rest on constants measured by
benchmarks/training_throughput.py on one core of an AMD EPYC with AVX-512 and bfloat16, at the quickstart's shapes; they are
good to a factor of two on such a machine and tell orders of magnitude on another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omni_core.component_facts import CodecFacts, EncoderFacts, LanguageModelFacts

ADAPTER_WIDTH, ADAPTER_LAYERS, ADAPTER_RATE_HZ = 256, 2, 16.7
MAX_ANSWER_TOKENS, MAX_TALKER_STEPS = 64, 4096
NUM_BASES, NUM_STRESSES = 58, 3
"""Of the language pack en; another pack changes the talker by some thousand parameters."""
MAX_PARALLEL_ANSWER_S = 30.0
"""Of omni_core/mini_omni/served.py."""
NUM_SPECIALS = 64
"""Ids of each stream of a parallel head that are no codes."""

CHARACTERS_A_SECOND = 17.2
"""Speech of the quickstart, questions and answers alike (4 496 utterances)."""
GFLOPS = {"alignment": 48.0, "answer": 55.0, "speak": 88.0}
"""Achieved on one thread: float32; bfloat16 through the frozen model; bfloat16."""
THREAD_EXPONENT = 0.68
"""Two threads were 1.6 times one (shared measurements of a 28 M model)."""
RUNTIME_MB, LOADED_OVER_FILES, WORKING_MB = 280, 1.5, 400
"""A served quickstart model: 282 MB after imports, 531 MB for 360 MB of weights, 409 MB while it answers (one thread)."""


# ---------------------------------------------------------------- parameters


def adapter_parameters(feature_width: int, feature_rate_hz: float, model_width: int, tokens: int) -> int:
    """Of omni_core.adapter.Adapter, its copied embeddings not counted."""
    width, stack = ADAPTER_WIDTH, max(1, round(feature_rate_hz / ADAPTER_RATE_HZ))
    layer = 4 * width * width + 4 * width + 8 * width * width + 5 * width + 4 * width
    ends = 2 * feature_width + feature_width * stack * width + width + 5 * width * width + width
    return ends + ADAPTER_LAYERS * layer + (width + 1) * (1 + tokens) + (width + 1) * model_width


def talker_parameters(width: int, num_layers: int, state_width: int, codec: CodecFacts) -> int:
    """Of omni_core.speech_heads.talker.Talker."""
    bottleneck, subframes = 8, 4

    def block(kernel: int) -> int:
        return 2 * width + 2 * width * width * kernel + 2 * width + width * width + width

    states = 2 * state_width + (state_width + 1) * bottleneck + (bottleneck + 1) * width
    phonemes = (NUM_BASES + NUM_STRESSES + 2) * width + 4 * block(5)
    variance = block(3) + (width + 1) * 4 + 4 * width
    conditions = subframes * (width + 1) * width + width + 2 * block(5)
    latent = 2 * width + (width + 1) * codec.latent_width + width * codec.latent_width + codec.num_codebooks
    decoder = width + num_layers * (13 * width * width + 2 * width) + width
    ids = codec.num_codebooks * codec.codebook_size
    codes = (ids + codec.num_codebooks) * width + (width + 1) * ids
    return states + phonemes + variance + conditions + latent + decoder + codes


def parallel_parameters(
    lm: LanguageModelFacts, codec: CodecFacts, post_adapter_layers: int, own: Mapping[str, Any] | None = None
) -> dict[str, int]:
    """Of omni_core.speech_heads.parallel.ParallelHead, beside its language model and its speech adapter.

    own: shape of the head that the language model is inside of; then text has its specials already, and rows beyond the
    vocabulary stay while the codec is the same.
    """
    audio = codec.num_codebooks * (codec.codebook_size + NUM_SPECIALS)
    rows, tied = audio + NUM_SPECIALS, lm.files.config.get("tie_word_embeddings", False)
    if own:
        layout, tied = own["layout"], own["tied"]
        same = (layout["num_streams"], layout["codebook_size"]) == (codec.num_codebooks, codec.codebook_size)
        rows = own["trunk"]["vocab_size"] - lm.vocabulary if same else audio
    found = {"codes": rows * lm.width * (1 if tied else 2)}
    if post_adapter_layers:
        block = lm.files.parameters_of_a_layer()
        found["post-adapter"] = post_adapter_layers * block + lm.width + audio * lm.width
    return found


def prefix_parameters(lm: LanguageModelFacts, positions: int) -> int:
    """Keys and values of every layer at every position of the prefix."""
    return 2 * lm.num_layers * lm.keys_width * positions


# ---------------------------------------------------------------- time


@dataclass(frozen=True)
class Lengths:
    """Of the data: questions, questions as batches pad them, answers (batches are of like length), in seconds; turns in tokens."""

    question_s: float
    padded_question_s: float
    answer_s: float
    turn_tokens: float


def seconds(phase: str, flops: float, threads: int) -> float:
    """On `threads` cores of the machine that the constants come from, left to it alone."""
    return flops / (GFLOPS[phase] * 1e9 * threads**THREAD_EXPONENT)


def alignment_flops(parameters: int, lengths: Lengths, batch: int) -> float:
    """Forward and backward of the adapter, 6 a parameter and position."""
    return 6.0 * parameters * batch * lengths.padded_question_s * ADAPTER_RATE_HZ


TEXT_PATH_STEP = 1.5
"""Work of a step of the third phase of listening, in steps of the second: the text goes through too, forward alone."""


def answer_flops(lm: LanguageModelFacts, lengths: Lengths, batch: int) -> float:
    """Forward, and backward to the inputs only: 4 a parameter and position, since the model is frozen."""
    return 4.0 * lm.parameters * batch * lengths.turn_tokens


def recipe_flops(
    lm: LanguageModelFacts, lengths: Lengths, encoder: EncoderFacts | None, codec: CodecFacts | None, batch: int
) -> float:
    """Forward and backward of the language model over a question of features and an answer of codec frames."""
    heard = lengths.question_s * (encoder.frame_rate_hz if encoder else 50.0)
    said = lengths.answer_s * (codec.frame_rate_hz if codec else 12.5)
    return 6.0 * lm.parameters * batch * (heard + said)


def speak_flops(parameters: int, codec: CodecFacts, lengths: Lengths, batch: int, decoded: int) -> float:
    """Forward and backward of the talker; answers that do not go through the decoder cost a third."""
    rows = min(decoded, batch) + max(0, batch - decoded) / 3
    return 6.0 * parameters * rows * (lengths.answer_s * codec.frame_rate_hz + codec.num_codebooks - 1)


# ---------------------------------------------------------------- memory


def training_mb(
    lm: LanguageModelFacts, encoder: EncoderFacts | None, lengths: Lengths, batch: int, turns: int
) -> float:
    """Peak of training: the model as it is loaded (float32), or in the phase `answer` (bfloat16 and what backward needs)."""
    kept = 4 * lm.num_layers * batch * lengths.turn_tokens * (10 * lm.width + 4 * lm.inner_width)
    logits = 12 * batch * lengths.turn_tokens / 2 * lm.vocabulary
    features = 2 * turns * lengths.question_s * encoder.frame_rate_hz * encoder.width if encoder else 0
    return 2 * RUNTIME_MB + (max(4 * lm.parameters, 2 * lm.parameters + 1.25 * kept + logits) + features) / 1e6


def served_bytes(lm: LanguageModelFacts, weight_quantizer: str) -> float:
    """Weights of the language model as they lie in memory, its input embeddings (bfloat16) beside them."""
    table = lm.vocabulary * lm.width
    a_parameter = {"none": 4.0, "onnx_int8": 1.14}.get(weight_quantizer, 1.0)
    inside = 4.0 * table if weight_quantizer == "dynamic_int8" else 0.0
    return a_parameter * lm.parameters + inside + 2.0 * table


def serving_mb(lm: LanguageModelFacts, weight_quantizer: str, other_parameters: int) -> float:
    """Peak of the served model; all but the language model is float32."""
    files = served_bytes(lm, weight_quantizer) + 4 * other_parameters
    return RUNTIME_MB + WORKING_MB + LOADED_OVER_FILES * files / 1e6


def machine_mb() -> float:
    """Memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
