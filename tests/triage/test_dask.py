"""A real scheduler and two real workers over loopback; one of them is killed in the middle."""

import contextlib
import importlib.util
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from analyzer.errors import AnalyzerError
from analyzer.triage.isolated import Answer
from analyzer.triage.pool import answers
from tests.triage.processes import running, soon

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="Dask is not installed")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, which ends with the test."""
    with subprocess.Popen([sys.executable, "-m", *words], env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def worker(address: str, name: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """A worker without nanny, so that nothing starts it again."""
    words = (
        "--no-nanny",
        "--nthreads",
        "1",
        "--no-dashboard",
        "--host",
        "127.0.0.1",
        "--name",
        name,
        "--local-directory",
    )
    return started("distributed.cli.dask_worker", address, *words, os.environ["DASK_PLACE"])


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a scheduler."""
    note = tmp_path / "scheduler.json"
    monkeypatch.setenv("DASK_PLACE", str(tmp_path / "dask"))
    words = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show", "--scheduler-file", str(note))
    with started("distributed.cli.dask_scheduler", *words):
        assert soon(note.is_file)
        yield str(json.loads(note.read_text())["address"])


def triage(scheduler: str, *words: str) -> subprocess.Popen[str]:
    """The coordinator, as a command."""
    command = [sys.executable, "-m", "analyzer", "triage", *words, "--scheduler", scheduler, "--format", "ndjson"]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_two_workers_answer_all_though_one_is_killed_in_the_middle(tmp_path: Path, scheduler: str) -> None:
    folder = tmp_path / "captures"
    folder.mkdir()
    sample = (ROOT / "sample_pcaps" / "healthy.pcap").read_bytes()
    for number in range(40):
        (folder / f"{number:02}.pcap").write_bytes(sample[:16] + struct.pack("<I", 65_535 + number) + sample[20:])
    (folder / "text.pcap").write_text("no capture, named so")
    with worker(scheduler, "one") as doomed, worker(scheduler, "two"), triage(scheduler, str(folder)) as asking:
        assert asking.stdout
        lines = [asking.stdout.readline() for _ in range(5)]
        doomed.kill()
        assert asking.poll() is None
        rest, complaints = asking.communicate(timeout=60)
        rows = [json.loads(line) for line in [*lines, *rest.splitlines()]]
        assert asking.returncode == 0, complaints
    assert sorted(row["path"] for row in rows) == [*(f"{number:02}.pcap" for number in range(40)), "text.pcap"]
    assert {row["state"] for row in rows if row["path"] != "text.pcap"} == {"ok"}


def test_what_loses_its_workers_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    address = request.getfixturevalue("scheduler")
    (tmp_path / "a.pcap").write_text("hangs")
    settings: dict[str, Any] = {"target": "tests.triage.targets:hang", "options": {"mark": "mark-lost"}}
    asked = answers([("a", tmp_path / "a.pcap")], scheduler=address, **settings)
    with worker(address, "one") as doomed, ThreadPoolExecutor(1) as thread:
        told = thread.submit(list, asked)
        assert soon(lambda: running("mark-lost"))
        doomed.kill()
        assert told.result(30) == [("a", Answer("error", "lost with its worker (1 of 1 times)", None))]
    assert soon(lambda: not running("mark-lost"))


def test_an_interrupt_cancels_what_waits(tmp_path: Path, scheduler: str) -> None:
    folder = tmp_path / "captures"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.pcap").write_text(f"hangs {number}")
    code = f"""
from pathlib import Path
from analyzer.triage.batch import triage
target = "tests.triage.targets:hang"
triage([Path({str(folder)!r})], scheduler={scheduler!r}, target=target, options={{"mark": "mark-dask"}}, timeout_s=2)
"""
    with worker(scheduler, "one"), subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stderr=-3) as asking:
        assert soon(lambda: running("mark-dask"))
        asking.send_signal(signal.SIGINT)
        asking.wait(20)
        assert soon(lambda: not running("mark-dask"))
        time.sleep(0.5)
        assert not running("mark-dask")  # the others were not begun


def test_no_scheduler_and_no_workers_are_told(monkeypatch: pytest.MonkeyPatch, scheduler: str) -> None:
    monkeypatch.setattr("analyzer.triage.pool.CONNECT_S", 1)
    for address, reason in ((scheduler, "has no workers"), ("tcp://127.0.0.1:9", "no Dask scheduler")):
        with pytest.raises(AnalyzerError, match=reason):
            list(answers([("a", Path("a.pcap"))], scheduler=address))
