"""The trained parts enter, the language model and the complete model as served leave, in int8, and what that cost."""

from __future__ import annotations

from data_contracts.components import ComponentsSettings, LanguageModelSettings
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedLanguageModel, QuantizedModel, QuantizeSettings
from data_contracts.train import Checkpoint, FittedCodec
from tasks.home import local_folder, store_of
from tasks.progress import shown
from tasks.stage import stage


@stage("omni_core.quantize", beside_others=True)
def quantize_language_model(
    listen: Checkpoint,
    manifest: Manifest,
    language_model: LanguageModelSettings,
    settings: QuantizeSettings,
    home: str,
) -> QuantizedLanguageModel:
    """The frozen language model as it will be served; see omni_core.quantize."""
    from omni_core import quantize as core

    with shown("quantize language model") as progress:
        return core.quantize_language_model(
            store_of(home), listen, manifest, language_model, settings, local_folder(home), progress
        )


@stage("omni_core.quantize", "omni_core.languages.*")
def quantize(
    trained: dict[str, Checkpoint],
    codec: FittedCodec,
    manifest: Manifest,
    components: ComponentsSettings,
    settings: QuantizeSettings,
    language_model: QuantizedLanguageModel | None,
    home: str,
) -> QuantizedModel:
    """One folder that omni_core.speech_to_speech loads; see omni_core.quantize."""
    from omni_core import quantize as core

    with shown("quantize") as progress:
        return core.quantize(
            store_of(home), trained, codec, manifest, components, settings, local_folder(home), language_model, progress
        )
