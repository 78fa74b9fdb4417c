"""The flow `retrain`: its one parameter, a group of settings a stage (the Prefect form is made from it), and its end."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_contracts.base import Settings
from data_contracts.benchmark import BenchmarkSettings, LatencyReport
from data_contracts.compare import CompareSettings, Verdict, unmeasured
from data_contracts.components import ComponentsSettings
from data_contracts.consistency import ConsistencyReport, ConsistencySettings
from data_contracts.evaluate import EvaluateSettings, EvaluationReport
from data_contracts.features import FeaturesSettings
from data_contracts.ingest import IngestSettings
from data_contracts.notify import NotifySettings
from data_contracts.promote import PromoteSettings, Promotion
from data_contracts.quantize import QuantizeSettings
from data_contracts.report import Report, ReportSettings
from data_contracts.train import TrainSettings


class RetrainSettings(Settings):
    """Settings of the whole journey, from sources to the registry."""

    title: str = Field("retrain", min_length=1, max_length=80)
    """Name of the run in Prefect, MLflow and the report."""
    home: str = "var"
    """Folder (or fsspec URL) of the artifact store, the weights and the local tracking database."""
    stages_at_once: int = Field(2, ge=1, le=2)
    """2: what the model hears and how it speaks are trained side by side, each with half of the threads; 1: one after the other."""
    threads: int = Field(0, ge=0)
    """CPU threads that the training stages share; 0 takes all cores."""
    components: ComponentsSettings = ComponentsSettings()
    ingest: IngestSettings = IngestSettings()
    features: FeaturesSettings = FeaturesSettings()
    train: TrainSettings = TrainSettings()
    quantize: QuantizeSettings = QuantizeSettings()
    consistency: ConsistencySettings = ConsistencySettings()
    benchmark: BenchmarkSettings = BenchmarkSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    compare: CompareSettings = CompareSettings()
    promote: PromoteSettings = PromoteSettings()
    report: ReportSettings = ReportSettings()
    notify: NotifySettings = NotifySettings()

    @model_validator(mode="after")
    def _guards_are_measured(self) -> RetrainSettings:
        if lacking := unmeasured(self.compare, self.evaluate.metrics):
            raise ValueError(
                f"compare guards {', '.join(lacking)}, which evaluate.metrics does not measure; add the metric, or name the "
                "figure in compare.unguarded"
            )
        return self


class Outcome(BaseModel):
    """What the flow ends with: the artifacts that a person asks for first."""

    model_config = ConfigDict(frozen=True)

    consistency: ConsistencyReport
    latency: LatencyReport
    evaluation: EvaluationReport
    verdict: Verdict
    report: Report
    promotion: Promotion
