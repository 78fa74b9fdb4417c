"""`omni listen` as a person uses it: a process of its own, its link, its end, and its refusals."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from data_contracts.errors import SettingsError
from flows.listening_test.command import log_looks, settings_of
from omni_core.sealed_looks import looks
from omni_core.store import ArtifactStore

REPOSITORY = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def command(folder, *words):
    return [sys.executable, "-m", "flows.cli", "listen", "a", "b", "--home", "home", *words], {
        "cwd": folder,
        "env": ENVIRONMENT,
    }


def test_the_link_works_on_this_machine_alone_and_stays_good_and_the_end_tells_no_preference(sides):
    links = []
    for _ in range(2):
        words, options = command(sides[0].parent, "--port", "0", "--set", "attention_checks=2")
        with (
            subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options) as server,
            contextlib.ExitStack() as otherwise,
        ):
            otherwise.callback(server.kill)  # a failed assertion would wait for it
            told = [server.stdout.readline() for _ in range(3)]
            assert told[0] == "5 pairs of a (a) and b (b), 0 set aside\n" and told[2].startswith("this machine only")
            link = told[1].strip()
            assert {c.laddr.ip for c in psutil.Process(server.pid).net_connections()} == {"127.0.0.1"}
            assert "You will hear 7 pairs" in httpx.get(link).text and httpx.get(f"{link[:-8]}/").status_code == 404
            assert httpx.post(f"{link}start").status_code == 303
            server.send_signal(signal.SIGINT)
            rest = server.stdout.read()
            assert server.wait(60) == 0
        links.append(re.sub(r":\d+/", "/", link))
    assert links[0] == links[1] and "token" not in rest
    assert rest.strip() == "2 raters, 0 of them finished; the same command with --results tells what they prefer"

    words, options = command(sides[0].parent, "--results", "--set", "attention_checks=2")
    done = subprocess.run(words, capture_output=True, text=True, **options)
    assert done.returncode == 2 and "no rater who counts (2 raters left out: answered nothing)" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--set", "colour=red"), "--set colour: Extra inputs are not permitted (of design, question"),
        (("--set", "raters"), "--set takes name=value"),
        (("--host", "203.0.113.7"), "cannot serve on 203.0.113.7, port 8765"),
        (("--port", "99999"), "choose others with --host and --port"),
        (("--database", "answers.db", "--port", "0"), "--database takes a URL"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_two(sides, words, sentence):
    all_words, options = command(sides[0].parent, *words)
    done = subprocess.run(all_words, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 2 and sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (sides[0].parent / "home").exists()


def test_a_port_in_use_is_named(sides):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words, options = command(sides[0].parent, "--port", str(taken.getsockname()[1]))
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 2 and "Address already in use" in done.stderr


def test_who_hears_sealed_answers_is_in_the_log_of_looks_once_a_test(tmp_path):
    from data_contracts.evaluate import EvaluationReport
    from data_contracts.listening_test import ListeningTest

    store = ArtifactStore(tmp_path / "store")

    def made(kind, inputs, facts):
        with store.scratch(kind.kind) as folder:
            (folder / "facts.txt").write_text(repr(facts))
            return store.commit(kind, folder, inputs=inputs, facts=facts)

    report = made(EvaluationReport, {}, {"sealed_set": "5ea1ed"})
    test = made(ListeningTest, {"a": report}, {"pairs": 5})
    for _ in range(2):
        log_looks(store, test, tmp_path)
    (look,) = looks(tmp_path)
    assert (look["reader"], look["sealed_set"], look["turns"]) == ("listen", "5ea1ed", 5)
    log_looks(store, made(ListeningTest, {}, {"pairs": 3}), tmp_path)  # of recordings
    assert len(looks(tmp_path)) == 1


def test_settings_are_read_as_yaml_and_checked():
    assert settings_of(("design=abx", "raters=3")).raters == 3
    with pytest.raises(SettingsError, match=r"attention_checks \(20\) exceed pairs_per_rater \(5\)"):
        settings_of(("pairs_per_rater=5", "attention_checks=20"))
