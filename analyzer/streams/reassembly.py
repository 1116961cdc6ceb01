"""Half: one direction of a TCP connection; segments in any order become octets in order, each told once.

Positions are sequence numbers without their wrap: plain growing integers, equal to the wire modulo 2^32 (RFC 9293,
section 3.4). Nothing is decoded here, and no octet is kept once it was told.
"""

from __future__ import annotations

import mmap
from bisect import bisect_right, insort
from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from analyzer.at import NS_PER_MS, At, Side
from analyzer.capture.packets import ACK, FIN, PSH, SYN
from analyzer.streams.connection import Chunk, Stall

if TYPE_CHECKING:
    from analyzer.streams.tracking import Track

MASK = 0xFFFFFFFF
"""Sequence numbers count modulo 2^32."""
AHEAD = 1 << 31
"""A difference below this many octets means 'later', one above it 'earlier' (RFC 9293, section 3.4)."""
PLAUSIBLE_BYTES = 1 << 30
"""No window is larger (RFC 7323, section 2.3): an acknowledgement further ahead is damage, not a loss."""
STASH_BYTES = 1 << 20
"""Octets of one side kept behind a hole: a usual receive window; more means that the hole will not be filled."""
STASH_SEGMENTS = 1024
"""Segments of one side kept behind a hole: one-octet segments would make the octet limit costly."""
ONE_SIDED_SEGMENTS = 64
"""Segments that wait when the other side, whose acknowledgement would decide, is not in the capture at all."""
GAP_PACKETS = 4
"""Packets of the connection that pass before an acknowledged hole is a loss: capture queues swap neighbours."""
GAP_NS = 20 * NS_PER_MS
"""Time after which an acknowledged hole is a loss: interfaces merged into one file differ by a few ms."""
COPY_NS = 5 * NS_PER_MS
"""A mirrored copy follows within switch and capture latency; no retransmission timer is that short."""
COPY_WITHOUT_ID_NS = NS_PER_MS
"""The same for packets without IP identification that took the same path."""
RECENT = 8
"""Packets of one side that a copy is compared with; a power of two."""

_NEVER = (-1,) * 16
"""A row that equals no packet."""


class Piece(NamedTuple):
    """Octets that wait behind a hole; pieces of one side never overlap."""

    position: int
    end: int
    data: bytes
    cut: int
    """Octets missing behind ``data`` (snap length)."""
    at: At


