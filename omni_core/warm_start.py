"""A served model's listening part enters; starting weights for other components leave, where they are better than random ones.

    language model swapped   class rows of the adapter by shared letters, its last layer through a map of embedding spaces
    encoder swapped          the layers behind the first ones, or all where their shapes agree
    neither                  all weights go on, the prefix too

A swap of the language model changes what the adapter writes: other tokens, other vectors. The sounds stay. So the trunk
goes on; the row of a new token's class is the mean of the old rows that stood for the same letters in the training
questions (as fast vocabulary transfer, Gee et al. 2022, section 3, does with a token's pieces); and what the last layer adds
to an embedding goes through the least-squares map of omni_core.embedding_map. No guess is trusted: a start is taken when its
loss on validation questions, before the first step, is under that of the random one. Measured: docs/warm_start.md.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from data_contracts.base import Artifact
from data_contracts.components import EncoderSettings
from data_contracts.errors import ArtifactError
from data_contracts.ingest import Manifest
from data_contracts.train import Checkpoint
from omni_core.adapter import Adapter
from omni_core.embedding_map import fit_map, overlaps, shared_tokens, spans, spellings_of
from omni_core.language_models.huggingface import CausalLanguageModel
from omni_core.listen import ListenData, validation_alignment_loss, validation_answer_loss
from omni_core.prefix import TunedPrefix
from omni_core.store import ArtifactStore
from omni_core.tables import rows
from omni_core.training_loop import Curve

FIRST_LAYERS = ("norm.", "project.")
"""What reads the encoder's features."""


@dataclass(frozen=True)
class Donor:
    """A served model's listening part, and how its language model spelled and embedded its tokens."""

    adapter: Adapter
    prefix: TunedPrefix
    encoder: EncoderSettings
    system_prompt: str
    tokenizer: Any
    embeddings: Tensor
    """(vocabulary, width) bfloat16."""

    def same_language_model(self, lm: CausalLanguageModel) -> bool:
        """By content: the same table of embeddings and the same system prompt."""
        table = lm.embedding.detach().to(self.embeddings.dtype)
        return self.system_prompt == lm.system_prompt and torch.equal(table, self.embeddings)


def read_donor(folder: Path, adapter: Adapter, prefix: TunedPrefix) -> Donor:
    """From the folder of a served model, whose listening part was read already."""
    from transformers import AutoTokenizer

    parts = json.loads((folder / "model.json").read_text())["components"]
    return Donor(
        adapter,
        prefix,
        EncoderSettings(**parts["encoder"]),
        parts["language_model"]["system_prompt"],
        AutoTokenizer.from_pretrained(folder / "tokenizer"),
        load_file(folder / "embeddings.safetensors")["embeddings"],
    )


def held_out_questions_learned(store: ArtifactStore, model: Artifact, manifest: Manifest) -> int:
    """Questions that the model was trained on and that this manifest keeps for validation and test; only ids are read.

    0 too where the model's lineage is not in the store: then nothing is known against it.
    """
    try:
        first = model.inputs.get("listen") or model.inputs["alignment"]
        then = store.load(Manifest, store.load(Checkpoint, first).inputs["manifest"])
        learned = {question for question, split in _splits(store, then) if split == "train"}
    except (ArtifactError, KeyError):
        return 0
    return len(learned & {question for question, split in _splits(store, manifest) if split != "train"})


def _splits(store: ArtifactStore, manifest: Manifest) -> list[tuple[str, str]]:
    columns = ["question_id", "split"]
    return [(row["question_id"], row["split"]) for row in rows(store, manifest, "turns.parquet", columns)]


# ---------------------------------------------------------------- the adapter


def start_adapter(
    donor: Donor,
    random: Adapter,
    encoder: EncoderSettings,
    lm: CausalLanguageModel,
    data: ListenData,
    held_out: ListenData,
    curve: Curve,
) -> Adapter:
    """The start with the smallest validation loss; every candidate's is noted at step 0 of the curve."""
    warm, notes = carry_over(donor, random, lm, sorted({turn["question_text"] for turn in data.turns}))
    candidates = {"random": random, "warm": warm}
    if donor.encoder != encoder:
        candidates["warm_later_layers"] = with_first_layers_of(warm, random)
    losses = {name: validation_alignment_loss(adapter, lm, held_out) for name, adapter in candidates.items()}
    best = best_start(losses)
    curve.add(0, **{f"start_alignment_loss_{name}": loss for name, loss in losses.items()}, **notes)
    curve.add(0, start_alignment_warm=best != "random")
    return candidates[best]


def best_start(losses: dict[str, float]) -> str:
    """The name with the smallest loss; random unless another is truly under it (a loss that is no number is not)."""
    return min(losses, key=lambda name: (not losses[name] < losses["random"], losses[name], name != "random"))


