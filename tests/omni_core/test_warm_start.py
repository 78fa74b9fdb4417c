"""A start is carried over to other components, and taken only where it is better than a random one on validation."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.other_base import random_rotation, rotated, smaller_vocabulary, with_rows
from data_contracts.base import FileEntry
from data_contracts.components import EncoderSettings, LanguageModelSettings
from data_contracts.errors import WeightsError
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from data_contracts.train import Checkpoint, ListenSettings
from omni_core import components, listen, warm_start
from omni_core.listen import ListenData
from omni_core.start_folder import start_folder
from omni_core.training_loop import Curve
from omni_core.warm_start import Donor, best_start, carry_over, start_adapter, start_answers
from tests.flows import tiny

WIDTH, FRAMES_A_LETTER = 12, 3
HEARD = EncoderSettings(name="log_mel", weights="")


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tiny.write_language_model(tmp_path_factory.mktemp("lm"), tiny.turns(count=4))
    settings = LanguageModelSettings(weights=str(folder), system_prompt="Answer.")
    return components.load("language_models", "huggingface", settings, tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def whole_matrices(lm):
    """Training halves the model's matrices."""
    yield
    lm.model.float()


def data_of(rows) -> ListenData:
    """Questions whose every letter sounds alike wherever it stands: an adapter can learn them in seconds."""
    sounds = torch.randn(256, WIDTH, generator=torch.Generator().manual_seed(5))
    turns, features = [], {}
    for number, row in enumerate(rows):
        turns.append({**row, "question_id": f"q{number}", "topic": "t"})
        letters = torch.tensor(list(row["question_text"].encode()))
        features[f"q{number}"] = sounds[letters].repeat_interleave(FRAMES_A_LETTER, 0).half()
    return ListenData(turns, features)


@pytest.fixture(scope="module")
def data():
    return data_of(tiny.turns())


@pytest.fixture(scope="module")
def held_out(data):
    return ListenData(data.turns[:4], data.features)


SETTINGS = ListenSettings(alignment_steps=40, alignment_batch=8, learning_rate=3e-3, prefix_examples=1, answer_batch=4)


@pytest.fixture(scope="module")
def donor(lm, data, tmp_path_factory):
    """A trained adapter whose last layer adds something, and a prefix that is not the fresh one."""
    adapter = listen.new_adapter(lm, data, 50.0, 0)
    listen.train_alignment(adapter, lm, data, SETTINGS, tmp_path_factory.mktemp("work"), Curve())
    torch.manual_seed(1)
    torch.nn.init.normal_(adapter.correction.weight, std=0.01)
    torch.nn.init.normal_(adapter.correction.bias, std=0.01)
    prefix = listen.first_prefix(lm, data, SETTINGS)
    return Donor(adapter.requires_grad_(False), prefix, HEARD, lm.system_prompt, lm.tokenizer, lm.embedding.bfloat16())


@pytest.fixture(scope="module")
def turned(lm):
    """The same language model with its embedding space turned, and the rotation."""
    rotation = random_rotation(lm.width, torch.Generator().manual_seed(3))
    return replace(lm, model=rotated(lm.model, rotation)), rotation.float()


def questions(data) -> list[str]:
    return sorted({turn["question_text"] for turn in data.turns})


def test_the_turned_model_says_the_same(lm, turned):
    ids = torch.tensor([lm.tokens("Turn on light 1 in the hall.")])
    assert torch.allclose(turned[0].model(ids).logits, lm.model(ids).logits, atol=1e-3)
    assert not torch.allclose(turned[0].embedding, lm.embedding, atol=0.01)


def test_on_a_turned_model_the_carried_adapter_is_the_old_one_turned(lm, turned, donor, data):
    other, rotation = turned
    exact = replace(donor, embeddings=lm.embedding.detach())
    warm, notes = carry_over(exact, listen.new_adapter(other, data, 50.0, 1).eval(), other, questions(data))
    assert notes["map_error"] < 1e-6 and notes["map_shared_tokens"] == len(lm.tokenizer)
    for turn in data.turns[:5]:
        tokens, embeddings = donor.adapter.listen(data.heard(turn))
        carried = warm.listen(data.heard(turn))
        assert carried[0] == tokens and torch.allclose(carried[1], embeddings @ rotation, atol=1e-3)


def test_with_the_same_model_all_is_as_it_was(lm, donor, data):
    warm, notes = carry_over(donor, listen.new_adapter(lm, data, 50.0, 1).eval(), lm, questions(data))
    assert notes == {}
    for name, value in donor.adapter.state_dict().items():
        assert torch.allclose(warm.state_dict()[name], value, atol=1e-6), name


