"""Opening: what is no capture is refused with a sentence a person can act on; packed captures are unpacked."""

import gzip
import os
from pathlib import Path
from random import Random

import pytest

from analyzer.capture import open_capture
from analyzer.errors import CaptureError, EngineMissing, UnknownFormat
from tests.capture.building import ethernet, pcap, talk

HCI = b"\x09\x00\x00\x00" + bytes(8) + b"\x02" + bytes(8)
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


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        (b"TRSNIFF data    \x1a", "DOS Sniffer", "editcap"),
        (b"XCP\x00002.001", "Windows Sniffer", "editcap"),
        (b"btsnoop\x00\x00\x00\x00\x01", "Bluetooth snoop log", "install tshark"),
        (HCI * 3, "hcidump", "install tshark"),
        (b'login: \r\nPRI-XMIT-27:  (task "l1Task" at 0x10216fe0)\r\n', "Ascend", "install tshark"),
        (b"Rar!\x1a\x07\1\0", "RAR archive", "unpack it first"),
        (b"No.,Time,Source\r\n1,0.0,192.0.2.1\r\n", "looks like text", "packet list"),
        ("No. Zeit Größe".encode("utf-16"), "looks like text", "packet list"),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07\x08", "00 01 02 03 04 05 06 07", "if Wireshark opens it"),
        (b"\xa1", "first octets a1", "pcap, pcapng"),
        (gzip.compress(b"hello"), "looks like text", "packet list"),
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


def test_leaving_in_the_middle_closes_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(GOOD)
    windows = open_capture(tmp_path / "a").windows()
    next(windows)
    windows.close()
    assert list(windows) == []


@pytest.mark.parametrize("seed", range(40))
def test_chance_is_no_capture(tmp_path: Path, seed: int) -> None:
    (tmp_path / "a").write_bytes(Random(seed).randbytes(600))
    with pytest.raises(UnknownFormat):
        open_capture(tmp_path / "a")
