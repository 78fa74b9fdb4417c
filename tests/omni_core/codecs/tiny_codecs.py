"""A codec's name enters, a folder with its real class at a size of kilobytes leaves, written as its users find it on the hub."""

from __future__ import annotations

import json
from pathlib import Path

import torch

QUIET = 0.05
"""Scale of each decoder's last layer: random weights are loud, and what is clamped to [-1, 1] would look equal."""


def snac_config(rate: str = "24khz", **changes) -> dict:
    """Geometry of the released models; only the widths are small."""
    geometry = {
        "24khz": {"sampling_rate": 24_000, "encoder_rates": [2, 4, 8, 8], "decoder_rates": [8, 8, 4, 2],
                  "attn_window_size": None, "vq_strides": [4, 2, 1]},
        "32khz": {"sampling_rate": 32_000, "encoder_rates": [2, 3, 8, 8], "decoder_rates": [8, 8, 3, 2],
                  "attn_window_size": 32, "vq_strides": [8, 4, 2, 1]},
    }  # fmt: skip
    geometry["44khz"] = geometry["32khz"] | {"sampling_rate": 44_100}
    widths = {
        "encoder_dim": 4,
        "decoder_dim": 64,
        "codebook_size": 32,
        "codebook_dim": 4,
        "noise": True,
        "depthwise": True,
    }
    return geometry[rate] | widths | changes


def write_snac(folder: Path, rate: str = "24khz", **changes) -> str:
    """config.json and pytorch_model.bin with weight norm, as hubertsiuzdak/snac_24khz has them."""
    from snac import SNAC

    torch.manual_seed(0)
    config = snac_config(rate, **changes)
    model = SNAC(**config)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def write_mimi(folder: Path, **changes) -> str:
    """24 kHz, 12.5 frames a second; attention over 6 steps instead of 250, so that a test outruns it."""
    from transformers import MimiConfig, MimiModel

    torch.manual_seed(0)
    model = MimiModel(MimiConfig(**({
        "hidden_size": 32, "num_filters": 4, "codebook_size": 16, "codebook_dim": 8, "num_quantizers": 6,
        "vector_quantization_hidden_dimension": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 16,
        "num_key_value_heads": 2, "intermediate_size": 32, "sliding_window": 6, "upsample_groups": 32,
        "layer_scale_initial_scale": 0.5} | changes)))  # fmt: skip
    parts = model.quantizer.semantic_residual_vector_quantizer, model.quantizer.acoustic_residual_vector_quantizer
    for layer in (layer for part in parts for layer in part.layers):
        layer.codebook.embed_sum.normal_()
        layer.codebook.cluster_usage.uniform_(0.5, 2.0)
    model.decoder.decoder_seanet.layers[-1].conv.weight.data.mul_(QUIET)
    model.save_pretrained(folder)
    return str(folder)


def write_encodec(folder: Path, **changes) -> str:
    """24 kHz, 75 frames a second, mirrored at the start as the released model."""
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_filters": 4, "codebook_size": 16, "target_bandwidths": [0.6, 1.2]}
    model = EncodecModel(EncodecConfig(**(sizes | changes)))
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_()
    last = model.decoder.layers[-1]
    if last.norm_type == "weight_norm":
        last.conv.parametrizations.weight.original0.data.mul_(QUIET)
    model.save_pretrained(folder)
    return str(folder)


def write_dac(folder: Path, **changes) -> str:
    """24 kHz with the released model's odd stride."""
    from transformers import DacConfig, DacModel

    torch.manual_seed(0)
    sizes = {"encoder_hidden_size": 4, "decoder_hidden_size": 64, "downsampling_ratios": [2, 4, 5, 8], "n_codebooks": 6,
             "codebook_size": 32, "codebook_dim": 4, "sampling_rate": 24_000}  # fmt: skip
    model = DacModel(DacConfig(**(sizes | changes)))
    for module in model.modules():  # transformers starts DAC so small that every waveform would be silence
        if isinstance(module, (torch.nn.Conv1d, torch.nn.ConvTranspose1d)):
            module.reset_parameters()
    model.save_pretrained(folder)
    return str(folder)


WRITERS = {
    "snac_24khz": ("snac", write_snac),
    "snac_32khz": ("snac", lambda folder: write_snac(folder, "32khz")),
    "snac_44khz": ("snac", lambda folder: write_snac(folder, "44khz")),
    "mimi": ("mimi", write_mimi),
    "encodec": ("encodec", write_encodec),
    "dac": ("dac", write_dac),
}
"""Variant -> (member of omni_core/codecs, function that writes its folder)."""
