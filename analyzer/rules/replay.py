"""What if the limit per user were N: the refused logins of an account replayed over the sessions that were open.

A refusal is spared when fewer than N sessions are open at its moment, or when its client holds all the connections it wants
by then and would not have asked again. A spared login opens a session too: it lasts as long as the account's sessions
usually do (the median of those seen; of one still open when the capture ended, as long as it was seen), or until its client
is let in for real. One address is taken for one client. Below the present limit, acceptances are lost in the same way.
What the capture does not show is not in it: other PCs, sessions from before it, places a server still keeps for dead
clients. So N is what these sessions needed, and a server needs a reserve above it.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median_high
from typing import NamedTuple

from analyzer.at import NS_PER_S
from analyzer.rules.engine import scenes
from analyzer.rules.finding import CLAIMS, Finding, Verdict
from analyzer.rules.ledger import decided_ts, ledger
from analyzer.rules.scene import Dispute, Scene, login_disputes
from analyzer.sessions.concurrency import account_of
from analyzer.sessions.session import Outcome, Session

CAUSE = "per_user_connection_limit"
ACCOUNT_AND_ADDRESS = "user+IP"
"""Dovecot's word for a limit that counts per account and client address."""
BEYOND = 1_000_000_000
"""A limit nobody reaches."""
USUAL_S = 600.0
"""Seconds a session is taken to last when the capture shows none: long, so that N is rather too high."""


class WhatIf(NamedTuple):
    """What a limit of N would have made of one account's refusals."""

    account: str | None
    server: str
    protocol: str | None
    limit: int
    """N, the limit asked about."""
    refused: int
    """Refusals replayed; those with a password that works nowhere are left out, no limit spares them."""
    spared: int
    """Of these, accepted under N, or never tried."""
    lost: int
    """Acceptances of the capture that N would have refused."""
    enough: int
    """The smallest N that spares all of them; of Dovecot, for the address that needs most."""
    session_s: float
    """Seconds a spared session is taken to last."""
    at_least: bool
    """Most sessions were still open when the capture ended: they last longer than that."""
    whole: bool
    """The sessions that count are in the capture; else it was taken at one client, or some sessions are encrypted."""
    per_address: bool
    """The server counts per account and client address."""


class _Event(NamedTuple):
    """Something that happens to the sessions of an account; at one moment, closes come first."""

    ts: int
    kind: int
    """0 a session closed, 1 a login accepted, 2 a login refused."""
    client: str
    number: int
    """Which session, or which refusal."""


_CLOSED, _ACCEPTED, _REFUSED = range(3)


