"""The wrong capture: said so, with the commands for a better one; not a word about a good one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

import analyzer
from analyzer.at import Side
from analyzer.report.terminal import screen
from analyzer.rules.finding import Finding, Verdict
from analyzer.rules.retake import WRONG, commands
from tests.capture.building import ethernet, ipv4, pcap, tcp
from tests.frames import Look
from tests.wire import Flaws, Wire

SERVER6 = "2001:db8::10"
LOGIN = (
    (Side.SERVER, b"* OK The Microsoft Exchange IMAP4 service is ready.\r\n"),
    (Side.CLIENT, b"1 LOGIN a-rather-long-account-name@contact-centre.example secret\r\n"),
    (Side.SERVER, b"1 NO LOGIN failed.\r\n"),
)
POLL = ((Side.CLIENT, b"9 NOOP\r\n"), (Side.SERVER, b"9 OK NOOP completed.\r\n")) * 3
TLS = (
    (Side.CLIENT, bytes.fromhex("160301002e0100002a0303") + bytes(35)),
    (Side.SERVER, bytes.fromhex("160303002a020000260303") + bytes(36)),
    (Side.CLIENT, bytes.fromhex("1703030020") + bytes(32)),
)


def wire(steps: tuple[tuple[Side, bytes], ...] = LOGIN, *, times: int = 3, **options: object) -> Wire:
    made = Wire(seed=4)
    for n in range(times):
        made.dialogue(steps, at_ms=n * 2500.0, **options)  # type: ignore[arg-type]
    return made


def film(path: Path, made: Wire, look: Look | None = None, flaws: Flaws | None = None) -> Path:
    return made.save(path / "x.pcap", look, flaws)


def syns(path: Path, keep: set[int]) -> Path:
    made = wire()
    made.segments = [x for x in made.segments if x.flags in keep]
    return film(path, made)


def mid(path: Path) -> Path:
    made = wire(POLL)
    made.segments = [x for x in made.segments if not x.flags & 2]
    return film(path, made)


def frames(path: Path, *octets: bytes) -> Path:
    (path / "x.pcap").write_bytes(pcap([ethernet(x) for x in octets]))
    return path / "x.pcap"


def listing(path: Path) -> Path:
    """Two lines of a packet list: a greeting and a refusal."""
    head = '"No.","Time","Source","Destination","Protocol","Length","Info"\n'
    rows = (
        '"1","0.1","198.51.100.10","192.0.2.11","IMAP","107","Response: * OK ready"\n',
        '"2","0.2","192.0.2.11","198.51.100.10","IMAP","80","Request: 1 LOGIN joe secret"\n',
        '"3","0.3","198.51.100.10","192.0.2.11","IMAP","82","Response: 1 NO LOGIN failed."\n',
    )
    (path / "x.csv").write_text(head + "".join(rows), encoding="utf-8")
    return path / "x.csv"


ESP = ipv4(bytes(60), proto=50)
LOOP = ipv4(tcp(40_000, 8080), src="127.0.0.1", dst="127.0.0.1")
CASES: dict[str, Callable[[Path], Path]] = {
    "late": mid,
    "no-mail": lambda path: frames(path, ipv4(tcp(40_000, 443)), ipv4(struct.pack(">HHHH", 1, 53, 8, 0), proto=17)),
    "vpn": lambda path: frames(path, *[ESP] * 5, ipv4(tcp(40_000, 443))),
    "loopback": lambda path: frames(path, *[LOOP] * 5),
    "syns": lambda path: syns(path, {2, 18}),
    "one-sided": lambda path: film(path, wire(), flaws=Flaws(only=Side.SERVER)),
    "cut": lambda path: film(path, wire(), Look(snap=64)),
    "gaps": lambda path: film(path, wire(times=12), flaws=Flaws(missing=0.5)),
    "encrypted": lambda path: film(path, wire(TLS, port=993)),
    "listing": listing,
}


def told(path: Path, **options: object) -> list[Finding]:
    found = analyzer.read(path, **options).result.findings  # type: ignore[arg-type]
    return [f for f in found if f.verdict is Verdict.NOT_SEEN]


@pytest.mark.parametrize("kind", CASES)
def test_a_wrong_capture_is_told_with_the_way_to_a_better_one(tmp_path: Path, kind: str) -> None:
    path = CASES[kind](tmp_path)
    (found,) = told(path)
    assert (found.rule, found.severity, found.cause) == (f"capture-{kind}", "info", "undetermined")
    assert found.title == WRONG[kind][0]
    assert found.summary.startswith(f"{path.name}: ")
    assert found.missing[0] == WRONG[kind][1]
    assert [x.split(":")[0].split(" ")[0] for x in found.missing[1:]] == ["Linux", "Windows", "Windows", "Windows"]
    assert found.remedies == ("capture-better",)


@pytest.mark.parametrize("kind", CASES)
def test_it_stands_on_the_screen_and_changes_no_conclusion(tmp_path: Path, kind: str) -> None:
    result = analyzer.read(CASES[kind](tmp_path)).result
    shown = " ".join(screen(result).split())
    assert f"retake {WRONG[kind][0]}" in shown
    assert "tcpdump -i any -s 0" in shown
    rest = tuple(f for f in result.findings if f.verdict is not Verdict.NOT_SEEN)
    assert result.with_findings(rest).conclusion == result.conclusion


def test_every_kind_has_its_case() -> None:
    assert set(CASES) == set(WRONG)


def _filtered(path: Path) -> Path:
    made = Wire()
    for n in range(4):
        made.unanswered(made.conversation("192.0.2.11", "198.51.100.10", at_ms=n * 9000.0))
    return film(path, made)


def _cut_short(path: Path) -> Path:
    made = Wire()
    made.conversation("192.0.2.11", "198.51.100.10").open()
    made.segments = made.segments[:2]
    return film(path, made)


GOOD: dict[str, Callable[[Path], Path]] = {
    "whole": lambda path: film(path, wire()),
    "cut behind what was said": lambda path: film(path, wire(), Look(snap=200)),
    "mirrored": lambda path: film(path, wire(), flaws=Flaws(mirror=True)),
    "some packets missing": lambda path: film(path, wire(times=12), flaws=Flaws(missing=0.03)),
    "retransmissions": lambda path: film(path, wire(), flaws=Flaws(repeat=0.5)),
    "begun before, one login seen": lambda path: film(path, wire(), flaws=Flaws(skip=4)),
    "a port that is filtered": _filtered,
    "a capture stopped at a handshake": _cut_short,
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_capture_is_left_in_peace(tmp_path: Path, name: str) -> None:
    assert [f.title for f in told(GOOD[name](tmp_path))] == []


def test_an_answered_question_needs_no_other_capture(tmp_path: Path) -> None:
    steps = (LOGIN[0], LOGIN[1], (Side.SERVER, b"1 NO [UNAVAILABLE] Temporary authentication failure.\r\n"))
    path = film(tmp_path, wire(steps), flaws=Flaws(only=Side.SERVER))
    claimed = [f for f in analyzer.read(path).result.findings if str(f.verdict) in {"confirmed", "likely"}]
    assert (bool(claimed), told(path)) == (True, [])


def test_an_idle_pc_among_several_captures_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "idle").mkdir()
    (tmp_path / "busy").mkdir()
    idle, busy = CASES["no-mail"](tmp_path / "idle"), film(tmp_path / "busy", wire())
    idle = idle.rename(tmp_path / "idle.pcap")
    found = analyzer.read(idle, busy).result.findings
    assert [f.title for f in found if f.verdict is Verdict.NOT_SEEN] == []


# -- the commands


def test_commands_name_the_server_and_its_ports(tmp_path: Path) -> None:
    linux, wireshark, pktmon, netsh = told(CASES["late"](tmp_path))[0].missing[1:]
    assert linux.endswith("tcpdump -i any -s 0 -w mail.pcap 'host 198.51.100.10 and (tcp port 143 or icmp)'")
    assert '-f "host 198.51.100.10 and (tcp port 143 or icmp)"' in wireshark
    assert "pktmon filter add mail143 -i 198.51.100.10 -t TCP -p 143 & pktmon start --capture --pkt-size 0" in pktmon
    assert "netsh trace start capture=yes IPv4.Address=198.51.100.10 " in netsh


def test_without_a_server_all_mail_ports_are_asked_for() -> None:
    linux, _, pktmon, netsh = commands(None, ())
    assert "'tcp port 25 or tcp port 110 or tcp port 143 " in linux
    assert pktmon.count("pktmon filter add") == 7
    assert "Address" not in netsh


def test_ipv6_has_its_own_words() -> None:
    linux, _, _, netsh = commands(SERVER6, (143, 993))
    assert f"'host {SERVER6} and (tcp port 143 or tcp port 993 or icmp6)'" in linux
    assert f"IPv6.Address={SERVER6}" in netsh
