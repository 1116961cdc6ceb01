"""Several capture points, one story: a connection seen twice counts once, and clocks that differ are set alike.

Two captures hold the same connection when addresses, ports and the initial sequence numbers agree (RFC 9293, section 3.4.1).
How far two clocks are apart follows from the handshakes both saw, as NTP computes it (RFC 5905, section 8): half the sum of
the differences of SYN and of SYN/ACK, so that the time on the way cancels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from analyzer.at import At
from analyzer.protocols.events import TlsTalk
from analyzer.sessions.session import Session

ALIGN_NS = 20_000_000
"""Clock differences below 20 ms are left alone: they change no order that a verdict rests on."""


class Merged(NamedTuple):
    """Sessions of all captures as one story."""

    sessions: tuple[Session, ...]
    """Each connection once, in its best view, times on one clock; by time when there are several captures."""
    offsets: dict[str, int]
    """How far each capture's clock is ahead of the first one's, ns; only captures that could be compared."""
    seen_twice: int
    """Connections that more than one capture holds."""


def merge(sessions: Sequence[Session]) -> Merged:
    """Join the sessions of several captures; those of one capture come back as they are."""
    captures = list(dict.fromkeys(s.capture for s in sessions))
    if len(captures) < 2:
        return Merged(tuple(sessions), {}, 0)
    offsets = _offsets(captures, sessions)
    aligned = sorted(
        (_shifted(s, offsets[s.capture]) for s in sessions), key=lambda s: (s.start, s.capture, s.first_frame)
    )
    groups = _same(aligned)
    clients: dict[str, set[str]] = defaultdict(set)
    for s in sessions:
        clients[s.capture].add(s.client)
    best = [min(group, key=lambda s: _blemishes(s, len(clients[s.capture]))) for group in groups]
    return Merged(tuple(best), offsets, sum(1 for group in groups if len(group) > 1))


def _same(aligned: Iterable[Session]) -> list[list[Session]]:
    """Group the views of each connection, in order of its first packet."""
    doors: dict[tuple[str, int, str, int], _Door] = defaultdict(_Door)
    groups: list[list[Session]] = []
    for s in aligned:
        door = doors[s.client, s.client_port, s.server, s.server_port]
        group = next((g for g in door.candidates(s) if _belongs(s, g)), None)
        if group is None:
            group = []
            groups.append(group)
        door.enter(s, group)
    return groups


class _Door:
    """Connections of the same addresses and ports: a busy client uses its ports again and again."""

    def __init__(self) -> None:
        self.recent: list[list[Session]] = []
        """Those that a session without a handshake may belong to."""
        self.by_isn: dict[int, list[list[Session]]] = defaultdict(list)

    def candidates(self, s: Session) -> list[list[Session]]:
        """Return the groups a session may belong to, the oldest first; sessions come in order of their start."""
        self.recent = [g for g in self.recent if s.start - ALIGN_NS <= max(x.end for x in g)]
        alike = self.by_isn.get(s.client_isn, []) if s.client_isn is not None else []
        return sorted({id(g): g for g in (*self.recent, *alike)}.values(), key=lambda g: g[0].start)

    def enter(self, s: Session, group: list[Session]) -> None:
        """Put a session into its group."""
        group.append(s)
        if not any(g is group for g in self.recent):
            self.recent.append(group)
        if s.client_isn is not None and not any(g is group for g in self.by_isn[s.client_isn]):
            self.by_isn[s.client_isn].append(group)


def _belongs(s: Session, group: Sequence[Session]) -> bool:
    """Tell whether a session is another capture's view of a connection."""
    if any(x.capture == s.capture for x in group):
        return False
    numbers = {x.client_isn for x in (*group, s)} - {None}
    replies = {x.server_isn for x in (*group, s)} - {None}
    if len(numbers) > 1 or len(replies) > 1:
        return False
    # Without a handshake in one of the views only the time tells: ports are not used again while a connection lives.
    return s.client_isn in {x.client_isn for x in group} - {None} or s.start - ALIGN_NS <= max(x.end for x in group)


def _blemishes(s: Session, clients: int) -> tuple[bool, bool, int, bool, int, int]:
    """Order views of one connection: read ones first, whole ones, then those of captures that saw more."""
    undecided = any(x.decided is None for x in s.logins)
    return s.outcome == "opaque", s.one_sided, s.missed_bytes, undecided, -clients, -(s.client_bytes + s.server_bytes)


def _offsets(captures: list[str], sessions: Iterable[Session]) -> dict[str, int]:
    """Set clocks from capture to capture, starting with the first, wherever two of them share handshakes."""
    views: dict[tuple[str, int, str, int, int, int], list[Session]] = defaultdict(list)
    for s in sessions:
        if s.client_isn is not None and s.server_isn is not None:
            views[s.client, s.client_port, s.server, s.server_port, s.client_isn, s.server_isn].append(s)
    ahead: dict[tuple[str, str], list[int]] = defaultdict(list)
    for group in views.values():
        for one in group:
            for other in group:
                if one.capture != other.capture and (ns := _ahead(one, other)) is not None:
                    ahead[one.capture, other.capture].append(ns)
    known: dict[str, int] = {}
    for root in captures:
        if root in known:
            continue
        known[root] = 0
        waiting = [root]
        while waiting:
            here = waiting.pop()
            for (near, far), differences in ahead.items():
                if near == here and far not in known:
                    known[far] = known[here] + sorted(differences)[(len(differences) - 1) // 2]
                    waiting.append(far)
    return {name: ns if abs(ns) >= ALIGN_NS else 0 for name, ns in known.items()}


def _ahead(one: Session, other: Session) -> int | None:
    """Return how far the other capture's clock is ahead, ns."""
    if one.syn_at is None or other.syn_at is None or one.syn_ack_at is None or other.syn_ack_at is None:
        return None
    return (other.syn_at.ts - one.syn_at.ts + other.syn_ack_at.ts - one.syn_ack_at.ts) // 2


def _shifted(s: Session, ns: int) -> Session:
    if not ns:
        return s
    logins = tuple(x._replace(at=_back(x.at, ns), decided=x.decided and _back(x.decided, ns)) for x in s.logins)
    return s._replace(
        start=s.start - ns,
        end=s.end - ns,
        opened=None if s.opened is None else s.opened - ns,
        closed=None if s.closed is None else s.closed - ns,
        greeting_at=s.greeting_at and _back(s.greeting_at, ns),
        bye_at=s.bye_at and _back(s.bye_at, ns),
        syn_at=s.syn_at and _back(s.syn_at, ns),
        syn_ack_at=s.syn_ack_at and _back(s.syn_ack_at, ns),
        established_at=s.established_at and _back(s.established_at, ns),
        end_at=_back(s.end_at, ns),
        closed_at=s.closed_at and _back(s.closed_at, ns),
        login_disabled_at=s.login_disabled_at and _back(s.login_disabled_at, ns),
        said_at=s.said_at and _back(s.said_at, ns),
        alert=s.alert and s.alert._replace(at=_back(s.alert.at, ns)),
        talk=s.talk and _talk_back(s.talk, ns),
        complaints=tuple(c._replace(at=_back(c.at, ns)) for c in s.complaints),
        logins=logins,
    )


def _talk_back(talk: TlsTalk, ns: int) -> TlsTalk:
    turns = tuple(x._replace(at=_back(x.at, ns)) for x in talk.turns)
    return talk._replace(at=_back(talk.at, ns), turns=turns)


def _back(at: At, ns: int) -> At:
    return At(at.frame, at.ts - ns)
