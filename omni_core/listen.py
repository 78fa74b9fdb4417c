"""Encoder features of the questions enter; an adapter and a tuned prefix that make the frozen language model answer leave.

phase "alignment"   CTC of the adapter to the question's tokens; the language model is not run
phase "answer"      cross-entropy of the answer through the frozen language model, to the prefix
phase "text_path"   if asked: KL divergence to what the model says to the question's text, to the adapter's last layer
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
from omni_core.packing import attention_masks, pack
from omni_core.prefix import TunedPrefix, prefix_of_tokens
from omni_core.progress import Progress, silent
from omni_core.training_loop import Curve, Schedule, batches_alike, run

IGNORED = -100
VALIDATION_BATCH = 32
QUICK_TURNS, QUICK_BATCH = 64, 16


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


def turns_by_batch(data: ListenData, settings: ListenSettings) -> list[list[dict[str, Any]]]:
    """The turns of each step of the answer phase, every turn once before the phase goes round."""
    order = torch.randperm(len(data.turns), generator=torch.Generator().manual_seed(settings.seed)).tolist()
    size = settings.answer_batch
    return [[data.turns[row] for row in order[at : at + size]] for at in range(0, len(order), size)]


def new_adapter(lm: CausalLanguageModel, data: ListenData, feature_rate_hz: float, seed: int) -> Adapter:
    """An untrained adapter for these features and the tokens of these questions."""
    tokens = tokens_to_hear([lm.tokens(turn["question_text"]) for turn in data.turns])
    width = next(iter(data.features.values())).shape[1]
    torch.manual_seed(seed)
    return Adapter(AdapterConfig(width, feature_rate_hz, lm.width, tokens), lm.embedding[list(tokens)].detach())


def _classes_to_hear(adapter: Adapter, lm: CausalLanguageModel, turns: Sequence[dict[str, Any]]) -> list[Tensor]:
    """The questions as CTC classes; tokens that the adapter has no class for (of validation questions) are left out."""
    class_of = {token: index + 1 for index, token in enumerate(adapter.config.tokens)}
    return [
        torch.tensor([class_of[t] for t in lm.tokens(turn["question_text"]) if t in class_of], dtype=torch.long)
        for turn in turns
    ]


def _alignment_loss(adapter: Adapter, features: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """CTC of a batch."""
    counts = torch.tensor([len(f) for f in features])
    lengths = torch.tensor([len(w) for w in wanted])
    padded = pad_sequence(features, batch_first=True)
    return adapter.alignment_loss(padded, counts, pad_sequence(wanted, batch_first=True), lengths)


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
    wanted = _classes_to_hear(adapter, lm, data.turns)
    lengths = [len(data.features[turn["question_id"]]) for turn in data.turns]
    drawn = batches_alike(lengths, settings.alignment_batch, settings.seed)

    def loss_of(step: int) -> dict[str, Tensor]:
        rows = drawn(step)
        features = [data.heard(data.turns[row]) for row in rows]
        return {"loss": _alignment_loss(adapter, features, [wanted[row] for row in rows])}

    schedule = Schedule(
        settings.alignment_steps, settings.learning_rate, settings.seed, settings.checkpoint_every_steps
    )
    run("alignment", adapter, loss_of, schedule, work, curve, progress)


@torch.no_grad()
def validation_alignment_loss(adapter: Adapter, lm: CausalLanguageModel, data: ListenData) -> float:
    """CTC loss a token, mean over the questions of the validation split; the adapter's mode is as it was afterwards."""
    was_training, total = adapter.training, 0.0
    adapter.eval()
    for at in range(0, len(data.turns), VALIDATION_BATCH):
        turns = data.turns[at : at + VALIDATION_BATCH]
        features = [data.heard(turn) for turn in turns]
        total += _alignment_loss(adapter, features, _classes_to_hear(adapter, lm, turns)).item() * len(turns)
    adapter.train(was_training)
    return total / max(1, len(data.turns))


def answer_logits(
    lm: CausalLanguageModel, prefix: TunedPrefix, questions: list[Tensor], answers: list[str]
) -> tuple[Tensor, Tensor]:
    """Logits (positions, vocabulary) before each token of the answers and their ends, and those ids (positions,).

    questions: embeddings (segments, width) each, of what was heard or of text. The answers are teacher forced; their
    positions follow one another, answer by answer, however long the questions are.
    """
    table = lm.embedding
    suffix = table[lm.chat.suffix]
    ids = [[*lm.tokens(answer), lm.chat.end] for answer in answers]
    sequences = [torch.cat([q, suffix, table[a[:-1]]]) for q, a in zip(questions, ids, strict=True)]
    labels = [torch.tensor([IGNORED] * (len(q) + len(suffix) - 1) + a) for q, a in zip(questions, ids, strict=True)]
    packed = pack([len(sequence) for sequence in sequences], prefix.positions)
    inputs = packed.rows(sequences)
    cache = prefix.cache(len(inputs))
    masks = attention_masks(packed, lm.model.config.get_text_config(), cache.layers[0].keys.dtype)
    hidden = lm.model.base_model(inputs_embeds=inputs, attention_mask=masks, past_key_values=cache, use_cache=True,
                                 position_ids=packed.positions()).last_hidden_state  # fmt: skip
    wanted = torch.cat(labels)
    counted = wanted != IGNORED
    return lm.model.get_output_embeddings()(hidden[packed.real][counted]).float(), wanted[counted]


