"""The workers: threads that take captures from the store's queue and have each analysed in a process of its own.

The queue in the store is the only truth. A service that ends gracefully puts back what it was at; one that is killed
leaves it ``running``, and the next to start, or another replica, puts it back.
"""

from __future__ import annotations

import base64
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from analyzer.at import NS_PER_S
from analyzer.errors import AnalyzerError
from analyzer.service.armour import broke
from analyzer.service.child import ANALYSED, OCTETS, PROVEN
from analyzer.service.files import HOUR_S, Files
from analyzer.service.intake import KEY
from analyzer.service.settings import Limits
from analyzer.triage.batch import lies
from analyzer.triage.case import EVERYBODY, Case, Filter, Owner
from analyzer.triage.isolated import Answer, isolated
from analyzer.triage.paged import PAGE
from analyzer.triage.spares import Spares
from analyzer.triage.store import Store
from analyzer.triage.stories import join
from analyzer.triage.story import TARGET as TOGETHER

REPORT_PAGE = "report.html"
"""File of a capture in the store."""
LOOK_S = 1.0
"""How often a worker looks for captures that another replica took in."""
TIDY_S = 60.0
"""How often what was left lying is looked for."""
GRACE_S = 60.0
"""Behind the limit of an analysis; whoever is longer at it has died."""
DAY_S = 24 * HOUR_S
MOST_JOINED = 200
"""Incidents of one owner whose captures are read together: the worst."""
ENGINE = "native"
"""Captures of strangers: no other program may be started for one."""

Analyse = Callable[..., Answer]


class Works:
    """All workers of one service, and who tidies up behind them."""

    def __init__(self, store: Store, files: Files, limits: Limits, *, analyse: Analyse = isolated) -> None:
        self._store, self._files, self._limits, self._analyse = store, files, limits, analyse
        self._name = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._bell = threading.Condition()
        self._rung = 0
        self._stopping = threading.Event()
        self._spares = Spares()
        self._threads: list[threading.Thread] = []
        self._proofs = threading.Semaphore(max(1, limits.jobs))
        self._unjoined: set[Owner] = {EVERYBODY}
        self._joining = threading.Lock()
        self.tidiers: list[Callable[[], None]] = []
        """What else is to be done now and then."""

    def start(self, *, alone: bool) -> None:
        """Begin; ``alone``: no other service uses this store, so that whatever is ``running`` was left by a dead one."""
        if alone:
            self._store.put_back()
        names = [f"{self._name}:{number}" for number in range(self._limits.jobs)]
        self._threads = [threading.Thread(target=self._work, args=(name,), name=name, daemon=True) for name in names]
        self._threads.append(threading.Thread(target=self._tidy, name="tidy", daemon=True))
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Say that there is something in the queue."""
        with self._bell:
            self._rung += 1
            self._bell.notify_all()

    def stop(self) -> None:
        """End, at once: what is being analysed goes back into the queue."""
        self._stopping.set()
        self.wake()
        self._spares.close()
        for thread in self._threads:
            thread.join(GRACE_S)
        for thread in self._threads[:-1]:
            self._store.put_back(thread.name)

    def proof(self, case: Case) -> bytes | None:
        """Return the frames that prove a capture's findings, as pcapng; None when there are none."""
        if not case.sha256:
            return None
        with self._proofs:
            answer = self._isolated(self._files.blob(case.sha256), PROVEN, {})
        return base64.b64decode(answer.document[OCTETS]) if answer.document else None

    def _work(self, worker: str) -> None:
        while not self._stopping.is_set():
            rung = self._rung
            try:
                case = self._store.take(worker)
                if case is not None:
                    self._do(case, worker)
            except Exception as error:  # noqa: BLE001 (a store that is away for a while must not end the worker)
                broke("a worker", error)
                case = None
            if case is None and not self._join(rung):
                self._wait(rung)

    def _wait(self, rung: int) -> None:
        with self._bell:
            self._bell.wait_for(lambda: self._rung != rung or self._stopping.is_set(), LOOK_S)

    def _do(self, case: Case, worker: str) -> None:
        answer = self._answer(case)
        if self._stopping.is_set() and answer.document is None:
            return  # it was killed for that, and is put back
        page = (answer.document or {}).pop(PAGE, None)
        self._store.finish(case.id, answer, worker=worker, key=KEY, files={REPORT_PAGE: page.encode()} if page else {})
        self._unjoined.add(case.owner)

    def _join(self, rung: int) -> bool:
        """While nothing waits, read captures of one incident together where none proves it alone; tell if anything was done.

        One worker at a time does it, and stops when a capture comes.
        """
        if not self._unjoined or not self._joining.acquire(blocking=False):
            return False
        try:
            owner = self._unjoined.pop()
            for incident in self._store.incidents(Filter(owner), limit=MOST_JOINED):
                if self._rung != rung or self._stopping.is_set():
                    self._unjoined.add(owner)
                    return True
                join(self._store, incident, self._lies, self._together, KEY)
        except InterruptedError:
            pass  # it is done at the next start
        except Exception as error:  # noqa: BLE001 (as above)
            broke("reading captures together", error)
        finally:
            self._joining.release()
        return True

    def _lies(self, case: Case) -> Path | None:
        """Return the file of a capture, None when it is gone."""
        if case.location:
            return lies(case, {})
        path = self._files.blob(case.sha256 or "")
        return path if path.is_file() else None

    def _together(self, paths: list[Path]) -> Answer:
        answer = self._isolated(paths, TOGETHER, {})
        if self._stopping.is_set() and answer.document is None:
            raise InterruptedError
        return answer

    def _answer(self, case: Case) -> Answer:
        path = Path(case.location) if case.location else self._files.blob(case.sha256 or "")
        if not path.is_file():
            return Answer("error", "its octets are gone; upload it again", None)
        return self._isolated(path, ANALYSED, {"name": case.name})

    def _isolated(self, path: Path | list[Path], target: str, options: dict[str, str]) -> Answer:
        limits = self._limits
        return self._analyse(
            path,
            timeout_s=limits.timeout_s,
            memory_mb=limits.memory_mb,
            options=options | {"engine": ENGINE},
            target=target,
            spares=self._spares,
        )

    def _tidy(self) -> None:
        """Look after what was left lying, until the end."""
        expired_at = float("-inf")
        while not self._stopping.is_set():
            try:
                limit_s = self._limits.timeout_s + GRACE_S
                self._store.put_back(started_before_ns=time.time_ns() - int(limit_s * NS_PER_S))
                for tidier in self.tidiers:
                    tidier()
                if time.monotonic() - expired_at > HOUR_S:
                    expired_at = time.monotonic()
                    self.expire()
            except (AnalyzerError, OSError) as error:
                broke("tidying up", error)
            self._stopping.wait(TIDY_S)

    def expire(self) -> None:
        """Delete captures whose days are over, and octets that no capture has."""
        if self._limits.keep_days:
            before = time.time_ns() - int(self._limits.keep_days * DAY_S * NS_PER_S)
            for gone in self._store.expire(before, EVERYBODY, uploads=True):
                self._store.note("retention", "delete", sha256=gone.sha256, capture=gone.id)
        for sha256 in self._files.strays(HOUR_S):
            with self._files.settling:
                if not self._store.needs(sha256):
                    self._files.forget(sha256)
