"""Every tunnel and wireless header gives the rows of the plain packets; what is cut or encrypted gives none."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.capture.tunnels import carried
from tests.capture.building import ethernet, expected, ipv4, ipv6, kind_of, pcap, read, talk

half = struct.Struct(">H").pack
SNAP = b"\xaa\xaa\x03\0\0\0"


def udp(port: int, inner: bytes, sport: int = 40001) -> bytes:
    return struct.pack(">HHHH", sport, port, 8 + len(inner), 0) + inner


def outer(port: int, inner: bytes, **options: int) -> bytes:
    return ethernet(ipv4(udp(port, inner, **options), "10.0.0.1", "10.0.0.2", proto=17))


def over(proto: int, inner: bytes) -> bytes:
    return ethernet(ipv4(inner, "10.0.0.1", "10.0.0.2", proto=proto))


LABELS = b"\x00\x01\x00\x40\x00\x02\x01\x40"


def wlan(datagram: bytes, *, first: int = 0x08, second: int = 1, between: bytes = b"", pad: int = 0) -> bytes:
    head = bytes((first, second, 0, 0)) + bytes(18) + b"\x10\0" + between
    return head + bytes(pad) + SNAP + half(kind_of(datagram)) + datagram


def radiotap(fields: int, body: bytes, flags: int = 0) -> bytes:
    values = bytes(8) + bytes((flags,)) if fields & 1 else bytes((flags,))
    return struct.pack("<BBHI", 0, 0, 8 + len(values), fields) + values + body


WRAPS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "geneve": (1, lambda d: outer(6081, struct.pack(">BBHI", 0, 0, 0x6558, 256) + ethernet(d))),
    "geneve, options": (1, lambda d: outer(6081, struct.pack(">BBHI", 2, 0, 0x6558, 256) + bytes(8) + ethernet(d))),
    "geneve, bare ip": (1, lambda d: outer(6081, struct.pack(">BBHI", 0, 0, kind_of(d), 256) + d)),
    "gtp-u": (1, lambda d: outer(2152, struct.pack(">BBHI", 0x30, 255, len(d), 7) + d)),
    "gtp-u, sequence": (1, lambda d: outer(2152, struct.pack(">BBHIHBB", 0x32, 255, len(d) + 4, 7, 1, 0, 0) + d)),
    "gtp-u, extension": (
        1,
        lambda d: outer(2152, struct.pack(">BBHIHBB", 0x34, 255, len(d), 7, 0, 0, 0x85) + b"\x01\x10\x01\0" + d),
    ),
    "vxlan": (1, lambda d: outer(4789, b"\x08" + bytes(7) + ethernet(d))),
    "vxlan, old port": (1, lambda d: outer(8472, b"\x08" + bytes(7) + ethernet(d))),
    "vxlan gpe": (1, lambda d: outer(4790, b"\x0c\0\0\x03" + bytes(4) + ethernet(d))),
    "vxlan gpe, ip": (1, lambda d: outer(4790, b"\x0c\0\0" + (b"\2" if d[0] >> 4 == 6 else b"\1") + bytes(4) + d)),
    "mpls in udp": (1, lambda d: outer(6635, LABELS + d)),
    "mpls in ip": (1, lambda d: over(137, LABELS + d)),
    "mpls in gre": (1, lambda d: over(47, b"\0\0\x88\x47" + LABELS + d)),
    "mpls pseudowire": (1, lambda d: over(47, b"\0\0\x88\x47" + LABELS + bytes(4) + ethernet(d))),
    "etherip": (1, lambda d: over(97, b"\x30\0" + ethernet(d))),
    "tzsp": (1, lambda d: outer(37008, b"\1\0\0\1\0\x0d\1\x05\1" + ethernet(d))),
    "tunnel in tunnel": (1, lambda d: outer(4789, b"\x08" + bytes(7) + over(97, b"\x30\0" + ethernet(d, 0x8100)))),
    "wlan": (105, wlan),
    "wlan, qos": (105, lambda d: wlan(d, first=0x88, between=b"\0\0")),
    "wlan, qos with ht control": (105, lambda d: wlan(d, first=0x88, second=0x81, between=bytes(6))),
    "wlan, four addresses": (105, lambda d: wlan(d, second=3, between=bytes(6))),
    "wlan, aggregated": (105, lambda d: wlan(d, first=0x88, between=b"\x80\0" + bytes(14))),
    "radiotap": (127, lambda d: radiotap(0x4002, wlan(d))),
    "radiotap, padded": (127, lambda d: radiotap(3, wlan(d, first=0x88, between=b"\0\0", pad=2), 0x20)),
    "radiotap, more words": (127, lambda d: struct.pack("<BBHIII", 0, 0, 16, 1 << 31, 1 << 31, 0)[:16] + wlan(d)),
    "ppi": (192, lambda d: struct.pack("<BBHI", 0, 0, 12, 105) + bytes(4) + wlan(d)),
    "ppi, ethernet": (192, lambda d: struct.pack("<BBHI", 0, 0, 8, 1) + ethernet(d)),
    "prism": (119, lambda d: struct.pack("<II", 0x44, 144) + bytes(136) + wlan(d)),
    "avs": (163, lambda d: struct.pack(">II", 0x80211001, 64) + bytes(56) + wlan(d)),
    "avs called prism": (119, lambda d: struct.pack(">II", 0x80211001, 64) + bytes(56) + wlan(d)),
}


@pytest.mark.parametrize("name", WRAPS)
def test_ipv4_in_every_wrap(tmp_path: Path, name: str) -> None:
    link, wrap = WRAPS[name]
    rows, facts, _ = read(tmp_path / "a", pcap([wrap(datagram) for datagram in talk()], link=link))
    assert rows == expected()
    assert (facts.packets, facts.warnings) == (7, [])


@pytest.mark.parametrize("name", [*WRAPS, "teredo"])
def test_ipv6_in_every_wrap(tmp_path: Path, name: str) -> None:
    link, wrap = WRAPS.get(name, (1, lambda d: outer(3544, d)))
    datagrams = talk(ipv6, "2001:db8::11", "2001:db8::10")
    rows, _, _ = read(tmp_path / "a", pcap([wrap(datagram) for datagram in datagrams], link=link))
    assert [(row[0], *row[4:10]) for row in rows] == [(row[0], *row[4:10]) for row in expected()]


def test_teredo_from_its_server_with_headers(tmp_path: Path) -> None:
    head = b"\0\1\0\0" + bytes(9) + b"\0\0" + bytes(6)
    frames = [outer(40001, head + datagram, sport=3544) for datagram in talk(ipv6, "::1", "::2")]
    assert len(read(tmp_path / "a", pcap(frames))[0]) == 7


NOTHING = {
    "geneve control": (1, lambda d: outer(6081, struct.pack(">BBHI", 0, 0x80, 0x6558, 256) + ethernet(d))),
    "gtp-u echo": (1, lambda d: outer(2152, struct.pack(">BBHI", 0x30, 1, len(d), 7) + d)),
    "gtp-u, extension of no length": (1, lambda d: outer(2152, struct.pack(">BBHIHBB", 0x34, 255, 9, 7, 0, 0, 1) + b"\0" + d)),
    "udp on vxlan's old port": (1, lambda d: outer(8472, b"\0" + bytes(7) + ethernet(d))),
    "wlan, encrypted": (105, lambda d: wlan(d, second=0x41)),
    "wlan, beacon": (105, lambda d: wlan(d, first=0x80)),
    "wlan, no data": (105, lambda d: wlan(d, first=0x48)),
    "ppi, other": (192, lambda d: struct.pack("<BBHI", 0, 0, 8, 9) + d),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTHING)
def test_what_holds_no_packet(tmp_path: Path, name: str) -> None:
    link, wrap = NOTHING[name]
    rows, facts, _ = read(tmp_path / "a", pcap([wrap(datagram) for datagram in talk()], link=link))
    assert (rows, facts.packets) == ([], 7)


@pytest.mark.parametrize("name", WRAPS)
def test_every_cut_is_survived(tmp_path: Path, name: str) -> None:
    link, wrap = WRAPS[name]
    whole = wrap(talk()[4])
    rows, facts, _ = read(tmp_path / "a", pcap([(whole[:size], len(whole)) for size in range(len(whole))], link=link))
    assert facts.packets == len(whole)
    assert all(row[8] == 24 and row[9] == b"a LOGIN u p\r\n"[: len(row[9])] for row in rows)


def test_no_tunnel() -> None:
    assert carried(udp(53, b"\0" * 9), 17, 0) is None
    assert carried(b"\x20\0", 97, 0) is None
    assert carried(b"", 6, 0) is None
