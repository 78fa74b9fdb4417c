"""What is altered between a verdict and its promotion is named."""

import json

import pytest

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import Verdict
from data_contracts.errors import ArtifactError
from data_contracts.evaluate import EvaluationReport
from data_contracts.quantize import QuantizedModel
from omni_core.promotion_evidence import check_evidence, check_model_folder
from omni_core.store import ArtifactStore, content_digest, describe_files, told


def write(store, cls, files, **card):
    with store.scratch(cls.kind) as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
        return store.commit(cls, folder, **card)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path)


@pytest.fixture
def chain(store):
    """Model, evaluation, verdict."""
    model = write(store, QuantizedModel, {"model.json": "{}", "weights.txt": "abc"})
    evaluation = write(store, EvaluationReport, {}, inputs={"model": model}, facts={"metrics": {}})
    latency = write(store, LatencyReport, {}, inputs={"model": model})
    facts = {"decision": "REJECT", "reasons": ["own_speech_wer: worse"], "bound": 0.25}
    verdict = write(store, Verdict, {}, facts=facts, inputs={"challenger": evaluation, "latency": latency})
    return model, evaluation, verdict


def test_a_whole_chain_passes(store, chain):
    check_evidence(store, *chain)


def test_an_edited_verdict_file_is_named(store, chain):
    path = store.folder(chain[2]) / "verdict.json"
    path.write_text(path.read_text().replace("REJECT", "ACCEPT"))  # as long, so that only the hash tells
    with pytest.raises(ArtifactError, match=r"verdict/.*: 'verdict.json' was altered .* run the flow again"):
        check_evidence(store, *chain)


def test_a_verdict_card_that_says_more_than_its_file_is_refused(store, chain):
    model, evaluation, verdict = chain
    edited = verdict.model_copy(update={"facts": verdict.facts | {"decision": "PROMOTE"}})
    with pytest.raises(ArtifactError, match=r"verdict/.* was altered: its card says PROMOTE"):
        check_evidence(store, model, evaluation, edited)


def test_file_and_card_edited_together_make_another_digest(store, chain):
    model, evaluation, verdict = chain
    folder, facts = store.folder(verdict), verdict.facts | {"decision": "PROMOTE"}
    edited = verdict.model_copy(update={"facts": facts})
    (folder / "verdict.json").write_text(json.dumps(told(edited)))
    edited = edited.model_copy(update={"files": describe_files(folder)})
    with pytest.raises(ArtifactError, match=r"the card of verdict/.* was altered"):
        check_evidence(store, model, evaluation, edited)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_artifact_that_is_gone_or_lost_a_file_is_named_with_the_mend(store, chain, which):
    folder = store.folder(chain[which])
    gone = next(path for path in folder.iterdir() if path.name != "card.json")
    gone.rename(folder.parent / "elsewhere")
    with pytest.raises(
        ArtifactError, match=rf"artifact {chain[which].kind_name}/.* is missing or incomplete .* run the flow again"
    ):
        check_evidence(store, *chain)
    (folder.parent / "elsewhere").rename(gone)
    folder.rename(folder.parent / "whole")
    with pytest.raises(ArtifactError, match="is missing or incomplete"):
        check_evidence(store, *chain)


def test_a_figure_edited_in_the_card_alone_is_refused(store, chain):
    model, evaluation, verdict = chain
    edited = evaluation.model_copy(update={"facts": {"metrics": {"own_speech_wer": {"value": 0.0}}}})
    with pytest.raises(
        ArtifactError, match=r"evaluation/.* was altered: its card says other metrics, which metrics.json"
    ):
        check_evidence(store, model, edited, verdict)


def test_a_torn_card_is_one_sentence(store, chain):
    card = store.folder(chain[2]) / "card.json"
    for text in (card.read_text()[:100], '{"digest": 3}'):
        card.write_text(text)
        with pytest.raises(ArtifactError, match=r"the card of verdict/.* cannot be read .* run the flow again"):
            store.load(Verdict, chain[2].digest)


