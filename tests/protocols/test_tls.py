"""TLS as a bystander: real handshakes of OpenSSL, cut in every way; built hellos; octets that are none."""

import struct
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from random import Random
from time import process_time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.at import At, Side
from analyzer.protocols import Event
from analyzer.protocols.events import Lost, TlsAlert, TlsCertificate, TlsHello, TlsTalk, TlsTurn
from analyzer.protocols.tls import TURNS_KEPT, Tls
from analyzer.protocols.tls_hello import certificates, client_hello, server_hello
from tests.secured import NAME, Pair, Step, Tunnel, secured

C, S = Side.CLIENT, Side.SERVER
SAID = [
    (S, b"* OK The Microsoft Exchange IMAP4 service is ready.\r\n"),
    (C, b"A1 LOGIN joe Pl4nted-Secret\r\n"),
    (S, b"A1 NO LOGIN failed.\r\n"),
    (C, b"A2 LOGOUT\r\n"),
    (S, b"* BYE bye\r\nA2 OK done\r\n"),
]
SEALED = {"1.2": 24, "1.3": 17}
"""What sealing adds to a record's payload: AES-GCM's nonce and tag; the inner type and the tag."""
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Piece = tuple[Side, bytes, int]


def at(step: int) -> At:
    return At(step + 1, step * 1_000_000)


def play(pieces: Iterable[Piece], end: int = 99, *, complete: bool = True) -> list[Event]:
    tls, events = Tls(), list[Event]()
    for side, data, step in pieces:
        events += tls.feed(side, data, at(step))
    return events + list(tls.close(at(end), complete=complete))


def whole(steps: Iterable[Step]) -> list[Piece]:
    return [(side, data, n) for n, (side, data) in enumerate(steps)]


def kinds(events: Iterable[Event]) -> list[type]:
    return [type(x) for x in events]


def talk(events: list[Event]) -> TlsTalk:
    last = events[-1]
    assert isinstance(last, TlsTalk)
    return last


@pytest.fixture(scope="module", params=["1.2", "1.3"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def steps(pair: Pair, version: str) -> list[Step]:
    return secured(SAID, pair, version, alpn=("x", "imap"))


def test_what_the_hellos_and_the_certificate_say(steps: list[Step], version: str) -> None:
    events = play(whole(steps))
    client, server = (x for x in events if isinstance(x, TlsHello))
    assert (client.side, client.version, client.versions, client.sni) == (C, None, (f"TLS {version}",), NAME)
    assert client.alpn == ("x", "imap")
    assert (server.side, server.version, server.sni) == (S, f"TLS {version}", None)
    # TLS 1.3 hides the application protocol and the certificate (RFC 8446, sections 4.3.1 and 4.4.2)
    assert server.alpn == (("imap",) if version == "1.2" else ())
    shown = [x.names for x in events if isinstance(x, TlsCertificate)]
    assert shown == ([(NAME, "imap.example.test")] if version == "1.2" else [])
    assert "Pl4nted" not in repr(events)


def test_sizes_are_those_of_what_was_said(steps: list[Step], version: str) -> None:
    told = talk(play(whole(steps)))
    sizes = [(turn.side, turn.size_bytes) for turn in told.turns]
    assert sizes[1:] == [(side, len(data) + SEALED[version]) for side, data in SAID[1:]]
    assert sizes[0][0] is S  # the greeting, with the tickets of TLS 1.3
    assert told.whole
    assert not [x for x in play(whole(steps)) if isinstance(x, TlsAlert)]  # the goodbye is no alert


def test_octet_by_octet(steps: list[Step]) -> None:
    pieces = [(side, data[i : i + 1], n) for side, data, n in whole(steps) for i in range(len(data))]
    assert play(pieces) == play(whole(steps))


@few
@given(seed=st.integers(0, 2**32))
def test_cut_anywhere(steps: list[Step], seed: int) -> None:
    rng, pieces = Random(seed), list[Piece]()
    for side, data, n in whole(steps):
        marks = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(3))})
        pieces += [(side, data[a:b], n) for a, b in pairwise(marks)]
    assert play(pieces) == play(whole(steps))


