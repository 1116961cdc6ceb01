"""Logs on the captures' time line: which record is which login, and how far the log's clock is ahead.

A record and a login are one when address and port agree (Exchange writes them), or account, address and outcome do and
the order fits. The clock follows from the pairs: the offset at which most records meet a login, within what clocks do.
UTC may be wrong by some minutes; local time by whole quarters of an hour and some seconds besides.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import median_low
from typing import NamedTuple

from analyzer.at import NS_PER_S
from analyzer.sessions.records.record import Log, LogSeen, Record
from analyzer.sessions.records.times import in_year, year_of
from analyzer.sessions.session import Login, LoginOutcome, Session

CLOSE_NS = 2 * NS_PER_S
"""How far a record may be from its login: logs that count whole seconds, and lines written a moment later."""
SKEW_NS = 600 * NS_PER_S
"""How wrong a UTC clock may be; in a Windows domain five minutes are the most that logins survive."""
ZONES_NS = 14 * 3600 * NS_PER_S
"""Local times are at most this far from UTC."""
QUARTER_NS = 900 * NS_PER_S
"""Zones differ from UTC by whole quarters of an hour."""
LOCAL_SKEW_NS = 30 * NS_PER_S
"""How wrong a local clock may be besides; with more, one zone could be taken for another mistake."""
LONE_SKEW_NS = 3 * NS_PER_S
"""The same when a single pair tells the zone."""
RIVAL_SHARE = 0.8
"""Share of the records that another offset may explain; beyond, nobody can say which it is."""
SAMPLED = 300
"""Records by which a log's clock is told, taken from all over it."""
PAIRS_EACH = 2000
"""Logins that one of them is compared with."""
CLOSED_LATER_NS = 300 * NS_PER_S
"""How long after the login a line about the end of its connection may come; Dovecot waits three minutes."""


class Match(NamedTuple):
    """A record and what it is about."""

    record: Record
    session: Session
    login: Login | None
    """None for a session whose logins cannot be seen, or a record about a session."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """A log beside the captures."""

    log: Log
    records: tuple[Record, ...]
    """Its records, times set to the captures' clock as far as it is known."""
    matches: tuple[Match, ...]
    """Those that belong to a login or session of the captures."""
    offset: int | None
    """How far its clock is ahead of the captures', ns; None when nothing could be compared."""

    @property
    def timed(self) -> bool:
        """Its times can be compared with the captures'."""
        return self.log.utc or self.offset is not None

    @property
    def seen(self) -> LogSeen:
        """What is told about it."""
        times = [r.ts for r in self.log.records if r.ts is not None]
        return LogSeen(
            name=self.log.name,
            kind=self.log.kind,
            records=len(self.records),
            matched=len(self.matches),
            clock_offset_s=None if self.offset is None else round(self.offset / NS_PER_S, 3),
            start=min(times, default=None),
            end=max(times, default=None),
            times="utc" if self.log.utc else "local",
            warnings=self.log.warnings,
        )


def same_account(record: Record, account: str | None, domain: str | None) -> bool:
    """Tell whether a record's account can be the one a login offered; names without a domain fit any."""
    if record.account is None or account is None:
        return False
    mine, theirs = _split(record.account, record.domain), _split(account, domain)
    if mine[0] != theirs[0]:
        return False
    return not mine[1] or not theirs[1] or mine[1] == theirs[1] or ("." in mine[1]) != ("." in theirs[1])


def _split(account: str, domain: str | None) -> tuple[str, str]:
    user, _, dns = account.lower().partition("@")
    return user, dns or (domain or "").lower()


def align(log: Log, sessions: Sequence[Session]) -> Aligned:
    """Set a log beside sessions whose times are on one clock."""
    records = _dated(log, sessions)
    known = _Known(sessions)
    offset = _offset(list(known.sampled(records, utc=log.utc)), utc=log.utc)
    matches: tuple[Match, ...] = ()
    if offset is not None or log.utc:
        near = (p for r in records for p in known.pairs(r, offset or 0, CLOSE_NS))
        matches = tuple(_matched(near, offset or 0))
    shift = offset or 0
    moved = {r.line: r if r.ts is None or not shift else replace(r, ts=r.ts - shift) for r in records}
    matches = tuple(m._replace(record=moved[m.record.line]) for m in matches)
    return Aligned(log, tuple(moved.values()), matches, offset)


def _dated(log: Log, sessions: Sequence[Session]) -> tuple[Record, ...]:
    """Put times that came without a year into the captures' year."""
    if log.dated or not sessions:
        return log.records
    start = min(s.start for s in sessions)
    year = year_of(start)

    def nearest(ts: int) -> int:
        return min((in_year(ts, y) for y in (year - 1, year, year + 1)), key=lambda x: abs(x - start))

    return tuple(r if r.ts is None else replace(r, ts=nearest(r.ts)) for r in log.records)


class _Pair(NamedTuple):
    ahead: int
    """The record's time before the login's, ns."""
    record: Record
    session: Session
    login: Login | None
    by_port: bool


