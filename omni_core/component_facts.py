"""Component settings enter; the widths, rates, sizes and limits that the component will have leave, before it is loaded.

Read from config.json, preprocessor_config.json and the headers of safetensors files. Every fact is held equal to what the
loaded component states by a contract test; a member that is not described here gives None, and is checked on loading.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.components import CodecSettings, EncoderSettings, LanguageModelSettings
from data_contracts.errors import ComponentError, WeightsError
from omni_core.model_files import ModelFiles, model_files

KEPT_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
"""Layer types that keep keys and values, which a tuned prefix is made of."""
MAX_LATENT_WIDTH = 192
PUBLIC = {
    "whisper": "openai/whisper-base",
    "wav2vec2": "facebook/hubert-base-ls960",
    "snac": "hubertsiuzdak/snac_24khz",
    "mimi": "kyutai/mimi",
    "encodec": "facebook/encodec_24khz",
    "dac": "descript/dac_24khz",
}
"""Member -> a hub id that it takes."""
CAUSAL = ("ForCausalLM", "LMHeadModel")
WAV2VEC2_TYPES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "wav2vec2-conformer")


@dataclass(frozen=True)
class LanguageModelFacts:
    """Shape of a language model. `context` 0: not stated, no limit of its own."""

    class_name: str
    width: int
    num_layers: int
    inner_width: int
    keys_width: int
    """Key heads times their width: what one position of one layer keeps, twice."""
    context: int
    window: int
    """Positions that its sliding layers see; 0 without such layers."""
    vocabulary: int
    parameters: int
    files: ModelFiles


@dataclass(frozen=True)
class EncoderFacts:
    """Shape of an encoder. num_mels 0: it reads the waveform. max_s: infinite when it has no window."""

    width: int
    sample_rate_hz: int
    frame_rate_hz: float
    num_mels: int
    max_s: float
    parameters: int


@dataclass(frozen=True)
class CodecFacts:
    """Shape of a codec. layout: how its codebooks lie in time. latent_width: of what the speech head regresses."""

    sample_rate_hz: int
    frame_rate_hz: float
    num_codebooks: int
    codebook_size: int
    latent_width: int
    layout: str
    parameters: int


# ---------------------------------------------------------------- language models


def language_model_facts(settings: LanguageModelSettings, home: Path) -> LanguageModelFacts:
    """Raises WeightsError for what is no causal language model, ComponentError for one that cannot take a prefix."""
    files = model_files(settings.weights, home)
    if settings.name == "mini_omni":
        return _inside_a_head(files)
    config = files.config
    text = config.get("text_config") or config
    class_name = (config.get("architectures") or ["unnamed class"])[0]
    whole = "text_config" in config and class_name.endswith("ForConditionalGeneration")
    if config.get("is_encoder_decoder") or not (class_name.endswith(CAUSAL) or whole):
        raise WeightsError(
            f"no causal language model in '{settings.weights}': it holds a {class_name}; name a folder made by save_pretrained or a hub id"
        )
    refuse_layers_without_keys(settings.weights, text.get("layer_types"))
    table = _shape(files, "embed_tokens.weight") or _shape(files, "wte.weight") or (0, 0)
    width = _first(text, "hidden_size", "n_embd") or table[1]
    heads = _first(text, "num_attention_heads", "n_head") or 1
    head_width = text.get("head_dim") or width // heads
    keys = (text.get("num_key_value_heads") or heads) * head_width if "num_attention_heads" in text else width
    keys_shape = _shape(files, "layers.0.self_attn.k_proj.weight")
    return LanguageModelFacts(
        class_name, width, _first(text, "num_hidden_layers", "n_layer"), _first(text, "intermediate_size", "n_inner") or 4 * width,
        keys_shape[0] if keys_shape else keys, _first(text, "max_position_embeddings", "n_positions"), _window(text),
        text.get("vocab_size") or table[0], files.parameters(), files,
    )  # fmt: skip


CLASS_OF = {"qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM"}
"""Trunk of an imported Mini-Omni -> class; others say theirs."""


def _inside_a_head(files: ModelFiles) -> LanguageModelFacts:
    """The trunk of a parallel head with the text's part of its vocabulary (omni_core/language_models/mini_omni.py)."""
    head = files.config.get("parallel")
    if not head:
        raise WeightsError(
            f"no parallel head in '{files.weights}', and language model mini_omni is the one inside it; name the folder that `omni import mini-omni` wrote, or choose huggingface"
        )
    trunk, layout = head["trunk"], head["layout"]
    text_rows = layout["text_codes"] + layout["num_specials"]
    width = _first(trunk, "hidden_size", "n_embd")
    heads = _first(trunk, "num_attention_heads", "n_head")
    keys = (trunk.get("num_key_value_heads") or heads) * (trunk.get("head_dim") or width // heads)
    others = files.parameters("trunk.", "norm.", "lm_head.") - (1 if head["tied"] else 2) * trunk["vocab_size"] * width
    return LanguageModelFacts(
        (trunk.get("architectures") or [CLASS_OF[trunk["model_type"]]])[0], width,
        _first(trunk, "num_hidden_layers", "n_layer"), _first(trunk, "intermediate_size", "n_inner") or 4 * width, keys,
        _first(trunk, "max_position_embeddings", "n_positions"), _window(trunk), text_rows,
        others + (1 if head["tied"] else 2) * text_rows * width, files,
    )  # fmt: skip


def _first(config: dict[str, Any], *names: str) -> int:
    return next((config[name] for name in names if config.get(name)), 0)


def _shape(files: ModelFiles, ending: str) -> tuple[int, ...] | None:
    return next((shape for name, shape in files.shapes.items() if name.endswith(ending)), None)


def _window(text: dict[str, Any]) -> int:
    slides = "sliding_attention" in (text.get("layer_types") or ()) or text.get("use_sliding_window")
    return (text.get("sliding_window") or 0) if slides else 0


def refuse_layers_without_keys(weights: str, layer_types: list[str] | None) -> None:
    """Raises ComponentError for layers without attention: nothing can be put before what they have read."""
    if others := sorted(set(layer_types or ()) - KEPT_LAYERS):
        raise ComponentError(
            f"'{weights}' has layers of type {', '.join(others)}, which keep no keys and values, so no tuned prefix can stand before them; choose a language model of attention layers"
        )


# ---------------------------------------------------------------- encoders


def encoder_facts(settings: EncoderSettings, home: Path) -> EncoderFacts | None:
    """None for a member that is not described here. Raises WeightsError when the weights are another member's."""
    if settings.name == "log_mel":
        return EncoderFacts(80, 16_000, 100.0, 80, math.inf, 0)
    read = {"whisper": _whisper, "wav2vec2": _wav2vec2, "mimi": _mimi_encoder}.get(settings.name)
    return read(settings, model_files(_named(settings), home)) if read else None


def _named(settings: EncoderSettings | CodecSettings) -> str:
    """The weights of a member that has some; raises WeightsError when the settings name none."""
    if settings.weights:
        return settings.weights
    family = "codec" if isinstance(settings, CodecSettings) else "encoder"
    raise WeightsError(
        f"{family} {settings.name} has weights; set components.{family}.weights to a folder or a hub id, as {PUBLIC[settings.name]}"
    )


def _expect(files: ModelFiles, what: str, *model_types: str) -> dict[str, Any]:
    found = files.config.get("model_type")
    if found not in model_types:
        raise WeightsError(f"no {what} in '{files.weights}': it holds a {found}; name a folder or hub id of {what}")
    return files.config


def _whisper(settings: EncoderSettings, files: ModelFiles) -> EncoderFacts:
    config, extractor = _expect(files, "Whisper encoder", "whisper"), files.json("preprocessor_config.json")
    positions = config["max_source_positions"]
    made = extractor.get("feature_size", config["num_mel_bins"])
    if made != config["num_mel_bins"]:
        raise WeightsError(
            f"'{files.weights}': its preprocessor makes {made} mel bands, its encoder reads {config['num_mel_bins']}; save both from one model"
        )
    return EncoderFacts(config["d_model"], extractor.get("sampling_rate", 16_000), 50.0, made, positions / 50,
                        files.parameters("model.encoder.", "encoder."))  # fmt: skip


def _wav2vec2(settings: EncoderSettings, files: ModelFiles) -> EncoderFacts:
    config = _expect(files, "wav2vec2 encoder", *WAV2VEC2_TYPES)
    layer = getattr(settings, "layer", 0)
    if layer > config["num_hidden_layers"]:
        raise ComponentError(f"encoder.layer is {layer}; '{settings.weights}' has {config['num_hidden_layers']} layers")
    rate = files.json("preprocessor_config.json").get("sampling_rate", 16_000)
    return EncoderFacts(
        config["hidden_size"], rate, rate / math.prod(config["conv_stride"]), 0, math.inf, files.parameters()
    )


def _mimi_encoder(settings: EncoderSettings, files: ModelFiles) -> EncoderFacts:
    config = _expect(files, "Mimi encoder", "mimi")
    kept = files.parameters("encoder", "downsample")
    return EncoderFacts(config["hidden_size"], config["sampling_rate"], _mimi_rate(config), 0, math.inf, kept)


def _mimi_rate(config: dict[str, Any]) -> float:
    """12.5 Hz; older files write it, newer ones leave it to the strides of the convolutions and one halving more."""
    return float(config.get("frame_rate") or config["sampling_rate"] / math.prod(config["upsampling_ratios"]) / 2)


# ---------------------------------------------------------------- codecs


def codec_facts(settings: CodecSettings, home: Path) -> CodecFacts | None:
    """None for a member that is not described here. Raises WeightsError or ComponentError."""
    if settings.name == "mel_rvq":
        return _mel_rvq(settings, home)
    read = {"snac": _snac, "mimi": _mimi, "encodec": _encodec, "dac": _dac}.get(settings.name)
    return read(settings, model_files(_named(settings), home)) if read else None


def _projected(latent_width: int) -> int:
    """Wider latents are projected before the speech head sees them (omni_core/code_prior.py)."""
    return min(latent_width, MAX_LATENT_WIDTH)


def _mel_rvq(settings: CodecSettings, home: Path) -> CodecFacts:
    sample_rate_hz, hop, bands, components = 22_050, 256, 80, 24
    width = min(components, bands) * settings.patch_frames
    own = (
        width * (settings.num_codebooks * settings.codebook_size + bands * settings.patch_frames)
        + bands * settings.patch_frames
    )
    if settings.refine_steps:
        wide, blocks, kernel, first = 128, 4, 5, 3  # omni_core/codecs/_mel_refiner.py
        block = 2 * wide * (wide * kernel + 1) + wide * (wide + 1)
        own += wide * (first * (bands + settings.patch_frames) + 1) + blocks * block + bands * (wide + 1)
    vocoder = model_files("bundled:hifigan_universal", home).parameters() if settings.vocoder == "hifigan" else 0
    return CodecFacts(sample_rate_hz, sample_rate_hz / hop / settings.patch_frames, settings.num_codebooks,
                      settings.codebook_size, _projected(width), f"{settings.num_codebooks} residual codebooks of one rate", own + vocoder)  # fmt: skip


def _snac(settings: CodecSettings, files: ModelFiles) -> CodecFacts:
    config = files.config
    if not {"vq_strides", "encoder_rates", "sampling_rate", "codebook_size"} <= config.keys():
        raise WeightsError(
            f"no SNAC codec in '{files.weights}'; name a folder or hub id of SNAC (hubertsiuzdak/snac_24khz)"
        )
    strides = config["vq_strides"]
    places = [strides[0] // stride for stride in strides]
    samples = math.prod(config["encoder_rates"]) * strides[0]
    latent = config.get("latent_dim") or config["encoder_dim"] * 2 ** len(config["encoder_rates"])
    layout = f"{len(places)} rates ({' + '.join(map(str, places))} codes a frame) flattened to streams"
    return CodecFacts(config["sampling_rate"], config["sampling_rate"] / samples, sum(places), config["codebook_size"],
                      _projected(strides[0] * latent), layout, files.parameters())  # fmt: skip


def _in_use(settings: CodecSettings, has: int) -> tuple[int, str]:
    if settings.num_codebooks > has:
        raise ComponentError(
            f"codec.num_codebooks is {settings.num_codebooks}; '{settings.weights}' has {has}; ask for at most so many"
        )
    return settings.num_codebooks, f"the first {settings.num_codebooks} of {has} residual codebooks of one rate"


def _mimi(settings: CodecSettings, files: ModelFiles) -> CodecFacts:
    config = _expect(files, "Mimi codec", "mimi")
    used, layout = _in_use(settings, config["num_quantizers"])
    return CodecFacts(
        config["sampling_rate"],
        _mimi_rate(config),
        used,
        config["codebook_size"],
        _projected(config["hidden_size"]),
        layout,
        files.parameters(),
    )


def _encodec(settings: CodecSettings, files: ModelFiles) -> CodecFacts:
    config = _expect(files, "EnCodec codec", "encodec")
    rate = config["sampling_rate"] / math.prod(config["upsampling_ratios"])
    book_bits = math.log2(config["codebook_size"])
    used, layout = _in_use(settings, int(1000 * config["target_bandwidths"][-1] // (math.ceil(rate) * book_bits)))
    return CodecFacts(
        config["sampling_rate"],
        rate,
        used,
        config["codebook_size"],
        _projected(config["hidden_size"]),
        layout,
        files.parameters(),
    )


def _dac(settings: CodecSettings, files: ModelFiles) -> CodecFacts:
    config = _expect(files, "DAC codec", "dac")
    used, layout = _in_use(settings, config["n_codebooks"])
    rate = config["sampling_rate"] / math.prod(config["downsampling_ratios"])
    return CodecFacts(
        config["sampling_rate"],
        rate,
        used,
        config["codebook_size"],
        _projected(config["hidden_size"]),
        layout,
        files.parameters(),
    )
