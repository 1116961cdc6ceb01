"""A folder into which captures are put: each is taken when it is complete, answered, and moved to ``done`` or ``failed``.

By looking again and again: what tells of changes at once tells nothing on network shares, and the first octet of a file
besides. A file is complete when size and time of change stay the same for some seconds. Nothing is remembered outside the
folder: what still lies in it is to be done, so that whoever is killed goes on where it was. An answer is written before
its capture is moved: of what was killed in between, it is written again. One watcher per folder.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from analyzer.errors import AnalyzerError
from analyzer.report.result import UNREADABLE_STATES
from analyzer.text import clean
from analyzer.triage.batch import judged
from analyzer.triage.gather import Input, location_of
from analyzer.triage.isolated import MEMORY_MB, TIMEOUT_S
from analyzer.triage.paged import PAGE, TARGET
from analyzer.triage.pool import answers
from analyzer.triage.row import conclusion
from analyzer.triage.store import Store

STILL_S = 5.0
"""A copy over a slow network pauses for a second or two."""
EVERY_S = 1.0
"""Between two looks."""
AT_ONCE = 32
"""Files taken in one go, so that answers are not kept waiting by what came later."""
DONE, FAILED = "done", "failed"
HIDDEN = (".", "~", "#")
"""What names begin with that are none of our business."""
UNFINISHED = ("~", ".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp", ".temp", ".swp")
"""What names end with while a file is being written."""
NAME_BYTES = 200
"""Of a name, in answers: with their own endings they must not be longer than the 255 a system takes."""


class Outcome(NamedTuple):
    """What an answer comes down to."""

    state: str
    reason: str | None
    conclusion: Mapping[str, Any]
    """cause, verdict and title."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one file."""

    name: str
    """As it was called, cleaned."""
    state: str
    """ok, partial, empty, no_mail, not_a_capture, password_needed, timeout or error."""
    title: str
    """What was concluded, or the reason why nothing was."""
    verdict: str | None
    """Of the conclusion; None when there is none."""
    where: str
    """Its path in the folder by now, cleaned."""


def watch(
    folder: Path,
    *,
    tell: Callable[[Told], None],
    store: Store | None = None,
    jobs: int | None = None,
    still_s: float = STILL_S,
    timeout_s: float = TIMEOUT_S,
    memory_mb: int = MEMORY_MB,
    pause: Callable[[float], Any] = time.sleep,
) -> None:
    """Watch a folder until an exception ends it: KeyboardInterrupt, SystemExit; what runs is ended then, and done next time.

    Args:
        folder: Where captures are put; what lies in folders inside it is left alone.
        tell: Called with what became of each.
        store: Where answers go; when None, NAME.report.json and NAME.report.html go beside the capture in ``done``.
        jobs: Captures at a time; as many as processors when None.
        still_s: For how long a file must not change, in seconds.
        timeout_s: Wall-clock limit of one capture, in seconds.
        memory_mb: Memory limit of one capture, in MiB.
        pause: Waits so many seconds between two looks; raises to end it.

    Raises:
        AnalyzerError: the folder, or one of the two in it, cannot be used.
        StoreError: the store cannot be used.
    """
    for place in (folder / DONE, folder / FAILED):
        _made(place)
    limits: dict[str, Any] = {"jobs": jobs, "timeout_s": timeout_s, "memory_mb": memory_mb}
    ripening = Ripening(folder, still_s)
    while True:
        if taken := _named(folder, ripening.take()):
            with closing(_kept(taken, store, limits) if store else _written(taken, limits)) as outcomes:
                for path, outcome in outcomes:
                    tell(_moved(folder, path, taken[path], outcome))
        pause(EVERY_S)


class Ripening:
    """Which files of a folder have stopped changing."""

    def __init__(self, folder: Path, still_s: float) -> None:
        self._folder, self._still_s = folder, still_s
        self._seen: dict[Path, tuple[tuple[int, int], float]] = {}

    def take(self) -> list[Path]:
        """Look, and return the files that are complete, each once; some later when there are many."""
        now = time.monotonic()
        known, self._seen = self._seen, {}
        for path, mark in _files(self._folder):
            before, since = known.get(path, (None, now))
            self._seen[path] = (mark, since if mark == before else now)
        ripe = sorted(path for path, (_, since) in self._seen.items() if now - since >= self._still_s)[:AT_ONCE]
        for path in ripe:
            self._seen[path] = (self._seen[path][0], float("inf"))  # what cannot be moved is not taken again and again
        return ripe


