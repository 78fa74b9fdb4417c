"""The two bases: a frozen group of settings, and an artifact, the card of a folder named by its content's digest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

OMNI_CORE = Path(__file__).resolve().parent.parent / "omni_core"


def with_bounds(schema: dict[str, Any]) -> None:
    """Add each setting's bounds to its help: "Longest utterance kept, in seconds. (1 to 60)".

    The form checks bounds, but tells them only to someone who has broken one.
    """
    for setting in schema.get("properties", {}).values():
        if (said := _bounds(setting)) and "prefixItems" not in setting:
            setting["description"] = f"{setting.get('description', '')} ({said})".strip()


def _bounds(setting: dict[str, Any]) -> str:
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ):
        if low in setting and high in setting:
            return f"{setting[low]:g} to {setting[high]:g}{unit}"
        words = {low: f"at least {{:g}}{unit}", "exclusiveMinimum": "over {:g}",
                 high: f"at most {{:g}}{unit}", "exclusiveMaximum": "under {:g}"}  # fmt: skip
        if said := [text.format(setting[key]) for key, text in words.items() if key in setting]:
            return ", ".join(said)
    return ""


class Settings(BaseModel):
    """A frozen group of settings; an unknown name is refused; attribute docstrings and bounds become the form's help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, json_schema_extra=with_bounds)


class FileEntry(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    size_bytes: int


class Artifact(BaseModel):
    """The card (`card.json`) of one folder in the store: what it is, what it was made from, and its files.

    `digest` is the sha256 of the sorted (file name, sha256) pairs, so equal content has equal digests and an
    altered file is noticed on open. Lineage is following `inputs`.
    """

    model_config = ConfigDict(frozen=True)
    kind: ClassVar[str] = "artifact"
    told_in: ClassVar[str] = ""
    """File that tells inputs, settings and facts once more, so that the digest, which is of files, is of them too; the store
    writes it. Empty for what no verdict rests on."""

    digest: str
    kind_name: str
    inputs: dict[str, str] = Field(default_factory=dict)
    """Role -> digest of the artifact that this one was made from."""
    code_digest: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(default_factory=dict)
    """Small measured values and shapes that the next stage or the tracker reads without opening files."""
    licences: dict[str, str] = Field(default_factory=dict)
    """Part or source -> licence identifier."""
    files: dict[str, FileEntry] = Field(default_factory=dict)


def choices(family: str) -> tuple[str, ...]:
    """Names of a family's members: the file names in omni_core/<family>/, nothing is imported."""
    return tuple(sorted(p.stem for p in (OMNI_CORE / family).glob("*.py") if not p.stem.startswith("_")))


def member_of(family: str) -> Any:
    """A `str` type that accepts only the family's members and shows as a drop-down in the Prefect form."""

    def check(name: str) -> str:
        if name not in choices(family):
            raise ValueError(f"unknown member of {family}: '{name}'; there are: {', '.join(choices(family))}")
        return name

    return Annotated[str, AfterValidator(check), WithJsonSchema({"type": "string", "enum": list(choices(family))})]
