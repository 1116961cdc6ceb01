"""Rows of the store written and deleted: a capture, its findings, sessions, logins and files, each in a caller's transaction."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analyzer.sessions.table import LOGIN_COLUMNS, SESSION_COLUMNS
from analyzer.triage import clusters
from analyzer.triage.case import Deleted
from analyzer.triage.database import Link
from analyzer.triage.isolated import Answer
from analyzer.triage.row import conclusion, findings, is_fault, ns, rank

MOST_ROWS = 5_000
"""Sessions, and logins, kept of one capture as rows; the report document may hold more."""
TIMES = frozenset({"start", "end", "opened", "closed", "time", "decided_time"})
"""Columns of sessions and logins that are times."""
BELOW = ("files", "presences", "sessions", "logins")
"""Tables with rows of a capture, besides its findings."""

_ITEM = (
    "id", "owner", "batch", "place", "location", "path", "name", "sha256", "size_bytes", "named", "state", "submitted_ns",
    "rank", "key",
)  # fmt: skip


def insert(link: Link, values: Mapping[str, Any]) -> bool:
    """Insert a capture without an answer; False when the owner has it already."""
    names = ", ".join(_ITEM)
    marks = ", ".join(f":{name}" for name in _ITEM)
    return bool(
        link.run(
            f"""INSERT INTO captures ({names}, attempts, accounts, search) VALUES ({marks}, 0, '[]', :search)
                ON CONFLICT (owner, location, sha256) DO NOTHING""",
            {name: values[name] for name in _ITEM} | {"search": _search(values, [])},
        )
    )


def same(link: Link, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the owner's capture of the same place and content."""
    return link.rows(
        "SELECT * FROM captures WHERE owner = :owner AND location = :location AND sha256 = :sha256",
        {name: values[name] for name in ("owner", "location", "sha256")},
    )[0]


def forget_unopened(link: Link, values: Mapping[str, Any]) -> None:
    """Delete what was said of a place that could not be opened, now that it can."""
    if values["sha256"]:
        link.run(
            "DELETE FROM captures WHERE owner = :owner AND location = :location AND sha256 = '' AND location <> ''",
            {name: values[name] for name in ("owner", "location")},
        )


def place_in_batch(link: Link, values: Mapping[str, Any]) -> None:
    """Say where a capture stands in the batch that named it last."""
    link.run(
        "UPDATE captures SET batch = :batch, place = :place, path = :path, name = :name, named = :named WHERE id = :id",
        {name: values[name] for name in ("batch", "place", "path", "name", "named", "id")},
    )


def forget(link: Link, capture: str) -> None:
    """Delete what an earlier answer left."""
    clusters.leave(link, [capture])
    for table in BELOW:
        link.run(f"DELETE FROM {table} WHERE capture_id = :id", {"id": capture})


def finish(link: Link, row: Mapping[str, Any], answer: Answer, key: str | None) -> None:
    """Write the answer into a capture's row, and what it says of findings, sessions and logins into theirs."""
    found, told = findings(answer), conclusion(answer)
    first = next(filter(is_fault, found), None)
    subject = first["subject"] if first else {"accounts": [], "server": None}
    values = {
        "id": row["id"],
        "state": answer.state,
        "reason": answer.reason,
        "now": time.time_ns(),
        "key": key,
        "cause": told["cause"],
        "verdict": told["verdict"],
        "confidence": first["confidence"] if first else None,
        "rank": rank(answer.state, first["verdict"] if first else None, named=bool(row["named"])),
        "title": told["title"],
        "server": subject["server"],
        "accounts": json.dumps(subject["accounts"]),
        "start_ns": ns(first["start"]) if first else None,
        "end_ns": ns(first["end"]) if first else None,
    }
    values["search"] = _search({**row, **values}, subject["accounts"])
    link.run(
        """UPDATE captures SET state = :state, reason = :reason, finished_ns = :now, worker = NULL, key = :key,
           cause = :cause, verdict = :verdict, confidence = :confidence, rank = :rank, title = :title, server = :server,
           accounts = :accounts, start_ns = :start_ns, end_ns = :end_ns, search = :search WHERE id = :id""",
        values,
    )
    document = answer.document or {}
    _insert_findings(link, row["id"], found)
    _insert_rows(link, "sessions", SESSION_COLUMNS, row["id"], document.get("sessions", ()))
    _insert_rows(link, "logins", LOGIN_COLUMNS, row["id"], document.get("logins", ()))
    _insert_presences(link, row, document)


