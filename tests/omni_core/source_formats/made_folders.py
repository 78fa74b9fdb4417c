"""A small real folder of every source format, as its publisher writes it, with rows that cannot be used among the good.

Each maker writes a folder and returns what is in it: Made(texts of the good rows in order, rules of the others).
"""

import csv
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from omni_core.audio import decode, encode_wav, resample

PROMPTS = Path(__file__).resolve().parents[3] / "examples" / "asterisk_prompts_en"
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


class Made(NamedTuple):
    """`sound` is False where the recordings were compressed anew, so that they are like the originals and no more."""

    texts: list[str]
    rules: dict[str, int]
    splits: set[str]
    sound: bool = True


def prompts(count: int) -> list[tuple[str, np.ndarray]]:
    """(text, waveform at 16 kHz) of real prompts, in the order of their table."""
    with open(PROMPTS / "metadata.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:count]
    return [(row["text"], decode(PROMPTS / row["audio"])[0]) for row in rows]


def wav(path: Path, waveform: np.ndarray, rate_hz: int = 16_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_wav(waveform, rate_hz))


def metadata_csv(folder: Path) -> Made:
    rows = prompts(4)
    lines = ["id,language,split,text,audio,speaker,license"]
    for number, (text, waveform) in enumerate(rows):
        wav(folder / f"audio/{number}.wav", waveform)
        lines.append(f'{number},en,train,"{text}",audio/{number}.wav,ann,CC-BY-SA-3.0')
    (folder / "metadata.csv").write_text("\n".join([*lines, "4,en,train,Gone.,audio/gone.wav,ann,CC0-1.0\n"]))
    return Made([text for text, _ in rows], {"missing_file": 1}, {"train"})


def ljspeech(folder: Path) -> Made:
    rows = prompts(4)
    lines = []
    for number, (text, waveform) in enumerate(rows):
        wav(folder / f"wavs/LJ001-{number:04d}.wav", waveform)
        lines.append(f"LJ001-{number:04d}|{text.lower()}|{text}" if number else f"LJ001-0000|{text}|")
    lines += ["LJ001-0098|It has|no sound.", "a line without any bar"]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return Made([text for text, _ in rows], {"missing_file": 1, "broken_row": 1}, {"train", "validation", "test"})


def libritts(folder: Path) -> Made:
    rows = prompts(4)
    for (text, waveform), subset in zip(rows, ("dev-clean", "test-clean", *["train-clean-100"] * 2), strict=True):
        chapter = folder / subset / "84" / "121123"
        number = len(list(chapter.glob("*.wav"))) if chapter.is_dir() else 0
        name = f"84_121123_{len(subset):06d}_{number:06d}"
        wav(chapter / f"{name}.wav", waveform)
        (chapter / f"{name}.normalized.txt").write_text(text)
        (chapter / f"{name}.original.txt").write_text(text)
    wav(chapter / "84_121123_000099_000000.wav", rows[0][1])
    (chapter / "84_121123_000099_000001.normalized.txt").write_text("A text alone.")
    (chapter / "84_121123.trans.tsv").write_text("not asked for\n")
    flawed = folder / "libritts_r_failed_speech_restoration_examples"
    flawed.mkdir()
    wav(chapter / "84_121123_000099_000002.wav", rows[1][1])
    (chapter / "84_121123_000099_000002.normalized.txt").write_text("A text whose sound was not restored.")
    (flawed / "train-clean-100_bad_sample_list.txt").write_text(
        "./train-clean-100/84/121123/84_121123_000099_000002.wav\n"
    )
    rules = {"empty_text": 1, "missing_file": 1, "known_flaw": 1}
    return Made([text for text, _ in rows], rules, {"train", "validation", "test"})


def common_voice(folder: Path) -> Made:
    rows = prompts(4)
    columns = [
        "client_id",
        "path",
        "sentence_id",
        "sentence",
        "sentence_domain",
        "up_votes",
        "down_votes",
        "age",
        "gender",
        "locale",
        "segment",
    ]
    tables: dict[str, list[list[str]]] = {"train": [], "dev": [], "test": []}
    (folder / "clips").mkdir()
    for number, ((text, waveform), table) in enumerate(zip(rows, ("train", "train", "dev", "test"), strict=True)):
        soundfile.write(folder / f"clips/cv_{number}.mp3", resample(waveform, 16_000, 32_000), 32_000, format="MP3")
        tables[table].append(
            [f"speaker{number}", f"cv_{number}.mp3", f"s{number}", text, "", "2", "0", "", "", "en", ""]
        )
    tables["train"] += [
        ["speaker9", "cv_9.mp3", "s9", 'A sentence with a " in it that was reported.', "", "2", "1", "", "", "en", ""],
        ["speaker8", "cv_8.mp3", "s8", "Its clip is gone.", "", "2", "0", "", "", "en", ""],
        ["speaker7", "cv_7.mp3", "s7", "Ceci est du français.", "", "2", "0", "", "", "fr", ""],
    ]
    for name, cells in tables.items():
        (folder / f"{name}.tsv").write_text("\n".join("\t".join(row) for row in [columns, *cells]) + "\n")
    (folder / "validated.tsv").write_text("not read where the three tables are\n")
    (folder / "reported.tsv").write_text("sentence_id\tsentence\tlocale\treason\ns9\tx\ten\tgrammar-or-spelling\n")
    order = [text for text, _ in rows]
    rules = {"known_flaw": 1, "missing_file": 1, "language": 1}
    return Made(order, rules, {"train", "validation", "test"}, sound=False)


def kaldi(folder: Path) -> Made:
    """data/train with one long recording cut by segments, data/test with files and an archive; paths as recipes do."""
    rows = prompts(4)
    train, test = folder / "train", folder / "test"
    wav(folder.parent / "audio" / "long.wav", np.concatenate([rows[0][1], rows[1][1]]))
    border = len(rows[0][1]) / 16_000
    _kaldi(train, {
        "text": [f"u0 {rows[0][0]}", f"u1 {rows[1][0]}", "u2 Behind its end.", "u3 Not in segments."],
        "segments": [f"u0 long 0.00 {border}", f"u1 long {border} -1", "u2 long 900.0 901.0"],
        "wav.scp": ["long audio/long.wav"],
        "utt2spk": ["u0 ann", "u1 ann"],
    })  # fmt: skip
    wav(test / "v0.wav", rows[2][1])
    (test / "wav.ark").write_bytes(b"v1 " + encode_wav(rows[3][1], 16_000) + b"v9 ")
    _kaldi(test, {
        "text": [f"v0 {rows[2][0]}", f"v1 {rows[3][0]}", "v2 Never run.", "v3 No recording."],
        "wav.scp": ["v0 v0.wav", "v1 wav.ark:3", f"v2 touch {folder}/ran; cat v0.wav |", "v4 v0.wav"],
    })  # fmt: skip
    rules = {"broken_audio": 1, "broken_row": 1, "command": 1, "missing_file": 1, "empty_text": 1}
    return Made([rows[n][0] for n in (2, 3, 0, 1)], rules, {"train", "test"})


def _kaldi(folder: Path, tables: dict[str, list[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines) + "\n")


def huggingface(folder: Path) -> Made:
    """What `DatasetDict.save_to_disk` writes: Arrow streams of {bytes, path}, a class label as number."""
    rows = prompts(5)
    good = [{"bytes": encode_wav(waveform, 16_000), "path": f"{n}.wav"} for n, (_, waveform) in enumerate(rows)]
    wav(folder / "train" / "beside.wav", rows[4][1])
    texts = [text for text, _ in rows]
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    tables = {
        "train": [*zip(texts[:2], good[:2], strict=True), ("No sound.", {"bytes": None, "path": None}),
                  (texts[4], {"bytes": None, "path": "beside.wav"}), (None, good[2])],
        "test": list(zip(texts[2:4], good[2:4], strict=True)),
    }  # fmt: skip
    for split, cells in tables.items():
        (folder / split).mkdir(exist_ok=True)
        save_to_disk(folder / split, pa.table({
            "audio": pa.array([audio for _, audio in cells], AUDIO), "sentence": [text for text, _ in cells],
            "speaker_id": pa.array([0] * len(cells), pa.int64()),
        }))  # fmt: skip
    return Made([*texts[:2], texts[4], *texts[2:4]], {"missing_audio": 1, "empty_text": 1}, {"train", "test"})


def save_to_disk(folder: Path, table: pa.Table) -> None:
    name = "data-00000-of-00001.arrow"
    with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    features = {"speaker_id": {"names": ["ann", "bob"], "_type": "ClassLabel"}, "sentence": {"dtype": "string"}}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features, "license": "cc-by-4.0"}))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}], "_split": folder.name}))