class _Known:
    """The captures' sessions and logins, to be found by what a record tells."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self._by_port: dict[tuple[str, int], list[Session]] = defaultdict(list)
        self._by_user: dict[tuple[str, str, bool], list[tuple[int, Login, Session]]] = defaultdict(list)
        for s in sessions:
            self._by_port[s.client, s.client_port].append(s)
            for login in s.logins:
                if login.account is not None and login.decided is not None:
                    won = login.outcome is LoginOutcome.ACCEPTED
                    user = _split(login.account, None)[0]
                    self._by_user[login.client, user, won].append((login.decided.ts, login, s))
        for logins in self._by_user.values():
            logins.sort(key=_first)

    def sampled(self, records: Sequence[Record], *, utc: bool) -> Iterator[_Pair]:
        """Yield pairs of records from all over the log, by which its clock can be told."""
        zones = range(1) if utc else range(-ZONES_NS, ZONES_NS + 1, QUARTER_NS)
        reach = SKEW_NS if utc else LOCAL_SKEW_NS
        useful = [r for r in records if r.client is not None]
        for record in useful[:: max(1, len(useful) // SAMPLED)]:
            yield from islice((p for zone in zones for p in self.pairs(record, zone, reach)), PAIRS_EACH)

    def pairs(self, record: Record, ahead: int, reach: int) -> Iterator[_Pair]:
        """Yield what a record may be about, when its clock is ``ahead`` by that many ns, give or take ``reach``."""
        if record.ts is None:
            return
        by_port = record.client_port is not None
        found = self._of_port(record, ahead) if by_port else self._of_user(record, ahead, reach)
        for pair in found:
            if abs(pair.ahead - ahead) <= reach:
                yield pair

    def _of_port(self, record: Record, ahead: int) -> Iterator[_Pair]:
        for s in self._by_port.get((record.client or "", record.client_port or 0), []):
            if record.server not in {None, s.server} and not any(_is_of(record, x) for x in s.logins):
                continue  # the same address and port towards another server
            told = [x for x in s.logins if x.decided is not None and _agrees(record, x)]
            for login in told:
                yield _Pair(_ahead(record, s, login), record, s, login, by_port=True)
            if not s.logins or record.accepted is None:
                # Nothing of the login can be seen: the record belongs somewhere between the first and the last packet.
                ts = (record.ts or 0) - ahead
                yield _Pair(ts + ahead - min(max(ts, s.start), s.end), record, s, None, by_port=True)

    def _of_user(self, record: Record, ahead: int, reach: int) -> Iterator[_Pair]:
        if record.account is None or record.accepted is None or record.client is None:
            return
        logins = self._by_user.get((record.client, _split(record.account, None)[0], record.accepted), [])
        ts = (record.ts or 0) - ahead
        first = ts - reach - (CLOSED_LATER_NS if record.at_close else 0)
        for _, login, s in logins[
            bisect_left(logins, first, key=_first) : bisect_right(logins, ts + reach, key=_first)
        ]:
            if record.server in {None, s.server} and _agrees(record, login):
                yield _Pair(_ahead(record, s, login), record, s, login, by_port=False)


def _first(found: tuple[int, Login, Session]) -> int:
    return found[0]


def _is_of(record: Record, login: Login) -> bool:
    return same_account(record, login.account, login.domain)


def _agrees(record: Record, login: Login) -> bool:
    """Tell whether account, protocol and outcome of a login are not other than the record's."""
    if record.account is not None and login.account is not None and not _is_of(record, login):
        return False
    won = login.outcome is LoginOutcome.ACCEPTED
    return record.accepted is not None and record.accepted == won


def _ahead(record: Record, session: Session, login: Login) -> int:
    ts = record.ts or 0
    if record.at_close:  # written at the end, or when the last attempt was refused and nothing more came
        end = session.closed_at.ts if session.closed_at else session.end
        return ts - end
    return ts - (login.decided.ts if login.decided else login.at.ts)


def _offset(pairs: Sequence[_Pair], *, utc: bool) -> int | None:
    """Return the clock offset at which most records meet a login; None when that cannot be told.

    ``pairs`` are those that a clock could bring together.
    """
    possible = sorted(pairs, key=lambda p: p.ahead)
    if not possible:
        return None
    counts = _crowds([p.ahead for p in possible], [p.record.line for p in possible])
    best = max(range(len(possible)), key=lambda n: (counts[n], -_from_zone(possible[n].ahead, utc=utc)))
    first = possible[best].ahead
    inside = [p for p in possible if first <= p.ahead <= first + CLOSE_NS]
    offset = median_low([p.ahead for p in inside])
    if any(p.by_port for p in inside) or utc:
        return offset
    rival = max((counts[n] for n, p in enumerate(possible) if abs(p.ahead - offset) > QUARTER_NS // 2), default=0)
    if rival >= counts[best] * RIVAL_SHARE:
        return None
    return offset if counts[best] > 1 or _from_zone(offset, utc=utc) <= LONE_SKEW_NS else None


def _from_zone(ahead: int, *, utc: bool) -> int:
    """Return how far an offset is from what a right clock would have."""
    return abs(ahead) if utc else abs(ahead - round(ahead / QUARTER_NS) * QUARTER_NS)


def _crowds(aheads: Sequence[int], lines: Sequence[int]) -> list[int]:
    """Return for each offset (ascending) how many different records lie within reach above it."""
    inside: Counter[int] = Counter()
    found, end = [], 0
    for begin, ahead in enumerate(aheads):
        while end < len(aheads) and aheads[end] <= ahead + CLOSE_NS:
            inside[lines[end]] += 1
            end += 1
        found.append(len(inside))
        inside[lines[begin]] -= 1
        if not inside[lines[begin]]:
            del inside[lines[begin]]
    return found


def _matched(pairs: Iterable[_Pair], offset: int) -> Iterator[Match]:
    """Yield each record with its login, nearest first, each of both once."""
    records: set[int] = set()
    logins: set[tuple[str, str, int]] = set()
    for p in sorted(pairs, key=lambda p: (not p.by_port, abs(p.ahead - offset))):
        key = p.session.capture, p.session.uid, p.login.at.frame if p.login else -p.record.line
        if p.record.line in records or key in logins:
            continue
        records.add(p.record.line)
        logins.add(key)
        yield Match(p.record, p.session, p.login)
