"""Frames and capture files packed by hand, so that every odd field can be set."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analyzer.capture import Facts, Unreachable, open_capture

CLIENT, SERVER = "192.0.2.11", "198.51.100.10"
CLIENT6, SERVER6 = "2001:db8::11", "2001:db8::10"
START = 1_709_543_640_123_456_000
STEP = 1_000_000
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
GREETING = b"* OK The mail service is ready.\r\n"

Row = tuple[int, int, str, str, int, int, int, int, int, bytes, int, int, int, int]
"""frame, ts, addresses, ports, seq, ack, flags, payload, cut, ip_id, ttl, window."""


def tcp(  # noqa: PLR0917
    sport: int,
    dport: int,
    seq: int = 1,
    ack: int = 0,
    flags: int = ACK,
    payload: bytes = b"",
    options: bytes = b"",
    window: int = 8192,
) -> bytes:
    words = 5 + len(options) // 4
    return struct.pack(">HHIIBBHHH", sport, dport, seq, ack, words << 4, flags, window, 0, 0) + options + payload


def ipv4(
    inner: bytes,
    src: str = CLIENT,
    dst: str = SERVER,
    *,
    proto: int = 6,
    ident: int = 7,
    part: int = 0,
    ttl: int = 64,
    options: bytes = b"",
    total: int | None = None,
) -> bytes:
    head = 20 + len(options)
    total = head + len(inner) if total is None else total
    fixed = struct.pack(">BBHHHBBH", 0x40 | head // 4, 0, total, ident, part, ttl, proto, 0)
    return fixed + socket.inet_aton(src) + socket.inet_aton(dst) + options + inner


def ipv6(
    inner: bytes, src: str = CLIENT6, dst: str = SERVER6, *, proto: int = 6, ttl: int = 64, length: int | None = None
) -> bytes:
    length = len(inner) if length is None else length
    ends = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst)
    return struct.pack(">IHBB", 0x60000000, length, proto, ttl) + ends + inner


def kind_of(datagram: bytes) -> int:
    return 0x86DD if datagram[0] >> 4 == 6 else 0x0800


MACS = bytes.fromhex("020000000002020000000001")


def ethernet(datagram: bytes, *tags: int) -> bytes:
    """tags: EtherTypes of VLAN tags, outermost first."""
    kinds = [*tags, kind_of(datagram)]
    links = b"".join(struct.pack(">HH", 0x0064, kind) for kind in kinds[1:])
    return MACS + struct.pack(">H", kinds[0]) + links + datagram


def talk(
    ip: Callable[..., bytes] = ipv4, client: str = CLIENT, server: str = SERVER, sport: int = 40000, dport: int = 143
) -> list[bytes]:
    """The datagrams of one short IMAP connection."""
    there, back = {"src": client, "dst": server}, {"src": server, "dst": client}
    return [
        ip(tcp(sport, dport, 100, 0, SYN, options=bytes.fromhex("020405b4")), **there),
        ip(tcp(dport, sport, 900, 101, SYN | ACK), **back),
        ip(tcp(sport, dport, 101, 901), **there),
        ip(tcp(dport, sport, 901, 101, PSH | ACK, GREETING), **back),
        ip(tcp(sport, dport, 101, 901 + len(GREETING), PSH | ACK, b"a LOGIN u p\r\n"), **there),
        ip(tcp(dport, sport, 901 + len(GREETING), 114, PSH | ACK, b"a NO failed\r\n"), **back),
        ip(tcp(sport, dport, 114, 914 + len(GREETING), FIN | ACK), **there),
    ]


def pcap(
    frames: list[Any], *, link: int = 1, order: str = "<", magic: int = 0xA1B2C3D4, snap: int = 262144, extra: int = 0
) -> bytes:
    """frames: octets, or (octets, octets on the wire)."""
    scale = 1 if magic == 0xA1B23C4D else 1000
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, link)]
    for number, frame in enumerate(frames):
        octets, wire = frame if isinstance(frame, tuple) else (frame, len(frame))
        sec, ns = divmod(START + number * STEP, 10**9)
        parts += [struct.pack(order + "IIII", sec, ns // scale, len(octets), wire), bytes(extra), octets]
    return b"".join(parts)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(link: int = 1, *, snap: int = 0, options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snap) + options, order)


def enhanced(octets: bytes, ticks: int, number: int = 0, order: str = "<", wire: int | None = None) -> bytes:
    wire = len(octets) if wire is None else wire
    fixed = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(octets), wire)
    return block(6, fixed + octets + bytes(-len(octets) % 4), order)


def pcapng(frames: list[Any], *, link: int = 1, order: str = "<") -> bytes:
    packets = [enhanced(frame, (START + n * STEP) // 1000, order=order) for n, frame in enumerate(frames)]
    return b"".join([section(order), interface(link, order=order), *packets])


def read(path: Path, content: bytes | None = None, **options: Any) -> tuple[list[Row], Facts, list[Unreachable]]:
    """Open and read a capture whole; rows with addresses and payload in place of indexes."""
    if content is not None:
        path.write_bytes(content)
    capture = open_capture(path, **options)
    rows, complaints = [], []
    for window in capture.windows():
        complaints += window.unreachable
        for frame, ts, src, dst, *tcp_fields, start, size, cut, ip_id, ttl, _, receive in window.rows():
            names = (window.addresses[src], window.addresses[dst])
            payload = bytes(window.buffer[start : start + size])
            rows.append((frame, ts, *names, *tcp_fields, payload, cut, ip_id, ttl, receive))
    return rows, capture.facts, complaints


def expected(datagram_count: int = 7) -> list[Row]:
    """The first rows that ``talk()`` over IPv4 must give."""
    there, back = (CLIENT, SERVER, 40000, 143), (SERVER, CLIENT, 143, 40000)
    told = [
        (*there, 100, 0, SYN, b""),
        (*back, 900, 101, SYN | ACK, b""),
        (*there, 101, 901, ACK, b""),
        (*back, 901, 101, PSH | ACK, GREETING),
        (*there, 101, 901 + len(GREETING), PSH | ACK, b"a LOGIN u p\r\n"),
        (*back, 901 + len(GREETING), 114, PSH | ACK, b"a NO failed\r\n"),
        (*there, 114, 914 + len(GREETING), FIN | ACK, b""),
    ]
    return [(n + 1, START + n * STEP, *row, 0, 7, 64, 8192) for n, row in enumerate(told[:datagram_count])]
