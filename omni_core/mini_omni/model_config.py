"""Mini-Omni's model_config.yaml enters, the shape of a parallel head leaves, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data_contracts.errors import ComponentError, WeightsError
from omni_core.mini_omni.weight_names import Heads
from omni_core.speech_heads.parallel import ParallelConfig
from omni_core.token_layout import MINI_OMNI, ParallelLayout

FIXED = {
    "norm_class_name": "RMSNorm",
    "mlp_class_name": "LLaMAMLP",
    "rotary_percentage": 1.0,
    "rope_condense_ratio": 1,
    "parallel_residual": False,
    "shared_attention_norm": False,
    "scale_embeddings": False,
    "bias": False,
    "lm_head_bias": False,
    "n_expert": 0,
}
"""Switches of LitGPT, at the value that Mini-Omni has; another value would be another architecture."""
PLAIN = {
    "attention_bias": False,
    "mlp_bias": False,
    "use_sliding_window": False,
    "hidden_act": "silu",
    "partial_rotary_factor": 1.0,
}
"""Likewise in the terms of transformers, for a trunk that did not come from Mini-Omni."""
ADAPTERS = {"llamamlp": "gated_mlp", "mlp": "linear"}


@dataclass(frozen=True)
class Variant:
    """What of model_config.yaml the weights decide or overrule."""

    tied: bool
    post_adapter_layers: int
    vision_width: int


def heads(model_config: dict[str, Any]) -> Heads:
    """How many query heads and key/value groups; LitGPT's own defaults where it is silent."""
    num_heads = model_config["n_head"]
    groups = model_config.get("n_query_groups") or num_heads
    return Heads(num_heads, groups, model_config.get("head_size") or model_config["n_embd"] // num_heads)


def layout(model_config: dict[str, Any]) -> ParallelLayout:
    """Sizes of the vocabularies; the numbers of streams, specials and delays are Mini-Omni's."""
    text, audio = model_config.get("text_vocab_size", 152_000), model_config.get("audio_vocab_size", 4_160)
    specials = MINI_OMNI.num_specials
    found = ParallelLayout(MINI_OMNI.num_streams, audio - specials, MINI_OMNI.delays, text - specials, specials)
    rows = model_config.get("padded_vocab_size", found.total_size)
    if rows < found.total_size:
        raise ComponentError(
            f"model_config.yaml: padded_vocab_size {rows} is less than text_vocab_size {text} and 7 times audio_vocab_size {audio}; correct it"
        )
    return found


def read(model_config: dict[str, Any], variant: Variant) -> ParallelConfig:
    """Shape of the head. Raises ComponentError where the file asks for what Mini-Omni is not."""
    for key, value in FIXED.items():
        if model_config.get(key, value) != value:
            raise ComponentError(
                f"model_config.yaml: {key} is {model_config[key]!r}, and Mini-Omni has {value!r}; this is another architecture"
            )
    adapter = model_config.get("asr_adapter", "llamamlp")
    if adapter not in ADAPTERS:
        raise ComponentError(f"model_config.yaml: asr_adapter is '{adapter}'; there are: {', '.join(ADAPTERS)}")
    try:
        shape, trunk = layout(model_config), _trunk(model_config)
        return ParallelConfig(shape, trunk, model_config.get("whisper_adapter_dim", 768), ADAPTERS[adapter],
                              trunk["intermediate_size"], variant.post_adapter_layers, variant.tied, variant.vision_width)  # fmt: skip
    except KeyError as error:
        raise WeightsError(f"model_config.yaml has no {error}; take the file that belongs to the weights") from error


def _trunk(model_config: dict[str, Any]) -> dict[str, Any]:
    """The trunk in the terms of transformers: Qwen2, or Llama where queries, keys and values have no biases."""
    divided = heads(model_config)
    has_bias = model_config.get("add_qkv_bias", True)
    return {
        "model_type": "qwen2" if has_bias else "llama",
        "vocab_size": model_config.get("padded_vocab_size", layout(model_config).total_size),
        "hidden_size": model_config["n_embd"],
        "intermediate_size": model_config["intermediate_size"],
        "num_hidden_layers": model_config["n_layer"],
        "num_attention_heads": divided.num_heads,
        "num_key_value_heads": divided.num_groups,
        "head_dim": divided.head_size,
        "max_position_embeddings": model_config.get("block_size", 2048),
        "rms_norm_eps": float(model_config.get("norm_eps", 1e-6)),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(model_config.get("rope_base", 1_000_000))},
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def write(config: ParallelConfig, original: dict[str, Any] | None = None) -> dict[str, Any]:
    """Inverse of read; keys of the original that say nothing of the shape (name, hf_config, ...) are kept."""
    trunk = config.trunk
    if trunk["model_type"] not in ("qwen2", "llama"):
        raise ComponentError(
            f"a head on a '{trunk['model_type']}' trunk cannot be written as Mini-Omni, which is a Qwen2; keep it in our format"
        )
    _refuse_what_mini_omni_has_not(trunk)
    if (config.layout.num_streams, config.layout.delays) != (MINI_OMNI.num_streams, MINI_OMNI.delays):
        raise ComponentError("Mini-Omni has seven audio streams delayed by 1 to 7 steps; keep this head in our format")
    if config.adapter == "gated_mlp" and config.adapter_width != trunk["intermediate_size"]:
        raise ComponentError(
            f"the speech adapter is {config.adapter_width} wide inside and the trunk {trunk['intermediate_size']}, which are one number in Mini-Omni; keep this head in our format"
        )
    adapter = next(theirs for theirs, ours in ADAPTERS.items() if ours == config.adapter)
    written = {
        "n_layer": trunk["num_hidden_layers"],
        "n_head": trunk["num_attention_heads"],
        "n_query_groups": trunk["num_key_value_heads"],
        "head_size": trunk.get("head_dim") or trunk["hidden_size"] // trunk["num_attention_heads"],
        "n_embd": trunk["hidden_size"],
        "intermediate_size": trunk["intermediate_size"],
        "block_size": trunk["max_position_embeddings"],
        "rope_base": int(trunk["rope_parameters"]["rope_theta"]),
        "norm_eps": trunk["rms_norm_eps"],
        "add_qkv_bias": trunk["model_type"] == "qwen2",
        "padded_vocab_size": trunk["vocab_size"],
        "text_vocab_size": config.layout.text_vocabulary_size,
        "audio_vocab_size": config.layout.vocabulary_size,
        "cat_audio_vocab_size": config.layout.audio_size,
        "whisper_adapter_dim": config.encoder_width,
        "asr_adapter": adapter,
        "post_adapter": config.post_adapter_layers > 0,
        "tie_word_embeddings": config.tied,
        **({"post_adapter_layers": config.post_adapter_layers} if config.post_adapter_layers else {}),
        **({"vision_adapter_dim": config.vision_width} if config.vision_width else {}),
    }
    basics = {key: FIXED[key] for key in ("norm_class_name", "mlp_class_name", "rotary_percentage", "parallel_residual", "bias")}  # fmt: skip
    kept = {key: value for key, value in (original or {}).items() if key != "vision_adapter_dim"}
    return {**basics, **kept, **written}


def _refuse_what_mini_omni_has_not(trunk: dict[str, Any]) -> None:
    """Raises ComponentError for a switch that model_config.yaml cannot say: the export would compute something else."""
    rope = trunk["rope_parameters"]
    found = {**trunk, **rope} | {"rotary": rope.get("rope_type", "default")}
    for key, value in {**PLAIN, "rotary": "default"}.items():
        if found.get(key) not in (None, value):
            raise ComponentError(
                f"a trunk whose {key} is {found[key]!r} cannot be written as Mini-Omni, which has {value!r}; keep it in our format"
            )
