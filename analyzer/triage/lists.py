"""What is read of the store, each within a caller's transaction: lists with filters, counts, one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analyzer.triage.case import EVERYBODY, Filter, Owner, StoredIncident, Usage, incident_of
from analyzer.triage.clusters import NEAR_NS
from analyzer.triage.database import Link

ORDERS = {
    "worst": "rank, submitted_ns DESC, id",
    "newest": "submitted_ns DESC, id",
    "given": "batch, place, id",
}
TALLIED = frozenset({"state", "cause", "verdict"})
WORDS_LIMIT = 8
"""Words of a free text that are looked for."""
MOST_OUTLIERS = 20
"""Other incidents named beside one."""
_SAME_NAME = "theirs.kind = mine.kind AND theirs.name = mine.name AND theirs.incident_id <> mine.incident_id"
_LISTED = (
    "id, owner, batch, place, location, path, name, sha256, size_bytes, named, state, reason, submitted_ns, started_ns, "
    "finished_ns, attempts, key, cause, verdict, confidence, rank, title, server, accounts, start_ns, end_ns"
)


def captures(link: Link, wanted: Filter, order: str, limit: int, offset: int) -> list[dict[str, Any]]:
    """Return one page of the rows wanted."""
    where, values = _where(wanted)
    # Only the page's own rows are read whole: what is skipped is skipped in the index. A word that is rare would make the
    # whole table be read in the order of the index, row after row here and there; the sum keeps that from happening.
    first = ORDERS[order].replace("rank", "rank + 0").replace("submitted_ns", "submitted_ns + 0")
    return link.rows(
        f"""SELECT {_LISTED} FROM captures WHERE id IN
              (SELECT id FROM captures WHERE {where} ORDER BY {first if wanted.text else ORDERS[order]}
               LIMIT :limit OFFSET :offset)
            ORDER BY {ORDERS[order]}""",
        values | {"limit": limit, "offset": offset},
    )


def count(link: Link, wanted: Filter) -> int:
    """Return how many rows are wanted."""
    where, values = _where(wanted)
    return int(link.rows(f"SELECT COUNT(*) AS n FROM captures WHERE {where}", values)[0]["n"])


def tally(link: Link, owner: Owner, column: str) -> dict[str, int]:
    """Return how many rows there are of each value of a column."""
    if column not in TALLIED:
        raise ValueError(f"no tally of {column!r}: it is one of {', '.join(sorted(TALLIED))}")
    mine, values = _mine(owner)
    mine = mine.replace("owner =", "owner || '' =")  # so that the column's own index is read through, not row after row
    rows = link.rows(
        f"""SELECT {column} AS what, COUNT(*) AS n FROM captures WHERE {mine} AND {column} IS NOT NULL
            GROUP BY {column} ORDER BY n DESC, what""",
        values,
    )
    return {row["what"]: int(row["n"]) for row in rows}


def one(link: Link, capture: str, owner: Owner) -> dict[str, Any] | None:
    """Return a capture's row, if it is the owner's."""
    mine, values = _mine(owner)
    rows = link.rows(f"SELECT * FROM captures WHERE id = :id AND {mine}", values | {"id": capture})
    return rows[0] if rows else None


def older(
    link: Link, owner: Owner, submitted_before_ns: int, most: int, *, uploads: bool = False
) -> list[dict[str, Any]]:
    """Return rows handed in before a time that do not wait, oldest first."""
    mine, values = _mine(owner)
    return link.rows(
        f"""SELECT * FROM captures WHERE submitted_ns < :before AND state NOT IN ('queued', 'running') AND {mine}
            {"AND location = ''" if uploads else ""} ORDER BY submitted_ns LIMIT :most""",
        values | {"before": submitted_before_ns, "most": most},
    )


def usage(link: Link, owner: Owner) -> Usage:
    """Return how many captures an owner has, and their octets."""
    mine, values = _mine(owner)
    row = link.rows(
        f"SELECT COUNT(*) AS n, COALESCE(SUM(size_bytes), 0) AS size FROM captures WHERE {mine}",
        values,
    )[0]
    return Usage(int(row["n"]), int(row["size"]))


def table(link: Link, owner: Owner, name: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return all rows of sessions, logins or findings with the id and path of their capture, in the order of captures."""
    mine, values = _mine(owner)
    chosen = ", ".join(f'{name}."{column}" AS "{column}"' for column in columns)
    return link.rows(
        f"""SELECT captures.id AS id, captures.path AS path, {chosen} FROM captures
            JOIN {name} ON {name}.capture_id = captures.id
            WHERE {mine} ORDER BY captures.batch, captures.place, captures.id, {name}.place""",
        values,
    )


def incidents(link: Link, wanted: Filter, limit: int, offset: int) -> list[StoredIncident]:
    """Return one page of incidents, worst and then largest first."""
    where, values = _incidents_where(wanted)
    rows = link.rows(
        f"SELECT * FROM incidents WHERE {where} ORDER BY rank, captures DESC, start_ns DESC, id LIMIT :limit OFFSET :offset",
        values | {"limit": limit, "offset": offset},
    )
    return [incident_of(row) for row in rows]


def count_incidents(link: Link, wanted: Filter) -> int:
    """Return how many incidents are wanted."""
    where, values = _incidents_where(wanted)
    return int(link.rows(f"SELECT COUNT(*) AS n FROM incidents WHERE {where}", values)[0]["n"])


