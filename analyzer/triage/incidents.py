"""Incidents as a triage tells them: with their members, who else was hit, and what really was something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analyzer.report.model import rfc3339
from analyzer.triage.case import Filter, StoredIncident
from analyzer.triage.store import Store

MOST_INCIDENTS = 1000
"""Told of one run: the worst; the store has them all."""
MOST_MEMBERS = 100_000
"""Paths told of one incident."""


@dataclass(frozen=True, slots=True)
class Outlier:
    """Captures of an incident's server, accounts and time that certainly show something else."""

    cause: str
    verdict: str
    captures: tuple[str, ...]
    """Their paths."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One trouble, told by one or more captures."""

    cause: str
    verdict: str
    """The strongest of its members, or of them read together."""
    server: str | None
    accounts: tuple[str, ...]
    """The first of them, sorted."""
    start: str | None
    """First seen in any of the captures, RFC 3339."""
    end: str | None
    """Last seen."""
    captures: tuple[str, ...]
    """Paths of the inputs that show it, in input order."""
    title: str
    """That of its strongest finding."""
    id: str = ""
    """In the store."""
    clients: int = 0
    """How many addresses it hit."""
    outliers: tuple[Outlier, ...] = ()
    """What certainly was something else there and then, the most frequent first."""
    joined: Mapping[str, Any] | None = None
    """What rests on several captures together: captures, the verdict each had alone, the finding with its frames."""


def incidents(store: Store, batch: str) -> tuple[Incident, ...]:
    """Return the incidents that captures of a batch belong to, strongest and then largest first."""
    wanted = Filter(None, batch=batch)
    return tuple(_told(store, one) for one in store.incidents(wanted, limit=MOST_INCIDENTS))


def _told(store: Store, one: StoredIncident) -> Incident:
    return Incident(
        cause=one.cause,
        verdict=one.verdict,
        server=one.server,
        accounts=one.accounts,
        start=rfc3339(one.start_ns),
        end=rfc3339(one.end_ns),
        captures=_paths(store, one),
        title=one.title,
        id=one.id,
        clients=one.clients,
        outliers=tuple(Outlier(x.cause, x.verdict, _paths(store, x)) for x in store.outliers(one)),
        joined=one.joined,
    )


def _paths(store: Store, one: StoredIncident) -> tuple[str, ...]:
    members = store.captures(Filter(one.owner, incident=one.id), limit=MOST_MEMBERS, order="given")
    return tuple(case.path for case in members)
