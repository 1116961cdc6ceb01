"""pcapng: sections, interfaces, clocks, and blocks that lie about themselves."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.capture.building import (
    START,
    STEP,
    block,
    enhanced,
    ethernet,
    expected,
    interface,
    option,
    pcap,
    pcapng,
    read,
    section,
    talk,
)

DATAGRAMS = talk()
FRAMES = [ethernet(datagram) for datagram in DATAGRAMS]


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(tmp_path: Path, order: str) -> None:
    rows, facts, _ = read(tmp_path / "a", pcapng(FRAMES, order=order))
    assert rows == expected()
    assert (facts.format, facts.resolution, facts.packets, facts.stopped) == ("pcapng", 6, 7, None)
    assert (facts.start, facts.end) == (START, START + 6 * STEP)


@pytest.mark.parametrize(
    ("resolution", "ticks", "digits", "ts"),
    [
        (6, 1_700_000_000_123_456, 6, 1_700_000_000_123_456_000),
        (9, 1_700_000_000_123_456_789, 9, 1_700_000_000_123_456_789),
        (3, 1_700_000_000_123, 3, 1_700_000_000_123_000_000),
        (0, 1_700_000_000, 0, 1_700_000_000_000_000_000),
        (12, 1_700_000_123_456_789, 9, 1_700_000_123_456),
        (0x80 | 20, 1_700_000_000 << 20 | 1 << 19, 7, 1_700_000_000_500_000_000),
        (0x80 | 10, (1_700_000_000 << 10) + 256, 4, 1_700_000_000_250_000_000),
        (0, 2**63, 0, 2**63 - 1),
    ],
)
def test_clocks_of_powers_of_ten_and_two(tmp_path: Path, resolution: int, ticks: int, digits: int, ts: int) -> None:
    content = section() + interface(options=option(9, bytes([resolution]))) + enhanced(FRAMES[0], ticks)
    rows, facts, _ = read(tmp_path / "a", content)
    assert (rows[0][1], facts.resolution) == (ts, digits)


@pytest.mark.parametrize(("offset", "ts"), [(5, START + 5_000_000_000), (-5, START - 5_000_000_000), (-(2**62), 0)])
def test_the_offset_of_the_clock(tmp_path: Path, offset: int, ts: int) -> None:
    options = option(2, b"eth0") + option(14, struct.pack("<q", offset)) + option(0, b"") + option(14, bytes(8))
    rows, _, _ = read(tmp_path / "a", section() + interface(options=options) + enhanced(FRAMES[0], START // 1000))
    assert rows[0][1] == ts


def test_interfaces_of_their_own_kind_announced_on_the_way(tmp_path: Path) -> None:
    micros = [(START + n * STEP) // 1000 for n in range(7)]
    content = section() + interface(1) + enhanced(FRAMES[0], micros[0])
    content += interface(101, options=option(9, b"\x09"))
    content += b"".join(enhanced(DATAGRAMS[n], micros[n] * 1000, 1) for n in range(1, 5))
    content += enhanced(FRAMES[5], micros[5]) + enhanced(DATAGRAMS[6], micros[6] * 1000, 1)
    rows, facts, _ = read(tmp_path / "a", content)
    assert rows == expected()
    assert (facts.link_types, facts.resolution) == (["ethernet", "raw_ip"], 9)


def test_sections_each_with_their_order_and_interfaces(tmp_path: Path) -> None:
    parts = [section(">"), interface(101, order=">")]
    parts += [enhanced(DATAGRAMS[n], (START + n * STEP) // 1000, order=">") for n in range(3)]
    parts += [section(), interface(1)]
    parts += [enhanced(FRAMES[n], (START + n * STEP) // 1000) for n in range(3, 7)]
    rows, facts, _ = read(tmp_path / "a", b"".join(parts))
    assert rows == expected()
    assert facts.link_types == ["raw_ip", "ethernet"]


def test_old_packet_blocks_and_unknown_blocks(tmp_path: Path) -> None:
    ticks = START // 1000
    fixed = struct.pack("<HHIIII", 0, 3, ticks >> 32, ticks & 0xFFFFFFFF, len(FRAMES[0]), len(FRAMES[0]))
    content = (
        section() + interface() + block(0x777, b"what is this") + block(5, bytes(12)) + block(2, fixed + FRAMES[0])
    )
    rows, facts, _ = read(tmp_path / "a", content)
    assert (rows, facts.packets) == (expected(1), 1)


def test_simple_packet_blocks_have_the_time_before_and_obey_the_snap_length(tmp_path: Path) -> None:
    simple = block(3, struct.pack("<I", len(FRAMES[3])) + FRAMES[3][:80])
    content = section() + interface(snap=80) + enhanced(FRAMES[0], START // 1000) + simple
    rows, facts, _ = read(tmp_path / "a", content)
    assert rows[1][:2] == (2, START)
    assert (rows[1][9], rows[1][10]) == (FRAMES[3][54:80], len(FRAMES[3]) - 80)
    assert facts.warnings
    assert "time stamp" in facts.warnings[0]


def test_without_any_time_there_is_no_start(tmp_path: Path) -> None:
    simple = block(3, struct.pack("<I", len(FRAMES[0])) + FRAMES[0])
    _, facts, _ = read(tmp_path / "a", section() + interface() + simple)
    assert (facts.packets, facts.start, facts.end) == (1, None, None)


def test_custom_and_journal_blocks_are_numbered_as_wireshark_does(tmp_path: Path) -> None:
    content = section() + interface() + block(0xBAD, bytes(8)) + block(9, b"\x08\x00\x45 text") + enhanced(FRAMES[0], 0)
    rows, facts, _ = read(tmp_path / "a", content)
    assert ([row[0] for row in rows], facts.packets, facts.warnings) == ([3], 3, [])


GOOD = section() + interface() + enhanced(FRAMES[0], START // 1000)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (struct.pack("<II", 6, 0) + bytes(24), "claims a length of 0"),
        (struct.pack("<II", 5, 13) + bytes(24), "claims a length of 13"),
        (struct.pack("<II", 5, 16) + bytes(8), "do not agree"),
        (struct.pack("<II", 5, 64) + bytes(8), "ends inside a block"),
        (b"\x05\0\0\0\x10\0", "ends inside a block header"),
        (enhanced(FRAMES[1], 0, number=1), "interface 1"),
        (block(6, bytes(8)), "too short"),
        (block(6, struct.pack("<IIIII", 0, 0, 0, 500, 500) + bytes(60)), "500 octets"),
        (block(1, bytes(4)), "too short"),
        (block(3, struct.pack("<I", 500) + bytes(60)), "500 octets"),
        (block(3, b""), "without room"),
        (block(0x0A0D0D0A, bytes(16)), "byte-order mark"),
    ],
)
def test_a_bad_block_ends_the_reading(tmp_path: Path, bad: bytes, reason: str) -> None:
    rows, facts, _ = read(tmp_path / "a", GOOD + bad)
    assert rows == expected(1)
    assert facts.stopped is not None
    assert (facts.stopped.frame, facts.stopped.offset_bytes) == (1, len(GOOD))
    assert reason in facts.stopped.reason


def test_cut_at_every_octet_keeps_the_frames_before(tmp_path: Path) -> None:
    content = pcapng(FRAMES[:3])
    sizes = [len(pcapng(FRAMES[:n])) for n in range(4)]
    for size in range(4, len(content)):
        rows, facts, _ = read(tmp_path / "a", content[:size])
        whole = max(sum(end <= size for end in sizes) - 1, 0)
        assert (rows, facts.packets) == (expected(whole), whole), size
        assert (facts.stopped is None) == (size in (*sizes, len(section()))), size


@pytest.mark.skipif(shutil.which("editcap") is None, reason="editcap is not installed")
@pytest.mark.parametrize("form", ["pcap", "nsecpcap", "pcapng", "modpcap"])
def test_what_editcap_writes(tmp_path: Path, form: str) -> None:
    (tmp_path / "in").write_bytes(pcap(FRAMES))
    subprocess.run(["editcap", "-F", form, tmp_path / "in", tmp_path / "out"], check=True, capture_output=True)
    assert read(tmp_path / "out")[0] == expected()