def webdataset(folder: Path) -> Made:
    rows = prompts(5)
    said = [(text, encode_wav(waveform, 16_000)) for text, waveform in rows]
    turn = json.dumps({"answer": "It is on now.", "language": "en", "license": "CC0-1.0", "topic": "calls"}).encode()
    pack(folder / "train-000000.tar", [
        ("a/000.wav", said[0][1]), ("a/000.txt", said[0][0].encode()), ("a/000.cls", b"3"),
        ("a/001.JSON", json.dumps({"text": said[1][0], "speaker": "ann"}).encode()), ("a/001.wav", said[1][1]),
        ("a/002.txt", b"A text without any sound."), ("__index__", b"x"),
        ("a/003.wav", said[0][1]), ("a/003.json", b"[1, 2]"),
        ("a/004.wav", said[0][1]), ("a/004.txt", "caf\xe9".encode("latin-1")),
    ])  # fmt: skip
    pack(folder / "train-000001.tar", [
        ("q.question.wav", said[2][1]), ("q.question.txt", said[2][0].encode()), ("q.json", turn), ("q.answer.wav", said[0][1]),
        ("r.wav", said[3][1]), ("r.txt", said[3][0].encode()), ("s.wav", said[4][1]), ("s.txt", b"Cut short."),
    ])  # fmt: skip
    with tarfile.open(folder / "train-000001.tar") as tar:
        inside = tar.getmember("s.wav").offset_data + 1000
    with open(folder / "train-000001.tar", "r+b") as file:  # the copy broke off there
        file.truncate(inside)
    rules = {"missing_audio": 1, "broken_row": 2, "broken_tar": 1}
    return Made([said[n][0] for n in range(4)], rules, {"train", "validation", "test"})


