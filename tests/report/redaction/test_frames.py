"""Frames of every make: the same packets come out, with right checksums and without an octet that was not understood."""

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analyzer.report.redaction import redact
from analyzer.report.redaction.frames import checksum
from tests.capture.building import (
    ACK,
    CLIENT,
    CLIENT6,
    GREETING,
    PSH,
    SERVER,
    SERVER6,
    enhanced,
    ethernet,
    interface,
    ipv4,
    ipv6,
    pcap,
    read,
    section,
    talk,
    tcp,
)
from tests.capture.test_fragments import four, six
from tests.capture.test_tunnels import WRAPS

PLANTED = b"Pl4nted!"
UNSOUND = " || ".join(f"{x}.checksum.status == 0" for x in ("ip", "tcp", "udp", "icmp", "icmpv6", "gre"))


def facts(rows: list[Any]) -> list[Any]:
    """What stays of each packet: frame, time, ports, numbers, flags, how much was said, identification, TTL, window."""
    return [(*row[:2], *row[4:9], len(row[9]), *row[10:]) for row in rows]


def unsound(tshark: str, path: Path, which: str = UNSOUND) -> list[str]:
    checks = [x for name in ("ip", "tcp", "udp") for x in ("-o", f"{name}.check_checksum:TRUE")]
    command = [tshark, "-n", "-r", str(path), *checks, "-T", "fields", "-e", "frame.number", "-Y", which]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()


@pytest.mark.parametrize("name", WRAPS)
def test_every_wrap_holds_the_same_packets(tmp_path: Path, name: str) -> None:
    link, wrap = WRAPS[name]
    for ip, ends in ((ipv4, (CLIENT, SERVER)), (ipv6, (CLIENT6, SERVER6))):
        frames = [wrap(x) for x in talk(ip, *ends)]
        (tmp_path / "a").write_bytes(pcap(frames, link=link))
        redact(tmp_path / "a", tmp_path / "b")
        before, after = read(tmp_path / "a")[0], read(tmp_path / "b")[0]
        assert facts(after) == facts(before)
        assert next(row[9] for row in after if row[9]) == GREETING
        assert {row[2] for row in after} & {row[2] for row in before} == set()


def test_tshark_finds_their_checksums_right(tmp_path: Path, tshark: str) -> None:
    links = sorted({link for link, _ in WRAPS.values()})
    parts = [section(), *(interface(link) for link in links)]
    for name, (link, wrap) in WRAPS.items():
        if name == "gtp-u, extension":  # its own length leaves the extension out
            continue
        for ip, ends in ((ipv4, (CLIENT, SERVER)), (ipv6, (CLIENT6, SERVER6))):
            parts += [enhanced(wrap(x), 10**15, links.index(link)) for x in talk(ip, *ends)]
    (tmp_path / "a.pcapng").write_bytes(b"".join(parts))
    redact(tmp_path / "a.pcapng", tmp_path / "b.pcapng")
    assert unsound(tshark, tmp_path / "b.pcapng") == []
    assert len(unsound(tshark, tmp_path / "a.pcapng", "ip.checksum.status == 0")) > 100


@pytest.mark.parametrize("piece", [four, six])
def test_fragments_come_out_whole_in_the_frame_that_completes_them(
    tmp_path: Path, piece: Callable[..., bytes], tshark: str
) -> None:
    frames = [piece(0, 16), piece(80, 200), ethernet(talk()[0]), piece(16, 64)]
    (tmp_path / "a").write_bytes(pcap(frames))
    assert redact(tmp_path / "a", tmp_path / "b") == (4, 2)
    rows, seen, _ = read(tmp_path / "b")
    assert [(row[0], row[4:9], len(row[9])) for row in rows if row[4] == 143] == [
        (4, (143, 40000, 5, 6, 24), 4 * len(GREETING))
    ]
    assert seen.packets == 4
    assert unsound(tshark, tmp_path / "b") == []


def icmp(quoted: bytes, kind: int = 3, code: int = 13, *, v6: bool = False) -> bytes:
    body = struct.pack(">BBHI", kind, code, 0, 0) + quoted
    if v6:
        return ethernet(ipv6(body, "2001:db8::1", CLIENT6, proto=58))
    return ethernet(ipv4(body, "192.0.2.1", CLIENT, proto=1))


