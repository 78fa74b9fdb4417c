"""Where a training stage starts: a champion only where the stage is trained again, and what the table says of it."""

from dataclasses import replace

import pytest

from data_contracts.errors import ComponentError, WeightsError
from omni_core.plan import Champion, make_plan, parts_of
from omni_core.plan_refusals import checked_facts
from tests.flows import tiny
from tests.omni_core.test_plan import changed, row, settings_home, swapped

STAGES = ("train listen", "train speak")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return tiny.settings(tmp_path_factory.mktemp("tiny"))


def champion_with(settings, model="aaaa", listen="", speak="", **more) -> Champion:
    starts = {"train listen": listen, "train speak": speak}
    return Champion("3", parts_of(settings), model=model, starts=starts, **more)


def planned(settings, champion):
    return make_plan(settings, checked_facts(settings, settings_home(settings)), champion)


def prompt(settings, text: str):
    return swapped(settings, "language_model", system_prompt=text)


def test_without_a_champion_all_is_random(settings):
    plan = planned(settings, None)
    assert plan.starts == dict.fromkeys(STAGES, "")
    assert row(plan, "adapter and prefix").warm_start.startswith("adapter random; prefix from the model's own cache")


def test_what_is_not_trained_again_keeps_the_start_that_it_had(settings):
    """Else the cache would not find it: the start is part of the key."""
    plan = planned(settings, champion_with(settings, listen="bbbb"))
    assert plan.stages_to_run == () and plan.starts == {"train listen": "bbbb", "train speak": ""}
    other_codec = swapped(settings, "codec", patch_frames=5)
    assert planned(other_codec, champion_with(settings, listen="bbbb")).starts["train listen"] == "bbbb"


def test_another_codec_leaves_all_of_the_head_but_its_codes(settings):
    few = changed(settings, "train.speak", steps=600, warm_steps=250)
    plan = planned(swapped(few, "codec", patch_frames=5), champion_with(few))
    assert plan.starts["train speak"] == "aaaa"
    assert row(plan, "speech head").warm_start == "head of version 3, its codes anew, if better than random"
    assert [one.steps for one in plan.estimates if one.stage == "train speak"] == [250]
    assert [one.steps for one in planned(few, None).estimates if one.stage == "train speak"] == [600]


def test_another_shape_leaves_nothing_of_the_head(settings):
    plan = planned(swapped(settings, "speech_head", width=48), champion_with(settings))
    assert plan.starts["train speak"] == "" and row(plan, "speech head").warm_start == "random"


def test_another_language_model_starts_from_the_champion_and_the_table_says_how(settings):
    plan = planned(prompt(settings, "Be kind."), champion_with(settings))
    assert plan.starts == dict.fromkeys(STAGES, "aaaa")
    said = row(plan, "adapter and prefix").warm_start
    assert said.startswith(
        "adapter of version 3, its tokens matched by spelling, if better than random; prefix from the"
    )
    assert row(plan, "speech head").warm_start == "head of version 3, if better than random"


def test_another_encoder_keeps_prefix_and_later_layers(settings):
    plan = planned(swapped(settings, "encoder", name="log_mel", weights="x"), champion_with(settings))
    assert row(plan, "adapter and prefix").warm_start == (
        "adapter of version 3, its first layers where they fit and help, and its prefix, each if better than random"
    )


def test_other_training_goes_on_from_the_champion_unless_random_is_asked_for(settings):
    longer = changed(settings, "train.listen", alignment_steps=9)
    assert planned(longer, champion_with(settings)).starts["train listen"] == "aaaa"
    random = changed(longer, "train.listen", start="random")
    assert planned(random, champion_with(settings)).starts["train listen"] == ""


def test_the_champion_as_a_condition_is_refused_where_it_cannot_be_met(settings):
    asked = changed(settings, "train.listen", start="champion")
    assert planned(prompt(asked, "Be kind."), champion_with(asked)).starts["train listen"] == "aaaa"
    with pytest.raises(
        ComponentError, match=r"train\.listen\.start is 'champion', but nothing of it fits: there is none"
    ):
        planned(asked, None)
    speak = changed(settings, "train.speak", start="champion")
    with pytest.raises(
        ComponentError, match=r"train\.speak\.start is 'champion', but nothing of it fits: speech head changed"
    ):
        planned(swapped(speak, "speech_head", width=48), champion_with(speak))


def test_a_champion_with_another_head_has_no_talker_to_give(settings):
    other = replace(champion_with(settings), starts={"train alignment": ""})
    assert planned(prompt(settings, "Be kind."), other).starts == dict.fromkeys(STAGES, "")


def test_a_folder_is_handed_on_and_one_that_is_no_model_is_refused(settings, tmp_path):
    here = changed(settings, "train.listen", start=str(tmp_path))
    with pytest.raises(WeightsError, match=r"train\.listen\.start .* is no folder of a served model"):
        checked_facts(here, settings_home(here))
    for name in ("model.json", "embeddings.safetensors", "tokenizer", "listen"):
        (tmp_path / name).touch()
    assert planned(here, champion_with(settings)).starts["train listen"] == str(tmp_path)


def test_going_back_to_what_an_earlier_champion_was_asks_for_its_start(settings):
    """A -> B, started from A -> A again: A's own start was random weights, and the cache still holds what came of it."""
    first, second = settings, prompt(settings, "Be kind.")
    then = champion_with(first, model="aaaa")
    now = champion_with(second, model="bbbb", listen="aaaa", speak="aaaa", before=(then,))
    assert planned(first, now).starts == dict.fromkeys(STAGES, "")
    assert planned(prompt(settings, "Third."), now).starts == dict.fromkeys(STAGES, "bbbb")


def parallel_champion(settings, start="") -> Champion:
    return Champion("3", parts_of(settings), model="aaaa", starts={"train alignment": start})


def test_a_parallel_head_starts_from_the_champions_after_a_swap_and_the_table_says_so(settings):
    before = swapped(settings, "speech_head", name="parallel")
    champion = parallel_champion(before, start="bbbb")
    assert planned(before, champion).starts == {"train alignment": "bbbb"}
    for part, change in (("codec", {"patch_frames": 5}), ("language_model", {"system_prompt": "Be kind."})):
        plan = planned(swapped(before, part, **change), champion)
        assert plan.starts == {"train alignment": "aaaa"}
        assert row(plan, "adapter").warm_start == "head of version 3, if better than random"
    imported = parallel_champion(swapped(before, "speech_head", weights="OUT"))
    assert planned(before, imported).starts == {"train alignment": "aaaa"}
    assert planned(swapped(before, "speech_head", adapter_width=48), champion).starts == {"train alignment": ""}


def test_a_parallel_head_that_is_named_or_random_does_not_start_from_the_champion(settings):
    before = swapped(settings, "speech_head", name="parallel")
    random = changed(swapped(before, "codec", patch_frames=5), "train.parallel", start="random")
    assert planned(random, parallel_champion(before)).starts == {"train alignment": ""}
    asked = changed(before, "train.parallel", start="champion")
    with pytest.raises(ComponentError, match=r"train\.parallel\.start is 'champion', but nothing of it fits"):
        planned(asked, champion_with(settings))
    assert row(planned(before, None), "adapter").warm_start == "random"
