"""The parallel head: stepping is reading at once, speech takes the place of the audio streams, a folder is an inverse."""

import pytest
import torch

from data_contracts.errors import WeightsError
from omni_core import components
from omni_core.speech_heads import parallel
from omni_core.speech_heads.parallel import Caches, ParallelConfig, ParallelHead
from omni_core.token_layout import ParallelLayout

LAYOUT = ParallelLayout(num_streams=3, codebook_size=10, delays=(1, 2, 3), text_codes=30, num_specials=6)
TRUNK = {
    "model_type": "qwen2", "vocab_size": LAYOUT.total_size, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip


def small_head(**changes):
    torch.manual_seed(0)
    return ParallelHead(ParallelConfig(LAYOUT, TRUNK, 8, adapter_width=16, **changes)).eval().requires_grad_(False)


def some_tokens(batch=2, steps=9):
    generator = torch.Generator().manual_seed(1)
    audio = torch.randint(LAYOUT.vocabulary_size, (batch, 3, steps), generator=generator)
    text = torch.randint(LAYOUT.text_vocabulary_size, (batch, 1, steps), generator=generator)
    return torch.cat([LAYOUT.tokens(audio), text], 1)


@pytest.mark.parametrize("post_adapter_layers", [0, 2])
def test_step_by_step_gives_the_logits_of_reading_at_once(post_adapter_layers):
    head, tokens = small_head(post_adapter_layers=post_adapter_layers), some_tokens()
    whole, caches = head(tokens), Caches()
    for step in range(tokens.shape[2]):
        one = head(tokens[:, :, step : step + 1], caches=caches, last_only=True)
        torch.testing.assert_close(one.text[:, 0], whole.text[:, step])
        torch.testing.assert_close(one.audio[:, :, 0], whole.audio[:, :, step])


@pytest.mark.parametrize("post_adapter_layers", [0, 2])
def test_the_last_step_alone_has_the_logits_that_it_has_among_all(post_adapter_layers):
    head, tokens = small_head(post_adapter_layers=post_adapter_layers), some_tokens()
    whole, last = head(tokens), head(tokens, last_only=True)
    torch.testing.assert_close(last.text, whole.text[:, -1:])
    torch.testing.assert_close(last.audio, whole.audio[:, :, -1:])
    assert head(tokens, with_audio=False).audio is None


def test_an_embedding_is_the_mean_of_the_streams_and_of_the_feature_in_their_place():
    head, tokens = small_head(), some_tokens()
    features, counts = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(2)), torch.tensor([5, 2])
    embedded = head.embed(tokens, features, counts)
    table = head.trunk.get_input_embeddings()
    for row in range(2):
        for step in range(9):
            rows = [table(tokens[row, stream, step]) for stream in range(4)]
            if 1 <= step <= counts[row]:
                rows[:3] = [head.speech_adapter(features[row, step - 1])] * 3
            torch.testing.assert_close(embedded[row, step], sum(rows) / 4)


def test_without_counts_every_feature_is_heard():
    head, tokens = small_head(), some_tokens()
    features = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(2))
    assert torch.equal(head.embed(tokens, features), head.embed(tokens, features, torch.tensor([5, 5])))


def test_a_post_adapter_changes_audio_only():
    plain, deep, tokens = small_head(), small_head(post_adapter_layers=1), some_tokens()
    missing = deep.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing and all(name.startswith(("post_adapter", "post_norm", "post_head")) for name in missing)
    assert torch.equal(deep(tokens).text, plain(tokens).text)
    assert not torch.allclose(deep(tokens).audio, plain(tokens).audio)


@pytest.mark.parametrize("changes", [{}, {"tied": True}, {"post_adapter_layers": 2}, {"adapter": "linear", "vision_width": 6}])  # fmt: skip
def test_write_then_load_returns_the_head(changes, tmp_path):
    head = small_head(**changes)
    parallel.write(tmp_path, head.config, parallel.saved_tensors(head), {"source": "tests"})
    loaded = components.load("speech_heads", "parallel", tmp_path)
    assert loaded.config == head.config and parallel.read_config(tmp_path)[1] == {"source": "tests"}
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in head.state_dict().items())
    assert torch.equal(loaded(some_tokens()).audio, head(some_tokens()).audio)


def test_weights_that_do_not_fit_their_configuration_are_refused(tmp_path):
    head = small_head()
    tensors = parallel.saved_tensors(head)
    del tensors["norm.weight"]
    parallel.write(tmp_path, head.config, tensors, {})
    with pytest.raises(WeightsError, match=r"do not fit its config.json \(norm.weight"):
        parallel.load(tmp_path)
