"""Language: an answer's sound and text enter, 1 or 0 leaves for the language that it should be in. Fraction, higher is better.

    spoken_language    the judge's own language head hears `turn.language` (Radford et al. 2022, section 2.3)
    written_language   py3langid finds no other language in the model's text (Lui and Baldwin 2012, "langid.py"; package
                       py3langid, BSD-3): none that is e^20 times as likely

spoken_language needs a multilingual judge (whisper_base is one, whisper_tiny_en is not); the head's answer comes with the
transcription at no cost. Only the primary tag counts: en-GB is en. Texts of fewer than 4 words are left out, a name alone is
of no language; so are answers without sound, which truncation counts. Short texts need the margin of 20 nats: of the 150
reference answers of the quickstart py3langid's first choice is not English for 19 ("The capital of Brazil is Brasilia." is
Italian), by 10.1 nats at most, while English was at least 28 behind in 16 such sentences in five other languages.

Do not read it as accent or quality, nor on answers that are mostly names and figures. It tells a model that fell into another
language; closely related ones (Norwegian and Danish, Hindi and Urdu) are confused by both judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from data_contracts.errors import MetricError
from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack

FEWEST_WORDS = 4
MARGIN_NATS = 20.0


class LanguageIdentification:
    """Two looks at the same answer."""

    is_slow = False
    figures = (
        Figure("spoken_language", "fraction", "higher", "answers heard in the right language", "spoken_language"),
        Figure("written_language", "fraction", "higher", "answers written in the right language", "written_language",
               parts="text"),
    )  # fmt: skip

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """1.0 for the right language, 0.0 for another, None where there is too little to tell."""
        return {
            "spoken_language": [same(t.heard_language, t.language) if t.heard_language else None for t in turns],
            "written_language": [
                float(nats_behind(t.spoken_text, t.language) < MARGIN_NATS)
                if len(t.spoken_text.split()) >= FEWEST_WORDS else None for t in turns
            ],
        }  # fmt: skip


def same(found: str | None, wanted: str) -> float:
    """1.0 when both have one primary tag."""
    return float(bool(found) and str(found).lower().split("-")[0] == wanted.lower().split("-")[0])


def nats_behind(text: str, language: str) -> float:
    """How far the likeliest of 140 languages is before `language` (BCP 47) in log likelihood; 0 when it is the first.

    Raises MetricError for a language that py3langid does not know.
    """
    likelihoods = dict(_identifier().rank(text))
    tag = language.lower().split("-")[0]
    if tag not in likelihoods:
        raise MetricError(
            f"py3langid does not know the language '{language}'; leave language_identification out of evaluate.metrics"
        )
    return float(max(likelihoods.values()) - likelihoods[tag])


@cache
def _identifier() -> Any:
    """Loaded at first use, 0.3 s."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


def load(pack: LanguagePack, threads: int = 1) -> LanguageIdentification:
    """The metric; the language that is wanted comes with the turn."""
    return LanguageIdentification()
