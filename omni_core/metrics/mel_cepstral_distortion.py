"""Mel-cepstral distortion: an answer beside the teacher's recording of the same words enters, the distance of their timbre leaves. dB, lower is better.

MCD = (10 sqrt(2) / ln 10) * mean over paired frames of sqrt(sum over k = 1..24 of (c_k - c'_k)^2)

Kubichek 1993, "Mel-cepstral distance measure for objective speech quality assessment"; frames are
paired by dynamic time warping (omni_core/spoken_pairs.py). It is the root mean square difference of the two envelopes in
dB. 0 is the recording itself; measured on hibari, the voice at 1.15 times its speed has 3.5, its pitch and formants moved by 15 %
6.5 to 7.2, white noise 40 dB under full scale 8.0 to 8.6: it hears noise more than a change of voice.

Answers whose text is not the reference, and silent ones, are left out; the count tells how many are in. Read it beside
silent_answers and answer_accuracy, for a model that fails on hard answers is compared on easy ones. Do not read it as
naturalness (distill_mos), across other analyses than this one (published numbers differ by the cepstrum), or in a voice
that is not the teacher's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack
from omni_core.spoken_pairs import SpokenPair, pairs_of_same_words

DB_A_UNIT = 10 * np.sqrt(2) / np.log(10)


class MelCepstralDistortion:
    """The mean over the pairs of a turn, then over turns."""

    is_slow = False
    figures = (Figure("mel_cepstral_distortion", "dB", "lower", "distance of the timbre to the teacher's", "mcd_db"),)

    def __init__(self, pack: LanguagePack):
        self._words = pack.words

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """dB a turn, None where there is nothing to compare."""
        pairs = [pairs_of_same_words(turn, self._words) for turn in turns]
        return {"mcd_db": [distortion_db(pair) if pair else None for pair in pairs]}


def distortion_db(pair: SpokenPair) -> float:
    """0 or more."""
    return float(DB_A_UNIT * pair.cepstral_distance.mean())


def load(pack: LanguagePack, threads: int = 1) -> MelCepstralDistortion:
    """The metric for a language; threads are not used."""
    return MelCepstralDistortion(pack)
