"""The same incident seen in several captures, as one: same cause, same server, accounts in common, near in time.

Incidents grow with every capture that is finished, inside the same transaction. Two are one when their spans are near and
they have an account in common, or name none at all; a finding that links two makes them one. What is near stays near when
an incident grows, so that the order in which captures come makes no difference.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analyzer.at import NS_PER_S
from analyzer.triage.database import Link
from analyzer.triage.row import VERDICT_RANK

NEAR_NS = 30 * 60 * NS_PER_S
"""Exchange keeps an idle session for 30 minutes: after a longer quiet no slot is still held by the earlier incident."""
MOST_NAMES = 50
"""Accounts and clients written in an incident's row; all of them lie beside it."""

_FIELDS = (
    "id, owner, cause, server, verdict, confidence, rank, title, start_ns, end_ns, captures, clients, accounts, nameless, "
    "search, joined_of, joined"
)
_GROWS = (
    "verdict", "confidence", "rank", "title", "start_ns", "end_ns", "captures", "clients", "accounts", "search", "joined",
)  # fmt: skip


def add(link: Link, owner: str, capture_id: str, faults: Iterable[tuple[int, dict[str, Any]]]) -> None:
    """Put each fault of a capture (place among its findings, columns of the table) into its incident, or a new one."""
    for place, fault in faults:
        accounts, clients = json.loads(fault["accounts"]), set(json.loads(fault["clients"]))
        mine = _new(owner, fault, accounts, len(clients))
        _insert(link, mine)
        _name(link, mine["id"], "account", accounts)
        _name(link, mine["id"], "client", clients)
        link.run(
            "UPDATE findings SET incident_id = :incident WHERE capture_id = :capture AND place = :place",
            {"incident": mine["id"], "capture": capture_id, "place": place},
        )
        settle(link, mine)


def settle(link: Link, mine: dict[str, Any]) -> str:
    """Make one of an incident (a row of the table) and all that are the same trouble; return its id."""
    while other := _alike(link, mine):
        mine = _merge(link, *sorted((mine, other), key=lambda one: -one["captures"]))
    return str(mine["id"])


def leave(link: Link, captures: Sequence[str]) -> None:
    """Take captures out of their incidents; those that lose a member but not all wait for :func:`tidy`."""
    touched: set[str] = set()
    for capture in captures:
        values = {"capture": capture}
        rows = link.rows("SELECT DISTINCT incident_id FROM findings WHERE capture_id = :capture", values)
        mine = [row["incident_id"] for row in rows if row["incident_id"]]
        link.run("DELETE FROM findings WHERE capture_id = :capture", values)
        link.each("UPDATE incidents SET captures = captures - 1, tidy = 0 WHERE id = :id", [{"id": x} for x in mine])
        touched.update(mine)
    link.each("DELETE FROM incidents WHERE id = :id AND captures <= 0", [{"id": x} for x in touched])


def tidy(link: Link) -> None:
    """Build incidents that lost members anew: they may be smaller, weaker, or no longer one."""
    for incident in link.rows(f"SELECT {_FIELDS} FROM incidents WHERE tidy = 0"):
        _rebuild(link, incident)


def join(link: Link, incident: str, of: str, told: Mapping[str, Any] | None) -> None:
    """Let what captures prove together speak for their incident; it may turn out to be one with another then."""
    link.run("UPDATE incidents SET joined_of = :of WHERE id = :id", {"id": incident, "of": of})
    rows = link.rows(f"SELECT {_FIELDS} FROM incidents WHERE id = :id", {"id": incident})
    if told is None or not rows:
        return
    finding = told["finding"]
    whole = {
        **rows[0],
        **{name: finding[name] for name in ("cause", "verdict", "confidence", "title")},
        "rank": VERDICT_RANK[finding["verdict"]],
        "search": _search(finding["title"], rows[0]["server"], finding["cause"], json.loads(rows[0]["accounts"])),
        "joined": json.dumps(told),
    }
    link.run(
        """UPDATE incidents SET cause = :cause, verdict = :verdict, confidence = :confidence, rank = :rank, title = :title,
           search = :search, joined = :joined WHERE id = :id""",
        whole,
    )
    settle(link, whole)


