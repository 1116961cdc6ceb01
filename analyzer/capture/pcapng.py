"""pcapng: sections with their own byte order, interfaces with their own link type and clock.

Format: draft-ietf-opsawg-pcapng. Every block is type, length, body, length again; blocks we have no use for are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from math import ceil, log10
from struct import Struct
from typing import Any, NamedTuple

from analyzer.at import NS_PER_S
from analyzer.capture.lanes import Block, Chain, Columns
from analyzer.capture.packets import Facts
from analyzer.capture.record import DamageError, Data, Record, announce, frame_limit

MAGIC = b"\x0a\x0d\x0d\x0a"
"""Type of a section header block, the same read in either byte order."""

_SECTION, _INTERFACE, _PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_NUMBERED = frozenset({9, 0xBAD, 0x40000BAD})  # journal and custom blocks: no packets, but Wireshark numbers them
_SECRETS = 10  # Decryption Secrets Block; the type of secrets it holds comes first
_TLS_KEYS = {b"TLSK", b"KSLT"}  # 0x544c534b, in either byte order
_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_TSRESOL, _TSOFFSET = 9, 14
_BLOCK_BYTES = 12  # type, length, length again
_PACKET_BYTES = 20  # interface, time, two lengths
_NO_LINK = -1
_TRIES = 32
_SAMPLE_BLOCKS = 256
_LENGTH_LIMIT_BYTES = 1 << 28
_UNTIMED = "frames without a time stamp (simple packet blocks) have that of the frame before them"
_TS_LIMIT = 2**63 - 1
"""Latest time kept, ns: what a signed 64-bit count of ns holds (year 2262); a hostile clock may claim more."""


class _Interface(NamedTuple):
    link: int
    snap: int
    """Snap length, 0 = none."""
    limit: int
    multiply: int
    """Ticks times this, divided by the next, are ns."""
    divide: int
    offset: int
    """ns to add."""


class _Order(NamedTuple):
    """The structures in the byte order of a section."""

    block: Struct
    packet: Struct
    interface: Struct
    option: Struct
    word: Struct
    offset: Struct
    half: Struct


def _order(sign: str) -> _Order:
    return _Order(*(Struct(sign + layout) for layout in ("II", "IIIII", "H2xI", "HH", "I", "q", "H")))


_BY_SIGN = {sign: _order(sign) for sign in "<>"}


def records(data: Data, facts: Facts) -> Iterator[Record]:
    """Yield the records in file order.

    Raises:
        DamageError: a block whose lengths do not agree, that runs past the end of the file, or that contradicts itself.
    """
    blocks = _Blocks(data, facts)
    at, total = 0, len(data)
    while at < total:
        at, record = blocks.read(at)
        if record is not None:
            yield record


class _Blocks:
    """Reads block by block and remembers what later ones build upon: byte order, interfaces, the last time."""

    def __init__(self, data: Data, facts: Facts) -> None:
        self.order = _BY_SIGN["<"]
        self.interfaces: list[_Interface] = []
        self.last = 0
        self._data, self._facts, self._untimed = data, facts, False

    def read(self, at: int) -> tuple[int, Record | None]:
        """Read the block at ``at``; return where the next one is, and the frame when it holds one."""
        data = self._data
        if data[at : at + 4] == MAGIC:
            self.order, self.interfaces = _section(data, at), []
        order = self.order
        kind, length = _block(data, at, order)
        if kind in (_ENHANCED, _PACKET):
            ts, size, wire, face = _packet(data, at, length, order, self.interfaces, old=kind == _PACKET)
            self.last = ts
            return at + length, (ts, at + 28, size, wire, face.link)
        if kind == _INTERFACE:
            self.interfaces.append(_interface(data, at, length, order, self._facts))
        elif kind == _SIMPLE:
            size, wire, link = _simple(data, at, length, order, self.interfaces)
            self._warn()
            return at + length, (self.last, at + 12, size, wire, link)
        elif kind == _SECRETS:
            facts = self._facts
            facts.secrets = facts.secrets or data[at + 8 : at + 12] in _TLS_KEYS
        elif kind in _NUMBERED:
            return at + length, (self.last, at + 8, length - _BLOCK_BYTES, length - _BLOCK_BYTES, _NO_LINK)
        return at + length, None

    def _warn(self) -> None:
        if not self._untimed:
            self._untimed = True
            self._facts.warnings.append(_UNTIMED)


def _section(data: Data, at: int) -> _Order:
    sign = _ORDERS.get(data[at + 8 : at + 12])
    if sign is None:
        raise DamageError(at, "a section header has no byte-order mark")
    return _BY_SIGN[sign]


def _block(data: Data, at: int, order: _Order) -> tuple[int, int]:
    """Return type and length of a block that lies in the file whole and whose two lengths agree."""
    if at + _BLOCK_BYTES > len(data):
        raise DamageError(at, "the file ends inside a block header")
    kind, length = order.block.unpack_from(data, at)
    if length < _BLOCK_BYTES or length % 4:
        raise DamageError(at, f"a block claims a length of {length} octets, which no block can have")
    if at + length > len(data):
        raise DamageError(at, "the file ends inside a block")
    if order.word.unpack_from(data, at + length - 4)[0] != length:
        raise DamageError(at, "the two lengths of a block do not agree")
    return kind, length


def _packet(
    data: Data, at: int, length: int, order: _Order, interfaces: list[_Interface], *, old: bool
) -> tuple[int, int, int, _Interface]:
    """Read an enhanced (or old) packet block: ts, octets in the file, octets on the wire, its interface."""
    if length < _BLOCK_BYTES + _PACKET_BYTES:
        raise DamageError(at, "a packet block is too short for its own header")
    number, high, low, size, wire = order.packet.unpack_from(data, at + 8)
    if old:
        number = order.half.unpack_from(data, at + 8)[0]
    if number >= len(interfaces):
        raise DamageError(at, f"a packet names interface {number}, which was not announced")
    face = interfaces[number]
    if size > length - _BLOCK_BYTES - _PACKET_BYTES or size > face.limit:
        raise DamageError(at, f"a packet block claims a frame of {size} octets, more than it holds")
    ts = ((high << 32) | low) * face.multiply // face.divide + face.offset
    return (ts if 0 <= ts <= _TS_LIMIT else _clamped(ts)), size, wire, face


def _clamped(ts: int) -> int:
    return min(max(ts, 0), _TS_LIMIT)


def _simple(data: Data, at: int, length: int, order: _Order, interfaces: list[_Interface]) -> tuple[int, int, int]:
    """Read a simple packet block: octets in the file, octets on the wire, link type."""
    if length < _BLOCK_BYTES + 4 or not interfaces:
        raise DamageError(at, "a simple packet block without room or without an interface")
    wire = order.word.unpack_from(data, at + 8)[0]
    face = interfaces[0]
    size = min(wire, face.snap or wire)
    if size > length - _BLOCK_BYTES - 4 or size > face.limit:
        raise DamageError(at, f"a simple packet block claims a frame of {size} octets, more than it holds")
    return size, wire, face.link


def _interface(data: Data, at: int, length: int, order: _Order, facts: Facts) -> _Interface:
    if length < _BLOCK_BYTES + 8:
        raise DamageError(at, "an interface block is too short for its own header")
    link, snap = order.interface.unpack_from(data, at + 8)
    resolution, offset = 6, 0
    for code, value in _options(data, at + 16, at + length - 4, order):
        if code == _TSRESOL and len(value) == 1:
            resolution = value[0]
        elif code == _TSOFFSET and len(value) == 8:
            offset = order.offset.unpack(value)[0] * NS_PER_S
    facts.resolution = max(facts.resolution if facts.link_types else 0, _digits(resolution))
    announce(facts, link)
    return _Interface(link, snap, frame_limit(link), *_clock(resolution), offset)


def _options(data: Data, at: int, end: int, order: _Order) -> Iterator[tuple[int, bytes]]:
    while at + 4 <= end:
        code, size = order.option.unpack_from(data, at)
        if code == 0 or at + 4 + size > end:
            return
        yield code, data[at + 4 : at + 4 + size]
        at += 4 + (size + 3 & ~3)


def _clock(resolution: int) -> tuple[int, int]:
    """Turn if_tsresol into (multiply, divide): the top bit chooses powers of two, else of ten."""
    if resolution & 0x80:
        return NS_PER_S, 1 << (resolution & 0x7F)
    return (10 ** (9 - resolution), 1) if resolution <= 9 else (1, 10 ** (resolution - 9))


def _digits(resolution: int) -> int:
    """Return the decimal digits of a clock, at most the 9 that we keep."""
    return min(9, ceil((resolution & 0x7F) * log10(2)) if resolution & 0x80 else resolution)


def regular(data: Data) -> bool:
    """Tell whether the file begins with enhanced packet blocks: files of the older kinds are read the plain way."""
    blocks, at, packets = _Blocks(data, Facts()), 0, 0
    with suppress(DamageError):
        for _ in range(_SAMPLE_BLOCKS):
            if at >= len(data):
                break
            kind = blocks.order.block.unpack_from(data, at)[0] if at + 8 <= len(data) else 0
            at, record = blocks.read(at)
            if record is not None and kind != _ENHANCED:
                return False
            packets += record is not None
    return packets > 0


class Records:
    """The packet blocks as the bulk walk takes them, within one section and between two interface blocks."""

    def __init__(self, data: Data, facts: Facts) -> None:
        self._data = data
        self._blocks = _Blocks(data, facts)
        self._newest = -1
        """Place of the latest packet block taken in bulk since the last one read the plain way; -1: none."""
        self.at = 0
        self._set_up()

    def _set_up(self) -> None:
        """Take over byte order and interfaces."""
        import numpy as np

        sign = ">" if self._blocks.order is _BY_SIGN[">"] else "<"
        self._known = len(self._blocks.interfaces)
        self._mark = _ENHANCED.to_bytes(4, "big" if sign == ">" else "little")
        self.chain = Chain(sign, 28, 4, 0, _BLOCK_BYTES + _PACKET_BYTES, self._guess)
        faces = self._blocks.interfaces or [_Interface(_NO_LINK, 0, 0, 1, 1, 0)]
        self._faces = np.array([_face(face) for face in faces], "i8").T
        links = {face.link for face in faces}
        self._link = links.pop() if len(links) == 1 else None

    def passed(self, at: int) -> None:
        """Take note that packet blocks were taken in bulk up to the one at ``at``."""
        self._newest = at

    def step(self, at: int) -> tuple[int, Record | None]:
        """Read one block the plain way; return where the next one is.

        Raises:
            DamageError: see :func:`records`.
        """
        if self._newest >= 0:
            self._blocks.read(self._newest)  # its time is what a frame without one inherits
            self._newest = -1
        found = self._blocks.read(at)
        if self._data[at : at + 4] == MAGIC or self._known != len(self._blocks.interfaces):
            self._set_up()
        return found

    def ends(self, at: int) -> bool:
        """Tell whether a new section begins at ``at``: earlier records cannot be read with its interfaces."""
        return self._data[at : at + 4] == MAGIC

    def skip(self, at: int) -> tuple[int, int]:
        """Return where the block behind the one at ``at``, of the same section, is; and how many frames this one is."""
        kind, length = _block(self._data, at, self._blocks.order)
        return at + length, int(kind in (_ENHANCED, _PACKET, _SIMPLE) or kind in _NUMBERED)

    def columns(self, block: Block, words: Any, end: int) -> Columns:
        """Return what the heads say; ``words`` are the 32 bits at every octet, ``end`` is where the octets end."""
        import numpy as np

        heads = block.rows[:, :28].view(self.chain.order + "u4").astype("i8")
        kind, length, number, high, low, sizes, wires = heads.T
        odd = (kind != _ENHANCED) | (length & 3 != 0) | (length < self.chain.least) | (block.at + length > end)
        odd |= (number >= len(self._blocks.interfaces)) | (sizes > length - self.chain.least)
        behind = np.clip(block.at + length - 4, 0, len(words) - 1)
        odd |= words[behind] != block.rows[:, 4:8].view("<u4")[:, 0]
        faces = self._faces
        which = np.minimum(number, faces.shape[1] - 1) if faces.shape[1] > 1 else 0
        link, limit, multiply, divide, offset, most = faces[:, which] if faces.shape[1] > 1 else faces[:, 0]
        ticks = high << 32 | low
        odd |= (sizes > limit) | (ticks < 0) | (ticks > most)
        whole, part = (ticks, 0) if (self._faces[3] == 1).all() else np.divmod(ticks, divide)
        ts = whole * multiply + part * multiply // divide + offset
        odd |= ts < 0
        return Columns(ts, sizes, wires, link if self._link is None else self._link, odd)

    def _guess(self, data: Data, start: int, stop: int) -> int:
        """Look for an enhanced packet block whose two lengths agree."""
        lengths = self._blocks.order.word.unpack_from
        for _ in range(_TRIES):
            start = data.find(self._mark, start, stop)
            if start < 0 or start + self.chain.least > stop:
                return -1
            length = lengths(data, start + 4)[0]
            likely = (
                self.chain.least <= length <= _LENGTH_LIMIT_BYTES and not length & 3 and start + length <= len(data)
            )
            if likely and lengths(data, start + length - 4)[0] == length:
                return start
            start += 1
        return -1


def _face(face: _Interface) -> tuple[int, int, int, int, int, int]:
    """Return an interface as numbers of 64 bits, with the most ticks that can be turned into ns within them."""
    link, _, limit, multiply, divide, offset = face
    if divide * multiply > _TS_LIMIT or abs(offset) > _TS_LIMIT // 2:
        return link, limit, 1, 1, 0, -1
    most = min((_TS_LIMIT - max(offset, 0)) // multiply * divide, _TS_LIMIT)
    return link, limit, multiply, divide, offset, most
