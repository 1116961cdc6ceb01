"""How Dovecot turns newcomers away for whom no process is free, which no other trouble of it looks like.

Its master process lets them wait for ten seconds and then drops all that wait at one moment, whenever each of them came.
Those who come to a pool of mail processes afterwards, with good credentials, are cut off at once and without a word: that
way, says its source, it is clear that a limit does it, and no process that is slow to answer. A wrong password, a directory
that fails and a mail process that gives up are told in words; a process that dies as it starts lets newcomers wait again
and again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from analyzer.at import NS_PER_MS, NS_PER_S, At
from analyzer.rules.finding import FrameRef
from analyzer.rules.scene import shut_out
from analyzer.rules.waiting import LONG_NS, Waiting
from analyzer.sessions.session import Session

SOURCE = "Dovecot 2.2 to 2.4, src/master/service-monitor.c: SERVICE_DROP_TIMEOUT_MSECS, service_drop_connections"
DROP_NS = 10 * NS_PER_S
"""Time newcomers may wait for a free process (SERVICE_DROP_TIMEOUT_MSECS)."""
SLACK_NS = 100 * NS_PER_MS
"""By how much it may seem longer or shorter: a timer's lateness, and another client's newcomer that came just before."""
MOMENT_NS = 50 * NS_PER_MS
"""Within this time of each other connections were dropped at one moment. Those that began further apart than that were not
dropped by timers of their own, which would have struck as far apart."""
LATER = 3
"""Newcomers cut off at once that make a habit; fewer may be mishaps."""


class Drop(NamedTuple):
    """A newcomer the server let go without an answer."""

    since: int
    """When it began to wait, ns."""
    ts: int
    """When the server let it go, ns."""
    session: Session

    @property
    def ref(self) -> FrameRef:
        """Return the packet with which it was let go."""
        return FrameRef(self.session.capture, _end(self.session).frame)


def drops(waiting: Waiting) -> list[Drop]:
    """Return the newcomers that the server itself let go without an answer, in the order it did."""
    dispute = waiting.dispute
    waits = [(r.at.ts, r.session) for r in dispute.refusals if r.session.opened is None]
    if waiting.at_greeting:
        mute = (s for s in dispute.scene.on(dispute.server) if shut_out(s))
        waits += [(s.established_at.ts, s) for s in mute if s.established_at is not None]
    return sorted((Drop(since, _end(s).ts, s) for since, s in waits if _is_let_go(s)), key=attrgetter("ts"))


def _is_let_go(s: Session) -> bool:
    """Tell whether the server ended it of its own accord, perhaps long after the client had given up."""
    if s.closed_at is None or s.reset_by is not None or s.bye_at is not None:
        return False
    late = s.end - s.closed_at.ts >= NS_PER_S and "f" in s.history
    return s.closed_by == "server" or late


def _end(s: Session) -> At:
    """Return when and where the server ended it."""
    return s.closed_at if s.closed_at is not None and s.closed_by == "server" else s.end_at


def together(found: Sequence[Drop]) -> Iterator[Sequence[Drop]]:
    """Yield those dropped at one moment as many seconds after the first of them came as Dovecot waits."""
    times, place = [d.ts for d in found], 0
    while place < len(found):
        until = bisect_right(times, times[place] + MOMENT_NS)
        batch, place = found[place:until], until
        begun = [d.since for d in batch]
        if max(begun) - min(begun) > MOMENT_NS and abs(batch[0].ts - min(begun) - DROP_NS) <= SLACK_NS:
            yield batch


def then_at_once(found: Sequence[Drop]) -> tuple[list[Drop], list[Drop]]:
    """Return those that were dropped after a long wait, and those that came then and were all cut off at once.

    Both are empty when that is not what happened: nobody is cut off at once before the first have waited.
    """
    waited = [d for d in found if d.ts - d.since >= LONG_NS]
    if not waited or any(_is_at_once(d) and d.ts < waited[0].ts for d in found):
        return [], []
    later = [d for d in found if d.since > waited[-1].ts]
    return (waited, later) if len(later) >= LATER and all(map(_is_at_once, later)) else ([], [])


def _is_at_once(drop: Drop) -> bool:
    return drop.ts - drop.since <= MOMENT_NS
