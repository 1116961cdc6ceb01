"""Run a command, or a pipe of two, and measure what it cost: processor seconds, wall seconds, peak memory, and its output."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple

MEBIBYTE_IN_KB = 1024

Command = Sequence[str]


class Cost(NamedTuple):
    """What one run cost; of a pipe all its processes together."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    """MiB; of a pipe the larger process."""
    output: bytes
    status: int


def run(*pipe: Command, keep: bool = False) -> Cost:
    """Run a command, or commands piped into each other; the output goes nowhere unless it is to be kept."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    running: list[subprocess.Popen[bytes]] = []
    for place, command in enumerate(pipe):
        last = place == len(pipe) - 1
        running.append(
            subprocess.Popen(
                [*command],
                stdin=running[-1].stdout if running else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if last and not keep else subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        )
        if place and (before := running[-2].stdout) is not None:
            before.close()
    stream = running[-1].stdout
    output = stream.read() if stream is not None else b""
    if stream is not None:
        stream.close()
    cpu, peak, status = 0.0, 0, 0
    for process in running:
        # wait4 tells the cost of this child alone; RUSAGE_CHILDREN would keep the peak of the largest so far
        _, how, used = os.wait4(process.pid, 0)
        process.returncode = status = os.waitstatus_to_exitcode(how)
        cpu += used.ru_utime + used.ru_stime
        peak = max(peak, used.ru_maxrss)
    return Cost(cpu, time.perf_counter() - began, peak / MEBIBYTE_IN_KB, output, status)
