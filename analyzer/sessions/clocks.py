"""Clocks: how far the clock of each capture is ahead of the first one's, and how fast it drifts away.

Captures are compared by the handshakes both saw, as NTP does it (RFC 5905, section 8): half the sum of the differences of
SYN and of SYN/ACK, so that the time on the way cancels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median_low
from typing import NamedTuple

from analyzer.sessions.session import Session

ALIGN_NS = 20_000_000
"""Clock differences below 20 ms are left alone: they change no order that a verdict rests on."""
DRIFT_HANDSHAKES = 6
"""Shared handshakes from which on a drift can be told from jitter: two for each third of the time they span."""

Shared = tuple[int, int]
"""(time of a handshake, how far another capture's clock was ahead at it), ns."""


class Clock(NamedTuple):
    """How far a clock is ahead of the first capture's."""

    ahead: int
    """ns at ``at``."""
    at: int = 0
    """ns on this clock."""
    rate: float = 0.0
    """ns it gains per ns."""

    def ahead_at(self, ts: int) -> int:
        """Return how far it is ahead, ns, when it shows ``ts``; 0 when that makes no difference."""
        ns = self.ahead + round(self.rate * (ts - self.at))
        return ns if abs(ns) >= ALIGN_NS else 0


def clocks(captures: Sequence[str], views: Iterable[Sequence[Session]]) -> dict[str, Clock]:
    """Set clocks from capture to capture, starting with the first, wherever two of them share handshakes.

    ``views`` holds, for each connection that several captures saw, its views with their own times.
    """
    shared: dict[tuple[str, str], list[Shared]] = defaultdict(list)
    for group in views:
        for one in group:
            for other in group:
                if one.capture != other.capture and (ns := _ahead(one, other)) is not None:
                    shared[one.capture, other.capture].append((other.start, ns))
    steps: dict[str, list[tuple[str, Clock]]] = defaultdict(list)
    for (near, far), handshakes in shared.items():
        steps[near].append((far, _fitted(sorted(handshakes))))
    known: dict[str, Clock] = {}
    for root in captures:
        if root in known:
            continue
        known[root] = Clock(0)
        waiting = [root]
        while waiting:
            here = waiting.pop()
            for far, step in steps[here]:
                if far not in known:
                    known[far] = _sum(known[here], step)
                    waiting.append(far)
    return known


def _ahead(one: Session, other: Session) -> int | None:
    """Return how far the other capture's clock is ahead, ns."""
    if one.syn_at is None or other.syn_at is None or one.syn_ack_at is None or other.syn_ack_at is None:
        return None
    return (other.syn_at.ts - one.syn_at.ts + other.syn_ack_at.ts - one.syn_ack_at.ts) // 2


def _fitted(handshakes: Sequence[Shared]) -> Clock:
    """Return the clock that the handshakes, by time, tell: a median, or a line where the last third tells another one."""
    ahead = Clock(median_low([ns for _, ns in handshakes]))
    third = len(handshakes) // 3
    if len(handshakes) < DRIFT_HANDSHAKES:
        return ahead
    (t1, ns1), (t2, ns2) = (_middle(part) for part in (handshakes[:third], handshakes[-third:]))
    if abs(ns2 - ns1) < ALIGN_NS or t2 <= t1:
        return ahead
    return Clock(ns1, t1, (ns2 - ns1) / (t2 - t1))


def _middle(handshakes: Sequence[Shared]) -> Shared:
    return median_low([ts for ts, _ in handshakes]), median_low([ns for _, ns in handshakes])


def _sum(here: Clock, step: Clock) -> Clock:
    """Return a clock told by how far it is ahead of another one; the few ms by which their times differ are nothing."""
    at = step.at or here.at
    ahead = here.ahead + round(here.rate * (at - here.at)) + step.ahead
    return Clock(ahead, at, here.rate + step.rate)
