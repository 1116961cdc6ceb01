"""FORMATS: the containers we read, known by their first octets; and the names of those we do not."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from analyzer.capture import pcap, pcapng
from analyzer.capture.record import Reader
from analyzer.errors import UnknownFormat

SNIFF_BYTES = 512
"""First octets looked at: a tar names itself at octet 257."""


class Format(NamedTuple):
    """A container format."""

    name: str
    magics: tuple[bytes, ...]
    reader: Reader


FORMATS: tuple[Format, ...] = (
    Format("pcap", tuple(pcap.MAGICS), pcap.records),
    Format("pcapng", (pcapng.MAGIC,), pcapng.records),
)

_TSHARK = "use --engine tshark, or convert it: editcap -F pcap IN OUT.pcap"
_ETL = "convert it on Windows with etl2pcapng IN.etl OUT.pcapng (or pktmon etl2pcap), then read the result"
_OTHERS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"GMBU", "a Microsoft Network Monitor 2 capture", _TSHARK),
    (0, b"RTSS", "a Microsoft Network Monitor 1 capture", _TSHARK),
    (0, b"snoop\0\0\0", "a Solaris snoop capture", _TSHARK),
    (0, b"btsnoop\0", "a Bluetooth snoop log", "it holds no mail traffic"),
    (0, b"TRSNIFF data", "a Network General Sniffer capture", _TSHARK),
    (0, b"PK\x03\x04", "a zip archive", "unpack it first: unzip FILE"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it first: zstd -d FILE; or use --engine tshark"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first: 7z x FILE"),
    (0, b"\xfd7zXZ\0", "an xz file", "unpack it first: xz -d FILE"),
    (0, b"BZh", "a bzip2 file", "unpack it first: bzip2 -d FILE"),
    (0, b"\x04\x22\x4d\x18", "an LZ4 file", "unpack it first: lz4 -d FILE; or use --engine tshark"),
    (0, b"Rar!", "a RAR archive", "unpack it first"),
    (0, b"\x1f\x8b", "a gzip file inside a gzip file", "unpack it once first: gunzip FILE"),
    (0, b"ElfFile\0", "a Windows event log", "give the packet capture instead"),
    (257, b"ustar", "a tar archive", "unpack it first: tar -xf FILE"),
)
"""(offset, octets, what it is, what to do)."""

_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n\f\x1b") | frozenset(range(0x80, 0x100))
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def recognise(start: bytes, path: Path) -> Format:
    """Return the format whose magic the first octets carry.

    Raises:
        UnknownFormat: none does; says what the file is, as far as it can be told, and what to do.
    """
    for known in FORMATS:
        if start.startswith(known.magics):
            return known
    names = ", ".join(known.name for known in FORMATS)
    what, todo = _look(start)
    octets = start[:8].hex(" ")
    reads = f"formats read: {names}, each also packed with gzip"
    raise UnknownFormat(
        f"not a capture we read: {what} (first octets {octets})", path=path, offset=0, hint=f"{todo}; {reads}"
    )


def _look(start: bytes) -> tuple[str, str]:
    for offset, magic, what, todo in _OTHERS:
        if start.startswith(magic, offset):
            return what, todo
    if _is_etl(start):
        return "a Windows event trace (.etl)", _ETL
    if start.startswith(_UTF16_MARKS) or all(octet in _TEXT for octet in start):
        return "it looks like text", "give the capture file itself, not a listing or an export of it"
    return "the first octets belong to no format known here", "if Wireshark opens it, use --engine tshark"


def _is_etl(start: bytes) -> bool:
    """Tell an event trace by the header of its first event: type 1 or 2 and marker 0xC0 (WMI_BUFFER_HEADER is 72 octets)."""
    size = int.from_bytes(start[:4], "little")
    return len(start) > 75 and start[74] in (1, 2) and start[75] == 0xC0 and 0 < size <= 1 << 24 and size % 512 == 0
