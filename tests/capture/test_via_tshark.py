"""The referee: tshark gives the same rows as our own reader."""

import asyncio
import struct
import subprocess
from pathlib import Path

import pytest

from analyzer.capture import open_capture
from analyzer.errors import CaptureError, UnknownFormat
from tests.capture.building import (
    CLIENT,
    GREETING,
    START,
    Row,
    enhanced,
    ethernet,
    expected,
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
from tests.capture.test_fragments import four, six
from tests.capture.test_headers import WRAPS
from tests.capture.test_unreachable import icmp, icmp6

pytest.importorskip("pyshark")
pytestmark = pytest.mark.usefixtures("tshark")

MIXED = [
    *(wrap(datagram) for datagram in talk()[3:6] for link, wrap in WRAPS.values() if link == 1),
    *(ethernet(datagram) for datagram in talk(ipv6, "2001:db8::11", "2001:db8::10")),
    *(ethernet(datagram) for datagram in talk(dport=80)),
    four(0, 80),
    four(80, 200),
    six(0, 80),
    six(80, 200),
    icmp(3, 13),
    icmp6(1, 1),
    icmp(11, 0),
    (ethernet(talk()[3])[:70], len(ethernet(talk()[3]))),
    ethernet(ipv4(tcp(40000, 143, 2**32 - 1, 2**32 - 1, 0xFF, GREETING, options=bytes(12), window=65535))),
]
CAPTURES = {
    "pcap": pcap(MIXED),
    "big-endian ns": pcap(MIXED, order=">", magic=0xA1B23C4D),
    "pcapng": pcapng([frame for frame in MIXED if isinstance(frame, bytes)]),
    "sll2": pcap([WRAPS["sll2"][1](datagram) for datagram in talk()], link=276),
    "ns": section() + interface(options=option(9, b"\x09")) + enhanced(ethernet(talk()[0]), START + 7),
    "no mail": pcap([ethernet(datagram) for datagram in talk(dport=80)]),
    "cut": pcap(MIXED)[:-5],
}


@pytest.mark.parametrize("name", CAPTURES)
def test_the_same_rows_and_facts(tmp_path: Path, name: str) -> None:
    rows, facts, complaints = read(tmp_path / "a", CAPTURES[name], any_port=False)
    rows2, facts2, complaints2 = read(tmp_path / "a", engine="tshark")
    assert rows2 == rows
    assert complaints2 == complaints
    assert (facts2.packets, facts2.start, facts2.end) == (facts.packets, facts.start, facts.end)
    assert (facts2.link_types, facts2.snapped) == (facts.link_types, facts.snapped)
    assert (facts2.stopped is None) == (facts.stopped is None)
    assert facts2.format == "tshark"
    assert (len(rows) > 0) == (name != "no mail")


def test_inside_a_running_event_loop(tmp_path: Path) -> None:
    async def notebook() -> list[Row]:
        return read(tmp_path / "a", pcap([ethernet(datagram) for datagram in talk()]), engine="tshark")[0]

    assert asyncio.run(notebook()) == expected()


def test_leaving_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from analyzer.capture import window

    monkeypatch.setattr(window, "ROWS_LIMIT", 2)
    (tmp_path / "a").write_bytes(pcap([ethernet(datagram) for datagram in talk()] * 200))
    windows = open_capture(tmp_path / "a", engine="tshark").windows()
    assert len(next(windows)) == 2
    windows.close()


def test_ports(tmp_path: Path) -> None:
    frames = [ethernet(datagram) for datagram in talk(dport=2525)]
    assert len(read(tmp_path / "a", pcap(frames), engine="tshark", ports=frozenset({2525}))[0]) == 7
    assert read(tmp_path / "a", engine="tshark", ports=frozenset())[0] == []


def test_a_format_only_tshark_reads(tmp_path: Path) -> None:
    frame = ethernet(talk()[3])
    record = struct.pack(">IIIIII", len(frame), len(frame), 24 + len(frame), 0, START // 10**9, 123456) + frame
    rows, _, _ = read(tmp_path / "a", b"snoop\0\0\0" + struct.pack(">II", 2, 4) + record, engine="tshark")
    assert [(row[0], row[3], row[9]) for row in rows] == [(1, CLIENT, GREETING)]


def test_what_tshark_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0\1\2\3 no capture at all")
    with pytest.raises(CaptureError, match="tshark cannot read it"):
        open_capture(tmp_path / "a", engine="tshark")


@pytest.mark.parametrize("kind", ["ngsniffer", "commview-ncf"])
def test_formats_that_are_not_ours_go_through_tshark(tmp_path: Path, kind: str, editcap: str) -> None:
    content = pcap([ethernet(datagram) for datagram in talk()])
    (tmp_path / "a.pcap").write_bytes(content)
    done = subprocess.run([editcap, "-F", kind, tmp_path / "a.pcap", tmp_path / "b"], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"editcap cannot write {kind}")
    with pytest.raises(UnknownFormat, match="a capture of" if "sniffer" in kind else "not a capture we read"):
        open_capture(tmp_path / "b")
    rows, facts, _ = read(tmp_path / "b", engine="auto")
    assert [row[2:10] for row in rows] == [row[2:10] for row in expected()]
    assert "tshark read it" in facts.warnings[0]


def test_ours_are_not_asked_of_tshark(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", pcap([ethernet(datagram) for datagram in talk()]), engine="auto")
    assert (rows, facts.format, facts.warnings) == (expected(), "pcap", [])


@pytest.mark.parametrize(
    "content",
    [b'{"a": [1, 2]}', b"<?xml version='1.0'?><a/>", b"\x7fELF" + bytes(80), b"\x89PNG\r\n\x1a\n", b"some words\n"],
)
def test_what_tshark_shows_though_it_is_no_capture(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UnknownFormat, match="not a capture we read"):
        open_capture(tmp_path / "a", engine="auto")


def test_what_nobody_knows_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"TRSNIFF data but nothing behind it")
    with pytest.raises(UnknownFormat) as caught:
        open_capture(tmp_path / "a", engine="auto")
    assert "tshark does not know it here" in caught.value.hint
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnknownFormat) as caught:
        open_capture(tmp_path / "a", engine="auto")
    assert "install tshark" in caught.value.hint
