"""Solaris snoop (RFC 1761): 16 octets of file header, then per frame 24 octets, the frame and padding; big-endian."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from analyzer.at import NS_PER_S
from analyzer.capture.packets import Facts
from analyzer.capture.record import DamageError, Data, Record, announce, frame_limit

MAGIC = b"snoop\0\0\0"

_HEADER_BYTES, _RECORD_BYTES = 16, 24
_HEADER = Struct(">8xII").unpack_from
_RECORD = Struct(">IIIIII").unpack_from  # octets on the wire, in the file, of the record, drops, seconds, microseconds
_IPNET, _IPNET_BYTES = 0x80000003, 24
_LINKS = {0: 1, 2: 6, 4: 1, 8: 10, 0x80000001: 101, 0x80000002: 101, _IPNET: 101}
"""Datalink type (RFC 1761, and Solaris' own for IP) -> link type."""


def records(data: Data, facts: Facts) -> Iterator[Record]:
    """Yield the records in file order.

    Raises:
        DamageError: the file ends inside a record, or the lengths of one contradict each other.
    """
    if len(data) < _HEADER_BYTES:
        raise DamageError(len(data), "the file ends inside its own header")
    kind = _HEADER(data)[1]
    link = _LINKS.get(kind, -1)
    if link >= 0:
        announce(facts, link)
    else:
        facts.warnings.append(f"the frames are of a kind that is not read (snoop datalink type {kind})")
    shift = _IPNET_BYTES if kind == _IPNET else 0
    at, total, limit = _HEADER_BYTES, len(data), frame_limit(1)
    while at + _RECORD_BYTES <= total:
        wire, size, length, _, sec, fraction = _RECORD(data, at)
        if size > limit or length < _RECORD_BYTES + size:
            raise DamageError(at, f"a record of {length} octets claims a frame of {size}")
        start = at + _RECORD_BYTES
        if start + size > total:
            raise DamageError(at, "the file ends inside a frame")
        skip = min(shift, size)
        yield sec * NS_PER_S + fraction * 1000, start + skip, size - skip, max(wire - skip, 0), link
        at += length
    if at < total:
        raise DamageError(at, "the file ends inside a record header")
