"""Many captures: gather, look up what is known, fan out what is not, keep every answer at once, and group the same incident.

Every input gets exactly one row, whatever happens to it: a time-out, a crash and a file that is no capture are answers.
What is in the store under the same key is not looked at again, so that a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from analyzer.report.result import EXIT_FAULT, EXIT_HEALTHY, EXIT_SUSPECTED, EXIT_UNREADABLE
from analyzer.rules.finding import CLAIMS, Verdict
from analyzer.triage.baseline import Change, changes
from analyzer.triage.case import Case, Filter, Item, StoredIncident
from analyzer.triage.gather import INSIDE, Input, gather
from analyzer.triage.incidents import Incident, incidents
from analyzer.triage.isolated import MEMORY_MB, TIMEOUT_S, Answer, isolated
from analyzer.triage.isolated import TARGET as BRIEF
from analyzer.triage.pool import answers, at_once
from analyzer.triage.row import Row, conclusion, findings, key
from analyzer.triage.spares import Spares
from analyzer.triage.store import Store
from analyzer.triage.stories import join, renamed_in
from analyzer.triage.story import TARGET

NOWHERE = ":memory:"
"""A store that ends with the run."""
MOST_JOINED = 200
"""Incidents of a batch whose members are read together: the worst."""


@dataclass(frozen=True, slots=True)
class TriageResult:
    """All rows in the order of the inputs, the incidents they form, and what has changed since another time."""

    rows: tuple[Row, ...]
    incidents: tuple[Incident, ...]
    changes: tuple[Change, ...] | None = None
    """Incidents of the baseline and of now; None when there was no baseline."""

    @property
    def exit_status(self) -> int:
        """10 when a fault is claimed, else 11 when one is suspected, else 3 when some input was not read, else 0.

        What was found goes first: a damaged neighbour does not hide it. A file in a folder that is no capture is no
        failure; one that was asked for by name is. What captures prove only together counts like what one proves.
        """
        verdicts = {finding["verdict"] for row in self.rows for finding in row.faults}
        verdicts |= {incident.verdict for incident in self.incidents}
        if verdicts & CLAIMS:
            return EXIT_FAULT
        if Verdict.SUSPECTED in verdicts:
            return EXIT_SUSPECTED
        return EXIT_UNREADABLE if any(row.unread for row in self.rows) else EXIT_HEALTHY


def triage(
    paths: Iterable[Path | str],
    *,
    store: Store | Path | str = NOWHERE,
    baseline: Path | str | None = None,
    jobs: int | None = None,
    timeout_s: float = TIMEOUT_S,
    memory_mb: int = MEMORY_MB,
    progress: Callable[[Row, int, int], None] | None = None,
    options: Mapping[str, Any] | None = None,
    target: str | None = None,
    scheduler: str | None = None,
) -> TriageResult:
    """Analyse files, folders, archives and addresses, each capture in a process of its own.

    Args:
        paths: Files, folders (walked; hidden files and links to folders left out), patterns, archives (each capture of one
            that holds several is an input), and addresses that fsspec knows.
        store: Where to keep the answers; see :meth:`analyzer.triage.store.Store.open`. What is in it is not done again.
        baseline: An earlier store: its incidents are told fixed, still there, or unsettled.
        jobs: Processes at a time; as many as processors when None.
        timeout_s: Wall-clock limit of one capture, in seconds.
        memory_mb: Memory limit of one capture, in MiB.
        progress: Called as rows are done, not in order, with the row, how many are done and how many there are.
        options: Keyword arguments of :func:`analyzer.read`.
        target: What to run inside the process, see :func:`analyzer.triage.isolated.isolated`; by default what tells all that
            a store keeps, and where none stays, less.
        scheduler: Address of a Dask scheduler, such as tcp://host:8786; its workers do it, and read the same paths.

    Raises:
        StoreError: the store, or the baseline, cannot be used.
        AnalyzerError: the scheduler cannot be used.
    """
    target = target or (BRIEF if store == NOWHERE and baseline is None else TARGET)
    limits: dict[str, Any] = {"timeout_s": timeout_s, "memory_mb": memory_mb, "options": options, "target": target}
    with ExitStack() as stack:
        kept = store if isinstance(store, Store) else stack.enter_context(Store.open(store))
        before = stack.enter_context(Store.open(baseline, create=False)) if baseline is not None else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailscope-")))
        inputs = list(gather(paths, folder))
        batch = judged(inputs, kept, jobs=jobs, scheduler=scheduler, progress=progress, **limits)
        found = incidents(kept, batch.name)
        return TriageResult(batch.rows(), found, None if before is None else changes(before, kept, found, batch.name))


def judged(
    inputs: Sequence[Input],
    store: Store,
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
    progress: Callable[[Row, int, int], None] | None = None,
    options: Mapping[str, Any] | None = None,
    target: str = TARGET,
    **limits: Any,
) -> Batch:
    """Put the answers for inputs into a store, then read together what belongs together; see :func:`triage`."""
    batch = Batch(store, f"{key(options or {})} {target}", len(inputs), progress)
    ask: dict[str, Any] = {**limits, "options": options, "target": target}
    with closing(answers(batch.unknown(inputs), jobs=jobs, scheduler=scheduler, **ask)) as told:
        for sha256, answer in told:
            batch.keep(sha256, answer)
    store.tidy()
    files = {one.location: one.path for one in inputs if one.problem is None}

    def together(incident: StoredIncident, spares: Spares) -> bool:
        run = partial(isolated, spares=spares, **ask)
        return join(store, incident, lambda case: lies(case, files), run, batch.key)

    worst = store.incidents(Filter(None, batch=batch.name), limit=MOST_JOINED)
    with closing(at_once(((one.id, partial(together, one)) for one in worst), jobs)) as joined:
        for _ in joined:
            pass
    return batch


class Batch:
    """The rows of one run, as they come."""

    def __init__(self, store: Store, key: str, total: int, progress: Callable[[Row, int, int], None] | None) -> None:
        self.name, self.key = f"{time.time_ns():x}-{secrets.token_hex(4)}", key  # batches sort by time
        self._store, self._total, self._progress = store, total, progress
        self._rows: dict[int, Row] = {}
        self._waiting: dict[str, list[tuple[int, Input, Item]]] = {}

    def unknown(self, inputs: Iterable[Input]) -> Iterator[tuple[str, Path]]:
        """Yield contents to be analysed, each once: digest, and a file that has it; answer the rest."""
        for place, one in enumerate(inputs):
            item = self._item(place, one)
            if item.sha256 is None:
                self._record(place, one, item, Answer(one.state, one.problem or "cannot be read", None))
            elif item.sha256 in self._waiting:
                self._waiting[item.sha256].append((place, one, item))
            elif (known := self._store.known(item.sha256, self.key, location=item.location)) is not None:
                self._reuse(place, one, item, known)
            else:
                self._waiting[item.sha256] = [(place, one, item)]
                yield item.sha256, one.path

    def keep(self, sha256: str, answer: Answer) -> None:
        """Keep the answer for a content, for every input that has it."""
        (place, first, item), *others = self._waiting.pop(sha256)
        self._record(place, first, item, answer)
        for place, one, item in others:
            self._record(place, one, item, answer)

    def rows(self) -> tuple[Row, ...]:
        """Return the rows in the order of the inputs."""
        return tuple(self._rows[place] for place in sorted(self._rows))

    def _item(self, place: int, one: Input) -> Item:
        digest = _sha256(one.path) if one.problem is None else None
        size = one.path.stat().st_size if digest is not None else None
        return Item(one.shown, one.name, digest, size, one.location, self.name, place, one.named)

    def _reuse(self, place: int, one: Input, item: Item, known: Case) -> None:
        answer = Answer(known.state, known.reason, self._store.document(known.id, None))
        if (known.location, known.sha256) == (item.location, item.sha256):
            self._store.stand(known.id, item)
            self._tell(place, _row(one, item, answer, known.id))
        else:
            self._record(place, one, item, answer)

    def _record(self, place: int, one: Input, item: Item, answer: Answer) -> None:
        told = renamed(answer, one.name)
        self._tell(place, _row(one, item, told, self._store.record(item, told, key=self.key)))

    def _tell(self, place: int, row: Row) -> None:
        self._rows[place] = row
        if self._progress:
            self._progress(row, len(self._rows), self._total)


def renamed(answer: Answer, name: str) -> Answer:
    """Return an answer with its capture called otherwise: the same octets lie elsewhere too, or lay in a temporary file."""
    captures = (answer.document or {}).get("captures")
    old = captures[0].get("name", name).partition(INSIDE)[0] if captures else name
    return answer if old == name else replace(answer, document=renamed_in(answer.document, {old: name}))


def _row(one: Input, item: Item, answer: Answer, id: str) -> Row:
    told = (answer.state, answer.reason, conclusion(answer), findings(answer))
    return Row(one.shown, one.name, item.sha256, *told, named=one.named, id=id)


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def lies(case: Case, files: Mapping[str, Path]) -> Path | None:
    """Return the file of a capture in the store; None when it is gone or another by now."""
    path = files.get(case.location) or Path(case.location)
    return path if case.sha256 is not None and _sha256(path) == case.sha256 else None
