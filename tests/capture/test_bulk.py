"""The bulk walk keeps exactly what the plain walk keeps, whatever the capture and however it is cut into stretches."""

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analyzer.capture import Facts, bulk, lanes, odd_ports, select, walk
from analyzer.capture.choose import Group
from analyzer.capture.odd_ports import OddPorts
from tests.capture.building import (
    ACK,
    CLIENT,
    GREETING,
    PSH,
    SERVER,
    START,
    STEP,
    SYN,
    block,
    enhanced,
    ethernet,
    interface,
    ipv4,
    ipv6,
    option,
    pcap,
    pcapng,
    read,
    section,
    talk,
    tcp,
)

pytest.importorskip("numpy")

STRETCHES = [(1 << 12, 2), (1 << 15, 2), (1 << 18, 8), (1 << 25, 16)]
"""(octets of a stretch, fewest lanes)."""


def noise(rng: random.Random, count: int) -> Iterator[bytes]:
    """Frames that are nobody's mail, some of them nearly so."""
    for _ in range(count):
        ports = rng.choice(((443, 50000), (50000, 443), (80, 50001), (445, 50002)))
        size = rng.choice((0, 0, 1, 40, 600, 1460))
        payload = rng.choice((b"220", b"* OK", b"\x17\x03\x03", b"HTTP/1.1 200 OK\r\n")) + rng.randbytes(size)
        segment = tcp(*ports, rng.getrandbits(32), 1, rng.choice((ACK, PSH | ACK, SYN)), payload[:size])
        yield rng.choice(
            (
                ethernet(ipv4(segment)),
                ethernet(ipv4(segment, options=bytes(4))),
                ethernet(ipv6(segment)),
                ethernet(ipv4(rng.randbytes(160), proto=17)),
                ethernet(ipv4(b"\x08\0" + rng.randbytes(40), proto=1)),
                b"\xff" * 6 + rng.randbytes(6) + b"\x08\x06" + bytes(46),
                rng.randbytes(12) + b"\x00\x26\x42\x42\x03" + bytes(40),
                ethernet(ipv4(segment), 0x8100),
                rng.randbytes(rng.randrange(1, 30)),
            )
        )


def odd_port(sport: int, *said: tuple[str, bytes], opened: bool = True) -> list[bytes]:
    there, back = {"src": CLIENT, "dst": SERVER}, {"src": SERVER, "dst": CLIENT}
    packets = [ipv4(tcp(sport, 1143, 1, 0, SYN), **there), ipv4(tcp(1143, sport, 1, 2, SYN | ACK), **back)]
    for who, octets in said:
        ports, way = ((sport, 1143), there) if who == "C" else ((1143, sport), back)
        packets.append(ipv4(tcp(*ports, 2, 2, PSH | ACK, octets), **way))
    return [ethernet(packet) for packet in packets[0 if opened else 2 :]]


def unreachable() -> bytes:
    return ethernet(ipv4(b"\x03\x01" + bytes(6) + ipv4(tcp(40000, 143, 1, 0, SYN)), proto=1))


def fragmented() -> list[bytes]:
    segment = tcp(40007, 143, 7, 0, PSH | ACK, bytes(range(256)) * 4)
    return [
        ethernet(ipv4(segment[:512], part=0x2000, ident=77)),
        ethernet(ipv4(segment[512:], part=64, ident=77)),
    ]


