"""Spare processes: each has loaded what analyses need and forks a fresh child for every capture.

Starting Python anew for every capture costs more than reading most captures; forking costs a tenth of that. A spare has
one child at a time. Whatever ends otherwise than well ends its spare too, with all that it started, and another one is
started when it is needed.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from analyzer.triage import box
from analyzer.triage.template import ANSWER_LIMIT_BYTES, ASKED, READY, TOLD

START_S = 60.0
"""Longest time until a spare is ready, on a busy machine; it takes a third of a second."""
KEPT = ("PATH", "LD_LIBRARY_PATH")
"""All that a spare gets of the environment: where tshark is, and what Python itself may need to start."""
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Each thread's buffers count as memory, and a process with threads cannot be forked safely."""

_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from analyzer.triage.template import main;"
    " main(int(sys.argv[2]), sys.argv[3], sys.argv[4])"
)


class SpareLostError(Exception):
    """The spare process ended by itself, or was killed; what it was asked may be asked again."""


class Spare:
    """One process that forks children for one target, ``module:function``."""

    def __init__(self, target: str) -> None:
        """Start it and wait until it is ready.

        Raises:
            OSError: it could not be started.
        """
        self.target = target
        self.boxed = box.bubblewrap() is not None
        self._closing = threading.Lock()
        self._scratch = Path(tempfile.mkdtemp(prefix="mailscope-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._control, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = self._begin(theirs.fileno())
            self._octets(len(READY), time.monotonic() + START_S)
        except (SpareLostError, TimeoutError) as error:
            self.close()
            raise ChildProcessError(0, "it ended before it was ready") from error
        except BaseException:
            self.close()
            raise

    def _begin(self, control: int) -> subprocess.Popen[bytes]:
        packages, program = import_path(), box.bubblewrap()
        folder = box.SCRATCH if program else str(self._scratch)
        command = [sys.executable, "-I", "-c", _START, json.dumps(packages), str(control), self.target, folder]
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return subprocess.Popen(  # noqa: S603 (this interpreter, no shell)
            box.boxed(program, command, packages, self._scratch) if program else command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**kept, **ONE_THREAD, "TMPDIR": folder, "LC_ALL": "C.UTF-8"},
            cwd="/",
            pass_fds=(control,),
            start_new_session=True,
        )

    def ask(self, job: Mapping[str, Any], files: Sequence[int], timeout_s: float) -> tuple[int, bytes | None]:
        """Run a job in a child; return its exit status, negative for a signal, and what it said; None: too much.

        Raises:
            TimeoutError: it took longer than ``timeout_s``; the spare must be closed.
            SpareLostError: the spare is no more.
        """
        text = json.dumps(job).encode("ascii")
        deadline = time.monotonic() + timeout_s
        try:
            self._control.settimeout(timeout_s)
            socket.send_fds(self._control, [ASKED.pack(len(text))], files)
            self._control.sendall(text)
            status, size = TOLD.unpack(self._octets(TOLD.size, deadline))
            return status, self._octets(size, deadline) if size <= ANSWER_LIMIT_BYTES else None
        except TimeoutError:
            raise
        except OSError as error:
            raise SpareLostError from error

    def _octets(self, size: int, deadline: float) -> bytes:
        """Return exactly as many octets."""
        kept = bytearray()
        while len(kept) < size:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._control.settimeout(left_s)
            piece = self._control.recv(min(size - len(kept), 1 << 20))
            if not piece:
                raise SpareLostError
            kept += piece
        return bytes(kept)

    def close(self) -> None:
        """End the process and whatever it started; may be called from another thread, and twice."""
        with self._closing:
            if self._process is not None and self._process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    # it leads a group, which has its id until it is waited for
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._control.close()
            shutil.rmtree(self._scratch, ignore_errors=True)


class Spares:
    """Spare processes for any number of threads: as many as were ever needed at a time; a context manager."""

    def __init__(self) -> None:
        self.forget()
        self.closed = False

    def forget(self) -> None:
        """Know of no spares: those of a process that forked are not its child's, who would hear its answers."""
        self._lock = threading.Lock()
        self._idle: list[Spare] = []
        self._busy: set[Spare] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, target: str, *, fresh: bool = False) -> Spare:
        """Return an idle spare for the target, or a new one; whoever takes one gives it back.

        Raises:
            OSError: none could be started.
        """
        with self._lock:
            known = [] if fresh else [spare for spare in self._idle if spare.target == target]
            if known:
                self._idle.remove(known[-1])
                self._busy.add(known[-1])
                return known[-1]
        spare = Spare(target)
        with self._lock:
            self._busy.add(spare)
            closed = self.closed
        if closed:
            spare.close()
        return spare

    def give_back(self, spare: Spare, *, well: bool) -> None:
        """Keep a spare whose child ended well for the next; end any other."""
        with self._lock:
            self._busy.discard(spare)
            keep = well and not self.closed
            if keep:
                self._idle.append(spare)
        if not keep:
            spare.close()

    def close(self) -> None:
        """End all spares, busy ones too: who waits for one is told that it is lost."""
        with self._lock:
            self.closed = True
            all_of_them = [*self._idle, *self._busy]
            self._idle.clear()
        for spare in all_of_them:
            spare.close()


def import_path() -> list[str]:
    """Return the folders that modules come from: those of this process, without the current one."""
    package = str(Path(__file__).resolve().parents[2])
    known = [entry for entry in sys.path if Path(entry).is_absolute()]
    return known if package in known else [package, *known]


SPARES = Spares()
"""Those of this process."""
atexit.register(SPARES.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SPARES.forget)
