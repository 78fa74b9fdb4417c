import json
import re
import struct

import numpy as np
import pytest
import torch

from omni_core import weight_conversion
from omni_core.weight_conversion import read_ctranslate2

SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nocaptions|>",
    "<|notimestamps|>",
)


@pytest.fixture
def whisper():
    """A small Whisper with random weights that float16 holds exactly."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=40,
        d_model=8,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_mel_bins=80,
        max_source_positions=20,
        max_target_positions=12,
        pad_token_id=30,
        bos_token_id=30,
        eos_token_id=30,
        decoder_start_token_id=31,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(0)
    return WhisperForConditionalGeneration(config).half().float().eval()


def write_ctranslate2(model, path):
    """The writer that our reader inverts: names and fusing as CTranslate2's converter has them."""
    state = model.state_dict()
    variables = {
        "encoder/num_heads": np.int16(2),
        "decoder/num_heads": np.int16(2),
        "decoder/activation": np.int8(3),
        "decoder/embeddings/weight": state["model.decoder.embed_tokens.weight"],
    }

    def put(name, *tensors):
        variables[name] = torch.cat(tensors)

    for side in ("encoder", "decoder"):
        put(f"{side}/position_encodings/encodings", state[f"model.{side}.embed_positions.weight"])
        norms = {f"{side}/layer_norm": f"model.{side}.layer_norm"}
        for layer in range(2):
            ours, theirs = f"model.{side}.layers.{layer}", f"{side}/layer_{layer}"
            norms[f"{theirs}/self_attention/layer_norm"] = f"{ours}.self_attn_layer_norm"
            norms[f"{theirs}/ffn/layer_norm"] = f"{ours}.final_layer_norm"
            for kind in ("weight", "bias"):

                def attention(part, ours=ours, kind=kind):
                    return state.get(f"{ours}.{part}.{kind}", torch.zeros(8))

                put(f"{theirs}/self_attention/linear_0/{kind}", *(attention(f"self_attn.{p}_proj") for p in "qkv"))
                put(f"{theirs}/self_attention/linear_1/{kind}", attention("self_attn.out_proj"))
                put(f"{theirs}/ffn/linear_0/{kind}", state[f"{ours}.fc1.{kind}"])
                put(f"{theirs}/ffn/linear_1/{kind}", state[f"{ours}.fc2.{kind}"])
                if side == "decoder":
                    put(f"{theirs}/attention/linear_0/{kind}", attention("encoder_attn.q_proj"))
                    put(f"{theirs}/attention/linear_1/{kind}", *(attention(f"encoder_attn.{p}_proj") for p in "kv"))
                    put(f"{theirs}/attention/linear_2/{kind}", attention("encoder_attn.out_proj"))
            if side == "decoder":
                norms[f"{theirs}/attention/layer_norm"] = f"{ours}.encoder_attn_layer_norm"
        for theirs, ours in norms.items():
            put(f"{theirs}/gamma", state[f"{ours}.weight"])
            put(f"{theirs}/beta", state[f"{ours}.bias"])
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            put(f"encoder/{conv}/{kind}", state[f"model.encoder.{conv}.{kind}"])

    def text(name):
        return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"

    data = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in sorted(variables.items()):
        array = value.numpy().astype(np.float16) if isinstance(value, torch.Tensor) else np.asarray(value)
        code = {"float16": 4, "int16": 2, "int8": 1}[array.dtype.name]
        data += text(name) + struct.pack("<B", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
        data += struct.pack("<BI", code, array.nbytes) + array.tobytes()
    data += struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight")
    path.write_bytes(data)


@pytest.fixture
def source(whisper, tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    write_ctranslate2(whisper, folder / "model.bin")
    added = [
        {
            "id": 30 + i,
            "content": content,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, content in enumerate(SPECIAL)
    ]
    vocabulary = {"a": 0, "b": 1} | {str(i): i for i in range(2, 30)}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "vocab": vocabulary,
        "merges": [],
    }
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": added,
                "normalizer": None,
                "pre_tokenizer": byte_level,
                "post_processor": None,
                "decoder": byte_level,
                "model": model,
            }
        )
    )
    (folder / "config.json").write_text(
        json.dumps({"suppress_ids": [2], "suppress_ids_begin": [3], "alignment_heads": [[1, 0]]})
    )
    return folder


def test_a_whisper_written_as_ctranslate2_comes_back_bit_for_bit(whisper, source, tmp_path):
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

    target = tmp_path / "target"
    target.mkdir()
    weight_conversion.ctranslate2_whisper(source, target)
    made, report = WhisperForConditionalGeneration.from_pretrained(target, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert made.dtype == torch.float32
    for name, tensor in whisper.state_dict().items():
        assert torch.equal(made.state_dict()[name], tensor), name
    assert made.generation_config.decoder_start_token_id == 31 and made.generation_config.begin_suppress_tokens == [3]
    assert WhisperFeatureExtractor.from_pretrained(target).sampling_rate == 16_000
    assert WhisperTokenizer.from_pretrained(target).decode([0, 1, 30], skip_special_tokens=True) == "ab"


def test_tensors_are_stored_in_half_precision(source, tmp_path):
    from safetensors.torch import load_file

    target = tmp_path / "target"
    target.mkdir()
    weight_conversion.ctranslate2_whisper(source, target)
    assert {tensor.dtype for tensor in load_file(target / "model.safetensors").values()} == {torch.float16}


def test_every_name_of_a_ctranslate2_file_is_read(source):
    variables = read_ctranslate2(source / "model.bin")
    assert variables["decoder/projection/weight"] is variables["decoder/embeddings/weight"]
    assert variables["encoder/conv1/weight"].shape == (8, 80, 3)
    assert not [name for name in variables if re.search(r"[^\w/]", name)]


def test_folded_weight_norm_computes_the_same(tmp_path):
    from safetensors.torch import load_file
    from torch.nn.utils.parametrizations import weight_norm

    layer = weight_norm(torch.nn.ConvTranspose1d(4, 2, 4))
    with torch.no_grad():
        layer.parametrizations.weight.original0.mul_(3)
    weights = {
        "ups.0.weight_g": layer.parametrizations.weight.original0.detach(),
        "ups.0.weight_v": layer.parametrizations.weight.original1.detach(),
        "ups.0.bias": layer.bias.detach(),
    }
    torch.save({"generator": weights}, tmp_path / "generator.pth.tar")
    keys = (
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
    (tmp_path / "config.json").write_text(json.dumps(dict.fromkeys(keys, 1)))
    target = tmp_path / "target"
    target.mkdir()
    weight_conversion.hifigan_generator(tmp_path, target)
    folded = load_file(target / "generator.safetensors")
    assert set(folded) == {"ups.0.weight", "ups.0.bias"}
    torch.testing.assert_close(folded["ups.0.weight"], layer.weight.detach())


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"generator": Evil()}, tmp_path / "generator.pth.tar")
    with pytest.raises(Exception, match=r"[Ww]eights.only|Unsupported"):
        weight_conversion.hifigan_generator(tmp_path, tmp_path)
