import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.ingest import Manifest
from omni_core.shard_reads import first_questions, fit_shards
from omni_core.store import ArtifactStore


@pytest.fixture
def stored(tmp_path):
    store = ArtifactStore(tmp_path)
    with store.scratch("manifest") as folder:
        (folder / "utterances").mkdir()
        for number in range(3):
            rows = [{"utterance_id": f"a{number}", "split": "train", "duration_s": 40.0},
                    {"utterance_id": f"b{number}", "split": "test", "duration_s": 500.0}]  # fmt: skip
            pq.write_table(pa.Table.from_pylist(rows), folder / "utterances" / f"answer-{number:05d}.parquet")
        turns = [("a0", "first?"), ("a0", "second?"), ("a1", "other?")]
        pq.write_table(
            pa.Table.from_pylist([{"answer_id": answer, "question_text": text} for answer, text in turns]),
            folder / "turns.parquet",
        )
        return store, store.commit(Manifest, folder)


@pytest.mark.parametrize(("minutes", "count"), [(0.5, 1), (1.0, 2), (1.5, 3), (99.0, 3)])
def test_only_the_first_shards_with_enough_training_speech_are_fitted(stored, minutes, count):
    store, manifest = stored
    assert fit_shards(store, manifest, "answer", minutes) == manifest.shards("answer")[:count]


def test_of_several_questions_the_first_goes_before_the_answer(stored):
    store, manifest = stored
    assert first_questions(store, manifest, "utterances/answer-00000.parquet") == {"a0": "first?"}