@torch.no_grad()
def carry_over(
    donor: Donor, random: Adapter, lm: CausalLanguageModel, questions: Sequence[str]
) -> tuple[Adapter, dict[str, float]]:
    """A copy of the random adapter with all that fits of the donor's, and what the embedding map was made from."""
    warm, old = copy.deepcopy(random), donor.adapter
    state = old.state_dict()
    for name, value in warm.named_parameters():
        if not name.startswith(("classes.", "correction.")) and state[name].shape == value.shape:
            value.copy_(state[name])
    shares = class_shares(donor, random, lm, questions)
    covered = shares.sum(1) > 0
    shares = shares[covered] / shares[covered].sum(1, keepdim=True)
    warm.classes.weight[covered] = shares @ old.classes.weight
    warm.classes.bias[covered] = shares @ old.classes.bias
    return warm, _carry_correction(donor, warm, lm)


def class_shares(donor: Donor, random: Adapter, lm: CausalLanguageModel, questions: Sequence[str]) -> Tensor:
    """(new classes, old classes): letters that both stood for in these questions; blank for blank."""
    old_ids, new_ids = donor.adapter.config.tokens, random.config.tokens
    old_class = {token: index + 1 for index, token in enumerate(old_ids)}
    new_class = {token: index + 1 for index, token in enumerate(new_ids)}
    old_spelled, new_spelled = (spellings_of(tokenizer) for tokenizer in (donor.tokenizer, lm.tokenizer))
    shares = torch.zeros(1 + len(new_ids), 1 + len(old_ids))
    shares[0, 0] = 1
    for question in questions:
        old_text, old_spans = spans(donor.tokenizer(question, add_special_tokens=False)["input_ids"], old_spelled)
        new_text, new_spans = spans(lm.tokens(question), new_spelled)
        if old_text == new_text:  # not where a tokenizer rewrites its text
            for old, new, letters in overlaps(old_spans, new_spans):
                if old in old_class and new in new_class:
                    shares[new_class[new], old_class[old]] += letters
    return shares


def _carry_correction(donor: Donor, warm: Adapter, lm: CausalLanguageModel) -> dict[str, float]:
    """The last layer, through the map of embedding spaces when these differ; an untrained one stays as it is: zero."""
    weight, bias = donor.adapter.correction.weight, donor.adapter.correction.bias
    if not (weight.any() or bias.any()):
        return {}
    if donor.same_language_model(lm):
        warm.correction.load_state_dict(donor.adapter.correction.state_dict())
        return {}
    known = spellings_of(donor.tokenizer)[: len(donor.embeddings)], spellings_of(lm.tokenizer)[: len(lm.embedding)]
    old, new = shared_tokens(*known)
    if len(old) < 2:
        return {"map_shared_tokens": len(old)}
    fitted = fit_map(donor.embeddings[old].float(), lm.embedding[new].float())
    folded = fitted.fold(weight, bias)
    warm.correction.weight.copy_(folded[0])
    warm.correction.bias.copy_(folded[1])
    return {"map_shared_tokens": fitted.shared, "map_error": fitted.error}


@torch.no_grad()
def with_first_layers_of(warm: Adapter, random: Adapter) -> Adapter:
    """The warm adapter, but what reads the encoder's features is random."""
    made, state = copy.deepcopy(warm), random.state_dict()
    for name, value in made.named_parameters():
        if name.startswith(FIRST_LAYERS):
            value.copy_(state[name])
    return made


# ---------------------------------------------------------------- the prefix and the last layer


def start_answers(
    donor: Donor,
    adapter: Adapter,
    fresh: TunedPrefix,
    lm: CausalLanguageModel,
    held_out: ListenData,
    curve: Curve,
) -> TunedPrefix:
    """The prefix to start from, the donor's or the fresh one; with the fresh one what the adapter's last layer adds is zero.

    Asked only where something was carried: the donor's prefix fits its own language model alone.
    """
    kept = donor.same_language_model(lm) and donor.prefix.keys_values.shape == fresh.keys_values.shape
    if not kept and not adapter.correction.weight.any():
        return fresh
    prefix = TunedPrefix(donor.prefix.keys_values.clone()) if kept else fresh
    lm.halve_matrices()
    plain = copy.deepcopy(adapter)
    plain.correction.weight.data.zero_()
    plain.correction.bias.data.zero_()
    losses = {
        "random": validation_answer_loss(plain, fresh, lm, held_out),
        "warm": validation_answer_loss(adapter, prefix, lm, held_out),
    }
    curve.add(0, **{f"start_answer_loss_{name}": loss for name, loss in losses.items()})
    accepted = best_start(losses) == "warm"
    curve.add(0, start_answer_warm=accepted)
    if accepted:
        return prefix
    adapter.correction.load_state_dict(plain.correction.state_dict())
    return fresh