def incident(link: Link, id: str, owner: Owner) -> StoredIncident | None:
    """Return one incident, if it is the owner's."""
    mine, values = _mine(owner)
    rows = link.rows(f"SELECT * FROM incidents WHERE id = :id AND {mine}", values | {"id": id})
    return incident_of(rows[0]) if rows else None


def outliers(link: Link, of: StoredIncident) -> list[StoredIncident]:
    """Return smaller incidents, surely of another cause, at the same server and time, of accounts in common; largest first."""
    if of.server is None or of.captures < 2:
        return []
    shared = f"""id IN (SELECT theirs.incident_id FROM incident_names AS mine JOIN incident_names AS theirs
                        ON {_SAME_NAME} WHERE mine.incident_id = :id AND mine.kind = 'account')"""
    rows = link.rows(
        f"""SELECT * FROM incidents WHERE owner = :owner AND server = :server AND cause <> :cause AND captures < :captures
            AND id <> :id
            AND verdict IN ('confirmed', 'likely') AND start_ns <= :until AND end_ns >= :since
            AND {shared if of.accounts else "1 = 1"} ORDER BY captures DESC, id LIMIT :most""",
        {"cause": of.cause, "captures": of.captures, "most": MOST_OUTLIERS, **_there(of)},
    )
    return [incident_of(row) for row in rows]


def story(link: Link, of: StoredIncident) -> list[dict[str, Any]]:
    """Return members of an incident, and captures that show its accounts at its server and time; by time."""
    witnesses = """SELECT capture_id FROM presences WHERE owner = :owner AND server = :server
                   AND start_ns <= :until AND end_ns >= :since"""
    if of.accounts:
        witnesses += " AND account IN (SELECT name FROM incident_names WHERE incident_id = :id AND kind = 'account')"
    wanted = "SELECT capture_id FROM findings WHERE incident_id = :id"
    if of.server is not None:
        wanted += f" UNION {witnesses}"
    values = _there(of) if of.server is not None else {"id": of.id}
    return link.rows(f"SELECT {_LISTED} FROM captures WHERE id IN ({wanted}) ORDER BY start_ns, id", values)


def logins_there(link: Link, of: StoredIncident, batch: str) -> tuple[int, int]:
    """Return how many logins were accepted and refused, in a batch, of accounts that may be another store's."""
    accounts = {f"account{number}": name for number, name in enumerate(of.accounts)}
    named = f"AND logins.account IN ({', '.join(f':{name}' for name in accounts)})" if accounts else ""
    rows = link.rows(
        f"""SELECT logins.outcome AS outcome, COUNT(*) AS n FROM captures
            JOIN logins ON logins.capture_id = captures.id
            WHERE captures.batch = :batch AND logins.server = :server {named} GROUP BY logins.outcome""",
        {"batch": batch, "server": of.server or "", **accounts},
    )
    counts = {row["outcome"]: int(row["n"]) for row in rows}
    return counts.get("accepted", 0), counts.get("refused", 0)


def _there(of: StoredIncident) -> dict[str, Any]:
    """Return the values that ask for what happened at an incident's place."""
    return {
        "id": of.id,
        "owner": of.owner or "",
        "server": of.server,
        "since": (of.start_ns or 0) - NEAR_NS,
        "until": (of.end_ns or 0) + NEAR_NS,
    }


def _mine(owner: Owner) -> tuple[str, dict[str, Any]]:
    return ("1 = 1", {}) if owner is EVERYBODY else ("owner = :owner", {"owner": owner or ""})


def _where(wanted: Filter) -> tuple[str, dict[str, Any]]:
    parts, values = _equal(wanted, ("cause", "verdict", "batch"))
    if wanted.state == "waiting":
        parts.append("state IN ('queued', 'running')")
    elif wanted.state is not None:
        parts.append("state = :state")
        values["state"] = wanted.state
    if wanted.incident is not None:
        parts.append("id IN (SELECT capture_id FROM findings WHERE incident_id = :incident)")
        values["incident"] = wanted.incident
    return _with_text(parts, values, wanted.text)


def _incidents_where(wanted: Filter) -> tuple[str, dict[str, Any]]:
    parts, values = _equal(wanted, ("cause", "verdict"))
    if wanted.incident is not None:
        parts.append("id = :incident")
        values["incident"] = wanted.incident
    if wanted.batch is not None:
        parts.append(
            """id IN (SELECT findings.incident_id FROM captures JOIN findings ON findings.capture_id = captures.id
                      WHERE captures.batch = :batch)"""
        )
        values["batch"] = wanted.batch
    return _with_text(parts, values, wanted.text)


def _equal(wanted: Filter, names: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    mine, values = _mine(wanted.owner)
    given = {name: value for name in names if (value := getattr(wanted, name)) is not None}
    return [mine, *(f"{name} = :{name}" for name in given)], values | given


def _with_text(parts: list[str], values: Mapping[str, Any], text: str) -> tuple[str, dict[str, Any]]:
    """Add what a free text asks for: each of its words must be there."""
    words = {f"word{number}": _like(word) for number, word in enumerate(text.casefold().split()[:WORDS_LIMIT])}
    looked = [f"search LIKE :{name} ESCAPE '!'" for name in words]
    return " AND ".join([*parts, *looked]), {**values, **words}


def _like(word: str) -> str:
    for mark in "!%_":
        word = word.replace(mark, f"!{mark}")
    return f"%{word}%"
