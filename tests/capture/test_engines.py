"""The plain walk and the bulk walk agree on captures drawn at random, above all on mail that talks on other ports.

Each capture mingles connections that reuse a few addresses and ports: greetings at once, late, behind a proxy's or another
protocol's words, or none; openings unseen, repeated, unanswered; frames tagged, tunnelled, cut, doubled. Limits that
count frames are scaled down with the captures.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from analyzer.capture import bulk, lanes, odd_ports, select, walk
from tests.capture.building import (
    ACK,
    FIN,
    GREETING,
    PSH,
    RST,
    START,
    STEP,
    SYN,
    block,
    enhanced,
    ethernet,
    interface,
    ipv4,
    ipv6,
    pcap,
    read,
    section,
    tcp,
)

pytest.importorskip("numpy")

SEEDS = range(60)
STRETCHES = (1 << 10, 1 << 12, 1 << 14, 1 << 25)
"""Octets of a stretch; 32 to 128 MB, scaled down to captures of some ten thousand octets."""

OPENINGS: tuple[tuple[tuple[str, bytes], ...], ...] = (
    (("S", GREETING), ("C", b"a LOGIN u p\r\n"), ("S", b"a NO failed\r\n")),
    (("S", b"* OK hello\r\n"), ("C", b"a NOOP\r\n"), ("S", b"a OK\r\n")),
    (("S", b"220 here\r\n"), ("C", b"EHLO x\r\n"), ("S", b"250 ok\r\n")),
    (("S", b"220 mx ESMTP\r\n"), ("C", b"EHLO x\r\n"), ("S", b"250 ok\r\n")),
    (("S", b"+OK POP3 ready\r\n"), ("C", b"USER x\r\n"), ("S", b"-ERR\r\n")),
    (("S", b"220 FTP of mail\r\n"), ("C", b"USER x\r\n"), ("S", GREETING)),
    (("C", b"CONNECT x HTTP/1.1\r\n"), ("S", b"HTTP/1.1 200 OK\r\n"), ("S", GREETING), ("C", b"a NOOP\r\n")),
    (("C", b"GET / HTTP/1.1\r\n"), ("S", b"HTTP/1.1 200 OK\r\n"), ("S", b"* OK IMAP ready\r\n"), ("C", b"x")),
    (("C", b"PROXY TCP4 a b 1 2\r\n"), ("S", GREETING), ("C", b"a NOOP\r\n")),
    (("C", b"\x16\x03\x01ab"), ("S", b"\x16\x03\x03cd"), ("C", b"22"), ("S", b"5")),
    (("S", b"* "), ("S", b"OK IMAP ready\r\n"), ("C", b"a")),
    (("C", b"x"), ("C", b"y"), ("S", GREETING)),
    (),
)


def connection(rng: Random) -> list[bytes]:
    """The datagrams of one connection."""
    six = rng.random() < 0.25
    ip, host = (ipv6, "2001:db8::{}") if six else (ipv4, "192.0.2.{}")
    client, server = host.format(rng.randrange(1, 3)), host.format(9)
    ports = (rng.choice((41001, 41002)), rng.choice((1143, 1143, 8025, 143)))
    isn, said = rng.choice((1, 1, 77, 1 << 31)), list(rng.choice(OPENINGS))

    def packet(who: str, flags: int, seq: int, octets: bytes = b"") -> bytes:
        there = who == "C"
        segment = tcp(*(ports if there else ports[::-1]), isn + seq, isn * (not there), flags, octets)
        return ip(segment, *((client, server) if there else (server, client)))

    opening = [packet("C", SYN, 0)] * rng.choice((0, 1, 1, 1, 1, 2)) + [packet("S", SYN | ACK, 0)] * rng.choice(
        (0, 1, 1)
    )
    opening += [packet("C", ACK, 1)] * rng.choice((0, 1, 1, 30 if rng.random() < 0.1 else 1))
    if rng.random() < 0.1:
        opening.append(packet("S", RST | ACK, 1))
    talk = [packet(who, PSH | ACK, 1 + n, octets) for n, (who, octets) in enumerate(said)]
    talk += [packet("C", ACK, 9)] * rng.choice((0, 0, 2)) + [packet("S", FIN | ACK, 9)] * rng.choice((0, 1))
    return opening + talk


def framed(rng: Random, datagram: bytes, way: str) -> bytes:
    if way == "mixed":
        way = rng.choice(("plain", "plain", "tags", "tunnel"))
    if way == "tags":
        return ethernet(datagram, *[0x8100] * rng.choice((1, 2, 3)))
    if way == "tunnel":
        kind = b"\x86\xdd" if datagram[0] >> 4 == 6 else b"\x08\x00"
        return ethernet(ipv4(b"\0\0" + kind + datagram, "10.0.0.1", "10.0.0.2", proto=47))
    return ethernet(datagram)


def noise(rng: Random) -> bytes:
    payload = rng.choice((b"", b"\x17\x03\x03", b"220", b"* OK IMAP ready\r\n", b"x" * 60))
    ports = rng.choice(((443, 50000), (50000, 443), (50001, 1143), (1143, 50002)))
    return ethernet(ipv4(tcp(*ports, 1, 1, rng.choice((ACK, PSH | ACK, SYN)), payload), "192.0.2.7"))


def frames_of(rng: Random) -> list[Any]:
    """Several connections at once, each in order, noise between them."""
    waiting, frames = [], []
    for _ in range(rng.randrange(2, 14)):
        way = rng.choice(("plain", "plain", "plain", "tags", "tunnel", "mixed"))
        waiting.append([framed(rng, datagram, way) for datagram in connection(rng)])
    noisy, at_once = rng.choice((0, 2, 12)), rng.choice((1, 3, 14))
    while waiting:
        frames += [noise(rng) for _ in range(rng.randrange(noisy + 1))]
        which = rng.choice(waiting[:at_once])
        if which:
            frames.append(which.pop(0))
            frames += frames[-1:] * (rng.random() < 0.05)
        else:
            waiting.remove(which)
    snap = rng.choice((0, 0, 0, 0, 60, 80))
    return [(frame[:snap], len(frame)) if snap else frame for frame in frames]


def sections(rng: Random, frames: list[Any]) -> bytes:
    """A pcapng file with blocks of other kinds, and sometimes another section, between the packets."""
    parts, odd, new = [section(), interface()], rng.choice((0, 0.1)), rng.choice((0, 0, 0.02))
    for number, frame in enumerate(frames):
        octets, wire = frame if isinstance(frame, tuple) else (frame, len(frame))
        parts.append(enhanced(octets, (START + number * STEP) // 1000, wire=wire))
        if rng.random() < odd:
            parts.append(block(rng.choice((4, 5, 0xBAD)), struct.pack("<I", 60) + bytes(60)))
        if rng.random() < new:
            parts += [section(), interface()]
    return b"".join(parts)


def capture(seed: int) -> bytes:
    rng = Random(seed)
    frames = frames_of(rng)
    return pcap(frames) if rng.random() < 0.5 else sections(rng, frames)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (select, odd_ports):
        monkeypatch.setattr(module, "LOOKBACK_FRAMES", 60)
    monkeypatch.setattr(bulk, "LEAST_STRETCH_BYTES", 1 << 10)
    monkeypatch.setattr(lanes, "LEAST_LANES", 2)


def answers(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Any]]:
    yield 0, read(path)
    monkeypatch.setattr(walk, "BULK_BYTES", 0)
    for stretch in STRETCHES:
        monkeypatch.setattr(bulk, "STRETCH_BYTES", stretch)
        monkeypatch.setattr(bulk, "LEAST_STRETCH_BYTES", min(stretch, 1 << 16))
        yield stretch, read(path)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_answer_is_the_same(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(capture(seed))
    (_, plain), *others = answers(path, monkeypatch)
    for stretch, other in others:
        assert other == plain, stretch
