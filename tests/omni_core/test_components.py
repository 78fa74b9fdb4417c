import pytest

from data_contracts.base import choices
from data_contracts.errors import ComponentError
from omni_core.components import load


def test_a_file_in_the_family_is_a_member():
    assert "en" in choices("languages")
    assert load("languages", "en").error_unit == "word"


def test_an_unknown_member_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ComponentError, match=r"unknown member of codecs: 'mp3'; there are: .*mel_rvq"):
        load("codecs", "mp3")


@pytest.mark.parametrize("family", ["codex", "../tasks", ""])
def test_an_unknown_family_is_refused(family):
    with pytest.raises(ComponentError, match="unknown family"):
        load(family, "mel_rvq")
