"""A head on any causal language model thinks as that model does before it is trained."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from omni_core.mini_omni.starting_point import layout_on, on_language_model
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
