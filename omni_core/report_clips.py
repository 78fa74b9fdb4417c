"""Rows of two evaluations and their kept clips enter, the report's cards leave: what was asked, and what each voice made of it.

Clips are written anew as MP3, which every phone plays and which takes about half of the kept Vorbis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.base import Artifact
from omni_core.audio import decode, encode_mp3
from omni_core.report_plots import data_uri, spectrogram

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Side:
    """One evaluated model: its card, its rows by turn_id, and its folder."""

    report: Artifact
    rows: dict[str, dict[str, Any]]
    folder: Path

    def clip(self, row: Row, what: str) -> Path | None:
        """The sound of a turn, when it was kept."""
        path = self.folder / "clips" / f"{row['clip']}-{what}.ogg"
        return path if row["clip"] and path.is_file() else None


def worst_rows(challenger: Side, count: int) -> list[dict[str, Any]]:
    """Turns that went wrong: most word errors of the own speech first, then wrong answers."""
    wrong = [row for row in challenger.rows.values() if row["errors"] > 0 or row["correct"] < 1]
    return sorted(
        wrong, key=lambda row: (-row["errors"] / max(1, row["reference_words"]), row["correct"], row["turn_id"])
    )[:count]


def first_rows(challenger: Side, count: int, without: Iterable[Row]) -> list[dict[str, Any]]:
    """The first turns with sound that are not among the others: what is usual, whatever became of them."""
    others = {row["turn_id"] for row in without}
    return [row for row in challenger.rows.values() if row["clip"] and row["turn_id"] not in others][:count]


def cards(rows: Iterable[Row], challenger: Side, champion: Side | None, pictures: bool) -> list[dict[str, Any]]:
    """A card a turn: its row, the question's sound, and the voices: challenger, champion if any, teacher."""
    return [_card(row, challenger, champion, pictures) for row in rows]


def _card(row: Row, challenger: Side, champion: Side | None, pictures: bool) -> dict[str, Any]:
    voices = [_voice("challenger", row, challenger.clip(row, "answer"), pictures)]
    other = champion.rows.get(row["turn_id"]) if champion else None
    if champion and other:
        voices.append(_voice("champion", other, champion.clip(other, "answer"), pictures))
    teacher, path = "teacher, as it should be", challenger.clip(row, "teacher")
    voices.append({"who": teacher, "text": row["answer_text"], "heard": row["teacher_transcript"], "right": None,
                   "errors": 0, "words": 0, "spoke": True, **_media(path, pictures)})  # fmt: skip
    return {"turn": row, "question": _sound(challenger.clip(row, "question")), "voices": voices}


def _voice(who: str, row: Row, path: Path | None, pictures: bool) -> dict[str, Any]:
    return {"who": who, "text": row["spoken_text"], "heard": row["transcript"], "right": bool(row["correct"]),
            "errors": int(row["errors"]), "words": int(row["reference_words"]), "spoke": bool(row["duration_s"]),
            **_media(path, pictures)}  # fmt: skip


def _media(path: Path | None, pictures: bool) -> dict[str, str]:
    return {"sound": _sound(path), "picture": spectrogram(*decode(path)) if path and pictures else ""}


def _sound(path: Path | None) -> str:
    return data_uri(encode_mp3(*decode(path)), "audio/mpeg") if path else ""
