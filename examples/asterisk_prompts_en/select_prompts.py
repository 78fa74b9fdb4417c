"""A corpus folder of Asterisk's English prompts enters; about 160 of its clips leave, copied unchanged, with a table.

The quickstart's voices are synthetic, so this is the examples' human speech: one speaker, read aloud, with
transcripts. Kept are sentences (four words or more, no cut-off fragment, no key symbols, no misspelling found on
reading) of 1.5 to 8 s; of prompts with the same words only the first, so that no text lies in two splits.

    python select_prompts.py CORPUS    # CORPUS holds metadata.csv (id,audio,language,speaker,duration_s,text), audio/
"""

import argparse
import csv
import random
import re
import shutil
from pathlib import Path

COLUMNS = ("id", "language", "split", "text", "audio", "speaker", "license")
DURATION_S = (1.5, 8.0)
SIZE, SEED = 160, 5
MISSPELLED = {"queue-periodic-announce", "unidentified-no-callback"}


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def is_sentence(row: dict[str, str]) -> bool:
    return (
        DURATION_S[0] <= float(row["duration_s"]) <= DURATION_S[1]
        and len(words(row["text"]).split()) >= 4
        and not re.search(r"\.\.\.|[*#(:]|\b[A-Z] [A-Z]\b", row["text"])
        and row["id"] not in MISSPELLED
    )


def selected(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    first_of_text: dict[str, dict[str, str]] = {}
    for row in filter(is_sentence, rows):
        first_of_text.setdefault(words(row["text"]), row)
    found = list(first_of_text.values())
    return random.Random(SEED).sample(found, min(SIZE, len(found)))


def with_splits(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """80 % train, 10 % validation, 10 % test, in the order drawn; the table is sorted by id."""
    tenth = len(rows) // 10
    splits = ["test"] * tenth + ["validation"] * tenth + ["train"] * (len(rows) - 2 * tenth)
    made = [
        {**{column: row.get(column, "") for column in COLUMNS}, "split": split, "license": "CC-BY-SA-3.0"}
        for row, split in zip(rows, splits, strict=True)
    ]
    return sorted(made, key=lambda row: row["id"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Copy a selection of the English Asterisk prompts.")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    settings = parser.parse_args()
    with (settings.corpus / "metadata.csv").open(encoding="utf-8") as file:
        rows = with_splits(selected(list(csv.DictReader(file))))
    (settings.out / "audio").mkdir(parents=True, exist_ok=True)
    for row in rows:
        shutil.copyfile(settings.corpus / row["audio"], settings.out / row["audio"])
    with (settings.out / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