@dataclass(slots=True)
class _Run:
    """One replay under one limit."""

    limit: int
    session_ns: int
    wants: dict[str, int]
    held: Counter[str] = field(default_factory=Counter)
    """Sessions open by client, seen and supposed."""
    supposed: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Supposed sessions of a client that are open, by number."""
    ends: list[tuple[int, int, str]] = field(default_factory=list)
    """When they end, ns: a heap of (end, number, client)."""
    never: set[int] = field(default_factory=set)
    """Seen sessions that this limit would not have let in."""
    open: int = 0
    most: int = 0
    spared: int = 0
    lost: int = 0

    def play(self, events: Iterable[_Event]) -> _Run:
        for event in events:
            self._end_supposed(event.ts)
            if event.kind == _CLOSED:
                self._closed(event)
            elif event.kind == _ACCEPTED:
                self._accepted(event)
            else:
                self._refused(event)
        return self

    def _end_supposed(self, ts: int) -> None:
        while self.ends and self.ends[0][0] <= ts:
            _, number, client = heapq.heappop(self.ends)
            if number in self.supposed[client]:
                self._end(client, number)

    def _end(self, client: str, number: int) -> None:
        self.supposed[client].remove(number)
        self._count(client, -1)

    def _closed(self, event: _Event) -> None:
        if event.number not in self.never:
            self._count(event.client, -1)

    def _accepted(self, event: _Event) -> None:
        mine = self.supposed[event.client]
        if mine and self.held[event.client] >= self.wants[event.client]:
            self._end(event.client, min(mine))  # the connection it had all along in this replay
        if self.open < self.limit:
            self._count(event.client, 1)
        else:
            self.never.add(event.number)
            self.lost += 1

    def _refused(self, event: _Event) -> None:
        if self.held[event.client] >= self.wants[event.client]:
            self.spared += 1
        elif self.open < self.limit:
            self.spared += 1
            self.supposed[event.client].add(event.number)
            heapq.heappush(self.ends, (event.ts + self.session_ns, event.number, event.client))
            self._count(event.client, 1)

    def _count(self, client: str, change: int) -> None:
        self.held[client] += change
        self.open += change
        self.most = max(self.most, self.open)


def what_if(scene: Scene, findings: Sequence[Finding], limit: int) -> tuple[WhatIf, ...]:
    """Replay every refusal that some finding puts down to a limit per user, under a limit of ``limit`` sessions."""
    found = [f for f in findings if f.cause == CAUSE and f.verdict in {*CLAIMS, Verdict.SUSPECTED}]
    if not found:
        return ()
    return tuple(
        _replayed(dispute, limit)
        for part in scenes(scene)
        for dispute in login_disputes(part)
        if any(_about(f, dispute) for f in found) and not _of_wrong_secrets(dispute)
    )


def _about(finding: Finding, dispute: Dispute) -> bool:
    subject = finding.subject
    named = dispute.account in subject.accounts or (dispute.account is None and not subject.accounts)
    same = (subject.server, subject.protocol) == (dispute.server, dispute.protocol)
    return named and same and finding.start <= dispute.first and dispute.last <= finding.end


def _of_wrong_secrets(dispute: Dispute) -> bool:
    return len(ledger(dispute).strange) == len(dispute.refusals)


def _replayed(dispute: Dispute, limit: int) -> WhatIf:
    sessions = list(_held(dispute))
    session_ns, at_least = _usual(sessions)
    per_address = ACCOUNT_AND_ADDRESS in dispute.refusals[0].text
    events = sorted(_events(dispute, sessions))
    wants = _wants(dispute, events)
    groups: dict[str, list[_Event]] = defaultdict(list)
    for event in events:
        groups[event.client if per_address else ""].append(event)
    runs = [_Run(limit, session_ns, wants).play(group) for group in groups.values()]
    free = [_Run(BEYOND, session_ns, wants).play(group) for group in groups.values()]
    return WhatIf(
        account=dispute.account,
        server=dispute.server,
        protocol=dispute.protocol,
        limit=limit,
        refused=len(dispute.refusals),
        spared=sum(run.spared for run in runs),
        lost=sum(run.lost for run in runs),
        enough=max(run.most for run in free),
        session_s=round(session_ns / NS_PER_S, 1),
        at_least=at_least,
        whole=(per_address or dispute.scene.is_wide(dispute.server)) and not _hidden(dispute),
        per_address=per_address,
    )


def _hidden(dispute: Dispute) -> bool:
    return any(s.outcome is Outcome.OPAQUE for s in dispute.scene.on(dispute.server))


def _held(dispute: Dispute) -> Iterator[Session]:
    """Yield the open sessions of the account; one whose login was not seen counts when the server has this account only."""
    scene = dispute.scene
    only = scene.only_account(dispute.server) == dispute.account
    for s in scene.on(dispute.server):
        if s.opened is not None:
            account = account_of(s, scene.names)
            if account == dispute.account or (account is None and only):
                yield s


def _events(dispute: Dispute, sessions: Sequence[Session]) -> Iterator[_Event]:
    begin = min((s.start for s in sessions), default=0)
    for number, s in enumerate(sessions):
        opened = begin if s.opened_before else s.opened or s.start
        yield _Event(opened, _ACCEPTED, s.client, number)
        if s.closed is not None:
            yield _Event(max(s.closed, opened + 1), _CLOSED, s.client, number)
    for number, refusal in enumerate(dispute.refusals):
        ts = decided_ts(refusal.login) if refusal.login else refusal.at.ts
        yield _Event(ts, _REFUSED, refusal.session.client, number)


def _wants(dispute: Dispute, events: Iterable[_Event]) -> dict[str, int]:
    """Return how many sessions each client wants: as many connections as it ever had, and one more than it held when refused."""
    wants: dict[str, int] = {}
    held: Counter[str] = Counter()
    for event in events:
        held[event.client] += {_CLOSED: -1, _ACCEPTED: 1, _REFUSED: 0}[event.kind]
        least = held[event.client] + (event.kind == _REFUSED)
        known = wants.get(event.client) or dispute.scene.at_once(dispute.server, event.client)
        wants[event.client] = max(known, least)
    return wants


def _usual(sessions: Sequence[Session]) -> tuple[int, bool]:
    """Return the median length of sessions, ns, and whether the one in the middle was still open when the capture ended."""
    lengths = [((s.closed or s.end) - (s.opened or s.start), s.closed is None) for s in sessions]
    return median_high(lengths) if lengths else (int(USUAL_S * NS_PER_S), True)
