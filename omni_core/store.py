"""The artifact store: a folder's content enters, a card (Artifact) leaves; folders are named by content digest.

    root/<kind>/<digest>/card.json + files          root is an fsspec URL: a folder, s3://..., memory://...

A folder is written under a temporary name and renamed, so a name that exists is whole. What a killed process had
begun is cleared away by the next one: its folder's lock ended with it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from data_contracts.base import Artifact, FileEntry
from data_contracts.errors import ArtifactError, StorageError

A = TypeVar("A", bound=Artifact)
CARD = "card.json"


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def content_digest(files: dict[str, FileEntry]) -> str:
    """Digest of a folder: sha256 over its sorted (name, sha256) pairs; 32 hex digits name the folder."""
    listing = "".join(f"{name}\0{entry.sha256}\n" for name, entry in sorted(files.items()))
    return hashlib.sha256(listing.encode()).hexdigest()[:32]


def told(card: Artifact) -> dict[str, Any]:
    """What Artifact.told_in holds: the part of a card that a verdict rests on, as JSON reads it back."""
    return json.loads(json.dumps({"inputs": card.inputs, "settings": card.settings, **card.facts}))


def describe_files(folder: Path) -> dict[str, FileEntry]:
    """Relative name -> sha256 and size of every file under a folder, the card excepted."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != CARD)
    return {
        p.relative_to(folder).as_posix(): FileEntry(sha256=sha256_of(p), size_bytes=p.stat().st_size) for p in paths
    }


def _locked_folder(parent: Path, kind: str) -> tuple[Path, int]:
    """A new folder and the descriptor that holds its lock; the kernel lets go of it when the process dies."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=parent))
        with suppress(FileNotFoundError):  # cleared away by another process before it was opened
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks: nothing is cleared away there either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)  # cleared away before it was locked


def is_full(error: Exception) -> bool:
    """Of Python's own errors by number; safetensors raises one that is no OSError and only tells it."""
    told = "(os error 28)" in str(error) or "(os error 122)" in str(error)
    return told or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT))


def _clear_abandoned(parent: Path) -> None:
    """Remove the scratch folders that no living process holds: gigabytes may lie in them after a kill."""
    for folder in parent.iterdir():
        with suppress(OSError):  # held, gone, or a file system without locks
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


