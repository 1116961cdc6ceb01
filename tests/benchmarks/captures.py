"""Make the captures the benchmarks read, with known truth: one block of traffic, repeated with new times and new clients.

The same arguments give the same octets. Checksums are left 0: none of the readers compared here verifies them.
"""

from __future__ import annotations

import base64
import gzip
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

START_S = 1_700_000_000
MICROS = 1_000_000
BLOCK_S = 4
"""Seconds of capture that one block takes."""
SERVER = bytes((10, 0, 0, 90))
FIN, SYN, PSH, ACK = 1, 2, 8, 16
GREETING = b"* OK The Microsoft Exchange IMAP4 service is ready.\r\n"
REFUSAL = b"A1 NO AUTHENTICATE failed.\r\n"
_SYN_OPTIONS = bytes.fromhex("020405b401010402")


class Truth(NamedTuple):
    """What a reader of the capture has to find."""

    packets: int
    mail_packets: int
    sessions: int
    refused: int


@dataclass
class Block:
    """Frames in order, and where in each frame the client's address stands (-1: nowhere)."""

    frames: list[bytes] = field(default_factory=list)
    clients: list[int] = field(default_factory=list)
    mail_packets: int = 0
    sessions: int = 0
    refused: int = 0


class Talk:
    """One TCP connection between client number ``who`` and a server; every call makes one frame."""

    def __init__(self, rng: random.Random, who: int, sport: int, port: int) -> None:
        self.client, self.server = bytes((10, 1, 0, 0)), SERVER[:3] + bytes((90 + port % 7,))
        self.client_mac, self.who = b"\x02\0\0\x01" + struct.pack(">H", who), who
        self.ports = (sport, port)
        self.next = [rng.getrandbits(32), rng.getrandbits(32)]
        self.port = port

    def frame(self, side: int, flags: int, payload: bytes = b"", options: bytes = b"") -> tuple[bytes, int]:
        """Return the frame that ``side`` (0 client, 1 server) sends, and where the client's address is in it."""
        ends = (self.client, self.server) if not side else (self.server, self.client)
        ports = self.ports if not side else self.ports[::-1]
        seq, ack = self.next[side], self.next[1 - side] if flags & ACK else 0
        flags |= PSH if payload else 0
        tcp = struct.pack(">HHIIBBHHH", *ports, seq, ack, (20 + len(options)) << 2, flags, 64240, 0, 0)
        self.next[side] = seq + len(payload) + bool(flags & (SYN | FIN)) & 0xFFFFFFFF
        macs = b"\x02\0\0\0\0\x5a" + self.client_mac if not side else self.client_mac + b"\x02\0\0\0\0\x5a"
        whole = macs + b"\x08\0" + ipv4(*ends, 6, tcp + options + payload)
        return whole.ljust(60, b"\0"), (26 if not side else 30) + 1


def ipv4(source: bytes, target: bytes, proto: int, payload: bytes) -> bytes:
    """Return an IPv4 datagram."""
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 7, 0x4000, 128, proto, 0, source, target) + payload


def handshake(talk: Talk) -> Iterator[tuple[bytes, int]]:
    """Yield the three frames that open a connection."""
    yield talk.frame(0, SYN, options=_SYN_OPTIONS)
    yield talk.frame(1, SYN | ACK, options=_SYN_OPTIONS)
    yield talk.frame(0, ACK)


def goodbye(talk: Talk) -> Iterator[tuple[bytes, int]]:
    """Yield the frames that close one."""
    yield talk.frame(0, FIN | ACK)
    yield talk.frame(1, FIN | ACK)
    yield talk.frame(0, ACK)


def login(
    talk: Talk, account: str, *, refused: bool, mails: Iterator[bytes] | None = None
) -> Iterator[tuple[bytes, int]]:
    """Yield an IMAP session: greeting, capabilities, a login, and behind an accepted one a mailbox and mails."""
    blob = base64.b64encode(b"\0" + account.encode() + b"\0secret-of-it")
    yield from handshake(talk)
    yield talk.frame(1, ACK, GREETING)
    yield talk.frame(0, ACK, b"A0 CAPABILITY\r\n")
    yield talk.frame(
        1, ACK, b"* CAPABILITY IMAP4 IMAP4rev1 AUTH=NTLM AUTH=PLAIN IDLE NAMESPACE\r\nA0 OK completed.\r\n"
    )
    yield talk.frame(0, ACK, b"A1 AUTHENTICATE PLAIN\r\n")
    yield talk.frame(1, ACK, b"+\r\n")
    yield talk.frame(0, ACK, blob + b"\r\n")
    if refused:
        yield talk.frame(1, ACK, REFUSAL)
    else:
        yield talk.frame(1, ACK, b"A1 OK AUTHENTICATE completed.\r\n")
        yield talk.frame(0, ACK, b"A2 SELECT INBOX\r\n")
        yield talk.frame(1, ACK, b"* 7 EXISTS\r\n* 0 RECENT\r\nA2 OK [READ-WRITE] SELECT completed.\r\n")
        yield from fetches(talk, mails or iter(()))
    yield from goodbye(talk)


