"""What two models have in common is read from their files; what only sounds changes no part, everything else does."""

import json

import pytest

from data_contracts.base import choices
from data_contracts.components import ComponentsSettings
from omni_core.answering_parts import answering_parts
from omni_core.components import constant

OF_THE_HEAD = {
    "talker": ("listen/model.safetensors", "speak/model.safetensors"),
    "parallel": ("head/around.safetensors",),
}
FILES = ("encoder/model.safetensors", "codec/codec.safetensors", "weights/hifigan_universal/model.safetensors",
         "language_model/model.onnx", "tokenizer/tokenizer.json", "embeddings.safetensors")  # fmt: skip
RUNS_THEM = {"settings", "code", "libraries", "threads"}


@pytest.fixture
def model(tmp_path):
    """model("talker") -> folder of a served model, as far as its parts are told by it."""

    def make(head):
        for name in (*FILES, *OF_THE_HEAD[head]):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"weights of {name}")
        parts = ComponentsSettings(speech_head={"name": head}).model_dump(mode="json")
        card = {"components": parts, "language": "en", "context": 512, "weight_quantizer": "onnx_int8"}
        (tmp_path / "model.json").write_text(json.dumps(card))
        return tmp_path

    return make


def changed(before, after):
    return {part for part in before | after if before.get(part) != after.get(part)}


def retrained(folder, name, threads=2):
    """Parts that differ once a file holds other weights."""
    before = answering_parts(folder, threads)
    (folder / name).write_text("other weights")
    return changed(before, answering_parts(folder, threads))


@pytest.mark.parametrize("name", [*FILES[1:3], "speak/model.safetensors"])
def test_another_codec_vocoder_or_talker_changes_no_part(model, name):
    assert retrained(model("talker"), name) == set()


@pytest.mark.parametrize("name", [FILES[0], "listen/model.safetensors", *FILES[3:]])
def test_another_encoder_adapter_language_model_tokenizer_or_table_changes_its_part_alone(model, name):
    assert retrained(model("talker"), name) == {name.split("/")[0]}


def test_a_head_that_says_text_and_codes_together_is_one_of_the_parts(model):
    folder = model("parallel")
    assert (
        retrained(folder, "head/around.safetensors") == {"head"}
        and retrained(folder, "codec/codec.safetensors") == set()
    )


def test_a_file_that_nobody_thought_of_is_a_part(model):
    folder = model("talker")
    before = answering_parts(folder, 2)
    (folder / "reranker.safetensors").write_text("new")
    assert changed(before, answering_parts(folder, 2)) == {"reranker.safetensors"}


@pytest.mark.parametrize(
    ("where", "value", "differ"),
    [
        (("components", "language_model", "system_prompt"), "Answer in rhymes.", {"settings"}),
        (("components", "encoder", "window_s"), 30, {"settings"}),
        (("weight_quantizer",), "none", {"settings", "code"}),
        (("components", "encoder", "name"), "log_mel", {"settings", "code"}),
        (("context",), 64, {"settings"}),
        (("components", "language_model", "weights"), "/elsewhere/the/same/files", set()),
        (("components", "codec", "patch_frames"), 4, set()),
        (("components", "speech_head", "width"), 64, set()),
    ],
)
def test_settings_count_as_far_as_they_decide_the_text_and_names_of_weights_do_not(model, where, value, differ):
    folder = model("talker")
    before, card = answering_parts(folder, 2), json.loads((folder / "model.json").read_text())
    group = card
    for key in where[:-1]:
        group = group[key]
    group[where[-1]] = value
    (folder / "model.json").write_text(json.dumps(card))
    assert changed(before, answering_parts(folder, 2)) == differ
    assert changed(before, answering_parts(folder, 1)) == differ | {"threads"}


def test_the_parts_of_a_model_are_told_whole(model):
    told = answering_parts(model("talker"), 2)
    assert set(told) == RUNS_THEM | {"encoder", "listen", "language_model", "tokenizer", "embeddings.safetensors"}
    assert "torch 2" in told["libraries"] and all(told.values())


@pytest.mark.parametrize("head", choices("speech_heads"))
def test_every_head_says_what_of_it_only_sounds(head):
    assert isinstance(constant("speech_heads", head, "SOUND_ONLY"), tuple)
