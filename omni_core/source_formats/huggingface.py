"""Hugging Face datasets on disk: `save_to_disk` (Arrow), or the Parquet files of a dataset's repository on the hub.

Columns are known by their names (omni_core/source_formats/__init__.py); an audio column holds {bytes, path}, as
`datasets` writes it, bytes, or paths. pyarrow reads both containers, so the package `datasets` is not needed.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from data_contracts.errors import SourceError
from omni_core import table_files
from omni_core.clips import Cell, Recording
from omni_core.records import Record
from omni_core.source_formats import (
    IS_SOUND,
    NAMES,
    SourceFormat,
    columns_of,
    is_sound_read,
    record_of,
    set_aside,
    sha256_of_bytes,
    splits_of,
)
from omni_core.store import sha256_of
from omni_core.validate import Failure

Sound = tuple[Recording | None, str, str]


def load() -> SourceFormat:
    """The format."""
    return SourceFormat(recognises, records, is_general=True)


def recognises(folder: Path) -> bool:
    """Any tables."""
    return bool(table_files.find(folder))


def records(source: str, folder: Path, language: str) -> Iterator[Record]:
    """Turns where there is a question and an answer, else plain speech."""
    files = table_files.find(folder)
    count = itertools.count(1)
    for (_, path), split in zip(files, splits_of([name for name, _ in files]), strict=True):
        schema = table_files.schema(path)
        ours = _columns(path, schema) if schema else {}
        if not is_sound_read():
            ours = {mine: theirs for mine, theirs in ours.items() if mine not in IS_SOUND}
        info = _info(path.parent, schema)
        classes = {name: kind["names"] for name, kind in info.get("features", {}).items() if "names" in kind}
        defaults = {"language": language, "split": split, "license": info.get("license") or card_licence(folder)}
        place = f"{path.parent.name}/{path.stem}" if path.parent != folder else path.stem
        for row, values in table_files.rows(path, list(ours.values())):
            line, name = next(count), f"{place}-{row}"
            if isinstance(values, Failure):
                yield set_aside(source, line, name, values, {"file": path.name, "row": row})
                continue
            cells = {mine: _named(values[theirs], classes.get(theirs)) for mine, theirs in ours.items()}
            sound = {mine: _sound(path, ours[mine], row, cells.pop(mine)) for mine in IS_SOUND if mine in cells}
            lost = next((mine for mine, found in sound.items() if found[0] is None), None)
            failure = Failure("missing_audio", f"its column '{ours[lost]}' holds no sound") if lost else None
            yield record_of(source, line, name, cells, sound, defaults, failure)


def _columns(path: Path, schema: pa.Schema) -> dict[str, str]:
    """Our name -> column. Raises SourceError naming the file when it holds neither turns nor speech."""
    sounds = [name for mine in IS_SOUND for name in NAMES[mine]]
    try:  # a list or a struct is no text
        ours = columns_of(
            [one.name for one in schema if one.name.casefold() in sounds or not pa.types.is_nested(one.type)]
        )
    except SourceError as error:
        raise SourceError(f"{path} {error}") from error
    for name in set(ours) & set(IS_SOUND):
        kind = schema.field(ours[name]).type
        of_bytes = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        if not (of_bytes or pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_string(kind)):
            raise SourceError(
                f"{path} holds {kind} in the column '{ours[name]}', not audio; save it with "
                f"dataset.cast_column('{ours[name]}', datasets.Audio())"
            )
    return ours


def _named(value: Any, names: list[str] | None) -> Any:
    """A class label's name for its number."""
    return names[value] if names and isinstance(value, int) and 0 <= value < len(names) else value


def _sound(path: Path, column: str, row: int, value: Any) -> Sound:
    """(where, name, sha256) of an audio cell; bytes come before a path, as in `datasets`."""
    name = value.get("path") if isinstance(value, dict) else value if isinstance(value, str) else None
    data = value.get("bytes") if isinstance(value, dict) else value if isinstance(value, bytes) else None
    if data is not None:
        return Cell(path, column, row), name or f"{path.name} row {row}", sha256_of_bytes(data)
    if not name:
        return None, "", ""
    file = path.parent / name
    return file, name, sha256_of(file) if file.is_file() else ""


def card_licence(folder: Path) -> str:
    """The licence in the front matter of a repository's README.md, '' when there is none."""
    path = folder / "README.md"
    parts = path.read_text(encoding="utf-8", errors="replace").split("---", 2) if path.is_file() else []
    try:
        found = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except yaml.YAMLError:
        return ""
    licence = found.get("license", "") if isinstance(found, dict) else ""
    return ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence)


def _info(folder: Path, schema: pa.Schema | None) -> dict[str, Any]:
    """features and license: beside the tables, or in the table's own metadata as `to_parquet` writes them."""
    path = folder / "dataset_info.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    metadata = (schema.metadata if schema else None) or {}
    return json.loads(metadata.get(b"huggingface", b"{}")).get("info", {})