def interesting() -> list[list[bytes]]:
    """Dialogues, each in the order of its frames."""
    there = [
        [ethernet(x) for x in talk(sport=40001)],
        [ethernet(x) for x in talk(ipv6, "2001:db8::1", "2001:db8::2", sport=40002)],
        [ethernet(x, 0x8100) for x in talk(sport=40003)],
        [ethernet(x, 0x88A8, 0x8100) for x in talk(sport=40004)],
        [ethernet(x, 0x88A8, 0x8100, 0x8100) for x in talk(sport=40005)],
        [ethernet(ipv4(b"\0\0\x08\0" + x, proto=47)) for x in talk(sport=40006)],
        [ethernet(ipv4(tcp(40008, 143, 1, 1, ACK, b"NOOP\r\n"), total=0))],
        [ethernet(ipv4(tcp(40009, 143, 1, 1, ACK), options=bytes(8)))],
        fragmented(),
        [unreachable()],
        odd_port(41001, ("S", GREETING), ("C", b"a LOGIN u p\r\n"), ("S", b"a NO failed\r\n")),
        odd_port(41002, ("S", b"* OK IMAP4 ready\r\n"), ("C", b"a NOOP\r\n"), opened=False),
        odd_port(41003, ("C", b"CONNECT x HTTP/1.1\r\n"), ("S", b"HTTP/1.1 200 OK\r\n"), ("S", GREETING), ("C", b"a")),
        odd_port(41004, ("S", b"220 this is FTP\r\n"), ("C", b"USER x\r\n"), ("S", GREETING)),
        odd_port(41005, ("C", b"GET / HTTP/1.1\r\n"), ("S", b"HTTP/1.1 200 OK\r\n"), ("S", b"* OK IMAP ready\r\n")),
        odd_port(41006, ("S", b"220 mx ESMTP\r\n"), ("C", b"EHLO x\r\n")) + odd_port(41006, ("S", GREETING)),
    ]
    return [*there, [ethernet(ipv4(tcp(40010, 143, 1, 1, ACK, bytes(60_000)), total=0))]]


def mingled(rng: random.Random, quiet: int) -> list[bytes]:
    """All dialogues at once, with noise between their frames; some span nearly the whole capture."""
    frames: list[bytes] = []
    waiting = interesting()
    while waiting:
        frames += noise(rng, rng.randrange(quiet))
        dialogue = rng.choice(waiting)
        frames.append(dialogue.pop(0))
        waiting = [x for x in waiting if x]
    return [*frames, *noise(rng, quiet)]


def nested(rng: random.Random) -> list[bytes]:
    """A capture file, copied over the network while that was captured: record heads inside of frames."""
    inner = pcap(list(noise(rng, 3000)))
    pieces = [inner[at : at + 1400] for at in range(0, len(inner), 1400)]
    copied = [ethernet(ipv4(tcp(445, 50000, 1 + 1400 * n, 1, ACK, piece))) for n, piece in enumerate(pieces)]
    return [*copied, *(ethernet(x) for x in talk()), *copied]


