"""Feature shards enter, their rows leave as tensors that lie on disk: more data than memory holds, each row read when it is drawn.

features-<key>.float16   rows one behind the other        the key is the shards' content, so that stages share it
features-<key>.json      utterance_id -> [first number, frames, width]      written last: without it, it is made anew
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_contracts.errors import StorageError
from data_contracts.features import FeatureShard
from omni_core.store import ArtifactStore
from omni_core.tables import rows


def mapped_features(store: ArtifactStore, shards: Sequence[FeatureShard], work: Path) -> dict[str, Tensor]:
    """utterance_id -> features (frames, width) float16. Raises StorageError when the disk cannot hold them."""
    data, index = _files(shards, work)
    if not index.exists():
        try:
            work.mkdir(parents=True, exist_ok=True)
            _write(store, shards, data, index)
        except OSError as error:
            data.with_suffix(".part").unlink(missing_ok=True)
            raise StorageError(f"cannot write the features to {data}: {error.strerror}; free some space") from error
    places = json.loads(index.read_text())
    numbers = torch.from_numpy(np.memmap(data, np.float16, "c"))  # copied on write, and nobody writes
    return {name: numbers[at : at + frames * width].view(frames, width) for name, (at, frames, width) in places.items()}


def forget(shards: Sequence[FeatureShard], work: Path) -> None:
    """Remove the files of `mapped_features`; tensors that are still held stay readable."""
    for path in _files(shards, work)[::-1]:
        path.unlink(missing_ok=True)


def _files(shards: Sequence[FeatureShard], work: Path) -> tuple[Path, Path]:
    key = hashlib.sha256("\0".join(shard.digest for shard in shards).encode()).hexdigest()[:20]
    return work / f"features-{key}.float16", work / f"features-{key}.json"


def _write(store: ArtifactStore, shards: Sequence[FeatureShard], data: Path, index: Path) -> None:
    places: dict[str, tuple[int, int, int]] = {}
    at = 0
    whole = data.with_suffix(".part")
    with open(whole, "wb") as file:
        for row in (row for shard in shards for row in rows(store, shard, "features.parquet")):
            file.write(row["features"])
            places[row["utterance_id"]] = (at, row["frames"], row["width"])
            at += row["frames"] * row["width"]
    os.replace(whole, data)
    part = index.with_suffix(".json-part")
    part.write_text(json.dumps(places))
    os.replace(part, index)
