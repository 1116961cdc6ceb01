"""What a store keeps of captures and incidents, as records; and what is asked of its lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from analyzer.triage.row import WAITING


class Everybody(Enum):
    """Not one owner's captures, but all."""

    EVERYBODY = "everybody"


EVERYBODY: Final = Everybody.EVERYBODY
Owner = str | Everybody | None
"""Whose captures: a name, None for those of the command line, or EVERYBODY's."""


@dataclass(frozen=True, slots=True)
class Item:
    """A capture to be looked at."""

    path: str
    """As shown; already cleaned."""
    name: str
    """Its last part."""
    sha256: str | None
    """None when it could not be opened."""
    size_bytes: int | None = None
    location: str = ""
    """Where it lies; '' for an upload, which lies by its SHA-256."""
    batch: str = ""
    """What was handed in together."""
    place: int = 0
    """Order in the batch."""
    named: bool = True
    """Asked for by name, not found in a folder."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a capture that was handed in."""

    id: str
    new: bool
    """False when the owner had handed it in before; nothing is done twice then."""


@dataclass(frozen=True, slots=True)
class Case:
    """One capture in the store."""

    id: str
    """Drawn by lot."""
    owner: str | None
    """None for the command line."""
    batch: str
    """What was handed in together."""
    place: int
    """Order in the batch."""
    location: str
    """Where it lies; '' for an upload, which lies by its SHA-256."""
    path: str
    name: str
    sha256: str | None
    """None when it could not be opened."""
    size_bytes: int | None
    named: bool
    """Asked for by name, not found in a folder."""
    state: str
    """queued, running, or the contract's state."""
    reason: str | None
    """One sentence when the state is neither ok nor one of waiting."""
    submitted_ns: int
    """When it was handed in, ns UTC."""
    started_ns: int | None
    """When its analysis began the last time."""
    finished_ns: int | None
    """When its answer came."""
    attempts: int
    """How often its analysis began."""
    key: str | None
    """Of the result: see :func:`analyzer.triage.row.key`."""
    cause: str | None
    verdict: str | None
    confidence: float | None
    rank: int
    """How bad it is, 0 worst."""
    title: str | None
    server: str | None
    """Of its first fault."""
    accounts: tuple[str, ...]
    """Of its first fault."""
    start_ns: int | None
    """First sign of its first fault, ns UTC."""
    end_ns: int | None
    """Last sign."""

    @property
    def waiting(self) -> bool:
        """There is no answer yet."""
        return self.state in WAITING


@dataclass(frozen=True, slots=True)
class StoredIncident:
    """One trouble, told by one or more captures."""

    id: str
    """Lasts while it grows; incidents that turn out to be one keep that of the larger."""
    owner: str | None
    """None for the command line."""
    cause: str
    verdict: str
    """The strongest of its members, or of them read together."""
    confidence: float
    rank: int
    """How bad it is, 0 worst."""
    title: str
    server: str | None
    accounts: tuple[str, ...]
    """The first of them, in order."""
    start_ns: int | None
    """First seen, ns UTC."""
    end_ns: int | None
    """Last seen."""
    captures: int
    """How many show it."""
    clients: int
    """How many addresses it hit."""
    joined: Mapping[str, Any] | None
    """What its members prove only together: captures, verdict, finding; None when nothing more than each alone."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A capture that is gone."""

    id: str
    owner: str | None
    """None for the command line."""
    sha256: str | None
    """Names its octets, where a service keeps them."""
    size_bytes: int | None
    unused: bool
    """No other row has these octets: they may go, too."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an owner has in the store."""

    captures: int
    size_bytes: int
    """Of the captures, each counted once."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which captures a list shows; what is None or '' does not matter."""

    owner: Owner
    """Must be said: nobody sees another's by mistake."""
    state: str | None = None
    """queued, running, a state of the contract, or 'waiting' for the first two."""
    cause: str | None = None
    verdict: str | None = None
    text: str = ""
    """Words, each of which is part of path, account, server, cause, title or SHA-256."""
    batch: str | None = None
    """What was handed in together."""
    incident: str | None = None
    """The members of one incident."""


def case_of(row: Mapping[str, Any]) -> Case:
    """Return a row of the table as a record."""
    values = {name: row[name] for name in Case.__dataclass_fields__}
    changed = {
        "owner": row["owner"] or None,
        "sha256": row["sha256"] or None,
        "named": bool(row["named"]),
        "accounts": tuple(json.loads(row["accounts"])),
    }
    return Case(**(values | changed))


def incident_of(row: Mapping[str, Any]) -> StoredIncident:
    """Return a row of the table as a record."""
    values = {name: row[name] for name in StoredIncident.__dataclass_fields__}
    changed = {
        "owner": row["owner"] or None,
        "accounts": tuple(json.loads(row["accounts"])),
        "joined": json.loads(row["joined"]) if row["joined"] else None,
    }
    return StoredIncident(**(values | changed))