def sections(rng: random.Random, frames: list[bytes]) -> bytes:
    """Two sections of different byte order, interfaces with different links and clocks, blocks of other kinds."""
    parts = [section(), interface(), interface(101, options=option(9, b"\x09")), block(4, bytes(8))]
    for number, frame in enumerate(frames):
        ns = START + number * STEP
        if rng.random() < 0.3 and frame[12:14] == b"\x08\0":
            parts.append(enhanced(frame[14:], ns, 1))
        else:
            parts.append(enhanced(frame, ns // 1000))
        if rng.random() < 0.01:
            parts.append(block(rng.choice((4, 5, 0xBAD, 3)), struct.pack("<I", 60) + bytes(60)))
        if number == len(frames) // 2:
            parts += [interface(1, options=option(9, b"\x94"))]
    sign = ">"
    parts += [section(sign), interface(order=sign), interface(113, order=sign)]
    parts += [enhanced(frame, (START + n * STEP) // 1000, order=sign) for n, frame in enumerate(frames[:500])]
    return b"".join(parts)


def cooked(frames: list[bytes]) -> list[bytes]:
    return [bytes(14) + frame[12:] for frame in frames]


def capture_files() -> dict[str, Callable[[], bytes]]:
    rng = random.Random(7)
    frames = mingled(rng, 60)
    merged = [frame if rng.random() < 0.9 else bytes(4) + frame for frame in frames]
    return {
        "pcap": lambda: pcap(frames),
        "big-endian": lambda: pcap(frames, order=">"),
        "nanoseconds": lambda: pcap(frames, magic=0xA1B23C4D),
        "snap length 64": lambda: pcap([(frame[:64], len(frame)) for frame in frames]),
        "snap length 40": lambda: pcap([(frame[:40], len(frame)) for frame in frames]),
        "cut in a frame": lambda: pcap(frames)[:-30],
        "cut in a head": lambda: pcap([*frames, b""])[:-5],
        "damaged": lambda: pcap(frames[:900]) + struct.pack("<IIII", 1, 1, 1 << 30, 1 << 30) + pcap(frames)[24:],
        "nested": lambda: pcap(nested(rng)),
        "raw IP": lambda: pcap([frame[14:] for frame in frames], link=101),
        "cooked": lambda: pcap(cooked(frames), link=113),
        "loopback": lambda: pcap([b"\x02\0\0\0" + frame[14:] for frame in frames], link=0),
        "odd lengths": lambda: pcap(merged),
        "no time": lambda: b"".join(_timeless(pcap(frames))),
        "pcapng": lambda: pcapng(frames),
        "pcapng, big-endian": lambda: pcapng(frames, order=">"),
        "pcapng, cut": lambda: pcapng(frames)[:-10],
        "pcapng, sections": lambda: sections(rng, frames),
    }


def _timeless(content: bytes) -> Iterator[bytes]:
    """Yield the capture with all times 0, which leaves nothing to search records by."""
    at = 24
    yield content[:at]
    while at < len(content):
        size = struct.unpack_from("<I", content, at + 8)[0]
        yield bytes(8) + content[at + 8 : at + 16 + size]
        at += 16 + size


FILES = capture_files()


@pytest.fixture
def in_bulk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    def switch(stretch: int, least: int) -> None:
        monkeypatch.setattr(walk, "BULK_BYTES", 0)
        monkeypatch.setattr(bulk, "STRETCH_BYTES", stretch)
        monkeypatch.setattr(bulk, "LEAST_STRETCH_BYTES", min(stretch, 1 << 16))
        monkeypatch.setattr(lanes, "LEAST_LANES", least)

    return switch


@pytest.mark.parametrize("name", FILES)
def test_the_same_as_the_plain_walk(tmp_path: Path, name: str, in_bulk: Callable[[int, int], None]) -> None:
    path = tmp_path / "a"
    plain = read(path, FILES[name]())
    assert plain[1].packets > 500
    for stretch, least in STRETCHES:
        in_bulk(stretch, least)
        assert read(path) == plain, stretch


def test_the_capture_holds_what_it_is_meant_to(tmp_path: Path) -> None:
    rows, _, complaints = read(tmp_path / "a", FILES["pcap"]())
    there = {row[4] if row[5] in (143, 1143) else row[5] for row in rows}
    assert there >= {40001, 40002, 40003, 40004, 40005, 40006, 40007, 40008, 40009, 40010, 41001, 41002, 41003, 41006}
    assert not there & {41004, 41005, 50000, 50001}
    assert len(complaints) == 1


@pytest.mark.parametrize("any_port", [True, False])
@pytest.mark.parametrize("ports", [frozenset({143}), frozenset({443, 143})])
def test_ports_asked_for(
    tmp_path: Path, any_port: bool, ports: frozenset[int], in_bulk: Callable[[int, int], None]
) -> None:
    plain = read(tmp_path / "a", FILES["pcap"](), ports=ports, any_port=any_port)
    in_bulk(1 << 15, 2)
    assert read(tmp_path / "a", ports=ports, any_port=any_port) == plain


def test_windows_are_cut_at_the_same_rows(
    tmp_path: Path, in_bulk: Callable[[int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(FILES["pcap"]())
    for module in (bulk, walk.Window.add.__globals__):
        target: Any = module
        if isinstance(target, dict):
            monkeypatch.setitem(target, "ROWS_LIMIT", 9)
            monkeypatch.setitem(target, "PAYLOAD_LIMIT_BYTES", 5000)
        else:
            monkeypatch.setattr(target, "ROWS_LIMIT", 9)
            monkeypatch.setattr(target, "PAYLOAD_LIMIT_BYTES", 5000)
    plain = _windows(path)
    assert len(plain) > 5
    in_bulk(1 << 14, 2)
    assert _windows(path) == plain


def _windows(path: Path) -> list[list[int]]:
    content = path.read_bytes()
    walked = walk.Walk(content, Facts(), frozenset({143}), any_port=True)
    return [[row[0] for row in window.rows()] for window in walked.windows(walk.pcap.records)]


def test_lanes_walk_where_they_can_and_doubt_what_they_find(
    tmp_path: Path, in_bulk: Callable[[int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bool] = []
    walked = lanes.Lanes._walk

    def noting(*arguments: Any) -> Any:
        result = walked(*arguments)
        found.append(result is not None)
        return result

    monkeypatch.setattr(lanes.Lanes, "_walk", noting)
    in_bulk(1 << 18, 8)
    read(tmp_path / "a", FILES["pcap"]())
    assert found
    assert all(found)
    found.clear()
    read(tmp_path / "b", FILES["nested"]())
    assert not all(found)


@pytest.mark.parametrize("frames_between", [walk.Selection.offer.__globals__["LOOKBACK_FRAMES"], 100])
def test_a_late_greeting(
    tmp_path: Path, in_bulk: Callable[[int, int], None], monkeypatch: pytest.MonkeyPatch, frames_between: int
) -> None:
    """The SYN lies many stretches back; beyond the look-back the connection is not taken for mail any more."""
    monkeypatch.setattr("analyzer.capture.select.LOOKBACK_FRAMES", 100)
    monkeypatch.setattr("analyzer.capture.odd_ports.LOOKBACK_FRAMES", 100)
    begun = odd_port(41001, ("S", GREETING))
    between = [ethernet(ipv4(bytes(100), proto=17))] * (min(frames_between, 200) - 2)
    content = pcap([*begun[:2], *between, *begun[2:], *odd_port(41002, ("S", GREETING))])
    plain = [row[0] for row in read(tmp_path / "a", content)[0]]
    assert (1 in plain) == (frames_between == 100)
    in_bulk(1 << 11, 2)
    assert [row[0] for row in read(tmp_path / "a")[0]] == plain


@pytest.mark.parametrize("ip", [ipv4, ipv6])
def test_a_key_is_the_same_on_columns_and_alone(ip: Callable[..., bytes]) -> None:
    import numpy as np

    ends = {"src": "10.1.2.3", "dst": "10.9.8.7"} if ip is ipv4 else {"src": "2001:db8::7", "dst": "fe80::9"}
    datagram = ip(tcp(40000, 1143), **ends)
    tcp_at = 20 if ip is ipv4 else 40
    exact = datagram[12:24] if ip is ipv4 else datagram[8:40] + datagram[40:44]
    none = np.zeros(0, np.intp)
    group = Group(np.frombuffer(datagram, np.uint8)[None, :], None, 0, tcp_at == 40, 101, none, none, none)
    watcher = object.__new__(OddPorts)
    (key,) = watcher._keys(group, np.array([0])).tolist()
    turned = select._turned(exact)
    assert key == odd_ports._key(exact) == odd_ports._key(turned)
    changed = {odd_ports._key(exact[:at] + b"\x99" + exact[at + 1 :]) for at in range(len(exact))}
    assert len(changed - {key}) == len(exact)


def test_old_packet_blocks_are_read_the_plain_way(tmp_path: Path, in_bulk: Callable[[int, int], None]) -> None:
    frames = [ethernet(x) for x in talk()] * 40
    old = [block(3, struct.pack("<I", len(frame)) + frame) for frame in frames]
    content = b"".join([section(), interface(), *old])
    plain = read(tmp_path / "a", content)
    in_bulk(1 << 12, 2)
    assert read(tmp_path / "a") == plain
    later = b"".join([section(), interface(), *(enhanced(frame, 10**9) for frame in frames * 2), *old])
    assert read(tmp_path / "b", later)[1].packets == 3 * len(frames)
