"""Features on disk are the features, made once, and made anew after a kill."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from data_contracts.features import ENCODER_FEATURES, FeatureShard
from omni_core.mapped_features import forget, mapped_features
from omni_core.store import ArtifactStore
from omni_core.tables import encoder_features, pack


@pytest.fixture
def stored(tmp_path):
    """A store and two shards with rows of unequal length."""
    store, shards = ArtifactStore(tmp_path / "store"), []
    for shard in range(2):
        made = [torch.randn(frames, 3).half() for frames in (4, 1, 7)]
        found = [
            {"utterance_id": f"{shard}-{i}", "frames": len(f), "width": 3, "features": pack(f, "<f2")}
            for i, f in enumerate(made)
        ]
        with store.scratch(FeatureShard.kind) as folder:
            pq.write_table(pa.Table.from_pylist(found, ENCODER_FEATURES), folder / "features.parquet")
            shards.append(store.commit(FeatureShard, folder))
    return store, shards


def test_mapped_features_are_those_in_memory(stored, tmp_path):
    store, shards = stored
    found, wanted = mapped_features(store, shards, tmp_path / "work"), encoder_features(store, shards)
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_they_are_written_once_and_again_when_the_index_is_not_there(stored, tmp_path):
    store, shards = stored
    work = tmp_path / "work"
    mapped_features(store, shards, work)
    data, index = sorted(work.iterdir())
    written = data.stat().st_mtime_ns
    mapped_features(store, shards, work)
    assert data.stat().st_mtime_ns == written
    index.unlink()  # killed between the two
    data.write_bytes(b"cut")
    assert torch.equal(mapped_features(store, shards, work)["1-2"], encoder_features(store, shards)["1-2"])
    kept = mapped_features(store, shards, work)
    forget(shards, work)
    assert list(work.iterdir()) == [] and len(kept["1-2"].sum(0)) == 3
