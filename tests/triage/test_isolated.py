"""One capture in a process of its own: every way to end has its answer."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analyzer.triage import isolated as subject
from analyzer.triage.isolated import Answer, isolated
from tests.triage import targets

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="limits and signals are POSIX's")


@pytest.fixture(autouse=True)
def _from_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "-a [1] *.pcap"
    path.write_text(json.dumps(targets.report()))
    return path


def run(path: Path, name: str, **options: object) -> Answer:
    return isolated(path, timeout_s=20, memory_mb=600, target=f"tests.triage.targets:{name}", options=options)


def test_an_answer_comes_back_whole(capture: Path) -> None:
    assert run(capture, "told") == Answer("ok", None, targets.report())


@pytest.mark.parametrize("name", ["chatter"])
def test_what_a_library_prints_does_not_spoil_the_answer(capture: Path, name: str) -> None:
    assert run(capture, name) == Answer("ok", None, targets.report())


def test_standard_input_is_empty(capture: Path) -> None:
    answer = run(capture, "asks")
    assert answer.document
    assert answer.document["conclusion"]["title"] == "''"


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        pytest.param("spin", "timeout", "used more than 20 s of processor time", marks=posix),
        pytest.param("eat", "error", "memory limit of 600 MiB reached", marks=posix),
        pytest.param("crash", "error", "killed by signal 11", marks=posix),
        ("leave", "error", "ended with status 7 and no answer"),
        ("flood", "error", "answered more than 16 MiB"),
        ("strange", "not_a_capture", "first octets 7b 22 belong to no capture"),
        ("broken", "error", "cannot be read\N{REPLACEMENT CHARACTER}[31m"),
        ("bug", "error", "KeyError: 'seq'"),
        ("nowhere", "error", "AttributeError: module 'tests.triage.targets' has no attribute 'nowhere'"),
    ],
)
def test_every_failure_has_a_state_and_a_sentence(capture: Path, name: str, state: str, reason: str) -> None:
    assert run(capture, name) == Answer(state, reason, None)


@posix
def test_a_hanging_run_is_ended_with_what_it_started(capture: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    began = time.monotonic()
    answer = isolated(
        capture, timeout_s=4, memory_mb=600, target="tests.triage.targets:hang", options={"pid": str(note)}
    )
    assert answer == Answer("timeout", "took longer than 4 s", None)
    assert time.monotonic() - began < 20
    assert gone(int(note.read_text()))


def gone(pid: int) -> bool:
    """Whether a process has ended; one that waits for its parent to notice has."""
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    ("states", "answer"),
    [
        (["ok"], ("ok", None)),
        (["no_mail"], ("no_mail", "no mail among 12 frames")),
        (["empty"], ("empty", "empty")),
        (["not_a_capture"], ("not_a_capture", "not a capture")),
        (["password_needed"], ("password_needed", "password needed")),
        (["ok", "no_mail"], ("partial", "no mail among 12 frames")),
        ([], ("empty", None)),
    ],
)
def test_the_state_is_that_of_the_captures_inside(tmp_path: Path, states: list[str], answer: tuple[str, str]) -> None:
    captures = [{"state": state, "packets": 12, "quality": {"reasons": []}} for state in states]
    told = subject._reported({**targets.report(), "captures": captures})
    assert (told.state, told.reason) == answer


def test_why_a_file_was_not_read_is_told() -> None:
    capture = {"state": "not_a_capture", "packets": 0, "quality": {"grade": "F", "reasons": ["it begins with 'PK'"]}}
    assert subject._reported({"captures": [capture]}).reason == "it begins with 'PK'"


def test_where_reading_stopped_is_told() -> None:
    capture = {"state": "partial", "packets": 9, "stopped": {"frame": 8, "offset_bytes": 700, "reason": "file is cut"}}
    assert subject._reported({"captures": [capture]}).reason == "stopped after frame 8: file is cut"


def test_a_process_that_cannot_start_is_an_answer(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject.sys, "executable", str(capture / "no-such-python"))
    told = run(capture, "told")
    assert told.state == "error"
    assert told.reason
    assert told.reason.startswith("no process could be started")


def test_it_works_from_any_folder_and_ignores_what_lies_there(tmp_path: Path, capture: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n")
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from analyzer.triage.isolated import isolated
answer = isolated({str(capture)!r}, timeout_s=20, target="tests.triage.targets:told")
print(answer.state, answer.reason)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "no")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("ok None\n", "")
