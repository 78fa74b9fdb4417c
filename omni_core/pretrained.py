"""A folder or hub id enters; its model leaves with every parameter read from the file, or its licence as its card says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_contracts.errors import WeightsError
from omni_core.bundled_weights import PREFIX, catalogue

NOT_STATED = "not stated in its model card"
UNUSED = ("masked_spec_embed",)
"""Parameters that only pre-training reads; public checkpoints often lack them."""


def load_pretrained(model_class: Any, where: str, model_types: tuple[str, ...], what: str) -> Any:
    """`model_class.from_pretrained` in float32, frozen; `what` names the model to a person, `model_types` the configs it takes.

    transformers itself takes the weights of any model and leaves what it does not find at random; here that is a
    WeightsError, as is a folder that holds no model.
    """
    from transformers import AutoConfig

    try:
        found = AutoConfig.from_pretrained(where).model_type
        if found not in model_types:
            raise WeightsError(f"'{where}' holds a model of type {found}; {what} takes {', '.join(model_types)}")
        model, report = model_class.from_pretrained(where, output_loading_info=True)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"no {what} in '{where}': {str(error).splitlines()[0]}; name a folder made by save_pretrained or a hub id"
        ) from error
    if missing := sorted(name for name in report["missing_keys"] if not name.endswith(UNUSED)):
        raise WeightsError(f"the weights in '{where}' lack {len(missing)} parameters of a {what}, first {missing[0]}")
    return model.float().eval().requires_grad_(False)


def licence_of(weights: str) -> str:
    """Licence of bundled:NAME, or as the model card (README.md) of a folder or hub id states it."""
    from huggingface_hub import ModelCard, hf_hub_download

    if weights.startswith(PREFIX):
        return catalogue()[weights.removeprefix(PREFIX)].licence
    try:
        card = Path(weights) / "README.md" if Path(weights).is_dir() else hf_hub_download(weights, "README.md")
        found = ModelCard.load(card, ignore_metadata_errors=True).data.license
    except (OSError, ValueError):
        return NOT_STATED
    return ", ".join(found) if isinstance(found, list) else found or NOT_STATED
