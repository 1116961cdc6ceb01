"""Overlay: what is shown of the octets one side of a connection sent, by their place; all else is masked."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from struct import Struct

from analyzer.report.redaction.lines import masked

_RECORD = Struct(">BBBH")
_RECORD_BYTES = 5
_KINDS = range(0x14, 0x19)  # RFC 8446, section 5.1
_MODULUS = 1 << 32


class Overlay:
    """The octets of one side that stay, or what takes their place."""

    __slots__ = (
        "_ends", "_head", "_last", "_octets", "_offsets", "_open", "_record", "_starts", "base", "next", "opaque",
    )  # fmt: skip

    def __init__(self) -> None:
        self.base: int | None = None  # sequence number of the first octet
        self.next = 0  # octets heard of until now
        self.opaque: int | None = None  # place from which on all octets are zeros but the heads of TLS records
        self._last = 0
        self._open: dict[int, bytes] = {}
        self._starts, self._ends, self._octets = array("q"), array("q"), bytearray()
        self._head = b""  # of a record whose head is not whole
        self._record = 0  # octets of the record still to come; -1: not in step
        self._offsets = array("q", [0])

    def put(self, place: int, octets: bytes) -> None:
        """Show these octets at a place."""
        self._open[place] = octets

    def close(self) -> None:
        """Settle what is shown; nothing more will come."""
        for place in sorted(self._open):
            if self._ends and place < self._ends[-1]:
                continue
            self._starts.append(place)
            self._ends.append(place + len(self._open[place]))
            self._octets += self._open[place]
        self._open.clear()
        for start, end in zip(self._starts, self._ends, strict=True):
            self._offsets.append(self._offsets[-1] + end - start)

    def secure(self, place: int) -> None:
        """Take note that TLS, or something as opaque, begins."""
        if self.opaque is None:
            self.opaque = place

    def records(self, place: int, data: bytes) -> int:
        """Take octets of TLS records at a place; return how many next ones hold no head of one."""
        at = 0
        while self._record >= 0 and at < len(data):
            if self._record:
                passed = min(self._record, len(data) - at)
                self._record -= passed
                at += passed
                continue
            need = _RECORD_BYTES - len(self._head)
            self._head, begin = self._head + data[at : at + need], place + at - len(self._head)
            at += need
            if len(self._head) == _RECORD_BYTES:
                self._begin(begin)
        return self._record if self._record >= 0 else 1 << 62

    def passed(self, count: int) -> None:
        """Take note of octets that were not shown to :meth:`records`: a record's, or more, and then its end is lost."""
        self._record = self._record - count if self._record >= count else -1

    def _begin(self, place: int) -> None:
        kind, major, _, size = _RECORD.unpack(self._head)
        if kind in _KINDS and major == 3:
            self.put(place, self._head)
            self._record, self._head = size, b""
        else:
            self._record = -1

    def rewind(self) -> None:
        """Take note that the packets come from the start again."""
        self._last = 0

    def shown(self, seq: int, payload: bytes) -> bytes:
        """Return what is shown of a segment with this sequence number."""
        if self.base is None or not payload:
            return masked(payload)
        place = self._place(seq)
        end = place + len(payload)
        made = bytearray(masked(payload))
        if self.opaque is not None and end > self.opaque:
            first = max(self.opaque - place, 0)
            made[first:] = bytes(len(payload) - first)
        index = max(bisect_right(self._starts, place) - 1, 0)
        while index < len(self._starts) and self._starts[index] < end:
            start, stop = max(self._starts[index], place), min(self._ends[index], end)
            if start < stop:
                at = self._offsets[index] + start - self._starts[index]
                made[start - place : stop - place] = self._octets[at : at + stop - start]
            index += 1
        return bytes(made)

    def _place(self, seq: int) -> int:
        """Return the place nearest to the last one that has this sequence number."""
        distance = (seq - (self.base or 0) - self._last) % _MODULUS
        self._last += distance if distance < _MODULUS // 2 else distance - _MODULUS
        return self._last
