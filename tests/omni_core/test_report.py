"""The report is one page that fetches nothing, says the verdict first, and holds sound, pictures and lineage."""

import html.parser
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.compare import CompareSettings
from data_contracts.errors import ArtifactError
from data_contracts.evaluate import EvaluateSettings, EvaluationReport
from data_contracts.quantize import QuantizedModel
from data_contracts.train import Checkpoint
from omni_core.compare import compare
from omni_core.evaluate import score_model
from omni_core.report import write_report
from omni_core.report_lineage import changes, lineage, weights_used
from omni_core.report_plots import loss_curve, running_mean, spectrogram, spectrum_db
from omni_core.sealed_set import sealed_turns

SETTINGS = EvaluateSettings(max_turns=5, perceptual_turns=2, clips_in_report=2, threads=1)


@pytest.fixture
def make_journey(store, manifest, judge, parrot, make_latency, pairs):
    """The journey of a champion that answers one question wrong, and a challenger that makes no mistake."""

    def model(title):
        with store.scratch(QuantizedModel.kind) as folder:
            (folder / "model.json").write_text(title)
            parts = {"language_model": {"weights": title}, "encoder": {"weights": "bundled:whisper_tiny_en"}}
            return store.commit(QuantizedModel, folder, facts={"components": parts}, licences={"voice": "Apache-2.0"})

    def evaluation(made_by, answers):
        turns, language = sealed_turns(store, manifest, SETTINGS.max_turns)
        with store.scratch(EvaluationReport.kind) as folder:
            facts = score_model(answers, judge, turns, language, SETTINGS, folder)
            return store.commit(EvaluationReport, folder, inputs={"model": made_by, "manifest": manifest}, facts=facts,
                                settings=SETTINGS.model_dump(mode="json"))  # fmt: skip

    def curve():
        with store.scratch(Checkpoint.kind) as folder:
            rows = [{"step": step, "name": "loss", "value": 5 / (1 + step / 10)} for step in range(100)]
            pq.write_table(pa.Table.from_pylist(rows), folder / "curve.parquet")
            return store.commit(Checkpoint, folder, inputs={"manifest": manifest}, facts={"seconds": 12.5})

    def make(with_champion=True):
        challenger = model("new <base>")
        ours = evaluation(challenger, parrot())
        wrong = {pairs[5][0]: ("Your timer <b>is</b> off & on.", np.zeros(24_000, np.float32))}
        theirs = evaluation(model("old base"), parrot(wrong)) if with_champion else None
        timed = {"model": challenger} | ({"champion": model("old base")} if with_champion else {})
        latency = make_latency(inputs=timed)
        verdict = compare(store, ours, theirs, latency, CompareSettings(replicates=200))
        return {"ingest": manifest, "train listen": curve(), "quantize": challenger, "benchmark": latency,
                "evaluate": ours, "evaluate champion": theirs, "compare": verdict}  # fmt: skip

    return make


