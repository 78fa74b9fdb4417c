"""Rows of the manifest's and the features' Parquet tables, with their arrays and audio unpacked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from data_contracts.base import Artifact
from data_contracts.errors import SourceError
from data_contracts.features import FeatureShard
from data_contracts.ingest import SEALED, SEALED_FOLDER, Manifest
from omni_core.answer_codes import NO_SOUND
from omni_core.audio import decode, resample
from omni_core.store import ArtifactStore

CLOSED = (
    "the test split is sealed: training and tuning read train and validation; only omni_core.sealed_set opens it, "
    "for evaluate, which logs every look"
)


def rows(
    store: ArtifactStore, artifact: Artifact, name: str, columns: list[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of one table, 64 at a time; columns that it lacks are left out. Raises SourceError for a sealed one."""
    if name.startswith(f"{SEALED_FOLDER}/"):
        raise SourceError(CLOSED)
    return rows_of(store, artifact, name, columns)


def rows_of(
    store: ArtifactStore, artifact: Artifact, name: str, columns: list[str] | None = None
) -> Iterator[dict[str, Any]]:
    """As `rows`, with no door: omni_core.sealed_set, whose looks are logged, comes in here."""
    file = pq.ParquetFile(store.folder(artifact) / name)
    for batch in file.iter_batches(batch_size=64, columns=columns):
        yield from batch.to_pylist()


def waveform_of(row: dict[str, Any], sample_rate_hz: int) -> Tensor:
    """The audio of an utterance row at the rate asked for: (samples,) float32. Raises SourceError for codes alone."""
    if not row["audio"]:
        raise SourceError(NO_SOUND)
    samples, rate = decode(row["audio"])
    return torch.from_numpy(resample(samples, rate, sample_rate_hz).copy())


def turns(store: ArtifactStore, manifest: Manifest, split: str) -> list[dict[str, Any]]:
    """Turns of one split in the manifest's order. The test split is sealed: it has its own door, which is watched."""
    if split == SEALED:
        raise SourceError(CLOSED)
    return [row for row in rows(store, manifest, "turns.parquet") if row["split"] == split]


def pack(array: Tensor, dtype: np.typing.DTypeLike) -> bytes:
    """Tensor -> bytes, row major."""
    return np.ascontiguousarray(array.numpy().astype(dtype)).tobytes()


def unpack(data: bytes, dtype: np.typing.DTypeLike, *shape: int) -> Tensor:
    """Inverse of pack."""
    return torch.from_numpy(np.frombuffer(data, dtype).reshape(shape).copy())


def encoder_features(store: ArtifactStore, shards: Iterable[FeatureShard]) -> dict[str, Tensor]:
    """utterance_id -> features (frames, width) float16."""
    return {
        row["utterance_id"]: unpack(row["features"], np.float16, row["frames"], row["width"])
        for shard in shards for row in rows(store, shard, "features.parquet")
    }  # fmt: skip


def word_states(store: ArtifactStore, shards: Iterable[FeatureShard]) -> dict[str, Tensor]:
    """utterance_id -> language model states (words, width) float16."""
    return {
        row["utterance_id"]: unpack(row["states"], np.float16, row["words"], row["width"])
        for shard in shards for row in rows(store, shard, "features.parquet")
    }  # fmt: skip


def answer_codes(store: ArtifactStore, shards: Iterable[FeatureShard]) -> dict[str, Tensor]:
    """utterance_id -> codes (codebooks, frames) int16."""
    return {
        row["utterance_id"]: unpack(row["codes"], np.int16, row["codebooks"], row["frames"])
        for shard in shards for row in rows(store, shard, "features.parquet")
    }  # fmt: skip