def _files(folder: Path) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Yield the files of a folder that are captures put there, with what changes when they do; links are none.

    Raises:
        AnalyzerError: the folder cannot be listed.
    """
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise AnalyzerError(f"{folder} cannot be listed: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith(HIDDEN) or entry.name.lower().endswith(UNFINISHED):
            continue
        with suppress(FileNotFoundError):
            about = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(about.st_mode):
                yield Path(entry.path), (about.st_size, about.st_mtime_ns)


def _named(folder: Path, paths: Iterable[Path]) -> dict[Path, str]:
    """Return the name that each file will have: its own, or one that is free in both folders."""
    names: dict[Path, str] = {}
    for path in paths:
        own = Path(os.fsdecode(os.fsencode(path.name)[:NAME_BYTES]))
        for number in count(1):
            name = own.name if number == 1 else f"{own.stem}~{number}{own.suffix}"
            if name not in names.values() and not any(os.path.lexists(folder / x / name) for x in (DONE, FAILED)):
                names[path] = name
                break
    return names


def _kept(taken: Mapping[Path, str], store: Store, limits: Mapping[str, Any]) -> Generator[tuple[Path, Outcome]]:
    """Put answers into a store, under the place that each capture will have."""
    inputs = [
        Input(path, clean(path.name), named=False, location=location_of(path.parent / DONE / name))
        for path, name in taken.items()
    ]
    rows = judged(inputs, store, **limits).rows()
    for path, row in zip(taken, rows, strict=True):
        yield path, Outcome(row.state, row.reason, row.conclusion)


def _written(taken: Mapping[Path, str], limits: Mapping[str, Any]) -> Generator[tuple[Path, Outcome]]:
    """Write answers beside the place that each capture will have."""
    for path, answer in answers(((path, path) for path in taken), target=TARGET, **limits):
        if answer.state not in UNREADABLE_STATES and answer.document is not None:
            final = path.parent / DONE / taken[path]
            page = answer.document.pop(PAGE, "")
            _write(final, ".report.json", json.dumps(answer.document, indent=1) + "\n")
            _write(final, ".report.html", page)
        yield path, Outcome(answer.state, answer.reason, conclusion(answer))


def _moved(folder: Path, path: Path, name: str, outcome: Outcome) -> Told:
    """Move a capture to where it belongs; one that failed gets its reason beside it."""
    failed = outcome.state in UNREADABLE_STATES
    final = folder / (FAILED if failed else DONE) / name
    where = f"{final.parent.name}/{name}"
    if failed:
        _write(final, ".reason.txt", f"{outcome.state}: {outcome.reason}\n")
    try:
        path.rename(final)
    except OSError as error:
        where = f"cannot be moved: {error.strerror}"
    said = outcome.conclusion
    return Told(clean(path.name), outcome.state, str(said["title"]), said["verdict"], clean(where))


def _write(final: Path, ending: str, text: str) -> None:
    """Write what belongs to a capture, whole or not at all.

    Raises:
        AnalyzerError: it cannot be written.
    """
    part = final.with_name(f".{final.name}{ending}")
    try:
        part.write_text(text, encoding="utf-8", errors="replace")
        part.replace(final.with_name(f"{final.name}{ending}"))
    except OSError as error:
        raise AnalyzerError(f"answers cannot be written to {final.parent}: {error.strerror}") from error


def _made(place: Path) -> None:
    """Make a folder that is needed; a link to another would take captures elsewhere.

    Raises:
        AnalyzerError: it cannot be.
    """
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        raise AnalyzerError(f"{place} cannot be made: {error.strerror}") from error
    if place.is_symlink():
        raise AnalyzerError(f"{place} is a link", hint="captures are moved there: let it be a folder")
