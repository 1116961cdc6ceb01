"""The inside of a spare process: it has loaded what analyses need, and forks a child for each job.

Started by :mod:`analyzer.triage.spares` only. It never looks at a capture itself, so that what a child met is gone with
the child. It has one thread: forking is safe then, and NumPy is told to start none.
"""

from __future__ import annotations

import gc
import json
import os
import select
import shutil
import signal
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from analyzer.triage.worker import answer, target_of

ANSWER_LIMIT_BYTES = 16 << 20
"""Findings of one capture take some kilobytes; a longer answer is a fault of ours."""
FILES_LIMIT = 200
"""Captures of one job; the kernel passes at most 253 files at a time."""
ASKED = struct.Struct("!I")
"""Before a job: its octets."""
TOLD = struct.Struct("!iI")
"""Before an answer: how the child ended (negative: the signal that killed it), and octets."""
READY = b"ready"


def main(control: int, target: str, scratch: str) -> None:
    """Get ready, then fork a child for each job until the other side is gone."""
    folder = Path(scratch)
    with suppress(Exception):  # a target that cannot be found is told by its first child
        prepare = getattr(target_of(target)[0], "prepare", None)
        if prepare is not None:
            prepare(folder)
    gc.collect()
    gc.freeze()  # looking through what is shared with the children would copy it
    with socket.socket(fileno=control) as other_side:
        other_side.sendall(READY)
        while (asked := _asked(other_side)) is not None:
            status, octets = _child(*asked, other_side, folder)
            size = len(octets)
            other_side.sendall(TOLD.pack(status, size) + (octets if size <= ANSWER_LIMIT_BYTES else b""))
            _clear(folder)


def _asked(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    head, files, _, _ = socket.recv_fds(control, ASKED.size, FILES_LIMIT)
    if len(head) < ASKED.size:
        return None
    text = bytearray()
    while len(text) < ASKED.unpack(head)[0]:
        piece = control.recv(1 << 16)
        if not piece:
            return None
        text += piece
    return json.loads(text), files


def _child(job: dict[str, Any], files: Sequence[int], control: socket.socket, folder: Path) -> tuple[int, bytes]:
    """Return how the child ended and what it said, one octet past the limit at most."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        control.close()
        os.close(ours)
        _work(job, files, theirs, folder)
    for file in (theirs, *files):
        os.close(file)
    kept = bytearray()
    while len(kept) <= ANSWER_LIMIT_BYTES and (piece := _piece(ours, control)):
        kept += piece
    os.close(ours)
    if len(kept) > ANSWER_LIMIT_BYTES:
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(_ended(pid, control)), bytes(kept)


def _work(job: dict[str, Any], files: Sequence[int], out: int, folder: Path) -> NoReturn:
    """Be the child."""
    status = 1
    try:
        gc.disable()  # one answer, then the end, as at the front door
        octets = answer(job, _linked(job["paths"], files, folder) if files else job["paths"])
        with os.fdopen(out, "wb") as stream:
            stream.write(octets)
        status = 0
    finally:
        os._exit(status)


def _linked(paths: Sequence[str], files: Sequence[int], folder: Path) -> list[str]:
    """Give open files their names, each in a folder of its own.

    By number of process, not by "self": so another program, tshark, finds them as well.
    """
    named = []
    for file, path in zip(files, paths, strict=True):
        place = folder / str(file)
        place.mkdir()
        link = place / Path(path).name
        link.symlink_to(f"/proc/{os.getpid()}/fd/{file}")
        named.append(str(link))
    return named


def _piece(pipe: int, control: socket.socket) -> bytes:
    _wait_for(pipe, control)
    return os.read(pipe, 1 << 16)


def _ended(pid: int, control: socket.socket) -> int:
    if hasattr(os, "pidfd_open"):  # Linux: one that has said all it says may still not end
        process = os.pidfd_open(pid)
        _wait_for(process, control)
        os.close(process)
    return os.waitpid(pid, 0)[1]


def _wait_for(file: int, control: socket.socket) -> None:
    """Wait for the child, but not longer than the other side is there; nothing is asked meanwhile."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    poll.register(control, select.POLLIN)
    if any(ready == control.fileno() for ready, _ in poll.poll()):
        os.killpg(0, signal.SIGKILL)  # with whatever was started


def _clear(folder: Path) -> None:
    for left in os.scandir(folder):
        if left.is_dir(follow_symlinks=False):
            shutil.rmtree(left.path, ignore_errors=True)
        else:
            with suppress(OSError):
                Path(left.path).unlink()
