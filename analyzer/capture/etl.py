"""Windows event traces (.etl) of 'netsh trace start capture=yes' and 'pktmon start --capture': the packets in them.

An event trace holds buffers, one processor's each, of events; packets of all processors are put in order of time and
written as pcapng, which is then read like any other. Structures: WMI_BUFFER_HEADER, SYSTEM_TRACE_HEADER,
TRACE_LOGFILE_HEADER and EVENT_HEADER (evntrace.h, evntcons.h; Geoff Chappell's descriptions of the raw forms); events of
the providers Microsoft-Windows-NDIS-PacketCapture and Microsoft-Windows-PktMon by their manifests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from struct import Struct, error
from typing import NamedTuple
from uuid import UUID

from analyzer.at import NS_PER_S
from analyzer.capture.record import Data

PACKETS_LIMIT = 5_000_000
"""Packets of one trace; they are sorted, and each takes some 200 octets of memory for that."""

_BUFFER_BYTES, _BUFFER_LIMIT_BYTES = 72, 16 << 20
_BUFFER = Struct("<48xIHH").unpack_from  # octets used, flags, type
_COMPRESSED = 0x40
_MARKER = 0xC0
_SYSTEM_32, _SYSTEM_64, _EVENT_32, _EVENT_64 = 1, 2, 0x12, 0x13
_SIZE_BEHIND_MARKER = frozenset({1, 2, 3, 4, 0x10, 0x11})  # system and performance events: the size comes second
_SYSTEM_BYTES, _EVENT_BYTES = 32, 80
_EVENT = Struct("<HBBHHIIQ16sHBBBBHQ").unpack_from
_EXTENDED = 1
_ITEM = Struct("<4xHH").unpack_from  # whether another one follows, octets

_NDISCAP = UUID("2ed6006e-4729-4609-b423-3ee7bcd678ef").bytes_le
_PKTMON = UUID("4d4f80d9-c8bd-4d73-bb5b-19c90402c5ac").bytes_le
_FRAGMENT, _PACKET, _DROP = 1001, 160, 170
_SWITCHED = frozenset(range(1003, 1022))
_WIRELESS_WAN, _NATIVE_WLAN, _PACKET_END = 0x200, 0x10000, 0x80000000  # keywords
_NDIS = Struct("<8xI").unpack_from  # interfaces, octets of the fragment
_PKTMON_HEAD = Struct("<QH4xH6xII").unpack_from  # group, number, type, drop reason, drop location
_PKTMON_BYTES = 34
_PKTMON_HEADS: tuple[int, ...] = (_PKTMON_BYTES, *range(_PKTMON_BYTES - 8, _PKTMON_BYTES + 24, 2))
"""Octets before the frame: as documented, then what other versions may have."""
_SIZES = Struct("<HH").unpack_from  # octets on the wire, octets logged
_PKTMON_LINKS = {1: 1, 2: 105, 3: 101}

_FILETIME_1970 = 116_444_736_000_000_000  # 1601 to 1970 in units of 100 ns
_QPC, _FILETIME, _CYCLES = 1, 2, 3
_CLOCKS = Struct("<QQQI").unpack_from  # boot time, frequency, start, kind of clock
_CLOCKS_AT = {_SYSTEM_32: 240, _SYSTEM_64: 248}
_MHZ_AT = 52


class Packet(NamedTuple):
    """One packet of a trace."""

    ticks: int
    link: int
    wire: int
    at: int
    """First octet in the trace."""
    size: int
    octets: bytes | None = None
    """The frame where it does not lie in the trace as it is."""


class Clock(NamedTuple):
    """What turns the ticks of events into time."""

    kind: int
    start_ns: int
    first: int
    """Ticks at the start."""
    frequency: int

    def ns(self, ticks: int) -> int:
        """Return ns since the Unix epoch."""
        if self.kind == _FILETIME or not self.frequency:
            return max((ticks - _FILETIME_1970) * 100, 0)
        return max(self.start_ns + (ticks - self.first) * NS_PER_S // self.frequency, 0)


class Trace:
    """The packets of one event trace; ``warnings`` are complete once all were taken."""

    def __init__(self, data: Data) -> None:
        self.clock = _clock(data)
        self.warnings: list[str] = []
        self.damage: str | None = None
        self.count = 0
        """Packets found."""
        self._data = data
        self._parts = bytearray()
        self._seen: set[tuple[int, int]] = set()
        self._drops: Counter[int] = Counter()
        self._copies = self._compressed = self._switched = 0

    def packets(self) -> Iterator[Packet]:
        """Yield the packets in file order, which is not that of time."""
        for start, end in self._buffers():
            for packet in self._events(start, end):
                yield packet
                self.count += 1
                if self.count >= PACKETS_LIMIT:
                    self.damage = f"the trace holds more than {PACKETS_LIMIT} packets"
                    return
        self._conclude()

    def _buffers(self) -> Iterator[tuple[int, int]]:
        """Yield where the events of each buffer begin and end."""
        data, at, total = self._data, 0, len(self._data)
        while at + _BUFFER_BYTES <= total:
            size = int.from_bytes(data[at : at + 4], "little")
            if not _BUFFER_BYTES < size <= _BUFFER_LIMIT_BYTES:
                return  # what was kept free for further buffers
            _, flags, _ = _BUFFER(data, at)
            if at + size > total:
                self.damage = "the file ends inside a buffer of events"
            if flags & _COMPRESSED:
                self._compressed += 1
            else:
                yield at + _BUFFER_BYTES, min(at + size, total)
            at += size

    def _events(self, at: int, end: int) -> Iterator[Packet]:
        data = self._data
        while at + 8 <= end:
            first, kind, marker, second = (
                data[at] | data[at + 1] << 8,
                data[at + 2],
                data[at + 3],
                data[at + 4] | data[at + 5] << 8,
            )
            if marker & _MARKER != _MARKER:
                return
            size = second if kind in _SIZE_BEHIND_MARKER else first
            if size < 8 or at + size > end:
                return
            if kind in (_EVENT_32, _EVENT_64) and size >= _EVENT_BYTES and (packet := self._event(at, size)):
                yield packet
            at += size + 7 & ~7

    def _event(self, at: int, size: int) -> Packet | None:
        """Return the packet of an event; None for an event of another kind, or half a packet."""
        octets = self._data[at : at + size]
        _, _, _, flags, _, _, _, ticks, provider, number, _, _, _, _, _, keyword = _EVENT(octets)
        if provider not in (_NDISCAP, _PKTMON):
            return None
        try:
            begin = _behind_extended(octets) if flags & _EXTENDED else _EVENT_BYTES
            if provider == _NDISCAP:
                return self._ndiscap(ticks, number, keyword, octets[begin:], at + begin)
            return self._pktmon(ticks, number, octets[begin:], at + begin) if number in (_PACKET, _DROP) else None
        except (IndexError, error):
            return None

    def _ndiscap(self, ticks: int, number: int, keyword: int, body: bytes, at: int) -> Packet | None:
        """Join the pieces of a packet (Windows before 8.1 wrote several) up to the one that ends it."""
        if number != _FRAGMENT:
            self._switched += number in _SWITCHED
            return None
        piece = body[12 : 12 + _NDIS(body)[0]]
        joined = bool(self._parts)
        self._parts += piece
        if not keyword & _PACKET_END:
            if len(self._parts) > _BUFFER_LIMIT_BYTES:
                self._parts.clear()
            return None
        link = 105 if keyword & _NATIVE_WLAN else 101 if keyword & _WIRELESS_WAN else 1
        frame = bytes(self._parts)
        self._parts.clear()
        kept = _decrypted(frame) if link == 105 else frame if joined else None
        return Packet(ticks, link, max(len(frame), _wire(frame, link)), at + 12, len(frame), kept)

    def _pktmon(self, ticks: int, number: int, body: bytes, at: int) -> Packet | None:
        """Take a packet as the first component saw it; further components, and drops, tell the same packet again."""
        group, count, kind, why, _ = _PKTMON_HEAD(body)
        head = _pktmon_head(body)
        wire, size = _SIZES(body, head - 4)
        if number == _DROP:
            self._drops[why] += 1
        link = _PKTMON_LINKS.get(kind)
        if link is None:
            return None
        if (group, count) in self._seen:
            self._copies += 1
            return None
        self._seen.add((group, count))
        frame = body[head : head + size]
        kept = _decrypted(frame) if link == 105 else None
        return Packet(ticks, link, max(wire, len(frame)), at + head, len(frame), kept)

    def _conclude(self) -> None:
        told = (
            (self._compressed, "buffers of the trace are compressed and were skipped"),
            (self._switched, "packets of a virtual switch were skipped"),
            (self._copies, "further appearances of packets in other parts of the network stack were set aside"),
        )
        self.warnings += [f"{count} {what}" for count, what in told if count]
        if self._drops:
            from analyzer.capture.drops import reason

            reasons = "; ".join(f"{count} x {reason(number)}" for number, count in self._drops.most_common(5))
            self.warnings.append(f"Windows itself dropped {_packets(self._drops.total())}: {reasons}")


def _packets(count: int) -> str:
    return "1 packet" if count == 1 else f"{count} packets"


def is_etl(start: bytes) -> bool:
    """Tell an event trace by its first buffer, whose first event is the header of the trace."""
    size = int.from_bytes(start[:4], "little")
    return (
        len(start) > 75
        and start[74] in (_SYSTEM_32, _SYSTEM_64)
        and start[75] == _MARKER
        and 0 < size <= _BUFFER_LIMIT_BYTES
        and size % 512 == 0
    )


def _clock(data: Data) -> Clock:
    """Read the header of the trace, the first event of the first buffer."""
    at = _BUFFER_BYTES
    kind, first = data[at + 2], int.from_bytes(data[at + 16 : at + 24], "little")
    body = at + _SYSTEM_BYTES
    try:
        _, frequency, start, clock = _CLOCKS(data, body + _CLOCKS_AT.get(kind, 248))
        if clock == _CYCLES:
            frequency = int.from_bytes(data[body + _MHZ_AT : body + _MHZ_AT + 4], "little") * 1_000_000
    except error:
        return Clock(_FILETIME, 0, 0, 0)
    return Clock(clock, (start - _FILETIME_1970) * 100, first, frequency)


def _behind_extended(octets: bytes) -> int:
    """Step over the extended data items behind an event's header."""
    at = _EVENT_BYTES
    while True:
        more, size = (int(word) for word in _ITEM(octets, at))
        at += 8 + size + 7 & ~7
        if not more & 1:
            return at


