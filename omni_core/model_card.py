"""The artifacts behind a registered model enter, its model card leaves: Hugging Face's sections, in markdown.

---
language: en            <- front matter that the hub and its tools read (huggingface_hub writes it)
---
# omnirefit-assistant   <- sections of the hub's template (Mitchell et al. 2019), from model_card.md.jinja
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import Verdict
from data_contracts.evaluate import EvaluationReport
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from omni_core.report_lineage import flatten, weights_used

TEMPLATE = Path(__file__).with_suffix(".md.jinja")
CARD_FILE = "model_card.md"
DESCRIPTION_LENGTH = 5000
"""What MLflow's database keeps of a description."""


@dataclass(frozen=True)
class Evidence:
    """What a model card speaks of."""

    model: QuantizedModel
    evaluation: EvaluationReport
    verdict: Verdict
    manifest: Manifest
    latency: LatencyReport | None = None


def model_card(evidence: Evidence, name: str, alias: str) -> str:
    """The whole card, front matter included."""
    import jinja2

    page = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True).from_string(
        TEMPLATE.read_text()
    )
    facts = evidence.model.facts
    body = page.render(
        name=name, alias=alias, components=facts["components"], language=facts["language"],
        licence=licence(evidence), base_models=base_models(facts["components"]), size_bytes=facts.get("size_bytes", 0),
        weight_quantizer=facts["weight_quantizer"], parts=list(flatten(facts["components"])),
        turns=max((metric["count"] for metric in _metrics(evidence).values()), default=0), wrong=_wrong(evidence),
        data_licences=sorted(evidence.model.licences.items()), manifest_line=_manifest_line(evidence.manifest),
        lineage=list(lineage(evidence).items()), sealed_set=evidence.evaluation.facts.get("sealed_set", ""),
        metrics=[_row(metric, values) for metric, values in sorted(_metrics(evidence).items())],
        latency=_latency_line(evidence.latency), decision=evidence.verdict.facts["decision"],
        reasons=evidence.verdict.facts["reasons"], weights=_weights(evidence),
    )  # fmt: skip
    return f"---\n{_front_matter(evidence, name)}\n---\n\n{body}"


def description(card: str) -> str:
    """The card without its front matter, cut at a section so that MLflow's description holds it."""
    body = card.split("\n---\n", 1)[1].strip()
    if len(body) <= DESCRIPTION_LENGTH:
        return body
    end = f"\n\n(cut here; the whole card is the version's artifact {CARD_FILE})\n"
    cut = body[: DESCRIPTION_LENGTH - len(end)]
    return cut[: cut.rindex("\n## ")].rstrip() + end if "\n## " in cut else cut + end


def lineage(evidence: Evidence) -> dict[str, str]:
    """Role -> digest of what the model was made from and judged by."""
    judged = (
        {"champion evaluation": evidence.verdict.inputs["champion"]} if "champion" in evidence.verdict.inputs else {}
    )
    latency = {"latency": evidence.latency.digest} if evidence.latency else {}
    return {
        "model": evidence.model.digest, **evidence.model.inputs, "manifest": evidence.manifest.digest,
        "evaluation": evidence.evaluation.digest, **judged, **latency, "verdict": evidence.verdict.digest,
    }  # fmt: skip


def licences(evidence: Evidence) -> dict[str, str]:
    """Data source or weights -> licence."""
    return {**evidence.model.licences, **{f"weights {row['name']}": row["licence"] for row in _weights(evidence)}}


def licence(evidence: Evidence) -> str:
    """One licence identifier as the hub spells it, or "other" when the parts have several."""
    names = {name.lower() for name in licences(evidence).values()}
    return names.pop() if len(names) == 1 else "other"


def base_models(parts: Mapping[str, Any]) -> list[str]:
    """Names of the pretrained parts; a folder of this machine is named by its last part."""
    names = (parts["language_model"]["weights"], parts["encoder"].get("weights"), parts["codec"].get("weights"))
    return [Path(name).name if Path(name).is_absolute() else name.removeprefix("bundled:") for name in names if name]


def _weights(evidence: Evidence) -> list[dict[str, Any]]:
    return weights_used({"model": evidence.model})


def _front_matter(evidence: Evidence, name: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(task_type="audio-to-audio", dataset_type="sealed", dataset_name="sealed test split",
                   metric_type=metric, metric_value=values["value"])
        for metric, values in sorted(_metrics(evidence).items())
    ]  # fmt: skip
    tags = ["speech-to-speech", "omnirefit", "mlflow"]
    data = ModelCardData(
        language=evidence.model.facts["language"], license=licence(evidence), library_name="mlflow",
        pipeline_tag="audio-to-audio", tags=tags, model_name=name, eval_results=results or None,
        metrics=sorted(_metrics(evidence)) or None,
    )  # fmt: skip
    return data.to_yaml()


def _metrics(evidence: Evidence) -> Mapping[str, Mapping[str, Any]]:
    return evidence.evaluation.facts.get("metrics", {})


def _row(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, **values, "value": f"{values['value']:.4g}"}


def _wrong(evidence: Evidence) -> str:
    accuracy = _metrics(evidence).get("answer_accuracy")
    return f"{1 - accuracy['value']:.0%} of the answers were wrong" if accuracy else ""


def _manifest_line(manifest: Manifest) -> str:
    turns = ", ".join(f"{count:,} {split}" for split, count in manifest.facts.get("turns", {}).items())
    return f"Turns: {turns}. Records set aside: {manifest.facts.get('rejected', 0):,}." if turns else ""


def _latency_line(latency: LatencyReport | None) -> str:
    if latency is None:
        return ""
    first, factor = latency.facts["time_to_first_audio_ms"], latency.facts["real_time_factor"]
    return (
        f"Time to first audio {first['p50']:.0f} ms (p50), {first['p95']:.0f} ms (p95); real-time factor "
        f"{factor['p50']:.2f} (p50). Measured on: {hardware_line(latency.facts.get('hardware', 'unknown'))}."
    )


def hardware_line(hardware: Any) -> str:
    """A dictionary of hardware facts in one line."""
    return (
        ", ".join(f"{key} {value}" for key, value in hardware.items()) if isinstance(hardware, dict) else str(hardware)
    )
