"""Writing captures: classic pcap as a file was, or pcapng with comments on its frames.

Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng. Nothing is written but frames, their times and what is handed over:
no names of interfaces, machines or programs but our own.
"""

from __future__ import annotations

from struct import Struct
from typing import BinaryIO, Protocol

from analyzer.at import NS_PER_S
from analyzer.capture.pcap import MAGICS
from analyzer.capture.pcapng import MAGIC as PCAPNG_MAGIC

SNAP_BYTES = 262_144
"""Snap length announced: libpcap's largest."""
COMMENT_LIMIT_BYTES = 60_000
"""Octets of one comment; an option's length is a number of 16 bits."""

_ETHERNET, _USER = 1, 147
_END, _COMMENT, _APPLICATION, _RESOLUTION = 0, 1, 4, 9
_BLOCK, _OPTION = Struct("<II"), Struct("<HH")
_SECTION, _INTERFACE, _ENHANCED = Struct("<IHHq"), Struct("<HHI"), Struct("<IIIII")
_BYTE_ORDER = 0x1A2B3C4D


class Writer(Protocol):
    """What takes frames."""

    def write(self, ts: int, octets: bytes, wire: int, link: int, comment: str = "") -> None:
        """Write one frame: ns UTC, octets, how many were on the wire, link type."""

    def close(self) -> None:
        """Write what is still to be written; the file stays open."""


class PcapWriter:
    """Writes classic pcap in the byte order and resolution of a magic number; comments are left out."""

    def __init__(self, file: BinaryIO, magic: bytes = b"\xd4\xc3\xb2\xa1") -> None:
        order, self._scale, digits, _ = MAGICS[magic]
        self._file, self._order = file, order
        self._magic = 0xA1B23C4D if digits == 9 else 0xA1B2C3D4
        self._record = Struct(order + "IIII").pack
        self._begun = False

    def _begin(self, link: int) -> None:
        head = Struct(self._order + "IHHiIII").pack(self._magic, 2, 4, 0, 0, SNAP_BYTES, link)
        self._file.write(head)
        self._begun = True

    def write(self, ts: int, octets: bytes, wire: int, link: int, comment: str = "") -> None:
        """Write one frame; the first one's link type is that of the file."""
        del comment
        if not self._begun:
            self._begin(link)
        sec, ns = divmod(ts, NS_PER_S)
        self._file.write(self._record(sec & 0xFFFFFFFF, ns // self._scale, len(octets), wire & 0xFFFFFFFF) + octets)

    def close(self) -> None:
        """Write the header of a file without frames."""
        if not self._begun:
            self._begin(_ETHERNET)


class PcapngWriter:
    """Writes pcapng: one section, one interface per link type, times in units of ``digits`` decimals of a second."""

    def __init__(self, file: BinaryIO, digits: int = 9) -> None:
        self._file, self._digits = file, digits
        self._unit = 10 ** (9 - digits)
        self._interfaces: dict[int, int] = {}
        section = _SECTION.pack(_BYTE_ORDER, 1, 0, -1) + _option(_APPLICATION, b"mailscope") + _option(_END, b"")
        file.write(_block(int.from_bytes(PCAPNG_MAGIC, "big"), section))

    def write(self, ts: int, octets: bytes, wire: int, link: int, comment: str = "") -> None:
        """Write one frame, with a comment when there is one; an unknown link type (below 0) is a user's own."""
        number = self._interface(link if link >= 0 else next(iter(self._interfaces), _USER))
        ticks = ts // self._unit
        head = _ENHANCED.pack(number, ticks >> 32 & 0xFFFFFFFF, ticks & 0xFFFFFFFF, len(octets), wire & 0xFFFFFFFF)
        options = _option(_COMMENT, comment.encode()[:COMMENT_LIMIT_BYTES]) + _option(_END, b"") if comment else b""
        self._file.write(_block(6, head + _padded(octets) + options))

    def _interface(self, link: int) -> int:
        number = self._interfaces.get(link)
        if number is None:
            number = self._interfaces[link] = len(self._interfaces)
            options = _option(_RESOLUTION, bytes((self._digits,))) + _option(_END, b"")
            self._file.write(_block(1, _INTERFACE.pack(link, 0, 0) + options))
        return number

    def close(self) -> None:
        """Do nothing: every block is whole."""


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return _BLOCK.pack(kind, size) + body + size.to_bytes(4, "little")


def _option(code: int, value: bytes) -> bytes:
    return _OPTION.pack(code, len(value)) + _padded(value)
