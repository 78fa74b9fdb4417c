"""Keys are tested as text; that Prefect honours them, on small stages that write real artifacts."""

import shutil

import pytest
from prefect import flow, unmapped

from data_contracts.base import FileEntry, Settings
from data_contracts.components import CodecSettings, EncoderSettings
from data_contracts.ingest import IngestSettings, Manifest
from data_contracts.train import FittedCodec
from omni_core.store import ArtifactStore
from tasks import caching
from tasks.caching import content_key, folder_digest
from tasks.home import store_of
from tasks.stage import latest_journal, stage

MODULES = ("omni_core.progress",)


def manifest(**shards: str) -> Manifest:
    files = {f"utterances/{name}.parquet": FileEntry(sha256=sha256, size_bytes=1) for name, sha256 in shards.items()}
    return Manifest(digest="-".join(shards.values()), kind_name="manifest", files=files)


def key(**inputs) -> str:
    return content_key("stage", MODULES, {"home": "var", **inputs})


def test_a_judge_from_a_hub_is_in_the_key_of_evaluate_by_its_weights(monkeypatch, tmp_path):
    from data_contracts.evaluate import EvaluateSettings
    from omni_core import judge_pin
    from tasks.evaluate import judge_of

    file = tmp_path / "model.safetensors"
    monkeypatch.setattr(judge_pin, "_file", lambda weights, name: file if name == file.name else None)  # the hub's
    told = []
    for weights in (b"as it was", b"as its author mended it"):
        file.write_bytes(weights)
        told.append(judge_of({"settings": EvaluateSettings(judge="someone/whisper")}))
    assert told[0] != told[1] and "" not in told
    for judge in ("bundled:whisper_base", str(tmp_path)):  # those are in the key by their content
        assert judge_of({"settings": EvaluateSettings(judge=judge)}) == ""


def test_where_the_home_is_does_not_count():
    assert key(home="var", x=1) == key(home="/elsewhere", x=1)


def test_settings_count_by_value():
    assert key(codec=CodecSettings(patch_frames=4)) == key(codec=CodecSettings(patch_frames=4))
    assert key(codec=CodecSettings(patch_frames=4)) != key(codec=CodecSettings(patch_frames=6))


def test_an_artifact_counts_by_its_digest():
    assert key(manifest=manifest(a="1")) != key(manifest=manifest(a="2"))


def test_of_a_manifest_only_the_shard_at_hand_counts():
    small, grown = manifest(a="1"), manifest(a="1", b="2")
    name = "utterances/a.parquet"
    assert key(manifest=small, shard=name) == key(manifest=grown, shard=name)
    assert key(manifest=small, shards=[name]) == key(manifest=grown, shards=[name])
    assert key(manifest=grown, shard=name) != key(manifest=grown, shard="utterances/b.parquet")


def test_a_path_counts_by_what_is_in_the_folder(tmp_path):
    (tmp_path / "metadata.csv").write_text("id,text\n")
    settings = IngestSettings(sources=(str(tmp_path),))
    before = key(settings=settings)
    (tmp_path / "metadata.csv").write_text("id,text\n1,hello\n")
    assert key(settings=settings) != before


def test_the_code_of_the_chosen_member_counts(monkeypatch):
    seen = []
    monkeypatch.setattr(caching, "code_digest", lambda *modules: seen.append(modules) or "digest")
    key(encoder=EncoderSettings(name="log_mel", weights=""), codec=CodecSettings())
    assert seen == [(*MODULES, "omni_core.codecs.mel_rvq", "omni_core.encoders.log_mel")]


def test_a_long_text_is_a_text(tmp_path):
    assert key(x="a" * 5000) != key(x="b" * 5000)
    assert key(x="nul\0") == key(x="nul\0")


def test_bundled_weights_count_by_the_hashes_written_down():
    assert key(encoder="bundled:whisper_tiny_en") != key(encoder="bundled:whisper_base")


def test_a_folder_moved_elsewhere_has_the_same_digest(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "a.txt").write_text("a")
    assert folder_digest(tmp_path / "here") == folder_digest(tmp_path / "there")


class Amount(Settings):
    """Settings of the small stage below."""

    value: int = 1


@stage(*MODULES)
def weigh(amount: Amount, home: str) -> FittedCodec:
    store = store_of(home)
    with store.scratch("codec") as folder:
        (folder / "weight.txt").write_text(str(amount.value))
        return store.commit(FittedCodec, folder)


@stage(*MODULES)
def weigh_shard(shard: str, manifest: Manifest, home: str) -> FittedCodec:
    return weigh.fn(Amount(value=len(shard)), home)


@flow
def weighing(value: int, home: str) -> FittedCodec:
    return weigh(Amount(value=value), home)


@flow
def weighing_shards(manifest: Manifest, home: str) -> None:
    weigh_shard.map(manifest.shards("answer"), unmapped(manifest), unmapped(home)).result()


def cached() -> list[bool]:
    return [run.was_cached for run in latest_journal()]


@pytest.fixture
def home(tmp_path, prefect_server) -> str:
    return str(tmp_path / "home")


def test_another_flow_run_with_the_same_content_takes_the_artifact_from_the_cache(home):
    first = weighing(11, home)
    assert cached() == [False]
    assert weighing(11, home) == first
    assert cached() == [True]
    assert weighing(12, home) != first
    assert cached() == [False]


@pytest.mark.parametrize("harm", ["deleted", "cut short"])
def test_a_record_whose_artifact_is_no_longer_whole_is_not_trusted(home, harm):
    value = 20 + len(harm)
    made = weighing(value, home)
    file = ArtifactStore(f"{home}/store").folder(made) / "weight.txt"
    if harm == "deleted":
        shutil.rmtree(file.parent)
    else:
        file.write_text("")
    weighing(value, home)
    assert cached() == [False]
    assert file.read_text() == str(value)
    weighing(value, home)
    assert cached() == [True]


def test_a_key_that_cannot_be_computed_stops_the_stage(home, monkeypatch):
    monkeypatch.setattr(caching, "content_key", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        weighing(31, home)


def test_one_more_shard_computes_that_shard_alone(home):
    weighing_shards(manifest(**{"answer-00000": "a", "answer-00001": "b"}), home)
    assert cached() == [False, False]
    weighing_shards(manifest(**{"answer-00000": "a", "answer-00001": "b", "answer-00002": "c"}), home)
    assert sorted(cached()) == [False, True, True]
