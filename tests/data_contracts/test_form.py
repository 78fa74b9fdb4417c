"""Prefect's form is made from the settings' schema: every setting is there, with help, bounds and drop-downs."""

import pytest

from data_contracts.base import choices
from data_contracts.every_day import BenchmarkRunSettings, CompareRunSettings, RollbackSettings
from data_contracts.retrain import RetrainSettings

FAMILIES = {
    "components.language_model.name": "language_models", "components.encoder.name": "encoders",
    "components.codec.name": "codecs", "components.speech_head.name": "speech_heads",
    "quantize.weight_quantizer": "weight_quantizers",
}  # fmt: skip


def settings_of(model) -> dict[str, dict]:
    """a.b.c -> its schema, groups taken apart."""
    whole = model.model_json_schema()
    found = {}

    def walk(group, prefix):
        for name, schema in group["properties"].items():
            if "$ref" in schema:
                walk(whole["$defs"][schema["$ref"].split("/")[-1]], f"{prefix}{name}.")
            else:
                found[prefix + name] = schema

    walk(whole, "")
    return found


def leaves(values, prefix="") -> set[str]:
    inner = {name: value for name, value in values.items() if isinstance(value, dict) and value}
    return {f"{prefix}{name}" for name in values if name not in inner}.union(
        *(leaves(value, f"{prefix}{name}.") for name, value in inner.items())
    )


@pytest.mark.parametrize("model", [RetrainSettings, CompareRunSettings, BenchmarkRunSettings, RollbackSettings])
def test_every_setting_has_help_and_a_default_that_the_form_can_show(model):
    found = settings_of(model)
    assert set(found) == leaves(model().model_dump(mode="json"))
    for name, schema in found.items():
        assert schema.get("description", "").strip(), f"{name} has no help"
        assert "default" in schema, f"{name} shows empty in the form: its default is made by a function"


@pytest.mark.parametrize(("setting", "family"), FAMILIES.items())
def test_component_names_are_drop_downs_of_the_family_s_members(setting, family):
    assert tuple(settings_of(RetrainSettings)[setting]["enum"]) == choices(family)


def test_metrics_formats_and_occasions_are_drop_downs_too():
    found = settings_of(RetrainSettings)
    assert tuple(found["evaluate.metrics"]["items"]["enum"]) == choices("metrics")
    assert tuple(found["ingest.formats"]["additionalProperties"]["enum"]) == choices("source_formats")
    assert "approval wanted" in found["notify.occasions"]["items"]["enum"]
    assert found["components.codec.vocoder"]["enum"] == ["hifigan", "griffin_lim"]


def test_bounds_are_said_and_checked():
    found = settings_of(RetrainSettings)
    longest = found["ingest.quality.max_duration_s"]
    assert (longest["minimum"], longest["maximum"]) == (1, 60)
    assert longest["description"] == "Longest utterance kept, in seconds. (1 to 60)"
    assert found["train.speak.steps"]["description"].endswith("(at least 1)")
    assert found["title"]["description"].endswith("(1 to 80 characters)")
    assert found["compare.confidence"]["description"].endswith("(over 0.5, under 1)")