def test_another_tokenizer_starts_from_what_stood_for_the_same_letters(lm, donor, data, held_out):
    words, rows = smaller_vocabulary(lm.tokenizer, 36, torch.Generator().manual_seed(0))
    other = replace(lm, tokenizer=words, model=with_rows(lm.model, rows, words.eos_token_id))
    random = listen.new_adapter(other, data, 50.0, 1).eval()
    assert len(lm.tokens(questions(data)[0])) < len(other.tokens(questions(data)[0]))
    curve = Curve()
    warm = start_adapter(donor, random, HEARD, other, data, held_out, curve)
    assert warm is not random and curve.last("start_alignment_warm") == 1
    assert curve.last("start_alignment_loss_warm") < curve.last("start_alignment_loss_random") / 2
    assert curve.last("start_alignment_loss_warm") == pytest.approx(
        listen.validation_alignment_loss(warm, other, held_out), abs=1e-5
    )


def test_a_start_that_is_worse_than_random_is_left(lm, donor, data, held_out):
    """The donor's classes are shuffled: it hears clearly, and wrongly."""
    import copy

    wrong = copy.deepcopy(donor.adapter)
    wrong.classes.weight.data = 40 * wrong.classes.weight.data.roll(7, 0)
    random, curve = listen.new_adapter(lm, data, 50.0, 1).eval(), Curve()
    assert start_adapter(replace(donor, adapter=wrong), random, HEARD, lm, data, held_out, curve) is random
    assert curve.last("start_alignment_warm") == 0
    assert curve.last("start_alignment_loss_warm") > curve.last("start_alignment_loss_random")


@pytest.mark.parametrize(
    ("losses", "best"),
    [({"random": 2.0, "warm": 1.0}, "warm"), ({"random": 1.0, "warm": 2.0}, "random"), ({"random": 1.0, "warm": 1.0}, "random"),
     ({"random": 1.0, "warm": float("nan")}, "random"), ({"random": 3.0, "warm": 2.0, "warm_later_layers": 1.0}, "warm_later_layers"),
     ({"random": float("inf"), "warm": 5.0}, "warm")],
)  # fmt: skip
def test_only_what_is_under_the_random_start_is_taken(losses, best):
    assert best_start(losses) == best


def test_an_encoder_of_another_width_keeps_the_later_layers(lm, donor, data, held_out):
    wider = ListenData(data.turns, {name: f.repeat(1, 2) for name, f in data.features.items()})
    random = listen.new_adapter(lm, wider, 50.0, 1).eval()
    warm, _ = carry_over(donor, random, lm, questions(data))
    assert torch.equal(warm.project.weight, random.project.weight)
    assert torch.equal(warm.local.weight, donor.adapter.local.weight)
    assert torch.allclose(warm.classes.weight, donor.adapter.classes.weight, atol=1e-6)


def test_another_encoder_of_the_same_width_is_asked_with_and_without_the_first_layers(lm, donor, data, held_out):
    curve = Curve()
    random = listen.new_adapter(lm, data, 50.0, 1).eval()
    start_adapter(donor, random, EncoderSettings(name="log_mel", weights="", layer=1), lm, data, held_out, curve)
    names = {name for _, name, _ in curve.rows}
    assert {f"start_alignment_loss_{way}" for way in ("random", "warm", "warm_later_layers")} <= names


def fresh(lm, data):
    return listen.first_prefix(lm, data, SETTINGS)


def test_the_prefix_goes_on_with_its_own_model_where_it_is_better(lm, donor, data, held_out, tmp_path):
    adapter, tuned, first = donor.adapter, fresh(lm, data), fresh(lm, data)
    settings = SETTINGS.model_copy(update={"answer_steps": 6, "answer_learning_rate": 0.02})
    listen.train_answers(adapter, tuned, lm, data, settings, tmp_path, Curve())
    curve = Curve()
    kept = start_answers(replace(donor, prefix=tuned), adapter, first, lm, held_out, curve)
    assert torch.equal(kept.keys_values, tuned.keys_values) and kept.keys_values.requires_grad
    assert curve.last("start_answer_loss_warm") < curve.last("start_answer_loss_random")


def test_a_prefix_that_is_worse_is_left_and_the_last_layer_with_it(lm, donor, data, held_out):
    import copy

    prefix, curve, adapter = fresh(lm, data), Curve(), copy.deepcopy(donor.adapter)
    worse = copy.deepcopy(prefix)
    worse.keys_values.data.mul_(-20)
    assert start_answers(replace(donor, prefix=worse), adapter, prefix, lm, held_out, curve) is prefix
    assert curve.last("start_answer_warm") == 0 and not adapter.correction.weight.any()


def test_where_nothing_was_carried_nothing_is_asked(turned, donor, data, held_out):
    adapter, curve = listen.new_adapter(turned[0], data, 50.0, 1), Curve()
    prefix = fresh(turned[0], data)
    assert start_answers(donor, adapter, prefix, turned[0], held_out, curve) is prefix and curve.rows == []


