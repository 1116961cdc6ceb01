"""The inside of an isolated run: set limits, analyse, say what came of it as one JSON object.

Limits are set before a capture is touched. What they bound is what the capture takes, not what Python and its libraries
took before.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from analyzer.triage.sealed import prepared, seal

try:
    import resource
except ImportError:  # Windows: the wall clock of the parent is all there is
    resource = None  # type: ignore[assignment]

MIB = 1 << 20
PARTS = ("captures", "accounts", "findings", "conclusion", "records")
"""Of the report contract, what many captures are told apart by; sessions can be a hundred times as long."""
REHEARSALS = 12
"""Python adapts its code to what it meets the first times; a child that did it would copy the pages of that code."""
SECOND_WARNING_S = 1
"""Processor time between the signal that says what happened and the end."""


def main(text: str) -> None:
    """Take one job as JSON and print its answer on standard output: where processes cannot be forked."""
    job: dict[str, Any] = json.loads(text)
    out = os.dup(1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    octets = answer(job, job["paths"])
    with os.fdopen(out, "wb") as stream:
        stream.write(octets)


def target_of(name: str) -> tuple[Any, Callable[..., dict[str, Any]]]:
    """Return the module and the function that ``module:function`` names."""
    module = importlib.import_module(name.partition(":")[0])
    return module, getattr(module, name.partition(":")[2])


def answer(job: dict[str, Any], paths: list[str]) -> bytes:
    """Return the target's answer as JSON: {document}, or {state, reason} of what went wrong."""
    try:
        confine(job, sum(os.stat(path).st_size for path in paths))  # noqa: PTH116 (nothing more is imported yet)
        _, target = target_of(job["target"])
        return json.dumps({"document": target(*paths, options=job["options"])}).encode("ascii")
    except MemoryError:
        told = {"state": "error", "reason": f"memory limit of {job['memory_mb']} MiB reached"}
    except Exception as error:  # noqa: BLE001 (whatever it was, the row must say it)
        told = _failed(error)
    return json.dumps(told).encode("ascii")


def confine(job: dict[str, Any], size_bytes: int) -> None:
    """Limit this process, and give up connections; other programs too, where tshark is not to be asked."""
    programs = job["options"].get("engine") != "native"
    limit(job["memory_mb"], job["cpu_s"], job["scratch_mb"], size_bytes)
    if not seal(programs=programs) and not programs:
        _set_limit("RLIMIT_NPROC", 0)


def limit(memory_mb: int, cpu_s: int, scratch_mb: int, size_bytes: int) -> None:
    """Limit memory, processor time and written files where the system can (POSIX); leave no core file."""
    addresses, data = _taken()
    memory = memory_mb * MIB
    _set_limit(
        "RLIMIT_AS", addresses + memory + size_bytes
    )  # a mapped capture takes addresses, but no memory of its own
    _set_limit("RLIMIT_DATA", data + memory)
    _set_limit("RLIMIT_CPU", cpu_s, cpu_s + SECOND_WARNING_S)
    _set_limit("RLIMIT_FSIZE", scratch_mb * MIB)
    _set_limit("RLIMIT_CORE", 0)


def _set_limit(name: str, most: int, last: int | None = None) -> None:
    if resource is None:
        return
    with suppress(AttributeError, ValueError, OSError):  # macOS refuses some kinds; a lower limit already set stays
        resource.setrlimit(getattr(resource, name), (most, most if last is None else last))


def _taken() -> tuple[int, int]:
    """Return the octets of addresses, and of data, that this process has already; 0 where the system does not say."""
    try:
        file = os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        return 0, 0
    pages = os.read(file, 256).split()
    os.close(file)
    page = os.sysconf("SC_PAGE_SIZE")
    return int(pages[0]) * page, int(pages[5]) * page


def prepare(folder: Path) -> None:
    """Load what an analysis needs, by doing some; ``folder`` takes its capture for that long."""
    import numpy as np  # noqa: F401 (only larger captures need it)

    with rehearsal(folder) as path:
        for _ in range(REHEARSALS):
            json.dumps(analysed(str(path), options={}))
    for programs in (True, False):
        prepared(programs=programs)


@contextmanager
def rehearsal(folder: Path) -> Iterator[Path]:
    """Put a small capture into a folder for as long as it is needed."""
    from analyzer.triage.rehearsal import capture

    path = folder / "rehearsal.pcap"
    path.write_bytes(capture())
    yield path
    path.unlink()


def analysed(*paths: str, options: dict[str, Any]) -> dict[str, Any]:
    """Analyse captures that belong together and return the parts of the report contract that triage keeps."""
    from analyzer.analysis import read
    from analyzer.report.model import document

    whole = document(read(*map(Path, paths), strict=False, **options).result)
    return {part: whole[part] for part in PARTS}


def _failed(error: Exception) -> dict[str, Any]:
    from analyzer.errors import AnalyzerError, UnknownFormat

    if isinstance(error, AnalyzerError):
        return {"state": "not_a_capture" if isinstance(error, UnknownFormat) else "error", "reason": str(error)}
    return {"state": "error", "reason": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main(sys.argv[1])
