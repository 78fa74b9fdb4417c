"""A judge's folder or hub id enters, the hash of its weights leaves, once it is sure that the judged model is not made of them."""

from __future__ import annotations

from pathlib import Path

from data_contracts.errors import WeightsError
from omni_core.store import sha256_of

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def fingerprint(weights: str) -> str:
    """sha256 of the weights that a folder or hub id names, whatever it is called; of sharded weights, of their index.

    Raises WeightsError when there are none.
    """
    from transformers.utils import cached_file

    for name in WEIGHT_FILES:
        found = cached_file(weights, name, _raise_exceptions_for_missing_entries=False,
                            _raise_exceptions_for_connection_errors=False)  # fmt: skip
        if found:
            return sha256_of(Path(found))
    raise WeightsError(
        f"'{weights}' holds no weights ({', '.join(WEIGHT_FILES)}); name a folder made by save_pretrained"
    )


def pinned(judge: str, model_folder: Path) -> str:
    """The judge's fingerprint. Raises WeightsError when the model holds the same file: no one is its own judge."""
    expected = fingerprint(judge)
    for part in sorted(path for name in WEIGHT_FILES for path in model_folder.rglob(name)):
        if sha256_of(part) == expected:
            raise WeightsError(
                f"the judge '{judge}' is a part of the model that it should judge ({part.parent.name}/{part.name}); "
                "choose another recogniser as evaluate.judge"
            )
    return expected
