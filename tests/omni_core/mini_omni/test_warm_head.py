"""A head on another language model: an exact map keeps every place, the better start is taken, both losses are on record."""

import copy

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import nn
from transformers import PreTrainedTokenizerFast

from omni_core.mini_omni import warm_head
from omni_core.mini_omni.recipe import Turn
from omni_core.mini_omni.starting_point import on_language_model
from omni_core.mini_omni.warm_head import RANDOM, WARM, choose, on_another_language_model
from omni_core.training_loop import Curve
from tests.omni_core.mini_omni.test_served import head_on

WIDTH = 64


def noise(seed=5):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    """An untied head on a byte-level model, and the model."""
    return head_on("qwen2", tmp_path_factory.mktemp("lm") / "qwen2")


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    """A tied model of other ids that scales what it reads."""
    return head_on("gemma3", tmp_path_factory.mktemp("lm") / "gemma3")[1]


def turn(seed):
    return torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=noise(seed)))[0]


def with_adapter(head, kind):
    if kind == "linear":
        head = copy.deepcopy(head)
        head.config = head.config.__class__(**{**head.config.__dict__, "adapter": "linear"})
        head.speech_adapter = nn.Linear(8, WIDTH).requires_grad_(False)
    return head


@pytest.mark.parametrize("kind", ["gated_mlp", "linear"])
@torch.no_grad()
def test_through_a_map_that_is_exact_codes_and_adapter_keep_their_places(kind, qwen, gemma):
    """What Gemma reads for a spelling is what Qwen reads, turned and moved: so are codes, and what the adapter writes."""
    head, lm = with_adapter(qwen[0], kind), copy.deepcopy(gemma)
    old, new = warm_head.shared_tokens(*(warm_head.spellings_of(one.tokenizer) for one in (qwen[1], lm)))
    table, about, moved = lm.model.get_input_embeddings(), turn(1), torch.randn(WIDTH, generator=noise())
    read = head.trunk.get_input_embeddings().weight
    table.weight[new] = (read[old] @ about + moved) / WIDTH**0.5
    heads, notes = on_another_language_model(head, qwen[1].tokenizer, lm, noise())
    made = heads[WARM]
    codes = torch.arange(made.layout.text_vocabulary_size, made.layout.total_size)
    wanted = read[head.layout.text_vocabulary_size : head.layout.total_size] @ about + moved
    torch.testing.assert_close(made.trunk.get_input_embeddings()(codes), wanted, rtol=1e-2, atol=1e-2)
    heard = torch.randn(2, 5, 8, generator=noise())
    wanted = head.speech_adapter(heard) @ about + (moved if kind == "linear" else 0)
    torch.testing.assert_close(made.speech_adapter(heard), wanted, rtol=1e-2, atol=1e-2)
    assert made.config.adapter == kind and "what recognises codes is what they are read as" in notes[-1]
    assert not torch.allclose(heads[RANDOM].speech_adapter(heard), wanted, atol=1e-1)


@torch.no_grad()
def test_an_untied_output_matrix_goes_through_a_map_of_its_own(qwen, tmp_path):
    head, _ = qwen
    _, lm = head_on("qwen2", tmp_path / "lm")
    rows, codes = len(lm.embedding), slice(head.layout.text_vocabulary_size, head.layout.total_size)
    lm.model.get_output_embeddings().weight.copy_(head.lm_head.weight[:rows] @ turn(2))
    heads, notes = on_another_language_model(head, qwen[1].tokenizer, lm, noise())
    torch.testing.assert_close(heads[WARM].lm_head.weight[codes], head.lm_head.weight[codes] @ turn(2), rtol=1e-2, atol=1e-2)  # fmt: skip
    assert "what recognises codes through one of its own, which leaves 0%" in notes[-1]


def test_without_shared_tokens_there_is_no_mapped_head_and_that_is_said(qwen, gemma):
    alien = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"zzz": 0})))
    heads, notes = on_another_language_model(qwen[0], alien, gemma, noise())
    assert list(heads) == [RANDOM] and "0 shared tokens make no map: speech is learned anew" in notes[-1]


def a_turn(layout):
    codes = torch.randint(10, (layout.num_streams, 4), generator=noise())
    return Turn([1, 2], [3, 4, 5], torch.randn(6, 8, generator=noise()), codes)


@pytest.mark.parametrize("better", [RANDOM, WARM])
def test_the_start_with_the_smaller_loss_is_taken_and_both_numbers_are_on_record(better, qwen):
    head, lm = qwen
    loud = on_language_model(lm.model, head.layout, 8, noise(), 0, 16)
    with torch.no_grad():
        loud.lm_head.weight.mul_(50)
    worse = WARM if better == RANDOM else RANDOM
    curve = Curve()
    taken, facts, note = choose({better: head, worse: loud}, [a_turn(head.layout)], 4, curve)
    assert taken is head and facts["start_warm"] == (better == WARM)
    assert facts[f"start_loss_{better}"] < facts[f"start_loss_{worse}"]
    assert {name: value for step, name, value in curve.rows if step == 0} == {k: float(v) for k, v in facts.items()}
    assert f"the start is {better}" in note
