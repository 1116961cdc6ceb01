"""Records to DataFrames: time zone aware times, categories, nullable integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from analyzer.sessions.accounts import Account
from analyzer.sessions.coverage import CaptureSeen
from analyzer.sessions.session import Login, Session

if TYPE_CHECKING:
    import pandas as pd

SESSION_COLUMNS = [
    "capture",
    "uid",
    "protocol",
    "tls",
    "client",
    "client_port",
    "server",
    "server_port",
    "start",
    "end",
    "first_frame",
    "last_frame",
    "conn_state",
    "sni",
    "tls_version",
    "tls_alert",
    "decrypted",
    "handshake_ms",
    "greeting_ms",
    "greeting",
    "product",
    "account",
    "mechanism",
    "outcome",
    "opened",
    "closed",
    "closed_by",
    "commands",
    "client_bytes",
    "server_bytes",
    "missed_bytes",
    "retransmits",
]
LOGIN_COLUMNS = [
    "capture",
    "session",
    "frame",
    "decided_frame",
    "time",
    "decided_time",
    "client",
    "server",
    "mechanism",
    "account",
    "domain",
    "workstation",
    "outcome",
    "code",
    "text",
    "auth_ms",
]
ACCOUNT_COLUMNS = [
    "account",
    "server",
    "protocol",
    "logins_accepted",
    "logins_refused",
    "clients",
    "clients_refused",
    "peak_open",
    "peak_open_at",
]
CAPTURE_COLUMNS = ["name", "state", "format", "packets", "start", "end", "grade", "reasons"]
QUALITY_COLUMNS = ["capture", "grade", "kind", "steps", "reason"]
GRADES = "ABCDEF"
"""Of a capture, best first."""
_TIMES = {"start", "end", "opened", "closed", "time", "decided_time", "peak_open_at"}
_CATEGORIES = {
    "capture",
    "protocol",
    "tls",
    "client",
    "server",
    "conn_state",
    "product",
    "account",
    "mechanism",
    "outcome",
    "closed_by",
    "state",
    "format",
    "kind",
}
_FLAGS = {"decrypted"}
_COUNTS = {
    "client_port", "server_port", "first_frame", "last_frame", "commands", "client_bytes", "server_bytes", "missed_bytes",
    "retransmits", "frame", "decided_frame", "logins_accepted", "logins_refused", "peak_open",
    "packets", "steps",
}  # fmt: skip


def login_row(login: Login) -> dict[str, Any]:
    """Return a login's columns; the credential is not among them."""
    decided = login.decided
    return {
        "capture": login.capture,
        "session": login.session,
        "frame": login.at.frame,
        "decided_frame": decided.frame if decided else None,
        "time": login.at.ts,
        "decided_time": decided.ts if decided else None,
        "client": login.client,
        "server": login.server,
        "mechanism": login.mechanism,
        "account": login.account,
        "domain": login.domain,
        "workstation": login.workstation,
        "outcome": str(login.outcome),
        "code": login.code,
        "text": login.text,
        "auth_ms": login.auth_ms,
    }


def session_row(session: Session) -> dict[str, Any]:
    """Return a session's columns, those of its last login among them."""
    row = {name: getattr(session, name) for name in SESSION_COLUMNS}
    row["outcome"] = str(session.outcome)
    return row


def account_row(account: Account) -> dict[str, Any]:
    """Return an account's columns; client lists become text."""
    row = {name: getattr(account, name) for name in ACCOUNT_COLUMNS}
    return row | {"clients": ", ".join(account.clients), "clients_refused": ", ".join(account.clients_refused)}


def capture_row(seen: CaptureSeen) -> dict[str, Any]:
    """Return a capture's columns; the reasons for its grade become text."""
    row = {name: getattr(seen, name) for name in CAPTURE_COLUMNS[:-2]}
    return row | {"grade": seen.quality.grade, "reasons": "; ".join(seen.quality.reasons)}


def quality_rows(seen: CaptureSeen) -> list[dict[str, Any]]:
    """Return a row for each thing a capture lacks; one without a reason where it lacks nothing."""
    quality = seen.quality
    found: list[tuple[str | None, int | None, str | None]] = [(x.kind, x.steps, x.text) for x in quality.lacks]
    found = found or [(None, None, x) for x in quality.reasons or (None,)]
    return [
        {"capture": seen.name, "grade": quality.grade, "kind": kind, "steps": steps, "reason": reason}
        for kind, steps, reason in found
    ]


def _frame(rows: Sequence[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    # as objects: None among ints would make them floats, and times inexact
    table = pd.DataFrame(list(rows), columns=columns, dtype=object)
    for name in columns:
        if name in _TIMES:
            table[name] = pd.to_datetime(table[name].astype("Int64"), unit="ns", utc=True).astype("datetime64[ns, UTC]")
        elif name in _CATEGORIES:
            table[name] = table[name].astype("category")
        elif name == "grade":
            table[name] = table[name].astype(pd.CategoricalDtype(list(GRADES), ordered=True))
        elif name in _FLAGS:
            table[name] = table[name].astype("boolean")
        elif name in _COUNTS:
            table[name] = table[name].astype("Int64")
        elif name.endswith("_ms"):
            table[name] = table[name].astype("Float64")
        else:
            table[name] = table[name].astype("string")
    return table


def session_table(sessions: Iterable[Session]) -> pd.DataFrame:
    """Return one row per session."""
    return _frame([session_row(s) for s in sessions], SESSION_COLUMNS)


def login_table(logins: Iterable[Login]) -> pd.DataFrame:
    """Return one row per login attempt."""
    return _frame([login_row(x) for x in logins], LOGIN_COLUMNS)


def account_table(rows: Iterable[Account]) -> pd.DataFrame:
    """Return one row per account and server."""
    return _frame([account_row(a) for a in rows], ACCOUNT_COLUMNS)


def capture_table(captures: Iterable[CaptureSeen]) -> pd.DataFrame:
    """Return one row per file."""
    return _frame([capture_row(x) for x in captures], CAPTURE_COLUMNS)


def quality_table(captures: Iterable[CaptureSeen]) -> pd.DataFrame:
    """Return one row per capture and thing it lacks: grade (A to F, ordered), kind, steps it costs, reason."""
    return _frame([row for x in captures for row in quality_rows(x)], QUALITY_COLUMNS)
