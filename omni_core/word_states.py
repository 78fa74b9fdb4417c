"""Text of an answer enters, what the language model thinks at each of its words leaves; the head speaks from that.

A word's state is the mean of the last hidden states at its tokens. At training the question goes in as text and the
states are cached, since the model is frozen; when serving they come from the very steps that wrote the answer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from omni_core.language_models.huggingface import CausalLanguageModel


def words_of_tokens(tokenizer, ids: list[int]) -> list[int]:
    """Index of the written word (text.split()) that each token belongs to: a token that brings a space starts a word.

    Decoding grows token by token, so that every tokenizer's idea of a space is its own affair.
    """
    owners: list[int] = []
    text = ""
    for end in range(1, len(ids) + 1):
        grown = tokenizer.decode(ids[:end])
        starts_word = bool(owners) and (grown[len(text) :][:1].isspace() or text[-1:].isspace())
        owners.append((owners[-1] + starts_word) if owners else 0)
        text = grown
    return owners


def mean_by_word(states: Tensor, owners: list[int], words: int) -> Tensor:
    """States (tokens, width) -> (words, width); a word without a token gets its predecessor's."""
    index = torch.tensor(owners).clamp(max=words - 1)
    sums = torch.zeros(words, states.shape[1]).index_add_(0, index, states.float())
    counts = torch.bincount(index, minlength=words)
    for word in range(1, words):
        if counts[word] == 0:
            sums[word], counts[word] = sums[word - 1], counts[word - 1]
    return sums / counts.clamp(min=1)[:, None]


@torch.no_grad()
def states_of_answers(lm: CausalLanguageModel, pairs: list[tuple[str, str]]) -> list[Tensor]:
    """(question, answer) texts -> states (words of the answer, width), one forward pass for the batch."""
    heads = [lm.chat.prefix + lm.tokens(question) + lm.chat.suffix for question, _ in pairs]
    answers = [lm.tokens(answer) for _, answer in pairs]
    sequences = [torch.tensor(head + answer) for head, answer in zip(heads, answers, strict=True)]
    ids = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    hidden = lm.model.base_model(input_ids=ids).last_hidden_state  # padding is on the right: causality hides it
    found = []
    for row, (head, answer, (_, text)) in enumerate(zip(heads, answers, pairs, strict=True)):
        states = hidden[row, len(head) : len(head) + len(answer)]
        found.append(mean_by_word(states, words_of_tokens(lm.tokenizer, answer), len(text.split())))
    return found
