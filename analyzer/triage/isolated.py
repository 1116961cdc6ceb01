"""Analyse captures in a fresh, limited process: nothing in a hostile file can take the others down.

The process ends with its answer and saw no other capture. It has no standard input, nothing of the environment, a limit of
wall clock, and where the system can (POSIX) limits of processor time, memory and written files; on Linux it cannot open a
connection; where bubblewrap is installed it also sees no network, no home, and of all files only the captures it was
given. What it started dies with it. The same function serves triage, Dask's workers and the service.
"""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.text import clean
from analyzer.triage.box import bubblewrap
from analyzer.triage.sealed import prepared
from analyzer.triage.spares import SPARES, SpareLostError, Spares, import_path
from analyzer.triage.template import ANSWER_LIMIT_BYTES, FILES_LIMIT

TIMEOUT_S = 60.0
"""A gigabyte is read in a few seconds; a minute leaves room for packed files and slow disks."""
MEMORY_MB = 1024
"""Besides Python and its libraries; a capture is read window by window."""
SCRATCH_MB = 4096
"""A packed capture may unpack to 4 GiB, and beyond 64 MiB does so in a temporary file."""
LIVES = 2
"""Spare processes that one capture may lose: the first may have been an accident."""
TARGET = "analyzer.triage.worker:analysed"


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
    path: Path | str | Sequence[Path | str],
    *,
    timeout_s: float = TIMEOUT_S,
    cpu_s: float | None = None,
    memory_mb: int = MEMORY_MB,
    scratch_mb: int = SCRATCH_MB,
    options: Mapping[str, Any] | None = None,
    target: str = TARGET,
    spares: Spares = SPARES,
) -> Answer:
    """Analyse one capture in a process of its own and return what became of it; never raises on a bad capture.

    Args:
        path: The capture, or several that belong together: members of one incident, files of a ring buffer, a server's log.
        timeout_s: Wall-clock limit of the whole run, in seconds.
        cpu_s: Limit of processor time, in seconds; as much when None.
        memory_mb: Memory limit in MiB, besides what Python and its libraries take.
        scratch_mb: Limit of each temporary file, in MiB; with 0, packed captures must fit into memory.
        options: Keyword arguments of :func:`analyzer.read`, as JSON can carry them; files they name are not seen in a box.
            With the engine "native" no other program can be started: wise for captures of strangers.
        target: ``module:function`` to run inside, taking the paths, and ``options`` by name; what the function
            ``prepare(folder)`` of the same module loads is there before the first capture.
        spares: Where the process comes from; whoever closes it ends what runs.
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    if len(paths) > FILES_LIMIT:
        return Answer("error", f"more than {FILES_LIMIT} captures at once", None)
    job = {
        "paths": [os.path.abspath(one) for one in paths],  # noqa: PTH100 (a link's own name is the one to show)
        "options": dict(options or {}),
        "memory_mb": memory_mb,
        "scratch_mb": scratch_mb,
        "cpu_s": math.ceil(cpu_s or timeout_s),
        "target": target,
    }
    try:
        status, octets = _told(job, timeout_s, spares)
    except TimeoutError:
        return _late(timeout_s)
    except _Unopened as error:
        return Answer("error", f"cannot be opened: {error}", None)
    except SpareLostError:
        return Answer("error", "stopped" if spares.closed else f"its process was lost {LIVES} times", None)
    except OSError as error:
        return Answer("error", f"no process could be started: {error.strerror}", None)
    return _answer(octets, status, cpu_s or timeout_s)


def protection() -> str:
    """Say what keeps captures of strangers from the rest of this machine, besides limits of time."""
    if not hasattr(os, "fork"):
        return "a process for each capture; no limits of memory on this system"
    walls = ["limits of memory, processor time and written files"]
    if prepared(programs=False) is not None:
        walls.append("no connections (seccomp)")
    walls.append(
        "no network, no home, no other capture (bubblewrap)" if bubblewrap() else "bubblewrap is missing or not allowed"
    )
    return "; ".join(walls)


class _Unopened(Exception):
    """A capture that is not there, or is not ours to read."""


def _told(job: dict[str, Any], timeout_s: float, spares: Spares) -> tuple[int, bytes | None]:
    if not hasattr(os, "fork"):
        from analyzer.triage import fresh

        return fresh.ask(job, import_path(), timeout_s)
    for life in range(LIVES):
        try:
            return _asked(job, timeout_s, spares, fresh=life > 0)
        except SpareLostError:
            if spares.closed:
                break
    raise SpareLostError


def _asked(job: dict[str, Any], timeout_s: float, spares: Spares, *, fresh: bool) -> tuple[int, bytes | None]:
    """Ask one spare process; it is kept only if its child ended well."""
    spare, well = spares.take(job["target"], fresh=fresh), False
    try:
        with ExitStack() as stack:
            files = [_opened(path, stack) for path in job["paths"]]
            status, octets = spare.ask(job, files if spare.boxed else [], timeout_s)
        well = status == 0 and bool(octets)
    except _Unopened:
        well = True
        raise
    finally:
        spares.give_back(spare, well=well)
    return status, octets


def _opened(path: str, stack: ExitStack) -> int:
    """Open a capture, for a process that sees no files; what became a pipe meanwhile must not hold us up."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise _Unopened(error.strerror) from error
    stack.callback(os.close, file)
    return file


def _late(timeout_s: float) -> Answer:
    return Answer("timeout", f"took longer than {timeout_s:g} s", None)


def _answer(octets: bytes | None, status: int, cpu_s: float) -> Answer:
    if octets is None:
        return Answer("error", f"answered more than {ANSWER_LIMIT_BYTES >> 20} MiB", None)
    if status == -getattr(signal, "SIGXCPU", 0):
        return Answer("timeout", f"used more than {cpu_s:g} s of processor time", None)
    if status < 0:
        return Answer("error", f"killed by signal {-status}", None)
    try:
        told = json.loads(octets)
        return _reported(told["document"]) if "document" in told else Answer(told["state"], clean(told["reason"]), None)
    except ValueError:
        return Answer("error", f"ended with status {status} and no answer", None)
    except (AttributeError, KeyError, TypeError, RecursionError):  # of a child that is no longer ours
        return Answer("error", "answered what is no report", None)


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