def faults(link: Link, capture: str) -> list[tuple[int, dict[str, Any]]]:
    """Return the findings of a capture that make incidents, with their places."""
    rows = link.rows("SELECT * FROM findings WHERE capture_id = :id ORDER BY place", {"id": capture})
    return [(row["place"], row) for row in rows if is_fault(row)]


def write_files(link: Link, capture: str, files: Mapping[str, bytes]) -> None:
    """Keep files that came of a capture."""
    link.each(
        "INSERT INTO files (capture_id, name, octets) VALUES (:capture, :name, :octets)",
        [{"capture": capture, "name": name, "octets": zlib.compress(octets, 6)} for name, octets in files.items()],
    )


def file(link: Link, capture: str, name: str) -> bytes | None:
    """Return a file that came of a capture."""
    rows = link.rows(
        "SELECT octets FROM files WHERE capture_id = :capture AND name = :name", {"capture": capture, "name": name}
    )
    return zlib.decompress(rows[0]["octets"]) if rows else None


def delete(link: Link, rows: Sequence[Mapping[str, Any]]) -> list[Deleted]:
    """Delete captures and all that came of them."""
    clusters.leave(link, [row["id"] for row in rows])
    link.each("DELETE FROM captures WHERE id = :id", [{"id": row["id"]} for row in rows])
    return [
        Deleted(row["id"], row["owner"] or None, row["sha256"] or None, row["size_bytes"], _unused(link, row["sha256"]))
        for row in rows
    ]


def _unused(link: Link, sha256: str) -> bool:
    return not link.rows("SELECT 1 AS one FROM captures WHERE sha256 = :sha256 LIMIT 1", {"sha256": sha256})


def _search(row: Mapping[str, Any], accounts: Iterable[str]) -> str:
    cause = row.get("cause") or ""
    words = (row["path"], row.get("server"), row.get("title"), cause, cause.replace("_", " "), row["sha256"], *accounts)
    return " ".join(word for word in words if word).casefold()


def _insert_findings(link: Link, capture: str, found: Iterable[Mapping[str, Any]]) -> None:
    link.each(
        """INSERT INTO findings (capture_id, place, rule, cause, verdict, confidence, severity, server, protocol, accounts,
                                 clients, start_ns, end_ns, title, summary)
           VALUES (:capture_id, :place, :rule, :cause, :verdict, :confidence, :severity, :server, :protocol, :accounts,
                   :clients, :start_ns, :end_ns, :title, :summary)""",
        [
            {
                **{
                    name: one.get(name)
                    for name in ("rule", "cause", "verdict", "confidence", "severity", "title", "summary")
                },
                **{name: one["subject"][name] for name in ("server", "protocol")},
                **{name: json.dumps(one["subject"][name]) for name in ("accounts", "clients")},
                "capture_id": capture,
                "place": place,
                "start_ns": ns(one["start"]),
                "end_ns": ns(one["end"]),
            }
            for place, one in enumerate(found)
        ],
    )


def _insert_rows(
    link: Link, table: str, columns: Sequence[str], capture: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    names = ", ".join(f'"{name}"' for name in columns)
    marks = ", ".join(f":{name}" for name in columns)
    link.each(
        f"INSERT INTO {table} (capture_id, place, {names}) VALUES (:capture_id, :place, {marks})",
        [
            {"capture_id": capture, "place": place} | {name: _value(name, row.get(name)) for name in columns}
            for place, row in enumerate(rows[:MOST_ROWS])
        ],
    )


def _value(name: str, value: Any) -> Any:
    if name in TIMES:
        return ns(value)
    return int(value) if isinstance(value, bool) else value


def _insert_presences(link: Link, row: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    seen = document.get("captures", ())
    spans = [(ns(x["start"]), ns(x["end"])) for x in seen if x.get("start") and x.get("end")]
    there = {(x["server"], x["account"]) for x in document.get("accounts", ()) if x["account"]}
    link.each(
        """INSERT INTO presences (capture_id, owner, server, account, start_ns, end_ns)
           VALUES (:capture, :owner, :server, :account, :start, :end)""",
        [
            {
                "capture": row["id"],
                "owner": row["owner"],
                "server": server,
                "account": account,
                "start": min((start for start, _ in spans if start is not None), default=None),
                "end": max((end for _, end in spans if end is not None), default=None),
            }
            for server, account in sorted(there)
        ],
    )
