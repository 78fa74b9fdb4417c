"""The map between two embedding spaces is exact where one is a rotation of the other; spellings are one whatever their make."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.other_base import random_rotation
from omni_core.embedding_map import byte_alphabet, fit_map, overlaps, shared_tokens, spans, spellings
from tests.omni_core.language_models.classes import CLASSES, TEXTS, tokenizer


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_rotated_space_gives_its_rotation_back():
    old, rotation = torch.randn(400, 24, generator=generator()) + 3, random_rotation(24, generator(1)).float()
    fitted = fit_map(old, old @ rotation - 5)
    assert torch.allclose(fitted.matrix, rotation, atol=1e-4) and fitted.error < 1e-9 and fitted.shared == 400
    assert torch.allclose(fitted(old), old @ rotation - 5, atol=1e-3)


def test_a_wider_space_is_reached_too():
    old, wide = torch.randn(300, 8, generator=generator()), torch.randn(8, 20, generator=generator(1))
    fitted = fit_map(old, old @ wide)
    assert fitted.matrix.shape == (8, 20) and torch.allclose(fitted(old), old @ wide, atol=1e-3)


def test_with_fewer_tokens_than_coordinates_a_ridge_beats_none_on_unseen_tokens():
    """Noise in 30 tokens of 40 coordinates is learned by heart without a ridge."""
    rotation = random_rotation(40, generator(1)).float()
    old = torch.randn(200, 40, generator=generator())
    new = old @ rotation + 0.5 * torch.randn(200, 40, generator=generator(2))
    fitted = fit_map(old[:30], new[:30])
    plain = torch.linalg.lstsq(old[:30] - old[:30].mean(0), new[:30] - new[:30].mean(0)).solution
    unseen = (old[30:] - old[:30].mean(0)) @ plain + new[:30].mean(0)
    assert (fitted(old[30:]) - new[30:]).square().mean() < (unseen - new[30:]).square().mean()


def test_spaces_that_have_nothing_in_common_are_known_by_their_error():
    fitted = fit_map(torch.randn(300, 8, generator=generator()), torch.randn(300, 8, generator=generator(1)))
    assert fitted.error > 0.9


def test_the_last_layer_folded_is_the_map_after_it():
    old = torch.randn(100, 6, generator=generator())
    fitted = fit_map(old, old @ random_rotation(6, generator(1)).float() + 2)
    layer = torch.nn.Linear(4, 6)
    weight, bias = fitted.fold(layer.weight, layer.bias)
    inputs, embeddings = torch.randn(5, 4), old[:5]
    assert torch.allclose(fitted(embeddings) + inputs @ weight.T + bias, fitted(embeddings + layer(inputs)), atol=1e-4)


def test_the_alphabet_of_bytes_is_that_of_the_library():
    from tokenizers import pre_tokenizers

    assert set(byte_alphabet()) == set(pre_tokenizers.ByteLevel.alphabet()) and len(byte_alphabet()) == 256


def test_both_spellings_of_a_space_are_one():
    assert spellings(["Ġlight", "light", "Ċ", "<|end|>"]) == [b" light", b"light", b"\n", b"<|end|>"]
    assert spellings(["▁light", "light", "<0x0A>", "<end>", None]) == [b" light", b"light", b"\n", b"<end>", b""]


@pytest.mark.parametrize("name", ["llama", "smollm2", "qwen2", "gpt2"])
@pytest.mark.parametrize("text", [*TEXTS, "Où est l'été?"])
def test_the_spellings_of_a_text_s_tokens_are_the_text(name, text):
    made = tokenizer(*CLASSES[name][2:])
    spelled = spellings(made.convert_ids_to_tokens(list(range(len(made)))))
    ids = made(text, add_special_tokens=False)["input_ids"]
    found, places = spans(ids, spelled)
    assert found == text.encode() and places[-1][2] == len(found) and [id_ for id_, _, _ in places] == ids


def test_tokens_are_shared_by_spelling_and_not_by_number():
    old, new = shared_tokens([b" a", b"b", b"", b"c", b"b"], [b"c", b" a", b"", b"d"])
    assert old.tolist() == [0, 3] and new.tolist() == [1, 0]


CUTS = st.lists(st.integers(1, 4), min_size=1, max_size=6)


@given(CUTS, CUTS)
def test_overlaps_are_those_of_single_letters(first, second):
    """Against the slow obvious way: letter by letter."""
    length = min(sum(first), sum(second))

    def cut(sizes):
        found, at = [], 0
        for token, size in enumerate(sizes):
            found.append((token, at, min(at + size, length)))
            at = min(at + size, length)
        return found

    one, two = cut(first), cut(second)
    slow: dict[tuple[int, int], int] = {}
    for letter in range(length):
        owners = tuple(next(t for t, a, b in way if a <= letter < b) for way in (one, two))
        slow[owners] = slow.get(owners, 0) + 1
    assert {(a, b): n for a, b, n in overlaps(one, two)} == slow
