"""The first stage starts from the champion's head where the plan names it: its own trunk, or through a map, beside a random one."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from data_contracts.components import LanguageModelSettings, SpeechHeadSettings
from data_contracts.ingest import TURN, Manifest
from data_contracts.quantize import QuantizedModel
from data_contracts.train import Checkpoint, FittedCodec
from omni_core.mini_omni.first_head import Wanted, starting_head
from omni_core.speech_heads import parallel
from omni_core.store import ArtifactStore
from tests.omni_core.language_models import classes
from tests.omni_core.mini_omni.test_served import head_on


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("first")


@pytest.fixture(scope="module")
def champion(folder):
    """(store, champion, head, manifest): a head that was trained away from its language model, and served."""
    store = ArtifactStore(folder / "store")
    head, lm = head_on("qwen2", folder / "qwen2")
    with torch.no_grad():
        head.trunk.layers[0].mlp.down_proj.weight.add_(0.1)
    manifest = committed(store, Manifest, lambda where: write_turns(where, "train"))
    trained = committed(
        store, Checkpoint, lambda where: write(where, head, lm.tokenizer), inputs={"manifest": manifest}
    )
    parts = {"language_model": LanguageModelSettings(weights=str(folder / "qwen2")).model_dump()}
    model = committed(store, QuantizedModel, lambda where: (where / "model").write_text("served"),
                      inputs={"alignment": trained, "multimodal": trained}, facts={"components": parts})  # fmt: skip
    return store, model, head, manifest


def committed(store, kind, write, **card):
    with store.scratch(kind.kind) as where:
        write(where)
        return store.commit(kind, where, **card)


def write_turns(where, split):
    """One question of that split."""
    turn = {name: "x" for name in TURN.names} | {"question_id": "q", "split": split}
    pq.write_table(pa.Table.from_pylist([turn], TURN), where / "turns.parquet")


def write(where, head, tokenizer):
    parallel.write(where, head.config, parallel.saved_tensors(head), {"pads_forced": True})
    tokenizer.save_pretrained(where)


def wanted(folder, language_model="qwen2", codebook_size=10):
    codec = FittedCodec(digest="c", kind_name="codec", facts={"num_codebooks": 3, "codebook_size": codebook_size})
    settings = LanguageModelSettings(weights=str(folder / language_model))
    return Wanted(SpeechHeadSettings(name="parallel"), settings, codec, 8, folder, 1)


def test_after_a_codec_swap_the_champions_trunk_goes_on_beside_a_random_head(folder, champion):
    store, model, head, manifest = champion
    start = starting_head(wanted(folder, codebook_size=20), store, model.digest, manifest)
    assert torch.equal(start.warm.trunk.layers[0].mlp.down_proj.weight, head.trunk.layers[0].mlp.down_proj.weight)
    assert not torch.equal(start.head.trunk.layers[0].mlp.down_proj.weight, head.trunk.layers[0].mlp.down_proj.weight)
    assert start.warm.layout == start.head.layout and start.warm.layout.codebook_size == 20
    assert start.inputs == {"start": model} and "its codes are new" in start.notes[0]


def test_after_another_language_model_it_goes_through_the_map(folder, champion):
    store, model, head, manifest = champion
    classes.write("qwen2_5", folder / "qwen2_5")
    start = starting_head(wanted(folder, "qwen2_5"), store, model.digest, manifest)
    assert any("through the map of" in note for note in start.notes) and start.inputs == {"start": model}
    assert not torch.equal(start.warm.trunk.layers[0].mlp.down_proj.weight, head.trunk.layers[0].mlp.down_proj.weight)


def test_without_a_champion_or_with_one_that_knows_the_held_out_questions_a_head_is_fresh(folder, champion):
    store, model, _, manifest = champion
    plain = starting_head(wanted(folder), store, "", manifest)
    other = committed(store, Manifest, lambda where: write_turns(where, "validation"))
    knowing = starting_head(wanted(folder), store, model.digest, other)
    assert plain.warm is knowing.warm is None and plain.inputs == knowing.inputs == {}
    assert torch.equal(plain.head.lm_head.weight, knowing.head.lm_head.weight)
