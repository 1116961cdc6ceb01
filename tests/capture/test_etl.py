"""Event traces built from the documented structures give the rows of the plain pcap, whatever the order of events."""

import struct
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import pytest

from analyzer.capture import etl
from tests.capture.building import START, STEP, Row, ethernet, expected, pcap, read, talk

NDISCAP, PKTMON = "2ed6006e-4729-4609-b423-3ee7bcd678ef", "4d4f80d9-c8bd-4d73-bb5b-19c90402c5ac"
FILETIME_1970 = 116_444_736_000_000_000
BEGIN_END, WLAN, WWAN = 0xC0000000, 0x10000, 0x200
FREQUENCY, BOOT = 10_000_000, 5_000_000_000
SNAP = b"\xaa\xaa\x03\0\0\0\x08\0"
FRAMES = [ethernet(datagram) for datagram in talk()]


def ticks(number: int, kind: int = 1) -> int:
    """The clock of event ``number``; START is where the trace begins."""
    if kind == 2:
        return FILETIME_1970 + (START + number * STEP) // 100
    return BOOT + number * STEP * FREQUENCY // 10**9


def event(provider: str, number: int, when: int, body: bytes, keyword: int = 0, *, extended: bytes = b"") -> bytes:
    descriptor = struct.pack("<HBBBBHQ", number, 0, 16, 4, 0, 0, keyword)
    size = 80 + len(extended) + len(body)
    head = struct.pack("<HBBHHIIQ", size, 0x13, 0xC0, bool(extended), 0, 11, 12, when)
    head += UUID(provider).bytes_le + descriptor + bytes(8 + 16)
    whole = head + extended + body
    return whole + bytes(-len(whole) % 8)


def ndis(frame: bytes, when: int, keyword: int = BEGIN_END, **more: bytes) -> bytes:
    return event(NDISCAP, 1001, when, struct.pack("<III", 3, 4, len(frame)) + frame, keyword, **more)


def pktmon(
    frame: bytes, when: int, number: int, *, kind: int = 1, wire: int = 0, drop: int = 0, component: int = 9
) -> bytes:
    body = struct.pack("<QHHHHHHH", 77 + number, 1, component, 1, kind, component, 1, 0)
    body += struct.pack("<IIHH", drop, 0, wire or len(frame), len(frame)) + frame
    return event(PKTMON, 170 if drop else 160, when, body)


def buffer(events: Iterable[bytes], flags: int = 0) -> bytes:
    payload = b"".join(events)
    used, size = 72 + len(payload), (72 + len(payload) + 511) // 512 * 512
    head = struct.pack("<IIIiQQQHHI", size, used, used, 0, 0, 0, 1, 0, 1, 3) + struct.pack("<IHH16x", used, flags, 0)
    return (head + payload).ljust(size, b"\xff")


def header(clock: int = 1, *, wide: bool = True) -> bytes:
    """The first event: SYSTEM_TRACE_HEADER and TRACE_LOGFILE_HEADER."""
    start = FILETIME_1970 + START // 100
    pointers = bytes(16 if wide else 8)
    body = struct.pack("<IIIIQIIIIIIII", 65536, 10, 0, 4, 0, 0, 0, 0, 1, 0, 8 if wide else 4, 0, 10)
    body += pointers + bytes(172) + bytes(4) + struct.pack("<QQQII", 0, FREQUENCY, start, clock, 0)
    first = struct.pack("<HBBHHIIQII", 2, 2 if wide else 1, 0xC0, 32 + len(body), 0, 0, 0, ticks(0, clock), 0, 0)
    return buffer([first + body])