def _rebuild(link: Link, incident: dict[str, Any]) -> None:
    found = link.rows("SELECT * FROM findings WHERE incident_id = :id ORDER BY start_ns, capture_id, place", incident)
    groups = sorted(_grouped(found), key=len, reverse=True)
    link.run("DELETE FROM incidents WHERE id = :id", incident)  # sets its findings free
    for number, group in enumerate(groups):
        made = _of(incident["owner"], group)
        if number == 0:
            made["id"] = incident["id"]
        _insert(link, made)
        for kind in ("account", "client"):
            _name(link, made["id"], kind, {name for one in group for name in json.loads(one[f"{kind}s"])})
        link.each(
            "UPDATE findings SET incident_id = :incident WHERE capture_id = :capture_id AND place = :place",
            [{"incident": made["id"], "capture_id": one["capture_id"], "place": one["place"]} for one in group],
        )


def _grouped(found: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return findings, in order of time, in groups that are one trouble each."""
    groups: list[tuple[int, int, set[str], list[dict[str, Any]]]] = []
    for one in found:
        mine = (one["start_ns"] or 0, one["end_ns"] or 0, set(json.loads(one["accounts"])), [one])
        while alike := next((x for x in groups if _one_trouble(x, mine)), None):
            groups.remove(alike)
            mine = (min(alike[0], mine[0]), max(alike[1], mine[1]), alike[2] | mine[2], alike[3] + mine[3])
        groups.append(mine)
    return [group[3] for group in groups]


def _one_trouble(a: tuple[int, int, set[str], Any], b: tuple[int, int, set[str], Any]) -> bool:
    near = a[0] <= b[1] + NEAR_NS and b[0] <= a[1] + NEAR_NS
    return near and (bool(a[2] & b[2]) or not (a[2] or b[2]))


def _of(owner: str, group: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the incident of a group of findings."""
    best = min(
        group, key=lambda one: (VERDICT_RANK[one["verdict"]], -(one["confidence"] or 0), _start(one), one["title"])
    )
    accounts = {name for one in group for name in json.loads(one["accounts"])}
    clients = {name for one in group for name in json.loads(one["clients"])}
    return _new(owner, best, sorted(accounts), len(clients)) | {
        "start_ns": min((one["start_ns"] for one in group), key=lambda x: x or 0),
        "end_ns": max((one["end_ns"] for one in group), key=lambda x: x or 0),
        "captures": len({one["capture_id"] for one in group}),
    }


def _new(owner: str, fault: dict[str, Any], accounts: Sequence[str], clients: int) -> dict[str, Any]:
    return {
        "id": secrets.token_hex(8),
        "owner": owner,
        "cause": fault["cause"],
        "server": fault["server"],
        "verdict": fault["verdict"],
        "confidence": fault["confidence"] or 0.0,
        "rank": VERDICT_RANK[fault["verdict"]],
        "title": fault["title"],
        "start_ns": fault["start_ns"],
        "end_ns": fault["end_ns"],
        "captures": 1,
        "clients": clients,
        "accounts": json.dumps(sorted(accounts)[:MOST_NAMES]),
        "nameless": int(not accounts),
        "search": _search(fault["title"], fault["server"], fault["cause"], sorted(accounts)),
        "joined_of": None,
        "joined": None,
    }


def _search(title: str, server: str | None, cause: str, accounts: Sequence[str]) -> str:
    return " ".join([title, server or "", cause, cause.replace("_", " "), *accounts[:MOST_NAMES]]).casefold()


def _insert(link: Link, incident: dict[str, Any]) -> None:
    marks = ", ".join(f":{name.strip()}" for name in _FIELDS.split(","))
    link.run(f"INSERT INTO incidents ({_FIELDS}) VALUES ({marks})", incident)


def _name(link: Link, incident: str, kind: str, names: Iterable[str]) -> None:
    link.each(
        "INSERT INTO incident_names (incident_id, kind, name) VALUES (:incident, :kind, :name) ON CONFLICT DO NOTHING",
        [{"incident": incident, "kind": kind, "name": name} for name in names],
    )


def _alike(link: Link, mine: dict[str, Any]) -> dict[str, Any] | None:
    """Return another incident that is the same trouble."""
    shared = """EXISTS (SELECT 1 FROM incident_names AS mine JOIN incident_names AS theirs
                        ON theirs.kind = mine.kind AND theirs.name = mine.name
                        WHERE mine.incident_id = :id AND mine.kind = 'account' AND theirs.incident_id = incidents.id)"""
    server = "server IS NULL" if mine["server"] is None else "server = :server"
    rows = link.rows(
        f"""SELECT {_FIELDS} FROM incidents
            WHERE owner = :owner AND {server} AND cause = :cause AND id <> :id AND nameless = :nameless
            AND COALESCE(start_ns, 0) <= :until AND COALESCE(end_ns, 0) >= :since AND {"1 = 1" if mine["nameless"] else shared}
            ORDER BY start_ns, id LIMIT 1""",
        {
            **{name: mine[name] for name in ("id", "owner", "cause", "nameless")},
            **({} if mine["server"] is None else {"server": mine["server"]}),
            "since": (mine["start_ns"] or 0) - NEAR_NS,
            "until": (mine["end_ns"] or 0) + NEAR_NS,
        },
    )
    return rows[0] if rows else None


def _merge(link: Link, kept: dict[str, Any], gone: dict[str, Any]) -> dict[str, Any]:
    """Make one incident of two: the stronger speaks for both. The work grows with the smaller one."""
    ids = {"kept": kept["id"], "gone": gone["id"]}
    shared = link.rows(
        """SELECT COUNT(*) AS n FROM (SELECT DISTINCT capture_id FROM findings WHERE incident_id = :gone) AS theirs
           WHERE EXISTS (SELECT 1 FROM findings WHERE incident_id = :kept AND findings.capture_id = theirs.capture_id)""",
        ids,
    )[0]["n"]
    link.run("UPDATE findings SET incident_id = :kept WHERE incident_id = :gone", ids)
    added = {kind: _named_alike(link, ids, kind) for kind in ("account", "client")}
    link.run("DELETE FROM incidents WHERE id = :gone", ids)
    best = min(kept, gone, key=lambda one: (one["rank"], -one["confidence"], _start(one), one["title"]))
    accounts = _accounts(link, kept["id"]) if added["account"] else json.loads(kept["accounts"])
    whole = {
        **best,
        "id": kept["id"],
        "start_ns": min(kept["start_ns"], gone["start_ns"], key=lambda x: x or 0),
        "end_ns": max(kept["end_ns"], gone["end_ns"], key=lambda x: x or 0),
        "captures": kept["captures"] + gone["captures"] - shared,
        "clients": kept["clients"] + added["client"],
        "accounts": json.dumps(accounts),
        "search": _search(best["title"], best["server"], best["cause"], accounts),
    }
    changed = ", ".join(f"{name} = :{name}" for name in _GROWS)
    link.run(f"UPDATE incidents SET {changed} WHERE id = :id", whole)
    return whole


def _named_alike(link: Link, ids: dict[str, str], kind: str) -> int:
    """Give the names of one incident to another; return how many it did not have."""
    return link.run(
        """INSERT INTO incident_names (incident_id, kind, name)
           SELECT :kept, kind, name FROM incident_names WHERE incident_id = :gone AND kind = :kind ON CONFLICT DO NOTHING""",
        {**ids, "kind": kind},
    )


def _accounts(link: Link, incident: str) -> list[str]:
    rows = link.rows(
        "SELECT name FROM incident_names WHERE incident_id = :id AND kind = 'account' ORDER BY name LIMIT :most",
        {"id": incident, "most": MOST_NAMES},
    )
    return [row["name"] for row in rows]


def _start(one: dict[str, Any]) -> int:
    return int(one["start_ns"] or 0)
