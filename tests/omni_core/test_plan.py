"""The plan: which stages a change reaches, what the table says of it, and what is refused before anything is paid for."""

from pathlib import Path

import pytest

from data_contracts.base import choices
from data_contracts.errors import OmniError
from data_contracts.ingest import IngestSettings, QualitySettings
from data_contracts.retrain import RetrainSettings
from omni_core import plan as plans
from omni_core.plan import Champion, changes_against, differences, make_plan, parts_of, roots_of, stages_to_run
from omni_core.plan_facts import longest_answer_s, longest_question_s, read_facts
from omni_core.plan_refusals import checked_facts
from tests.flows import tiny
from tests.omni_core.language_models import classes

AFTER_A_MODEL = {"quantize", "check consistency", "benchmark", "evaluate", "compare", "report"}
REACHED = {
    "encoder": {"encoder features", "train listen", "quantize language model"},
    "language_model": {"language model states", "train listen", "train speak", "quantize language model"},
    "codec": {"fit codec", "speech targets", "train speak"},
    "speech_head": {"train speak"},
}
CHANGE = {
    "encoder": {"name": "log_mel", "weights": "x"},
    "language_model": {"system_prompt": "Be kind."},
    "codec": {"patch_frames": 5},
    "speech_head": {"num_layers": 2},
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return tiny.settings(tmp_path_factory.mktemp("tiny"))


def changed(settings: RetrainSettings, group: str, **values) -> RetrainSettings:
    """One group among the components, the stages or their settings, by dotted name."""
    first, _, rest = group.partition(".")
    inner = getattr(settings, first)
    new = changed(inner, rest, **values) if rest else inner.model_copy(update=values)
    return settings.model_copy(update={first: new})


def swapped(settings, part, **values):
    return changed(settings, f"components.{part}", **values)


def settings_home(settings) -> Path:
    return Path(settings.home)


def planned(settings, against):
    return make_plan(settings, checked_facts(settings, settings_home(settings)), against)


def champion(settings) -> Champion:
    return Champion("3", parts_of(settings))


def test_nothing_changed_nothing_is_run(settings):
    plan = planned(settings, champion(settings))
    assert plan.stages_to_run == () and plan.estimates == () and set(plan.stages_kept) == set(plans.stages_of("frozen"))
    assert {row.changed for row in plan.rows} == {"no"}
    assert {row.retrain for row in plan.rows} == {"no", "no, frozen"}


@pytest.mark.parametrize("part", REACHED)
def test_a_swap_runs_what_depends_on_it_and_nothing_else(part, settings):
    changes = changes_against(champion(settings), swapped(settings, part, **CHANGE[part]), {})
    assert set(stages_to_run(changes)) == REACHED[part] | AFTER_A_MODEL


def test_less_speech_to_fit_also_fits_the_aligner_anew(settings):
    stages = stages_to_run(changes_against(champion(settings), swapped(settings, "codec", fit_minutes=5.0), {}))
    assert {"fit codec", "fit aligner"} <= set(stages) and "ingest" not in stages


def test_other_data_runs_everything_and_so_does_a_first_run(settings):
    data = changed(settings, "ingest", seed=7)
    assert set(stages_to_run(changes_against(champion(settings), data, {}))) == set(plans.stages_of("frozen"))
    assert set(stages_to_run(changes_against(None, settings, {}))) == set(plans.stages_of("frozen"))


def test_a_source_with_more_records_than_then_is_other_data(settings):
    before = Champion("3", parts_of(settings), {"source": 4, "gone": 9})
    plan = planned(settings, before)
    assert row(plan, "data").changed == "source: 4 -> 20 records" and set(plan.stages_to_run) == set(
        plans.stages_of("frozen")
    )
    assert planned(settings, Champion("3", parts_of(settings), {"source": 20})).stages_to_run == ()


def test_other_weights_for_serving_train_nothing(settings):
    plan = planned(changed(settings, "quantize", weight_quantizer="dynamic_int8"), champion(settings))
    assert set(plan.stages_to_run) == {"quantize language model"} | AFTER_A_MODEL and plan.estimates == ()
    assert row(plan, "served weights").changed == "none -> dynamic_int8"


def row(plan, part):
    (found,) = [line for line in plan.rows if line.part == part]
    return found


def test_the_table_of_a_codec_swap_names_change_reason_start_and_data(settings):
    plan = planned(swapped(settings, "codec", patch_frames=5), champion(settings))
    assert row(plan, "codec").changed == "patch_frames: 7 -> 5" and row(plan, "codec").retrain == "refit"
    head = row(plan, "speech head")
    assert (head.changed, head.retrain, head.warm_start) == ("no", "yes: codec changed", "random")
    assert head.data_needed == "6 sentences, codes computed, states kept"
    assert row(plan, "adapter and prefix").retrain == "no" and row(plan, "language model").retrain == "no, frozen"
    assert [estimate.stage for estimate in plan.estimates] == ["train speak"] and plan.estimates[0].seconds > 0


def with_parallel(settings, **values):
    return swapped(settings, "speech_head", name="parallel", **values)


def test_another_kind_of_head_trains_all_of_its_own_stages_and_keeps_the_data(settings):
    plan = planned(with_parallel(settings), champion(settings))
    assert set(plan.stages_to_run) == set(plans.OWN["trained"]) | AFTER_A_MODEL
    assert {"ingest", "fit codec", "encoder features"} == set(plan.stages_kept)
    assert (
        row(plan, "speech head").changed == "name: talker -> parallel; new"
        and row(plan, "adapter").warm_start == "random"
    )
    assert row(plan, "language model").retrain.startswith("yes") and len(plan.estimates) == 3


def test_a_swap_under_the_parallel_head_trains_it_anew_from_its_first_stage(settings):
    before = with_parallel(settings)
    for part in ("encoder", "codec", "language_model"):
        changes = changes_against(champion(before), swapped(before, part, **CHANGE[part]), {})
        stages = stages_to_run(changes, "trained")
        assert set(plans.TRAINED["trained"]) <= set(stages) and "train listen" not in stages
    last = changed(before, "train.parallel.multimodal", steps=7)
    assert (
        set(stages_to_run(changes_against(champion(before), last, {}), "trained"))
        == {"train multimodal"} | AFTER_A_MODEL
    )


def test_what_is_derived_for_the_parallel_head(settings):
    plan = planned(with_parallel(settings), None)
    derived = {(line.part, line.quantity): line.value for line in plan.derived}
    assert derived["adapter", "frames"] == "a step a feature, 100 Hz, into 32"
    assert derived["speech head", "streams"] == "2 of 80 ids, of which 64 specials, beside the text"
    assert ("language model", "prefix") not in derived and "language model" in derived["whole", "parameters, trained"]
    assert any("do not fit 1024 steps are left out" in note for note in plan.notes)


def test_every_stage_of_the_parallel_head_reads_settings_in_the_end(settings):
    known = set(parts_of(with_parallel(settings))) | {"codec.fit_minutes"}
    stages = plans.stages_of("trained")
    assert all(roots_of(stage, "trained") and roots_of(stage, "trained") <= known for stage in stages)


def test_a_setting_that_the_champions_card_does_not_know_is_no_difference():
    assert differences({"a": 1, "gone": 2}, {"a": 1, "new": 3}) == []
    assert differences({"a": {"b": 1}}, {"a": {"b": [2, 3]}}) == ["a.b: 1 -> [2, 3]"]


def test_every_stage_reads_settings_in_the_end(settings):
    known = set(parts_of(settings)) | {"codec.fit_minutes"}
    assert all(roots_of(stage) and roots_of(stage) <= known for stage in plans.stages_of("frozen"))


def test_what_is_derived_is_the_components_own(settings):
    plan = planned(settings, None)
    derived = {(line.part, line.quantity): line.value for line in plan.derived}
    assert derived["language model", "width, layers"] == "32, 2"
    assert derived["encoder", "features"] == "80 wide at 100 Hz"
    assert derived["adapter", "frames"] == "6 features each, 16.7 Hz, into 32"
    assert derived["speech head", "streams"] == "2 of 17 ids, 16 is pad"
    assert derived["speech head", "delays"].startswith("0 to 1 steps, 1 in all")
    assert plan.champion == "there is no champion: all is new"


def test_the_longest_sample_is_the_tightest_bound(settings):
    home = settings_home(settings)
    assert longest_question_s(settings, read_facts(settings, home)) == (15.0, "ingest.quality.max_duration_s")
    long = changed(settings, "ingest.quality", max_duration_s=60.0)
    bound, reason = longest_question_s(long, read_facts(long, home))
    assert reason == "the language model's context" and 30 < bound < 60
    assert longest_answer_s(read_facts(settings, home))[1].startswith("64 tokens of text")


IMPOSSIBLE = {
    "head": (
        ("components.speech_head", {"width": 100, "num_heads": 3}),
        "speech_head.width 100 does not divide into 3 heads",
    ),
    "language": (("ingest", {"language": "xx"}), "there is no language pack 'xx'"),
    "context": (
        ("train.listen", {"prefix_examples": 99}),
        "reads 1024 positions; prefix .* lower train.listen.prefix_examples",
    ),
    "post-adapter": (
        ("components.speech_head", {"name": "parallel", "post_adapter_layers": 1}),
        "a post-adapter reads those before it; set quantize.weight_quantizer to dynamic_int8",
    ),
    "no head": (
        ("components.speech_head", {"name": "parallel", "weights": "."}),
        r"no parallel head in '\.' \(speech_head.weights\)",
    ),
    "no room": (("components.speech_head", {"name": "parallel"}), "reads 128 steps: .* room for questions of"),
    "onnx": (
        ("quantize", {"weight_quantizer": "onnx_int8"}),
        "cannot convert GPT2LMHeadModel; set quantize.weight_quantizer to dynamic_int8",
    ),
    "encoder": (
        ("ingest.quality", {"max_duration_s": 60.0}),
        "whisper hears at most 30 s and ingest.quality.max_duration_s is 60",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_the_impossible_is_refused_with_its_reason(case, settings, tmp_path):
    if case == "onnx":
        settings = swapped(settings, "language_model", weights=str(classes.write("gpt2", tmp_path / "lm")))
    if case == "post-adapter":
        settings = changed(settings, "quantize", weight_quantizer="onnx_int8")
    if case == "no room":
        settings = changed(settings, "train.listen", prefix_examples=0)
        folder = classes.write("qwen2", tmp_path / "lm")
        config = (folder / "config.json").read_text()
        (folder / "config.json").write_text(
            config.replace('"max_position_embeddings": 512', '"max_position_embeddings": 128')
        )
        settings = swapped(settings, "language_model", weights=str(folder))
    if case == "encoder":
        from tests.omni_core.test_component_facts import whisper

        settings = swapped(settings, "encoder", name="whisper", weights=whisper(tmp_path / "whisper"))
        assert "whisper" in choices("encoders")
    (group, values), sentence = IMPOSSIBLE[case]
    checked_facts(settings, settings_home(settings))
    with pytest.raises(OmniError, match=sentence):
        checked_facts(changed(settings, group, **values), settings_home(settings))


def test_a_tokenizer_of_characters_is_too_much_for_the_adapter(settings, tmp_path):
    """No merges at all: each character is a token, and CTC writes one a frame at most."""
    import json

    folder = classes.write("qwen2", tmp_path)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = []
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(OmniError, match=r"needs 17\.2 tokens a second of question and the adapter hears at most 16\.7"):
        checked_facts(swapped(settings, "language_model", weights=str(folder)), settings_home(settings))


def test_another_models_tokenizer_is_noticed(settings, tmp_path):
    folder = classes.write("gpt2", tmp_path)
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"vocab_size": 384', '"vocab_size": 100'))
    with pytest.raises(OmniError, match="it belongs to another model"):
        checked_facts(swapped(settings, "language_model", weights=str(folder)), settings_home(settings))


def test_preflight_names_a_source_that_is_none():
    settings = RetrainSettings(ingest=IngestSettings(sources=("nowhere",), quality=QualitySettings()))
    with pytest.raises(OmniError, match="source 'nowhere' is not a folder"):
        checked_facts(settings, tiny.REPOSITORY / "var")


def test_a_judge_that_is_the_encoder_is_worth_a_note(settings, tmp_path):
    from tests.omni_core.test_component_facts import whisper

    same = changed(
        swapped(settings, "encoder", name="whisper", weights=whisper(tmp_path)), "evaluate", judge=str(tmp_path)
    )
    assert any("the judge is not independent" in note for note in planned(same, None).notes)
    assert planned(settings, None).notes == ()
