"""Octets of a connection -> the right parser -> one Session."""

import pytest

from analyzer.at import Side
from analyzer.protocols import Event
from analyzer.sessions.converse import WAIT_LIMIT, Conversation
from analyzer.sessions.session import Outcome, Session
from analyzer.streams import Chunk
from tests.sessions.dialogue import GREETING, C, S, at, connection, converse
from tests.transcript import PLANTED, Transcript, load, load_all

TRANSCRIPTS = {t.name: t for t in load_all("imap")}
REFUSED = [
    (S, GREETING),
    (C, b"A1 LOGIN joe secret\r\n"),
    (S, b"A1 NO LOGIN failed.\r\n"),
]


def octets(transcript: Transcript) -> list[tuple[Side, bytes]]:
    return [(side, data[n : n + 1]) for side, data in transcript.steps for n in range(len(data))]


def facts(session: Session) -> list[tuple[object, ...]]:
    """What must not depend on how the octets were cut."""
    logins = [(x.mechanism, x.account, x.domain, x.workstation, x.outcome, x.status, x.text) for x in session.logins]
    return [(session.protocol, session.tls, session.outcome, session.greeting, session.product), *logins]


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_octet_by_octet_is_the_same_session(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    if sum(len(data) for _, data in transcript.steps) > 20_000:
        pytest.skip("long literal")
    assert facts(converse(octets(transcript))) == facts(converse(transcript.steps))


@pytest.mark.parametrize("name", sorted(n for n in TRANSCRIPTS if not n.startswith("other_protocol")))
def test_logins_are_those_of_the_transcript(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    session = converse(transcript.steps)
    expected = [(x.get("mechanism"), x.get("account"), x["outcome"]) for x in transcript.logins if "outcome" in x]
    found = [(x.mechanism, x.account, x.outcome) for x in session.logins]
    for (mechanism, account, outcome), (was, who, how) in zip(expected, found, strict=True):
        assert outcome == how
        assert mechanism in {None, was}
        assert account in {None, who}
    assert PLANTED not in repr(session)


def test_the_note_becomes_one_refused_session() -> None:
    session = converse(load("imap/exchange2010_ntlm_refused").steps)
    assert (session.protocol, session.product, session.outcome) == ("imap", "exchange", Outcome.REFUSED)
    assert session.mechanism == "NTLM"


def test_a_greeting_on_any_port_is_imap() -> None:
    assert converse(REFUSED, connection(server_port=20_143)).protocol == "imap"


def test_another_protocol_on_the_imap_port_is_not() -> None:
    session = converse([(S, b"220 mail.example ESMTP ready\r\n"), (C, b"EHLO pc\r\n")])
    assert (session.protocol, session.account, session.opened) == ("smtp", None, None)


@pytest.mark.parametrize("odd", [b"\r\n", b"\0\r\n", b"\xef\xbb\xbf\r\n", b"junk\r\n"])
def test_odd_octets_of_the_client_before_the_greeting(odd: bytes) -> None:
    session = converse([(C, odd), *REFUSED])
    assert (session.protocol, session.outcome, session.account) == ("imap", Outcome.REFUSED, "joe")


@pytest.mark.parametrize("odd", [b"\r\n", b"\0"])
def test_odd_octets_of_the_server_are_no_imap_greeting(odd: bytes) -> None:
    """What does not begin like a greeting is not taken for one, and never raises."""
    assert converse([(S, odd + GREETING), *REFUSED[1:]]).protocol in {None, "imap"}


def test_midstream_by_the_lines_of_the_client_or_the_server() -> None:
    link = connection(syn=False)
    session = converse([(S, b"* 12 EXISTS\r\n"), (C, b"A7 NOOP\r\n"), (S, b"A7 OK NOOP completed.\r\n")], link)
    assert (session.protocol, session.opened_before, session.outcome) == ("imap", True, Outcome.ACCEPTED)


def test_midstream_login_is_read() -> None:
    session = converse(REFUSED[1:], connection(syn=False))
    assert (session.outcome, session.account) == (Outcome.REFUSED, "joe")


def test_midstream_octets_of_nothing_known() -> None:
    session = converse([(C, b"\x01" * 40), (S, b"\x02" * 40)], connection(syn=False))
    assert (session.protocol, session.outcome) == (None, Outcome.UNSEEN)


@pytest.mark.parametrize(("port", "protocol"), [(993, "imap"), (143, "imap"), (20_000, None)])
def test_tls_from_the_first_octet(port: int, protocol: str | None) -> None:
    hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"
    session = converse([(C, hello), (S, b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00")], connection(server_port=port))
    assert (session.tls, session.outcome, session.protocol) == ("implicit", Outcome.OPAQUE, protocol)


def test_unreadable_octets_on_the_tls_port_are_taken_for_tls() -> None:
    session = converse([(C, b"\x99" * 40), (S, b"\x98" * 40)], connection(server_port=993, syn=False))
    assert (session.tls, session.protocol) == ("implicit", "imap")


def test_starttls_hides_the_rest() -> None:
    session = converse(load("imap/starttls").steps)
    assert (session.tls, session.outcome, session.logins) == ("starttls", Outcome.OPAQUE, ())


def test_silence_keeps_the_protocol_of_the_port() -> None:
    session = converse([])
    assert (session.protocol, session.logins) == ("imap", ())


def test_one_short_word_is_judged_at_the_end() -> None:
    assert converse([(S, b"* ")]).protocol is None


def test_waiting_is_bounded() -> None:
    """A connection that tells nothing is given up; what follows is not read."""
    session = converse([*[(C, b"")] * WAIT_LIMIT, *REFUSED])
    assert (session.protocol, session.logins) == (None, ())


def test_a_hole_is_told_to_the_parser() -> None:
    heard: list[Session] = []
    tap: list[Event] = []
    talk = Conversation("test.pcap", connection(), heard.append, tap)
    talk.chunk(Chunk(S, GREETING, at(2)))
    talk.chunk(Chunk(C, b"", at(3), lost=200))
    talk.chunk(Chunk(S, b"A2 NO LOGIN failed.\r\n", at(4)))
    talk.end()
    assert [type(x).__name__ for x in tap][1] == "Lost"
    assert heard[0].protocol == "imap"


def test_a_capture_that_ends_first_leaves_the_login_unseen() -> None:
    asked = REFUSED[:2]
    assert converse(asked, connection(ended=None)).logins[0].outcome == "unseen"
    assert converse(asked, connection(ended=S)).logins[0].outcome != "refused"
