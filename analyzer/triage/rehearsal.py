"""A small capture made here: one refused login, so that a process that analyses it has loaded what analyses need."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_CLIENT, _SERVER = (bytes((192, 0, 2, 1)), 50_000), (bytes((192, 0, 2, 2)), 143)
_FIN, _SYN, _ACK = 1, 2, 16
_RAW_IP = 101
_TALK = ((1, b"* OK IMAP4 ready\r\n"), (0, b"1 LOGIN nobody nothing\r\n"), (1, b"1 NO LOGIN failed.\r\n"))


def capture() -> bytes:
    """Return the octets of a pcap file."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, _RAW_IP)
    records = (struct.pack("<IIII", second, 0, len(x), len(x)) + x for second, x in enumerate(_packets()))
    return head + b"".join(records)


def _packets() -> Iterator[bytes]:
    said = [0, 0]
    plan = [(0, _SYN, b""), (1, _SYN | _ACK, b""), (0, _ACK, b"")]
    plan += [(side, _ACK, line) for side, line in _TALK] + [(0, _FIN | _ACK, b""), (1, _FIN | _ACK, b"")]
    for side, flags, line in plan:
        yield _packet(side, said[side], said[1 - side], flags, line)
        said[side] += len(line) + bool(flags & (_SYN | _FIN))


def _packet(side: int, seq: int, ack: int, flags: int, line: bytes) -> bytes:
    source, target = (_CLIENT, _SERVER) if not side else (_SERVER, _CLIENT)
    tcp = struct.pack(">HHIIBBHHH", source[1], target[1], seq, ack * (flags != _SYN), 0x50, flags, 8192, 0, 0) + line
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 7, 0, 64, 6, 0, source[0], target[0]) + tcp
