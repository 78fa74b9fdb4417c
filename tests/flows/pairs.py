"""Every language model class, encoder, codec and speech head at a size of kilobytes; rows in which every two of them meet once.

A run of one row is a run of the real flow. benchmarks/pairs.py writes docs/pairs.md from all rows; test_pairs.py runs a few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from pathlib import Path

from data_contracts.retrain import RetrainSettings
from tests.flows import tiny
from tests.omni_core.codecs import tiny_codecs
from tests.omni_core.encoders import tiny_encoders
from tests.omni_core.language_models import classes

FACTORS = {
    "language_model": tuple(classes.CLASSES),
    "encoder": ("log_mel", "whisper", "wav2vec2", "hubert", "wavlm", "mimi"),
    "codec": ("mel_rvq", *tiny_codecs.WRITERS),
    "speech_head": ("talker", "parallel"),
}
Row = tuple[str, ...]
SEEDS: dict[Row, int] = {("gemma3", "wavlm", "dac", "parallel"): 1}
"""Of a parallel head in place of 0, where the noise that it speaks after two steps is shorter than any answer may be (0.2 s)."""


def covering_rows(factors: Mapping[str, Sequence[str]]) -> list[Row]:
    """A row a run: every value of every factor meets every value of every other one in at least one row.

    Greedy: always the row that holds most of the pairs that are still missing. With 8, 6, 7 and 2 values no list can have
    fewer than 8 x 7 rows, and the product has 672.
    """
    rows = list(product(*factors.values()))
    missing = {pair for row in rows for pair in pairs_in(row)}
    chosen: list[Row] = []
    while missing:
        best = max(rows, key=lambda row: len(missing & pairs_in(row)))
        missing -= pairs_in(best)
        chosen.append(best)
    return chosen


def pairs_in(row: Row) -> set[tuple[tuple[int, str], ...]]:
    """Pairs of (factor, value) that stand together in a row."""
    return set(combinations(enumerate(row), 2))


def settings_of(row: Row, folder: Path) -> RetrainSettings:
    """The row's settings; its parts are written below `folder` when they are not there yet. Rows share one home."""
    language_model, encoder, codec, head = row
    base = tiny.settings(folder)
    parts = base.components
    components = {
        "language_model": {"weights": str(language_model_folder(folder, language_model)), "system_prompt": "Answer."},
        "encoder": encoder_settings(folder, encoder),
        "codec": codec_settings(folder, codec, parts.codec.model_dump()),
        "speech_head": {"name": head, "width": 32, "num_layers": 1, "num_heads": 2},
    }
    steps = {"steps": 2, "batch": 4, "micro_batch": 2, "seed": SEEDS.get(row, 0)}
    train = {
        # enough for the words of a dozen questions, whatever the features: a model that hears nothing is refused
        "listen": {**base.train.listen.model_dump(), "prefix_examples": 1, "alignment_steps": 60, "alignment_batch": 8},
        "speak": base.train.speak.model_dump(),
        "parallel": dict.fromkeys(("alignment", "adaption", "multimodal"), steps),
    }
    fast_enough = {**base.benchmark.model_dump(), "max_real_time_factor": 1e3, "max_time_to_first_audio_p95_ms": 1e6}
    changes = {"title": " ".join(row), "components": components, "train": train, "benchmark": fast_enough,
               "promote": {"registered_model": "-".join(row)}}  # fmt: skip
    return RetrainSettings(**(base.model_dump() | changes))


def language_model_folder(folder: Path, name: str) -> Path:
    """A class of tests/omni_core/language_models/classes.py, taught for seconds, so that it answers with words."""
    target = folder / "language_models" / name
    if not target.exists():
        classes.write(name, target)
        tiny.teach_folder(target, tiny.turns())
    return target


def encoder_settings(folder: Path, name: str) -> dict[str, str]:
    """Member of omni_core/encoders and the folder of its weights."""
    member, write = tiny_encoders.WRITERS[name]
    return {"name": member, "weights": _written(folder / "encoders" / name, write) if name != "log_mel" else ""}


def codec_settings(folder: Path, name: str, fitted: dict) -> dict:
    """Member of omni_core/codecs and the folder of its weights; `fitted` are the settings of one that is fitted."""
    if name not in tiny_codecs.WRITERS:
        return fitted
    member, write = tiny_codecs.WRITERS[name]
    return {"name": member, "weights": _written(folder / "codecs" / name, write), "num_codebooks": 4}


def _written(target: Path, write) -> str:
    if not target.exists():
        target.mkdir(parents=True)
        write(target)
    return str(target)
