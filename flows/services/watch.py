"""Source folders enter, an event leaves each time that new data has landed in one; an automation then runs the flow.

    listing changed -> the same again at the next look -> event `omnirefit.new-data` -> deployment `retrain`
                       (the copying has ended)

What is watched is what the deployment reads: `ingest.sources` of its parameters, asked anew at every look. A bucket is
copied into a source folder first (`--landing s3://bucket/prefix=FOLDER`).
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from data_contracts.errors import SettingsError, StorageError
from data_contracts.retrain import RetrainSettings
from tasks.home import local_folder

EVENT = "omnirefit.new-data"
RESOURCE = "omnirefit.source."
EVERY_S = 10.0
Emit = Callable[[str, str], None]


class Watcher:
    """What each source looked like: at the last look, and when it was last told (kept in a file over restarts)."""

    def __init__(self, memory: Path):
        self.memory = memory
        self.seen: dict[str, str] = {}
        self.told: dict[str, str] = json.loads(memory.read_text()) if memory.is_file() else {}

    def look(self, sources: Iterable[str], emit: Emit) -> list[str]:
        """Tell of sources that have changed and then stood still; what is there at the first look of all is not news."""
        news = []
        for source in sources:
            now, before = listing_digest(Path(source)), self.seen.get(source)
            self.seen[source] = now
            if source not in self.told:
                self._remember(source, now)
            elif now == before and now != self.told[source]:
                emit(source, now)
                self._remember(source, now)
                news.append(source)
        return news

    def _remember(self, source: str, digest: str) -> None:
        self.told[source] = digest
        scratch = self.memory.with_suffix(".tmp")
        scratch.write_text(json.dumps(self.told, indent=1))
        scratch.replace(self.memory)


def listing_digest(folder: Path) -> str:
    """Digest of names, sizes and times of all files below; a folder that is not there is an empty one."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        try:
            stat = path.stat()
        except FileNotFoundError:  # a temporary name, gone meanwhile
            continue
        if path.is_file():
            digest.update(f"{path.relative_to(folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def emit_to_prefect(source: str, digest: str) -> None:
    """The event, about the resource omnirefit.source.<path>."""
    from prefect.events import emit_event

    resource = {"prefect.resource.id": f"{RESOURCE}{source}", "prefect.resource.name": source}
    emit_event(EVENT, resource=resource, payload={"listing": digest})
    print(f"new data in {source}", file=sys.stderr, flush=True)


def deployed_sources() -> tuple[str, ...]:
    """Sources that the deployment `retrain` reads now, relative ones from where its runs start."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        parameters = client.read_deployment_by_name("retrain/retrain").parameters
    return RetrainSettings.model_validate(parameters["settings"]).ingest.sources


def watch(home: str, landings: tuple[str, ...] = (), every_s: float = EVERY_S) -> None:
    """Look for ever; a server that does not answer is asked again at the next look."""
    pairs = [parse_landing(landing) for landing in landings]
    folder = local_folder(home) / "services"
    folder.mkdir(parents=True, exist_ok=True)
    watcher = Watcher(folder / "watched.json")
    while True:
        try:
            for url, target in pairs:
                copy_new(url, target)
            watcher.look(deployed_sources(), emit_to_prefect)
        except Exception as error:  # network, server, bucket: all of them come back
            print(f"cannot look for new data now: {error}", file=sys.stderr, flush=True)
        time.sleep(every_s)


def parse_landing(landing: str) -> tuple[str, Path]:
    """ "s3://bucket/prefix=data/landed" -> URL and folder."""
    url, equals, target = landing.rpartition("=")
    if not equals or "://" not in url or not target:
        raise SettingsError(f"--landing takes URL=FOLDER, as s3://bucket/new=data/new; got '{landing}'")
    return url, Path(target)


def copy_new(url: str, target: Path) -> int:
    """Copy files of a bucket (any fsspec URL) that are not in the folder, or there in another size; returns how many."""
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(url)
        there = files.find(root, detail=True)
    except (ImportError, ValueError) as error:
        raise StorageError(f"cannot read {url}: {error}") from error
    copied = 0
    for path, entry in there.items():
        local = target / path[len(root) :].lstrip("/")
        if local.is_file() and local.stat().st_size == entry["size"]:
            continue
        local.parent.mkdir(parents=True, exist_ok=True)
        scratch = local.with_name(f".{local.name}.part")
        files.get_file(path, str(scratch))
        scratch.replace(local)
        copied += 1
    return copied
