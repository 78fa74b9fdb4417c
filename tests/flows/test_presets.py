import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import SettingsError
from flows.presets import load_settings, preset_names, read_preset
from omni_core.plan import make_plan
from omni_core.plan_facts import read_facts
from tests.omni_core.codecs.tiny_codecs import write_snac
from tests.omni_core.encoders.tiny_encoders import whisper_folder
from tests.omni_core.language_models import classes
from tests.omni_core.made_sources import run, utterances
from tests.omni_core.source_formats import made_folders


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_valid(preset):
    assert load_settings(preset).title == preset


def test_the_swap_changes_one_component_and_the_title():
    quickstart, swap = load_settings("quickstart").model_dump(), load_settings("quickstart_swap").model_dump()
    changed = [name for name in quickstart if quickstart[name] != swap[name]]
    assert changed == ["title", "components"]
    assert [
        name for name in quickstart["components"] if quickstart["components"][name] != swap["components"][name]
    ] == ["codec"]


def test_an_override_sets_one_setting():
    settings = load_settings("quickstart", ("components.codec.patch_frames=7", "train.speak.learning_rate=1e-4"))
    assert settings.components.codec.patch_frames == 7 and settings.train.speak.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "components.codec.patch_frames=99",
            r"components\.codec\.patch_frames: input should be less than or equal to 16",
        ),
        (
            "components.codec.name=mp3",
            r"components\.codec\.name: unknown member of codecs: 'mp3'; there are: .*mel_rvq",
        ),
        ("components.codex.name=snac", r"components\.codex: there is no such setting"),
        (
            "evaluate.metrics=[word_error_rate, distill_mos, cascade_retention]",
            r"quickstart': compare guards answer_accuracy, speaker_similarity, which evaluate\.metrics does not measure; add",
        ),
        ("patch_frames", r"--set takes name=value"),
        ("title.a=b", r"'title' is a value, not a group"),
    ],
)
def test_a_bad_setting_is_one_sentence_that_names_it(override, sentence):
    with pytest.raises(SettingsError, match=sentence):
        load_settings("quickstart", (override,))


def test_a_guard_is_left_out_only_by_its_name():
    metrics = "evaluate.metrics=[answer_accuracy, word_error_rate, distill_mos]"
    named = load_settings("quickstart", (metrics, "compare.unguarded=[speaker_similarity, cascade_retention]"))
    assert named.compare.unguarded == ("speaker_similarity", "cascade_retention")
    assert load_settings("quickstart").compare.unguarded == ()


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(SettingsError, match=r"there is no preset 'fast'; there are: .*quickstart"):
        load_settings("fast")


def test_a_file_that_is_not_yaml_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("title: [")
    with pytest.raises(SettingsError, match=r"mine\.yaml is not YAML"):
        read_preset(str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text("- a\n")
    with pytest.raises(SettingsError, match="must hold settings by name"):
        read_preset(str(tmp_path / "mine.yaml"))


def test_the_preset_mini_omni_takes_its_own_data_with_long_answers(tmp_path):
    """Its ingest group as it stands, on a VoiceAssistant folder; weights and shares of splits are those of a dozen rows."""
    folder, long = tmp_path / "VoiceAssistant-400K", made_folders.snac(70 * 24_000 // 2048)
    rows = made_folders.prompts(4)
    said = "It goes on, and on. " * 60
    data = [made_folders.voice_assistant_row(n, *row) for n, row in enumerate(rows)]
    data[0] |= {"answer": said, "answer_snac": long}
    data[1] |= {"split_name": "identity"}
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(data, made_folders.SCHEMA), folder / "train-00000-of-00325.parquet")
    for part in ("lm", "whisper", "snac"):
        (tmp_path / part).mkdir()
    settings = load_settings("mini_omni", (
        f"ingest.sources=[{folder}]", "ingest.voice.coded_answers=keep", "ingest.held_out_fraction=0",
        "ingest.quality.min_validation_turns=0", "ingest.quality.min_test_turns=0", "quantize.weight_quantizer=none",
        f"components.language_model.weights={classes.write('qwen2', tmp_path / 'lm')}",
        f"components.encoder.weights={whisper_folder(tmp_path / 'whisper')}",
        f"components.codec.weights={write_snac(tmp_path / 'snac')}", f"evaluate.judge={tmp_path / 'whisper'}",
    ))  # fmt: skip
    store, manifest = run(tmp_path, settings.ingest)
    assert manifest.facts["rejected_by_rule"] == {"known_flaw": 1}
    durations = {row["text"]: row["duration_s"] for row in utterances(store, manifest, "answer")}
    assert settings.ingest.quality.max_duration_s < 69 < durations[said.strip()] < 70
    plan = make_plan(settings, read_facts(settings, tmp_path), None)
    derived = {(line.part, line.quantity): line.value for line in plan.derived}
    assert "tokens a word" in derived["language model", "fertility on the data"]
    assert next(row.data_needed for row in plan.rows if row.part == "adapter") == "3 questions, features computed"