@few
@given(seed=st.integers(0, 2**32))
def test_a_hole_anywhere(steps: list[Step], seed: int) -> None:
    rng, tls, events = Random(seed), Tls(), list[Event]()
    hit = rng.randrange(len(steps))
    for side, data, n in whole(steps):
        if n == hit:
            a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
            events += tls.feed(side, data[:a], at(n))
            events += tls.lost(side, b - a, at(n))
            events += tls.feed(side, data[b:], at(n))
        else:
            events += tls.feed(side, data, at(n))
    events += tls.close(at(99), complete=True)
    assert kinds(events).count(Lost) <= 1
    # whatever was lost, what is told is a part of what would have been told
    told = set(play(whole(steps))[:-1])
    assert {x for x in events if isinstance(x, TlsHello | TlsCertificate)} <= told


def test_a_hole_inside_a_record_keeps_its_size(steps: list[Step]) -> None:
    tls = Tls()
    told = talk(play(whole(steps)))
    last = max(n for n, (side, _) in enumerate(steps) if side is S)
    for side, data, n in whole(steps):
        if n == last:
            list(tls.feed(side, data[:8], at(n)))
            list(tls.lost(side, 6, at(n)))
        list(tls.feed(side, data[14:] if n == last else data, at(n)))
    assert list(tls.close(at(99))) == [told]


def test_a_hole_over_a_record_s_end_is_said(steps: list[Step]) -> None:
    tls = Tls()
    for side, data, n in whole(steps[:-2]):
        list(tls.feed(side, data, at(n)))
    list(tls.lost(S, 3, at(90)))
    assert not talk(list(tls.close(at(99)))).whole
    assert list(tls.lost(S, 0, at(91))) == []


def test_from_the_middle(steps: list[Step], version: str) -> None:
    """Begun inside a record: what follows the next header is counted, and that something is missing is said."""
    first = next(n for n, (side, data) in enumerate(steps) if side is S and n > 2)
    pieces = [(side, data[7 if n == first else 0 :], n) for side, data, n in whole(steps) if n >= first]
    told = talk(play(pieces))
    assert not told.whole
    sizes = [turn.size_bytes for turn in told.turns if turn.side is C]
    assert sizes[:2] == [len(SAID[1][1]) + SEALED[version], len(SAID[3][1]) + SEALED[version]]


def test_the_end_of_the_capture_is_not_the_end_of_the_connection(steps: list[Step]) -> None:
    assert not talk(play(whole(steps), complete=False)).whole


def test_a_server_that_takes_no_such_version(pair: Pair) -> None:
    made = Tunnel(pair, "1.2", server_version="1.3").handshake().steps
    events = play(whole(made))
    assert [x[1:] for x in events if isinstance(x, TlsAlert)] == [(S, "fatal", "protocol_version")]
    assert talk(events).records == 0


def test_a_client_that_does_not_trust_the_certificate(pair: Pair, version: str) -> None:
    events = play(whole(Tunnel(pair, version, trusts=True).handshake().steps))
    assert [x[1:] for x in events if isinstance(x, TlsAlert)] == [(C, "fatal", "unknown_ca")]


def record(kind: int, body: bytes, version: int = 0x0303) -> bytes:
    return struct.pack(">BHH", kind, version, len(body)) + body


def hello(extensions: bytes = b"", version: int = 0x0303, *, server: bool = False) -> bytes:
    offer = b"\x00\x2f\x00" if server else b"\x00\x02\x00\x2f\x01\x00"
    tail = struct.pack(">H", len(extensions)) + extensions if extensions else b""
    return struct.pack(">H", version) + bytes(32) + b"\x00" + offer + tail