def rounded(rows: list[Row], step: int = 1) -> list[Row]:
    return [(row[0], row[1] // 1000 * step, *row[2:]) for row in rows]


def trace(events: list[bytes], **kind: object) -> bytes:
    return header(**kind) + buffer(events)  # type: ignore[arg-type]


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("clock", [1, 2, 3])
def test_netsh(tmp_path: Path, clock: int, wide: bool) -> None:
    events = [ndis(frame, ticks(number, clock)) for number, frame in enumerate(FRAMES)]
    rows, facts, _ = read(tmp_path / "a", trace(events, clock=clock, wide=wide))
    assert rounded(rows) == rounded(expected())
    assert (facts.format, facts.link_types, facts.stopped, facts.warnings) == ("etl", ["ethernet"], None, [])


def test_processors_write_apart_and_times_put_it_right(tmp_path: Path) -> None:
    events = [ndis(frame, ticks(number)) for number, frame in enumerate(FRAMES)]
    rows, facts, _ = read(tmp_path / "a", header() + buffer(events[1::2]) + buffer(events[::2]) + bytes(512))
    assert rounded(rows) == rounded(expected())
    assert facts.stopped is None


def test_pieces_of_one_packet_are_joined(tmp_path: Path) -> None:
    events = []
    for number, frame in enumerate(FRAMES):
        parts = [frame[:20], frame[20:40], frame[40:]]
        words = (0x40000000, 0, 0x80000000)
        events += [ndis(part, ticks(number), word) for part, word in zip(parts, words, strict=True)]
    assert rounded(read(tmp_path / "a", trace(events))[0]) == rounded(expected())


def wlan(datagram: bytes) -> bytes:
    return b"\x08\x41\0\0" + bytes(18) + b"\x10\0" + SNAP + datagram  # marked encrypted, which it is no more


@pytest.mark.parametrize(
    ("keyword", "wrap", "link"), [(WLAN, wlan, "ieee802_11"), (WWAN, lambda datagram: datagram, "raw_ip")]
)
def test_other_media(tmp_path: Path, keyword: int, wrap: object, link: str) -> None:
    assert callable(wrap)
    events = [ndis(wrap(datagram), ticks(number), BEGIN_END | keyword) for number, datagram in enumerate(talk())]
    rows, facts, _ = read(tmp_path / "a", trace(events))
    assert (rounded(rows), facts.link_types) == (rounded(expected()), [link])


def test_pktmon_keeps_the_first_appearance_and_tells_drops(tmp_path: Path) -> None:
    events = []
    for number, frame in enumerate(FRAMES):
        events += [
            pktmon(frame, ticks(number), number),
            pktmon(frame[14:], ticks(number) + 1, number, kind=3, component=5),
        ]
    events.append(pktmon(FRAMES[0], ticks(9), 0, drop=30))
    rows, facts, _ = read(tmp_path / "a", trace(events))
    assert (rounded(rows), facts.packets) == (rounded(expected()), 7)
    assert "8 further appearances" in facts.warnings[0]
    assert facts.warnings[1] == "Windows itself dropped 1 packet: 1 x reason 30"


def test_drops_are_told_with_their_reason(tmp_path: Path) -> None:
    """A dropped packet is told by the event of the drop alone, or by the components before, too."""
    events = [pktmon(frame, ticks(number), number) for number, frame in enumerate(FRAMES[:5])]
    events += [pktmon(FRAMES[5], ticks(5), 5, drop=909), pktmon(FRAMES[6], ticks(6), 6, drop=909)]
    events += [pktmon(FRAMES[4], ticks(4) + 1, 4, drop=1204, component=3)]
    rows, facts, _ = read(tmp_path / "a", trace(events))
    assert rounded(rows) == rounded(expected())
    assert facts.warnings[-1] == (
        "Windows itself dropped 3 packets: 2 x blocked by the firewall or another filter (909);"
        " 1 x nobody listens on the port (1204)"
    )


def test_pktmon_tells_packets_apart_by_group_and_number(tmp_path: Path) -> None:
    """The same octets sent twice are two packets; one packet in all components is one, whatever its frame looks like there."""
    twice = [pktmon(FRAMES[0], ticks(0), 0), pktmon(FRAMES[0], ticks(5), 1)]
    assert read(tmp_path / "a", trace(twice))[1].packets == 2
    once = [pktmon(FRAMES[0], ticks(0), 0), pktmon(b"\0" * 40 + FRAMES[0], ticks(5), 0)]
    assert read(tmp_path / "b", trace(once))[1].packets == 1
    strange = [pktmon(FRAMES[0], ticks(0), 0, kind=7), pktmon(FRAMES[0], ticks(5), 0)]
    rows, facts, _ = read(tmp_path / "c", trace(strange))
    assert (len(rows), facts.packets, facts.warnings) == (1, 1, [])


def test_pktmon_in_no_order_of_time(tmp_path: Path) -> None:
    events = [pktmon(frame, ticks(number), number) for number, frame in enumerate(FRAMES)]
    content = header() + buffer(events[4:]) + buffer(events[2:4]) + buffer(events[:2])
    assert rounded(read(tmp_path / "a", content)[0]) == rounded(expected())


def test_pktmon_cuts_packets(tmp_path: Path) -> None:
    events = [pktmon(frame[:60], ticks(number), number, wire=len(frame)) for number, frame in enumerate(FRAMES)]
    rows, facts, _ = read(tmp_path / "a", trace(events))
    assert facts.snapped == 3
    assert [row[10] for row in rows] == [max(len(frame) - 60, 0) if len(frame) > 60 else 0 for frame in FRAMES]


def test_mixed_media_of_pktmon(tmp_path: Path) -> None:
    events = [
        pktmon(frame[14:] if number % 2 else frame, ticks(number), number, kind=3 if number % 2 else 1)
        for number, frame in enumerate(FRAMES)
    ]
    rows, facts, _ = read(tmp_path / "a", trace(events))
    assert (rounded(rows), facts.link_types) == (rounded(expected()), ["ethernet", "raw_ip"])


def test_a_cut_frame_is_known_by_its_ip_header(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", trace([ndis(FRAMES[3][:70], ticks(0))]))
    assert (facts.snapped, rows[0][10]) == (1, len(FRAMES[3]) - 70)


def test_what_else_is_in_a_trace(tmp_path: Path) -> None:
    item = struct.pack("<HHHH", 0, 5, 1, 10) + bytes(10 + 6)
    last = struct.pack("<HHHH", 0, 1, 0, 16) + bytes(16)
    performance = struct.pack("<HBBHHQ", 2, 0x11, 0xC0, 24, 0x0F32, 0) + bytes(8)
    others = [
        event("11111111-2222-3333-4444-555555555555", 1001, 0, b"abc"),
        performance,
        event(NDISCAP, 1003, 0, bytes(20)),
    ]
    events = [ndis(frame, ticks(number), extended=item + last) for number, frame in enumerate(FRAMES)]
    content = header() + buffer([*others, *events]) + buffer([b"packed"], flags=0x40)
    rows, facts, _ = read(tmp_path / "a", content)
    assert rounded(rows) == rounded(expected())
    assert facts.warnings == [
        "1 buffers of the trace are compressed and were skipped",
        "1 packets of a virtual switch were skipped",
    ]


def test_a_trace_without_packets(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", header())
    assert (rows, facts.packets) == ([], 0)
    assert "capture=yes" in facts.warnings[0]


def test_a_cut_trace_is_read_up_to_the_cut(tmp_path: Path) -> None:
    content = trace([ndis(frame, ticks(number)) for number, frame in enumerate(FRAMES)])
    found = []
    for size in range(len(header()) + 80, len(content), 64):
        rows, facts, _ = read(tmp_path / "a", content[:size])
        assert rounded(rows) == rounded(expected())[: len(rows)]
        assert facts.stopped is not None
        found.append(len(rows))
    assert found == sorted(found)
    assert {0, 6} <= set(found)


def test_more_packets_than_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etl, "PACKETS_LIMIT", 3)
    facts = read(tmp_path / "a", trace([ndis(frame, ticks(number)) for number, frame in enumerate(FRAMES)]))[1]
    assert facts.packets == 3
    assert facts.stopped is not None
    assert "more than 3 packets" in facts.stopped.reason


@pytest.mark.parametrize("place", range(0, 600, 7))
def test_hostile_traces(tmp_path: Path, place: int) -> None:
    content = bytearray(trace([pktmon(frame, ticks(n), n) for n, frame in enumerate(FRAMES)]))
    content[512 + place : 512 + place + 4] = b"\xff\x7f\xff\xff"
    assert read(tmp_path / "a", bytes(content))[1].packets <= 7


def test_the_twin_is_the_same_capture(tmp_path: Path) -> None:
    twin = read(tmp_path / "a", pcap(FRAMES))[0]
    rows = read(tmp_path / "b", trace([ndis(frame, ticks(n)) for n, frame in enumerate(FRAMES)]))[0]
    assert rounded(rows) == rounded(twin)
