"""Text forgetting: general questions put to the served text path and to the base model enter, what was lost leaves. Nats a token, lower is better.

    text_log_perplexity        -log p a token of right answers, served model behind its prefix; perplexity is its exponential
    base_text_log_perplexity   the same by the base model, shown four examples of the form
    text_forgetting            served - base, nats a token; 0 nothing was lost, 0.1 is 10 % more perplexity, under 0 is a gain
    text_accuracy              questions whose deciding word is the likeliest at its place (fraction, higher is better)
    base_text_accuracy         the same by the base model

Questions are general (omni_core/text_questions.py), so adapting to the domain does not hide what it costs; answers are teacher
forced, and the base model has seen how long an answer is, as the prefix has. The difference holds all that lies between: the quantization of the weights, the tuned prefix, and any training of the
language model. The weights here are frozen, so what shows is the prefix and int8.

The n-th question goes with the n-th turn of the table and has nothing else to do with it: do not read it by slice. Do not read
it as knowledge (the questions are easy on purpose), nor perplexity across tokenizers: compare text_forgetting, whose base has
the same one. Costs two readings a question, and loading the base model in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack


class TextForgetting:
    """Sums over the probes that turns carry."""

    is_slow = False
    figures = (
        Figure("text_log_perplexity", "nats/token", "lower", "surprise at right general answers", "served_nats", "text_tokens"),
        Figure("base_text_log_perplexity", "nats/token", "lower", "the base model's surprise", "base_nats", "text_tokens"),
        Figure("text_forgetting", "nats/token", "lower", "surprise added to the base model's", "forgotten_nats", "text_tokens"),
        Figure("text_accuracy", "fraction", "higher", "general questions answered", "text_right"),
        Figure("base_text_accuracy", "fraction", "higher", "the same by the base model", "base_text_right"),
    )  # fmt: skip

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """None for a turn without a probe."""
        probes = [turn.text_probe for turn in turns]
        return {
            "text_tokens": [float(p.tokens) if p else None for p in probes],
            "served_nats": [p.served_nats if p else None for p in probes],
            "base_nats": [p.base_nats if p else None for p in probes],
            "forgotten_nats": [p.served_nats - p.base_nats if p else None for p in probes],
            "text_right": [float(p.served_right) if p else None for p in probes],
            "base_text_right": [float(p.base_right) if p else None for p in probes],
        }


def load(pack: LanguagePack, threads: int = 1) -> TextForgetting:
    """The metric; its questions are English, see omni_core/text_probes.py."""
    return TextForgetting()
