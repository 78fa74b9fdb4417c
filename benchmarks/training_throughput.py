"""Nothing enters but the bundled SmolLM2; GFLOP/s of the three training phases on one core leave: the constants of estimates.py.

python benchmarks/training_throughput.py [HOME]        (about a minute; CPU time is counted, so other work matters little)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from data_contracts.components import LanguageModelSettings
from omni_core import components, estimates, listen, speak
from omni_core.adapter import Adapter, AdapterConfig
from omni_core.component_facts import CodecFacts, language_model_facts
from omni_core.prefix import prefix_of_tokens
from omni_core.speech_heads.talker import Talker, TalkerConfig

LENGTHS = estimates.Lengths(question_s=2.14, padded_question_s=3.5, answer_s=1.9, turn_tokens=27)
CODEC = CodecFacts(22_050, 12.3, 8, 512, 168, "", 0)
STEPS, DECODED = 5, 16


def seconds_a_step(module: nn.Module, loss_of: Callable[[], Tensor]) -> float:
    """Median CPU time of a training step after one to warm up."""
    optimizer, found = torch.optim.AdamW(module.parameters(), lr=1e-4), []
    for _ in range(STEPS + 1):
        start = time.process_time()
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(time.process_time() - start)
    return sorted(found[1:])[STEPS // 2]


def measure(home: Path) -> dict[str, float]:
    """Phase -> GFLOP/s."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    settings = LanguageModelSettings()
    lm, facts = components.load("language_models", settings.name, settings, home), language_model_facts(settings, home)
    tokens = tuple(range(1000, 2000))
    adapter = Adapter(AdapterConfig(384, 50.0, lm.width, tokens), lm.embedding[list(tokens)].detach())
    features = torch.randn(32, round(LENGTHS.padded_question_s * 50), 384)
    counts, words = torch.full((32,), features.shape[1]), torch.randint(1, 1000, (32, 9))
    alignment = seconds_a_step(
        adapter, lambda: adapter.alignment_loss(features, counts, words.flatten(), torch.full((32,), 9))
    )
    size = sum(p.numel() for p in adapter.parameters())

    prefix = prefix_of_tokens(lm.model, lm.chat.prefix + list(range(2000, 2300)))
    answers = ["Your timer is set for ten minutes."] * 8
    questions = [lm.embedding[lm.tokens("Set a timer for ten minutes, please.")]] * 8

    lm.halve_matrices()  # as omni_core.listen does

    def answer_loss() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return listen.answer_loss(lm, prefix, questions, answers)

    positions = len(questions[0]) + len(lm.chat.suffix) + len(lm.tokens(answers[0]))
    answer = seconds_a_step(prefix, answer_loss)

    talker = Talker(
        TalkerConfig(
            58, 3, lm.width, CODEC.num_codebooks, CODEC.codebook_size, CODEC.frame_rate_hz, 43.07, CODEC.latent_width
        )
    )
    talker.set_code_vectors(torch.randn(CODEC.num_codebooks, CODEC.codebook_size, CODEC.latent_width))
    phonemes, frames = 34, round(LENGTHS.answer_s * CODEC.frame_rate_hz)
    spoken = [
        speak.SpokenAnswer(torch.randint(1, 50, (phonemes,)), torch.arange(phonemes) // 5, torch.full((phonemes,), 3),
                           torch.rand(phonemes) + 4, torch.rand(phonemes), torch.randint(0, 512, (8, frames)),
                           torch.randn(7, lm.width)) for _ in range(32)
    ]  # fmt: skip

    def speak_loss() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return speak._losses(talker, spoken, 0.4, DECODED)["loss"]

    speaking = seconds_a_step(talker, speak_loss)
    talker_size = sum(p.numel() for p in talker.parameters())
    turn = estimates.Lengths(LENGTHS.question_s, LENGTHS.padded_question_s, LENGTHS.answer_s, positions)
    return {
        "alignment": estimates.alignment_flops(size, LENGTHS, 32) / alignment / 1e9,
        "answer": estimates.answer_flops(facts, turn, 8) / answer / 1e9,
        "speak": estimates.speak_flops(talker_size, CODEC, LENGTHS, 32, DECODED) / speaking / 1e9,
    }


if __name__ == "__main__":
    for phase, gflops in measure(Path(sys.argv[1] if len(sys.argv) > 1 else "var")).items():
        print(f"{phase:10} {gflops:6.1f} GFLOP/s on one thread")