def _pktmon_head(body: bytes) -> int:
    """Return where the frame begins: the size logged stands just before it and must lead to the end of the event."""
    for head in _PKTMON_HEADS:
        logged: int = _SIZES(body, head - 4)[1]
        if logged and logged == len(body) - head:
            return head
    return _PKTMON_BYTES


def _decrypted(frame: bytes) -> bytes:
    """Take away the mark of an encrypted 802.11 frame: Windows traces it decrypted, but keeps the mark."""
    return frame[:1] + bytes((frame[1] & ~0x40,)) + frame[2:] if len(frame) > 1 else frame


def _wire(frame: bytes, link: int) -> int:
    """Return how long a frame must have been, by its IP header: a trace may be cut without saying so."""
    at = 0 if link == 101 else 14
    if link == 105 or len(frame) < at + 20:
        return 0
    if frame[at] >> 4 == 4 and (at == 0 or frame[12:14] == b"\x08\x00"):
        return at + int.from_bytes(frame[at + 2 : at + 4], "big")
    if frame[at] >> 4 == 6 and (at == 0 or frame[12:14] == b"\x86\xdd"):
        return at + 40 + int.from_bytes(frame[at + 4 : at + 6], "big")
    return 0


def as_pcapng(data: Data, packets: Iterable[Packet], clock: Clock) -> Iterator[bytes]:
    """Yield the octets of a pcapng file of the packets, in order of time, one interface per link type."""
    ordered = sorted(packets, key=lambda packet: packet.ticks)
    links = list(dict.fromkeys(packet.link for packet in ordered))
    yield _block(0x0A0D0D0A, b"\x4d\x3c\x2b\x1a\x01\0\0\0" + b"\xff" * 8)
    for link in links:
        yield _block(1, link.to_bytes(4, "little") + bytes(4) + b"\x09\0\x01\0\x09\0\0\0" + bytes(4))  # time in ns
    for ticks, link, wire, at, size, frame in ordered:
        octets = data[at : at + size] if frame is None else frame
        ns = clock.ns(ticks)
        words = (links.index(link), ns >> 32 & 0xFFFFFFFF, ns & 0xFFFFFFFF, len(octets), wire)
        yield _block(6, b"".join(word.to_bytes(4, "little") for word in words) + octets)


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = (len(body) + 12).to_bytes(4, "little")
    return kind.to_bytes(4, "little") + size + body + size
