"""Released folders of tiny models with random weights, and the golden file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "mini_omni_golden_untied.npz"
GOLDEN_CONFIG = {
    "name": "tiny", "hf_config": {"org": "tests", "name": "tiny"}, "n_layer": 3, "n_head": 4, "n_query_groups": 2,
    "head_size": 16, "n_embd": 64, "intermediate_size": 128, "block_size": 256, "rope_base": 1_000_000,
    "rotary_percentage": 1.0, "norm_class_name": "RMSNorm", "norm_eps": 1e-6, "mlp_class_name": "LLaMAMLP",
    "bias": False, "add_qkv_bias": True, "parallel_residual": False, "padded_vocab_size": 181_120,
    "text_vocab_size": 152_000, "audio_vocab_size": 4_160, "cat_audio_vocab_size": 29_120, "whisper_adapter_dim": 32,
    "asr_adapter": "llamamlp", "post_adapter": False, "tie_word_embeddings": False,
}  # fmt: skip
SMALL_VOCABULARY = {"text_vocab_size": 64 + 40, "audio_vocab_size": 64 + 24, "cat_audio_vocab_size": 7 * 88,
                    "padded_vocab_size": 64 + 40 + 7 * 88, "block_size": 64}  # fmt: skip
NORMS = ("norm_1.weight", "norm_2.weight", "ln_f.weight", "audio_ln.weight")


def shapes(config) -> dict[str, tuple[int, ...]]:
    """Every tensor of a released file, by its released name."""
    width, inner, vocabulary = config["n_embd"], config["intermediate_size"], config["padded_vocab_size"]
    found = {"lm_head.weight": (vocabulary, width), "transformer.wte.weight": (vocabulary, width),
             "transformer.ln_f.weight": (width,)}  # fmt: skip
    if config["asr_adapter"] == "mlp":
        found |= {"whisper_adapter.weight": (width, config["whisper_adapter_dim"]), "whisper_adapter.bias": (width,)}
    else:
        found |= gated("whisper_adapter", config["whisper_adapter_dim"], inner, width)
    if "vision_adapter_dim" in config:
        found |= gated("vision_adapter", config["vision_adapter_dim"], inner, width)
    stacks = [f"transformer.h.{i}" for i in range(config["n_layer"])]
    if config["post_adapter"]:
        stacks += [f"transformer.post_adapter.{i}" for i in range(config["post_adapter_layers"])]
        found |= {"transformer.post_adapter_audio_ln.weight": (width,),
                  "transformer.post_adapter_audio_lm_head.weight": (config["cat_audio_vocab_size"], width)}  # fmt: skip
    queries = config["n_head"] * config["head_size"]
    fused = queries + 2 * config["n_query_groups"] * config["head_size"]
    for stack in stacks:
        found |= {f"{stack}.norm_1.weight": (width,), f"{stack}.norm_2.weight": (width,),
                  f"{stack}.attn.attn.weight": (fused, width), f"{stack}.attn.proj.weight": (width, queries)}  # fmt: skip
        found |= {f"{stack}.attn.attn.bias": (fused,)} if config["add_qkv_bias"] else {}
        found |= gated(f"{stack}.mlp", width, inner, width)
    return found


def gated(name, width_in, inner, width_out) -> dict[str, tuple[int, ...]]:
    return {f"{name}.fc_1.weight": (inner, width_in), f"{name}.fc_2.weight": (inner, width_in),
            f"{name}.proj.weight": (width_out, inner)}  # fmt: skip


def random_weights(config, seed=1) -> dict[str, torch.Tensor]:
    """As the golden file's note says: names in sorted order, one generator."""
    generator = torch.Generator().manual_seed(seed)
    sizes = shapes(config)
    return {name: (1 + 0.1 * torch.randn(sizes[name], generator=generator)) if name.endswith(NORMS)
            else 0.15 * torch.randn(sizes[name], generator=generator) for name in sorted(sizes)}  # fmt: skip


def write_released(folder: Path, config, weights) -> Path:
    folder.mkdir(parents=True)
    torch.save(weights, folder / "lit_model.pth")
    (folder / "model_config.yaml").write_text(yaml.safe_dump(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text('{"made for": "tests"}')
    return folder


@pytest.fixture
def released(tmp_path):
    """released(**changes of the configuration) -> (folder, configuration, weights), in a small vocabulary."""

    def make(change=lambda weights: None, **changes):
        config = {**GOLDEN_CONFIG, **SMALL_VOCABULARY, **changes}
        weights = random_weights(config)
        change(weights)
        return write_released(tmp_path / "released", config, weights), config, weights

    return make


@pytest.fixture(scope="session")
def golden():
    return np.load(GOLDEN)


@pytest.fixture(scope="session")
def golden_head(tmp_path_factory):
    """The golden file's model, imported."""
    from omni_core.mini_omni.checkpoint import import_mini_omni
    from omni_core.speech_heads import parallel

    folder = tmp_path_factory.mktemp("golden")
    source = write_released(folder / "released", GOLDEN_CONFIG, random_weights(GOLDEN_CONFIG))
    import_mini_omni(source, folder / "ours")
    return parallel.load(folder / "ours")
