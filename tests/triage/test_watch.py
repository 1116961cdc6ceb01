"""A watched folder: what is taken and when, where it goes, and that nothing is lost or done twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from analyzer.errors import AnalyzerError
from analyzer.triage import watch as subject
from analyzer.triage.case import EVERYBODY, Filter
from analyzer.triage.store import Store
from analyzer.triage.watch import Ripening, Told, watch
from tests.triage.processes import running, soon

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_pcaps"
HOSTILE = [
    "-rf.pcap",
    "a\n\x1b[31mb.pcap",
    "<img src=x>.pcap",
    "x" * 250 + ".pcap",
    os.fsdecode(b"\xff\xfe.pcap"),
    "ü ~2.pcap",
]


@pytest.fixture(autouse=True)
def _from_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


class _Enough(Exception):
    """The test has seen enough."""


def looked(folder: Path, times: int = 1, store: Store | None = None) -> list[Told]:
    """Look so many times; what is there is taken the second time."""
    seen: list[Told] = []
    left = [times + 1]

    def pause(_: float) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise _Enough

    with pytest.raises(_Enough):
        watch(folder, tell=seen.append, store=store, jobs=2, still_s=0, timeout_s=30, pause=pause)
    return seen


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_a_file_is_taken_once_it_is_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(subject.time, "monotonic", lambda: now[0])
    path, ripening = tmp_path / "a.pcap", Ripening(tmp_path, 5)
    path.write_bytes(b"1")
    taken = []
    for second in range(12):
        now[0] = second
        if second in {3, 4}:  # it grows, then only its time changes
            path.write_bytes(b"12")
            os.utime(path, (second, second))
        taken += [(second, one.name) for one in ripening.take()]
    assert taken == [(9, "a.pcap")]
    path.write_bytes(b"another, under the same name")
    now[0] = 12
    assert ripening.take() == []
    now[0] = 17
    assert ripening.take() == [path]


def test_what_is_hidden_unfinished_a_link_or_a_folder_is_left_alone(tmp_path: Path) -> None:
    left = {".a.pcap", "~a.pcap", "a.pcap.part", "A.PCAP.TMP", "a.pcap~", "inside", "link.pcap"}
    for name in left - {"inside", "link.pcap"}:
        (tmp_path / name).write_bytes((SAMPLES / "healthy.pcap").read_bytes())
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "a.pcap").touch()
    (tmp_path / "link.pcap").symlink_to(SAMPLES / "healthy.pcap")
    assert looked(tmp_path, 2) == []
    assert names(tmp_path) == left | {"done", "failed"}


def test_answers_lie_beside_what_is_done_and_reasons_beside_what_failed(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "wrong_password_one_pc.pcap", tmp_path / "one.pcap")
    (tmp_path / "notes.txt").write_text("call him back")
    told = {one.name: one for one in looked(tmp_path)}
    assert (told["one.pcap"].state, told["one.pcap"].verdict, told["one.pcap"].where) == (
        "ok",
        "confirmed",
        "done/one.pcap",
    )
    assert told["notes.txt"].where == "failed/notes.txt"
    assert names(tmp_path) == {"done", "failed"}
    assert names(tmp_path / "done") == {"one.pcap", "one.pcap.report.json", "one.pcap.report.html"}
    assert names(tmp_path / "failed") == {"notes.txt", "notes.txt.reason.txt"}
    assert (tmp_path / "failed" / "notes.txt.reason.txt").read_text().startswith("not_a_capture: ")
    report = json.loads((tmp_path / "done" / "one.pcap.report.json").read_text())
    assert report["conclusion"]["cause"] == "bad_credentials"
    assert "<html" in (tmp_path / "done" / "one.pcap.report.html").read_text()[:200]


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    for content in ("healthy.pcap", "wrong_password_one_pc.pcap", "healthy.pcap"):
        shutil.copy(SAMPLES / content, tmp_path / "a.pcap")
        looked(tmp_path)
    assert {name for name in names(tmp_path / "done") if name.endswith(".pcap")} == {"a.pcap", "a~2.pcap", "a~3.pcap"}
    assert "bad_credentials" in (tmp_path / "done" / "a~2.pcap.report.json").read_text()


@pytest.mark.skipif(os.name != "posix", reason="such names are POSIX's")
def test_hostile_names(tmp_path: Path) -> None:
    for name in HOSTILE:
        shutil.copy(SAMPLES / "healthy.pcap", tmp_path / name)
    told = looked(tmp_path)
    assert [one.state for one in told] == ["ok"] * len(HOSTILE)
    assert all(one.name.isprintable() and one.where.isprintable() for one in told)
    kept = {name for name in names(tmp_path / "done") if ".report." not in name}
    assert kept == {name if len(name) < 200 else name[:200] for name in HOSTILE}
    assert len(names(tmp_path / "done")) == 3 * len(HOSTILE)


def test_with_a_store_answers_go_there_and_nothing_is_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with Store.open(tmp_path / "cases.db") as store:
        shutil.copy(SAMPLES / "wrong_password_one_pc.pcap", folder / "one.pcap")
        stuck = monkeypatch.context()
        with stuck as patch:
            patch.setattr(Path, "rename", refuse)
            (told,) = looked(folder, 3, store)  # taken once, though it is still there
        assert told.where == "cannot be moved: Read-only file system"
        assert names(folder) == {"one.pcap", "done", "failed"}
        monkeypatch.setattr("analyzer.triage.pool.isolated", lambda *_, **__: pytest.fail("it was known"))
        assert [one.where for one in looked(folder, 1, store)] == ["done/one.pcap"]
        (case,) = store.captures(Filter(EVERYBODY))
    assert (case.name, case.location) == ("one.pcap", str(folder / "done" / "one.pcap"))


def refuse(*_: object) -> None:
    raise OSError(30, "Read-only file system")


def test_a_folder_that_is_not_there_or_leads_elsewhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match="cannot be made"):
        looked(tmp_path / "none")
    (tmp_path / "done").symlink_to(tmp_path)
    with pytest.raises(AnalyzerError, match="is a link"):
        looked(tmp_path)


@pytest.fixture
def watching(tmp_path: Path) -> Callable[..., AbstractContextManager[subprocess.Popen[str]]]:
    """The command, watching."""

    def started(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "analyzer", "watch", str(tmp_path), "--still", "0.5", "--jobs", "1", *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    return started


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_killed_and_begun_again_every_capture_has_its_answer(
    tmp_path: Path, watching: Callable[..., AbstractContextManager[subprocess.Popen[str]]]
) -> None:
    sample = (SAMPLES / "healthy.pcap").read_bytes()
    expected = {f"{number:02}.pcap" for number in range(20)}
    for name in expected:
        (tmp_path / name).write_bytes(sample)
    with watching() as first:
        assert soon(lambda: len(names(tmp_path / "done")) > 9)
        first.kill()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "done").glob("*.pcap")}
    assert 0 < len(before) < len(expected)
    with watching() as second:
        assert soon(lambda: not any(tmp_path.glob("*.pcap")))
        began = time.monotonic()
        second.send_signal(signal.SIGTERM)
        assert second.wait(10) == 0
        assert time.monotonic() - began < 5
        assert second.stdout
        lines = second.stdout.read().splitlines()
    assert len(lines) == len(expected) - len(before)
    finished = names(tmp_path / "done")
    assert finished == {name + end for name in expected for end in ("", ".report.json", ".report.html")}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_sigterm_ends_what_runs_and_leaves_the_capture_for_the_next_time(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.pcap").write_text("hangs")
    code = f"""
import signal, sys
from functools import partial
from pathlib import Path
from analyzer.triage import watch
from analyzer.triage.pool import answers
watch.TARGET = "tests.triage.targets:hang"
watch.answers = partial(answers, options={{"mark": "mark-watched"}})
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
watch.watch(Path({str(folder)!r}), tell=print, still_s=0.1)
"""
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        assert soon(lambda: running("mark-watched"))
        process.terminate()
        assert process.wait(10) == 0
    assert soon(lambda: not running("mark-watched"))
    assert names(folder) == {"a.pcap", "done", "failed"}
