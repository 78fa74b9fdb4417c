"""A task's inputs enter, a cache key leaves that holds their content and the code that will read them, and no path or run id.

    Artifact              -> its digest            Settings -> their values
    manifest + shards     -> those shards' sha256  a string that names a folder -> what is in it
    bundled:NAME          -> hashes written down   component settings -> also the code of that member

A record may outlive its artifact's files: such a record is passed over and the stage runs again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.results import ResultStore, get_result_store
from pydantic import BaseModel

from data_contracts.base import Artifact
from data_contracts.components import CodecSettings, EncoderSettings, LanguageModelSettings, SpeechHeadSettings
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizeSettings
from omni_core.bundled_weights import PREFIX, catalogue, recipe
from omni_core.code_digest import code_digest
from omni_core.store import sha256_of
from tasks.home import store_of

HASH_UP_TO_BYTES = 16 << 20
FAMILY_OF = {
    LanguageModelSettings: ("language_models", "name"),
    EncoderSettings: ("encoders", "name"),
    CodecSettings: ("codecs", "name"),
    SpeechHeadSettings: ("speech_heads", "name"),
    QuantizeSettings: ("weight_quantizers", "weight_quantizer"),
}

_troubles: dict[UUID, Exception] = {}


@dataclass
class ByContent(CachePolicy):
    """Prefect's policy for our tasks: `modules` are the core modules that the stage runs."""

    modules: tuple[str, ...] = ()
    also: Callable[[dict[str, Any]], str] | None = None
    """Inputs -> text of what the stage reads beside its shard."""

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str:
        """The key of this run; equal content gives equal keys on every machine and in every run."""
        try:
            beside = {"also": self.also(inputs)} if self.also else {}
            key = content_key(task_ctx.task.fn.__name__, self.modules, inputs | beside)
            return _first_without_a_stale_record(key, str(inputs["home"]))
        except Exception as error:  # Prefect would go on without a cache and tell nobody
            _troubles[task_ctx.task_run.id] = error
            raise


def raise_trouble_with_key(task_run_id: UUID) -> None:
    """To be called at the start of the task: a key that cannot be computed is an error, not a run without a cache."""
    if trouble := _troubles.pop(task_run_id, None):
        raise trouble


def content_key(stage: str, modules: tuple[str, ...], inputs: dict[str, Any]) -> str:
    """Stage name and a digest of code and inputs; `home` says where, not what, and is left out."""
    values = {name: value for name, value in inputs.items() if name != "home"}
    shards = [values.pop("shard")] if "shard" in values else values.pop("shards", None)
    if shards is not None and isinstance(manifest := values.get("manifest"), Manifest):
        values["manifest"] = list(manifest.shard_hashes(shards).values())
    lines = [f"code {code_of(modules, values)}"]
    lines += [f"{name} {_content(value)}" for name, value in sorted(values.items())]
    return f"{stage}-{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()[:32]}"


def code_of(modules: tuple[str, ...], inputs: dict[str, Any]) -> str:
    """Digest of the stage's modules and of the components that its inputs name."""
    return code_digest(*modules, *_members(inputs))


def _members(values: dict[str, Any]) -> list[str]:
    """Modules of the components that these settings name; they are loaded by name, so no import shows them."""
    members = set()
    for settings in (found for value in values.values() for found in _models(value)):
        family, field = FAMILY_OF.get(type(settings), ("", ""))
        if family:
            members.add(f"omni_core.{family}.{getattr(settings, field)}")
    return sorted(members)


def _models(value: Any) -> list[BaseModel]:
    """A settings model and every one inside it."""
    if not isinstance(value, BaseModel) or isinstance(value, Artifact):
        return []
    return [value] + [found for _, inner in value for found in _models(inner)]


def _content(value: Any) -> str:
    if isinstance(value, Artifact):
        return value.digest
    if isinstance(value, BaseModel):
        return "{" + ", ".join(f"{name}: {_content(inner)}" for name, inner in value) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_content(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_content(inner)}" for name, inner in sorted(value.items())) + "}"
    if isinstance(value, str):
        return _content_of_text(value)
    assert value is None or isinstance(value, bool | int | float), f"no content digest for {type(value)}"
    return repr(value)


def _content_of_text(text: str) -> str:
    if text.startswith(PREFIX):
        name = text.removeprefix(PREFIX)
        return f"{text} {recipe(catalogue()[name])}" if name in catalogue() else text
    if os.path.isdir(text):  # False also for what cannot be a path
        return f"folder {folder_digest(Path(text))}"
    return repr(text)


def folder_digest(folder: Path) -> str:
    """Digest of names and contents; of files past 16 MiB name, size and time, so that gigabytes are not read each run."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        stat = path.stat()
        large = stat.st_size > HASH_UP_TO_BYTES
        what = f"{stat.st_size} {stat.st_mtime_ns}" if large else sha256_of(path)
        digest.update(f"{path.relative_to(folder).as_posix()}\0{what}\n".encode())
    return digest.hexdigest()[:32]


def _first_without_a_stale_record(key: str, home: str) -> str:
    """The key itself, or key-2, key-3, ... when the record under it speaks of an artifact that is no longer whole."""
    results, candidate, tries = get_result_store(), key, 1
    while results.exists(candidate) and not _is_whole(results, candidate, home):
        tries += 1
        candidate = f"{key}-{tries}"
    return candidate


def _is_whole(results: ResultStore, key: str, home: str) -> bool:
    try:
        artifact = results.read(key).result
    except Exception:  # a record that cannot be read, for whatever reason, is a stale one
        return False
    return isinstance(artifact, Artifact) and store_of(home).holds(artifact)
