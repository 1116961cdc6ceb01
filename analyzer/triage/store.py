"""Cases kept: captures with their answers, the queue, incidents, who did what. One class over SQLite or PostgreSQL.

Every change is one transaction: whoever is killed in the middle loses nothing that was finished. Each method that reads or
deletes says whose captures it is about (a name, None for the command line's, or ``EVERYBODY``).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from analyzer.errors import StoreError
from analyzer.text import clean
from analyzer.triage import clusters, entries, lists
from analyzer.triage.case import (
    Case,
    Deleted,
    Everybody,
    Filter,
    Item,
    Owner,
    StoredIncident,
    Submitted,
    Usage,
    case_of,
)
from analyzer.triage.database import Link, Pool, connected
from analyzer.triage.isolated import Answer
from analyzer.triage.row import WAITING_RANK

REPORT = "report.json"
"""File of a capture that holds the whole report document."""
MOST_ATTEMPTS = 3
"""Times a capture is begun: one that takes its service down with it is given up then."""
PAGE = 50
"""Rows of a list when nobody says."""
DELETE_AT_ONCE = 200
"""Rows deleted in one transaction, so that others can write in between."""


class Store:
    """Captures and what was found in them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    def open(cls, where: str | Path, *, create: bool = True) -> Store:
        """Open a store: a path (SQLite; ':memory:' for one that lasts as long as the program) or ``postgresql://...``.

        ``create``: make it when it is not there.

        Raises:
            StoreError: it is not there, is no store, or is of a newer mailscope.
        """
        if not create and "://" not in str(where) and not Path(where).is_file():
            raise StoreError(
                f"there is no store {clean(str(where), 200)}", hint="mailscope triage PATH --store makes one"
            )
        return cls(connected(where))

    def close(self) -> None:
        """Close what is idle; other threads must have ended."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- the queue

    def submit(self, item: Item, owner: str | None, *, key: str | None = None) -> Submitted:
        """Put a capture in line; one that the owner handed in before keeps its id, and its result.

        With ``key`` one whose result is of another key is put in line again.
        """
        values = _item(item, owner) | {"id": secrets.token_hex(16), "state": "queued", "rank": WAITING_RANK}
        with self._pool.transaction(writes=True) as link:
            if entries.insert(link, values | {"key": key}):
                return Submitted(values["id"], new=True)
            row = entries.same(link, values)
            if key is not None and row["key"] != key and row["state"] not in {"queued", "running"}:
                _queue_again(link, row["id"], key)
            return Submitted(row["id"], new=False)

    def take(self, worker: str) -> Case | None:
        """Take the capture that waits longest and make it ``running``; None when none waits.

        Safe with several workers, processes and machines. ``worker`` names who has it, for :meth:`put_back`.
        """
        with self._pool.transaction(writes=True) as link:
            rows = link.rows(
                "SELECT id FROM captures WHERE state = 'queued' ORDER BY submitted_ns, place, id LIMIT 1 "
                + self._pool.database.words["skip_locked"]
            )
            if not rows:
                return None
            link.run(
                """UPDATE captures SET state = 'running', worker = :worker, started_ns = :now, attempts = attempts + 1
                   WHERE id = :id""",
                {"id": rows[0]["id"], "worker": worker, "now": time.time_ns()},
            )
            return case_of(link.rows("SELECT * FROM captures WHERE id = :id", rows[0])[0])

    def finish(
        self,
        id: str,
        answer: Answer,
        *,
        worker: str | None = None,
        key: str | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> bool:
        """Keep the answer for a capture, its findings, sessions and incidents; all of it or nothing.

        Args:
            id: Of the capture.
            answer: What :func:`analyzer.triage.isolated.isolated` returned.
            worker: Who took it; if somebody else has it by now, nothing is kept.
            key: See :func:`analyzer.triage.row.key`; None leaves what was said when it was handed in.
            files: Further files that came of it, by name, such as 'report.html'.

        Returns:
            Whether it was kept: it may have been deleted, or put back and taken by another.
        """
        with self._pool.transaction(writes=True, alone=True) as link:
            rows = link.rows("SELECT * FROM captures WHERE id = :id", {"id": id})
            if not rows or (worker is not None and (rows[0]["state"], rows[0]["worker"]) != ("running", worker)):
                return False
            self._keep(link, rows[0], answer, rows[0]["key"] if key is None else key, files or {})
            return True

    def put_back(self, worker: str | None = None, *, started_before_ns: int | None = None) -> int:
        """Put captures that were ``running`` in line again, because who had them has died; return how many.

        Args:
            worker: Only those of this worker; None for all.
            started_before_ns: Only those begun before; nobody works longer than the limit of time.

        One that was begun ``MOST_ATTEMPTS`` times is given up: its state becomes ``error``.
        """
        given_up = Answer("error", f"given up: the service ended {MOST_ATTEMPTS} times while it was read", None)
        with self._pool.transaction(writes=True, alone=True) as link:
            rows = link.rows("SELECT * FROM captures WHERE state = 'running'")
            rows = [row for row in rows if worker in {None, row["worker"]}]
            rows = [row for row in rows if started_before_ns is None or row["started_ns"] < started_before_ns]
            for row in rows:
                if row["attempts"] >= MOST_ATTEMPTS:
                    self._keep(link, row, given_up, row["key"], {})
                else:
                    link.run("UPDATE captures SET state = 'queued', worker = NULL WHERE id = :id", {"id": row["id"]})
            return len(rows)

    def again(self, id: str, owner: Owner, *, key: str | None = None) -> bool:
        """Put a finished capture in line again, such as one that met a limit of time; False when there is none."""
        with self._pool.transaction(writes=True) as link:
            row = lists.one(link, id, owner)
            if row is None or row["state"] in {"queued", "running"}:
                return False
            _queue_again(link, id, key or row["key"])
            return True

    # -- a batch

    def record(self, item: Item, answer: Answer, *, key: str, owner: str | None = None) -> str:
        """Keep an input and its answer in one step, instead of an earlier answer for the same input; return its id."""
        values = _item(item, owner) | {
            "id": secrets.token_hex(16),
            "state": "running",
            "rank": WAITING_RANK,
            "key": key,
        }
        with self._pool.transaction(writes=True, alone=True) as link:
            entries.forget_unopened(link, values)
            if not entries.insert(link, values):
                values["id"] = entries.same(link, values)["id"]
                entries.place_in_batch(link, values)
            row = link.rows("SELECT * FROM captures WHERE id = :id", {"id": values["id"]})[0]
            self._keep(link, row, answer, key, {})
            return str(values["id"])

    def known(self, sha256: str, key: str, *, location: str = "", owner: str | None = None) -> Case | None:
        """Return a finished capture of the same content under the same key, whose result can be used again.

        Of several, one that lies at ``location``.
        """
        with self._pool.transaction(writes=False) as link:
            rows = link.rows(
                """SELECT * FROM captures WHERE sha256 = :sha256 AND key = :key AND owner = :owner
                   AND state NOT IN ('queued', 'running')
                   ORDER BY CASE WHEN location = :location THEN 0 ELSE 1 END, submitted_ns, id LIMIT 1""",
                {"sha256": sha256, "key": key, "location": location, "owner": owner or ""},
            )
        return case_of(rows[0]) if rows else None

    def stand(self, id: str, item: Item) -> None:
        """Say where a known capture stands in the batch that names it now."""
        with self._pool.transaction(writes=True) as link:
            entries.place_in_batch(link, _item(item, None) | {"id": id})

    # -- captures read together

    def story(self, incident: StoredIncident) -> list[Case]:
        """Return the captures that may settle an incident together.

        Its members, and those that show the same accounts at the same server and time without being refused.
        """
        with self._pool.transaction(writes=False) as link:
            return [case_of(row) for row in lists.story(link, incident)]

    def joined(self, id: str) -> str | None:
        """Return what :meth:`join` was told of the captures that were read together the last time."""
        with self._pool.transaction(writes=False) as link:
            rows = link.rows("SELECT joined_of FROM incidents WHERE id = :id", {"id": id})
        return rows[0]["joined_of"] if rows else None

    def join(self, id: str, of: str, told: Mapping[str, Any] | None) -> None:
        """Keep what captures of an incident prove together.

        Args:
            id: Of the incident.
            of: Says which captures were read, so that it need not be done again.
            told: With the joined ``finding`` of the contract, which then speaks for the incident; None when it says no
                more than each alone.
        """
        with self._pool.transaction(writes=True, alone=True) as link:
            clusters.join(link, id, of, told)

    # -- deleting

    def delete(self, id: str, owner: Owner) -> Deleted | None:
        """Delete a capture and all that came of it; None when the owner has none of this id."""
        with self._pool.transaction(writes=True, alone=True) as link:
            row = lists.one(link, id, owner)
            if row is None:
                return None
            (gone,) = entries.delete(link, [row])
            clusters.tidy(link)
            return gone

    def expire(self, submitted_before_ns: int, owner: Owner, *, uploads: bool = False) -> list[Deleted]:
        """Delete what was handed in before a time and does not wait; return what is gone.

        ``uploads``: only what lies nowhere else.
        """
        gone: list[Deleted] = []
        while True:
            with self._pool.transaction(writes=True, alone=True) as link:
                rows = lists.older(link, owner, submitted_before_ns, DELETE_AT_ONCE, uploads=uploads)
                gone += entries.delete(link, rows)
                if done := len(rows) < DELETE_AT_ONCE:
                    clusters.tidy(link)
            if done:
                return gone

    def tidy(self) -> None:
        """Build incidents anew whose captures were looked at again; deleting does so by itself."""
        with self._pool.transaction(writes=True, alone=True) as link:
            clusters.tidy(link)

    # -- reading

    def captures(self, wanted: Filter, *, limit: int = PAGE, offset: int = 0, order: str = "worst") -> list[Case]:
        """Return one page of captures; ``order`` is worst (then newest), newest, or given (as in the batch)."""
        with self._pool.transaction(writes=False) as link:
            return [case_of(row) for row in lists.captures(link, wanted, order, limit, offset)]

    def count(self, wanted: Filter) -> int:
        """Return how many captures a list has."""
        with self._pool.transaction(writes=False) as link:
            return lists.count(link, wanted)

    def tally(self, owner: Owner, column: str = "state") -> dict[str, int]:
        """Return how many captures there are of each state, cause or verdict."""
        with self._pool.transaction(writes=False) as link:
            return lists.tally(link, owner, column)

    def capture(self, id: str, owner: Owner) -> Case | None:
        """Return one capture; None when the owner has none of this id."""
        with self._pool.transaction(writes=False) as link:
            row = lists.one(link, id, owner)
        return None if row is None else case_of(row)

    def document(self, id: str, owner: Owner) -> dict[str, Any] | None:
        """Return the report document of a capture (the contract's JSON); None while there is none."""
        octets = self.file(id, REPORT, owner)
        return None if octets is None else json.loads(octets)

    def file(self, id: str, name: str, owner: Owner) -> bytes | None:
        """Return a file that came of a capture, by name."""
        with self._pool.transaction(writes=False) as link:
            if lists.one(link, id, owner) is None:
                return None
            return entries.file(link, id, name)

    def incidents(self, wanted: Filter, *, limit: int = PAGE, offset: int = 0) -> list[StoredIncident]:
        """Return one page of incidents, worst and then largest first; the filter's state does not count."""
        with self._pool.transaction(writes=False) as link:
            return lists.incidents(link, wanted, limit, offset)

    def count_incidents(self, wanted: Filter) -> int:
        """Return how many incidents a list has."""
        with self._pool.transaction(writes=False) as link:
            return lists.count_incidents(link, wanted)

    def incident(self, id: str, owner: Owner) -> StoredIncident | None:
        """Return one incident; its members: ``captures(Filter(owner, incident=id))``."""
        with self._pool.transaction(writes=False) as link:
            return lists.incident(link, id, owner)

    def outliers(self, incident: StoredIncident) -> list[StoredIncident]:
        """Return incidents of the same server, accounts and time that certainly have another cause, largest first.

        Of 500 captures that show one trouble, three may really have another: these are the three.
        """
        with self._pool.transaction(writes=False) as link:
            return lists.outliers(link, incident)

    def table(self, name: str, columns: Sequence[str], owner: Owner) -> list[dict[str, Any]]:
        """Return all rows of ``sessions``, ``logins`` or ``findings``, with id and path of their capture."""
        with self._pool.transaction(writes=False) as link:
            return lists.table(link, owner, name, columns)

    def logins_there(self, incident: StoredIncident, batch: str) -> tuple[int, int]:
        """Return how many logins of an incident's accounts at its server the captures of a batch show: accepted, refused."""
        with self._pool.transaction(writes=False) as link:
            return lists.logins_there(link, incident, batch)

    def needs(self, sha256: str) -> bool:
        """Tell whether any capture has these octets."""
        with self._pool.transaction(writes=False) as link:
            return bool(link.rows("SELECT 1 AS one FROM captures WHERE sha256 = :sha256 LIMIT 1", {"sha256": sha256}))

    def usage(self, owner: Owner) -> Usage:
        """Return how much an owner has in the store."""
        with self._pool.transaction(writes=False) as link:
            return lists.usage(link, owner)

    # -- who did what

    def note(self, who: str, what: str, *, sha256: str | None = None, capture: str | None = None) -> None:
        """Append to the audit; nothing in it is ever changed."""
        with self._pool.transaction(writes=True) as link:
            link.run(
                """INSERT INTO audit (at_ns, who, what, sha256, capture_id)
                   VALUES (:now, :who, :what, :sha256, :capture)""",
                {"now": time.time_ns(), "who": clean(who), "what": clean(what), "sha256": sha256, "capture": capture},
            )

    def audit(self, *, limit: int = PAGE, offset: int = 0) -> list[dict[str, Any]]:
        """Return what was done, latest first: at_ns, who, what, sha256, capture_id."""
        with self._pool.transaction(writes=False) as link:
            return link.rows(
                "SELECT at_ns, who, what, sha256, capture_id FROM audit ORDER BY id DESC LIMIT :limit OFFSET :offset",
                {"limit": limit, "offset": offset},
            )

    def _keep(
        self, link: Link, row: Mapping[str, Any], answer: Answer, key: str | None, files: Mapping[str, bytes]
    ) -> None:
        entries.forget(link, row["id"])
        entries.finish(link, row, answer, key)
        octets = {REPORT: json.dumps(answer.document).encode()} if answer.document is not None else {}
        entries.write_files(link, row["id"], {**octets, **files})
        clusters.add(link, row["owner"], row["id"], entries.faults(link, row["id"]))


def _item(item: Item, owner: str | None) -> dict[str, Any]:
    if isinstance(owner, Everybody) or owner == "":
        raise ValueError("a capture belongs to somebody, or to the command line (None)")
    return {
        "owner": owner or "",
        "batch": item.batch,
        "place": item.place,
        "location": item.location,
        "path": clean(item.path),
        "name": clean(item.name),
        "sha256": item.sha256 or "",
        "size_bytes": item.size_bytes,
        "named": int(item.named),
        "submitted_ns": time.time_ns(),
    }


def _queue_again(link: Link, id: str, key: str | None) -> None:
    link.run(
        "UPDATE captures SET state = 'queued', rank = :rank, attempts = 0, worker = NULL, key = :key WHERE id = :id",
        {"id": id, "key": key, "rank": WAITING_RANK},
    )
