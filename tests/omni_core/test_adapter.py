"""CTC compression: what is heard becomes that many embeddings."""

import pytest
import torch

from data_contracts.errors import SourceError
from omni_core.adapter import Adapter, AdapterConfig, tokens_to_hear


def small_adapter():
    torch.manual_seed(0)
    config = AdapterConfig(12, 50.0, 16, (5, 9, 40), width=32, num_layers=1, num_heads=2)
    return Adapter(config, torch.randn(3, 16)).eval()


def test_runs_of_one_class_are_one_segment_and_blanks_part_them():
    assert Adapter._segments(torch.tensor([1, 1, 0, 1, 2, 2, 0, 0])).tolist() == [0, 0, -1, 1, 2, 2, -1, -1]


def test_silence_gives_no_segment():
    adapter = small_adapter()
    torch.nn.init.zeros_(adapter.classes.weight)
    adapter.classes.bias.data = torch.tensor([9.0, 0.0, 0.0, 0.0])
    assert adapter(torch.randn(30, 12)).shape == (0, 16)
    assert adapter.hear(torch.randn(30, 12)) == []


def test_a_certain_class_gives_its_token_s_own_embedding():
    adapter = small_adapter()
    torch.nn.init.zeros_(adapter.classes.weight)
    adapter.classes.bias.data = torch.tensor([0.0, 0.0, 90.0, 0.0])
    heard = adapter(torch.randn(30, 12))
    assert torch.allclose(heard, adapter.embeddings[1:2], atol=1e-5)
    assert adapter.hear(torch.randn(30, 12)) == [9]


def test_padding_in_a_batch_changes_nothing():
    adapter, generator = small_adapter(), torch.Generator().manual_seed(1)
    features = torch.randn(31, 12, generator=generator)
    padded = torch.nn.functional.pad(features, (0, 0, 0, 23))
    alone, _ = adapter.frames(features[None], torch.tensor([31]))
    together, counts = adapter.frames(torch.stack([padded, torch.randn(54, 12)]), torch.tensor([31, 54]))
    assert torch.allclose(together[0, : counts[0]], alone[0], atol=1e-4)


def test_alignment_learns_a_tiny_language():
    adapter, generator = small_adapter().train(), torch.Generator().manual_seed(0)
    sounds = torch.randn(3, 12, generator=generator)
    texts = [torch.randint(3, (3,), generator=generator) for _ in range(16)]
    features = torch.stack([sounds[t].repeat_interleave(12, 0) for t in texts])
    optimizer = torch.optim.Adam(adapter.parameters(), lr=3e-3)
    for _ in range(150):
        loss = adapter.alignment_loss(features, torch.full((16,), 36), torch.stack(texts) + 1, torch.full((16,), 3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    adapter.eval()
    right = sum(
        adapter.hear(f) == [adapter.config.tokens[i] for i in t]
        for f, t in zip(features, texts, strict=True)
        if len(set(zip(t.tolist(), t.tolist()[1:], strict=False))) == 2 and t[0] != t[1] != t[2]
    )
    assert right >= sum(t[0] != t[1] != t[2] for t in texts) - 1


def test_no_text_at_all_is_said():
    with pytest.raises(SourceError, match="no training question has any text"):
        tokens_to_hear([])
