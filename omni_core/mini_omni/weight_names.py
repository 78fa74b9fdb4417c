"""Tensors under Mini-Omni's names enter, tensors under the parallel head's names leave, and back; nothing is computed.

Mini-Omni's trunk is written in LitGPT's terms. Its queries, keys and values are one matrix, group by group:

    group 0: query heads, key, value | group 1: query heads, key, value | ...        (head_size rows each)

while transformers has one matrix each. In gated MLPs fc_1 is the gate, fc_2 goes up, proj goes down.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

QKV = ("q_proj", "k_proj", "v_proj")

_OUTSIDE = {
    "lm_head.weight": "lm_head.weight",
    "transformer.wte.weight": "trunk.embed_tokens.weight",
    "transformer.ln_f.weight": "norm.weight",
    "transformer.post_adapter_audio_ln.weight": "post_norm.weight",
    "transformer.post_adapter_audio_lm_head.weight": "post_head.weight",
    "whisper_adapter.weight": "speech_adapter.weight",
    "whisper_adapter.bias": "speech_adapter.bias",
}
_GATED = {"fc_1": "gate", "fc_2": "up", "proj": "down"}
_ADAPTERS = {"whisper_adapter": "speech_adapter", "vision_adapter": "vision_adapter"}
_STACKS = {"h": "trunk.layers", "post_adapter": "post_adapter.layers"}
_IN_BLOCK = {
    "norm_1": "input_layernorm",
    "norm_2": "post_attention_layernorm",
    "attn.proj": "self_attn.o_proj",
    "mlp.fc_1": "mlp.gate_proj",
    "mlp.fc_2": "mlp.up_proj",
    "mlp.proj": "mlp.down_proj",
}
_BLOCK = re.compile(r"transformer\.(h|post_adapter)\.(\d+)\.(.+)\.(weight|bias)")
_OUR_BLOCK = re.compile(r"(trunk\.layers|post_adapter\.layers)\.(\d+)\.(.+)\.(weight|bias)")


@dataclass(frozen=True)
class Heads:
    """How a fused matrix is divided."""

    num_heads: int
    num_groups: int
    head_size: int


def split_qkv(fused: Tensor, heads: Heads) -> tuple[Tensor, Tensor, Tensor]:
    """Fused rows ((num_heads + 2 num_groups) * head_size, ...) -> rows of queries, keys and values."""
    per_group = heads.num_heads // heads.num_groups
    grouped = fused.reshape(heads.num_groups, per_group + 2, heads.head_size, *fused.shape[1:])
    q, k, v = grouped.split((per_group, 1, 1), dim=1)
    return q.flatten(0, 2), k.flatten(0, 2), v.flatten(0, 2)


def fuse_qkv(q: Tensor, k: Tensor, v: Tensor, heads: Heads) -> Tensor:
    """Inverse of split_qkv."""
    grouped = [t.reshape(heads.num_groups, -1, heads.head_size, *t.shape[1:]) for t in (q, k, v)]
    return torch.cat(grouped, dim=1).flatten(0, 2)


def from_mini_omni(tensors: dict[str, Tensor], heads: Heads) -> tuple[dict[str, Tensor], list[str]]:
    """Mini-Omni's state dict -> the parallel head's, and the names that it has no place for."""
    ours: dict[str, Tensor] = {}
    unknown = []
    for name, tensor in tensors.items():
        block = _BLOCK.fullmatch(name)
        if block and block[3] == "attn.attn":
            prefix = f"{_STACKS[block[1]]}.{block[2]}.self_attn"
            parts = split_qkv(tensor, heads)
            ours |= {f"{prefix}.{part}.{block[4]}": rows for part, rows in zip(QKV, parts, strict=True)}
        elif our_name := _our_name(name, block):
            ours[our_name] = tensor
        else:
            unknown.append(name)
    return ours, unknown


def _our_name(name: str, block: re.Match[str] | None) -> str | None:
    if block:
        inner = _IN_BLOCK.get(block[3])
        return inner and f"{_STACKS[block[1]]}.{block[2]}.{inner}.{block[4]}"
    adapter, _, part = name.removesuffix(".weight").partition(".")
    if adapter in _ADAPTERS and part in _GATED:
        return f"{_ADAPTERS[adapter]}.{_GATED[part]}.weight"
    return _OUTSIDE.get(name)


def to_mini_omni(tensors: dict[str, Tensor], heads: Heads) -> dict[str, Tensor]:
    """Inverse of from_mini_omni."""
    outside = {ours: theirs for theirs, ours in _OUTSIDE.items()}
    outside |= {f"{ours}.{part}.weight": f"{theirs}.{name}.weight"
                for theirs, ours in _ADAPTERS.items() for name, part in _GATED.items()}  # fmt: skip
    stacks = {ours: theirs for theirs, ours in _STACKS.items()}
    in_block = {ours: theirs for theirs, ours in _IN_BLOCK.items()}
    theirs: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        block = _OUR_BLOCK.fullmatch(name)
        if not block:
            theirs[outside[name]] = tensor
            continue
        prefix = f"transformer.{stacks[block[1]]}.{block[2]}"
        if block[3] in in_block:
            theirs[f"{prefix}.{in_block[block[3]]}.{block[4]}"] = tensor
        elif block[3] == "self_attn.q_proj":
            q, k, v = (tensors[name.replace("q_proj", part)] for part in QKV)
            theirs[f"{prefix}.attn.attn.{block[4]}"] = fuse_qkv(q, k, v, heads)
    return theirs
