"""Classic pcap: every magic, every way of being cut."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.capture.building import START, STEP, ethernet, expected, pcap, read, talk

FRAMES = [ethernet(datagram) for datagram in talk()]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("magic", "digits", "extra"), [(0xA1B2C3D4, 6, 0), (0xA1B23C4D, 9, 0), (0xA1B2CD34, 6, 8)], ids=hex
)
def test_every_magic_gives_the_same_rows(tmp_path: Path, order: str, magic: int, digits: int, extra: int) -> None:
    rows, facts, _ = read(tmp_path / "a", pcap(FRAMES, order=order, magic=magic, extra=extra))
    assert rows == expected()
    assert (facts.format, facts.link_types, facts.resolution, facts.packets) == ("pcap", ["ethernet"], digits, 7)
    assert (facts.start, facts.end, facts.stopped) == (START, START + 6 * STEP, None)


@pytest.mark.parametrize(
    ("magic", "extra"),
    [
        pytest.param(0xA1B2C3D4, 4, id="Nokia"),
        pytest.param(0xA1B2C3D4, 8, id="Red Hat 6.1"),
        pytest.param(0xA1B2CD34, 12, id="SuSE 6.3"),
        pytest.param(0xA1B2CD34, 0, id="modified in name only"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_headers_longer_than_the_magic_says(tmp_path: Path, magic: int, extra: int, order: str) -> None:
    content = pcap(FRAMES, order=order, magic=magic, extra=extra)
    rows, facts, _ = read(tmp_path / "a", content)
    assert (rows, facts.packets, facts.stopped) == (expected(), 7, None)
    rows, facts, _ = read(tmp_path / "a", content[:-1])
    assert (rows, facts.packets) == (expected(6), 6)


@pytest.mark.skipif(shutil.which("editcap") is None, reason="editcap is not installed")
@pytest.mark.parametrize("kind", ["modpcap", "nokiapcap", "rh6_1pcap", "suse6_3pcap", "nsecpcap"])
def test_what_wireshark_writes(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_bytes(pcap(FRAMES))
    subprocess.run(["editcap", "-F", kind, tmp_path / "a", tmp_path / "b"], check=True, capture_output=True)
    rows, facts, _ = read(tmp_path / "b")
    assert (rows, facts.stopped) == (expected(), None)


def test_a_damaged_record_does_not_change_the_headers(tmp_path: Path) -> None:
    content = bytearray(pcap(FRAMES))
    at = 24 + 16 + len(FRAMES[0])
    content[at + 4 : at + 8] = b"\xff" * 4
    assert read(tmp_path / "a", bytes(content))[1].packets == 7


def test_upper_bits_of_the_link_type_are_not_the_link_type(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", pcap(FRAMES, link=0x24000001))
    assert (rows, facts.link_types) == (expected(), ["ethernet"])


def test_lengths_the_other_way_round_in_old_files(tmp_path: Path) -> None:
    content = bytearray(pcap([(FRAMES[3], len(FRAMES[3]) + 9)]))
    content[6:8] = struct.pack("<H", 3)
    content[32:40] = content[36:40] + content[32:36]
    rows, _, _ = read(tmp_path / "a", bytes(content))
    assert [row[9] for row in rows] == [expected()[3][9]]


def test_the_times_need_no_order(tmp_path: Path) -> None:
    content = pcap(FRAMES)
    backwards = content[:24] + b"".join(
        content[24 + sum(map(len, FRAMES[:n])) + 16 * n :][: 16 + len(FRAMES[n])] for n in reversed(range(7))
    )
    _, facts, _ = read(tmp_path / "a", backwards)
    assert (facts.start, facts.end) == (START, START + 6 * STEP)


def test_cut_at_every_octet_keeps_the_frames_before(tmp_path: Path) -> None:
    content = pcap(FRAMES)
    ends = [24]
    for frame in FRAMES:
        ends.append(ends[-1] + 16 + len(frame))
    for size in range(4, len(content)):
        rows, facts, _ = read(tmp_path / "a", content[:size])
        whole = sum(end <= size for end in ends) - 1 if size >= 24 else 0
        assert rows == expected(whole), size
        assert facts.packets == whole
        if size in ends:
            assert facts.stopped is None
        else:
            assert facts.stopped is not None
            assert facts.stopped.frame == whole
            assert facts.stopped.offset_bytes == (ends[whole] if size >= 24 else size)


def test_an_absurd_length_stops_reading_there(tmp_path: Path) -> None:
    content = bytearray(pcap(FRAMES))
    at = 24 + 2 * 16 + len(FRAMES[0]) + len(FRAMES[1])
    content[at + 8 : at + 12] = struct.pack("<I", 1_000_000)
    rows, facts, _ = read(tmp_path / "a", bytes(content))
    assert rows == expected(2)
    assert facts.stopped == (2, at, "a record claims a frame of 1000000 octets, more than any network sends")
