"""Every variant of the checkpoint against a second, slow model written from the description alone."""

import importlib.util
from pathlib import Path

import pytest
import torch

from omni_core.mini_omni import prompts
from omni_core.mini_omni.checkpoint import import_mini_omni
from omni_core.mini_omni.decoding import answer
from omni_core.mini_omni.prompts import Mode
from omni_core.speech_heads import parallel

SPEC = importlib.util.spec_from_file_location("slow_model", Path(__file__).with_name("slow_model.py"))
slow_model = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(slow_model)

VARIANTS = {
    "untied": {},
    "tied": {"tie_word_embeddings": True},
    "post-adapter": {"post_adapter": True, "post_adapter_layers": 2},
    "tied post-adapter": {"tie_word_embeddings": True, "post_adapter": True, "post_adapter_layers": 1},
    "post-adapter deeper than the trunk": {"post_adapter": True, "post_adapter_layers": 6},
    "tied post-adapter deeper than the trunk": {
        "tie_word_embeddings": True,
        "post_adapter": True,
        "post_adapter_layers": 4,
    },
    "linear adapter": {"asr_adapter": "mlp"},
    "one group": {"n_query_groups": 1},
    "a group a head": {"n_query_groups": 4},
    "heads wider than the model": {"head_size": 24},
    "no biases": {"add_qkv_bias": False},
    "rows beyond the vocabulary": {"padded_vocab_size": 64 + 40 + 7 * 88 + 5},
    "mini-omni 2": {"vision_adapter_dim": 16},
}
FEATURES = torch.randn(1, 9, 32, generator=torch.Generator().manual_seed(5))


def both(released, tmp_path, **changes):
    folder, config, weights = released(**changes)
    import_mini_omni(folder, tmp_path / "ours")
    return parallel.load(tmp_path / "ours"), slow_model.SlowModel(config, weights)


def prompt_of(mode, layout):
    return prompts.heard(mode, layout, 9) if mode.hears else prompts.written(mode, layout, [5, 6, 7])


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_logits_are_those_of_the_slow_model(variant, released, tmp_path):
    head, slow = both(released, tmp_path, **VARIANTS[variant])
    for mode in (Mode.AUDIO_TO_AUDIO, Mode.TEXT_TO_AUDIO):
        prompt = prompt_of(mode, head.layout)
        logits = head(prompt.tokens, FEATURES if mode.hears else None)
        text, audio = slow.logits(prompt.tokens[0], FEATURES[0] if mode.hears else None, 9)
        torch.testing.assert_close(logits.text[0], text, rtol=0, atol=1e-4)
        torch.testing.assert_close(logits.audio[0], audio, rtol=0, atol=1e-4)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name in ("untied", "tied") or "post-adapter" in name])
@pytest.mark.parametrize("mode", Mode)
def test_answers_are_those_of_the_slow_model(variant, mode, released, tmp_path):
    head, slow = both(released, tmp_path, **VARIANTS[variant])
    prompt = prompt_of(mode, head.layout)
    features = FEATURES if mode.hears else None
    expected = slow_model.slow_answer(slow, list(prompt.tokens), head.layout, mode.speaks, found_in(features), 12)
    assert torch.equal(answer(head, prompt, features, max_steps=12), expected)


def swap_rows(one, other):
    """What would have been said as `one` is now said as `other`."""

    def change(weights):
        matrix = weights["lm_head.weight"]
        matrix[[one, other]] = matrix[[other, one]]

    return change


def newest(row):
    """(step, id) of the id that the answer says first at the latest step."""
    return max((row.tolist().index(i), i) for i in set(row.tolist()))


@pytest.mark.parametrize("mode", Mode)
def test_after_the_end_of_text_a_written_answer_stops_and_a_spoken_one_goes_on(mode, released, tmp_path):
    (tmp_path / "plain").mkdir()
    head, _ = both(released, tmp_path / "plain")
    (tmp_path / "released").rename(tmp_path / "plain" / "released")
    prompt, features = prompt_of(mode, head.layout), FEATURES if mode.hears else None
    step, token = newest(answer(head, prompt, features, 12)[-1])
    head, slow = both(released, tmp_path, change=swap_rows(token, head.layout.text_end))
    found = answer(head, prompt, features, 14)
    expected = slow_model.slow_answer(slow, list(prompt.tokens), head.layout, mode.speaks, found_in(features), 14)
    assert torch.equal(found, expected)
    if step > 0 and mode.speaks:
        assert found[-1, step] == head.layout.text_end and (found[-1, step + 1 :] == head.layout.text_pad).all()
        assert found.shape[1] > step + 1
    elif step > 0:
        assert found.shape[1] == step


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode.speaks])
def test_audio_stops_before_the_step_in_which_its_last_stream_ends(mode, released, tmp_path):
    (tmp_path / "plain").mkdir()
    head, _ = both(released, tmp_path / "plain")
    (tmp_path / "released").rename(tmp_path / "plain" / "released")
    prompt, features, layout = prompt_of(mode, head.layout), FEATURES if mode.hears else None, head.layout
    step, code = newest(answer(head, prompt, features, 12)[6])
    change = swap_rows(*(layout.text_vocabulary_size + 6 * layout.vocabulary_size + i for i in (code, layout.end)))
    head, slow = both(released, tmp_path, change=change)
    found = answer(head, prompt, features, 14)
    expected = slow_model.slow_answer(slow, list(prompt.tokens), layout, True, found_in(features), 14)
    assert step > 0 and torch.equal(found, expected) and found.shape[1] == step


def found_in(features):
    return None if features is None else features[0]
