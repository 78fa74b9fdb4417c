"""The family's contract, for every class that teams use: adapter inputs, the tuned prefix, states, and the weight quantizers."""

import copy
import dataclasses
import importlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from data_contracts.components import LanguageModelSettings
from data_contracts.errors import ComponentError
from omni_core import components, listen
from omni_core.chat_format import chat_format
from omni_core.component_facts import refuse_layers_without_keys
from omni_core.listen import answer_logits, answer_loss
from omni_core.packing import pack
from omni_core.prefix import TunedPrefix, prefix_of_tokens
from omni_core.weight_quantizers import onnx_int8
from omni_core.word_states import states_of_answers, words_of_tokens
from tests.omni_core.language_models import classes

SMOLLM2 = Path(__file__).resolve().parents[3] / "var" / "weights" / "smollm2_135m_instruct"
REAL = "smollm2, its real weights"
QUESTION, ANSWER = "Turn on light 1 in the hall.", "The hall light is on."
MIN_COSINE = {"none": 0.99999, "dynamic_int8": 0.97, "onnx_int8": 0.98}
"""To the plain float32 pass, mean over the positions of an answer, as omni_core.quantize measures it."""


def load(folder):
    settings = LanguageModelSettings(weights=str(folder), system_prompt="Answer in one short sentence.")
    return components.load("language_models", "huggingface", settings, Path(folder))


@pytest.fixture(scope="module", params=[*classes.CLASSES, REAL])
def lm(request, tmp_path_factory):
    if request.param == REAL:
        if not SMOLLM2.is_dir():
            pytest.skip("the bundled weights are not here; `make weights` fetches them")
        return load(SMOLLM2)
    return load(classes.write(request.param, tmp_path_factory.mktemp(request.param)))


@torch.no_grad()
def plain(lm, answer=ANSWER):
    """The slow obvious way: the conversation as ids through one forward pass -> (ids, head's length, outputs)."""
    head = lm.chat.prefix + lm.tokens(QUESTION) + lm.chat.suffix
    ids = [*head, *lm.tokens(answer), lm.chat.end]
    return ids, len(head), lm.model(input_ids=torch.tensor([ids]), output_hidden_states=True)


@torch.no_grad()
def test_embeddings_fed_in_are_what_the_ids_would_have_been(lm):
    ids, _, wanted = plain(lm)
    found = lm.model(inputs_embeds=lm.embedding[ids][None]).logits
    assert lm.embedding.shape[1] == lm.width
    torch.testing.assert_close(found, wanted.logits, atol=2e-4, rtol=1e-4)


@torch.no_grad()
def test_behind_the_prefix_the_answer_costs_what_it_costs_in_the_whole_text(lm):
    ids, head, outputs = plain(lm)
    slow = F.cross_entropy(outputs.logits[0, head - 1 : -1], torch.tensor(ids[head:]))
    prefix = prefix_of_tokens(lm.model, lm.chat.prefix)
    assert prefix.positions == len(lm.chat.prefix)
    assert answer_loss(lm, prefix, [lm.embedding[lm.tokens(QUESTION)]], [ANSWER]) == pytest.approx(
        float(slow), abs=1e-3
    )


@torch.no_grad()
@pytest.mark.parametrize("row_positions", [1, 40, 512])
def test_turns_that_share_a_row_cost_what_each_costs_alone(lm, monkeypatch, row_positions):
    """Whatever the rows: one turn each, some, all in one; also where a layer looks back no further than a window."""
    prefix = prefix_of_tokens(lm.model, lm.chat.prefix)
    questions = [lm.embedding[lm.tokens(text)] for text in (QUESTION, "Is it?", QUESTION + " And in the hall?")]
    answers = [ANSWER, "Yes.", "No, it is not."]
    alone = [
        answer_logits(lm, prefix, [question], [answer]) for question, answer in zip(questions, answers, strict=True)
    ]
    monkeypatch.setattr(listen, "pack", partial(pack, row_positions=row_positions))
    logits, ids = answer_logits(lm, prefix, questions, answers)
    assert ids.tolist() == [token for _, tokens in alone for token in tokens.tolist()]
    torch.testing.assert_close(logits, torch.cat([found for found, _ in alone]), atol=2e-3, rtol=1e-3)


def test_prefix_and_adapter_learn_and_the_model_does_not(lm):
    prefix = prefix_of_tokens(lm.model, lm.chat.prefix)
    question = lm.embedding[lm.tokens(QUESTION)].detach().clone().requires_grad_()
    answer_loss(lm, prefix, [question, question[:2]], [ANSWER, "Yes."]).backward()
    layers = prefix.keys_values.grad.abs().sum(dim=(1, 2, 3, 4))
    assert (layers > 0).all() and question.grad.abs().sum() > 0
    assert all(p.grad is None for p in lm.model.parameters())


@torch.no_grad()
def test_training_in_bfloat16_sees_nearly_the_same_loss(lm):
    """As omni_core.listen trains: the frozen weights in bfloat16, under autocast, questions in float32."""
    prefix, question = prefix_of_tokens(lm.model, lm.chat.prefix), [lm.embedding[lm.tokens(QUESTION)].clone()]
    exact = answer_loss(lm, prefix, question, [ANSWER])
    half = dataclasses.replace(lm, model=copy.deepcopy(lm.model))
    half.halve_matrices()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = answer_loss(half, prefix, question, [ANSWER])
    assert rounded == pytest.approx(float(exact), rel=0.02, abs=0.02)


