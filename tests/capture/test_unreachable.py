"""ICMP and ICMPv6 complaints that quote a mail packet."""

import struct
from pathlib import Path

import pytest

from analyzer.capture import Unreachable
from tests.capture.building import CLIENT, CLIENT6, SERVER, SERVER6, START, ethernet, ipv4, ipv6, pcap, read, tcp

QUOTED = ipv4(tcp(40000, 143, 77)[:8], total=60)
QUOTED6 = ipv6(tcp(40000, 143, 77), CLIENT6, SERVER6)


def icmp(kind: int, code: int, quoted: bytes = QUOTED, *tags: int) -> bytes:
    return ethernet(ipv4(struct.pack(">BBHI", kind, code, 0, 0) + quoted, "10.0.0.1", CLIENT, proto=1), *tags)


def icmp6(kind: int, code: int, quoted: bytes = QUOTED6) -> bytes:
    return ethernet(ipv6(struct.pack(">BBHI", kind, code, 0, 0) + quoted, "fe80::1", CLIENT6, proto=58))


@pytest.mark.parametrize("tags", [(), (0x8100,)])
@pytest.mark.parametrize(
    ("code", "word"),
    [(0, "net"), (1, "host"), (2, "other"), (3, "port"), (4, "fragmentation"), (9, "prohibited"), (13, "prohibited")],
)
def test_icmp(tmp_path: Path, code: int, word: str, tags: tuple[int, ...]) -> None:
    rows, _, complaints = read(tmp_path / "a", pcap([icmp(3, code, QUOTED, *tags)]))
    assert (rows, complaints) == ([], [Unreachable(1, START, "10.0.0.1", CLIENT, SERVER, 40000, 143, word)])


@pytest.mark.parametrize(
    ("kind", "code", "word"),
    [(1, 0, "net"), (1, 1, "prohibited"), (1, 3, "host"), (1, 4, "port"), (1, 9, "other"), (2, 0, "fragmentation")],
)
def test_icmp6(tmp_path: Path, kind: int, code: int, word: str) -> None:
    complaints = read(tmp_path / "a", pcap([icmp6(kind, code)]))[2]
    assert complaints == [Unreachable(1, START, "fe80::1", CLIENT6, SERVER6, 40000, 143, word)]


@pytest.mark.parametrize(
    "frame",
    [
        icmp(8, 0),
        icmp(11, 0),
        icmp(3, 1, ipv4(tcp(40000, 80))),
        icmp(3, 1, ipv4(tcp(40000, 143), proto=17)),
        icmp(3, 1, ipv4(tcp(40000, 143), part=9)),
        icmp(3, 1, QUOTED[:22]),
        icmp(3, 1, b"\x65" + QUOTED[1:]),
        icmp(3, 1, b""),
        icmp6(128, 0),
        icmp6(1, 0, ipv6(tcp(40000, 80))),
    ],
)
def test_other_messages_are_not_told(tmp_path: Path, frame: bytes) -> None:
    assert read(tmp_path / "a", pcap([frame]))[2] == []


def test_a_packet_from_a_mail_port_counts_too(tmp_path: Path) -> None:
    complaints = read(tmp_path / "a", pcap([icmp(3, 1, ipv4(tcp(143, 40000), SERVER, CLIENT))]))[2]
    assert [(one.src, one.sport) for one in complaints] == [(SERVER, 143)]
