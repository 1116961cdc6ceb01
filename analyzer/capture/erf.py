"""ERF of Endace's capture cards: records one after the other without a header of the file.

Format: 'ERF types reference guide' (Endace): time as 32.32 fixed point little-endian, type, flags, and big-endian the
length of the record, a counter and the length on the wire; then extension headers of 8 octets, then the frame, which
for Ethernet begins two octets later.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from analyzer.at import NS_PER_S
from analyzer.capture.packets import Facts
from analyzer.capture.record import DamageError, Data, Record, announce

_HEADER_BYTES, _EXTENSION_BYTES, _PAD_BYTES = 16, 8, 2
_HEADER = Struct("<QBB").unpack_from
_LENGTHS = Struct(">H2xH").unpack_from  # of the record, on the wire
_MORE = 0x80
_HDLC = frozenset({1, 10, 15, 17})
_ETHERNET = frozenset({2, 11, 16, 20})
_IP = frozenset({22, 23})
_OTHERS = frozenset({21, 27, 48})  # InfiniBand, metadata, padding
_TYPES = _HDLC | _ETHERNET | _IP | _OTHERS
_SECONDS = range(800_000_000, 4_000_000_000)  # 1995 to 2096
_ETHER_KINDS = frozenset({b"\x08\x00", b"\x08\x06", b"\x86\xdd", b"\x81\x00", b"\x88\xa8"})


def is_erf(start: bytes) -> bool:
    """Tell by the first octets of a file: several records that lead from one to the next, or one that holds Ethernet."""
    at = count = 0
    while at + _HEADER_BYTES <= len(start):
        ts, kind, _ = _HEADER(start, at)
        length, wire = _LENGTHS(start, at + 10)
        if kind & 0x7F not in _TYPES or ts >> 32 not in _SECONDS or length < _HEADER_BYTES or not wire:
            return False
        at += length
        count += 1
    plain = start[8:9] in (b"\2", b"\x0b") and start[30:32] in _ETHER_KINDS
    return count >= 3 or (count > 0 and plain)


def records(data: Data, facts: Facts) -> Iterator[Record]:
    """Yield the records in file order.

    Raises:
        DamageError: the file ends inside a record, or a record is shorter than its own header.
    """
    facts.resolution = 9
    at, total = 0, len(data)
    while at + _HEADER_BYTES <= total:
        ts, kind, _ = _HEADER(data, at)
        length, wire = _LENGTHS(data, at + 10)
        if length < _HEADER_BYTES:
            raise DamageError(at, f"a record claims a length of {length} octets, which no record can have")
        if at + length > total:
            raise DamageError(at, "the file ends inside a frame")
        start = _behind_extensions(data, at, kind) if kind & _MORE else at + _HEADER_BYTES
        start, link = _frame(data, start, kind & 0x7F)
        size = max(min(at + length - start, wire), 0)
        if link >= 0:
            announce(facts, link)
        yield (ts >> 32) * NS_PER_S + ((ts & 0xFFFFFFFF) * NS_PER_S >> 32), min(start, at + length), size, wire, link
        at += length
    if at < total:
        raise DamageError(at, "the file ends inside a record header")


def _behind_extensions(data: Data, at: int, kind: int) -> int:
    start = at + _HEADER_BYTES
    while kind & _MORE and start < len(data):
        kind = data[start]
        start += _EXTENSION_BYTES
    return start


def _frame(data: Data, start: int, kind: int) -> tuple[int, int]:
    """Return where the frame begins, and its link type, -1 for what is none."""
    if kind in _ETHERNET:
        return start + _PAD_BYTES, 1
    if kind in _HDLC:
        return start, 104 if data[start : start + 1] in (b"\x0f", b"\x8f") else 50
    return start, 101 if kind in _IP else -1
