"""The path of a starting point enters, the folder of a served model leaves, or one sentence; nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path

from data_contracts.errors import WeightsError

FROM_THE_CHAMPION = ("auto", "champion")
RANDOM = "random"
NEEDED = ("model.json", "embeddings.safetensors", "tokenizer", "listen")


def start_folder(path: str) -> Path:
    """The folder; raises WeightsError when it is not that of a served model with a listening part."""
    missing = [name for name in NEEDED if not (Path(path) / name).exists()]
    if missing:
        raise WeightsError(
            f"train.listen.start '{path}' is no folder of a served model (it has no {', '.join(missing)}); "
            "name one (store/model/DIGEST), or auto, champion or random"
        )
    return Path(path)
