"""The inside of an isolated run: set limits, analyse one capture, print one JSON object.

Started by :mod:`analyzer.triage.isolated` only. The limits are set before anything heavy is loaded, and the process's
standard output is put aside, so that a library that prints cannot spoil the answer.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

MIB = 1 << 20
PARTS = ("captures", "findings", "conclusion", "records")
"""Of the report contract, what many captures are told apart by; sessions can be a hundred times as long."""


def main(text: str) -> None:
    """Take one job (JSON: path, options, memory_mb, cpu_s, target) and print its answer on standard output."""
    job: dict[str, Any] = json.loads(text)
    out = os.dup(1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    answer = answered(job)
    with os.fdopen(out, "w", encoding="ascii") as stream:
        json.dump(answer, stream)


def answered(job: dict[str, Any]) -> dict[str, Any]:
    """Return the target's answer, or {state, reason} of what went wrong."""
    try:
        limit(job["memory_mb"], job["cpu_s"], Path(job["path"]).stat().st_size)
        module, _, name = job["target"].partition(":")
        target = getattr(importlib.import_module(module), name)
        return {"document": target(job["path"], job["options"])}
    except MemoryError:
        return {"state": "error", "reason": f"memory limit of {job['memory_mb']} MiB reached"}
    except Exception as error:  # noqa: BLE001 (whatever it was, the row must say it)
        return _failed(error)


def limit(memory_mb: int, cpu_s: int, size_bytes: int) -> None:
    """Limit this process's memory and processor time where the system can (POSIX); leave no core file."""
    try:
        import resource
    except ImportError:  # Windows: the wall clock of the parent is all there is
        return
    memory = memory_mb * MIB
    wanted = [
        (resource.RLIMIT_AS, memory + size_bytes),  # a mapped capture takes addresses, but no memory of its own
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_CORE, 0),
    ]
    for kind, most in wanted:
        with suppress(ValueError, OSError):  # macOS refuses some kinds; a lower limit already set stays
            resource.setrlimit(kind, (most, most))


def analysed(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Analyse one capture and return the parts of the report contract that triage keeps."""
    from analyzer.analysis import read
    from analyzer.report.model import document

    whole = document(read(Path(path), strict=False, **options).result)
    return {part: whole[part] for part in PARTS}


def _failed(error: Exception) -> dict[str, Any]:
    from analyzer.errors import AnalyzerError, UnknownFormat

    if isinstance(error, AnalyzerError):
        return {"state": "not_a_capture" if isinstance(error, UnknownFormat) else "error", "reason": str(error)}
    return {"state": "error", "reason": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main(sys.argv[1])
