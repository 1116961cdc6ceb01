"""Two services with one store on PostgreSQL and one data folder: each capture is analysed once, whoever took it in."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analyzer.triage.isolated import Answer
from tests.service.served import LIMITS, Served, capture, told, until
from tests.triage import conftest

postgres = conftest.postgres


@pytest.fixture
def pair(postgres: str, tmp_path: Path) -> Iterator[tuple[Served, Served, Counter[str]]]:
    """Two replicas, and how often each capture was analysed."""
    times: Counter[str] = Counter()
    lock = threading.Lock()

    def analyse(path: Any, **how: Any) -> Answer:
        with lock:
            times[Path(path).name if isinstance(path, Path) else "together"] += 1
        return told()()

    limits = replace(LIMITS, jobs=2)
    where = {"store": postgres, "data": tmp_path / "files", "limits": limits}
    with Served(tmp_path, analyse, **where) as one, Served(tmp_path, analyse, **where) as other:
        yield one, other, times


def test_each_capture_is_analysed_once_and_seen_by_both(pair: Any) -> None:
    one, other, times = pair
    for number in range(20):
        (one, other)[number % 2].upload(capture(number))
    until(lambda: other.ask("GET", "/api/status").json["waiting"] == 0)
    assert one.ask("GET", "/api/captures").json["total"] == 20
    assert set(times.values()) == {1}
    assert len(times) == 20
    made = one.ask("GET", "/api/captures").json["captures"][0]["id"]
    assert other.ask("DELETE", f"/api/captures/{made}").status == 204
    assert one.ask("GET", f"/api/captures/{made}").status == 404


def test_an_upload_begun_at_one_goes_on_at_the_other(pair: Any) -> None:
    one, other, _ = pair
    octets, tus = capture(99), {"Tus-Resumable": "1.0.0"}
    place = one.ask("POST", "/api/uploads", headers=tus | {"Upload-Length": str(len(octets))}).headers["location"]
    kind = {"Content-Type": "application/offset+octet-stream"}
    assert one.ask("PATCH", place, octets[:300], tus | kind | {"Upload-Offset": "0"}).status == 204
    assert other.ask("PATCH", place, octets[300:], tus | kind | {"Upload-Offset": "300"}).status == 204
    made = other.ask("HEAD", place, headers=tus).headers["mailscope-capture"]
    assert one.ask("HEAD", place, headers=tus).headers["mailscope-capture"] == made
    assert one.ask("GET", f"/api/captures/{made}").status == 200
