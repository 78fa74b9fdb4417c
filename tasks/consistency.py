"""The served model and validation questions enter; whether its parts fit and say one thing leaves, before it is scored."""

from __future__ import annotations

from data_contracts.consistency import ConsistencyReport, ConsistencySettings
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from tasks.home import local_folder, store_of
from tasks.progress import shown
from tasks.stage import stage


@stage("omni_core.consistency", "omni_core.speech_to_speech", "omni_core.speech_heads.*", "omni_core.languages.*")
def check_consistency(
    model: QuantizedModel, manifest: Manifest, settings: ConsistencySettings, judge: str, home: str
) -> ConsistencyReport:
    """Rates, codes, ends, silence and context of the whole chain; see omni_core.consistency."""
    from omni_core import consistency as core

    with shown("check consistency") as progress:
        return core.check_consistency(store_of(home), model, manifest, settings, judge, local_folder(home), progress)
