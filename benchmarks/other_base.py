"""A language model enters, another base leaves: the same function in a rotated space, and, if asked, with a smaller vocabulary.

A swap needs two models, and only one real one travels with the project. Turned by a random rotation R the model writes the
same words (RMSNorm without its weights commutes with R) while no number of its embeddings is what it was:

    e -> e R        matrices that read the stream: W -> W R        matrices that write to it: W -> R^T W

With the first `merges` merges of its byte-pair encoding alone it reads and writes smaller pieces; ids are dealt anew.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import torch
from torch import Tensor, nn

READ_THE_STREAM = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
WRITE_TO_THE_STREAM = ("o_proj", "down_proj")


def random_rotation(width: int, generator: torch.Generator) -> Tensor:
    """Orthogonal (width, width), uniformly drawn (QR of normal numbers, signs set right; Mezzadri 2007)."""
    q, r = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))
    return q * r.diagonal().sign()


@torch.no_grad()
def rotated(model: Any, rotation: Tensor) -> Any:
    """A Llama or Qwen2 (no norms inside attention) whose stream is turned by `rotation`; its matrices are untied."""
    model = copy.deepcopy(model)
    table = model.get_input_embeddings().weight
    head = nn.Linear(*reversed(table.shape), bias=False)
    head.weight.copy_(_turned(model.get_output_embeddings().weight * model.model.norm.weight, rotation))
    table.copy_(_turned(table, rotation))
    model.lm_head, model.config.tie_word_embeddings = head, False
    model.model.norm.weight.fill_(1)
    for layer in model.model.layers:
        for norm, block in ((layer.input_layernorm, layer.self_attn), (layer.post_attention_layernorm, layer.mlp)):
            for name in READ_THE_STREAM:
                if linear := getattr(block, name, None):
                    linear.weight.copy_(_turned(linear.weight * norm.weight, rotation))
            norm.weight.fill_(1)
            for name in WRITE_TO_THE_STREAM:
                if linear := getattr(block, name, None):
                    linear.weight.copy_(_turned(linear.weight.T, rotation).T)
    return model


def _turned(rows: Tensor, rotation: Tensor) -> Tensor:
    return (rows.double() @ rotation).to(rows.dtype)


def smaller_vocabulary(tokenizer: Any, merges: int, generator: torch.Generator) -> tuple[Any, Tensor]:
    """A byte-pair tokenizer with its first `merges` merges and its ids dealt anew, and the old id of each new one."""
    file = json.loads(tokenizer.backend_tokenizer.to_str())
    made = ["".join(pair) for pair in file["model"]["merges"]]
    dropped = set(made[merges:]) - set(made[:merges])
    old = file["model"]["vocab"]
    kept = [token for token in old if token not in dropped or token in {t["content"] for t in file["added_tokens"]}]
    dealt = [kept[i] for i in torch.randperm(len(kept), generator=generator).tolist()]
    file["model"]["merges"] = file["model"]["merges"][:merges]
    file["model"]["vocab"] = ids = {token: new for new, token in enumerate(dealt)}
    for token in file["added_tokens"]:
        token["id"] = ids[token["content"]]
    return _like(tokenizer, file), torch.tensor([old[token] for token in dealt])


def _like(tokenizer: Any, file: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    special = {name: str(value) for name, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    made = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(file)), **special)
    made.chat_template = tokenizer.chat_template
    return made


@torch.no_grad()
def with_rows(model: Any, rows: Tensor, eos: int | None) -> Any:
    """The model with those rows of its two token matrices, in that order."""
    model = copy.deepcopy(model)
    for matrix in {id(m): m for m in (model.get_input_embeddings(), model.get_output_embeddings())}.values():
        matrix.weight = nn.Parameter(matrix.weight[rows].clone(), requires_grad=False)
    table = model.get_input_embeddings()
    table.num_embeddings = model.get_output_embeddings().out_features = model.config.vocab_size = len(rows)
    table.padding_idx = None
    for config in (model.config, model.generation_config):
        config.bos_token_id = config.pad_token_id = None
        config.eos_token_id = eos
    return model
