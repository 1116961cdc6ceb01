"""Classic pcap: four magics in both byte orders, and the 'modified' header of old Linux kernels.

Format: draft-ietf-opsawg-pcap; 24 octets of file header, then per frame 16 octets (modified: 24) and the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from analyzer.at import NS_PER_S
from analyzer.capture.packets import Facts
from analyzer.capture.record import DamageError, Data, Record, announce, frame_limit

MAGICS: dict[bytes, tuple[str, int, int, int]] = {
    b"\xa1\xb2\xc3\xd4": (">", 1000, 6, 16),
    b"\xd4\xc3\xb2\xa1": ("<", 1000, 6, 16),
    b"\xa1\xb2\x3c\x4d": (">", 1, 9, 16),
    b"\x4d\x3c\xb2\xa1": ("<", 1, 9, 16),
    b"\xa1\xb2\xcd\x34": (">", 1000, 6, 24),
    b"\x34\xcd\xb2\xa1": ("<", 1000, 6, 24),
}
"""First four octets -> byte order, ns per unit of the fraction, digits of the clock, octets of a record header."""

_FILE_HEADER_BYTES = 24
_LINK_MASK = 0xFFFF  # the upper bits tell the length of the frame check sequence


def records(data: Data, facts: Facts) -> Iterator[Record]:
    """Yield the records in file order.

    Raises:
        DamageError: the file ends inside a record, or a record claims an absurd length.
    """
    order, scale, facts.resolution, head = MAGICS[data[:4]]
    if len(data) < _FILE_HEADER_BYTES:
        raise DamageError(len(data), "the file ends inside its own header")
    major, minor, network = Struct(order + "4xHH12xI").unpack_from(data)
    link = network & _LINK_MASK
    announce(facts, link)
    swapped = (major, minor) < (2, 4)  # before 2.4 some writers put the two lengths the other way round
    unpack = Struct(order + "IIII").unpack_from
    limit = frame_limit(link)
    at, total = _FILE_HEADER_BYTES, len(data)
    while at + head <= total:
        sec, fraction, size, wire = unpack(data, at)
        if size > wire and swapped:
            size, wire = wire, size
        start = at + head
        after = start + size
        if size > limit:
            raise DamageError(at, f"a record claims a frame of {size} octets, more than any network sends")
        if after > total:
            raise DamageError(at, "the file ends inside a frame")
        yield sec * NS_PER_S + fraction * scale, start, size, wire, link
        at = after
    if at < total:
        raise DamageError(at, "the file ends inside a record header")