class Half:
    """What one side sent: the next position, what waits behind a hole, what the other side acknowledged."""

    __slots__ = (
        "acked",
        "again",
        "base",
        "fast",
        "fin",
        "firm",
        "frame",
        "isn",
        "missed",
        "next",
        "octets",
        "packets",
        "passed",
        "peer",
        "push",
        "quiet",
        "recent",
        "repeats",
        "said_frame",
        "said_ts",
        "side",
        "since",
        "skip",
        "stash",
        "stash_bytes",
        "track",
        "ts",
        "ttl",
    )

    peer: Half
    track: Track

    def __init__(self, side: Side, push: Callable[[Chunk], int]) -> None:
        self.side = side
        self.push = push
        self.isn: int | None = None
        self.base: int | None = None
        self.firm = False  # until the first octet or a SYN, ``next`` is only a guess from an empty segment
        self.next = 0
        self.acked = 0
        self.fin: int | None = None
        self.octets = 0
        self.missed = 0
        self.stash: list[Piece] = []
        self.stash_bytes = 0
        self.since: tuple[int, int] | None = None
        self.packets = 0
        self.frame = 0
        self.ts = 0
        self.recent: list[tuple[int, ...]] = [_NEVER] * RECENT
        self.said_frame = self.said_ts = 0  # the last octets
        self.skip = 0  # octets the listener has no use for
        self.passed = 0  # octets that went by unread
        self.fast = False  # nothing waits: in-order octets may be told without a second look
        self.quiet = False  # the same for empty acknowledgements
        self.repeats = 0
        self.again: tuple[int, int, int, At, int] | None = None  # position, largest size, times, last, since
        self.ttl: int | None = None  # of the first data

    # -- where things are

    def begin(self, seq: int, *, firm: bool) -> None:
        """Set the position of the first octet; ``firm`` when it is known and not guessed."""
        self.base = self.next = self.acked = seq
        self.firm = firm

    def position(self, seq: int) -> int:
        """Return the position nearest to the next one that has this sequence number."""
        distance = (seq - self.next) & MASK
        return self.next + (distance if distance < AHEAD else distance - MASK - 1)

    def acknowledge(self, ack: int) -> None:
        """Take the other side's acknowledgement number."""
        position = self.position(ack)
        if self.firm and self.acked < position <= self.next + PLAUSIBLE_BYTES:
            self.acked = position

    @property
    def owed(self) -> int:
        """Position up to which the other side has octets that we have not seen; ``next`` when there is none."""
        edge = self.acked if self.fin is None else min(self.acked, self.fin)
        # One lone octet is the FIN, when the capture missed that packet.
        return edge if edge - self.next > 1 or (self.stash and edge > self.next) else self.next

    @property
    def waiting(self) -> bool:
        """Whether there is a hole."""
        return bool(self.stash) or self.owed > self.next

    # -- mirrored copies

    def forget(self) -> None:
        """Forget the recent packets: the buffer their payloads lie in is about to go."""
        self.recent = [_NEVER] * RECENT

    def copies(self, row: tuple[int, ...], octets: memoryview | mmap.mmap) -> bool:
        """Tell whether the packet is a mirrored copy of one just seen (SPAN of two ports, routed mirror, Npcap).

        Same numbers, same payload, a few ms apart and the same IP identification: a retransmission gets a new
        identification and comes a timeout later. Where the identification is 0 (IPv6; SYN/ACK and RST of Linux), the
        copy must have taken another path (TTL or link header), or follow within 1 ms and be of a kind that nobody
        sends twice so soon. An answer may come twice at once: SYN/ACK by timer and for a repeated SYN, RST for each
        of two segments, a duplicate ACK (RFC 5681); those count as copies once the connection has shown another.
        """
        _, ts, _, _, _, _, seq, ack, flags, start, size, cut, ip_id, ttl, link, window = row
        for old in self.recent:
            if (
                old[6] == seq
                and old[7] == ack
                and old[8] == flags
                and old[10] == size
                and old[11] == cut
                and old[12] == ip_id
                and old[15] == window
                and (age := abs(ts - old[1])) <= COPY_NS
                and octets[old[9] : old[9] + size] == octets[start : start + size]
            ):
                if ip_id or old[13] != ttl or old[14] != link:
                    return True
                sent_once = size or flags & FIN or flags & (SYN | ACK) == SYN
                if age <= COPY_WITHOUT_ID_NS and (sent_once or self.track.duplicates):
                    return True
        return False

    # -- octets

    def take(self, position: int, data: bytes, cut: int, at: At, flags: int) -> bool:
        """Take a segment with payload; tell what is in order now. Return False when nothing of it was new."""
        end = position + len(data) + cut
        if not self.firm and not self._first(position, end, flags):
            return True
        if position == self.next - 1 and len(data) > 1 and not self.octets + self.missed and self.isn is not None:
            # Written by a program that does not count the SYN: no TCP sends data on its number, nor a keep-alive this long.
            self.begin(position, firm=True)
        if end <= self.next:
            if end > self.acked:
                self._insist(position, end - position, at)
            # A keep-alive repeats the last octet (RFC 9293, section 3.8.4): no retransmission.
            return end == self.next and end - position == 1
        if not self.stash and position <= self.next:
            skip = self.next - position
            self._give(data[skip:], cut - max(0, skip - len(data)), at)
            return True
        new = self._stash(max(position, self.next), Piece(position, end, data, cut, at))
        while self.stash and self.stash[0].position == self.next:
            piece = self._pop()
            self._give(piece.data, piece.cut, at)
        return new

    def _insist(self, position: int, size: int, at: At) -> None:
        """Note octets that are sent again because nobody took them."""
        old = self.again
        if old is None or old[0] < self.acked:
            self.again = (position, size, 2, at, at.ts)
        elif position <= old[0]:
            self.again = (position, max(size, old[1]), old[2] + 1, at, old[4])

    def _first(self, position: int, end: int, flags: int) -> bool:
        """Begin in mid-stream with a segment; False when it is a keep-alive, whose octet was sent long ago."""
        lone = end - position == 1 and not flags & PSH
        if lone and (self.packets <= 1 or end == self.next):
            self.begin(end, firm=False)
            return False
        self.begin(position, firm=True)
        return True

    def give(self, data: bytes, at: At) -> None:
        """Tell the next octets."""
        self.said_frame, self.said_ts = at
        self.skip = self.push(Chunk(self.side, data, at, 0, self.passed))
        self.passed = 0
        self.next += len(data)
        self.octets += len(data)

    def _give(self, data: bytes, cut: int, at: At, lost: int = 0) -> None:
        self.said_frame, self.said_ts = at
        if data or lost:
            self.skip = self.push(Chunk(self.side, data, at, lost, self.passed))
            self.passed = 0
        if cut:
            self.skip = self.push(Chunk(self.side, b"", at, cut, self.passed))
            self.passed = 0
        self.next += lost + len(data) + cut
        self.octets += len(data)
        self.missed += lost + cut

    def _pop(self) -> Piece:
        piece = self.stash.pop(0)
        self.stash_bytes -= len(piece.data)
        return piece

    def _stash(self, start: int, whole: Piece) -> bool:
        """Keep the parts of a segment that no earlier one holds: first octets win."""
        index = bisect_right(self.stash, start, key=itemgetter(0))
        if index:
            start = max(start, self.stash[index - 1].end)
        parts: list[Piece] = []
        for held in self.stash[index:]:
            if held.position >= whole.end:
                break
            if held.position > start:
                parts.append(_part(whole, start, held.position))
            start = held.end
        if start < whole.end:
            parts.append(_part(whole, start, whole.end))
        for part in parts:
            insort(self.stash, part, key=itemgetter(0))
            self.stash_bytes += len(part.data)
        return bool(parts)

    # -- holes

    def look(self, at: At) -> None:
        """Tell a hole as lost once waiting for its octets makes no sense any more."""
        owed = self.owed
        if not self.packets or owed <= self.next:
            self.since = None
        elif self.since is None:
            self.since = (self.packets + self.peer.packets, at.ts)
        else:
            packets, ts = self.since
            if self.packets + self.peer.packets - packets >= GAP_PACKETS or at.ts - ts >= GAP_NS:
                self.since = None
                self.give_up(owed, at)
        limit = STASH_SEGMENTS if self.peer.packets else ONE_SIDED_SEGMENTS
        while len(self.stash) > limit or self.stash_bytes > STASH_BYTES:
            self.give_up(self.stash[0].position, at)

    def give_up(self, edge: int, at: At) -> None:
        """Tell all octets missing before ``edge`` as lost, and what waited behind them.

        Octets that waited keep the frame they came in: their receiver lacked nothing, only the capture does.
        """
        while True:
            stop = min(edge, self.stash[0].position) if self.stash else edge
            lost = max(0, stop - self.next)
            if self.stash and self.stash[0].position == self.next + lost:
                piece = self._pop()
                self._give(piece.data, piece.cut, piece.at, lost)
            elif lost:
                self._give(b"", 0, at, lost)
            else:
                return

    def stall(self) -> Stall | None:
        """Return what was sent and not taken to the end; asked before :meth:`finish`."""
        base, again = self.base, self.again
        if base is None or not self.firm or not self.peer.packets:
            return None
        taken = self.acked - base
        if again is not None and again[0] >= self.acked:
            return Stall(self.side, again[3], again[1], again[2], taken, again[4], self.peer.ts)
        if self.stash and self.acked <= self.next:
            first = self.stash[0]
            hole = first.position - self.next
            return Stall(self.side, first.at, hole, 0, taken, first.at.ts, self.peer.ts)
        return None

    def finish(self, at: At) -> None:
        """Tell every hole: the connection, or the capture, is over."""
        if not self.packets:
            return  # a side the capture does not hold is one-sidedness, not loss
        edge = max(self.owed, self.stash[-1].position if self.stash else self.next)
        if self.fin is not None and self.fin <= self.next + PLAUSIBLE_BYTES:
            edge = max(edge, self.fin)
        self.give_up(edge, at)


def _part(whole: Piece, start: int, end: int) -> Piece:
    """Return the octets of a segment from ``start`` to ``end``."""
    data = whole.data[start - whole.position : end - whole.position]
    return Piece(start, end, data, end - start - len(data), whole.at)
