"""Microsoft Network Monitor: 1.x ('RTSS') and 2.x ('GMBU'), with the trailers that 2.1 and later put behind each frame.

Format: CAPTUREFILE_HEADER_VALUES (Netmon.h) and 'Network Monitor Capture File Format' of Microsoft. A header of 128
octets, frames, and a table of their offsets, which gives the order; where the table is cut off the frames are read one
after the other. Times count from a start in local time without a zone, except in 2.3, whose trailers tell UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from struct import Struct
from typing import NamedTuple

from analyzer.at import NS_PER_MS, NS_PER_S
from analyzer.capture.packets import Facts
from analyzer.capture.record import DamageError, Data, Record, announce, frame_limit

MAGIC_1, MAGIC_2 = b"RTSS", b"GMBU"

_HEADER_BYTES = 128
_HEADER = Struct("<4xBBH8H4I").unpack_from  # minor, major, medium, SYSTEMTIME, table, its length, user data
_EXTENDED_AT = 56
"""Offset of the extended information (2.3): only where it is set do the trailers hold UTC times."""
_FRAME_1, _FRAME_2 = (
    Struct("<IHH"),
    Struct("<QII"),
)  # time since the start (ms, microseconds), octets on the wire, in the file
_TRAILER_BYTES = {0: 0, 1: 2, 2: 6, 3: 15}
"""Minor version of 2.x -> octets behind a frame: medium (2), process (4), UTC time (8), zone (1)."""
_MEDIUM, _UTC = Struct("<H").unpack_from, Struct("<Q").unpack_from
_FILETIME_1970 = 116_444_736_000_000_000  # 1601 to 1970 in units of 100 ns

_WLAN, _PCAP_BASE, _METADATA = 6, 0xE000, 0xF000
_LINKS = {0: 1, 1: 1, 2: 6, 3: 10, 4: 123, 5: 138, _WLAN: 105, 7: 101, 8: 101, 9: 101}
"""Medium -> link type; 6 is 802.11 behind a header of Network Monitor's own; what is no frame has none."""


class _Layout(NamedTuple):
    """What differs from version to version."""

    frame: Struct
    tick_ns: int
    start: int
    """ns since the Unix epoch."""
    medium: int
    trailer: int
    utc: bool


def records(data: Data, facts: Facts) -> Iterator[Record]:
    """Yield the frames in the order of the table.

    Raises:
        DamageError: the file ends inside its header, its table or a frame.
    """
    if len(data) < _HEADER_BYTES:
        raise DamageError(len(data), "the file ends inside its own header")
    minor, major, medium, *moment, table, length, _, _ = _HEADER(data)
    second = data[:4] == MAGIC_2
    facts.resolution = 6 if second else 3
    utc = second and minor >= 3 and any(data[_EXTENDED_AT : _EXTENDED_AT + 4])
    if not utc:
        facts.warnings.append("the file tells local time without its zone: times are shown as if they were UTC")
    trailer = _TRAILER_BYTES.get(minor, 15) if second and major == 2 else 0
    frame, tick = (_FRAME_2, NS_PER_MS // 1000) if second else (_FRAME_1, NS_PER_MS)
    layout = _Layout(frame, tick, _start(moment), medium, trailer, utc)
    announced: set[int] = set()
    for at in _offsets(data, table, length, layout):
        record = _frame(data, at, layout)
        if record[4] not in announced:
            announced.add(record[4])
            if record[4] >= 0:
                announce(facts, record[4])
        yield record


def _start(moment: list[int]) -> int:
    """Turn a SYSTEMTIME (year, month, weekday, day, hour, minute, second, ms) into ns."""
    year, month, _, day, hour, minute, second, ms = moment
    try:
        start = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return 0
    return max(int(start.timestamp()), 0) * NS_PER_S + ms * NS_PER_MS


def _offsets(data: Data, table: int, length: int, layout: _Layout) -> Iterator[int]:
    if table >= _HEADER_BYTES and table + length <= len(data):
        for place in range(table, table + length - 3, 4):
            yield int.from_bytes(data[place : place + 4], "little")
        return
    at, end = _HEADER_BYTES, min(table, len(data)) if table >= _HEADER_BYTES else len(data)
    while at + layout.frame.size <= end:
        yield at
        at += layout.frame.size + layout.frame.unpack_from(data, at)[2] + layout.trailer
    raise DamageError(len(data), "the file ends before its table of frames")


def _frame(data: Data, at: int, layout: _Layout) -> Record:
    start = at + layout.frame.size
    if at < _HEADER_BYTES or start > len(data):
        raise DamageError(min(at, len(data)), "the table names a frame outside the file")
    since, wire, size = layout.frame.unpack_from(data, at)
    end = start + size
    if size > frame_limit(1):
        raise DamageError(at, f"a record claims a frame of {size} octets, more than any network sends")
    if end > len(data):
        raise DamageError(at, "the file ends inside a frame")
    ts, medium = layout.start + since * layout.tick_ns, layout.medium
    if layout.trailer >= 2 and end + layout.trailer <= len(data):
        medium = _MEDIUM(data, end)[0]
        if layout.utc:
            ts = (_UTC(data, end + 6)[0] - _FILETIME_1970) * 100
    link = medium - _PCAP_BASE if _PCAP_BASE <= medium < _METADATA else _LINKS.get(medium, -1)
    shift = min(int.from_bytes(data[start + 1 : start + 3], "little"), size) if medium == _WLAN else 0
    return min(max(ts, 0), 2**63 - 1), start + shift, size - shift, max(wire - shift, 0), link
