"""Ring buffers: which captures continue one another, and where a frame of all of them together stands.

What tells is content and time: the files have the same kind of link, do not overlap and follow each other soon, and a
connection that one leaves open goes on in a later one without a handshake. Two capture points are told apart from
that by a handshake which both hold.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from analyzer.at import NS_PER_S
from analyzer.sessions.coverage import CaptureSeen
from analyzer.sessions.session import Session

OVERLAP_NS = NS_PER_S
"""Files of one series may overlap by this: packets of several queues or interfaces are written a little out of order."""
GAP_NS = 900 * NS_PER_S
"""Quiet time between two files of one series; a lost file may be as long again as twice its longer neighbour."""
LINGER_NS = 60 * NS_PER_S
"""Time after its end in which a closed connection may still get a packet (TIME-WAIT of common systems)."""

Ends = frozenset[tuple[str, int]]


class Run(NamedTuple):
    """Captures that continue one another, in order of time."""

    names: tuple[str, ...]
    before: tuple[int, ...]
    """Frames of all earlier ones, for each."""

    def place(self, frame: int) -> tuple[str, int]:
        """Return the capture and the frame in it of a frame counted through all captures."""
        part = bisect_right(self.before, frame - 1) - 1
        return self.names[part], frame - self.before[part]


def runs(seen: Sequence[CaptureSeen], sessions: Iterable[Session]) -> list[Run]:
    """Return the series among captures that were read one by one."""
    ordered = _timed(seen)
    if len(ordered) < 2:
        return []
    held: dict[str, list[Session]] = defaultdict(list)
    for s in sessions:
        held[s.capture].append(s)
    groups = _Groups(ordered, held)
    packets = {x.name: x.packets for x in seen}
    return [run_of([x.name for x in group], packets) for group in groups.found()]


def run_of(names: Sequence[str], packets: Mapping[str, int]) -> Run:
    """Make the series of some captures, by the frames that each holds."""
    return Run(tuple(names), tuple(accumulate([packets[name] for name in names[:-1]], initial=0)))


def _timed(seen: Sequence[CaptureSeen]) -> list[CaptureSeen]:
    """Return the captures with frames, by time; names that are not alone say nothing."""
    names = [x.name for x in seen]
    good = [x for x in seen if x.start is not None and x.end is not None and names.count(x.name) == 1]
    return sorted(good, key=lambda x: (x.start, x.end))


class _Groups:
    """Captures by time, put together where a connection goes on from one to a later one."""

    def __init__(self, ordered: Sequence[CaptureSeen], held: dict[str, list[Session]]) -> None:
        self._ordered, self._held = ordered, held
        self._of = list(range(len(ordered)))
        """Group of each capture: the number of its first one."""

    def found(self) -> list[list[CaptureSeen]]:
        """Return the groups of several captures."""
        shared = _handshakes(self._ordered, self._held)
        latest: dict[Ends, tuple[int, Session]] = {}
        for there, capture in enumerate(self._ordered):
            for s in self._held[capture.name]:
                here, before = latest.get(_ends(s), (there, s))
                if here != there and _goes_on(before, s) and (here, there) not in shared and self._follows(here, there):
                    self._join(here, there)
                latest[_ends(s)] = there, s
        groups: dict[int, list[CaptureSeen]] = defaultdict(list)
        for number, capture in zip(self._of, self._ordered, strict=True):
            groups[number].append(capture)
        return [group for group in groups.values() if len(group) > 1 and _in_turn(group)]

    def _follows(self, here: int, there: int) -> bool:
        """Tell whether one capture may go on in another: no overlap, and no long time of which there is no capture."""
        one, other = self._ordered[here], self._ordered[there]
        return (
            one.link_types == other.link_types
            and one.resolution == other.resolution
            and _in_turn((one, other))
            and all(_soon(*pair) for pair in pairwise(self._ordered[here : there + 1]))
        )

    def _join(self, here: int, there: int) -> None:
        old, new = self._of[there], self._of[here]
        self._of = [new if number == old else number for number in self._of]


def _ends(s: Session) -> Ends:
    return frozenset(((s.client, s.client_port), (s.server, s.server_port)))


def _goes_on(before: Session, s: Session) -> bool:
    """Tell whether a session seems to be the rest of one in an earlier capture: it does not begin anew."""
    if before.closed_at is not None and s.start - before.end > LINGER_NS:
        return False
    if s.syn_at is not None:  # asked again, nobody having answered yet
        return s.client_isn == before.client_isn and before.syn_ack_at is None
    return s.syn_ack_at is None or before.syn_ack_at is None


def _span(capture: CaptureSeen) -> tuple[int, int]:
    return capture.start or 0, capture.end or 0


def _in_turn(captures: Sequence[CaptureSeen]) -> bool:
    """Tell whether captures in order of time do not overlap."""
    spans = [_span(x) for x in captures]
    return all(end - OVERLAP_NS <= start for (_, end), (start, _) in pairwise(spans))


def _soon(one: CaptureSeen, other: CaptureSeen) -> bool:
    (start, end), (again, over) = _span(one), _span(other)
    return again - end <= max(GAP_NS, 2 * (end - start), 2 * (over - again))


def _handshakes(ordered: Sequence[CaptureSeen], held: dict[str, list[Session]]) -> set[tuple[int, int]]:
    """Return the pairs of captures that hold the same handshake: they saw the same from two points."""
    first: dict[tuple[Ends, int, int], int] = {}
    pairs: set[tuple[int, int]] = set()
    for number, capture in enumerate(ordered):
        for s in held[capture.name]:
            if s.client_isn is not None and s.server_isn is not None:
                pairs.add((first.setdefault((_ends(s), s.client_isn, s.server_isn), number), number))
    return pairs
