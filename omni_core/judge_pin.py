"""A judge's folder or hub id enters, the hash of its weights leaves, once it is sure that the judged model is not made of them.

Files are no proof: an encoder from a hub is saved anew into the model's folder, and a person may save the judge again under
another name, in shards or in half precision. So tensors are compared, whatever they are called, by the signs of their values,
which every cast keeps. Two recognisers of one size share a table of sine waves, so one equal tensor says nothing; half of
them does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.errors import WeightsError
from omni_core.store import sha256_of

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
LARGE = 4096
"""Values of a tensor that is looked at: smaller ones are biases and scales, many of them all one or zero."""
Signs = dict[tuple[int, ...], set[str]]
"""Shape -> digests of the signs of the tensors that have it."""


def weight_files(weights: str) -> list[Path]:
    """The files of the weights that a folder or hub id names: one, or an index and its shards. WeightsError when there are none."""
    for name in WEIGHT_FILES:
        if found := _file(weights, name):
            shards = json.loads(found.read_text())["weight_map"].values() if name.endswith(".index.json") else ()
            rest = [_file(weights, shard) for shard in sorted(set(shards))]
            return [found, *(shard for shard in rest if shard)]
    raise WeightsError(
        f"'{weights}' holds no weights ({', '.join(WEIGHT_FILES)}); name a folder made by save_pretrained"
    )


def _file(weights: str, name: str) -> Path | None:
    from transformers.utils import cached_file

    found = cached_file(weights, name, _raise_exceptions_for_missing_entries=False,
                        _raise_exceptions_for_connection_errors=False)  # fmt: skip
    return Path(found) if found else None


def fingerprint(weights: str) -> str:
    """sha256 of the weights that a folder or hub id names, whatever it is called; of several files, of their sha256s."""
    each = [sha256_of(path) for path in weight_files(weights)]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


def pinned(judge: str, model_folder: Path, sources: Mapping[str, str] | None = None) -> str:
    """The judge's fingerprint. Raises WeightsError when the model holds the judge's weights: no one is its own judge.

    `sources`: part of the model -> folder or hub id that it was made of, for parts that are stored in another form. One
    that is gone since is passed over.
    """
    files = weight_files(judge)
    expected = fingerprint(judge)
    of_judge = signs_of(files)
    parts = {f"{path.parent.name}/{path.name}": [path] for name in ("*.safetensors", "pytorch_model*.bin")
             for path in sorted(model_folder.rglob(name))}  # fmt: skip
    for part, weights in (sources or {}).items():
        try:
            parts[f"{part} '{weights}'"] = weight_files(weights)
        except (WeightsError, OSError):
            continue
    for part, paths in parts.items():
        if is_made_of(of_judge, paths):
            raise WeightsError(
                f"the judge '{judge}' is a part of the model that it should judge ({part} has its weights); "
                "choose another recogniser as evaluate.judge"
            )
    return expected


def is_made_of(judge: Signs, files: list[Path]) -> bool:
    """Half of the large tensors of one of the two are the other's; those of shapes that the judge has not are not read."""
    shapes = [shape for shape, _ in _tensors(files)]
    enough = max(2.0, min(len(shapes), sum(map(len, judge.values()))) / 2)
    if sum(shape in judge for shape in shapes) < enough:
        return False
    return sum(read() in judge[shape] for shape, read in _tensors(files) if shape in judge) >= enough


def signs_of(files: list[Path]) -> Signs:
    """Of every large tensor."""
    found: Signs = {}
    for shape, read in _tensors(files):
        found.setdefault(shape, set()).add(read())
    return found


def _tensors(files: list[Path]) -> Iterator[tuple[tuple[int, ...], Any]]:
    """(shape, what reads its signs' digest) of every large tensor; a shape costs no reading of a safetensors file."""
    import torch
    from safetensors import safe_open

    for path in files:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as weights:
                for name in weights.keys():  # noqa: SIM118 no dict
                    shape = tuple(weights.get_slice(name).get_shape())
                    if np.prod(shape) >= LARGE:
                        yield shape, lambda name=name, weights=weights: _digest(weights.get_tensor(name))
        elif path.suffix == ".bin":
            for tensor in torch.load(path, map_location="cpu", weights_only=True, mmap=True).values():
                if isinstance(tensor, torch.Tensor) and tensor.numel() >= LARGE:
                    yield tuple(tensor.shape), lambda tensor=tensor: _digest(tensor)


def _digest(tensor: Any) -> str:
    return hashlib.sha256(np.packbits((tensor > 0).numpy()).tobytes()).hexdigest()
