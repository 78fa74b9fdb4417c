"""Encoder features of the questions enter; an adapter and a tuned prefix that make the frozen language model answer leave.

phase "alignment"   CTC of the adapter to the question's tokens; the language model is not run
phase "answer"      cross-entropy of the answer through the frozen language model, to the prefix
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from data_contracts.train import ListenSettings
from omni_core.adapter import Adapter, AdapterConfig, tokens_to_hear
from omni_core.language_models.huggingface import CausalLanguageModel, chat_format
from omni_core.prefix import TunedPrefix, prefix_of_tokens
from omni_core.progress import Progress, silent
from omni_core.training_loop import Curve, Schedule, run, step_generator

IGNORED = -100
NEIGHBOURS = 8
"""A pool, from which batches of like length are cut, holds so many batches."""


@dataclass(frozen=True)
class ListenData:
    """Turns of a split and the features of their questions."""

    turns: list[dict[str, Any]]
    features: dict[str, Tensor]

    def heard(self, turn: dict[str, Any]) -> Tensor:
        """Features of a turn's question, (frames, width) float32."""
        return self.features[turn["question_id"]].float()


def example_turns(turns: Sequence[dict[str, Any]], count: int, seed: int) -> list[tuple[str, str]]:
    """`count` (question, answer) pairs, topic by topic in turn; within a topic each says the most words not yet said."""
    by_topic: dict[str, list[dict[str, Any]]] = defaultdict(list)
    order = torch.randperm(len(turns), generator=torch.Generator().manual_seed(seed)).tolist()
    for index in order:
        by_topic[turns[index]["topic"]].append(turns[index])
    drawn = [_telling(by_topic[topic], count) for topic in sorted(by_topic)]
    ranked = [turn for rank in range(count) for topic in drawn for turn in topic[rank : rank + 1]]
    return [(turn["question_text"], turn["answer_text"]) for turn in ranked[:count]]


