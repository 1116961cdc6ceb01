"""Opening: what is no capture is refused with a sentence a person can act on; packed captures are unpacked."""

import gzip
import os
import struct
from pathlib import Path

import pytest

from analyzer.capture import open_capture, unpack
from analyzer.errors import CaptureError, EngineMissing, UnknownFormat
from tests.capture.building import ethernet, expected, pcap, pcapng, read, talk

GOOD = pcap([ethernet(datagram) for datagram in talk()])


@pytest.mark.parametrize("kind", ["missing", "directory", "empty", "device", "nul"])
def test_what_is_no_file_to_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "directory":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "device":
        path = os.devnull
    elif kind == "nul":
        path = tmp_path / "a\0b"
    with pytest.raises(CaptureError) as caught:
        open_capture(path)
    assert caught.value.hint
    assert not isinstance(caught.value, UnknownFormat)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_one_may_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(GOOD)
    (tmp_path / "a").chmod(0)
    with pytest.raises(CaptureError, match="cannot be read"):
        open_capture(tmp_path / "a")


ETL = struct.pack("<I", 65536) + bytes(68) + b"\x02\x00\x02\xc0" + bytes(200)


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        (b"GMBU\0\2\1\0", "Network Monitor 2", "--engine tshark"),
        (b"RTSS\1\1\1\0", "Network Monitor 1", "--engine tshark"),
        (b"snoop\0\0\0\0\0\0\2", "snoop", "--engine tshark"),
        (b"TRSNIFF data    \x1a", "Sniffer", "--engine tshark"),
        (ETL, "event trace", "etl2pcapng"),
        (b"PK\x03\x04\x14\0", "zip archive", "unzip"),
        (b"\x28\xb5\x2f\xfd\x64\x21", "Zstandard", "zstd -d"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "7-Zip", "7z x"),
        (b"\xfd7zXZ\0\0", "xz file", "xz -d"),
        (b"BZh91AY&SY", "bzip2", "bzip2 -d"),
        (b"x" * 257 + b"ustar\0", "tar archive", "tar -xf"),
        (b"No.,Time,Source\r\n1,0.0,192.0.2.1\r\n", "looks like text", "not a listing"),
        ("No. Zeit Größe".encode("utf-16"), "looks like text", "not a listing"),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07\x08", "00 01 02 03 04 05 06 07", "if Wireshark opens it"),
        (b"\xa1", "first octets a1", "pcap, pcapng"),
        (gzip.compress(b"hello"), "looks like text", "not a listing"),
        (gzip.compress(gzip.compress(GOOD)), "gzip file inside", "gunzip"),
    ],
)
def test_formats_we_do_not_read(tmp_path: Path, content: bytes, said: str, hint: str) -> None:
    (tmp_path / "capture.pcap").write_bytes(content)
    with pytest.raises(UnknownFormat) as caught:
        open_capture(tmp_path / "capture.pcap")
    assert said in str(caught.value)
    assert hint in caught.value.hint
    assert "pcapng" in caught.value.hint


def test_the_name_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "listing.txt").write_bytes(GOOD)
    capture = open_capture(str(tmp_path / "listing.txt"))
    assert (capture.name, sum(map(len, capture.windows()))) == ("listing.txt", 7)


def test_the_name_is_made_safe_to_show(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m").write_bytes(GOOD)
    assert "\x1b" not in open_capture(tmp_path / "a\x1b[31m").name


def test_an_unknown_engine_is_our_callers_mistake(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(GOOD)
    with pytest.raises(ValueError, match="no engine 'x'"):
        open_capture(tmp_path / "a", engine="x")


def test_a_missing_tshark_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyshark")
    (tmp_path / "a").write_bytes(GOOD)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineMissing) as caught:
        open_capture(tmp_path / "a", engine="tshark")
    assert "install" in caught.value.hint


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_gzip_in_one_or_several_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int, memory: int
) -> None:
    monkeypatch.setattr(unpack, "MEMORY_LIMIT_BYTES", memory)
    step = len(GOOD) // parts + 1
    content = b"".join(gzip.compress(GOOD[at : at + step]) for at in range(0, len(GOOD), step))
    rows, facts, _ = read(tmp_path / "a", content + b"\0" * 9)
    assert (rows, facts.format, facts.stopped) == (expected(), "pcap (gzip)", None)
    assert read(tmp_path / "b", gzip.compress(pcapng(talk(), link=101)))[1].format == "pcapng (gzip)"


@pytest.mark.parametrize("step", [1, 7, 64])
def test_gzip_in_small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(unpack, "_STEP_BYTES", step)
    assert read(tmp_path / "a", gzip.compress(GOOD) + gzip.compress(b""))[0] == expected()


def test_cut_gzip_is_read_up_to_the_damage(tmp_path: Path) -> None:
    content = gzip.compress(GOOD)
    found = []
    for size in range(2, len(content) - 1):
        try:
            rows, facts, _ = read(tmp_path / "a", content[:size])
        except CaptureError:
            found.append(0)
            continue
        assert facts.stopped is not None
        assert facts.stopped.reason == "the gzip data ends too early"
        assert rows == expected()[: len(rows)]
        found.append(len(rows))
    assert found == sorted(found)
    assert found[-1] == 7


def test_damaged_gzip_is_read_up_to_the_damage(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(GOOD, compresslevel=0))
    content[-4] ^= 0xFF
    rows, facts, _ = read(tmp_path / "a", bytes(content))
    assert (rows, facts.stopped[0], facts.stopped[2]) == (expected(), 7, "the gzip data is damaged")


def test_a_gzip_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "UNPACKED_LIMIT_BYTES", 2 << 20)
    rows, facts, _ = read(tmp_path / "a", gzip.compress(GOOD + bytes(50 << 20)))
    assert rows == expected()
    assert facts.stopped is not None
    assert "more than 2097152 octets" in facts.stopped.reason


def test_an_empty_gzip(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(b""))
    with pytest.raises(CaptureError, match="empty file packed"):
        open_capture(tmp_path / "a")


def test_leaving_in_the_middle_closes_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(GOOD)
    windows = open_capture(tmp_path / "a").windows()
    next(windows)
    windows.close()
    assert list(windows) == []