def fetches(talk: Talk, mails: Iterator[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield one FETCH with its literal for each mail, acknowledged every second segment."""
    for number, mail in enumerate(mails, 3):
        yield talk.frame(0, ACK, b"A%d UID FETCH %d (BODY.PEEK[])\r\n" % (number, number))
        answer = b"* %d FETCH (UID %d BODY[] {%d}\r\n%s)\r\nA%d OK FETCH completed.\r\n"
        octets = answer % (number, number, len(mail), mail, number)
        for place, start in enumerate(range(0, len(octets), 1460)):
            yield talk.frame(1, ACK, octets[start : start + 1460])
            if place % 2:
                yield talk.frame(0, ACK)


def short(talk: Talk, account: str) -> Iterator[tuple[bytes, int]]:
    """Yield the shortest IMAP session that is refused; no frame is longer than 100 octets."""
    yield from handshake(talk)
    yield talk.frame(1, ACK, b"* OK IMAP4 ready\r\n")
    yield talk.frame(0, ACK, b"1 LOGIN %s not-it\r\n" % account.encode())
    yield talk.frame(1, ACK, b"1 NO LOGIN failed.\r\n")
    yield from goodbye(talk)


def web(talk: Talk, rng: random.Random, pool: bytes, answer_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield a TLS-like exchange: a request, an answer in full segments, acknowledgements."""
    yield from handshake(talk)
    yield talk.frame(0, ACK, b"\x16\x03\x01" + cut(rng, pool, min(200, answer_bytes)))
    for place, start in enumerate(range(0, answer_bytes, 1460)):
        yield talk.frame(1, ACK, b"\x17\x03\x03" + cut(rng, pool, min(1457, answer_bytes - start)))
        if place % 2:
            yield talk.frame(0, ACK)
    yield from goodbye(talk)


def voice(rng: random.Random, pool: bytes, who: int) -> tuple[bytes, int]:
    """Return one frame of a telephone call."""
    udp = struct.pack(">HHHH", 16384 + 2 * who, 27010, 180, 0) + b"\x80\0" + cut(rng, pool, 170)
    macs = b"\x02\0\0\0\0\x5a\x02\0\0\x02" + struct.pack(">H", who)
    return macs + b"\x08\0" + ipv4(bytes((10, 1, 0, 0)), SERVER, 17, udp), 27


def arp(who: int) -> tuple[bytes, int]:
    """Return a question for an address."""
    return b"\xff" * 6 + b"\x02\0\0\x02" + struct.pack(">H", who) + b"\x08\x06" + bytes(46), -1


def cut(rng: random.Random, pool: bytes, size: int) -> bytes:
    """Return some octets of the pool."""
    place = rng.randrange(len(pool) - size)
    return pool[place : place + size]


def mingle(rng: random.Random, talks: list[Iterator[tuple[bytes, int]]], at_once: int) -> Iterator[tuple[bytes, int]]:
    """Yield the frames of all talks, each talk in order, ``at_once`` of them going on at a time."""
    waiting, going = iter(talks), []
    while True:
        while len(going) < at_once and (talk := next(waiting, None)) is not None:
            going.append(talk)
        if not going:
            return
        place = rng.randrange(len(going))
        frame = next(going[place], None)
        if frame is None:
            going.pop(place)
        else:
            yield frame


def mixed(webs: int = 22, calls: int = 12) -> Block:
    """Make an office: 3 % of the packets are IMAP, the rest TLS, telephone calls, ARP."""
    rng, pool = random.Random(1), random.Random(2).randbytes(1 << 16)
    block, talks = Block(), []
    text = base64.encodebytes(pool).replace(b"\n", b"\r\n")
    for who in range(6):
        mails = [cut(rng, text, 20_000) for _ in range(2 * (who % 2))]
        talk = login(Talk(rng, who, 50000 + who, 143), f"agent{who % 3}", refused=who % 2 == 0, mails=iter(mails))
        talks += [_mail(block, talk, refused=who % 2 == 0)]
    talks += [
        web(Talk(rng, 100 + n, 51000 + n, 443), rng, pool, rng.choice((4000, 60_000, 400_000))) for n in range(webs)
    ]
    talks += [iter([voice(rng, pool, n) for _ in range(100)]) for n in range(calls)]
    talks.append(iter([arp(n) for n in range(20)]))
    return _filled(block, mingle(rng, talks, 30))


def imap(clients: int = 12, mails_kb: tuple[int, int] = (100, 400)) -> Block:
    """Make a mail server's uplink: two thirds of the packets carry mails of so many kB, two for each client."""
    rng, pool = random.Random(3), base64.encodebytes(random.Random(4).randbytes(1 << 19)).replace(b"\n", b"\r\n")
    block, talks = Block(), []
    least, most = (size * 1000 for size in mails_kb)
    for who in range(clients):
        mails = [cut(rng, pool, rng.randrange(least, most)) for _ in range(2)]
        talk = login(Talk(rng, who, 50000 + who, 143), f"agent{who}", refused=who % 4 == 0, mails=iter(mails))
        talks += [_mail(block, talk, refused=who % 4 == 0)]
    talks += [web(Talk(rng, 100 + n, 51000 + n, 443), rng, pool, least + least // 2) for n in range(12)]
    return _filled(block, mingle(rng, talks, 8))


def tiny() -> Block:
    """Make many short connections of small packets, a quarter of them IMAP logins that are refused."""
    rng, pool = random.Random(5), random.Random(6).randbytes(1 << 12)
    block, talks = Block(), []
    for who in range(290):
        talk = short(Talk(rng, who, 50000 + who, 143), f"agent{who % 20}")
        talks += [_mail(block, talk, refused=True)]
    talks += [web(Talk(rng, 300 + n, 51000 + n, 443), rng, pool, rng.randrange(20, 40)) for n in range(860)]
    rng.shuffle(talks)
    return _filled(block, mingle(rng, talks, 40))


def _mail(block: Block, talk: Iterator[tuple[bytes, int]], *, refused: bool) -> Iterator[tuple[bytes, int]]:
    """Count a session and its packets."""
    frames = list(talk)
    block.mail_packets += len(frames)
    block.sessions += 1
    block.refused += refused
    return iter(frames)


def _filled(block: Block, frames: Iterator[tuple[bytes, int]]) -> Block:
    for frame, client in frames:
        block.frames.append(frame)
        block.clients.append(client)
    return block


def tagged(block: Block) -> Block:
    """Put a VLAN tag into every frame."""
    block.frames = [frame[:12] + b"\x81\0\0\x64" + frame[12:] for frame in block.frames]
    block.clients = [at + 4 if at >= 0 else at for at in block.clients]
    return block


KINDS: dict[str, Callable[[], Block]] = {
    "mixed": mixed,
    "imap": imap,
    "tiny": tiny,
    "vlan": lambda: tagged(mixed()),
    "pcapng": mixed,
    "gz": mixed,
    "big": mixed,
}
UPLOADS: dict[str, Callable[[], Block]] = {
    "office": lambda: mixed(webs=9, calls=6),
    "uplink": lambda: imap(clients=24, mails_kb=(5, 30)),
    "storm": tiny,
}
"""Captures of about a megabyte, as a triage desk gets them: of a PC, of a mail server, of a storm of refused logins."""
PACKED = "gz"
"""What is written through gzip."""


def make(kind: str, path: Path, size_bytes: int) -> Truth:
    """Write a capture of about ``size_bytes`` (at least one block); ``kind`` is one of KINDS or UPLOADS."""
    import numpy as np

    block, ng = (KINDS | UPLOADS)[kind](), kind == "pcapng"
    octets, times, clients = _image(block, _enhanced if ng else _classic)
    image, stamps, numbers = np.frombuffer(octets, np.uint8), np.array(times) + 12 * ng, np.array(clients)
    repeats = max(1, size_bytes // len(image))
    ticks = np.arange(len(block.frames), dtype=np.int64) * (BLOCK_S * MICROS) // len(block.frames)
    with gzip.open(path, "wb", compresslevel=1) if kind == PACKED else path.open("wb") as file:
        file.write(_PCAPNG_HEAD if ng else _PCAP_HEAD)
        for repeat in range(repeats):
            now = repeat * BLOCK_S * MICROS + ticks + (START_S * MICROS if ng else 0)
            high, low = (now >> 32, now & 0xFFFFFFFF) if ng else (START_S + now // MICROS, now % MICROS)
            _put(image, stamps, high)
            _put(image, stamps + 4, low)
            image[numbers], image[numbers + 1] = repeat >> 8 & 255, repeat & 255
            file.write(image.data)
    return Truth(*(count * repeats for count in (len(block.frames), block.mail_packets, block.sessions, block.refused)))


_PCAP_HEAD = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)
_PCAPNG_HEAD = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28) + struct.pack(
    "<IIHHII", 1, 20, 1, 0, 262_144, 20
)


def _classic(frame: bytes) -> tuple[bytes, int]:
    """Return a record and where the frame starts in it."""
    return struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame, 16


def _enhanced(frame: bytes) -> tuple[bytes, int]:
    padded = frame + bytes(-len(frame) % 4)
    size = 32 + len(padded)
    return struct.pack("<IIIIIII", 6, size, 0, 0, 0, len(frame), len(frame)) + padded + struct.pack("<I", size), 28


def _image(block: Block, record: Callable[[bytes], tuple[bytes, int]]) -> tuple[bytearray, list[int], list[int]]:
    """Return the block's octets, where each record starts, and where each client's number is."""
    image, starts, clients = bytearray(), [], []
    for frame, client in zip(block.frames, block.clients, strict=True):
        octets, start = record(frame)
        starts.append(len(image))
        if client >= 0:
            clients.append(len(image) + start + client)
        image += octets
    return image, starts, clients


def _put(image: np.ndarray, at: np.ndarray, column: np.ndarray) -> None:
    """Write 32-bit numbers into the image."""
    octets = column.astype("<u4").view("u1").reshape(-1, 4)
    for place in range(4):
        image[at + place] = octets[:, place]