@torch.no_grad()
def test_states_are_those_of_the_plain_pass_at_the_answers_words(lm):
    _, head, outputs = plain(lm)
    tokens = lm.tokens(ANSWER)
    last = outputs.hidden_states[-1][0, head : head + len(tokens)]
    owners = words_of_tokens(lm.tokenizer, tokens)
    assert max(owners) + 1 == len(ANSWER.split())
    slow = [last[[o == word for o in owners]].mean(0) for word in range(max(owners) + 1)]
    found = states_of_answers(lm, [(QUESTION, ANSWER), ("Yes?", "No.")])[0]
    torch.testing.assert_close(found, torch.stack(slow), atol=2e-3, rtol=1e-3)


def test_the_pieces_of_the_chat_put_together_are_the_templates_own_text(lm):
    pieces = [*lm.chat.prefix, *lm.tokens(QUESTION), *lm.chat.suffix, *lm.tokens(ANSWER), lm.chat.end]
    said = lm.tokenizer.decode(pieces)
    for text in ("Answer in one short sentence.", QUESTION, ANSWER):
        assert said.count(text) == 1
    assert lm.tokenizer.decode([lm.chat.end]) in ("<|im_end|>", "<end_of_turn>", "<eos>", "<|endoftext|>")
    if lm.tokenizer("a")["input_ids"][0] == lm.tokenizer.bos_token_id:  # a tokenizer that writes a start token
        assert lm.chat.prefix[0] == lm.tokenizer.bos_token_id and lm.chat.prefix.count(lm.chat.prefix[0]) == 1


def serve(name, lm, folder):
    quantizer = importlib.import_module(f"omni_core.weight_quantizers.{name}")
    quantizer.quantize(lm, folder)
    return quantizer.load(folder, 1)


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def assert_serves(served, lm, least):
    """Step by step behind the prefix, twice, as the model does in one plain pass."""
    ids, head, outputs = plain(lm)
    prefix = prefix_of_tokens(lm.model, lm.chat.prefix).keys_values.detach().numpy()
    for _ in range(2):  # start must forget the conversation before
        served.start(prefix)
        at, logit_cosines, state_cosines = len(lm.chat.prefix), [], []
        for end in (head - 2, head, *range(head + 1, len(ids) + 1)):
            logits, hidden = served.step(lm.embedding[ids[at:end]].numpy())
            assert hidden.shape == (end - at, lm.width)
            logit_cosines.append(cosine(logits, outputs.logits[0, end - 1].numpy()))
            state_cosines.append(cosine(hidden[-1], outputs.hidden_states[-1][0, end - 1].numpy()))
            at = end
        assert np.mean(logit_cosines) > least and np.mean(state_cosines) > least


@pytest.mark.parametrize("name", ["none", "dynamic_int8"])
def test_served_by_torch_it_says_the_same(name, lm, tmp_path):
    before = {k: v.clone() for k, v in lm.model.state_dict().items()} if lm.width < 100 else {}
    assert_serves(serve(name, lm, tmp_path), lm, MIN_COSINE[name])
    assert all(torch.equal(lm.model.state_dict()[k], v) for k, v in before.items()), "quantizing altered the model"


@pytest.mark.parametrize("name", ["gemma3", "phi"])
def test_served_by_onnx_it_says_the_same(name, tmp_path):
    """The two that differ most from Llama; all the others are measured in docs/language_models.md."""
    lm = load(classes.write(name, tmp_path / "source"))
    (tmp_path / "served").mkdir()
    assert_serves(serve("onnx_int8", lm, tmp_path / "served"), lm, MIN_COSINE["onnx_int8"])


def test_a_class_that_onnx_cannot_build_is_one_sentence_at_once(tmp_path):
    lm = load(classes.write("gpt2", tmp_path / "source"))
    (tmp_path / "served").mkdir()
    with pytest.raises(ComponentError, match=r"cannot convert GPT2LMHeadModel.*dynamic_int8"):
        onnx_int8.quantize(lm, tmp_path / "served")


def test_gemmas_scaled_positions_are_refused_before_they_would_be_wrong():
    rope = {"sliding_attention": {"rope_type": "default"}, "full_attention": {"rope_type": "linear", "factor": 8.0}}
    onnx_int8.refuse_what_cannot_be_built("Gemma3ForCausalLM", {})
    with pytest.raises(ComponentError, match=r"would scale the positions of all .* dynamic_int8"):
        onnx_int8.refuse_what_cannot_be_built("Gemma3ForCausalLM", {"text_config": {"rope_parameters": rope}})


def test_every_linear_map_of_gpt2_is_int8(tmp_path):
    lm = load(classes.write("gpt2", tmp_path / "source"))
    served = serve("dynamic_int8", lm, tmp_path)
    kinds = {type(m).__module__.split(".")[2] for m in served.model.modules() if "Linear" in type(m).__name__}
    assert kinds == {"nn"} and not any("Conv1D" in type(m).__name__ for m in served.model.modules())


def test_gemmas_window_is_shorter_than_its_prefix_and_all_of_it_is_kept(tmp_path):
    lm = load(classes.write("gemma3", tmp_path))
    assert len(lm.chat.prefix) > classes.WINDOW
    assert isinstance(prefix := prefix_of_tokens(lm.model, lm.chat.prefix), TunedPrefix)
    assert prefix.keys_values.shape == (2, 2, 1, len(lm.chat.prefix), 32)


def test_layers_that_keep_no_keys_are_refused():
    refuse_layers_without_keys("a model", ["sliding_attention", "full_attention"])
    with pytest.raises(ComponentError, match="linear_attention, which keep no keys and values"):
        refuse_layers_without_keys("a model", ["linear_attention", "full_attention"])


def test_a_template_that_writes_the_answer_twice_is_refused(tmp_path):
    words = classes.tokenizer("bytes", "{% for m in messages %}{{ m['content'] + m['content'] }}{% endfor %}")
    with pytest.raises(ComponentError, match="once each"):
        chat_format(words, "x")
