"""Which packets are mail: ports, and greetings on any port."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analyzer.capture import MAIL_PORTS, Facts, select, walk, window
from tests.capture.building import (
    ACK,
    CLIENT,
    CLIENT6,
    GREETING,
    PSH,
    SERVER,
    SERVER6,
    SYN,
    ethernet,
    ipv4,
    ipv6,
    pcap,
    read,
    talk,
    tcp,
)


def dialogue(
    *said: Any, port: int = 10143, sport: int = 40000, ip: Callable[..., bytes] = ipv4, opened: bool = True
) -> list[bytes]:
    """A connection in which the sides speak as told: (who, octets)."""
    ends = (CLIENT, SERVER) if ip is ipv4 else (CLIENT6, SERVER6)
    there, back = {"src": ends[0], "dst": ends[1]}, {"src": ends[1], "dst": ends[0]}
    packets = [
        ip(tcp(sport, port, 1, 0, SYN), **there),
        ip(tcp(port, sport, 1, 2, SYN | ACK), **back),
        ip(tcp(sport, port, 2, 2), **there),
    ]
    packets = packets if opened else []
    for who, octets in said:
        ports, way = ((sport, port), there) if who == "C" else ((port, sport), back)
        packets.append(ip(tcp(*ports, 2, 2, PSH | ACK, octets), **way))
    return [ethernet(packet) for packet in packets]


def frames_kept(tmp_path: Path, frames: list[Any], **options: Any) -> list[int]:
    return [row[0] for row in read(tmp_path / "a", pcap(frames), **options)[0]]


@pytest.mark.parametrize("port", sorted(MAIL_PORTS))
@pytest.mark.parametrize("ip", [ipv4, ipv6])
def test_mail_ports_are_kept_whatever_they_carry(tmp_path: Path, port: int, ip: Callable[..., bytes]) -> None:
    frames = dialogue(("C", b"\x16\x03\x01"), ("S", b"nonsense"), port=port, ip=ip)
    assert frames_kept(tmp_path, frames, any_port=False) == [1, 2, 3, 4, 5]


def test_extra_ports(tmp_path: Path) -> None:
    frames = dialogue(("C", b"hello"), port=2525)
    assert frames_kept(tmp_path, frames) == []
    assert frames_kept(tmp_path, frames, ports=MAIL_PORTS | {2525}) == [1, 2, 3, 4]


@pytest.mark.parametrize("ip", [ipv4, ipv6])
@pytest.mark.parametrize(
    "said",
    [
        [("S", GREETING)],
        [("S", b"* PREAUTH welcome back\r\n")],
        [("S", b"* BYE too many connections\r\n")],
        [("S", b"* OK\r\n")],
        [("S", b"+OK hello <1896.697170952@dbc.example>\r\n")],
        [("S", b"220 mx.example.net ESMTP\r\n")],
        [("S", b"220-mx.example.net\r\n"), ("C", b"EHLO pc.example.net\r\n")],
        [("S", b"220 Greetings\r\n"), ("C", b"HELO pc\r\n")],
        [("S", b"421 4.3.2 mail service not available\r\n")],
        [("S", b"554 No SMTP service here\r\n")],
        [("S", b"220 smtp.example.net ready\r\n")],
        [
            ("C", b"CONNECT mx.example.net:25 HTTP/1.1\r\n"),
            ("S", b"HTTP/1.1 200 OK\r\n\r\n"),
            ("S", b"220 mx ESMTP\r\n"),
        ],
        [("C", b"\x05\x01\x00"), ("S", b"\x05\x00"), ("C", b"\x05\x01\x00"), ("S", bytes(10)), ("S", GREETING)],
    ],
)
def test_a_greeting_on_another_port_brings_the_whole_connection(
    tmp_path: Path, said: Any, ip: Callable[..., bytes]
) -> None:
    frames = dialogue(*said, ("C", b"QUIT\r\n"), ("S", b"bye\r\n"), ip=ip)
    assert frames_kept(tmp_path, frames) == list(range(1, len(frames) + 1))
    assert frames_kept(tmp_path, frames, any_port=False) == []


@pytest.mark.parametrize(
    "said",
    [
        [("S", b"220 ProFTPD Server (mail.example.net)\r\n"), ("C", b"USER x\r\n")],
        [("S", b"220 FTP server of the mail team\r\n"), ("C", b"USER x\r\n")],
        [("S", b"220 FileZilla Server on mail\r\n"), ("C", b"USER x\r\n")],
        [("S", b"220 Service ready\r\n"), ("C", b"USER x\r\n")],
        [("C", b"PING\r\n"), ("S", b"+OK\r\n")],
        [("S", b"+OK\r\n"), ("C", b"PING\r\n")],
        [("C", b"GET / HTTP/1.1\r\n\r\n"), ("S", b"HTTP/1.1 200 OK\r\n\r\n"), ("S", GREETING)],
        [("S", b"SSH-2.0-OpenSSH_9.6\r\n"), ("C", b"SSH-2.0-x\r\n"), ("S", b"* OK said the tunnel\r\n")],
        [("S", b"* OKAY then\r\n")],
        [("C", b"\x16\x03\x01 hello")],
    ],
)
def test_look_alikes_are_left_alone(tmp_path: Path, said: Any) -> None:
    assert frames_kept(tmp_path, dialogue(*said)) == []


@pytest.mark.parametrize("greeting", [GREETING, b"+OK POP3 ready\r\n", b"220 mx ESMTP\r\n"])
def test_without_a_syn_a_plain_greeting_is_enough(tmp_path: Path, greeting: bytes) -> None:
    frames = dialogue(("S", greeting), ("C", b"a NOOP\r\n"), opened=False)
    assert frames_kept(tmp_path, frames) == [1, 2]


@pytest.mark.parametrize(
    "octets", [b"* OK\r\n", b"+OK 17 octets\r\n", b"* OK the mail service is re", b"220 hello\r\n"]
)
def test_without_a_syn_a_vague_greeting_is_not(tmp_path: Path, octets: bytes) -> None:
    assert frames_kept(tmp_path, dialogue(("S", octets), ("C", b"x"), opened=False)) == []


def test_connections_do_not_mix_and_rows_stay_in_file_order(tmp_path: Path) -> None:
    mail = dialogue(("S", GREETING), ("C", b"a NOOP\r\n"))
    other = dialogue(("C", b"GET /"), ("S", b"HTTP/1.1"), sport=40001)
    known = [ethernet(datagram) for datagram in talk()][:5]
    frames = [frame for three in zip(mail, other, known, strict=True) for frame in three]
    rows, _, _ = read(tmp_path / "a", pcap(frames))
    assert [row[0] for row in rows] == [n for n in range(1, 16) if n % 3 != 2]
    assert [row[9] for row in rows if row[5] == 10143][-1] == b"a NOOP\r\n"


def test_a_port_used_again_is_a_new_connection(tmp_path: Path) -> None:
    first = dialogue(("C", b"GET /"))
    again = dialogue(("S", GREETING))
    assert frames_kept(tmp_path, [*first, *again]) == [5, 6, 7, 8]


def test_a_repeated_syn_is_not_a_new_connection(tmp_path: Path) -> None:
    frames = dialogue(("S", GREETING))
    assert frames_kept(tmp_path, [frames[0], *frames]) == [1, 2, 3, 4, 5]


def test_a_flood_of_connections_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remembered is nothing that began longer ago than the look-back, so never more than one connection a frame."""
    monkeypatch.setattr(select, "LOOKBACK_FRAMES", 5)
    frames = dialogue(("S", b"* OK\r\n"))
    flood = [dialogue(sport=50000 + n)[0] for n in range(3)]
    assert frames_kept(tmp_path, [*frames[:3], *flood[:2], frames[3]]) == [1, 2, 3, 6]
    assert frames_kept(tmp_path, [*frames[:3], *flood, frames[3]]) == []
    walked = walk.Walk(pcap([dialogue(sport=n)[0] for n in range(50000, 51000)]), Facts(), MAIL_PORTS, any_port=True)
    assert list(walked.windows(walk.pcap.records)) == []
    assert len(walked.selection.waiting) == 2 * 6


