"""The report is one page that fetches nothing, says the verdict first, and holds sound, pictures and lineage."""

import html.parser
import re
import shutil
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.compare import CompareSettings
from data_contracts.components import CodecSettings
from data_contracts.errors import ArtifactError
from data_contracts.evaluate import EvaluateSettings, EvaluationReport
from data_contracts.plan import Estimate, Plan, PlanRow
from data_contracts.quantize import QuantizedModel
from data_contracts.report import ReportSettings
from data_contracts.train import Checkpoint, FittedCodec
from omni_core.compare import compare
from omni_core.evaluate import score_model
from omni_core.report import Run, pictures, write_report
from omni_core.report_lineage import changes, lineage, weights_used
from omni_core.report_plots import loss_curve, running_mean, spectrogram, spectrum_db
from omni_core.report_tables import slice_tables
from omni_core.sealed_set import Reader, open_sealed
from tests.chromium import chromium

SETTINGS = EvaluateSettings(max_turns=5, perceptual_turns=2, clips_kept=2, threads=1)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Name of a model -> (folder, facts) of its evaluation: seconds each, and the same in every test."""
    return {"parent": tmp_path_factory.mktemp("scored")}


@pytest.fixture
def make_journey(scored, store, manifest, judge, parrot, make_latency, pairs):
    """The journey of a champion that answers one question wrong, and a challenger that makes no mistake."""

    def model(title):
        with store.scratch(QuantizedModel.kind) as folder:
            (folder / "model.json").write_text(title)
            parts = {"language_model": {"weights": title}, "encoder": {"weights": "bundled:whisper_tiny_en"}}
            return store.commit(QuantizedModel, folder, facts={"components": parts}, licences={"voice": "Apache-2.0"})

    def evaluation(name, made_by, answers):
        if name not in scored:
            sealed = open_sealed(store, manifest, SETTINGS.max_turns, Reader(scored["parent"], "test", name))
            folder = scored["parent"] / name
            folder.mkdir()
            facts = score_model(answers, judge, sealed.turns, sealed.language, SETTINGS, folder)
            scored[name] = folder, facts | {"judge_sha256": "f" * 64}
        kept, facts = scored[name]
        with store.scratch(EvaluationReport.kind) as folder:
            shutil.copytree(kept, folder, dirs_exist_ok=True)
            return store.commit(EvaluationReport, folder, inputs={"model": made_by, "manifest": manifest}, facts=facts,
                                settings=SETTINGS.model_dump(mode="json"))  # fmt: skip

    def curve():
        with store.scratch(Checkpoint.kind) as folder:
            rows = [{"step": step, "name": "loss", "value": 5 / (1 + step / 10)} for step in range(100)]
            pq.write_table(pa.Table.from_pylist(rows), folder / "curve.parquet")
            return store.commit(Checkpoint, folder, inputs={"manifest": manifest}, facts={"seconds": 12.5})

    def make(with_champion=True):
        challenger = model("new <base>")
        ours = evaluation("right", challenger, parrot())
        wrong = {pairs[5][0]: ("Your timer <b>is</b> off & on.", np.zeros(24_000, np.float32))}
        theirs = evaluation("wrong", model("old base"), parrot(wrong)) if with_champion else None
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


PLAN = Plan(
    title="tiny", champion="compared with version 1, the champion", derived=(), stages_to_run=("train speak",),
    stages_kept=("ingest",), estimated_for="a test", estimates=(Estimate(stage="train speak", steps=4, seconds=90.0),),
    rows=(PlanRow(part="speech head", changed="the language model", retrain="yes", warm_start="scratch", data_needed="-"),),
)  # fmt: skip


@pytest.fixture
def written(store, make_journey, tmp_path):
    """written(with_champion=, seconds=, kept=, plan=, **report settings) -> text of the page and its journey."""

    def write(with_champion=True, seconds=(), kept=(), plan=None, **settings):
        journey = make_journey(with_champion)
        run = Run("tiny", dict(seconds), kept, plan)
        path = write_report(store, tmp_path, run, journey, ReportSettings(**settings))
        assert path.name == "report.html"
        return path.read_text(), journey

    return write


def words_of(text):
    return " ".join(" ".join(Page(text).words).split())


def test_the_page_is_whole_fetches_nothing_and_says_the_verdict_first(written):
    text, _ = written(plan=PLAN)
    page = Page(text)
    assert not page.open and len(text) < 2e6
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "url(http" not in text and "@import" not in text and "<script" not in text
    targets = set(re.findall(r'id="([^"]+)"', text))
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= targets
    words = words_of(text)
    parts = ("INCONCLUSIVE", "own-speech WER", "own_speech_wer:", "What changed", "Plan, made before the run", "Metrics",
             "Slices", "By speaker", "Worst answers", "Usual answers", "Latency", "loss, last", "Lineage", "Cost", "Settings")  # fmt: skip
    places = [words.index(part) for part in parts[:3]] + [words.rindex(part) for part in parts[3:]]
    assert places == sorted(places), dict(zip(parts, places, strict=True))


def test_what_changed_is_said_against_the_champion_with_the_plan(written):
    words = words_of(written(plan=PLAN)[0])
    assert "language_model.weights old base new <base>" in words
    assert "Compared with version 1, the champion. To run: train speak. Kept: ingest." in words
    assert "speech head the language model yes scratch" in words
    assert "There is no champion: all is new." in words_of(written(with_champion=False, plan=PLAN)[0])


def test_every_guard_has_a_row_with_both_models_and_its_bar(written):
    words = words_of(written()[0])
    assert "loses at most 0.5 points" in words and "loses at most 5.0 %" in words
    assert re.search(r"time_to_first_audio_p95_ms .* lower 548 ms 548 ms \+0.0 % \+0.0 % to \+0.0 %", words)
    assert "champion p50 champion p95" not in words_of(written(with_champion=False)[0])


def test_the_worst_answers_come_with_the_sound_of_every_voice(written, pairs):
    text, journey = written(with_champion=False)
    wrong = journey["evaluate"].facts["metrics"]["own_speech_wer"]
    cards = text.count('<article class="card"')
    assert cards >= 2 and text.count("data:audio/mpeg") >= 3 * 2 and wrong["count"] == 5
    assert ("Every answer is right" in text) == ('id="worst-' not in text)


def test_every_card_has_players_of_the_question_both_models_and_the_teacher(written):
    text, _ = written()
    cards = [card.split("</article>")[0] for card in text.split("<article ")[1:]]
    assert len(cards) >= 2 and [card.count("<audio ") for card in cards] == [4] * len(cards)
    assert all([who in card for who in ("challenger", "champion", "teacher")] == [True] * 3 for card in cards)


def test_plots_of_latency_and_training_are_on_the_page_and_files_of_their_own(store, make_journey, written):
    text, journey = written()
    found = pictures(store, {stage: made for stage, made in journey.items() if made})
    assert list(found) == ["latency_time_to_first_audio.svg", "latency_real-time_factor.svg", "train_listen_loss.svg"]
    assert all(svg.startswith("<svg") and "xmlns=" in svg and svg in text for svg in found.values())


def test_a_voice_that_went_wrong_shows_what_the_judge_heard_and_whether_it_was_right(store, make_journey, tmp_path):
    journey = make_journey()
    swapped = journey | {"evaluate": journey["evaluate champion"], "evaluate champion": journey["evaluate"]}
    text = write_report(store, tmp_path, Run("x"), swapped, ReportSettings(clips=0)).read_text()
    words = words_of(text)
    worst = words[words.rindex("Worst answers") : words.rindex("Usual answers")]
    assert "challenger ✗ wrong" in worst and "champion ✓ right" in worst and "the judge heard: you" in worst
    assert "Your timer &lt;b&gt;is&lt;/b&gt; off &amp; on." in text and "<b>is</b>" not in text
    assert "There are none with sound: report.clips" in words
    none = write_report(store, tmp_path, Run("x"), swapped, ReportSettings(worst=0)).read_text()
    assert "report.worst is 0; 1 answers are wrong" in words_of(none) and "data:image/png" in none


def test_what_it_cost_is_counted_from_this_runs_stages_and_the_price(written):
    seconds = {"ingest": 30.0, "train speak": 330.0}
    words = words_of(
        written(seconds=seconds, kept=("ingest", "fit codec"), plan=PLAN, price_per_hour=2, currency="USD")[0]
    )
    assert "6.0 min of computing, 0.200 USD at 2 USD an hour. Kept from before, at no cost: fit codec." in words
    assert "train speak 5.5 min 90 s 0.183 USD" in words
    plain = words_of(written(seconds=seconds)[0])
    assert "Set report.price_per_hour" in plain and "USD" not in plain
    assert "train listen 12 s" in words_of(written()[0])  # no run around it: what the cards say


def test_lineage_names_digests_inputs_licences_and_weights_by_sha256(written):
    text, journey = written(with_champion=False)
    assert journey["evaluate"].digest in text and "model ← quantize" in text and "voice: Apache-2.0" in text
    assert "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a" in text  # Whisper tiny.en's model.bin
    assert "gain over the champion" not in text


def test_a_journey_without_its_verdict_is_refused(store, make_latency, tmp_path):
    with pytest.raises(ArtifactError, match="what these stages made: compare, evaluate"):
        write_report(store, tmp_path, Run("x"), {"benchmark": make_latency()}, ReportSettings())
    assert not (tmp_path / "report.html").exists()


def test_a_dimension_of_one_slice_is_left_out_and_the_champion_stands_beside():
    def row(dimension, name, value):
        return {"dimension": dimension, "slice": name, "figure": "answer_accuracy", "unit": "fraction", "value": value,
                "count": 3}  # fmt: skip

    new = [row("language", "en", 0.5), row("topic", "sums", 0.25), row("topic", "timers", 1.0)]
    found = slice_tables(new, [row("topic", "sums", 0.75)])
    assert list(found) == ["topic"] and found["topic"]["figures"] == {"answer_accuracy": "fraction"}
    assert [r["cells"][0][:2] for r in found["topic"]["rows"]] == [(0.25, 0.75), (1.0, None)]


def test_nothing_is_wider_than_a_phone_of_360_pixels(written, tmp_path):
    text, _ = written(plan=PLAN, price_per_hour=1, seconds={"train speak": 40.0})
    (tmp_path / "report.html").write_text(text)
    probe = """<iframe id=f src=report.html style="width:360px;height:800px;border:0" onload="
      const d = f.contentDocument, wide = [...d.body.querySelectorAll('*')].filter(e => !e.closest('.scroll, svg, audio') &&
        e.getBoundingClientRect().right > 360.5);
      document.title = d.documentElement.scrollWidth + ' ' + wide.map(e => e.tagName + '.' + e.className).join()"></iframe>"""
    (tmp_path / "phone.html").write_text(f"<!DOCTYPE html><body>{probe}")
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
               f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom"]  # fmt: skip
    dom = subprocess.run(
        [*command, f"file://{tmp_path}/phone.html"], capture_output=True, text=True, timeout=120
    ).stdout
    width, _, too_wide = re.search(r"<title>(.*?)</title>", dom)[1].partition(" ")
    assert 300 < int(width) <= 360 and not too_wide


