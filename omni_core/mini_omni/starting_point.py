"""A language model, or a head that there is, enters; a parallel head to be trained leaves: where the recipe starts.

on_language_model   a fresh head on any causal language model
refitted            a head that there is, for another codec or another encoder (another language model: warm_head.py):

    changed          kept                                           new
    codec            trunk, text, adapters, specials of streams     codes of every stream
    encoder          all but                                        the speech adapter, if features have another width
"""

from __future__ import annotations

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
    adapter: str = "gated_mlp",
) -> ParallelHead:
    """Copy the model's layers, norm and matrices; rows of new tokens are drawn like another word (see _fill).

    model: any causal language model of transformers; a bias of its output matrix (Phi's) is left out.
    """
    shape = model.config.get_text_config()
    trunk = {**shape.to_dict(), "model_type": shape.model_type, "vocab_size": layout.total_size, "pad_token_id": None}
    tied = bool(shape.tie_word_embeddings)
    config = ParallelConfig(layout, trunk, encoder_width, adapter, adapter_width, post_adapter_layers, tied)
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
