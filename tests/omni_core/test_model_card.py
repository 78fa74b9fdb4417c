"""The card as Hugging Face's own library reads it."""

import pytest
from huggingface_hub import ModelCard

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import Verdict
from data_contracts.evaluate import EvaluationReport
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from omni_core.model_card import DESCRIPTION_LENGTH, Evidence, description, licences, lineage, model_card

SECTIONS = (  # of the hub's template
    "Model Details", "Uses", "Bias, Risks, and Limitations", "How to Get Started with the Model", "Training Details",
    "Evaluation", "Technical Specifications",
)  # fmt: skip


def evidence(reasons: tuple[str, ...] = ("own_speech_wer: better", "latency gate passed")) -> Evidence:
    components = {
        "language_model": {"name": "huggingface", "weights": "bundled:smollm2_135m_instruct", "system_prompt": "Be brief."},
        "encoder": {"name": "whisper", "weights": "/somewhere/private/my_encoder"},
        "codec": {"name": "mel_rvq", "weights": "", "vocoder": "hifigan"}, "speech_head": {"name": "talker"},
    }  # fmt: skip
    metrics = {"answer_accuracy": {"value": 0.75, "unit": "fraction", "better": "higher", "count": 150}}
    facts = {"components": components, "language": "en", "weight_quantizer": "onnx_int8", "size_bytes": 411_399_397}
    latency = {
        "time_to_first_audio_ms": {"p50": 500.0, "p95": 710.0},
        "real_time_factor": {"p50": 0.7},
        "hardware": "EPYC",
    }
    return Evidence(
        QuantizedModel(digest="aa11", kind_name="model", facts=facts, inputs={"codec": "cc33"}, licences={"texts": "MIT"}),
        EvaluationReport(digest="ee55", kind_name="evaluation", facts={"metrics": metrics, "sealed_set": "5ea1"}),
        Verdict(digest="dd44", kind_name="verdict", inputs={"champion": "9999"},
                facts={"decision": "PROMOTE", "reasons": list(reasons)}),
        Manifest(digest="ff66", kind_name="manifest", facts={"turns": {"train": 3_197, "test": 150}, "rejected": 2}),
        LatencyReport(digest="bb22", kind_name="latency", facts=latency),
    )  # fmt: skip


def test_the_hub_reads_the_card_and_finds_its_sections():
    card = ModelCard(model_card(evidence(), "assistant", "champion"))
    assert card.data.language == "en" and card.data.pipeline_tag == "audio-to-audio"
    assert card.data.license == "other"  # MIT texts, weights of other licences
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("answer_accuracy", 0.75)
    headings = [line.removeprefix("## ") for line in card.text.splitlines() if line.startswith("## ")]
    assert headings == list(SECTIONS)


def test_the_card_tells_verdict_scores_lineage_and_licences():
    text = model_card(evidence(), "assistant", "champion")
    for part in ("**PROMOTE**", "- own_speech_wer: better", "| answer_accuracy | 0.75 | fraction | higher | 150 |",
                 "| codec | `cc33` |", "| verdict | `dd44` |", "| texts | MIT |", "710 ms (p95)", "25% of the answers",
                 "3,197 train", "models:/assistant@champion", "| smollm2_135m_instruct |"):  # fmt: skip
        assert part in text, part


def test_licences_and_lineage_name_every_part():
    found = licences(evidence())
    assert found["texts"] == "MIT" and found["weights smollm2_135m_instruct"] and found["weights hifigan_universal"]
    assert lineage(evidence()) == {
        "model": "aa11", "codec": "cc33", "manifest": "ff66", "evaluation": "ee55", "champion evaluation": "9999",
        "latency": "bb22", "verdict": "dd44",
    }  # fmt: skip


def test_no_folder_of_this_machine_is_in_the_list_of_base_models():
    (line,) = [line for line in model_card(evidence(), "a", "b").splitlines() if line.startswith("- **Finetuned")]
    assert line == "- **Finetuned from:** smollm2_135m_instruct, my_encoder"


@pytest.mark.parametrize("reasons", [1, 200])
def test_the_description_has_no_front_matter_and_fits_the_database(reasons):
    card = model_card(evidence(tuple(f"reason {number}: " + "x" * 60 for number in range(reasons))), "a", "b")
    text = description(card)
    assert text.startswith("# a\n") and len(text) <= DESCRIPTION_LENGTH
    assert ("the whole card is the version's artifact" in text) == (reasons == 200)
