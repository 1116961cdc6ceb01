"""A store in a notebook: its captures, incidents, findings, sessions and logins as DataFrames, and any report in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.errors import StoreError
from analyzer.report.layout import percent
from analyzer.sessions.table import LOGIN_COLUMNS, SESSION_COLUMNS
from analyzer.text import clean
from analyzer.triage.case import EVERYBODY, Case, Filter, Owner
from analyzer.triage.entries import TIMES
from analyzer.triage.row import is_fault
from analyzer.triage.store import Store
from analyzer.triage.table import words

if TYPE_CHECKING:
    import pandas as pd

MOST = 1_000_000
"""Rows in a table: as many as fit a notebook."""
SHOWN = 12
"""Captures, and incidents, printed."""
EVIDENCE_SHOWN = 6
"""Facts printed with a finding."""

CAPTURE_COLUMNS = (
    "id", "owner", "batch", "place", "path", "name", "sha256", "size_bytes", "state", "reason", "cause", "verdict",
    "confidence", "title", "server", "accounts", "start", "end", "submitted", "finished",
)  # fmt: skip
INCIDENT_COLUMNS = (
    "id", "owner", "cause", "verdict", "confidence", "title", "server", "accounts", "start", "end", "captures", "clients",
    "together",
)  # fmt: skip
FINDING_COLUMNS = (
    "rule", "cause", "verdict", "confidence", "severity", "server", "protocol", "accounts", "clients", "start_ns", "end_ns",
    "title", "summary", "incident_id",
)  # fmt: skip
_CATEGORIES = frozenset({
    "owner", "state", "cause", "verdict", "server", "protocol", "tls", "client", "conn_state", "product", "account",
    "mechanism", "outcome", "closed_by", "rule", "severity",
})  # fmt: skip
_TIMES = TIMES | {"submitted", "finished"}
_NUMBERS = frozenset({
    "place", "size_bytes", "captures", "clients", "client_port", "server_port", "first_frame", "last_frame", "commands",
    "client_bytes", "server_bytes", "missed_bytes", "retransmits", "frame", "decided_frame",
})  # fmt: skip
_FLAGS = frozenset({"decrypted", "together"})
_COLOURS = {"confirmed": "#d1242f", "likely": "#b35900", "suspected": "#9a6700"}
"""Legible on the white and on the black of a notebook."""


class Report:
    """What was found in one capture; prints well as text and in a notebook."""

    def __init__(self, case: Case, document: Mapping[str, Any] | None) -> None:
        self.case = case
        """The capture's row."""
        self.document = document
        """The whole report, as ``mailscope report --format json`` gives it; None when there is none."""

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The faults, best first, as in the report."""
        return [one for one in (self.document or {}).get("findings", ()) if is_fault(one)]

    def __repr__(self) -> str:
        head = f"{self.case.path}: {self.case.reason or self.case.title or self.case.state}"
        return "\n".join([head, *(text for one in self.findings for text in _told(one))])

    def _repr_html_(self) -> str:
        body = "".join(
            f'<p><b style="color:{_COLOURS[one["verdict"]]}">{escape(one["verdict"].upper())}</b> '
            f"({percent(one['confidence'])}) <b>{escape(one['title'])}</b><br>{escape(one['summary'])}</p>"
            f"<ul>{''.join(f'<li>{escape(text.strip())}</li>' for text in list(_told(one))[1:])}</ul>"
            for one in self.findings
        )
        said = escape(self.case.reason or self.case.title or self.case.state)
        return f'<div style="border-left:4px solid #888;padding-left:1em">{escape(self.case.path)}: {said}{body}</div>'


class Cases:
    """All that a store holds, read when it is asked for; prints well as text and in a notebook."""

    def __init__(self, store: Store, owner: Owner) -> None:
        self._store, self._owner = store, owner

    @cached_property
    def captures(self) -> pd.DataFrame:
        """One row per capture, worst first."""
        cases = self._store.captures(Filter(self._owner), limit=MOST)
        rows = [
            {name: getattr(case, name, None) for name in CAPTURE_COLUMNS}
            | {"accounts": ", ".join(case.accounts), "start": case.start_ns, "end": case.end_ns}
            | {"submitted": case.submitted_ns, "finished": case.finished_ns}
            for case in cases
        ]
        return _frame(rows, CAPTURE_COLUMNS)

    @cached_property
    def incidents(self) -> pd.DataFrame:
        """One row per incident, worst first; ``together``: it rests on several captures read as one."""
        rows = [
            {name: getattr(one, name, None) for name in INCIDENT_COLUMNS}
            | {"accounts": ", ".join(one.accounts), "start": one.start_ns, "end": one.end_ns}
            | {"together": one.joined is not None}
            for one in self._store.incidents(Filter(self._owner), limit=MOST)
        ]
        return _frame(rows, INCIDENT_COLUMNS)

    @cached_property
    def findings(self) -> pd.DataFrame:
        """One row per finding of a capture; ``incident_id`` leads to its incident."""
        import json

        rows = self._store.table("findings", FINDING_COLUMNS, self._owner)
        for row in rows:
            row |= {name: ", ".join(json.loads(row[name])) for name in ("accounts", "clients")}
            row |= {"start": row.pop("start_ns"), "end": row.pop("end_ns")}
        return _frame(
            rows, ("id", "path", *(name.removesuffix("_ns") for name in FINDING_COLUMNS)), {"clients": "string"}
        )

    @cached_property
    def sessions(self) -> pd.DataFrame:
        """One row per mail session of every capture."""
        return _frame(self._store.table("sessions", SESSION_COLUMNS, self._owner), ("id", "path", *SESSION_COLUMNS))

    @cached_property
    def logins(self) -> pd.DataFrame:
        """One row per login attempt of every capture."""
        return _frame(self._store.table("logins", LOGIN_COLUMNS, self._owner), ("id", "path", *LOGIN_COLUMNS))

    def report(self, id: str) -> Report:
        """Return what was found in one capture, named by its id or its path.

        Raises:
            StoreError: there is none of this name, or several.
        """
        case = self._store.capture(id, self._owner)
        if case is None:
            hits = [one for one in self._store.captures(Filter(self._owner), limit=MOST) if one.path == id]
            if len(hits) != 1:
                many = "several captures are" if hits else "no capture is"
                raise StoreError(f"{many} called {clean(id, 100)}", hint="take the id from .captures")
            case = hits[0]
        return Report(case, self._store.document(case.id, self._owner))

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def __repr__(self) -> str:
        captures, incidents = self._counts()
        found = self._store.incidents(Filter(self._owner), limit=SHOWN)
        lines = (f"{x.verdict:<10} {percent(x.confidence):>4}  {x.title}  (captures: {x.captures})" for x in found)
        return "\n".join([f"{captures} captures, {incidents} incidents", *lines])

    def _repr_html_(self) -> str:
        captures, incidents = self._counts()
        rows = "".join(
            f'<tr><td><b style="color:{_COLOURS[one.verdict]}">{escape(one.verdict.upper())}</b></td>'
            f"<td>{percent(one.confidence)}</td><td>{escape(words(one.cause))}</td>"
            f'<td style="text-align:left">{escape(one.title)}</td><td>{one.captures}</td></tr>'
            for one in self._store.incidents(Filter(self._owner), limit=SHOWN)
        )
        head = "<tr><th>verdict</th><th>sure</th><th>cause</th><th>incident</th><th>captures</th></tr>"
        return f"<div><b>{captures}</b> captures, <b>{incidents}</b> incidents<table>{head}{rows}</table></div>"

    def _counts(self) -> tuple[int, int]:
        wanted = Filter(self._owner)
        return self._store.count(wanted), self._store.count_incidents(wanted)


def cases(where: str | Path, *, owner: Owner = EVERYBODY) -> Cases:
    """Open a store that ``mailscope triage --store`` or a service made; ``where`` is its path or URL.

    Raises:
        StoreError: it is not there, is no store, or is of a newer mailscope.
    """
    return Cases(Store.open(where, create=False), owner)


def _told(finding: Mapping[str, Any]) -> Iterable[str]:
    yield f"{finding['verdict'].upper():<10} {percent(finding['confidence']):>4}  {finding['title']}"
    for fact in finding["evidence"][:EVIDENCE_SHOWN]:
        frames = ", ".join(str(x["frame"]) for x in fact["frames"][:EVIDENCE_SHOWN])
        yield f"    {fact['text']}" + (f" (frames {frames})" if frames else "")


def _frame(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], kinds: Mapping[str, str] | None = None
) -> pd.DataFrame:
    import pandas as pd

    # as objects: None among ints would make them floats, and times inexact
    table = pd.DataFrame([[row[name] for name in columns] for row in rows], columns=list(columns), dtype=object)
    for name in columns:
        if name in _TIMES:
            table[name] = pd.to_datetime(table[name].astype("Int64"), unit="ns", utc=True).astype("datetime64[ns, UTC]")
        else:
            kind: Any = (kinds or {}).get(name) or _kind(name)
            table[name] = table[name].astype(kind)
    return table


def _kind(name: str) -> str:
    if name in _CATEGORIES:
        return "category"
    if name in _NUMBERS:
        return "Int64"
    if name in _FLAGS:
        return "boolean"
    return "Float64" if name == "confidence" or name.endswith("_ms") else "string"
