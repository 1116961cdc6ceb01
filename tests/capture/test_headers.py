"""Link and network headers: every way of wrapping the same datagrams gives the same rows."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analyzer.capture import open_capture
from tests.capture.building import (
    CLIENT6,
    GREETING,
    MACS,
    SERVER6,
    SYN,
    Row,
    enhanced,
    ethernet,
    expected,
    interface,
    ipv4,
    ipv6,
    kind_of,
    option,
    pcap,
    read,
    section,
    talk,
    tcp,
)


def half(number: int) -> bytes:
    return struct.pack(">H", number)


def ppp_kind(datagram: bytes) -> bytes:
    return b"\x00\x57" if kind_of(datagram) == 0x86DD else b"\x00\x21"


def family(datagram: bytes, order: str, six: int = 24) -> bytes:
    return struct.pack(order + "I", six if kind_of(datagram) == 0x86DD else 2)


def nflog(datagram: bytes) -> bytes:
    fields = struct.pack("<HH", 5, 1) + b"x\0\0\0" + struct.pack("<HH", 4 + len(datagram), 9) + datagram
    return b"\x02\x00\x00\x00" + fields


def vxlan(datagram: bytes) -> bytes:
    inner = bytes(8) + ethernet(datagram)
    return ethernet(ipv4(struct.pack(">HHHH", 5555, 4789, 8 + len(inner), 0) + inner, "10.0.0.1", "10.0.0.2", proto=17))


def gre(kind: int, body: bytes, flags: int = 0, extra: bytes = b"") -> bytes:
    return ethernet(ipv4(half(flags) + half(kind) + extra + body, "10.0.0.1", "10.0.0.2", proto=47))


WRAPS = {
    "ethernet": (1, ethernet),
    "padded": (1, lambda d: ethernet(d).ljust(60, b"+")),
    "802.1Q": (1, lambda d: ethernet(d, 0x8100)),
    "802.1Q padded": (1, lambda d: ethernet(d, 0x8100).ljust(64, b"+")),
    "QinQ": (1, lambda d: ethernet(d, 0x88A8, 0x8100)),
    "0x9100": (1, lambda d: ethernet(d, 0x9100, 0x8100)),
    "llc snap": (1, lambda d: MACS + half(8 + len(d)) + b"\xaa\xaa\x03\0\0\0" + half(kind_of(d)) + d),
    "mpls": (1, lambda d: MACS + half(0x8847) + b"\x00\x01\x00\x40\x00\x02\x01\x40" + d),
    "pppoe": (1, lambda d: MACS + half(0x8864) + b"\x11\0\0\1" + half(len(d) + 2) + ppp_kind(d) + d),
    "sll": (113, lambda d: bytes(14) + half(kind_of(d)) + d),
    "sll vlan": (113, lambda d: bytes(14) + half(0x8100) + b"\0\5" + half(kind_of(d)) + d),
    "sll2": (276, lambda d: half(kind_of(d)) + bytes(18) + d),
    "raw 101": (101, lambda d: d),
    "raw 12": (12, lambda d: d),
    "raw 14": (14, lambda d: d),
    "null little": (0, lambda d: family(d, "<") + d),
    "null big": (0, lambda d: family(d, ">", 30) + d),
    "loop": (108, lambda d: family(d, ">", 28) + d),
    "ppp": (9, lambda d: ppp_kind(d) + d),
    "ppp short": (9, lambda d: ppp_kind(d)[1:] + d),
    "ppp hdlc": (50, lambda d: b"\xff\x03" + ppp_kind(d) + d),
    "ppp direction": (204, lambda d: b"\1\xff\x03" + ppp_kind(d) + d),
    "cisco hdlc": (104, lambda d: b"\x0f\0" + half(kind_of(d)) + d),
    "nflog": (239, nflog),
    "vxlan": (1, vxlan),
    "gre": (1, lambda d: gre(kind_of(d), d)),
    "gre key sequence": (1, lambda d: gre(kind_of(d), d, 0x3000, bytes(8))),
    "gre ethernet": (1, lambda d: gre(0x6558, ethernet(d))),
    "erspan 1": (1, lambda d: gre(0x88BE, ethernet(d))),
    "erspan 2": (1, lambda d: gre(0x88BE, b"\x10" + bytes(7) + ethernet(d), 0x1000, bytes(4))),
    "erspan 3": (1, lambda d: gre(0x22EB, b"\x20" + bytes(11) + ethernet(d), 0x1000, bytes(4))),
    "erspan 3 platform": (
        1,
        lambda d: gre(0x22EB, b"\x20" + bytes(10) + b"\1" + bytes(8) + ethernet(d), 0x1000, bytes(4)),
    ),
    "ip in ip": (1, lambda d: ethernet(ipv4(d, "10.0.0.1", "10.0.0.2", proto=41 if kind_of(d) == 0x86DD else 4))),
    "in ipv6": (1, lambda d: ethernet(ipv6(d, "::1", "::2", proto=41 if kind_of(d) == 0x86DD else 4))),
}


def six_rows() -> list[Row]:
    """What ``talk()`` over IPv6 must give: no identification, other addresses."""
    names = {"192.0.2.11": CLIENT6, "198.51.100.10": SERVER6}
    return [(*row[:2], names[row[2]], names[row[3]], *row[4:11], 0, *row[12:]) for row in expected()]


@pytest.mark.parametrize("name", WRAPS)
def test_ipv4_in_every_wrap(tmp_path: Path, name: str) -> None:
    link, wrap = WRAPS[name]
    rows, facts, _ = read(tmp_path / "a", pcap([wrap(datagram) for datagram in talk()], link=link))
    assert rows == expected()
    assert (len(facts.link_types), facts.packets, facts.snapped, facts.warnings) == (1, 7, 0, [])


@pytest.mark.parametrize("name", WRAPS)
def test_ipv6_in_every_wrap(tmp_path: Path, name: str) -> None:
    link, wrap = WRAPS[name]
    datagrams = talk(ipv6, CLIENT6, SERVER6)
    assert read(tmp_path / "a", pcap([wrap(datagram) for datagram in datagrams], link=link))[0] == six_rows()


@pytest.mark.parametrize(
    ("link", "ip", "want"), [(228, talk(), expected), (229, talk(ipv6, CLIENT6, SERVER6), six_rows)]
)
def test_raw_of_one_version(tmp_path: Path, link: int, ip: list[bytes], want: Callable[[], list[Row]]) -> None:
    assert read(tmp_path / "a", pcap(ip, link=link))[0] == want()


EXTENSIONS = {
    "hop-by-hop": (0, lambda inner: b"\x06\x00" + bytes(6) + inner),
    "routing": (43, lambda inner: b"\x06\x01" + bytes(14) + inner),
    "destination": (60, lambda inner: b"\x06\x00" + bytes(6) + inner),
    "hop-by-hop and destination": (0, lambda inner: b"\x3c\x00" + bytes(6) + b"\x06\x00" + bytes(6) + inner),
    "atomic fragment": (44, lambda inner: b"\x06\x00\x00\x00\x00\x00\x00\x09" + inner),
    "authentication": (51, lambda inner: b"\x06\x01" + bytes(10) + inner),
}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_ipv6_extension_headers(tmp_path: Path, name: str) -> None:
    first, wrap = EXTENSIONS[name]
    frames = [ethernet(ipv6(wrap(datagram[40:]), *ends, proto=first)) for datagram, ends in sixes()]
    assert read(tmp_path / "a", pcap(frames))[0] == six_rows()


def sixes() -> Iterator[tuple[bytes, tuple[str, str]]]:
    datagrams = talk(ipv6, CLIENT6, SERVER6)
    ends = [(CLIENT6, SERVER6) if row[2] == CLIENT6 else (SERVER6, CLIENT6) for row in six_rows()]
    return zip(datagrams, ends, strict=True)


def test_ipv4_options(tmp_path: Path) -> None:
    plain, odd = ipv4(tcp(40000, 143, payload=b"x")), ipv4(tcp(40000, 143, payload=b"x"), options=bytes(12))
    rows, _, _ = read(tmp_path / "a", pcap([ethernet(plain), ethernet(odd)]))
    assert rows[0][2:] == rows[1][2:]


@pytest.mark.parametrize("tags", [(), (0x8100,), (0x88A8, 0x8100)])
def test_a_total_length_of_zero_means_the_whole_frame(tmp_path: Path, tags: tuple[int, ...]) -> None:
    datagram = ipv4(tcp(40000, 143, payload=b"y" * 3000), total=0)
    rows, _, _ = read(tmp_path / "a", pcap([ethernet(datagram, *tags)]))
    assert (rows[0][9], rows[0][10]) == (b"y" * 3000, 0)


def test_a_payload_length_of_zero_in_ipv6_means_the_whole_frame(tmp_path: Path) -> None:
    rows, _, _ = read(tmp_path / "a", pcap([ethernet(ipv6(tcp(40000, 143, payload=b"y" * 3000), length=0))]))
    assert rows[0][9] == b"y" * 3000


@pytest.mark.parametrize("wrap", [ethernet, lambda d: ethernet(d, 0x8100), lambda d: ethernet(d, 0x88A8, 0x8100)])
def test_snap_length_keeps_count_of_what_is_missing(tmp_path: Path, wrap: Callable[[bytes], bytes]) -> None:
    frame = wrap(ipv4(tcp(40000, 143, payload=GREETING, options=bytes(12))))
    spare = len(frame) - len(GREETING) - 32
    for size in range(len(frame)):
        rows, facts, _ = read(tmp_path / "a", pcap([(frame[:size], len(frame))]))
        if size < spare + 20:
            assert rows == []
            continue
        kept = max(size - spare - 32, 0)
        assert (rows[0][9], rows[0][10]) == (GREETING[:kept], len(GREETING) - kept)
        assert facts.snapped == 1


@pytest.mark.parametrize(
    "datagram",
    [
        ipv4(tcp(40000, 143)[:12] + b"\x40" + tcp(40000, 143)[13:]),
        ipv4(tcp(40000, 143)[:12] + b"\xf0" + tcp(40000, 143)[13:]),
        b"\x44" + ipv4(tcp(40000, 143))[1:],
        ipv4(tcp(40000, 143), total=19),
        ipv4(tcp(40000, 143), proto=17),
        b"\x75" + ipv4(tcp(40000, 143))[1:],
        b"\x50" + ipv6(tcp(40000, 143))[1:],
    ],
    ids=["data offset 4", "data offset past the end", "short header", "short total", "udp", "version 7", "version 5"],
)
def test_impossible_headers_give_no_row(tmp_path: Path, datagram: bytes) -> None:
    frame = MACS + half(0x86DD if datagram[0] == 0x50 else 0x0800) + datagram
    rows, facts, _ = read(tmp_path / "a", pcap([frame, ethernet(ipv4(tcp(40000, 143)))]))
    assert ([row[0] for row in rows], facts.packets) == ([2], 2)


def test_flags_are_the_five_of_the_column(tmp_path: Path) -> None:
    rows, _, _ = read(tmp_path / "a", pcap([ethernet(ipv4(tcp(40000, 143, flags=0xE0 | SYN)))]))
    assert rows[0][8] == SYN


def test_the_link_column_tells_copies_apart(tmp_path: Path) -> None:
    datagram = ipv4(tcp(40000, 143))
    frames = [ethernet(datagram), ethernet(datagram), ethernet(datagram, 0x8100), MACS[::-1] + half(0x0800) + datagram]
    (tmp_path / "a").write_bytes(pcap(frames))
    links = next(window.columns[14] for window in open_capture(tmp_path / "a").windows())
    assert links[0] == links[1]
    assert len(set(links)) == 3


def test_a_mirror_of_many_kinds_in_one_file(tmp_path: Path) -> None:
    wraps = [WRAPS[name] for name in ("ethernet", "sll2", "raw 101", "null little", "vxlan", "ppp", "nflog")]
    parts = [section(), *(interface(link, options=option(9, b"\x09")) for link, _ in wraps)]
    for number, (datagram, (_, wrap), row) in enumerate(zip(talk(), wraps, expected(), strict=True)):
        parts.append(enhanced(wrap(datagram), row[1], number))
    rows, facts, _ = read(tmp_path / "a", b"".join(parts))
    assert rows == expected()
    assert facts.link_types == ["ethernet", "linux_sll2", "raw_ip", "null", "ppp", "nflog"]
