"""A head on any causal language model thinks as that model does before it is trained."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from omni_core.mini_omni.starting_point import layout_on, on_language_model, refitted
from omni_core.speech_heads import parallel

SMALL = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1,
         "eos_token_id": 2}  # fmt: skip
KINDS = {
    "qwen2": SMALL,
    "qwen2 tied": {**SMALL, "model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3": SMALL,
    "llama": SMALL,
    "gemma3_text": SMALL,
    "gpt2": {"vocab_size": 50, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 1, "eos_token_id": 2},
    "phi": {**SMALL, "num_key_value_heads": 4},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("post_adapter_layers", [0, 1])
@torch.no_grad()
def test_a_new_head_predicts_the_words_of_its_language_model(kind, post_adapter_layers, tmp_path):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**{"model_type": kind, **KINDS[kind]})).eval()
    layout = layout_on(model, num_streams=3, codebook_size=10)
    head = on_language_model(model, layout, 8, torch.Generator().manual_seed(1), post_adapter_layers, 16).eval()
    words = torch.randint(50, (1, 7), generator=torch.Generator().manual_seed(2))
    embedded = model.get_input_embeddings()(words)
    hidden = head.trunk(inputs_embeds=embedded).last_hidden_state
    expected = model(input_ids=words).logits
    if kind == "phi":
        expected = expected - model.lm_head.bias
    torch.testing.assert_close(head.text_logits(hidden)[..., :50], expected)
    tokens = torch.cat([layout.tokens(torch.full((1, 3, 7), layout.pad)), words[None]], 1)
    parallel.write(tmp_path, head.config, parallel.saved_tensors(head), {})
    assert torch.equal(parallel.load(tmp_path)(tokens).audio, head(tokens).audio)


def a_model(kind="qwen2", seed=0, **changes):
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**{"model_type": kind, **KINDS[kind], **changes})
    ).eval()


def a_head(post_adapter_layers=0, kind="qwen2", **changes):
    model = a_model(kind, **changes)
    layout = layout_on(model, num_streams=3, codebook_size=10)
    head = on_language_model(model, layout, 8, torch.Generator().manual_seed(1), post_adapter_layers, 16)
    return head.eval().requires_grad_(False)


def noise():
    return torch.Generator().manual_seed(5)


def test_a_head_that_fits_is_left_as_it_is():
    head = a_head()
    assert refitted(head, 3, 10, 8, noise()) == (head, [])


@pytest.mark.parametrize("post_adapter_layers", [0, 1])
@pytest.mark.parametrize("kind", ["qwen2", "qwen2 tied"])
@torch.no_grad()
def test_another_codec_leaves_the_text_path_as_it_was(kind, post_adapter_layers):
    """Written question and answer: no code is read, the specials of streams are; four streams mean another mean."""
    head = a_head(post_adapter_layers, kind.split()[0], **({"tie_word_embeddings": True} if "tied" in kind else {}))
    made, notes = refitted(head, 3, 20, 8, noise())
    assert "its codes are new, its specials are kept" in notes[0] and made.layout.codebook_size == 20
    words = torch.randint(50, (1, 5), generator=torch.Generator().manual_seed(2))
    ends = []
    for one in (head, made):
        pads = one.layout.tokens(torch.full((1, 3, 5), one.layout.pad))
        ends.append(one(torch.cat([pads, words[:, None]], 1), with_audio=False).text)
    torch.testing.assert_close(*ends)
    more, _ = refitted(head, 4, 10, 8, noise())
    tokens = more.layout.tokens(torch.full((1, 4, 5), more.layout.pad))
    assert more(torch.cat([tokens, words[:, None]], 1)).audio.shape == (1, 4, 5, 74)
    assert torch.isfinite(more(torch.cat([tokens, words[:, None]], 1)).audio).all()


def test_another_encoder_makes_the_adapter_anew_and_keeps_the_rest():
    head = a_head(1)
    made, notes = refitted(head, 3, 10, 12, noise())
    assert notes == ["the encoder is 12 wide, the head heard 8: its speech adapter is new"]
    before, after = head.state_dict(), made.state_dict()
    changed = {
        name for name in after if after[name].shape != before[name].shape or not torch.equal(after[name], before[name])
    }
    assert {name.split(".")[0] for name in changed} == {"speech_adapter"}
