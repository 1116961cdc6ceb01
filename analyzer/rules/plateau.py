"""Refusals against open sessions: how the refused and the accepted logins stand to the number already open.

The rank argument: of N logins by hosts that are known to have good credentials, r were refused. If every refusal came
with more sessions open than every acceptance had, chance alone would have brought that about in one of C(N, r) orders,
so it weighs 10 log10 C(N, r) decibels.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from math import lgamma, log
from typing import NamedTuple

from analyzer.at import NS_PER_S
from analyzer.sessions.concurrency import Span, Steps

REFUSALS_NEEDED = 3
"""Refusals from which on their standing means something; one or two may be mishaps."""
RELEASE_S = 3.0
"""Seconds after a session closed during which the server may still count it: slots are freed when its side notices."""


class Standing(NamedTuple):
    """How refusals and acceptances stand to the number of open sessions."""

    height: int | None
    """Open sessions when refusals came, those just after a close left out: the most frequent number, or None without any."""
    least_refused: int | None
    """Fewest open at any refusal; with those that had just closed, as the server may still count them."""
    most_accepted: int | None
    """Most open just before any acceptance."""
    at_height: int
    """Refusals that came with exactly ``height`` open."""
    below: int
    """Refusals with fewer open than some acceptance had: a limit does not do that."""
    counted: int
    """Refusals that did not come just after a close."""
    unsure: int = 0
    """Further sessions that may have been open without the capture showing it."""
    blurred: int = 0
    """Refusals just after a close: how many sessions the server counted then is known from above only."""

    @property
    def refusals(self) -> int:
        """All refusals."""
        return self.counted + self.blurred

    @property
    def near(self) -> bool:
        """The same but for a session or two that the capture lost, and told by refusals enough not to be a mishap."""
        if self.least_refused is None or self.most_accepted is None or self.counted < REFUSALS_NEEDED:
            return False
        return self.least_refused + min(self.unsure, max(1, (self.height or 0) // 8)) > self.most_accepted

    @property
    def clean(self) -> bool:
        """Every refusal came with more open than any acceptance had."""
        return (
            self.least_refused is not None
            and self.most_accepted is not None
            and self.least_refused > self.most_accepted
        )


class Levels(NamedTuple):
    """How many sessions were open just before each login."""

    refused: list[int]
    """Of refusals; those just after a close are left out."""
    blurred: list[int]
    """Of refusals just after a close, with all those that had just closed: the server counted no more than that."""
    accepted: list[int]


def levels(refused: Sequence[int], accepted: Sequence[int], open_spans: Sequence[Span], line: Steps) -> Levels:
    """Look up how many sessions were open just before each refusal and each acceptance, at these times (ns)."""
    closes = sorted(s.closed for s in open_spans if s.closed is not None)
    found = Levels([], [], [line.at(ts) for ts in accepted])
    for ts in refused:
        gone = bisect_left(closes, ts) - bisect_right(closes, ts - int(RELEASE_S * NS_PER_S))
        (found.blurred if gone else found.refused).append(line.at(ts) + gone)
    return found


def compared(found: Levels, *, unsure: int = 0) -> Standing:
    """Compare the sessions open at refusals with those open at acceptances.

    ``unsure`` is how many further sessions may have been open without the capture showing it: a refusal is ``below`` only
    when it would be even with all of them.
    """
    most_accepted = max(found.accepted, default=None)
    counted = Counter(found.refused)
    height = max(counted, key=lambda n: (counted[n], n), default=None)
    at_most = [*found.refused, *found.blurred]
    return Standing(
        height=height,
        least_refused=min(at_most, default=None),
        most_accepted=most_accepted,
        at_height=counted[height] if height is not None else 0,
        below=sum(1 for n in at_most if most_accepted is not None and n + unsure <= most_accepted),
        counted=len(found.refused),
        unsure=unsure,
        blurred=len(found.blurred),
    )


def standing(
    refused: Sequence[int], accepted: Sequence[int], open_spans: Sequence[Span], line: Steps, *, unsure: int = 0
) -> Standing:
    """Compare the times (ns) of refusals and acceptances with how many sessions were open just before each."""
    return compared(levels(refused, accepted, open_spans, line), unsure=unsure)


def rank_db(accepted: int, refused: int) -> float:
    """Return 10 log10 C(accepted + refused, refused): how unlikely chance is to put all refusals on top."""
    n = accepted + refused
    return 10 / log(10) * (lgamma(n + 1) - lgamma(refused + 1) - lgamma(accepted + 1))
