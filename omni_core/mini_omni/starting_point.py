"""A language model, or a head that there is, enters; a parallel head to be trained leaves: where the recipe starts.

on_language_model   a fresh head on any causal language model
refitted            a head that there is, for another codec, another encoder or another language model:

    changed          kept                                           new
    codec            trunk, text, adapters, specials of streams     codes of every stream
    encoder          all but                                        the speech adapter, if features have another width
    language model   codes and adapters, mapped into its space      trunk, text, post-adapter
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from omni_core.speech_heads._parallel_blocks import final_norm
from omni_core.speech_heads.parallel import ParallelConfig, ParallelHead
from omni_core.token_layout import MINI_OMNI, ParallelLayout


def layout_on(model: Any, num_streams: int, codebook_size: int) -> ParallelLayout:
    """Streams of a codec beside a language model's text; Mini-Omni's own geometry for seven streams of 4096 on Qwen2."""
    text = model.get_input_embeddings().weight.shape[0]
    return layout_of(num_streams, codebook_size, text)


def layout_of(num_streams: int, codebook_size: int, text_codes: int) -> ParallelLayout:
    """Every stream a step later than the one before; the first a step behind the text."""
    delays = tuple(range(1, num_streams + 1))
    return ParallelLayout(num_streams, codebook_size, delays, text_codes, MINI_OMNI.num_specials)


def on_language_model(
    model: Any,
    layout: ParallelLayout,
    encoder_width: int,
    generator: torch.Generator,
    post_adapter_layers: int = 0,
    adapter_width: int = 4864,
) -> ParallelHead:
    """Copy the model's layers, norm and matrices; rows of new tokens are drawn like another word (see _fill).

    model: any causal language model of transformers; a bias of its output matrix (Phi's) is left out.
    """
    shape = model.config.get_text_config()
    trunk = {**shape.to_dict(), "model_type": shape.model_type, "vocab_size": layout.total_size, "pad_token_id": None}
    tied = bool(shape.tie_word_embeddings)
    config = ParallelConfig(layout, trunk, encoder_width, "gated_mlp", adapter_width, post_adapter_layers, tied)
    head = ParallelHead(config)
    _copy_trunk(model.base_model, head)
    with torch.no_grad():
        _fill(head.trunk.get_input_embeddings().weight, model.get_input_embeddings().weight, generator)
        if not tied:
            _fill(head.lm_head.weight, model.get_output_embeddings().weight, generator)
    return head


def _copy_trunk(base: Any, head: ParallelHead) -> None:
    """Everything but the embedding, which has another size; the norm has left the trunk."""
    norm = final_norm(base)
    embedding = {id(p) for p in base.get_input_embeddings().parameters()}
    kept = {n: p for n, p in base.named_parameters() if id(p) not in embedding and not n.startswith(f"{norm}.")}
    unexpected = head.trunk.load_state_dict(kept, strict=False).unexpected_keys
    assert not unexpected, unexpected
    head.norm.load_state_dict(getattr(base, norm).state_dict())


def _fill(rows: Tensor, known: Tensor, generator: torch.Generator) -> None:
    """Known rows first; the others are normal with the mean and deviation of the known ones, column by column."""
    noise = torch.randn(rows.shape, generator=generator)
    rows.copy_(known.mean(0) + known.std(0) * noise)
    rows[: len(known)] = known


@torch.no_grad()
def refitted(
    head: ParallelHead, num_streams: int, codebook_size: int, encoder_width: int, generator: torch.Generator
) -> tuple[ParallelHead, list[str]]:
    """The head for this codec and encoder, and sentences about what is new; the head itself when it fits."""
    old = head.layout
    layout = replace(
        old, num_streams=num_streams, codebook_size=codebook_size,
        delays=old.delays if num_streams == old.num_streams else tuple(range(1, num_streams + 1)),
    )  # fmt: skip
    same_codes, same_ears = layout == old, encoder_width == head.config.encoder_width
    if same_codes and same_ears:
        return head, []
    size = head.config.trunk["vocab_size"] if same_codes else layout.total_size
    trunk = {**head.config.trunk, "vocab_size": size}
    made = ParallelHead(replace(head.config, layout=layout, trunk=trunk, encoder_width=encoder_width))
    fits = {name: t for name, t in head.state_dict().items() if t.shape == made.state_dict()[name].shape}
    made.load_state_dict(fits, strict=False)
    if not same_codes:
        _move_rows(
            made.trunk.get_input_embeddings().weight, head.trunk.get_input_embeddings().weight, made, head, generator
        )
        if not head.config.tied:
            _move_rows(made.lm_head.weight, head.lm_head.weight, made, head, generator)
        if head.post_adapter is not None:
            start = old.text_vocabulary_size
            _move_rows(made.post_head.weight, head.post_head.weight, made, head, generator, first=start)
    notes = [] if same_codes else [
        f"the codec has {num_streams} streams of {codebook_size} codes, the head had {old.num_streams} of "
        f"{old.codebook_size}: its codes are new, its specials are kept"
    ]  # fmt: skip
    if not same_ears:
        notes.append(f"the encoder is {encoder_width} wide, the head heard {head.config.encoder_width}: its speech adapter is new")  # fmt: skip
    return made, notes


def _move_rows(
    new: Tensor, old: Tensor, made: ParallelHead, head: ParallelHead, generator: torch.Generator, first: int = 0
) -> None:
    """Rows of the shared vocabulary from token `first` on: text as it was, specials of streams that both have, codes like
    another code."""
    after, before = made.layout, head.layout
    text = before.text_vocabulary_size - first
    codes = old[text : text + before.audio_size]
    new.copy_(codes.mean(0) + codes.std(0) * torch.randn(new.shape, generator=generator))
    new[:text] = old[:text]
    for stream in range(min(after.num_streams, before.num_streams)):
        to = text + stream * after.vocabulary_size + after.codebook_size
        at = text + stream * before.vocabulary_size + before.codebook_size
        new[to : to + after.num_specials] = old[at : at + before.num_specials]


@torch.no_grad()
def on_another_language_model(
    head: ParallelHead,
    words: Mapping[str, int],
    model: Any,
    new_words: Mapping[str, int],
    generator: torch.Generator,
) -> tuple[ParallelHead, list[str]]:
    """The head's speech parts on another language model: embeddings of codes, and what the adapter writes, go through the
    least-squares map between the two models' embeddings of the words that both know.

    words, new_words: string of a token -> its id, of each tokenizer. Without enough shared words the map is unknown and
    all speech parts but the adapter's inner layers are fresh.
    """
    config, old = head.config, head.trunk.get_input_embeddings().weight
    layout = layout_of(
        config.layout.num_streams, config.layout.codebook_size, model.get_input_embeddings().weight.shape[0]
    )
    layout = replace(layout, delays=config.layout.delays)
    made = on_language_model(
        model, layout, config.encoder_width, generator, config.post_adapter_layers, config.adapter_width
    )
    notes = ["the language model is another: trunk, text and post-adapter are its own or new"]
    if config.vision_width:
        notes.append("the vision adapter is set aside: it wrote for the language model before")
    shared = [word for word in words if word in new_words]
    if len(shared) < old.shape[1]:
        return made, [*notes, f"{len(shared)} shared words are too few for a map of {old.shape[1]} columns: speech is learned anew"]  # fmt: skip
    into = made.trunk.get_input_embeddings().weight
    source, target = old[[words[w] for w in shared]].float(), into[[new_words[w] for w in shared]].float()
    bridge = torch.linalg.lstsq(source, target).solution
    audio = slice(config.layout.text_vocabulary_size, config.layout.total_size)
    into[layout.text_vocabulary_size : layout.total_size] = old[audio] @ bridge
    adapter = {name: tensor for name, tensor in head.speech_adapter.state_dict().items()}
    if config.adapter == "gated_mlp":
        made.speech_adapter.load_state_dict(adapter | {"down.weight": bridge.T @ adapter["down.weight"]})
    return made, [*notes, f"codes and adapter went through the map of {len(shared)} shared words"]
