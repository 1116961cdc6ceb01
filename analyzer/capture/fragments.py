"""IP datagrams in fragments put together again, in bounded memory."""

from __future__ import annotations

from analyzer.at import NS_PER_S
from analyzer.capture.headers import Datagram, Fragment

OPEN_LIMIT = 256
"""Datagrams waited for at once; the oldest is given up (its octets become a gap in the stream)."""

PIECES_LIMIT = 2048
"""Fragments of one datagram: 65,535 octets in pieces of at least 8, rounded to what any real path makes."""

AGE_LIMIT_NS = 60 * NS_PER_S
"""Time a datagram is waited for (RFC 8200, section 4.5); later fragments of the same number are another one's."""

OCTETS_LIMIT = 65_535
"""Largest datagram."""

_Key = tuple[bytes, bytes, int, int]


class _Parts:
    """The pieces of one datagram seen so far."""

    __slots__ = ("octets", "pieces", "started", "total")

    def __init__(self, started: int) -> None:
        self.started = started
        self.pieces: dict[int, bytes] = {}
        self.octets = 0
        self.total: int | None = None

    def add(self, fragment: Fragment, piece: bytes) -> None:
        if not fragment.more:
            self.total = fragment.offset + len(piece)
        if fragment.offset not in self.pieces and len(self.pieces) < PIECES_LIMIT and self.octets < OCTETS_LIMIT:
            self.pieces[fragment.offset] = piece
            self.octets += len(piece)

    def whole(self) -> bytes | None:
        """Return the datagram when no octet is missing; where pieces overlap the earlier place wins."""
        if self.total is None or self.octets < self.total:
            return None
        joined = bytearray()
        for offset in sorted(self.pieces):
            if offset > len(joined):
                return None
            joined += self.pieces[offset][len(joined) - offset :]
        return bytes(joined[: self.total])


class Fragments:
    """Collects fragments until a datagram is whole."""

    def __init__(self) -> None:
        self._open: dict[_Key, _Parts] = {}

    def add(self, ts: int, datagram: Datagram, fragment: Fragment, piece: bytes) -> bytes | None:
        """Take one fragment; return the octets behind the IP header once the datagram is whole."""
        if datagram.end < datagram.wire_end or fragment.offset + len(piece) > OCTETS_LIMIT:
            return None  # cut by the snap length, or impossible: can never become whole
        key = (datagram.src, datagram.dst, datagram.proto, fragment.ident)
        parts = self._open.get(key)
        if parts is None or ts - parts.started > AGE_LIMIT_NS:
            self._open.pop(key, None)
            parts = self._open[key] = _Parts(ts)
        parts.add(fragment, piece)
        whole = parts.whole()
        if whole is not None:
            del self._open[key]
        elif len(self._open) > OPEN_LIMIT:
            del self._open[next(iter(self._open))]
        return whole
