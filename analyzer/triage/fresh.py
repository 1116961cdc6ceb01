"""A fresh interpreter for one job: where processes cannot be forked (Windows). Wall clock and answer are limited."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from analyzer.triage.template import ANSWER_LIMIT_BYTES

GRACE_S = 2.0
"""From the end of the answer to the end of the process."""
_START = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from analyzer.triage.worker import main; main(sys.argv[2])"


def ask(job: Mapping[str, Any], packages: list[str], timeout_s: float) -> tuple[int, bytes | None]:
    """Run a job in a new interpreter; return its exit status and what it said; None: too much.

    Raises:
        OSError: the interpreter could not be started.
        TimeoutError: it took longer than ``timeout_s``.
    """
    process = subprocess.Popen(  # noqa: S603 (this interpreter, no shell)
        [sys.executable, "-I", "-c", _START, json.dumps(packages), json.dumps(job)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    kept = bytearray()
    reader = threading.Thread(target=_drain, args=(process.stdout, kept), daemon=True)
    try:
        reader.start()
        reader.join(timeout_s)
        if reader.is_alive():
            raise TimeoutError
        if len(kept) <= ANSWER_LIMIT_BYTES:
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
    finally:
        process.kill()
        process.wait()
        reader.join()
    return process.returncode, bytes(kept) if len(kept) <= ANSWER_LIMIT_BYTES else None


def _drain(pipe: IO[bytes], kept: bytearray) -> None:
    with pipe:
        while len(kept) <= ANSWER_LIMIT_BYTES and (piece := os.read(pipe.fileno(), 1 << 16)):
            kept += piece
