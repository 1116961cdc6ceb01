"""The release argument: somebody is let in just as somebody else has gone.

Whatever else keeps newcomers out ends without regard to who leaves. How likely it is by chance that it ended so soon after
a session had closed is the share of the time that lies within that span after some close. Several such chances are put
together as R. A. Fisher did: how often would so many, by chance, be as small as these.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from math import log, log10

LEAST_CHANCE = 1e-6
"""No single coincidence is taken for rarer: clocks and captures are not that exact."""


class Closes:
    """When slots came free."""

    def __init__(self, times: Iterable[int], end: int) -> None:
        """Take the times (ns) at which sessions closed, and when the capture ends."""
        self.times = sorted(times)
        gaps = sorted(b - a for a, b in pairwise([*self.times, max([end, *self.times[-1:]])]))
        self._gaps = gaps
        self._sums = [0, *accumulate(gaps)]

    def before(self, ts: int, since: int) -> int | None:
        """Return the last close from ``since`` up to ``ts``, ns, or None."""
        place = bisect_right(self.times, ts)
        return self.times[place - 1] if place and self.times[place - 1] >= since else None

    def share(self, within: int, span: int) -> float:
        """Return which share of ``span`` lies at most ``within`` after a close, both ns."""
        short = bisect_left(self._gaps, within)
        covered = self._sums[short] + (len(self._gaps) - short) * within
        return min(max(covered / span, LEAST_CHANCE), 1.0) if span > 0 else 1.0


def together_db(chances: Sequence[float]) -> float:
    """Return how unlikely it is that chance alone makes so many independent chances as small as these, in decibels."""
    if not chances:
        return 0.0
    x = -sum(map(log, chances))
    # The sum of n exponential variables exceeds x with probability exp(-x) (1 + x + x^2/2! + ...), n terms.
    term = total = 1.0
    for n in range(1, len(chances)):
        term *= x / n
        total += term
    return 10 * (x / log(10) - log10(total))
