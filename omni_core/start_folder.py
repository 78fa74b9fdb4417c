"""The path of a starting point enters, the folder of a served model leaves, or one sentence; nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path

from data_contracts.errors import WeightsError

FROM_THE_CHAMPION = ("auto", "champion")
RANDOM = "random"
NEEDED = {"listen": ("model.json", "embeddings.safetensors", "tokenizer", "listen"), "speak": ("model.json", "speak")}
"""Training stage -> what it reads of a served model's folder."""


def start_folder(path: str, stage: str) -> Path:
    """The folder; raises WeightsError when it is not that of a served model with that part."""
    missing = [name for name in NEEDED[stage] if not (Path(path) / name).exists()]
    if missing:
        raise WeightsError(
            f"train.{stage}.start '{path}' is no folder of a served model (it has no {', '.join(missing)}); "
            "name one (store/model/DIGEST), or auto, champion or random"
        )
    return Path(path)