def answer_loss(lm: CausalLanguageModel, prefix: TunedPrefix, questions: list[Tensor], answers: list[str]) -> Tensor:
    """Mean cross-entropy of the answers' tokens and end, given embeddings of the questions (segments, width)."""
    return F.cross_entropy(*answer_logits(lm, prefix, questions, answers))


def text_path_loss(
    lm: CausalLanguageModel,
    prefix: TunedPrefix,
    heard: list[Tensor],
    questions: list[str],
    answers: list[str],
    end_weight: float,
) -> Tensor:
    """Mean KL divergence of what the model would say to the question heard from what it would say to its text, in nats.

    Over the answers' tokens, and end_weight times that of the one position an answer whose token ends the turn: it is
    one of ten, and a model that cannot stop talks on (as in the training code of Ultravox, Fixie.ai 2024).
    """
    with torch.no_grad():
        texts = [lm.embedding[lm.tokens(question)] for question in questions]
        teacher, ids = answer_logits(lm, prefix, texts, answers)
    student, _ = answer_logits(lm, prefix, heard, answers)
    divergence = F.kl_div(student.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="none").sum(-1)
    ends = ids == lm.chat.end
    return divergence[~ends].mean() + end_weight * divergence[ends].mean()


def first_prefix(lm: CausalLanguageModel, data: ListenData, settings: ListenSettings) -> TunedPrefix:
    """The cache of the system prompt and a few training turns."""
    examples = example_turns(data.turns, settings.prefix_examples, settings.seed)
    return prefix_of_tokens(lm.model, chat_format(lm.tokenizer, lm.system_prompt, examples).prefix)


def train_answers(
    adapter: Adapter,
    prefix: TunedPrefix,
    lm: CausalLanguageModel,
    data: ListenData,
    settings: ListenSettings,
    work: Path,
    curve: Curve,
    progress: Progress = silent,
) -> None:
    """Phase two, in place: the adapter as it is, the prefix learns."""
    lm.attend_plainly()
    lm.halve_matrices()  # frozen, so nothing is lost but the cast of every weight at every step (a third of it)
    batches = turns_by_batch(data, settings)

    def loss_of(step: int) -> dict[str, Tensor]:
        batch = batches[step % len(batches)]
        with torch.no_grad():
            questions = [adapter(data.heard(turn)) for turn in batch]
        with torch.autocast("cpu", torch.bfloat16):
            return {"loss": answer_loss(lm, prefix, questions, [turn["answer_text"] for turn in batch])}

    schedule = Schedule(
        settings.answer_steps, settings.answer_learning_rate, settings.seed, settings.checkpoint_every_steps
    )
    run("answer", prefix, loss_of, schedule, work, curve, progress)


def train_text_path(
    adapter: Adapter,
    prefix: TunedPrefix,
    lm: CausalLanguageModel,
    data: ListenData,
    settings: ListenSettings,
    work: Path,
    curve: Curve,
    progress: Progress = silent,
) -> None:
    """Phase three, in place: the adapter's last layer learns to make the model say what it says to the question's text."""
    prefix.requires_grad_(False)
    adapter.requires_grad_(False)
    adapter.correction.requires_grad_(True)
    lm.attend_plainly()
    lm.halve_matrices()
    batches = turns_by_batch(data, settings)

    def loss_of(step: int) -> dict[str, Tensor]:
        batch = batches[step % len(batches)]
        questions, answers = ([turn[f"{side}_text"] for turn in batch] for side in ("question", "answer"))
        heard = [adapter(data.heard(turn)) for turn in batch]
        with torch.autocast("cpu", torch.bfloat16):
            return {"loss": text_path_loss(lm, prefix, heard, questions, answers, settings.text_path_end_weight)}

    schedule = Schedule(
        settings.text_path_steps, settings.text_path_learning_rate, settings.seed, settings.checkpoint_every_steps
    )
    run("text_path", adapter.correction, loss_of, schedule, work, curve, progress)


@torch.no_grad()
def validation_answer_loss(adapter: Adapter, prefix: TunedPrefix, lm: CausalLanguageModel, data: ListenData) -> float:
    """Loss of the answers on the first validation turns, in the precision of training: quick, to choose a start by."""
    losses = []
    for at in range(0, min(len(data.turns), QUICK_TURNS), QUICK_BATCH):
        batch = data.turns[at : at + QUICK_BATCH]
        questions = [adapter(data.heard(turn)) for turn in batch]
        with torch.autocast("cpu", torch.bfloat16):
            losses.append(answer_loss(lm, prefix, questions, [turn["answer_text"] for turn in batch]).item())
    return sum(losses) / max(1, len(losses))


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
