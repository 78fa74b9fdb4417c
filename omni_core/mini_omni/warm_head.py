"""A parallel head and another language model enter, two heads on that model leave: random speech parts, and mapped ones.

    of the head                     mapped into the new model by
    what codes are read as          the least-squares map between what both models read for tokens spelled alike
    the adapter's last layer        the same
    what codes are recognised by    a map of its own, between the output matrices; none where the new model's are tied

Trunk and text are the new model's own, a post-adapter is new. No guess is trusted: `choose` keeps the mapped head when its
validation loss before the first step is under that of the random one, as omni_core/warm_start.py does for the talker.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from omni_core.embedding_map import EmbeddingMap, fit_map, shared_tokens, spellings_of
from omni_core.language_models.huggingface import CausalLanguageModel
from omni_core.mini_omni import recipe
from omni_core.mini_omni.starting_point import layout_of, on_language_model
from omni_core.speech_heads.parallel import ParallelHead
from omni_core.training_loop import Curve
from omni_core.warm_start import best_start

RANDOM, WARM = "random", "warm"


@torch.no_grad()
def on_another_language_model(
    head: ParallelHead, tokenizer: Any, lm: CausalLanguageModel, generator: torch.Generator
) -> tuple[dict[str, ParallelHead], list[str]]:
    """RANDOM and, where enough tokens are spelled alike, WARM -> head on `lm`; sentences about both.

    tokenizer: the head's. The adapter is of the head's kind and inner width.
    """
    config, vocabulary = head.config, lm.model.get_input_embeddings().weight.shape[0]
    layout = layout_of(config.layout.num_streams, config.layout.codebook_size, vocabulary)
    layout = replace(layout, delays=config.layout.delays)
    random = on_language_model(lm.model, layout, config.encoder_width, generator, config.post_adapter_layers,
                               config.adapter_width, config.adapter)  # fmt: skip
    notes = ["the language model is another: trunk, text and post-adapter are its own or new"]
    if config.vision_width:
        notes.append("the vision adapter is set aside: it wrote for the language model before")
    shared = shared_tokens(spellings_of(tokenizer)[: config.layout.text_codes], spellings_of(lm.tokenizer)[:vocabulary])
    if len(shared[0]) < 2:
        return {RANDOM: random}, [*notes, f"{len(shared[0])} shared tokens make no map: speech is learned anew"]
    mapped = copy.deepcopy(random)
    fitted = fit_map(head.trunk.get_input_embeddings()(shared[0]).float(), lm.embedding[shared[1]].float())
    _map_what_is_read(head, mapped, fitted)
    said = _map_what_is_recognised(head, mapped, shared)
    notes.append(
        f"codes and adapter can go through the map of {fitted.shared} shared tokens, which leaves {fitted.error:.0%} of the "
        f"variance of held-out ones; {said}"
    )
    return {RANDOM: random, WARM: mapped}, notes


def _map_what_is_read(head: ParallelHead, mapped: ParallelHead, fitted: EmbeddingMap) -> None:
    """Embeddings of codes, and the last layer of the adapter, which writes embeddings."""
    table = mapped.trunk.get_input_embeddings()
    read = head.trunk.get_input_embeddings()(_codes(head))
    table.weight[_codes(mapped)] = fitted(read.float()) / _scale(table)
    adapter = head.speech_adapter.state_dict()
    if isinstance(head.speech_adapter, nn.Linear):
        adapter = {"weight": fitted.matrix.T @ adapter["weight"], "bias": fitted(adapter["bias"])}
    else:  # without a bias it cannot add the new mean
        adapter = adapter | {"down.weight": fitted.matrix.T @ adapter["down.weight"]}
    mapped.speech_adapter.load_state_dict(adapter)


def _map_what_is_recognised(head: ParallelHead, mapped: ParallelHead, shared: tuple[Tensor, Tensor]) -> str:
    if mapped.config.tied:
        return "what recognises codes is what they are read as"
    old, new = head.lm_head.weight, mapped.lm_head.weight
    fitted = fit_map(old[shared[0]].float(), new[shared[1]].float())
    new[_codes(mapped)] = fitted(old[_codes(head)].float())
    return f"what recognises codes through one of its own, which leaves {fitted.error:.0%}"


def _codes(head: ParallelHead) -> Tensor:
    return torch.arange(head.layout.text_vocabulary_size, head.layout.total_size)


def _scale(table: nn.Module) -> float:
    """What a table multiplies its rows by when it is read: 1, or as Gemma's."""
    row = table.weight[0].float()  # type: ignore[index]
    return float(table(torch.zeros(1, dtype=torch.long))[0].float() @ row / (row @ row))


def choose(
    candidates: Mapping[str, ParallelHead], turns: Sequence[recipe.Turn], micro_batch: int, curve: Curve
) -> tuple[ParallelHead, dict[str, Any], str]:
    """The head with the smaller loss on validation turns in all modes of the last stage, the numbers as facts, and a note.

    The numbers stand at step 0 of the curve too. Where nothing can be compared, random weights are kept.
    """
    losses = {
        name: recipe.validate(head.eval(), turns, recipe.STAGES[-1], micro_batch).get("validation_loss", math.nan)
        for name, head in candidates.items()
    }
    best = best_start(losses)
    facts = {f"start_loss_{name}": loss for name, loss in losses.items()} | {"start_warm": best == WARM}
    curve.add(0, **facts)
    said = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
    return candidates[best], facts, f"the start is {best}; validation loss before the first step: {said}"
