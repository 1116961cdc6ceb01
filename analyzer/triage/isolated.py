"""Analyse one capture in a fresh, limited process: nothing in a hostile file can take the others down.

The process has no standard input, a wall-clock limit, limits of memory and processor time where the system offers them
(POSIX), and a bounded answer through a pipe. It leads a process group of its own, so that a program it started dies with
it at time-out. It imports what this process would import, and nothing from the current folder or the environment.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from analyzer.text import clean

TIMEOUT_S = 60.0
"""A gigabyte is read in a few seconds; a minute leaves room for packed files and slow disks."""
MEMORY_MB = 1024
"""Libraries take about 150 MiB; a capture is read window by window."""
ANSWER_LIMIT_BYTES = 16 << 20
"""Findings of one capture take some kilobytes; a longer answer is a fault of ours."""
GRACE_S = 2.0
"""From the end of the answer to the end of the process."""
TARGET = "analyzer.triage.worker:analysed"

_START = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from analyzer.triage.worker import main; main(sys.argv[2])"
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # each thread's buffers count as memory


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one capture."""

    state: str
    """ok, partial, empty, no_mail, not_a_capture, password_needed, timeout or error."""
    reason: str | None
    """One sentence when the state is not ok."""
    document: dict[str, Any] | None
    """captures, findings and conclusion of the report contract; None when there was no report."""


def isolated(
    path: Path | str,
    *,
    timeout_s: float = TIMEOUT_S,
    memory_mb: int = MEMORY_MB,
    options: Mapping[str, Any] | None = None,
    target: str = TARGET,
    started: Callable[[int], None] | None = None,
) -> Answer:
    """Analyse one capture in a process of its own and return what became of it; never raises on a bad capture.

    Args:
        path: The capture.
        timeout_s: Wall-clock limit of the whole run, in seconds; also that of processor time.
        memory_mb: Memory limit in MiB.
        options: Keyword arguments of :func:`analyzer.read`, as JSON can carry them.
        target: ``module:function`` to run inside, taking path and options.
        started: Called with the process id once the process runs.
    """
    job = {
        "path": str(path),
        "options": dict(options or {}),
        "memory_mb": memory_mb,
        "cpu_s": math.ceil(timeout_s) + 1,
        "target": target,
    }
    try:
        process = _begin(job)
    except OSError as error:
        return Answer("error", f"no process could be started: {error.strerror}", None)
    try:
        if started:
            started(process.pid)
        octets, in_time = _output(process, timeout_s)
    finally:
        _end(process)
    return _answer(octets, process.returncode, timeout_s) if in_time else _late(timeout_s)


def kill(pid: int) -> None:
    """Kill a worker that was started here, and whatever it started; harmless when it is gone."""
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)  # it leads a group of its own, which has its id
        else:
            os.kill(pid, signal.SIGTERM)  # Windows: TerminateProcess


def _begin(job: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 (this interpreter, no shell)
        [sys.executable, "-I", "-c", _START, json.dumps(_import_path()), json.dumps(job)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **_ONE_THREAD},
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        kill(process.pid)
        process.wait()


def _import_path() -> list[str]:
    package = str(Path(__file__).resolve().parents[2])
    known = [entry for entry in sys.path if Path(entry).is_absolute()]
    return known if package in known else [package, *known]


def _output(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[bytes, bool]:
    """Return what the process printed, one octet past the limit at most, and whether it was done in time."""
    kept = bytearray()
    reader = threading.Thread(target=_drain, args=(process.stdout, kept), daemon=True)
    reader.start()
    reader.join(timeout_s)
    in_time = not reader.is_alive()
    if in_time and len(kept) <= ANSWER_LIMIT_BYTES:
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    _end(process)
    reader.join()
    return bytes(kept), in_time


def _drain(pipe: IO[bytes], kept: bytearray) -> None:
    with pipe:
        while len(kept) <= ANSWER_LIMIT_BYTES and (piece := os.read(pipe.fileno(), 1 << 16)):
            kept += piece


def _late(timeout_s: float) -> Answer:
    return Answer("timeout", f"took longer than {timeout_s:g} s", None)


def _answer(octets: bytes, status: int, timeout_s: float) -> Answer:
    if len(octets) > ANSWER_LIMIT_BYTES:
        return Answer("error", f"answered more than {ANSWER_LIMIT_BYTES >> 20} MiB", None)
    if status == -getattr(signal, "SIGXCPU", 0):
        return Answer("timeout", f"used more than {timeout_s:g} s of processor time", None)
    if status < 0:
        return Answer("error", f"killed by signal {-status}", None)
    try:
        told = json.loads(octets)
    except ValueError:
        return Answer("error", f"ended with status {status} and no answer", None)
    if "document" not in told:
        return Answer(told["state"], clean(told["reason"]), None)
    return _reported(told["document"])


def _reported(document: dict[str, Any]) -> Answer:
    """Fold the states of the captures inside one input (an archive may hold several) into one."""
    captures = document["captures"]
    states = {capture["state"] for capture in captures} or {"ok" if document.get("records") else "empty"}
    state = states.pop() if len(states) == 1 else "partial"
    reasons = (reason for capture in captures if (reason := _reason(capture)))
    return Answer(state, next(reasons, None), document)


def _reason(capture: dict[str, Any]) -> str | None:
    if capture["state"] == "ok":
        return None
    if stopped := capture.get("stopped"):
        return f"stopped after frame {stopped['frame']}: {stopped['reason']}"
    if capture["state"] == "no_mail":
        return f"no mail among {capture['packets']:,} frames"
    return "; ".join(capture["quality"]["reasons"]) or str(capture["state"]).replace("_", " ")
