"""Classic pcap: three magics in both byte orders, and the longer record headers that some systems write behind them.

Format: draft-ietf-opsawg-pcap; 24 octets of file header, then per frame 16 octets (modified: 24) and the frame. Red Hat 6.1
wrote the modified header behind the usual magic, SuSE 6.3 one of 28 octets behind the modified magic, Nokia one of 20.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from analyzer.at import NS_PER_S
from analyzer.capture.lanes import Block, Chain, Columns
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

_HEADS = {16: (20, 24), 24: (16, 28)}
"""Octets of a record header by the magic -> what else they may be."""
_CHAIN_RECORDS = 4
"""Records that must lead from one to the next for another header to be believed."""

_FILE_HEADER_BYTES = 24
_TRIES = 32
_WIRE_LIMIT_BYTES = 1 << 27
_LINK_MASK = 0xFFFF  # the upper bits tell the length of the frame check sequence


def records(data: Data, facts: Facts, at: int = _FILE_HEADER_BYTES) -> Iterator[Record]:
    """Yield the records in file order, from the one at ``at`` on.

    Raises:
        DamageError: the file ends inside a record, or a record claims an absurd length.
    """
    order, scale, facts.resolution, head = _layout(data)
    if len(data) < _FILE_HEADER_BYTES:
        raise DamageError(len(data), "the file ends inside its own header")
    major, minor, network = Struct(order + "4xHH12xI").unpack_from(data)
    link = network & _LINK_MASK
    announce(facts, link)
    swapped = (major, minor) < (2, 4)  # before 2.4 some writers put the two lengths the other way round
    unpack = Struct(order + "IIII").unpack_from
    limit = frame_limit(link)
    total = len(data)
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


def _layout(data: Data) -> tuple[str, int, int, int]:
    """Return what the magic says, with the length of record headers that the first records bear out."""
    order, scale, digits, head = MAGICS[data[:4]]
    if _chain(data, order, scale, head) < _CHAIN_RECORDS:
        for other in _HEADS[head]:
            if _chain(data, order, scale, other) == _CHAIN_RECORDS:
                return order, scale, digits, other
    return order, scale, digits, head


def _chain(data: Data, order: str, scale: int, head: int) -> int:
    """Count records, up to some, that lead from one to the next with headers of that length."""
    unpack, at = Struct(order + "IIII").unpack_from, _FILE_HEADER_BYTES
    for count in range(_CHAIN_RECORDS):
        if at + head > len(data):
            return count
        _, fraction, size, wire = unpack(data, at)
        if fraction * scale >= NS_PER_S or not 0 < size <= min(wire, frame_limit(1)):
            return count
        at += head + size
    return _CHAIN_RECORDS


def regular(data: Data) -> bool:
    """Tell whether the records have heads of 16 octets with the lengths in the usual order."""
    order, _, _, head = _layout(data)
    return len(data) > _FILE_HEADER_BYTES and head == 16 and Struct(order + "HH").unpack_from(data, 4) >= (2, 4)


class Records:
    """The records as the bulk walk takes them."""

    def __init__(self, data: Data, facts: Facts) -> None:
        order, self._scale, facts.resolution, head = _layout(data)
        self._data, self._facts = data, facts
        self.at = _FILE_HEADER_BYTES
        self._link = Struct(order + "I").unpack_from(data, 20)[0] & _LINK_MASK
        announce(facts, self._link)
        self._limit = frame_limit(self._link)
        self._unpack = Struct(order + "IIII").unpack_from
        self._mark_at = 2 if order == "<" else 0
        self.passed(self.at)
        self.chain = Chain(order, head, 8, head, head, self._guess)

    def passed(self, at: int) -> None:
        """Take note that records were taken in bulk up to the one at ``at``: its time is what the next ones look like."""
        self._mark = self._data[at + self._mark_at : at + self._mark_at + 2]

    def step(self, at: int) -> tuple[int, Record | None]:
        """Read one record the plain way; return where the next one is.

        Raises:
            DamageError: see :func:`records`.
        """
        for record in records(self._data, self._facts, at):
            return record[1] + record[2], record
        return len(self._data), None

    @staticmethod
    def ends(at: int) -> bool:
        """Tell that nothing begins at ``at`` behind which earlier records could not be read any more."""
        del at
        return False

    def skip(self, at: int) -> tuple[int, int]:
        """Return where the record behind the one at ``at`` is, and that this is one frame."""
        return at + 16 + self._unpack(self._data, at)[2], 1

    def columns(self, block: Block, words: object, end: int) -> Columns:
        """Return what the heads say; ``end`` is where the octets end."""
        del words
        heads = block.rows[:, :16].view(self.chain.order + "u4").astype("i8")
        sizes, wires = heads[:, 2], heads[:, 3]
        odd = (sizes > self._limit) | (block.at + sizes > end - 16)
        return Columns(heads[:, 0] * NS_PER_S + heads[:, 1] * self._scale, sizes, wires, self._link, odd)

    def _guess(self, data: Data, start: int, stop: int) -> int:
        """Look for the upper half of the last record's seconds, which changes every 18 hours."""
        for _ in range(_TRIES):
            start = data.find(self._mark, start + self._mark_at, stop) - self._mark_at
            if start < 0:
                return -1
            after = self._plausible(data, start, stop)
            if after and (after + 16 > stop or self._plausible(data, after, stop)):
                return start
            start += 1
        return -1

    def _plausible(self, data: Data, at: int, stop: int) -> int:
        """Return where the record behind the one at ``at`` would be; 0 when there is none at ``at``."""
        if at + 16 > stop:
            return 0
        _, fraction, size, wire = self._unpack(data, at)
        good = fraction * self._scale < NS_PER_S and 0 < size <= self._limit and size <= wire <= _WIRE_LIMIT_BYTES
        return at + 16 + size if good else 0
