"""Network Monitor and snoop files give the rows of their pcap twins."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.capture.building import START, STEP, ethernet, expected, pcap, read, talk

FRAMES = [ethernet(datagram) for datagram in talk()]
SYSTEMTIME = struct.pack("<8H", 2024, 3, 1, 4, 9, 14, 0, 123)  # START, without its microseconds
FILETIME_1970 = 116_444_736_000_000_000


def netmon(minor: int, *, utc: bool = False, medium: int = 1, per_frame: int = 1, start: bytes = SYSTEMTIME) -> bytes:
    """A 2.x file; every frame begins 456 microseconds after a whole millisecond, as in START."""
    body, table = bytearray(), []
    for number, frame in enumerate(FRAMES):
        table.append(128 + len(body))
        ns = START + number * STEP
        body += struct.pack("<QII", 456 + number * STEP // 1000, len(frame), len(frame)) + frame
        zone = struct.pack("<QB", FILETIME_1970 + ns // 100, 4)
        body += (struct.pack("<H", per_frame) + struct.pack("<I", 7) + zone)[: {0: 0, 1: 2, 2: 6, 3: 15}[minor]]
    head = b"GMBU" + bytes((minor, 2)) + struct.pack("<H", medium) + start
    head += struct.pack("<II", 128 + len(body), 4 * len(table)) + bytes(24) + struct.pack("<I", int(utc))
    return head.ljust(128, b"\0") + bytes(body) + struct.pack(f"<{len(table)}I", *table)


@pytest.mark.parametrize("minor", [0, 1, 2, 3])
def test_versions_of_netmon_2_and_their_trailers(tmp_path: Path, minor: int) -> None:
    rows, facts, _ = read(tmp_path / "a", netmon(minor, medium=1 if minor == 0 else 0))
    assert (rows, facts.format, facts.link_types, facts.stopped) == (expected(), "NetMon 2", ["ethernet"], None)
    assert "local time" in facts.warnings[0]


def test_utc_of_the_trailers(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", netmon(3, utc=True, start=struct.pack("<8H", 1999, 1, 1, 1, 1, 1, 1, 1)))
    assert [row[1] for row in rows] == [row[1] // 100 * 100 for row in expected()]
    assert facts.warnings == []


@pytest.mark.parametrize("per_frame", [0xE001, 0])
def test_link_types_of_single_frames(tmp_path: Path, per_frame: int) -> None:
    assert read(tmp_path / "a", netmon(2, medium=6, per_frame=per_frame))[0] == expected()


def test_records_that_are_no_frames_keep_their_number(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", netmon(2, per_frame=0xFFFC))
    assert (rows, facts.packets, facts.link_types) == ([], 7, [])


def test_a_cut_file_is_read_without_its_table(tmp_path: Path) -> None:
    for minor in (0, 1, 2, 3):
        rows, facts, _ = read(tmp_path / "a", netmon(minor)[:-5])
        assert rows == expected()
        assert facts.stopped is not None
        assert "table" in facts.stopped.reason


@pytest.mark.parametrize("place", [0, 24, 28, 128, 132, 136, 140])
def test_hostile_netmon(tmp_path: Path, place: int) -> None:
    content = bytearray(netmon(3, utc=True))
    content[place + 4 : place + 8] = b"\xff\xff\xff\x7f"
    assert read(tmp_path / "a", bytes(content))[1].packets <= 7


def snoop(kind: int = 4, head: bytes = b"") -> bytes:
    parts = [b"snoop\0\0\0" + struct.pack(">II", 2, kind)]
    for number, frame in enumerate(FRAMES):
        sec, ns = divmod(START + number * STEP, 10**9)
        octets = head + (frame[14:] if head or kind > 0xFFFF else frame)
        pad = -len(octets) % 4
        sizes = (len(octets), len(octets), 24 + len(octets) + pad)
        parts.append(struct.pack(">IIIIII", *sizes, 0, sec, ns // 1000) + octets + bytes(pad))
    return b"".join(parts)


@pytest.mark.parametrize("content", [snoop(), snoop(0x80000001), snoop(0x80000003, bytes(24))])
def test_snoop(tmp_path: Path, content: bytes) -> None:
    rows, facts, _ = read(tmp_path / "a", content)
    assert (rows, facts.format, facts.stopped) == (expected(), "snoop", None)
    rows, facts, _ = read(tmp_path / "a", content[:-7])
    assert (rows, facts.packets) == (expected(6), 6)
    assert facts.stopped is not None


def test_snoop_of_another_kind(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", snoop(7))
    assert (rows, facts.packets) == ([], 7)
    assert "datalink type 7" in facts.warnings[0]


@pytest.mark.skipif(shutil.which("editcap") is None, reason="editcap is not installed")
@pytest.mark.parametrize("kind", ["netmon1", "netmon2", "snoop"])
def test_what_wireshark_writes(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_bytes(pcap(FRAMES))
    subprocess.run(["editcap", "-F", kind, tmp_path / "a", tmp_path / "b"], check=True, capture_output=True)
    rows, facts, _ = read(tmp_path / "b")
    step = 1_000_000 if kind == "netmon1" else 1000
    assert [(row[0], *row[2:]) for row in rows] == [(row[0], *row[2:]) for row in expected()]
    assert all(abs(row[1] - other[1]) <= step for row, other in zip(rows, expected(), strict=True))
    assert facts.stopped is None
