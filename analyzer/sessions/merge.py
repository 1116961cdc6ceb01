"""Several capture points, one story: a connection seen twice counts once, and clocks that differ are set alike.

Two captures hold the same connection when addresses, ports and the initial sequence numbers agree (RFC 9293, section 3.4.1);
where an address was translated in between (RFC 3022), when both sequence numbers and the greeting do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from analyzer.at import At
from analyzer.protocols.events import TlsTalk
from analyzer.sessions.session import Session

NEAR_NS = 20_000_000
"""A view may begin this long after another one of the same connection ended: clocks are not set more closely."""


class Merged(NamedTuple):
    """Sessions of all captures as one story."""

    sessions: tuple[Session, ...]
    """Each connection once, in its best view, times on one clock; by time when there are several captures."""
    offsets: dict[str, int]
    """How far each capture's clock is ahead of the first one's, ns, at its first session."""
    seen_twice: int
    """Connections that more than one capture holds."""


def merge(sessions: Sequence[Session], spans: Mapping[str, tuple[int, int]] | None = None) -> Merged:
    """Join the sessions of several captures; those of one capture come back as they are.

    ``spans`` tells what time each capture covers (ns, its own clock), mail or not; without it nothing is concluded from what
    a capture does not hold.
    """
    captures = list(dict.fromkeys(s.capture for s in sessions))
    if len(captures) < 2:
        return Merged(tuple(sessions), {}, 0)
    from analyzer.sessions.clocks import clocks
    from analyzer.sessions.crossing import crossings

    told = clocks(captures, _handshakes(sessions))
    aligned = sorted(
        (_shifted(s, told[s.capture].ahead_at(s.start)) for s in sessions),
        key=lambda s: (s.start, s.capture, s.first_frame),
    )
    groups = _translated(_same(aligned))
    clients: dict[str, set[str]] = defaultdict(set)
    for s in sessions:
        clients[s.capture].add(s.client)
    best = {id(group): min(group, key=lambda s: _blemishes(s, len(clients[s.capture]))) for group in groups}
    common = {n: (a - told[n].ahead_at(a), b - told[n].ahead_at(b)) for n, (a, b) in (spans or {}).items() if n in told}
    for group, crossing in crossings(groups, common):
        best[id(group)] = best[id(group)]._replace(crossing=crossing)
    first = {s.capture: s.start for s in sorted(sessions, key=lambda s: -s.start)}
    offsets = {name: told[name].ahead_at(first[name]) for name in captures}
    return Merged(tuple(best.values()), offsets, sum(1 for group in groups if len(group) > 1))


def _handshakes(sessions: Iterable[Session]) -> list[list[Session]]:
    """Group the views of each connection whose handshake they hold."""
    views: dict[tuple[int, int, int], list[Session]] = defaultdict(list)
    for s in sessions:
        if s.client_isn is not None and s.server_isn is not None:
            views[s.server_port, s.client_isn, s.server_isn].append(s)
    return [group for group in views.values() if len({s.capture for s in group}) == len(group) > 1]


def _translated(groups: list[list[Session]]) -> list[list[Session]]:
    """Join the groups that are one connection under two addresses."""
    by_numbers: dict[tuple[object, ...], list[Session]] = {}
    joined: list[list[Session]] = []
    for group in groups:
        s = group[0]
        key = (s.server_port, s.client_isn, s.server_isn, s.greeting)
        known = by_numbers.get(key) if None not in key[:3] else None
        if known is None or {x.capture for x in known} & {x.capture for x in group}:
            by_numbers[key] = group
            joined.append(group)
        else:
            known += group
    return joined


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
        self.recent = [g for g in self.recent if s.start - NEAR_NS <= max(x.end for x in g)]
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
    return s.client_isn in {x.client_isn for x in group} - {None} or s.start - NEAR_NS <= max(x.end for x in group)


def _blemishes(s: Session, clients: int) -> tuple[bool, bool, int, bool, int, int]:
    """Order views of one connection: read ones first, whole ones, then those of captures that saw more."""
    undecided = any(x.decided is None for x in s.logins)
    return s.outcome == "opaque", s.one_sided, s.missed_bytes, undecided, -clients, -(s.client_bytes + s.server_bytes)


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
