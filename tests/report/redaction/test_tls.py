"""TLS sessions: versions, sizes, alerts and turns stay; names become pseudonyms, all else zeros."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

import analyzer
from analyzer.at import Side
from analyzer.report.redaction import redact
from analyzer.report.redaction.pseudonyms import Pseudonyms
from analyzer.report.redaction.tls import Records, message
from analyzer.sessions.session import Session
from tests.report.redaction.test_redact import leaks, story
from tests.secured import NAME, Pair, Tunnel, make_pair
from tests.wire import Wire

C, S = Side.CLIENT, Side.SERVER
NAMES = Pseudonyms("x")
SAID = [
    (S, b"* OK ready\r\n"), (C, b"A1 LOGIN joe Pl4nted-Secret\r\n"), (S, b"A1 NO LOGIN failed.\r\n"), (C, b"A2 LOGOUT\r\n"),
    (S, b"* BYE bye\r\nA2 OK done\r\n"),
]  # fmt: skip
FIELDS = (
    "tls",
    "tls_version",
    "tls_offered",
    "alpn",
    "tls_alert",
    "outcome",
    "server_bytes",
    "missed_bytes",
    "certificate_until",
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    made = make_pair(tmp_path_factory.mktemp("pair"))
    if made is None:
        pytest.skip("openssl is not installed")
    return made


def told(session: Session) -> list[Any]:
    talk = session.talk and session.talk._replace(at=None, turns=tuple(x._replace(at=None) for x in session.talk.turns))
    return [*(getattr(session, name, None) for name in FIELDS), talk]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("segment", [1460, 33])
@pytest.mark.parametrize(
    "early", [[], [(S, b"* OK hi\r\n"), (C, b"a STARTTLS\r\n"), (S, b"a OK go\r\n")]], ids=["at once", "later"]
)
def test_what_tls_tells_in_clear_stays_but_no_name(
    tmp_path: Path, pair: Pair, version: str, segment: int, early: list[Any]
) -> None:
    tunnel = Tunnel(pair, version, alpn=("imap",)).handshake()
    for side, data in SAID:
        tunnel.say(side, data)
    tunnel.goodbye(C)
    refused = Tunnel(pair, version, trusts=True).handshake()
    wire, port = Wire(seed=3), 143 if early else 993
    wire.dialogue([*early, *tunnel.steps], port=port, segment=segment)
    wire.dialogue([*early, *refused.steps], port=port, segment=segment, at_ms=900)
    path, out = wire.save(tmp_path / "a.pcap"), tmp_path / "b.pcap"
    redact(path, out, case="4711")
    before, after = (analyzer.read(x).result.sessions for x in (path, out))
    assert [told(x) for x in after] == [told(x) for x in before]
    assert before[0].tls_version == f"TLS {version}"
    assert story(out) == story(path)
    assert leaks(out.read_bytes(), {"example", "imap.example.test", NAME}) == []
    assert NAME.encode() in path.read_bytes()
    assert after[0].sni == Pseudonyms("4711").name(NAME)


def test_octets_inside_are_zeros(tmp_path: Path, pair: Pair) -> None:
    tunnel = Tunnel(pair).handshake().say(S, b"x" * 5000)
    path = Wire(seed=3).dialogue(tunnel.steps, port=993).wire.save(tmp_path / "a.pcap")
    redact(path, tmp_path / "b.pcap")
    sealed = tunnel.steps[-1][1]
    assert sealed[5:105] in path.read_bytes()
    octets = (tmp_path / "b.pcap").read_bytes()
    assert sealed[5:13] not in octets
    assert sealed[:5] + bytes(1000) in octets


@given(some.binary(max_size=300), some.lists(some.integers(1, 40), max_size=12))
def test_any_octets_are_survived_and_only_what_was_there_is_shown(octets: bytes, cuts: list[int]) -> None:
    shown: dict[int, bytes] = {}
    records, place = Records(NAMES, shown.__setitem__), 0
    for cut in [*cuts, len(octets)]:
        piece = octets[place : place + cut]
        assert records.feed(place, piece) >= 0
        place += len(piece)
    assert all(at >= 0 and at + len(x) <= len(octets) for at, x in shown.items())


@given(some.integers(0, 30), some.binary(max_size=200))
def test_a_message_keeps_its_length(kind: int, body: bytes) -> None:
    assert len(message(kind, body, NAMES)) == len(body)
