"""The service as a real process: it starts, says where, refuses what it must, and ends and starts again with nothing lost."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from analyzer.triage.case import EVERYBODY, Filter
from analyzer.triage.store import Store
from tests.service.served import SAMPLES, capture, until

ROOT = Path(__file__).parents[2]
ADDRESS = re.compile(r"serving on http://127\.0\.0\.1:(\d+)/")
posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
WITH = """
import sys
import analyzer.service.work as work
from analyzer.cli import main
work.ANALYSED = "tests.service.slow:{target}"
main(sys.argv[1:])
"""
SLOW, FAST = WITH.format(target="waits"), WITH.format(target="finds")


def command(*words: str, code: str | None = None) -> subprocess.Popen[str]:
    start = ["-c", code] if code else ["-m", "analyzer"]
    return subprocess.Popen(
        [sys.executable, *start, "serve", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@contextmanager
def running(folder: Path, *words: str, code: str | None = None) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A service, and its port; ended by SIGTERM unless it has ended already."""
    process = command("--store", str(folder / "cases.db"), "--port", "0", "--jobs", "1", *words, code=code)
    try:
        assert process.stderr
        line = process.stderr.readline()
        found = ADDRESS.search(line)
        assert found, line + process.stderr.read()
        yield process, int(found[1])
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def ask(port: int, method: str, path: str, body: bytes | None = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body)
    octets = connection.getresponse().read()
    connection.close()
    return json.loads(octets) if octets else None


@posix
def test_it_ends_while_it_analyses_and_goes_on_when_it_is_started_again(tmp_path: Path) -> None:
    captures = [capture(number) for number in range(3)]
    with running(tmp_path, code=SLOW) as (process, port):
        for octets in captures:
            ask(port, "POST", "/api/captures", octets)
        until(lambda: ask(port, "GET", "/api/status")["states"].get("running") == 1)
        time.sleep(0.3)  # well inside it
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - began < 8
    with Store.open(tmp_path / "cases.db") as store:
        assert store.tally(EVERYBODY) == {"queued": 3}
    with running(tmp_path, code=FAST) as (_, port):
        until(lambda: ask(port, "GET", "/api/status")["waiting"] == 0, 30)
        told = ask(port, "GET", "/api/captures")["captures"]
    assert sorted(one["sha256"] for one in told) == sorted(hashlib.sha256(octets).hexdigest() for octets in captures)
    assert {one["conclusion"]["title"] for one in told} == {"looked at once"}


@posix
def test_it_is_killed_while_it_analyses_and_goes_on_when_it_is_started_again(tmp_path: Path) -> None:
    with running(tmp_path, code=SLOW) as (process, port):
        ask(port, "POST", "/api/captures", capture())
        until(lambda: ask(port, "GET", "/api/status")["states"].get("running") == 1)
        process.kill()
    with Store.open(tmp_path / "cases.db") as store:
        assert store.tally(EVERYBODY) == {"running": 1}
    with running(tmp_path, code=FAST) as (_, port):
        until(lambda: ask(port, "GET", "/api/status")["waiting"] == 0, 30)
    with Store.open(tmp_path / "cases.db") as store:
        assert store.count(Filter(EVERYBODY)) == 1


@posix
def test_a_second_service_does_not_take_the_first_ones_store(tmp_path: Path) -> None:
    with running(tmp_path) as (_, _):
        second = command("--store", str(tmp_path / "cases.db"), "--port", "0")
        assert "another service uses this store already" in second.communicate(timeout=30)[1]
        assert second.returncode == 2


def test_it_refuses_to_be_open_to_others(tmp_path: Path) -> None:
    process = command("--store", str(tmp_path / "cases.db"), "--host", "0.0.0.0", "--name", "x.example")
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 2
    assert "does not listen there unprotected" in said
    assert "Traceback" not in said
    assert not (tmp_path / "cases.db").exists()


def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = command("--store", str(tmp_path / "cases.db"), "--port", str(port))
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 2
    assert f"127.0.0.1:{port} cannot be listened at" in said


def test_a_token_made_by_the_command_lets_in(tmp_path: Path) -> None:
    made = command("--token-file", str(tmp_path / "tokens"), "--add-token", "ann")
    token, said = made.communicate(timeout=30)
    assert made.returncode == 0
    assert "shown this once" in said
    with running(tmp_path, "--token-file", str(tmp_path / "tokens")) as (_, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/api/status", headers={"Authorization": f"Bearer {token.strip()}"})
        assert json.loads(connection.getresponse().read())["owner"] == "ann"
        connection.close()
        assert ask(port, "GET", "/api/status") == {"error": "Say who you are: Authorization: Bearer TOKEN"}


def test_nothing_hostile_stands_in_what_it_says(tmp_path: Path) -> None:
    process = command("--store", str(tmp_path / "cases.db"), "--port", "0")
    assert process.stderr
    found = ADDRESS.search(process.stderr.readline())
    assert found
    port = int(found[1])
    ask(port, "POST", "/api/captures?name=NAME-OF-A-CASE.pcap", (SAMPLES / "healthy.pcap").read_bytes())
    ask(port, "GET", "/api/captures?q=SEARCH-OF-SOMEBODY")
    until(lambda: ask(port, "GET", "/api/status")["waiting"] == 0)
    process.terminate()
    said = "".join(process.communicate(timeout=30))
    assert said.strip() == ""
