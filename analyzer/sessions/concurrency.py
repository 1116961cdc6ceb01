"""Open sessions over time, by account, client or server; their peak."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from analyzer.sessions.names import Names, names
from analyzer.sessions.session import LoginOutcome, Session


class Steps(NamedTuple):
    """How many sessions were open: ``counts[i]`` from ``times[i]`` until ``times[i + 1]``."""

    times: tuple[int, ...]
    """ns UTC, ascending."""
    counts: tuple[int, ...]

    def at(self, ts: int) -> int:
        """Return how many were open just before ``ts``."""
        place = bisect_right(self.times, ts - 1) - 1
        return self.counts[place] if place >= 0 else 0

    @property
    def peak(self) -> tuple[int, int | None]:
        """Return the most sessions open at once, and when that was reached first."""
        if not self.counts:
            return 0, None
        most = max(self.counts)
        return most, self.times[self.counts.index(most)]


class Span(NamedTuple):
    """When one mailbox session was open."""

    opened: int
    """ns UTC; the start of the capture for a session that was open before."""
    closed: int | None
    """None when the capture ended first."""


def spans(sessions: Iterable[Session]) -> list[Span]:
    """Return when each accepted session was open; one open before the capture counts from the capture's first packet."""
    found = [s for s in sessions if s.opened is not None]
    first = min([s.start for s in found], default=0)
    return [Span(first if s.opened_before else s.opened or s.start, s.closed) for s in found]


def steps(intervals: Iterable[Span]) -> Steps:
    """Turn intervals into the step line of how many are open; a close and an open at the same instant free the slot first."""
    listed = list(intervals)
    changes = Counter([opened for opened, _ in listed])
    for opened, closed in listed:
        if closed is not None:
            changes[max(closed, opened)] -= 1
    times = sorted(changes)
    return Steps(tuple(times), tuple(accumulate([changes[ts] for ts in times])))


def peak_of(intervals: Sequence[Span]) -> tuple[int, int | None]:
    """Return the most intervals open at once, and when that was reached first; as the peak of :func:`steps`, but faster."""
    opens = sorted([opened for opened, _ in intervals])
    closes = sorted([max(opened, closed) for opened, closed in intervals if closed is not None])
    most, at, gone = 0, None, 0
    for come, ts in enumerate(opens, 1):
        while gone < len(closes) and closes[gone] <= ts:
            gone += 1
        if come - gone > most:
            most, at = come - gone, ts
    return most, at


def account_of(session: Session, known: Names) -> str | None:
    """Return the account whose mailbox a session opened, by the accepted login, else the last one offered."""
    for login in reversed(session.logins):
        if login.outcome is LoginOutcome.ACCEPTED:
            return known.of(login)
    return known.of(session.logins[-1]) if session.logins else None


def open_sessions(sessions: Iterable[Session], *, by: str = "account") -> dict[str, Steps]:
    """Return the step line of each account, client or server that had a session open; ``by`` names which."""
    listed = list(sessions)
    known = names(login for s in listed for login in s.logins)
    groups: dict[str, list[Session]] = defaultdict(list)
    for s in listed:
        if s.opened is None:
            continue
        key = account_of(s, known) or "(account not seen)" if by == "account" else getattr(s, by)
        groups[key].append(s)
    return {key: steps(spans(groups[key])) for key in sorted(groups)}


def levels(line: Steps) -> dict[int, int]:
    """Return how long, in ns, each level lasted between the first and the last change."""
    lasted: dict[int, int] = defaultdict(int)
    for (begin, count), (end, _) in pairwise(zip(line.times, line.counts, strict=True)):
        lasted[count] += end - begin
    return dict(lasted)
