"""The trained parts enter, the complete served model leaves, with int8 weights and what that cost."""

from __future__ import annotations

from data_contracts.components import ComponentsSettings
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel, QuantizeSettings
from data_contracts.train import Checkpoint, FittedCodec
from tasks.home import local_folder, store_of
from tasks.progress import shown
from tasks.stage import stage


@stage("omni_core.quantize", "omni_core.languages.*")
def quantize(
    trained: dict[str, Checkpoint],
    codec: FittedCodec,
    manifest: Manifest,
    components: ComponentsSettings,
    settings: QuantizeSettings,
    home: str,
) -> QuantizedModel:
    """One folder that omni_core.speech_to_speech loads; see omni_core.quantize."""
    from omni_core import quantize as core

    with shown("quantize") as progress:
        return core.quantize(
            store_of(home), trained, codec, manifest, components, settings, local_folder(home), progress
        )