def test_a_verdict_about_another_model_promotes_nobody(store, chain):
    _, evaluation, verdict = chain
    other = write(store, QuantizedModel, {"model.json": "{}", "weights.txt": "xyz"})
    with pytest.raises(ArtifactError, match=r"verdict/.* is not about model/"):
        check_evidence(store, other, evaluation, verdict)


def test_a_verdict_pointed_at_another_evaluation_by_its_card_is_refused(store, chain):
    _, _, verdict = chain
    worse = write(store, QuantizedModel, {"model.json": "{}", "weights.txt": "xyz"})
    judged_worse = write(store, EvaluationReport, {}, inputs={"model": worse}, facts={"metrics": {}})
    pointed = verdict.model_copy(update={"inputs": verdict.inputs | {"challenger": judged_worse.digest}})
    with pytest.raises(ArtifactError, match=rf"verdict/.* its card says that it was made from .*{judged_worse.digest}"):
        check_evidence(store, worse, judged_worse, pointed)


def test_an_evaluation_pointed_at_another_model_by_its_card_is_refused(store, chain):
    _, evaluation, verdict = chain
    worse = write(store, QuantizedModel, {"model.json": "{}", "weights.txt": "xyz"})
    pointed = evaluation.model_copy(update={"inputs": {"model": worse.digest}})
    with pytest.raises(ArtifactError, match=rf"evaluation/.* its card says that it was made from .*{worse.digest}"):
        check_evidence(store, worse, pointed, verdict)


def test_settings_edited_in_the_card_and_a_card_of_an_older_version_are_told_apart(store, chain):
    model, evaluation, verdict = chain
    edited = verdict.model_copy(update={"settings": {"wer_margin": 9.0}})
    with pytest.raises(ArtifactError, match=r"its card says other settings, which verdict\.json does not"):
        check_evidence(store, model, evaluation, edited)
    with store.scratch("verdict") as folder:  # as it was written before inputs were told
        (folder / "verdict.json").write_text(json.dumps(verdict.facts))
        files = describe_files(folder)
        old = verdict.model_copy(update={"files": files, "digest": content_digest(files)})
        folder.rename(store.folder(verdict).parent / old.digest)
    with pytest.raises(ArtifactError, match=r"does not tell in verdict\.json what it was made from, as older versions"):
        check_evidence(store, model, evaluation, old)


def test_a_witness_that_was_altered_or_is_of_another_model_promotes_nobody(store, chain):
    model, evaluation, verdict = chain
    card = store.folder(store.load(LatencyReport, verdict.inputs["latency"])) / "card.json"
    whole = card.read_text()
    card.write_text(whole.replace(model.digest, "0" * 32))
    with pytest.raises(ArtifactError, match=r"latency/.* was altered: its card says that it was made from"):
        check_evidence(store, model, evaluation, verdict)
    card.write_text(whole)
    other = write(store, QuantizedModel, {"model.json": "{}", "weights.txt": "xyz"})
    timed = write(store, LatencyReport, {}, inputs={"model": other})
    mixed = write(store, Verdict, {}, facts=verdict.facts, inputs={"challenger": evaluation, "latency": timed})
    with pytest.raises(
        ArtifactError, match=rf"latency/.* was measured on model {other.digest} and not on the challenger"
    ):
        check_evidence(store, model, evaluation, mixed)


def test_a_model_folder_is_checked_file_by_file(store, chain):
    model, folder = chain[0], store.folder(chain[0])
    assert check_model_folder(folder, model.digest, "version 1").digest == model.digest
    (folder / "added.txt").write_text("x")
    with pytest.raises(ArtifactError, match=r"version 1 was altered .*: 'added.txt'"):
        check_model_folder(folder, model.digest, "version 1")
    (folder / "added.txt").unlink()
    with pytest.raises(ArtifactError, match="version 1 holds another model than its tag says"):
        check_model_folder(folder, "0" * 32, "version 1")
    (folder / "card.json").unlink()
    with pytest.raises(ArtifactError, match="version 1 has lost its model's card"):
        check_model_folder(folder, model.digest, "version 1")
