"""Decrypted octets find their conversation, which goes on as if there had been no TLS."""

import pytest

from analyzer.at import At, Side
from analyzer.capture.decrypted import Clear
from analyzer.protocols import Event
from analyzer.sessions.converse import Conversation
from analyzer.sessions.session import LoginOutcome, Outcome, Session
from analyzer.sessions.unseal import hand_over
from analyzer.streams import Chunk
from tests.secured import Pair, Step, secured
from tests.sessions.dialogue import C, S, at, connection

CLIENT, SERVER = ("192.0.2.11", 50_001), ("198.51.100.10", 993)
HIDDEN: list[Step] = [
    (S, b"* OK The Microsoft Exchange IMAP4 service is ready.\r\n"),
    (C, b"A1 LOGIN joe secret\r\n"),
    (S, b"A1 NO LOGIN failed.\r\n"),
]
BEFORE: list[Step] = [(S, b"* OK ready\r\n"), (C, b"A1 STARTTLS\r\n"), (S, b"A1 OK Begin TLS negotiation now.\r\n")]


def clear(side: Side, data: bytes, frame: int, port: int = 993) -> Clear:
    ends = (CLIENT, (SERVER[0], port))
    (src, sport), (dst, dport) = ends[side], ends[side.other]
    return Clear(At(frame, at(frame - 1).ts), src, sport, dst, dport, data)


def talked(steps: list[Step], heard: list[Session], tap: list[Event] | None = None, **changes: object) -> Conversation:
    """A conversation that has ended and waits."""
    given = {"server_port": 993} | changes
    talk = Conversation("a.pcap", connection(**given), heard.append, tap, lambda _: True)  # type: ignore[arg-type]
    for n, (side, data) in enumerate(steps, 2):
        talk.chunk(Chunk(side, data, at(n)))
    talk.end()
    assert heard == []
    return talk


@pytest.fixture(scope="module")
def steps(pair: Pair) -> list[Step]:
    return secured([(S, b"hello"), (C, b"you")], pair)


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_implicit_tls(steps: list[Step], step: int) -> None:
    heard: list[Session] = []
    talk = talked(steps, heard)
    pieces = [(side, data[i : i + step]) for side, data in HIDDEN for i in range(0, len(data), step)]
    assert hand_over([clear(side, data, 20) for side, data in pieces], [talk]) == {"C1"}
    talk.finish()
    (session,) = heard
    assert (session.tls, session.decrypted, session.protocol) == ("implicit", True, "imap")
    assert (session.outcome, session.account, session.product) == (Outcome.REFUSED, "joe", "exchange")
    assert session.tls_version == "TLS 1.3"
    assert session.talk is not None
    assert "secret" not in repr(session)


@pytest.mark.parametrize(
    ("port", "before", "hidden"),
    [
        (143, BEFORE, [(C, b"A2 LOGIN joe secret\r\n"), (S, b"A2 NO LOGIN failed.\r\n")]),
        (
            110,
            [(S, b"+OK ready\r\n"), (C, b"STLS\r\n"), (S, b"+OK\r\n")],
            [(C, b"USER joe\r\n"), (S, b"+OK\r\n"), (C, b"PASS secret\r\n"), (S, b"-ERR no\r\n")],
        ),
        (
            587,
            [
                (S, b"220 ready\r\n"),
                (C, b"EHLO a\r\n"),
                (S, b"250 STARTTLS\r\n"),
                (C, b"STARTTLS\r\n"),
                (S, b"220 go\r\n"),
            ],
            [
                (C, b"EHLO a\r\n"),
                (S, b"250 AUTH PLAIN\r\n"),
                (C, b"AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n"),
                (S, b"535 5.7.8 no\r\n"),
            ],
        ),
    ],
)
def test_after_starttls(steps: list[Step], port: int, before: list[Step], hidden: list[Step]) -> None:
    heard: list[Session] = []
    talk = talked([*before, *steps], heard, server_port=port)
    assert talk.service[1] is not None
    hand_over([clear(side, data, 20 + n, port) for n, (side, data) in enumerate(hidden)], [talk])
    talk.finish()
    (session,) = heard
    assert (session.tls, session.decrypted, session.outcome, session.account) == (
        "starttls",
        True,
        Outcome.REFUSED,
        "joe",
    )
    assert session.logins[0].decided is not None
    assert session.logins[0].decided.frame == 20 + len(hidden) - 1


def test_without_keys_it_stays_opaque(steps: list[Step]) -> None:
    heard: list[Session] = []
    talk = talked(steps, heard)
    strangers = [clear(S, b"* OK\r\n", 20)._replace(sport=1), clear(S, b"* OK\r\n", 0)]
    assert hand_over(strangers, [talk]) == set()
    talk.finish()
    assert (heard[0].outcome, heard[0].decrypted) == (Outcome.OPAQUE, False)


def test_ports_used_again_are_told_apart_by_frames(steps: list[Step]) -> None:
    heard: list[Session] = []
    first = talked(steps, heard, last_frame=30)
    second = talked(steps, heard, uid="C2", first_frame=100, last_frame=130)
    records = [clear(side, data, frame) for frame in (20, 120) for side, data in HIDDEN]
    assert hand_over(iter(records), [second, first]) == {"C1", "C2"}
    for talk in (first, second):
        talk.finish()
    assert [(s.uid, len(s.logins), s.outcome) for s in heard] == [
        ("C1", 1, Outcome.REFUSED),
        ("C2", 1, Outcome.REFUSED),
    ]


def test_behind_a_hole_a_login_is_unseen_not_given_up(steps: list[Step]) -> None:
    heard: list[Session] = []
    talk = talked(steps, heard, missed_bytes=500)
    hand_over([clear(side, data, 20) for side, data in HIDDEN[:2]], [talk])
    talk.finish()
    assert [x.outcome for x in heard[0].logins] == [LoginOutcome.UNSEEN]


def test_what_shows_no_protocol(steps: list[Step]) -> None:
    heard: list[Session] = []
    talk = talked(steps, heard)
    hand_over([clear(S, b"\x01\x02\x03" * 20, 20), clear(C, b"\x04" * 60, 21)], [talk])
    talk.finish()
    assert (heard[0].tls, heard[0].decrypted, heard[0].logins) == ("implicit", True, ())


def test_who_does_not_wait_is_done_at_once(steps: list[Step]) -> None:
    heard: list[Session] = []
    talk = Conversation("a.pcap", connection(server_port=993), heard.append, None, lambda _: False)
    for n, (side, data) in enumerate(steps, 2):
        talk.chunk(Chunk(side, data, at(n)))
    talk.end()
    assert [s.outcome for s in heard] == [Outcome.OPAQUE]


def test_a_clear_session_waits_for_nothing() -> None:
    heard: list[Session] = []
    talk = Conversation("a.pcap", connection(), heard.append, None, lambda _: True)
    for n, (side, data) in enumerate(HIDDEN, 2):
        talk.chunk(Chunk(side, data, at(n)))
    talk.end()
    assert [s.outcome for s in heard] == [Outcome.REFUSED]


def test_tls_where_the_answer_to_starttls_was_lost(steps: list[Step]) -> None:
    """The mail parser knows TLS by its first record; that record is the hello, and is not lost for it."""
    heard: list[Session] = []
    talk = Conversation("a.pcap", connection(), heard.append)
    for n, (side, data) in enumerate([*BEFORE[:2], *steps], 2):
        talk.chunk(Chunk(side, data, at(n)))
    talk.end()
    assert (heard[0].tls, heard[0].tls_version, heard[0].sni) == ("starttls", "TLS 1.3", "mail.example.test")
