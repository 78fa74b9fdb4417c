"""The light tokenizer says what transformers' own says, for every class and template."""

from pathlib import Path

import pytest

from data_contracts.components import LanguageModelSettings
from omni_core.chat_format import chat_format
from omni_core.component_facts import language_model_facts
from omni_core.light_tokenizer import LightTokenizer
from tests.omni_core.language_models import classes

SMOLLM2 = Path(__file__).resolve().parents[2] / "var" / "weights" / "smollm2_135m_instruct"
NO_SYSTEM, PLAIN = "system and no system", "no template"


@pytest.fixture(scope="module", params=[*classes.CLASSES, "smollm2, its real weights"])
def both(request, tmp_path_factory):
    from transformers import AutoTokenizer

    folder = SMOLLM2
    if request.param in classes.CLASSES:
        folder = classes.write(request.param, tmp_path_factory.mktemp(request.param))
    elif not SMOLLM2.is_dir():
        pytest.skip("the bundled weights are not here; `make weights` fetches them")
    files = language_model_facts(LanguageModelSettings(weights=str(folder)), folder).files
    return LightTokenizer(files), AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("text", ["Turn on light 1 in the hall.", "  Two  spaces\nand a line", "naïve – 日本", ""])
def test_ids_are_the_same(both, text):
    light, full = both
    for special in (True, False):
        assert (
            light(text, add_special_tokens=special)["input_ids"] == full(text, add_special_tokens=special)["input_ids"]
        )


def test_the_chat_is_cut_the_same(both):
    light, full = both
    examples = [("One?", "Yes."), ("Two?", "No.")]
    assert chat_format(light, "Answer briefly.", examples) == chat_format(full, "Answer briefly.", examples)