def extension(kind: int, body: bytes) -> bytes:
    return struct.pack(">HH", kind, len(body)) + body


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


V13 = extension(43, b"\x03\x04")


@pytest.mark.parametrize(
    ("body", "level", "words"),
    [
        (b"\x02\x28", "fatal", "handshake_failure"),
        (b"\x01\x70", "warning", "unrecognized_name"),
        (b"\x02\xee", "fatal", "alert_238"),
        (b"\x09\x50", "unknown", "internal_error"),
    ],
)
def test_alerts(body: bytes, level: str, words: str) -> None:
    events = play([(S, record(21, body), 1)])
    assert [x[1:] for x in events if isinstance(x, TlsAlert)] == [(S, level, words)]


@pytest.mark.parametrize("body", [b"\x01\x00", b"\x01\x5a", b""])
def test_goodbyes_and_nothing_are_no_alerts(body: bytes) -> None:
    assert kinds(play([(S, record(21, body), 1)])) == [TlsTalk]


def test_who_hangs_up_behind_the_handshake_says_goodbye(pair: Pair, version: str) -> None:
    """A balancer's look at the port."""
    events = play(whole(Tunnel(pair, version).handshake().goodbye(C).steps))
    assert not [x for x in events if isinstance(x, TlsAlert)]


def test_an_encrypted_alert_in_place_of_the_client_s_finished() -> None:
    """TLS 1.3, RFC 8446 section 6.2: a client that stops after the server's flight says so under its handshake key."""
    server = record(22, message(2, hello(V13, server=True))) + record(23, bytes(800))
    events = play([(S, server, 1), (C, record(20, b"\x01") + record(23, bytes(19)), 2)])
    assert [x[1:] for x in events if isinstance(x, TlsAlert)] == [(C, "unknown", "encrypted")]
    assert talk(events).records == 0


def test_a_retried_hello_is_told_once() -> None:
    """RFC 8446, section 4.1.4: a HelloRetryRequest looks like a ServerHello and is none."""
    retry = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    again = message(2, b"\x03\x03" + retry + b"\x00\x13\x01\x00" + struct.pack(">H", len(V13)) + V13)
    final = message(2, hello(V13, server=True))
    mine = record(22, message(1, hello()))
    events = play(
        [(C, mine, 1), (S, record(22, again) + record(20, b"\x01"), 2), (C, mine, 3), (S, record(22, final), 4)]
    )
    assert [(x.at.frame, x.side, x.version) for x in events if isinstance(x, TlsHello)] == [
        (2, C, None),
        (5, S, "TLS 1.3"),
    ]


def test_messages_share_records_and_fill_several() -> None:
    data = message(0, b"") + message(1, hello(extension(0, b"\x00\x06\x00\x00\x03a.b")))
    pieces = [(C, record(22, data[i : i + 7]), i) for i in range(0, len(data), 7)]
    assert [x.sni for x in play(pieces) if isinstance(x, TlsHello)] == ["a.b"]


def test_no_handshake_is_read_behind_the_change_of_ciphers() -> None:
    assert kinds(play([(C, record(20, b"\x01") + record(22, message(1, hello())), 1)])) == [TlsTalk]


def test_a_message_longer_than_any_is_not_waited_for() -> None:
    tls = Tls()
    list(tls.feed(C, record(22, b"\x0b\xff\xff\xff" + bytes(1000)), at(1)))
    for n in range(200):
        list(tls.feed(C, record(22, bytes(16_000)), at(n)))
    assert len(tls._halves[C].messages) < 100


@pytest.mark.parametrize("cut", range(60))
def test_a_hello_cut_anywhere_is_none(cut: int) -> None:
    body = hello(extension(0, b"\x00\x06\x00\x00\x03a.b") + extension(16, b"\x00\x05\x04imap"))
    assert client_hello(body[: min(cut, len(body) - 1)], at(0)) is None or cut == 41


