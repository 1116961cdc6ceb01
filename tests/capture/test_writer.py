"""What is written can be read again, by ourselves and by tshark: frames, times, lengths, comments."""

import io
import subprocess
from pathlib import Path

import pytest

from analyzer.capture.pcap import MAGICS
from analyzer.capture.writer import COMMENT_LIMIT_BYTES, PcapngWriter, PcapWriter
from tests.capture.building import START, STEP, ethernet, expected, pcap, pcapng, read, talk

FRAMES = [ethernet(x) for x in talk()]


@pytest.mark.parametrize("magic", MAGICS, ids=bytes.hex)
def test_pcap_of_every_magic_is_read_again(tmp_path: Path, magic: bytes) -> None:
    made = io.BytesIO()
    writer = PcapWriter(made, magic)
    for number, octets in enumerate(FRAMES):
        writer.write(START + number * STEP, octets, len(octets), 1, "comments have no place here")
    writer.close()
    rows, facts, _ = read(tmp_path / "a", made.getvalue())
    assert rows == expected()
    assert facts.resolution == MAGICS[magic][2]
    order, number = MAGICS[magic][0], 0xA1B23C4D if MAGICS[magic][2] == 9 else 0xA1B2C3D4
    assert made.getvalue() == pcap(FRAMES, order=order, magic=number)


@pytest.mark.parametrize("digits", [6, 7, 9])
def test_pcapng_is_read_again(tmp_path: Path, digits: int) -> None:
    made = io.BytesIO()
    writer = PcapngWriter(made, digits)
    for number, octets in enumerate(FRAMES):
        writer.write(START + number * STEP, octets, len(octets) + 7, 1 if number else 101, "why" if number == 2 else "")
    writer.write(START, b"", 0, -1)
    writer.close()
    rows, facts, _ = read(tmp_path / "a", made.getvalue())
    assert [row[:2] for row in rows] == [row[:2] for row in expected()][1:]
    assert (facts.packets, facts.resolution, facts.link_types) == (8, digits, ["raw_ip", "ethernet"])


def test_files_without_frames_are_whole(tmp_path: Path) -> None:
    for made, writer in ((x := io.BytesIO(), PcapWriter(x)), (y := io.BytesIO(), PcapngWriter(y))):
        writer.close()
        assert read(tmp_path / "a", made.getvalue())[1].packets == 0


def test_tshark_reads_frames_and_comments(tmp_path: Path, tshark: str) -> None:
    made = io.BytesIO()
    writer = PcapngWriter(made)
    writer.write(START, FRAMES[3], len(FRAMES[3]), 1, "because “so”\nand so")
    writer.write(START + 1, FRAMES[4], len(FRAMES[4]), 1, "x" * (COMMENT_LIMIT_BYTES + 9))
    path = tmp_path / "a.pcapng"
    path.write_bytes(made.getvalue())
    fields = [x for name in ("frame.time_epoch", "frame.comment") for x in ("-e", name)]
    command = [tshark, "-n", "-r", str(path), "-T", "fields", *fields]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert told[0] == f"{START // 10**9}.{START % 10**9:09}\tbecause “so”\\nand so"
    assert len(told[1].partition("\t")[2]) == COMMENT_LIMIT_BYTES


def test_our_pcapng_is_not_the_only_one(tmp_path: Path) -> None:
    assert read(tmp_path / "a", pcapng(FRAMES))[0] == expected()
