"""A finished run's artifacts enter, the README's table of targets leaves: each figure with its bound, as measured.

.venv/bin/python benchmarks/targets.py            # the run that was promoted last, in var/
.venv/bin/python benchmarks/targets.py --home var --verdict DIGEST
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import Verdict
from data_contracts.evaluate import EvaluationReport
from omni_core.store import ArtifactStore


def newest_verdict(store: ArtifactStore) -> str:
    """Digest of the verdict that was written last."""
    cards = Path(store.base, Verdict.kind).glob("*/card.json")
    newest = max(cards, key=lambda card: card.stat().st_mtime)
    return json.loads(newest.read_text())["digest"]


def rows(evaluation: EvaluationReport, latency: LatencyReport) -> list[tuple[str, str, str]]:
    """(what, target, measured)."""
    value = {name: metric["value"] for name, metric in evaluation.facts["metrics"].items()}
    first, factor = latency.facts["time_to_first_audio_ms"], latency.facts["real_time_factor"]
    return [
        ("own-speech WER", "<= 10 %", f"{value['own_speech_wer']:.1%}"),
        ("right answers (text)", ">= 80 %", f"{value['answer_accuracy']:.1%}"),
        (
            "codec round-trip WER minus original WER",
            "<= 2 points",
            f"{100 * (value['codec_wer'] - value['teacher_wer']):+.1f} points",
        ),
        (
            "DistillMOS, teacher minus answers",
            "<= 0.7",
            f"{value['teacher_distill_mos'] - value['distill_mos']:.2f} ({value['distill_mos']:.2f} of {value['teacher_distill_mos']:.2f})",
        ),
        ("time to first audio p95, int8", "<= 1.5 s", f"{first['p95'] / 1000:.2f} s"),
        ("real-time factor of the answer, median", "< 1", f"{factor['p50']:.2f}"),
        ("WER of the questions, as heard", "", f"{value['question_wer']:.1%}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the table of targets of a finished run.")
    parser.add_argument("--home", default="var", help="folder of the artifact store")
    parser.add_argument("--verdict", default="", help="digest of a verdict; the newest by default")
    chosen = parser.parse_args()
    store = ArtifactStore(f"{chosen.home}/store")
    verdict = store.load(Verdict, chosen.verdict or newest_verdict(store))
    evaluation = store.load(EvaluationReport, verdict.inputs["challenger"])
    latency = store.load(LatencyReport, verdict.inputs["latency"])
    print(
        f"{evaluation.facts['turns']} held-out questions, {evaluation.facts['speakers']} voices not trained on, judge {evaluation.facts['judge']}\n"
    )
    print("| | target | measured |\n|---|---|---|")
    for what, target, measured in rows(evaluation, latency):
        print(f"| {what} | {target} | {measured} |")


if __name__ == "__main__":
    main()
