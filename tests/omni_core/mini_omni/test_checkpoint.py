"""Import and export: inverses, what is said where file and configuration differ, and what is refused."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.errors import ComponentError, OmniError, StorageError, WeightsError
from omni_core.mini_omni import prompts
from omni_core.mini_omni.checkpoint import export_mini_omni, import_mini_omni
from omni_core.mini_omni.decoding import answer
from omni_core.mini_omni.prompts import Mode
from omni_core.mini_omni.weight_names import Heads, fuse_qkv, split_qkv
from omni_core.speech_heads import parallel

REPOSITORY = Path(__file__).resolve().parents[3]
TWO_DIFFERENT = "the file stores two different matrices"


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_split_then_fuse_returns_the_matrix(groups, queries, head_size, is_bias):
    heads = Heads(groups * queries, groups, head_size)
    fused = torch.randn((heads.num_heads + 2 * groups) * head_size, *(() if is_bias else (3,)))
    assert torch.equal(fuse_qkv(*split_qkv(fused, heads), heads), fused)


def test_each_group_holds_its_queries_then_key_then_value():
    q, k, v = split_qkv(torch.tensor([0, 1, 2, 3, 4, 5, 6, 7]), Heads(4, 2, 1))  # q0 q1 k0 v0 q2 q3 k1 v1
    assert (q.tolist(), k.tolist(), v.tolist()) == ([0, 1, 4, 5], [2, 6], [3, 7])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"post_adapter": True, "post_adapter_layers": 2},
        {"asr_adapter": "mlp"},
        {"add_qkv_bias": False},
        {"vision_adapter_dim": 16},
    ],
)
def test_import_then_export_returns_every_tensor_and_key(changes, released, tmp_path):
    folder, config, weights = released(**changes)
    import_mini_omni(folder, tmp_path / "ours")
    export_mini_omni(tmp_path / "ours", tmp_path / "back")
    back = torch.load(tmp_path / "back" / "lit_model.pth", weights_only=True)
    assert back.keys() == weights.keys() and all(torch.equal(back[name], weights[name]) for name in weights)
    assert yaml.safe_load((tmp_path / "back" / "model_config.yaml").read_text()) == config
    assert (tmp_path / "back" / "tokenizer.json").read_text() == (folder / "tokenizer.json").read_text()


def test_a_tied_head_keeps_the_embedding_and_says_so_where_the_file_has_two(released, tmp_path):
    folder, _, weights = released(tie_word_embeddings=True)
    made = import_mini_omni(folder, tmp_path / "ours")
    assert made.config.tied and any(TWO_DIFFERENT in note for note in made.notes)
    export_mini_omni(tmp_path / "ours", tmp_path / "back")
    back = torch.load(tmp_path / "back" / "lit_model.pth", weights_only=True)
    for name in ("lm_head.weight", "transformer.wte.weight"):
        assert torch.equal(back[name], weights["transformer.wte.weight"])


def test_a_tied_configuration_can_be_overruled(released, tmp_path):
    folder, _, weights = released(tie_word_embeddings=True)
    made = import_mini_omni(folder, tmp_path / "ours", tied=False)
    assert not made.config.tied and made.notes == ()
    assert torch.equal(parallel.load(tmp_path / "ours").lm_head.weight, weights["lm_head.weight"])


def test_two_equal_matrices_of_a_tied_head_are_nothing_to_say(released, tmp_path):
    folder, _, _ = released(lambda w: w.update({"lm_head.weight": w["transformer.wte.weight"]}), tie_word_embeddings=True)  # fmt: skip
    assert import_mini_omni(folder, tmp_path / "ours").notes == ()


@pytest.mark.parametrize("stored", ["lm_head.weight", "transformer.wte.weight"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_file_with_one_matrix_is_tied(stored, tied, released, tmp_path):
    other = {"lm_head.weight": "transformer.wte.weight", "transformer.wte.weight": "lm_head.weight"}[stored]
    folder, _, weights = released(lambda w: w.pop(other), tie_word_embeddings=tied)
    made = import_mini_omni(folder, tmp_path / "ours")
    assert made.config.tied and len(made.notes) == (0 if tied else 1)
    head = parallel.load(tmp_path / "ours")
    assert head.lm_head.weight is head.trunk.embed_tokens.weight
    assert torch.equal(head.lm_head.weight, weights[stored])


def test_a_vision_adapter_is_kept_and_said(released, tmp_path):
    folder, _, weights = released(vision_adapter_dim=16)
    made = import_mini_omni(folder, tmp_path / "ours")
    assert len(made.notes) == 1 and "vision adapter" in made.notes[0]
    head = parallel.load(tmp_path / "ours")
    assert torch.equal(head.vision_adapter.down.weight, weights["vision_adapter.proj.weight"])


def test_a_post_adapter_that_the_configuration_leaves_out_is_set_aside_and_said(released, tmp_path):
    folder, config, _ = released(post_adapter=True, post_adapter_layers=2)
    (folder / "model_config.yaml").write_text(yaml.safe_dump({**config, "post_adapter": False}))
    made = import_mini_omni(folder, tmp_path / "ours")
    assert made.config.post_adapter_layers == 0 and "set aside" in made.notes[0]


def test_a_vision_adapter_that_the_file_lacks_is_said_and_not_exported(released, tmp_path):
    folder, _, _ = released(without_vision, vision_adapter_dim=16)
    notes = import_mini_omni(folder, tmp_path / "ours").notes
    assert len(notes) == 1 and "vision_adapter_dim" in notes[0]
    export_mini_omni(tmp_path / "ours", tmp_path / "back")
    assert "vision_adapter_dim" not in yaml.safe_load((tmp_path / "back" / "model_config.yaml").read_text())


def without_vision(weights):
    for name in [name for name in weights if name.startswith("vision_adapter")]:
        del weights[name]


def test_a_linear_adapter_without_a_bias_hears_as_it_did_and_goes_back_with_zeros(released, tmp_path):
    folder, _, weights = released(without("whisper_adapter.bias"), asr_adapter="mlp")
    assert "no bias" in import_mini_omni(folder, tmp_path / "ours").notes[0]
    heard = torch.randn(3, 32)
    found = parallel.load(tmp_path / "ours").speech_adapter(heard)
    torch.testing.assert_close(found, heard @ weights["whisper_adapter.weight"].T)


def test_a_missing_tokenizer_is_said(released, tmp_path):
    folder, _, _ = released()
    (folder / "tokenizer.json").unlink()
    assert "tokenizer.json not in" in import_mini_omni(folder, tmp_path / "ours").notes[0]


def test_half_precision_stays_on_disk_and_is_computed_in_float32(released, tmp_path):
    folder, _, weights = released()
    torch.save({name: tensor.bfloat16() for name, tensor in weights.items()}, folder / "lit_model.pth")
    import_mini_omni(folder, tmp_path / "ours")
    assert parallel.load(tmp_path / "ours").lm_head.weight.dtype is torch.float32
    head = parallel.load(tmp_path / "ours", torch.bfloat16)
    assert head.lm_head.weight.dtype is torch.bfloat16
    said = answer(head, prompts.heard(Mode.AUDIO_TO_AUDIO, head.layout, 5), torch.zeros(1, 5, 32), max_steps=3)
    assert said.shape == (8, 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "rotary is 'llama3'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"intermediate_size": 96}, "the speech adapter is 128 wide inside and the trunk 96"),
        ({"model_type": "gemma3_text"}, "cannot be written as Mini-Omni, which is a Qwen2"),
    ],
)
def test_a_trunk_that_mini_omni_cannot_say_is_not_exported(changes, words, released, tmp_path):
    folder, _, _ = released()
    import_mini_omni(folder, tmp_path / "ours")
    config, facts = parallel.read_config(tmp_path / "ours")
    parallel.write(tmp_path / "ours", replace(config, trunk=config.trunk | changes), {}, facts)
    with pytest.raises(ComponentError, match=words):
        export_mini_omni(tmp_path / "ours", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def without(name):
    return lambda weights: weights.pop(name)


def without_post_adapter(weights):
    for name in [name for name in weights if name.startswith("transformer.post_adapter")]:
        del weights[name]


def with_tensor(name, *size):
    return lambda weights: weights.update({name: torch.zeros(size)})


@pytest.mark.parametrize(
    ("change", "changes", "error", "words"),
    [
        (without("transformer.ln_f.weight"), {}, WeightsError, "no norm.weight"),
        (with_tensor("transformer.wpe.weight", 3), {}, WeightsError, "transformer.wpe.weight is unknown"),
        (with_tensor("transformer.ln_f.weight", 3), {}, WeightsError, r"norm.weight is \(3,\) instead of \(64,\)"),
        (with_tensor("nothing", 1), {"norm_class_name": "LayerNorm"}, ComponentError, "norm_class_name is 'LayerNorm'"),
        (with_tensor("nothing", 1), {"rotary_percentage": 0.25}, ComponentError, "rotary_percentage is 0.25"),
        (with_tensor("nothing", 1), {"asr_adapter": "llamamlp2"}, ComponentError, "there are: llamamlp, mlp"),
        (
            without_post_adapter,
            {"post_adapter": True, "post_adapter_layers": 2},
            WeightsError,
            "holds none of its tensors",
        ),
        (lambda w: None, {"padded_vocab_size": 99}, ComponentError, "padded_vocab_size 99 is less"),
    ],
)
def test_what_is_not_mini_omni_is_refused_and_nothing_written(change, changes, error, words, released, tmp_path):
    asr_adapter = changes.get("asr_adapter")
    folder, config, _ = released(change, **{k: v for k, v in changes.items() if k != "asr_adapter"})
    if asr_adapter:
        (folder / "model_config.yaml").write_text(yaml.safe_dump({**config, "asr_adapter": asr_adapter}))
    with pytest.raises(error, match=words):
        import_mini_omni(folder, tmp_path / "ours")
    assert [p.name for p in tmp_path.iterdir()] == ["released"]


def test_a_pickle_that_holds_more_than_tensors_is_not_run(released, tmp_path):
    folder, _, _ = released()
    torch.save({"transformer.wte.weight": Mischief(tmp_path / "ran")}, folder / "lit_model.pth")
    with pytest.raises(WeightsError, match="holds more than tensors"):
        import_mini_omni(folder, tmp_path / "ours")
    assert not (tmp_path / "ran").exists()


class Mischief:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["lit_model.pth", "model_config.yaml"])
def test_a_file_that_is_missing_or_cut_off_is_named(name, released, tmp_path):
    folder, _, _ = released()
    (folder / name).write_bytes((folder / name).read_bytes()[:40])
    with pytest.raises(WeightsError, match=name):
        import_mini_omni(folder, tmp_path / "ours")
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=f"has no {name}"):
        import_mini_omni(folder, tmp_path / "ours")


def test_an_existing_folder_is_not_overwritten(released, tmp_path):
    folder, _, _ = released()
    with pytest.raises(StorageError, match="exists; name a new folder"):
        import_mini_omni(folder, folder)


def test_a_folder_of_something_else_is_not_exported_or_loaded(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    for act in (lambda: export_mini_omni(tmp_path, tmp_path / "out"), lambda: parallel.load(tmp_path)):
        with pytest.raises(WeightsError, match="holds no parallel head"):
            act()


def test_the_command_line_imports_exports_and_says_its_notes(released, tmp_path):
    folder, _, weights = released(vision_adapter_dim=16)

    def omni(*words):
        return subprocess.run([sys.executable, "-m", "flows.cli", *map(str, words)], cwd=tmp_path, capture_output=True,
                              env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, text=True, timeout=120)  # fmt: skip

    done = omni("import", "mini-omni", folder, tmp_path / "ours")
    assert done.returncode == 0 and "untied embeddings" in done.stdout and "note: the vision adapter" in done.stdout
    assert omni("export", "mini-omni", tmp_path / "ours", tmp_path / "back").returncode == 0
    back = torch.load(tmp_path / "back" / "lit_model.pth", weights_only=True)
    assert back.keys() == weights.keys()
    refused = omni("import", "mini-omni", tmp_path / "nowhere", tmp_path / "other")
    assert refused.returncode == 2 and len(refused.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "other").exists() and issubclass(WeightsError, OmniError)
