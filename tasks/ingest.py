"""Sources enter, the Manifest leaves: when ingest runs again (a source's content changed) and how it is shown."""

from __future__ import annotations

from data_contracts.ingest import IngestSettings, Manifest
from tasks.home import local_folder, store_of
from tasks.progress import shown
from tasks.stage import stage


@stage("omni_core.ingest", "omni_core.source_formats.*", "omni_core.languages.en")
def ingest(settings: IngestSettings, home: str) -> Manifest:
    """Validated speech and turns; see omni_core.ingest."""
    from omni_core import ingest as core

    with shown("ingest") as progress:
        return core.ingest(store_of(home), settings, local_folder(home), progress)