@pytest.mark.parametrize(("greeting", "kept"), [(GREETING, [7, 8]), (b"* OK\r\n", [])])
def test_a_greeting_behind_the_look_back_must_speak_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, greeting: bytes, kept: list[int]
) -> None:
    monkeypatch.setattr(select, "LOOKBACK_FRAMES", 5)
    *opening, greet, answer = dialogue(("S", greeting), ("C", b"a NOOP\r\n"))
    between = [ethernet(ipv4(bytes(100), proto=17))] * 3
    assert frames_kept(tmp_path, [*opening, *between, greet, answer]) == kept


def test_a_connection_that_never_speaks_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "WAITING_PACKETS_LIMIT", 4)
    frames = dialogue(("S", b"* OK\r\n"))
    assert frames_kept(tmp_path, [*frames[:3], frames[2], frames[3]]) == [1, 2, 3, 4, 5]
    assert frames_kept(tmp_path, [*frames[:3], frames[2], frames[2], frames[3]]) == []


def test_followed_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "FOLLOWED_LIMIT", 1)
    frames = [*dialogue(("S", GREETING)), *dialogue(("S", GREETING), sport=40001)]
    assert frames_kept(tmp_path, frames) == [1, 2, 3, 4]


@pytest.mark.parametrize(("name", "limit"), [("ROWS_LIMIT", 2), ("PAYLOAD_LIMIT_BYTES", 5)])
def test_small_windows_hold_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    frames = [*(ethernet(datagram) for datagram in talk()), *dialogue(("S", GREETING), ("C", b"a NOOP\r\n"))]
    whole = read(tmp_path / "a", pcap(frames))
    monkeypatch.setattr(window, name, limit)
    assert read(tmp_path / "a", pcap(frames)) == whole


def test_too_many_addresses_are_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "ADDRESSES_LIMIT", 2)
    frames = [ethernet(ipv4(tcp(40000, 143), src=f"10.0.0.{n}")) for n in (1, 1, 2, 3)]
    rows, facts, _ = read(tmp_path / "a", pcap(frames))
    assert [row[0] for row in rows] == [1, 2]
    assert len(facts.warnings) == 1
