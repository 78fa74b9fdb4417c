"""What a shard of features says of itself: where it came from, and what could not be made, with its reason."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.torch import save_file

from data_contracts.components import CodecSettings
from data_contracts.ingest import UTTERANCE, Manifest
from data_contracts.train import Aligner
from omni_core import components
from omni_core.alignment import PhonemeRecogniser
from omni_core.audio import encode_flac
from omni_core.features import speech_targets_of_shard
from omni_core.fit import fit_codec

SHARD = "utterances/answer-00-00000.parquet"
CODEC = CodecSettings(num_codebooks=2, codebook_size=16, vocoder="griffin_lim", refine_steps=1, fit_minutes=0.1)


def answer(name: str, text: str, waveform) -> dict:
    numbers = {
        field.name: 0 for field in UTTERANCE if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    }
    words = {"role": "answer", "source": "s", "language": "en", "split": "train", "speaker": "v", "license": "CC0-1.0"}
    audio = encode_flac(waveform, 24_000)
    return {**numbers, **words, "utterance_id": name, "text": text, "synthesized": True, "audio": audio}


@pytest.fixture
def answers(store, speech) -> Manifest:
    """One answer as it should be, and one whose recording holds a tenth of its text."""
    rows = [answer("whole", "The light in the kitchen is on now.", speech)]
    rows += [answer("cut", "The light in the kitchen is on now, and so are those of the hall.", speech[:7_200])]
    with store.scratch(Manifest.kind) as folder:
        (folder / "utterances").mkdir()
        pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), folder / SHARD)
        return store.commit(Manifest, folder)


@pytest.fixture
def aligner(store) -> Aligner:
    """One that was never fitted: whether there are frames enough does not depend on what it has learned."""
    count = components.load("languages", "en").num_bases
    with store.scratch(Aligner.kind) as folder:
        save_file(PhonemeRecogniser(count).state_dict(), folder / "aligner.safetensors")
        (folder / "config.json").write_text(json.dumps({"num_phonemes": count}))
        return store.commit(Aligner, folder)


def test_an_answer_too_short_for_its_text_is_named_with_its_reason(store, answers, aligner, tmp_path):
    codec = fit_codec(store, answers, [SHARD], CODEC, tmp_path)
    reports: list[tuple[int, int]] = []
    made = speech_targets_of_shard(
        store,
        answers,
        SHARD,
        codec,
        CODEC,
        aligner,
        "en",
        tmp_path,
        lambda done, total, what: reports.append((done, total)),
    )
    (lost,) = made.facts["not_aligned"]
    assert lost["utterance_id"] == "cut" and lost["text"].startswith("The light")
    assert lost["reason"].startswith("0.30 s of sound are too short for the ")
    assert made.facts["rows"] + len(made.facts["not_aligned"]) == 2 and reports[-1] == (2, 2)


def test_what_is_made_of_a_shard_names_the_shard_by_its_content(store, answers, aligner, tmp_path):
    codec = fit_codec(store, answers, [SHARD], CODEC, tmp_path)
    made = speech_targets_of_shard(store, answers, SHARD, codec, CODEC, aligner, "en", tmp_path)
    assert made.facts["shards"] == codec.facts["shards"] == {SHARD: answers.files[SHARD].sha256}
    assert made.inputs == {"codec": codec.digest, "aligner": aligner.digest}