def pack(path: Path, files: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def snac(frames: int, seed: int = 0) -> str:
    """Codes as the dataset writes them."""
    codes = np.random.default_rng(seed).integers(0, 4096, (frames, 7))
    return " ".join(f"# {' '.join(map(str, frame))}" for frame in codes)


def voice_assistant_row(number: int, text: str, waveform: np.ndarray, **cells) -> dict:
    """A row of VoiceAssistant-400K: 22.05 kHz question, four seconds of answer."""
    audio = {"bytes": encode_wav(resample(waveform, 16_000, 22_050), 22_050), "path": f"OO1_{number:06d}_question.wav"}
    return {
        "split_name": "qa_assistant_v1_7k", "index": f"{number}", "round": "0", "question": text, "question_audio": audio,
        "answer": f"Here is what I know about item {number}.", "answer_snac": snac(47, number),
    } | cells  # fmt: skip


SCHEMA = pa.schema([("split_name", pa.string()), ("index", pa.string()), ("round", pa.string()),
                    ("question", pa.string()), ("question_audio", AUDIO), ("answer", pa.string()),
                    ("answer_snac", pa.string())])  # fmt: skip


def voice_assistant_400k(folder: Path) -> Made:
    rows = prompts(6)
    waveform = rows[0][1]
    data = [voice_assistant_row(number, *row) for number, row in enumerate(rows)] + [
        voice_assistant_row(6, "Who are you?", waveform, split_name="identity"),
        voice_assistant_row(7, "How long is this?", np.tile(waveform, 6)[: 15 * 16_000]),
        voice_assistant_row(8, "Why so short?", waveform, answer="It goes on and on. " * 10),
        voice_assistant_row(9, "What is broken?", waveform, answer_snac=snac(3) + " # 1 2 3"),
        voice_assistant_row(10, "What is out of range?", waveform, answer_snac="# 1 2 3 4 5 6 4096"),
        voice_assistant_row(11, "What was never said?", waveform, question_audio={"bytes": None, "path": None}),
        voice_assistant_row(12, "What is no sound?", waveform, question_audio={"bytes": b"RIFF", "path": "x"}),
        voice_assistant_row(13, None, waveform),
    ]
    (folder / "data").mkdir()
    (folder / "README.md").write_text("license: apache-2.0\n")
    names = ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet")
    for name, part in zip(names, (data[:5], data[5:]), strict=True):
        pq.write_table(pa.Table.from_pylist(part, SCHEMA), folder / "data" / name, row_group_size=3)
    rules = {"known_flaw": 2, "truncated_answer": 1, "broken_codes": 2, "missing_audio": 1, "broken_audio": 1,
             "empty_text": 1}  # fmt: skip
    return Made([text for text, _ in rows], rules, {"train", "validation", "test"}, sound=False)


MAKERS = {
    maker.__name__: maker
    for maker in (metadata_csv, ljspeech, libritts, common_voice, kaldi, huggingface, webdataset, voice_assistant_400k)
}


def make(name: str, parent: Path) -> tuple[Path, Made]:
    """(folder, what is in it); the folder is made anew."""
    folder = parent / "corpus" / {"ljspeech": "LJSpeech-1.1"}.get(name, name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder, MAKERS[name](folder)