@pytest.mark.parametrize("quote", [28, 40, 60, 200])
def test_complaints_about_mail_stay_with_what_they_quote(tmp_path: Path, quote: int, tshark: str) -> None:
    syn = ipv4(tcp(40000, 143, options=bytes(4), payload=PLANTED * 20))
    six_syn = ipv6(tcp(40000, 143, payload=PLANTED * 20))
    frames = [ethernet(syn), icmp(syn[:quote]), ethernet(six_syn), icmp(six_syn[: quote + 20], 1, 1, v6=True)]
    frames.append(icmp(ipv4(tcp(40000, 80))[:28]))
    (tmp_path / "a").write_bytes(pcap(frames))
    redact(tmp_path / "a", tmp_path / "b")
    before, after = read(tmp_path / "a")[2], read(tmp_path / "b")[2]
    assert [(x.frame, x.sport, x.dport, x.code) for x in after] == [(x.frame, x.sport, x.dport, x.code) for x in before]
    assert [x.frame for x in after] == [2, 4]
    assert {x.reporter for x in after} & {x.reporter for x in before} == set()
    assert unsound(tshark, tmp_path / "b") == []
    assert PLANTED not in (tmp_path / "b").read_bytes()


def odd(where: str) -> bytes:
    """A frame that hides words where nobody looks."""
    plain = tcp(40000, 143, 101, 901, PSH | ACK, b"a NOOP\r\n")
    if where == "padding":
        return ethernet(ipv4(plain)) + PLANTED
    if where == "ip options":
        return ethernet(ipv4(plain, options=b"\x44\x0c" + b"\x05\0" + PLANTED))
    if where == "tcp options":
        return ethernet(
            ipv4(tcp(40000, 143, 101, 901, PSH | ACK, b"a NOOP\r\n", options=b"\xfd\x0a" + PLANTED + b"\1\1"))
        )
    if where == "ipv6 extension":
        return ethernet(ipv6(b"\x06\x01\x1e\x0c" + PLANTED + bytes(4) + plain, proto=60))
    if where == "reset":
        return ethernet(ipv4(tcp(40000, 143, 101, 901, 4, PLANTED)))
    return ethernet(ipv4(plain))[:12] + ethernet(ipv4(plain))[12:] + bytes(4) + PLANTED


@pytest.mark.parametrize("where", ["padding", "ip options", "tcp options", "ipv6 extension", "reset", "trailer"])
def test_what_is_not_understood_is_not_copied(tmp_path: Path, where: str, tshark: str) -> None:
    (tmp_path / "a").write_bytes(pcap([odd(where)]))
    redact(tmp_path / "a", tmp_path / "b")
    assert facts(read(tmp_path / "b")[0]) == facts(read(tmp_path / "a")[0])
    assert PLANTED in (tmp_path / "a").read_bytes()
    assert PLANTED not in (tmp_path / "b").read_bytes()
    assert unsound(tshark, tmp_path / "b") == []


def test_usual_tcp_options_stay(tmp_path: Path) -> None:
    stamps = b"\1\1\x08\x0a" + bytes(range(8))
    others = bytes.fromhex("020405b40402080a00000001000000000103030780")[:20]
    for options in (stamps, others):
        (tmp_path / "a").write_bytes(pcap([ethernet(ipv4(tcp(40000, 143, options=options)))]))
        redact(tmp_path / "a", tmp_path / "b")
        assert options in (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("name", ["vxlan", "wlan", "mpls in gre", "tzsp"])
def test_every_cut_is_survived(tmp_path: Path, name: str) -> None:
    link, wrap = WRAPS[name]
    whole = wrap(talk()[4])
    (tmp_path / "a").write_bytes(pcap([(whole[:size], len(whole)) for size in range(len(whole))], link=link))
    redact(tmp_path / "a", tmp_path / "b")
    assert facts(read(tmp_path / "b")[0]) == facts(read(tmp_path / "a")[0])


def test_checksums_of_known_octets() -> None:
    assert checksum(bytes.fromhex("4500003c1c4640004006 0000 ac100a63ac100a0c".replace(" ", ""))).hex() == "b1e6"
    assert checksum(b"\1") == b"\xfe\xff"
    assert checksum(bytes(4)) == b"\xff\xff"