@pytest.mark.parametrize(
    ("extensions", "sni", "versions", "alpn"),
    [
        (b"", None, ("TLS 1.2",), ()),
        (extension(0, b""), None, ("TLS 1.2",), ()),
        (extension(0, b"\x00\x06\x01\x00\x03a.b"), None, ("TLS 1.2",), ()),
        (extension(0, b"\x00\x06\x00\x00\x03a\x1bb"), "a\N{REPLACEMENT CHARACTER}b", ("TLS 1.2",), ()),
        (extension(43, b"\x06\x7a\x7a\x03\x04\x03\x01"), None, ("TLS 1.3", "TLS 1.0"), ()),
        (extension(16, b"\x00\x0a" + b"\x01a" * 5), None, ("TLS 1.2",), ("a",) * 5),
        (extension(16, b"\x00\x28" + b"\x01a" * 20), None, ("TLS 1.2",), ("a",) * 8),
    ],
)
def test_client_hellos(extensions: bytes, sni: str | None, versions: tuple[str, ...], alpn: tuple[str, ...]) -> None:
    told = client_hello(hello(extensions), at(0))
    assert told is not None
    assert (told.sni, told.versions, told.alpn) == (sni, versions, alpn)


def test_server_hellos() -> None:
    assert server_hello(b"\x03\x03short", at(0)) is None
    told = server_hello(hello(version=0x0301, server=True), at(0))
    assert told is not None
    assert told.version == "TLS 1.0"
    strange = server_hello(hello(version=0x7A7A, server=True), at(0))
    assert strange is not None
    assert strange.version is None


def test_certificates_cut_short() -> None:
    body = (300).to_bytes(3, "big") + (5).to_bytes(3, "big") + b"first" + (9).to_bytes(3, "big") + b"se"
    assert list(certificates(body)) == []
    assert list(certificates((8).to_bytes(3, "big") + (5).to_bytes(3, "big") + b"first")) == [b"first"]
    assert kinds(
        play([(S, record(22, message(11, (8).to_bytes(3, "big") + (5).to_bytes(3, "big") + b"first")), 1)])
    ) == [TlsTalk]


def test_turns_are_bounded() -> None:
    pieces = [((S, C)[n % 2], record(23, bytes(30)), n) for n in range(200)]
    told = talk(play(pieces))
    assert (len(told.turns), told.records) == (TURNS_KEPT, 200)
    assert told.turns[0] == TlsTurn(S, 30, 1, at(0))


@few
@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=80)), max_size=12), st.booleans())
def test_any_octets(steps: list[Step], lossy: bool) -> None:
    tls = Tls()
    for n, (side, data) in enumerate(steps):
        list(tls.feed(side, record(20 + n % 4, data) if n % 3 else data, at(n)))
        if lossy:
            list(tls.lost(side, n, at(n)))
    talk(list(tls.close(at(99))))


HOSTILE = {
    "noise": Random(1).randbytes(1 << 20),
    "empty records": record(23, b"") * 200_000,
    "empty messages": record(22, message(0, b"") * 4000) * 60,
    "half headers": b"\x17\x03\x03" * 300_000,
    "one octet of handshake each": record(22, b"\x0b") * 150_000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_time_is_linear(data: bytes) -> None:
    def took(size: int) -> float:
        began = process_time()
        play((S, data[i : i + 1460], i) for i in range(0, size, 1460))
        return process_time() - began

    took(len(data) // 8)
    assert took(len(data)) < 8 * max(took(len(data) // 4), 0.02)


def test_the_key_log_is_written_for_the_other_tests(pair: Pair, tmp_path: Path) -> None:
    """The tunnel writes what SSLKEYLOGFILE would: the tests of decryption rest on it."""
    Tunnel(pair, "1.3", keylog=tmp_path / "keys").handshake()
    assert b"CLIENT_TRAFFIC_SECRET_0 " in (tmp_path / "keys").read_bytes()
