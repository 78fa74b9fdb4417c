import numpy as np
import pytest

from data_contracts.errors import PromotionError
from omni_core.audio import encode_wav
from omni_core.probe import check_answer

SPEECH = encode_wav(0.3 * np.sin(np.arange(16_000) / 20).astype(np.float32), 16_000)
SILENCE = encode_wav(np.zeros(16_000, np.float32), 16_000)
CLICK = encode_wav(np.full(100, 0.5, np.float32), 16_000)


def test_sound_with_a_text_is_an_answer():
    check_answer(SPEECH, "It is on.", "version 1")


@pytest.mark.parametrize(("wav", "text"), [(SILENCE, "It is on."), (CLICK, "It is on."), (SPEECH, " ")])
def test_silence_a_click_and_a_missing_text_are_no_answers(wav, text):
    with pytest.raises(PromotionError, match=r"version 1 answered its probe with .* the champion was not moved"):
        check_answer(wav, text, "version 1")
