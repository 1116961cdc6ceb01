"""What a capture without mail holds instead."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from analyzer.capture.instead import FRAMES, Instead, instead
from tests.capture.building import ethernet, ipv4, ipv6, pcap, pcapng, tcp


def udp(port: int, src: int = 40_000) -> bytes:
    return ipv4(struct.pack(">HHHH", src, port, 12, 0) + b"abcd", proto=17)


WEB = ipv4(tcp(40_000, 443))
ARP = bytes(12) + b"\x08\x06" + bytes(46)
LOOPBACK = {4: ipv4(tcp(40_000, 8080), src="127.0.0.1", dst="127.0.0.1"), 6: ipv6(tcp(1, 2), src="::1", dst="::1")}


def look(path: Path, content: bytes) -> Instead | None:
    path.write_bytes(content)
    return instead(path)


@pytest.mark.parametrize(
    ("datagram", "told"),
    [
        pytest.param(WEB, (1, 1, 0, 0), id="web"),
        pytest.param(udp(53), (1, 0, 0, 0), id="names"),
        pytest.param(udp(4500), (1, 0, 1, 0), id="IPsec through NAT"),
        pytest.param(udp(40_001, 51820), (1, 0, 1, 0), id="WireGuard's answer"),
        pytest.param(udp(1194), (1, 0, 1, 0), id="OpenVPN"),
        pytest.param(ipv4(b"x" * 40, proto=50), (1, 0, 1, 0), id="ESP"),
        pytest.param(ipv6(b"x" * 40, proto=50), (1, 0, 1, 0), id="ESP over IPv6"),
        pytest.param(LOOPBACK[4], (1, 1, 0, 1), id="loopback"),
        pytest.param(LOOPBACK[6], (1, 1, 0, 1), id="loopback over IPv6"),
    ],
)
def test_kinds_of_frames(tmp_path: Path, datagram: bytes, told: tuple[int, ...]) -> None:
    assert look(tmp_path / "a", pcap([ethernet(datagram)])) == told
    assert look(tmp_path / "b", pcapng([ethernet(datagram, 0x8100)])) == told
    assert look(tmp_path / "c", pcap([datagram], link=101)) == told


def test_frames_of_no_use_count_as_frames(tmp_path: Path) -> None:
    frames = [ARP, ethernet(WEB)[:20], b"\x01", ethernet(WEB)]
    assert look(tmp_path / "x", pcap(frames)) == (4, 1, 0, 0)
    assert look(tmp_path / "y", pcap([WEB], link=147)) == (1, 0, 0, 0)


def test_only_the_beginning_is_looked_at(tmp_path: Path) -> None:
    found = look(tmp_path / "x", pcap([ethernet(WEB)] * (FRAMES + 9)))
    assert found == (FRAMES, FRAMES, 0, 0)


def test_a_damaged_file_counts_up_to_the_damage(tmp_path: Path) -> None:
    assert look(tmp_path / "x", pcap([ethernet(WEB)] * 3)[:-5]) == (2, 2, 0, 0)


@pytest.mark.parametrize("content", [b"", b"hello", gzip.compress(pcap([ethernet(WEB)])), pcap([])])
def test_what_cannot_be_looked_at_is_passed_over(tmp_path: Path, content: bytes) -> None:
    assert look(tmp_path / "x", content) is None


def test_no_file_is_no_matter(tmp_path: Path) -> None:
    assert instead(tmp_path / "none") is None