def _telling(turns: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Greedily the turns whose answers cover the most words: a mapping of ten kinds is shown by ten turns, not by thirty."""
    rest, said, chosen = list(turns), set[str](), list[dict[str, Any]]()
    while rest and len(chosen) < count:
        best = max(range(len(rest)), key=lambda at: len(set(rest[at]["answer_text"].split()) - said))
        chosen.append(rest.pop(best))
        said |= set(chosen[-1]["answer_text"].split())
    return chosen


def batches_of_like_length(lengths: Sequence[int], batch: int, seed: int) -> list[list[int]]:
    """Every row once, in batches of like length: padding is work for nothing (a fifth of a step of 16 turns).

    Rows are shuffled, sorted within pools of NEIGHBOURS batches, cut, and each pool's batches shuffled again.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(lengths), generator=generator).tolist()
    found: list[list[int]] = []
    for start in range(0, len(order), NEIGHBOURS * batch):
        pool = sorted(order[start : start + NEIGHBOURS * batch], key=lambda row: lengths[row])
        cut = [pool[at : at + batch] for at in range(0, len(pool), batch)]
        found += [cut[at] for at in torch.randperm(len(cut), generator=generator).tolist()]
    return found


def new_adapter(lm: CausalLanguageModel, data: ListenData, feature_rate_hz: float, seed: int) -> Adapter:
    """An untrained adapter for these features and the tokens of these questions."""
    tokens = tokens_to_hear([lm.tokens(turn["question_text"]) for turn in data.turns])
    width = next(iter(data.features.values())).shape[1]
    torch.manual_seed(seed)
    return Adapter(AdapterConfig(width, feature_rate_hz, lm.width, tokens), lm.embedding[list(tokens)].detach())


def train_alignment(
    adapter: Adapter,
    lm: CausalLanguageModel,
    data: ListenData,
    settings: ListenSettings,
    work: Path,
    curve: Curve,
    progress: Progress = silent,
) -> None:
    """Phase one, in place."""
    class_of = {token: index + 1 for index, token in enumerate(adapter.config.tokens)}
    targets = [torch.tensor([class_of[t] for t in lm.tokens(turn["question_text"])]) for turn in data.turns]

    def loss_of(step: int) -> dict[str, Tensor]:
        rows = torch.randint(
            len(data.turns), (settings.alignment_batch,), generator=step_generator(settings.seed, step)
        )
        features = [data.heard(data.turns[row]) for row in rows]
        wanted = [targets[row] for row in rows]
        counts = torch.tensor([len(f) for f in features])
        lengths = torch.tensor([len(w) for w in wanted])
        padded = pad_sequence(features, batch_first=True)
        return {"loss": adapter.alignment_loss(padded, counts, pad_sequence(wanted, batch_first=True), lengths)}

    schedule = Schedule(
        settings.alignment_steps, settings.learning_rate, settings.seed, settings.checkpoint_every_steps
    )
    run("alignment", adapter, loss_of, schedule, work, curve, progress)


def answer_loss(lm: CausalLanguageModel, prefix: TunedPrefix, questions: list[Tensor], answers: list[str]) -> Tensor:
    """Mean cross-entropy of the answers' tokens and end, given embeddings of the questions (segments, width)."""
    table = lm.embedding
    suffix = table[lm.chat.suffix]
    ids = [[*lm.tokens(answer), lm.chat.end] for answer in answers]
    sequences = [torch.cat([q, suffix, table[a[:-1]]]) for q, a in zip(questions, ids, strict=True)]
    labels = [torch.tensor([IGNORED] * (len(q) + len(suffix) - 1) + a) for q, a in zip(questions, ids, strict=True)]
    inputs = pad_sequence(sequences, batch_first=True)
    wanted = pad_sequence(labels, batch_first=True, padding_value=IGNORED)
    positions = prefix.positions + torch.arange(inputs.shape[1])
    hidden = lm.model.base_model(inputs_embeds=inputs, past_key_values=prefix.cache(len(inputs)), use_cache=True,
                                 position_ids=positions.expand(len(inputs), -1)).last_hidden_state  # fmt: skip
    counted = wanted != IGNORED
    return F.cross_entropy(lm.model.get_output_embeddings()(hidden[counted]).float(), wanted[counted])


def train_answers(
    adapter: Adapter,
    lm: CausalLanguageModel,
    data: ListenData,
    settings: ListenSettings,
    work: Path,
    curve: Curve,
    progress: Progress = silent,
) -> TunedPrefix:
    """Phase two: the adapter as it is, the prefix learns."""
    examples = example_turns(data.turns, settings.prefix_examples, settings.seed)
    prompt = chat_format(lm.tokenizer, lm.system_prompt, examples).prefix
    prefix = prefix_of_tokens(lm.model, prompt)
    lm.attend_plainly()
    lm.halve_matrices()  # frozen, so nothing is lost but the cast of every weight at every step (a third of it)
    lengths = [len(lm.tokens(turn["question_text"])) + len(lm.tokens(turn["answer_text"])) for turn in data.turns]
    batches = batches_of_like_length(lengths, settings.answer_batch, settings.seed)

    def loss_of(step: int) -> dict[str, Tensor]:
        batch = [data.turns[row] for row in batches[step % len(batches)]]
        with torch.no_grad():
            questions = [adapter(data.heard(turn)) for turn in batch]
        with torch.autocast("cpu", torch.bfloat16):
            return {"loss": answer_loss(lm, prefix, questions, [turn["answer_text"] for turn in batch])}

    schedule = Schedule(
        settings.answer_steps, settings.answer_learning_rate, settings.seed, settings.checkpoint_every_steps
    )
    run("answer", prefix, loss_of, schedule, work, curve, progress)
    return prefix


@torch.no_grad()
def validate(adapter: Adapter, prefix: TunedPrefix, lm: CausalLanguageModel, data: ListenData) -> dict[str, float]:
    """Loss of the answers, and errors of the tokens heard over their number, on the validation turns."""
    import rapidfuzz

    losses, errors, tokens = [], 0, 0
    lm.model.float()
    for at in range(0, len(data.turns), 8):
        batch = data.turns[at : at + 8]
        losses.append(
            answer_loss(lm, prefix, [adapter(data.heard(t)) for t in batch], [t["answer_text"] for t in batch]).item()
        )
        for turn in batch:
            wanted = lm.tokens(turn["question_text"])
            errors += rapidfuzz.distance.Levenshtein.distance(wanted, adapter.hear(data.heard(turn)))
            tokens += len(wanted)
    return {"validation_answer_loss": sum(losses) / len(losses), "validation_token_error_rate": errors / tokens}
