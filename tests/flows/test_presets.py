import pytest

from data_contracts.errors import SettingsError
from flows.presets import load_settings, preset_names, read_preset


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