class Page(html.parser.HTMLParser):
    """Addresses that the page refers to, its open elements at the end, and its text."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "hr"})

    def __init__(self, text):
        super().__init__()
        self.addresses, self.open, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href") and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href") and value]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_whole_fetches_nothing_and_says_the_verdict_first(store, make_journey, tmp_path):
    path = write_report(store, tmp_path, title="tiny", journey=make_journey(), seconds={"ingest": 3.0},
                        plan=[{"module": "speech head", "why": "the language model changed", "from": "scratch"}])  # fmt: skip
    text = path.read_text()
    page = Page(text)
    assert path.name == "report.html" and not page.open and path.stat().st_size < 4e6
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "url(http" not in text and "@import" not in text
    words = " ".join(" ".join(page.words).split())
    assert words.index("INCONCLUSIVE") < words.index("own_speech_wer:") < words.index("Metrics")
    for part in ("Retrain plan", "the language model changed", "loss, last", "Stage times"):
        assert part in words


def test_sound_pictures_and_texts_of_both_models_are_inside(store, make_journey, tmp_path, pairs):
    text = write_report(store, tmp_path, title="tiny", journey=make_journey()).read_text()
    assert text.count("data:audio/ogg") == 2 * 4 and text.count("data:image/png") >= 3 and text.count("<svg") >= 4
    assert "Your timer &lt;b&gt;is&lt;/b&gt; off &amp; on." in text and "<b>is</b>" not in text
    assert "old base" in text and "new &lt;base&gt;" in text
    assert "Every answer is right" in text or "word errors" in text


def test_lineage_names_digests_inputs_licences_and_weights_by_sha256(store, make_journey, tmp_path):
    journey = make_journey(with_champion=False)
    text = write_report(store, tmp_path, title="tiny", journey=journey).read_text()
    assert journey["evaluate"].digest in text and "model ← quantize" in text and "voice: Apache-2.0" in text
    assert "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a" in text  # Whisper tiny.en's model.bin
    assert "gain over the champion" not in text


def test_a_journey_without_its_verdict_is_refused(store, make_latency, tmp_path):
    with pytest.raises(ArtifactError, match="what these stages made: compare, evaluate"):
        write_report(store, tmp_path, title="x", journey={"benchmark": make_latency()})
    assert not (tmp_path / "report.html").exists()


def test_many_inputs_are_counted_and_known_ones_named(manifest):
    shards = {f"shard {i}": f"{i:032x}" for i in range(9)}
    trained = Checkpoint(digest="c" * 32, kind_name="checkpoint", inputs={"manifest": manifest.digest, **shards})
    rows = lineage({"ingest": manifest, "train": trained})
    assert rows[1]["inputs"] == ["manifest ← ingest", "and 9 more"]


def test_only_components_that_differ_are_changes(manifest):
    old, new = (
        QuantizedModel(digest=d, kind_name="model", facts={"components": {"codec": {"name": "mel_rvq", "size": size}}})
        for d, size in (("a", 512), ("b", 1024))
    )
    assert changes(new, old) == [{"part": "components.codec.size", "champion": 512, "challenger": 1024}]
    assert changes(new, None) == []


def test_the_vocoders_weights_are_found_through_its_setting():
    model = QuantizedModel(digest="a", kind_name="model", facts={"components": {"codec": {"vocoder": "hifigan"}}})
    assert "hifigan_universal" in {row["name"] for row in weights_used({"quantize": model})}


def test_pictures_take_the_colour_of_the_page_and_no_fixed_size():
    svg = loss_curve("answer_loss", [(step, 1 / (1 + step)) for step in range(50)])
    head = svg[: svg.index(">")]
    assert svg.startswith("<svg") and "currentColor" in svg and "viewBox" in head and "#010203" not in svg
    assert not re.search(r' (width|height)="', head) and svg == loss_curve(
        "answer_loss", [(s, 1 / (1 + s)) for s in range(50)]
    )


def test_a_tone_is_a_line_at_its_pitch_in_the_spectrogram():
    tone = np.sin(2 * np.pi * 1000 * np.arange(24_000) / 24_000).astype(np.float32)
    bands = spectrum_db(tone, 24_000).argmax(1)[1:-1]
    assert set(bands) <= {15, 16}  # of 62.5 Hz: 1000 Hz is the border between the two
    assert spectrogram(tone, 24_000).startswith("data:image/png;base64,")
    assert spectrogram(np.zeros(10, np.float32), 24_000)


def test_the_running_mean_looks_back_only():
    assert running_mean(np.array([1.0, 3.0, 5.0, 7.0]), 2) == pytest.approx([1, 2, 4, 6])


def test_what_is_not_consistent_stands_on_the_page(make_journey, store, tmp_path, make_consistency):
    made = make_journey(with_champion=False)
    page = write_report(
        store, tmp_path, title="x", journey=made | {"check consistency": make_consistency(0.7)}
    ).read_text()
    words = " ".join(Page(page).words)
    assert "text and speech agree" in words and "70% of 20 words differ" in words and "✗ failed" in words