def test_the_text_path_is_the_slow_obvious_divergence(lm, data):
    """Whole logits of each turn alone, divergence position by position."""
    torch.manual_seed(0)
    prefix, weight = fresh(lm, data), 3.0
    turns = data.turns[:3]
    heard = [lm.embedding[lm.tokens(t["question_text"])] + 0.1 * torch.randn(1, lm.width) for t in turns]
    heard[1] = torch.cat([heard[1], torch.randn(2, lm.width)])  # one hears more than was said
    tokens, ends = [], []
    for turn, embeddings in zip(turns, heard, strict=True):
        ids = [*lm.tokens(turn["answer_text"]), lm.chat.end]
        both = []
        for question in (lm.embedding[lm.tokens(turn["question_text"])], embeddings):
            whole = torch.cat([question, lm.embedding[lm.chat.suffix], lm.embedding[ids[:-1]]])[None]
            places = prefix.positions + torch.arange(whole.shape[1])[None]
            logits = lm.model(inputs_embeds=whole, past_key_values=prefix.cache(1), position_ids=places).logits[0]
            both.append(logits[-len(ids) :].softmax(-1))
        for place, (teacher, student) in enumerate(zip(*both, strict=True)):
            divergence = float((teacher * (teacher.log() - student.log())).sum())
            (ends if place == len(ids) - 1 else tokens).append(divergence)
    slow = sum(tokens) / len(tokens) + weight * sum(ends) / len(ends)
    texts = [[turn[f"{side}_text"] for turn in turns] for side in ("question", "answer")]
    assert float(listen.text_path_loss(lm, prefix, heard, *texts, weight)) == pytest.approx(slow, rel=1e-3)
    exact = [lm.embedding[lm.tokens(t["question_text"])] for t in turns]
    assert float(listen.text_path_loss(lm, prefix, exact, *texts, weight)) == pytest.approx(0, abs=1e-5)


def test_the_text_path_teaches_the_last_layer_alone(lm, donor, data, tmp_path):
    import copy

    adapter, prefix, curve = copy.deepcopy(donor.adapter), fresh(lm, data), Curve()
    before, cache = copy.deepcopy(adapter.state_dict()), prefix.keys_values.detach().clone()
    settings = SETTINGS.model_copy(update={"text_path_steps": 8, "text_path_learning_rate": 3e-3})
    listen.train_text_path(adapter, prefix, lm, data, settings, tmp_path, curve)
    changed = {name for name, value in adapter.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"correction.weight", "correction.bias"} and torch.equal(prefix.keys_values, cache)
    losses = [value for _, name, value in curve.rows if name == "text_path_loss"]
    assert sum(losses[-3:]) < sum(losses[:3])


def manifest_of(store, **splits: str) -> Manifest:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with store.scratch(Manifest.kind) as folder:
        table = pa.table({"question_id": list(splits), "split": list(splits.values())})
        pq.write_table(table, folder / "turns.parquet")
        return store.commit(Manifest, folder)


def model_of(store, manifest) -> QuantizedModel:
    made = []
    for kind, inputs in ((Checkpoint, {"manifest": manifest}), (QuantizedModel, None)):
        with store.scratch(kind.kind) as folder:
            (folder / "x").write_text(kind.kind)
            made.append(store.commit(kind, folder, inputs=inputs or {"listen": made[0]}))
    return made[1]


def test_a_model_that_learned_what_is_held_out_now_is_known(store):
    model = model_of(store, manifest_of(store, a="train", b="train", c="test"))
    grown = manifest_of(store, a="train", b="train", c="test", d="validation")
    moved = manifest_of(store, a="train", b="test", c="train")
    assert warm_start.held_out_questions_learned(store, model, grown) == 0
    assert warm_start.held_out_questions_learned(store, model, moved) == 1
    unknown = QuantizedModel(digest="d", kind_name="model", files={"x": FileEntry(sha256="s", size_bytes=1)})
    assert warm_start.held_out_questions_learned(store, unknown, moved) == 0


def test_a_folder_that_is_no_served_model_is_one_sentence(tmp_path):
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"has no embeddings.safetensors, tokenizer, listen\); name one"):
        start_folder(str(tmp_path), "listen")
    with pytest.raises(WeightsError, match=r"train\.listen\.start .champoin. is no folder"):
        start_folder("champoin", "listen")


def test_the_served_model_s_folder_holds_what_a_start_needs(lm, donor, tmp_path: Path):
    import json

    from safetensors.torch import save_file

    lm.tokenizer.save_pretrained(tmp_path / "tokenizer")
    save_file({"embeddings": donor.embeddings}, tmp_path / "embeddings.safetensors")
    parts = {"encoder": HEARD.model_dump(), "language_model": {"system_prompt": "Answer."}}
    (tmp_path / "model.json").write_text(json.dumps({"components": parts}))
    read = warm_start.read_donor(tmp_path, donor.adapter, donor.prefix)
    assert read.encoder == HEARD and read.same_language_model(lm)
    assert not read.same_language_model(replace(lm, system_prompt="Sing."))
