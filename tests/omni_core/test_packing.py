"""Rows of short sequences; that a language model reads them as if each stood alone is held by the contract of its family."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig

from omni_core.packing import attention_masks, pack

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=20)


@given(LENGTHS, st.integers(1, 60))
def test_packed_sequences_come_back_in_their_order(lengths, row_positions):
    packed = pack(lengths, 5, row_positions)
    sequences = [torch.randn(length, 3) for length in lengths]
    rows = packed.rows(sequences)
    assert torch.equal(rows[packed.real], torch.cat(sequences))
    filled = packed.real.sum(1).tolist()
    assert all(count <= max(row_positions, *lengths) for count in filled)


@given(LENGTHS, st.integers(1, 60), st.integers(0, 4))
def test_a_position_sees_the_prefix_and_what_stands_before_it_in_its_own_sequence(lengths, row_positions, prefix):
    """Against the slow obvious loop."""
    packed = pack(lengths, prefix, row_positions)
    seen = packed.distances() >= 0
    for row, owners in enumerate(packed.owners.tolist()):
        for query, owner in enumerate(owners):
            wanted = [True] * prefix + [key <= query and owners[key] == owner for key in range(len(owners))]
            assert seen[row, query].tolist() == wanted or owner == -1


@pytest.mark.parametrize("kinds", [["sliding_attention"], ["sliding_attention", "full_attention"]])
def test_a_layer_with_a_window_does_not_look_back_further(kinds):
    config = LlamaConfig(num_hidden_layers=len(kinds))
    config.sliding_window, config.layer_types = 3, kinds
    masks = attention_masks(pack([2, 2], 4), config, torch.float32)
    sliding = masks["sliding_attention"] if isinstance(masks, dict) else masks
    assert (sliding[0, 0] == 0).int().tolist() == [  # prefix of four, first sequence, second sequence
        [0, 0, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 0, 1, 1],
    ]
    if isinstance(masks, dict):
        assert (masks["full_attention"][0, 0, :, :4] == 0).all()
