"""The name of a preset (or a YAML file) and `a.b=c` overrides enter, validated RetrainSettings leave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from data_contracts.errors import SettingsError

if TYPE_CHECKING:
    from data_contracts.retrain import RetrainSettings

PRESETS = Path(__file__).resolve().parent.parent / "deployments" / "presets"


def preset_names() -> tuple[str, ...]:
    """Names of deployments/presets/*.yaml."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def load_settings(preset: str, overrides: tuple[str, ...] = ()) -> RetrainSettings:
    """Read, override, validate. Raises SettingsError: one sentence that names the setting."""
    from pydantic import ValidationError

    from data_contracts.retrain import RetrainSettings

    values = read_preset(preset)
    for override in overrides:
        _set(values, override)
    try:
        return RetrainSettings(**values)
    except ValidationError as error:
        raise SettingsError(f"preset '{preset}': {'; '.join(_sentences(error))}") from error


def read_preset(preset: str) -> dict[str, Any]:
    """The YAML as it stands; `extends: NAME` at its top takes another preset and changes only what is written."""
    path = Path(preset) if preset.endswith((".yaml", ".yml")) else PRESETS / f"{preset}.yaml"
    if not path.is_file():
        raise SettingsError(f"there is no preset '{preset}'; there are: {', '.join(preset_names())}, or a YAML file")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold settings by name, as deployments/presets/quickstart.yaml does")
    base = values.pop("extends", None)
    return _merged(read_preset(base), values) if base else values


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def _set(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    *groups, name = path.strip().split(".")
    if not equals or not name:
        raise SettingsError(f"--set takes name=value, as components.codec.patch_frames=6; got '{override}'")
    for group in groups:
        values = values.setdefault(group, {})
        if not isinstance(values, dict):
            raise SettingsError(f"--set {override}: '{group}' is a value, not a group of settings")
    values[name] = yaml.safe_load(text)


def _sentences(error: Any) -> list[str]:
    return [
        ": ".join(filter(None, [".".join(map(str, item["loc"])), _said(item)]))
        for item in error.errors(include_url=False)
    ]


def _said(item: dict[str, Any]) -> str:
    if item["type"] == "extra_forbidden":
        return "there is no such setting"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]} (got {item['input']!r})"
