"""Link types that only scapy reads."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.capture import via_scapy
from tests.capture.building import GREETING, expected, ipv6, pcap, read, talk

pytest.importorskip("scapy")


def pppoe(datagram: bytes) -> bytes:
    kind = b"\0\x57" if datagram[0] >> 4 == 6 else b"\0\x21"
    return struct.pack(">BBHH", 0x11, 0, 1, len(datagram) + 2) + kind + datagram


def test_frames_through_scapy(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", pcap([pppoe(datagram) for datagram in talk()], link=51))
    assert (rows, facts.link_types, facts.warnings) == (expected(), ["pppoe"], [])


def test_ipv6_through_scapy(tmp_path: Path) -> None:
    rows, _, _ = read(tmp_path / "a", pcap([pppoe(datagram) for datagram in talk(ipv6, "::1", "::2")], link=51))
    assert next(row[9] for row in rows if row[9]) == GREETING


def test_frames_without_ip_cost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(via_scapy, "_decoder", lambda link: pytest.fail("scapy was asked"))
    _, facts, _ = read(tmp_path / "a", pcap([b"\x80\0beacon" * 9] * 5, link=51))
    assert (facts.packets, facts.warnings) == (5, [])


def test_beyond_the_limit_frames_are_skipped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(via_scapy, "FRAMES_LIMIT", 3)
    rows, facts, _ = read(tmp_path / "a", pcap([pppoe(datagram) for datagram in talk()], link=51))
    assert rows == expected(3)
    assert facts.warnings == ["4 frames of link type pppoe were skipped: only 3 are read through scapy"]


def test_a_link_type_nobody_reads(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", pcap([pppoe(datagram) for datagram in talk()], link=147))
    assert rows == []
    assert facts.warnings == ["7 frames of link type linktype_147 were skipped: neither we nor scapy read it"]


def test_a_frame_that_scapy_fails_on_is_one_frame_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = via_scapy._decoder

    def failing(link: int) -> Callable[[bytes], bytes | None]:
        decode = decoder(link)
        return lambda octets: decode(octets) if b"LOGIN" not in octets else 1 / 0

    monkeypatch.setattr(via_scapy, "_decoder", failing)
    rows, facts, _ = read(tmp_path / "a", pcap([pppoe(datagram) for datagram in talk()], link=51))
    assert rows == expected()[:4] + expected()[5:]
    assert facts.warnings == ["1 frames of link type pppoe were skipped: scapy failed on them"]


def test_no_ip_after_all(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", pcap([b"\x11\0\0\1\0\x05\0\x22\0\x21\x45"], link=51))
    assert (rows, facts.packets) == ([], 1)