class ArtifactStore:
    """Writes and opens artifacts below one root (fsspec URL or folder)."""

    def __init__(self, root: str | Path):
        self.root = str(root).rstrip("/")
        self.fs, self.base = fsspec.core.url_to_fs(self.root)
        self.is_local = "file" in (
            self.fs.protocol if isinstance(self.fs.protocol, (tuple, list)) else (self.fs.protocol,)
        )

    @contextmanager
    def scratch(self, kind: str) -> Iterator[Path]:
        """A local folder to write into; removed afterwards unless `commit` has renamed it."""
        parent = Path(self.base) / ".tmp" if self.is_local else Path(tempfile.gettempdir())
        try:
            parent.mkdir(parents=True, exist_ok=True)
            if self.is_local:
                _clear_abandoned(parent)
            folder, lock = _locked_folder(parent, kind)
        except OSError as error:
            raise StorageError(
                f"cannot write to the store {self.root}: {error.strerror}; free some space or choose another store"
            ) from error
        try:
            yield folder
        except Exception as error:
            if is_full(error):
                raise StorageError(
                    f"the disk of the store {self.root} is full while writing '{kind}'; free some space and start again, finished stages are kept"
                ) from error
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)

    def commit(
        self,
        cls: type[A],
        folder: Path,
        *,
        inputs: dict[str, Artifact] | None = None,
        settings: dict[str, Any] | None = None,
        facts: dict[str, Any] | None = None,
        licences: dict[str, str] | None = None,
    ) -> A:
        """Make an artifact of a scratch folder: hash, card, rename. The same content twice is stored once."""
        card = cls(
            digest="",
            kind_name=cls.kind,
            inputs={role: a.digest for role, a in (inputs or {}).items()},
            settings=settings or {},
            facts=facts or {},
            licences=licences or {},
        )
        if cls.told_in:
            (folder / cls.told_in).write_text(json.dumps(told(card), indent=1, allow_nan=False))
        files = describe_files(folder)
        card = card.model_copy(update={"digest": content_digest(files), "files": files})
        (folder / CARD).write_text(card.model_dump_json(indent=1))
        target = f"{self.base}/{cls.kind}/{card.digest}"
        try:
            self._place(folder, target, card)
        except OSError as error:
            raise StorageError(
                f"cannot write '{cls.kind}' to the store {self.root}: {error.strerror}; free some space and start again"
            ) from error
        return card

    def _place(self, folder: Path, target: str, card: Artifact) -> None:
        if self.is_local:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            if self.holds(card):
                # Same content; the newer card wins, replaced whole (a stage may run again with other facts).
                (folder / CARD).replace(Path(target) / CARD)
            else:
                shutil.rmtree(target, ignore_errors=True)  # a folder that lost files since
                folder.rename(target)
        else:
            self.fs.put(f"{folder}/", f"{target}.part/", recursive=True)
            self.fs.mv(f"{target}.part", target, recursive=True)

    def keep_card(self, card: A) -> A:
        """Write the card anew, beside the files that it names: what is known of an artifact once it is made."""
        target = f"{self.base}/{card.kind_name}/{card.digest}/{CARD}"
        with self.scratch("card") as folder:
            (folder / CARD).write_text(card.model_dump_json(indent=1))
            if self.is_local:
                (folder / CARD).replace(target)
            else:
                self.fs.put_file(str(folder / CARD), target)
        return card

    def holds(self, artifact: Artifact) -> bool:
        """True when every file of the card is there with its size (hashes are checked by `verify`)."""
        base = f"{self.base}/{artifact.kind_name}/{artifact.digest}"
        try:
            return all(self.fs.size(f"{base}/{name}") == entry.size_bytes for name, entry in artifact.files.items())
        except (FileNotFoundError, OSError):
            return False

    def folder(self, artifact: Artifact) -> Path:
        """A local folder with the artifact's files (downloaded once to a cache when the store is remote)."""
        base = f"{self.base}/{artifact.kind_name}/{artifact.digest}"
        if not self.holds(artifact):
            raise ArtifactError(
                f"artifact {artifact.kind_name}/{artifact.digest} is missing or incomplete in the store {self.root}; run the flow again, it will be made anew"
            )
        if self.is_local:
            return Path(base)
        local = Path(tempfile.gettempdir()) / "omnirefit-store-cache" / artifact.digest
        if not local.exists():
            self.fs.get(f"{base}/", f"{local}.part/", recursive=True)
            Path(f"{local}.part").rename(local)
        return local

    def verify(self, artifact: Artifact) -> Path:
        """Like `folder`, and every file's sha256 is checked; raises ArtifactError naming an altered file."""
        folder = self.folder(artifact)
        for name, entry in artifact.files.items():
            if sha256_of(folder / name) != entry.sha256:
                raise ArtifactError(
                    f"{artifact.kind_name}/{artifact.digest}: '{name}' was altered after it was written (sha256 differs); delete that folder and run the flow again"
                )
        return folder

    def load(self, cls: type[A], digest: str) -> A:
        """Read a card by kind and digest."""
        path = f"{self.base}/{cls.kind}/{digest}/{CARD}"
        try:
            with self.fs.open(path, "r") as file:
                return cls.model_validate(json.load(file))
        except FileNotFoundError:
            raise ArtifactError(f"no {cls.kind} with digest {digest} in the store {self.root}") from None
        except ValueError as error:  # no JSON, or not a card
            raise ArtifactError(
                f"the card of {cls.kind}/{digest} in the store {self.root} cannot be read ({str(error).splitlines()[0]}); "
                "delete that folder and run the flow again"
            ) from error