def test_what_was_set_aside_is_counted_and_answers_that_could_not_be_aligned_are_named(make_journey, store, tmp_path):
    lost = {"utterance_id": "u7", "text": "Hi.", "reason": "0.10 s of sound are too short for the 9 phonemes"}
    journey = make_journey(with_champion=False)
    facts = {"read": 9, "accepted": 7, "rejected": 2, "rejected_by_rule": {"licence": 2}}
    journey["ingest"] = journey["ingest"].model_copy(update={"facts": facts})
    journey["train speak"] = journey["train listen"].model_copy(update={"facts": {"not_aligned": [lost]}})
    words = words_of(write_report(store, tmp_path, Run("x"), journey, ReportSettings()).read_text())
    assert "9 records read, 7 accepted, 2 set aside (licence 2; each with its reason" in words
    assert "1 answers could not be aligned" in words and f"u7 Hi. {lost['reason']}" in words


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


@pytest.mark.parametrize(("name", "vocoder", "used"), [("mel_rvq", "hifigan", True), ("mel_rvq", "griffin_lim", False),
                                                        ("snac", "hifigan", False), ("mimi", "hifigan", False)])  # fmt: skip
def test_the_vocoders_weights_are_listed_for_the_codec_that_has_a_vocoder(name, vocoder, used):
    codec = CodecSettings(name=name, vocoder=vocoder).model_dump(mode="json")
    model = QuantizedModel(digest="a", kind_name="model", facts={"components": {"codec": codec}})
    fitted = FittedCodec(digest="b", kind_name="codec", settings=codec)
    listed = {row["name"] for row in weights_used({"quantize": model, "fit codec": fitted})}
    assert ("hifigan_universal" in listed) == used


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
    made = make_journey(with_champion=False) | {"check consistency": make_consistency(0.7)}
    page = write_report(store, tmp_path, Run("x"), made, ReportSettings()).read_text()
    words = " ".join(Page(page).words)
    assert "text and speech agree" in words and "70% of 20 words differ" in words and "✗ failed" in words
