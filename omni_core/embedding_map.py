"""Two language models' tokens enter; which are spelled alike, how old embeddings map to new ones and how letters are shared leave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

RIDGES = (1e-6, 1e-4, 1e-2, 1.0)
"""Candidates, in units of the mean variance of an old coordinate; the held-out shared tokens choose."""
HELD_OUT_EVERY = 10
"""Each tenth shared token measures the map instead of making it."""


# ---------------------------------------------------------------- spelling


def byte_alphabet() -> dict[str, int]:
    """Character -> byte, as byte-level vocabularies write bytes (GPT-2): printable ones as they are, others from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def spellings(tokens: Sequence[str | None]) -> list[bytes]:
    """Tokens as the vocabulary writes them -> the text that each stands for, so that "Ġlight" and "▁light" are one.

    A vocabulary with more tokens that begin with "Ġ" (a space in GPT-2's alphabet of bytes) than with "▁" is byte-level;
    in others "▁" is a space and <0x0A> a byte. An id without a token (None) stands for nothing.
    """
    known = [token or "" for token in tokens]
    if sum(token.startswith("Ġ") for token in known) > sum(token.startswith("▁") for token in known):
        alphabet = byte_alphabet()
        return [
            bytes(alphabet[c] for c in token) if all(c in alphabet for c in token) else token.encode()
            for token in known
        ]
    return [_of_sentencepiece(token) for token in known]


def spellings_of(tokenizer: Any) -> list[bytes]:
    """Of every id of a tokenizer of transformers."""
    return spellings(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))


def _of_sentencepiece(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()


def shared_tokens(old: Sequence[bytes], new: Sequence[bytes]) -> tuple[Tensor, Tensor]:
    """Ids of the old and of the new vocabulary that are spelled alike, in the old one's order; of doubles the first."""
    place = {spelling: id_ for id_, spelling in reversed(list(enumerate(new)))}
    pairs: dict[int, int] = {}
    for id_, spelling in enumerate(old):
        if spelling and spelling in place:
            pairs.setdefault(place[spelling], id_)
    return torch.tensor(list(pairs.values()), dtype=torch.long), torch.tensor(list(pairs), dtype=torch.long)


# ---------------------------------------------------------------- the map between embedding spaces


@dataclass(frozen=True)
class EmbeddingMap:
    """new = (old - old_mean) @ matrix + new_mean. error: what is left of held-out tokens' variance, 0 to about 1."""

    matrix: Tensor
    old_mean: Tensor
    new_mean: Tensor
    shared: int
    error: float

    def __call__(self, old: Tensor) -> Tensor:
        """(tokens, old width) -> (tokens, new width)."""
        return (old - self.old_mean) @ self.matrix + self.new_mean

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """A last layer (old width, inputs) and its bias -> those of the new width: a difference has no mean."""
        return self.matrix.T @ weight, bias @ self.matrix


def fit_map(old: Tensor, new: Tensor) -> EmbeddingMap:
    """Least squares from old rows to new rows, one a shared token; the ridge that serves held-out tokens best.

    With more tokens than coordinates the smallest ridge wins and a rotation comes back exactly; with fewer, a larger one.
    """
    old, new = old.double(), new.double()
    held = torch.arange(len(old)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    ridge, error = 1.0, 1.0
    if held.any():
        errors = {
            candidate: _error(_solve(old[~held], new[~held], candidate), old[held], new[held]) for candidate in RIDGES
        }
        ridge, error = min(errors.items(), key=lambda item: item[1])
    matrix, old_mean, new_mean = _solve(old, new, ridge)
    return EmbeddingMap(matrix.float(), old_mean.float(), new_mean.float(), len(old), error)


def _solve(old: Tensor, new: Tensor, ridge: float) -> tuple[Tensor, Tensor, Tensor]:
    old_mean, new_mean = old.mean(0), new.mean(0)
    x, y = old - old_mean, new - new_mean
    gram = x.T @ x
    penalty = ridge * gram.diagonal().mean().clamp(min=1e-12)
    matrix = torch.linalg.solve(gram + penalty * torch.eye(len(gram), dtype=gram.dtype), x.T @ y)
    return matrix, old_mean, new_mean


def _error(solved: tuple[Tensor, Tensor, Tensor], old: Tensor, new: Tensor) -> float:
    matrix, old_mean, new_mean = solved
    left = (old - old_mean) @ matrix + new_mean - new
    return float(left.square().sum() / (new - new_mean).square().sum())


# ---------------------------------------------------------------- two ways of cutting one text


def spans(ids: Iterable[int], spelled: Sequence[bytes]) -> tuple[bytes, list[tuple[int, int, int]]]:
    """Token ids -> their text without outer spaces, and (id, start, end) of each token in it."""
    text = b"".join(spelled[id_] for id_ in ids)
    left = len(text) - len(text.lstrip())
    found, at = [], -left
    for id_ in ids:
        found.append((id_, at, at := at + len(spelled[id_])))
    return text.strip(), found


def overlaps(old: list[tuple[int, int, int]], new: list[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Two ways of cutting one text -> (old id, new id, bytes that both hold)."""
    for old_id, old_start, old_end in old:
        for new_id, new_start, new_end in new:
            if (both := min(old_end, new_end) - max(old_start, new_start)) > 0:
                yield old_id, new_id, both
