"""A folder, hub id or bundled:NAME enters; its config.json, tokenizer files and the shapes of its tensors leave, no weights.

A safetensors file opens with a header that names every tensor and its shape (8 bytes of length, then JSON), so that
gigabytes are described by reading kilobytes. Nothing heavy is imported: neither torch nor transformers.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from data_contracts.errors import WeightsError
from omni_core.bundled_weights import resolve

HUB_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class ModelFiles:
    """Where a model lies: a folder, or an id of the Hugging Face hub."""

    weights: str
    where: str

    def path(self, name: str) -> Path | None:
        """One of its small files; fetched from the hub (or its cache) when it is not in a folder. None when it has none."""
        if Path(self.where).is_dir():
            file = Path(self.where) / name
            return file if file.is_file() else None
        return _hub_file(self.where, name)

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file, empty when there is none; raises WeightsError when it cannot be read as JSON."""
        path = self.path(name)
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path else {}
        except ValueError as error:
            raise WeightsError(f"{name} of '{self.weights}' is not JSON ({error}); save the model again") from error

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json; raises WeightsError when there is none."""
        if found := self.json("config.json"):
            return found
        raise WeightsError(
            f"'{self.weights}' has no config.json; name a folder made by save_pretrained, or a hub id that can be reached"
        )

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every tensor of the safetensors files; empty when there are none to be read."""
        if Path(self.where).is_dir():
            files = sorted(Path(self.where).glob("*.safetensors"))
            return {name: shape for file in files for name, shape in header(file).items()}
        return _hub_shapes(self.where)

    def parameters(self, *parts: str) -> int:
        """Numbers in the tensors whose names begin with one of `parts` (all of them without parts)."""
        return sum(math.prod(shape) for name, shape in self.shapes.items() if name.startswith(parts or ("",)))

    def parameters_of_a_layer(self) -> int:
        """Numbers in the first block of a decoder; a parallel head has a second decoder, of the same blocks."""
        first = (".layers.0.", ".h.0.")
        inside = {name: shape for name, shape in self.shapes.items() if not name.startswith("post_adapter.")}
        return sum(math.prod(shape) for name, shape in inside.items() if any(part in f".{name}" for part in first))


def model_files(weights: str, home: Path) -> ModelFiles:
    """Raises WeightsError for bundled weights that are missing or altered."""
    return ModelFiles(weights, resolve(weights, home))


def header(file: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape; raises WeightsError for a file that is not safetensors."""
    try:
        with open(file, "rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            entries = json.loads(opened.read(min(length, 100_000_000)))
        return {name: tuple(entry["shape"]) for name, entry in entries.items() if name != "__metadata__"}
    except (struct.error, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{file} is not a safetensors file ({error}); fetch or save it again") from error


def _hub_file(repo: str, name: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    try:
        return Path(hf_hub_download(repo, name, etag_timeout=HUB_TIMEOUT_S))
    except (EntryNotFoundError, FileNotFoundError):
        return None  # the hub, or its cache on this machine, has the model without this file, or not at all
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise WeightsError(
            f"'{repo}' is neither a folder nor a model that the hub gives here ({str(error).splitlines()[0]}); correct the name or fetch it"
        ) from error


def _hub_shapes(repo: str) -> dict[str, tuple[int, ...]]:
    from huggingface_hub import get_safetensors_metadata, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, NotASafetensorsRepoError, OfflineModeIsEnabled

    if isinstance(cached := try_to_load_from_cache(repo, "model.safetensors"), str):
        return header(Path(cached))
    try:
        found = get_safetensors_metadata(repo)
    except (NotASafetensorsRepoError, HfHubHTTPError, OfflineModeIsEnabled, OSError):
        return {}
    return {name: tuple(t.shape) for file in found.files_metadata.values() for name, t in file.tensors.items()}
