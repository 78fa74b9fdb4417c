"""A served head says what the head says: the golden ids out of a model folder, every weight quantizer, with a post-adapter too."""

import numpy as np
import pytest
import torch

from data_contracts.base import choices
from data_contracts.components import ComponentsSettings, LanguageModelSettings
from data_contracts.errors import ComponentError
from omni_core import components
from omni_core.mini_omni import prompts, served
from omni_core.mini_omni.decoding import answer, frames, written_tokens
from omni_core.mini_omni.prompts import Mode
from omni_core.mini_omni.starting_point import layout_on, on_language_model
from omni_core.progress import silent
from omni_core.speech_heads import Assembly, parallel, speech_head
from tests.omni_core.language_models import classes

TURNS = (
    ("What is five plus four?", "Five plus four is nine."),
    ("Turn on light 1 in the hall.", "The hall light is on."),
)


def head_on(name, folder, post_adapter_layers=0):
    """A fresh head on a tiny language model, and the language model with its tokenizer."""
    settings = LanguageModelSettings(weights=str(classes.write(name, folder)))
    lm = components.load("language_models", "huggingface", settings, folder)
    layout = layout_on(lm.model, 3, 10)
    head = on_language_model(lm.model, layout, 8, torch.Generator().manual_seed(1), post_adapter_layers, 16)
    return head.eval().requires_grad_(False), lm


def write(folder, head, tokenizer, **facts):
    """A folder as a training stage leaves it."""
    folder.mkdir()
    parallel.write(folder, head.config, parallel.saved_tensors(head), facts)
    tokenizer.save_pretrained(folder)
    return folder


def assembled(trained, folder, quantizer="none"):
    """The head's part of a model folder, and its facts."""
    folder.mkdir()
    facts = speech_head("parallel").assemble(
        Assembly(folder, {"multimodal": trained}, ComponentsSettings(), 12.5, quantizer, TURNS, folder, 1, silent)
    )
    return folder, facts


def speaker(folder, quantizer="none"):
    return speech_head("parallel").serve(folder, {"weight_quantizer": quantizer}, 1)


@pytest.fixture(scope="module")
def golden_speaker(golden_head, tmp_path_factory):
    """The golden file's model, imported, quantized by `none`, served."""
    folder = tmp_path_factory.mktemp("golden")
    _, lm = head_on("qwen2", folder / "lm")
    trained = write(folder / "trained", golden_head, lm.tokenizer)
    return speaker(assembled(trained, folder / "model")[0])


@pytest.mark.parametrize("mode", Mode)
def test_an_imported_model_is_served_with_the_golden_ids(mode, golden, golden_speaker):
    from tests.omni_core.mini_omni.test_golden import MODES, prompt_of

    features = torch.tensor(golden["audio_feature"]) if mode.hears else None
    found = answer(golden_speaker.head, prompt_of(mode), features, max_steps=40)
    assert np.array_equal(found.numpy(), golden[MODES[mode][1]])


def test_frames_are_those_of_the_golden_two_row_answer(golden, golden_speaker):
    golden_speaker.max_steps = 40
    spoken = list(golden_speaker.answer(torch.tensor(golden["audio_feature"])))
    wanted = list(frames(torch.tensor(golden["generated_AA_BATCH"]).T, golden_speaker.head.layout))
    assert torch.equal(torch.stack([frame.codes for frame in spoken]), torch.stack(wanted))
    assert [frame.last for frame in spoken] == [False] * (len(wanted) - 1) + [True]


@pytest.mark.parametrize(("name", "layers"), [("qwen2", 0), ("qwen2_5", 1), ("gemma3", 0), ("gpt2", 0), ("phi", 1)])
def test_every_class_is_served_as_it_is(name, layers, tmp_path):
    head, lm = head_on(name, tmp_path / "lm", layers)
    folder, facts = assembled(write(tmp_path / "trained", head, lm.tokenizer, pads_forced=True), tmp_path / "model")
    assert facts["logit_cosine"] > 0.9999 and facts["token_agreement"] == 1
    heard, features = speaker(folder), torch.randn(9, 8, generator=torch.Generator().manual_seed(2))
    prompt = prompts.heard(Mode.AUDIO_TO_AUDIO_PARALLEL, head.layout, 9)
    wanted = answer(head, prompt, features[None], max_steps=20, pads_forced=True)
    heard.max_steps = 20
    spoken = list(heard.answer(heard.listen(features)))
    assert torch.equal(torch.stack([frame.codes for frame in spoken]), torch.stack(list(frames(wanted.T, head.layout))))
    words = [token for token in written_tokens(wanted[-1], head.layout) if token < head.layout.text_codes]
    assert spoken[-1].text == lm.tokenizer.decode(words).strip()


@pytest.mark.parametrize("quantizer", [name for name in choices("weight_quantizers") if name != "none"])
@pytest.mark.parametrize("layers", [0, 1])
def test_quantized_it_stays_close(quantizer, layers, tmp_path):
    head, lm = head_on("qwen2", tmp_path / "lm", layers)
    trained = write(tmp_path / "trained", head, lm.tokenizer)
    if layers and quantizer == "onnx_int8":
        with pytest.raises(ComponentError, match="a post-adapter reads those before it; set quantize"):
            assembled(trained, tmp_path / "model", quantizer)
        return
    folder, facts = assembled(trained, tmp_path / "model", quantizer)
    assert facts["logit_cosine"] > 0.97, facts
    loaded = speaker(folder, quantizer)
    loaded.max_steps = 12
    assert len(list(loaded.answer(torch.randn(1, 5, 8)))) > 0
    assert facts["float32_bytes"] == sum(p.numel() * 4 for p in head.parameters())


def test_the_text_path_reads_and_writes(tmp_path):
    head, lm = head_on("qwen2", tmp_path / "lm")
    loaded = speaker(assembled(write(tmp_path / "trained", head, lm.tokenizer), tmp_path / "model")[0])
    question, ids = TURNS[0][0], lm.tokens(TURNS[0][1])
    prompt = prompts.written(Mode.TEXT_TO_TEXT, head.layout, lm.tokens(question)).tokens
    pads = head.layout.tokens(torch.full((1, 3, len(ids) - 1), head.layout.pad))
    tokens = torch.cat([prompt, torch.cat([pads, torch.tensor(ids[:-1])[None, None]], 1)], 2)
    with torch.no_grad():
        wanted = head(tokens, with_audio=False).text[0, prompt.shape[2] - 1 :]
    np.testing.assert_allclose(loaded.answer_logits(question, ids), wanted, atol=1e-4)
    said = answer(head, prompts.Prompt(Mode.TEXT_TO_TEXT, prompt), max_steps=served.MAX_WORDS_TOKENS)[0]
    words = [token for token in written_tokens(said, head.layout) if token < head.layout.text_codes]
    assert loaded.answer_text(question) == lm.tokenizer.decode(words).strip()
