"""Overlay: what is shown of the octets one side of a connection sent, by their place; all else is masked."""

from __future__ import annotations

from array import array
from bisect import bisect_right

from analyzer.report.redaction.lines import masked

_MODULUS = 1 << 32


class Overlay:
    """The octets of one side that stay, or what takes their place."""

    __slots__ = (
        "_ends", "_last", "_octets", "_offsets", "_open", "_starts", "base", "next", "opaque",
    )  # fmt: skip

    def __init__(self) -> None:
        self.base: int | None = None  # sequence number of the first octet
        self.next = 0  # octets heard of until now
        self.opaque: int | None = None  # place from which on all octets are zeros, but for those shown
        self._last = 0
        self._open: dict[int, bytes] = {}
        self._starts, self._ends, self._octets = array("q"), array("q"), bytearray()
        self._offsets = array("q", [0])

    def put(self, place: int, octets: bytes) -> None:
        """Show these octets at a place."""
        self._open[place] = octets

    def offer(self, place: int, octets: bytes) -> None:
        """Show these octets at a place of which nothing else is shown."""
        self._open.setdefault(place, octets)

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
