"""Window: kept packets collected as rows until they are handed over as one Packets."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, NamedTuple

from analyzer.capture.packets import Facts, Packets, Row, Unreachable
from analyzer.capture.record import Data

ROWS_LIMIT = 65_536
"""Rows of one window."""

PAYLOAD_LIMIT_BYTES = 16 << 20
"""Payload octets of one window; with the rows this keeps a window near 40 MB."""

ADDRESSES_LIMIT = 1_000_000
"""Different addresses kept per capture: a flood with forged senders must not fill the memory."""

_TCP = Struct(">HHIIBBH").unpack_from
_TCP_BYTES = 20
_FLAGS = 0x1F
_NO_COLUMNS: tuple[tuple[int, ...], ...] = ((),) * len(Row._fields)


class Segment(NamedTuple):
    """One TCP packet found in a frame; positions are octets of ``data``, all of them in the file."""

    frame: int
    ts: int
    data: Data
    src: bytes
    dst: bytes
    at: int
    """First octet of the TCP header."""
    end: int
    """Behind the last octet in the file."""
    wire_end: int
    """Where the packet would end had it been captured whole."""
    ip_id: int
    ttl: int
    link: int


class Window:
    """Rows, payload and complaints of the current window; addresses of the whole capture."""

    def __init__(self, facts: Facts) -> None:
        self.full = False
        self._facts = facts
        self._addresses: list[str] = []
        self._indexes: dict[bytes, int] = {}
        self._clear()

    def _clear(self) -> None:
        self._rows: list[tuple[int, ...]] = []
        self._buffer = bytearray()
        self._unreachable: list[Unreachable] = []
        self._late = self.full = False

    def add(self, segment: Segment) -> None:
        """Keep one TCP packet; one whose header is cut or impossible is left out."""
        frame, ts, data, src, dst, at, end, wire_end, ip_id, ttl, link = segment
        if at + _TCP_BYTES > end:
            return
        sport, dport, seq, ack, words, flags, window = _TCP(data, at)
        payload = at + (words >> 4) * 4
        if words < 0x50 or payload > wire_end:
            return
        cut = wire_end - max(end, payload)
        octets = data[payload:end] if payload < end else b""
        tcp = (sport, dport, seq, ack, flags & _FLAGS)
        self.add_read(frame, ts, src, dst, tcp, octets, cut, (ip_id, ttl, link, window))

    def add_read(  # noqa: PLR0917
        self,
        frame: int,
        ts: int,
        src: bytes,
        dst: bytes,
        tcp: tuple[int, int, int, int, int],
        payload: bytes,
        cut: int,
        rest: tuple[int, int, int, int],
    ) -> None:
        """Keep one TCP packet that was read already: ``tcp`` are ports, numbers and flags, ``rest`` the last columns."""
        src_index, dst_index = self.index(src), self.index(dst)
        if src_index < 0 or dst_index < 0:
            return
        start = len(self._buffer)
        self._buffer += payload
        self._facts.snapped += cut > 0
        self._rows.append((frame, ts, src_index, dst_index, *tcp, start, len(payload), cut, *rest))
        self.full = len(self._rows) >= ROWS_LIMIT or start > PAYLOAD_LIMIT_BYTES

    def complain(self, unreachable: Unreachable) -> None:
        """Keep one 'destination unreachable'."""
        self._unreachable.append(unreachable)
        self.full = self.full or len(self._unreachable) >= ROWS_LIMIT

    def add_late(self, segments: list[Segment]) -> None:
        """Keep packets of a connection that turned out to be mail only now; they are put in file order."""
        self._late = True
        for segment in segments:
            self.add(segment)

    @property
    def waiting(self) -> int:
        """Rows collected."""
        return len(self._rows)

    @property
    def complaining(self) -> bool:
        """Whether routers complained."""
        return bool(self._unreachable)

    def surrender(self) -> list[list[Any]]:
        """Give the rows away as columns, each payload itself in the place of its start."""
        columns: list[list[Any]] = [list(column) for column in zip(*self._rows, strict=True)]
        starts, sizes = columns[9], columns[10]
        columns[9] = [bytes(self._buffer[a : a + n]) for a, n in zip(starts, sizes, strict=True)]
        self._rows, self._buffer, self._late = [], bytearray(), False
        return columns

    def count_snapped(self, count: int) -> None:
        """Count kept packets that the snap length cut, which did not come through :meth:`add`."""
        self._facts.snapped += count

    def packets(self, buffer: Data, columns: tuple[Sequence[int], ...]) -> Packets:
        """Put columns made elsewhere and the complaints up to now together."""
        unreachable, self._unreachable = self._unreachable, []
        return Packets(buffer, self._addresses, columns, unreachable)

    def take(self) -> Packets | None:
        """Hand over what was collected and begin anew; None when there is nothing."""
        if not self._rows and not self._unreachable:
            return None
        if self._late:
            self._rows.sort(key=lambda row: row[0])
        columns = tuple(zip(*self._rows, strict=True)) or _NO_COLUMNS
        packets = Packets(self._buffer, self._addresses, columns, self._unreachable)
        self._clear()
        return packets

    def room_for(self, count: int) -> bool:
        """Tell whether that many new addresses can be kept."""
        return len(self._addresses) + count <= ADDRESSES_LIMIT

    def index(self, address: bytes) -> int:
        """Return the index of an address, -1 when there are too many."""
        index = self._indexes.get(address)
        if index is None:
            if len(self._addresses) >= ADDRESSES_LIMIT:
                return self._too_many()
            index = self._indexes[address] = len(self._addresses)
            self._addresses.append(text(address))
        return index

    def _too_many(self) -> int:
        warning = f"more than {ADDRESSES_LIMIT} addresses: packets of further ones are left out"
        if warning not in self._facts.warnings:
            self._facts.warnings.append(warning)
        return -1


def text(address: bytes) -> str:
    """Return the canonical text of 4 or 16 octets (RFC 5952)."""
    if len(address) == 4:
        return "{}.{}.{}.{}".format(*address)
    import socket  # takes 4 ms to load

    return socket.inet_ntop(socket.AF_INET6, address)
