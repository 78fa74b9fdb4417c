"""Source folders enter, Records leave: each folder is read by the format that it is in (omni_core/source_formats/)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from data_contracts.base import choices
from data_contracts.errors import SettingsError, SourceError
from data_contracts.ingest import IngestSettings
from omni_core import components
from omni_core.on_disk import OnDisk
from omni_core.records import Piece, Record, drawn_split
from omni_core.source_formats import SourceFormat

FAMILY = "source_formats"
OWN = "metadata_csv"


def read_sources(settings: IngestSettings, folder: Path | None = None) -> OnDisk[Record]:
    """All records of all folders, in order. Raises SourceError for a folder that cannot be read at all.

    Texts and addresses lie on disk, in a file without a name in `folder`: about 1 kB a record, 8 bytes of it in memory.
    """
    if not settings.sources:
        raise SourceError("ingest.sources is empty; name at least one folder with a metadata.csv")
    for setting in ("formats", "licences"):
        if unknown := sorted(set(getattr(settings, setting)) - set(settings.sources)):
            raise SettingsError(
                f"ingest.{setting} names '{unknown[0]}', which is not in ingest.sources; correct one of them"
            )
    folders = [Path(source) for source in settings.sources]
    for number, source in enumerate(folders):
        if source.resolve() in [earlier.resolve() for earlier in folders[:number]]:
            raise SourceError(f"source '{source}' is listed twice; list it once")
    formats = [format_of(Path(source), settings.formats.get(source)) for source in settings.sources]
    licences = [settings.licences.get(source, "") for source in settings.sources]
    listing: OnDisk[Record] = OnDisk(folder)
    for name, source, found, licence in zip(source_names(folders), folders, formats, licences, strict=True):
        for record in _records(name, source, found, licence, settings):
            listing.append(record)
    return listing


def source_names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names; the second of one name gets -2, so that adding a source renames no earlier one."""
    names: list[str] = []
    for folder in folders:
        stem, count = folder.resolve().name, 1
        name = stem
        while name in names:
            count += 1
            name = f"{stem}-{count}"
        names.append(name)
    return names


def check_is_folder(folder: Path) -> None:
    """Raises SourceError."""
    if not folder.is_dir():
        raise SourceError(f"source '{folder}' is not a folder; correct ingest.sources (relative to {Path.cwd()})")


def format_of(folder: Path, name: str | None = None) -> str:
    """The format's name: the one that the settings give, else the one that recognises the folder.

    Raises SourceError for a folder that is missing, empty, or in no format or two.
    """
    check_is_folder(folder)
    if not any(folder.iterdir()):
        raise SourceError(
            f"source '{folder}' is empty; put a metadata.csv and its audio there, or take it out of ingest.sources"
        )
    if name or load_format(OWN).recognises(folder):
        return name or OWN
    found = [one for one in choices(FAMILY) if load_format(one).recognises(folder)]
    found = [one for one in found if not load_format(one).is_general] or found
    if len(found) > 1:
        raise SourceError(
            f"source '{folder}' looks like {' and '.join(found)}; say which in ingest.formats, as {{{folder}: {found[0]}}}"
        )
    if not found and not (folder / "metadata.csv").is_file():
        raise SourceError(
            f"source '{folder}' has no metadata.csv; write one, its columns are in examples/README.md, or name a folder "
            f"in one of the other formats: {', '.join(one for one in choices(FAMILY) if one != OWN)}"
        )
    return found[0] if found else OWN


def load_format(name: str) -> SourceFormat:
    """The member of that name."""
    return components.load(FAMILY, name)


def _records(source: str, folder: Path, name: str, licence: str, settings: IngestSettings) -> Iterator[Record]:
    count = 0
    for record in load_format(name).records(source, folder, settings.language):
        count += 1
        split = record.split or drawn_split(record.said.text, settings.held_out_fraction)
        answer = record.answer
        if answer and answer.codec and settings.voice.coded_answers == "speak":
            answer = Piece(answer.text)
        licence_ = record.license or licence
        unchanged = split == record.split and answer is record.answer and licence_ == record.license
        yield record if unchanged else replace(record, split=split, answer=answer, license=licence_)
    if not count:
        raise SourceError(f"source '{folder}' ({name}) holds no record; add some or take it out of ingest.sources")
