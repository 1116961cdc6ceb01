"""Many captures: walk, fan out, keep the order of the inputs, and group what is the same incident.

Every input gets exactly one row, whatever happens to it: a time-out, a crash and a file that is no capture are answers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.report.result import EXIT_FAULT, EXIT_HEALTHY, EXIT_SUSPECTED, EXIT_UNREADABLE, UNREADABLE_STATES
from analyzer.rules.finding import CLAIMS, Verdict
from analyzer.text import clean
from analyzer.triage.incidents import Incident, incidents, is_fault
from analyzer.triage.isolated import MEMORY_MB, TARGET, TIMEOUT_S, Answer
from analyzer.triage.pool import answers


@dataclass(frozen=True, slots=True)
class Input:
    """One file to look at, or a path that cannot be."""

    path: Path
    shown: str
    """Relative to what was asked for, cleaned."""
    named: bool
    """Asked for by name, not found in a folder."""
    problem: str | None = None
    """Why it cannot even be opened."""


@dataclass(frozen=True, slots=True)
class Row:
    """The answer for one input."""

    path: str
    """Relative to what was asked for."""
    name: str
    sha256: str | None
    """Of the file as it lies there; None when it could not be opened."""
    state: str
    """ok, partial, empty, no_mail, not_a_capture, password_needed, timeout or error."""
    reason: str | None
    """One sentence when the state is not ok."""
    conclusion: dict[str, Any]
    """cause, verdict and title."""
    findings: tuple[dict[str, Any], ...]
    """As in the report contract."""
    named: bool = True
    """Asked for by name, not found in a folder."""

    @property
    def faults(self) -> tuple[dict[str, Any], ...]:
        """The findings that say something is wrong, or may be, best first."""
        return tuple(finding for finding in self.findings if is_fault(finding))

    @property
    def unread(self) -> bool:
        """Nothing of it could be read, though it should; a file in a folder that is no capture is no failure."""
        return self.state in UNREADABLE_STATES and (self.named or self.state != "not_a_capture")


@dataclass(frozen=True, slots=True)
class TriageResult:
    """All rows in the order of the inputs, and the incidents they form."""

    rows: tuple[Row, ...]
    incidents: tuple[Incident, ...]

    @property
    def exit_status(self) -> int:
        """10 when a fault is claimed, else 11 when one is suspected, else 3 when some input was not read, else 0.

        What was found goes first: a damaged neighbour does not hide it. A file in a folder that is no capture is no
        failure; one that was asked for by name is.
        """
        verdicts = {finding["verdict"] for row in self.rows for finding in row.faults}
        if verdicts & CLAIMS:
            return EXIT_FAULT
        if Verdict.SUSPECTED in verdicts:
            return EXIT_SUSPECTED
        return EXIT_UNREADABLE if any(row.unread for row in self.rows) else EXIT_HEALTHY


def triage(
    paths: Iterable[Path | str],
    *,
    jobs: int | None = None,
    timeout_s: float = TIMEOUT_S,
    memory_mb: int = MEMORY_MB,
    progress: Callable[[Row, int, int], None] | None = None,
    options: Mapping[str, Any] | None = None,
    target: str = TARGET,
    scheduler: str | None = None,
) -> TriageResult:
    """Analyse files and whole folders, each capture in a process of its own.

    Args:
        paths: Files and folders; folders are walked, hidden files and links to folders left out.
        jobs: Processes at a time; as many as processors when None.
        timeout_s: Wall-clock limit of one capture, in seconds.
        memory_mb: Memory limit of one capture, in MiB.
        progress: Called as rows are done, not in order, with the row, how many are done and how many there are.
        options: Keyword arguments of :func:`analyzer.read`.
        target: What to run inside the process; see :func:`analyzer.triage.isolated.isolated`.
        scheduler: Address of a Dask scheduler, such as tcp://host:8786; its workers do it, and read the same paths.
    """
    inputs = [one for path in paths for one in found(Path(path))]
    rows: dict[int, Row] = {}

    def tell(place: int, told: Answer | str) -> None:
        rows[place] = row(inputs[place], told)
        if progress:
            progress(rows[place], len(rows), len(inputs))

    for place, one in enumerate(inputs):
        if one.problem:
            tell(place, one.problem)
    limits: dict[str, Any] = {"timeout_s": timeout_s, "memory_mb": memory_mb, "options": options, "target": target}
    captures = ((place, one.path) for place, one in enumerate(inputs) if not one.problem)
    with closing(answers(captures, jobs=jobs, scheduler=scheduler, **limits)) as told:
        for place, answer in told:
            tell(place, answer)
    ordered = tuple(rows[place] for place in range(len(inputs)))
    return TriageResult(ordered, incidents((entry.path, entry.findings) for entry in ordered))


def found(path: Path) -> Iterator[Input]:
    """Yield the path itself, or every regular file of the folder, sorted; what cannot be opened is told, not dropped."""
    if path.is_dir():
        yield from _walked(path)
    elif path.is_file():
        yield Input(path, clean(path.name), named=True)
    else:
        problem = "not a regular file" if path.exists() else "no such file"
        yield Input(path, clean(path.name or str(path)), named=True, problem=problem)


def _walked(folder: Path) -> Iterator[Input]:
    refused: list[OSError] = []
    for here, folders, names in os.walk(folder, onerror=refused.append):  # links to folders are not followed: no loops
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if not name.startswith(".") and path.is_file():
                yield Input(path, clean(path.relative_to(folder).as_posix()), named=False)
    for error in refused:
        path = Path(error.filename)
        shown = clean(path.relative_to(folder).as_posix())
        yield Input(path, shown, named=True, problem=f"folder could not be listed: {error.strerror}")


def row(one: Input, answer: Answer | str) -> Row:
    """Return the row of an input: what was answered, or why it could not even be asked."""
    told = Answer("error", answer, None) if isinstance(answer, str) else answer
    document = told.document or {}
    conclusion = {"cause": "unreadable", "verdict": None, "title": told.reason or told.state}
    return Row(
        path=one.shown,
        name=clean(one.path.name),
        sha256=_sha256(one.path) if one.problem is None else None,
        state=told.state,
        reason=told.reason,
        conclusion=document.get("conclusion", conclusion),
        findings=tuple(document.get("findings", ())),
        named=one.named,
    )


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
