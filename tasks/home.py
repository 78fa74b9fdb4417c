"""The setting `home` enters, the places below it leave: the artifact store (local or remote) and the local folder.

<home>/store       artifacts          <home>/weights   bundled weights
<home>/mlflow.db   tracking           <home>/prefect   Prefect's database and task results
"""

from __future__ import annotations

from pathlib import Path

from omni_core.store import ArtifactStore


def store_of(home: str) -> ArtifactStore:
    """The artifact store; `home` may be a folder or an fsspec URL."""
    return ArtifactStore(f"{home.rstrip('/')}/store")


def local_folder(home: str) -> Path:
    """Where weights, databases and unfinished work lie: `home` itself, or `var` when that is in an object store."""
    return Path("var" if "://" in home else home).absolute()
