"""Events of one connection -> its Session."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.at import Side
from analyzer.protocols import Event
from analyzer.protocols.events import (
    AuthEnded,
    AuthIdentity,
    AuthServer,
    AuthStarted,
    Capability,
    Closed,
    Command,
    Greeting,
    Identity,
    Lost,
    Malformed,
    Reply,
    TlsStarted,
)
from analyzer.secret import Secret
from analyzer.sessions.fold import COMPLAINTS_KEPT, LOGINS_KEPT, Fold
from analyzer.sessions.session import LoginOutcome, Outcome, Session
from tests.sessions.dialogue import at, connection

C, S = Side.CLIENT, Side.SERVER
HELLO = Greeting(at(2), "OK", None, "The Microsoft Exchange IMAP4 service is ready.")
JOE = Identity("PLAIN", "joe", "CORP", "boss", None, "plain", Secret(b"s"))


def ended(outcome: str, step: int = 7, status: str | None = None, text: str = "AUTHENTICATE failed.") -> AuthEnded:
    said = {"accepted": "OK", "refused": "NO"}.get(outcome, "") if status is None else status
    return AuthEnded(at(step), "A1", outcome, None, text if said else "", said, 12.5 if said else None)


def login(outcome: str, step: int = 5) -> list[Event]:
    return [AuthStarted(at(step), "A1", "PLAIN"), AuthIdentity(at(step + 1), JOE), ended(outcome, step + 2)]


def reply(status: str, verb: str | None = "SELECT", step: int = 9, code: str | None = None) -> Reply:
    return Reply(at(step), "A2", status, code, "words", verb)


def fold(*events: Event, **changes: object) -> Session:
    folded = Fold("test.pcap", connection(**changes))
    for event in events:
        folded.take(event)
    return folded.session()


BYE = Closed(at(9), S, "Connection is closed. 13")
MIDSTREAM = {"syn": False}
CASES: dict[str, tuple[Outcome, list[Event], dict[str, object]]] = {
    "accepted": (Outcome.ACCEPTED, [HELLO, *login("accepted")], {}),
    "accepted at the second try": (Outcome.ACCEPTED, [HELLO, *login("refused"), *login("accepted", 10)], {}),
    "accepted, refused again": (Outcome.ACCEPTED, [HELLO, *login("accepted"), *login("refused", 10)], {}),
    "preauth": (Outcome.ACCEPTED, [Greeting(at(2), "PREAUTH", None, "hi")], {}),
    "open before the capture": (Outcome.ACCEPTED, [reply("OK", "NOOP")], MIDSTREAM),
    "refused": (Outcome.REFUSED, [HELLO, *login("refused")], {}),
    "refused in the middle": (Outcome.REFUSED, login("refused"), MIDSTREAM),
    "refused beside one unseen": (Outcome.REFUSED, [HELLO, *login("refused"), *login("unseen", 10)], {}),
    "bye as greeting": (Outcome.REFUSED_AT_GREETING, [Greeting(at(2), "BYE", None, "Too many")], {}),
    "starttls": (Outcome.OPAQUE, [HELLO, TlsStarted(at(3), implicit=False)], {}),
    "implicit tls": (Outcome.OPAQUE, [TlsStarted(at(3), implicit=True)], {"server_port": 993}),
    "login, then tls": (Outcome.REFUSED, [HELLO, *login("refused"), TlsStarted(at(9), implicit=False)], {}),
    "no answer to the SYN": (Outcome.UNREACHABLE, [], {"conn_state": "S0", "client_bytes": 0, "server_bytes": 0}),
    "reset": (Outcome.UNREACHABLE, [], {"conn_state": "REJ", "client_bytes": 0, "server_bytes": 0}),
    "data without a SYN/ACK": (Outcome.ABANDONED, [], {"conn_state": "S0", "client_bytes": 9, "server_bytes": 0}),
    "dropped by the server": (Outcome.DROPPED, [HELLO], {"ended": S}),
    "dropped by a reset": (Outcome.DROPPED, [HELLO], {"ended": None, "reset_by": S, "reset_at": at(20)}),
    "left by the client": (Outcome.ABANDONED, [HELLO], {}),
    "login given up": (Outcome.ABANDONED, [HELLO, *login("abandoned")], {}),
    "capture ended first": (Outcome.UNSEEN, [HELLO], {"ended": None}),
    "answer not seen": (Outcome.UNSEEN, [HELLO, *login("unseen")], {}),
    "middle of something": (Outcome.UNSEEN, [Command(at(3), "A1", "NOOP", "")], MIDSTREAM),
    "another protocol": (Outcome.UNSEEN, [], {"server_port": 9999}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_outcome(name: str) -> None:
    outcome, events, changes = CASES[name]
    assert fold(*events, **changes).outcome is outcome


def test_each_outcome_has_a_case() -> None:
    assert {outcome for outcome, _, _ in CASES.values()} == set(Outcome)


def test_login_fields() -> None:
    session = fold(HELLO, AuthServer(at(3), "EXCH01"), *login("refused"))
    (found,) = session.logins
    assert (found.capture, found.session, found.at, found.decided) == ("test.pcap", "C1", at(5), at(7))
    assert (found.mechanism, found.account, found.domain, found.mailbox) == ("PLAIN", "joe", "CORP", "boss")
    assert (found.account_from, found.workstation, found.credential) == ("plain", None, Secret(b"s"))
    assert (found.outcome, found.status, found.text, found.auth_ms) == ("refused", "NO", "AUTHENTICATE failed.", 12.5)
    assert (found.client, found.server, found.server_port) == ("192.0.2.11", "198.51.100.10", 143)
    assert found.server_name == "EXCH01"
    assert (session.login, session.account, session.mechanism) == (found, "joe", "PLAIN")


@pytest.mark.parametrize("outcome", ["abandoned", "unseen"])
def test_an_undecided_login_has_no_reply(outcome: str) -> None:
    (found,) = fold(HELLO, *login(outcome)).logins
    assert (found.outcome, found.decided, found.text) == (LoginOutcome(outcome), None, None)


def test_an_end_without_a_beginning_still_makes_a_login() -> None:
    (found,) = fold(ended("refused"), **MIDSTREAM).logins
    assert (found.mechanism, found.account, found.account_from, found.at) == ("?", None, "none", at(7))


def test_the_mechanism_asked_for_stands_when_the_identity_tells_none() -> None:
    unknown = AuthIdentity(at(6), Identity("?", "joe"))
    (found,) = fold(HELLO, AuthStarted(at(5), "A1", "GSSAPI"), unknown, ended("accepted")).logins
    assert (found.mechanism, found.account) == ("GSSAPI", "joe")


def test_an_identity_belongs_to_one_attempt_only() -> None:
    second = [AuthStarted(at(8), "A2", "CRAM-MD5"), ended("refused", 9)]
    assert [x.account for x in fold(HELLO, *login("refused"), *second).logins] == ["joe", None]


def test_the_shown_account_is_the_last_that_was_offered() -> None:
    second = [AuthStarted(at(8), "A2", "CRAM-MD5"), ended("refused", 9)]
    assert fold(HELLO, *login("refused"), *second).account == "joe"


def test_open_from_the_reply_to_the_first_end_of_the_connection() -> None:
    session = fold(HELLO, *login("accepted"), reset_by=S, reset_at=at(12))
    assert (session.opened, session.closed, session.closed_by) == (at(7).ts, at(12).ts, "server")
    assert session.opened_before is False


CLOSERS = {
    "client fin": ({}, "client"),
    "server fin": ({"ended": S}, "server"),
    "server reset": ({"ended": None, "reset_by": S, "reset_at": at(9)}, "server"),
    "reset before fin": ({"reset_by": S, "reset_at": at(9)}, "server"),
    "reset after fin": ({"steps": 8, "reset_by": S, "reset_at": at(9)}, "client"),
    "both at once": ({"steps": 10, "reset_by": S, "reset_at": at(9)}, "client"),
    "nobody": ({"ended": None}, None),
}


@pytest.mark.parametrize("name", CLOSERS)
def test_who_closed(name: str) -> None:
    changes, closed_by = CLOSERS[name]
    session = fold(HELLO, *login("accepted"), **changes)
    assert session.closed_by == closed_by
    assert (session.closed is None) == (closed_by is None)


def test_never_open_is_never_closed() -> None:
    session = fold(HELLO, *login("refused"))
    assert (session.opened, session.closed, session.closed_by) == (None, None, "client")


def test_the_first_acceptance_opens() -> None:
    assert fold(HELLO, *login("accepted"), *login("accepted", 12)).opened == at(7).ts


@pytest.mark.parametrize(
    ("events", "changes", "before"),
    [
        ([reply("OK", "FETCH")], MIDSTREAM, True),
        ([reply("OK", "UID FETCH")], MIDSTREAM, True),
        ([reply("OK", "NOOP")], MIDSTREAM, True),
        ([reply("OK", "CAPABILITY")], MIDSTREAM, False),
        ([reply("NO", "SELECT")], MIDSTREAM, False),
        ([reply("OK", None)], MIDSTREAM, False),
        ([HELLO, reply("OK", "NOOP")], MIDSTREAM, False),
        ([reply("OK", "SELECT")], {}, False),
        ([*login("accepted"), reply("OK", "SELECT")], MIDSTREAM, False),
    ],
)
def test_open_before_the_capture(events: list[Event], changes: dict[str, object], before: bool) -> None:
    session = fold(*events, **changes)
    assert session.opened_before is before
    if before:
        assert session.opened == session.start


def test_complaints_tell_before_and_after_login() -> None:
    session = fold(HELLO, reply("BAD", "AUTHENTICATE", 3), *login("accepted"), reply("NO", step=9, code="INUSE"))
    assert [(c.verb, c.status, c.code, c.after_login) for c in session.complaints] == [
        ("AUTHENTICATE", "BAD", None, False),
        ("SELECT", "NO", "INUSE", True),
    ]


def test_complaints_are_limited() -> None:
    session = fold(HELLO, *login("accepted"), *[reply("NO", step=n) for n in range(9, 9 + COMPLAINTS_KEPT + 7)])
    assert (len(session.complaints), session.complaints_more) == (COMPLAINTS_KEPT, 7)


def test_logins_are_limited() -> None:
    session = fold(HELLO, *[event for n in range(LOGINS_KEPT + 5) for event in login("refused", 5 + 3 * n)])
    assert len(session.logins) == LOGINS_KEPT


def test_commands_count_from_the_login_on() -> None:
    before, after = Command(at(3), "A0", "CAPABILITY", ""), Command(at(9), "A2", "SELECT", "INBOX")
    session = fold(HELLO, before, *login("accepted"), after)
    assert (session.commands, session.last_verb) == (1, "SELECT")


def test_the_first_bye_is_kept() -> None:
    session = fold(HELLO, *login("accepted"), BYE, Closed(at(10), S, "again"))
    assert (session.bye, session.bye_at, session.logged_out) == ("Connection is closed. 13", at(9), False)


@pytest.mark.parametrize("event", [Closed(at(9), C, ""), Command(at(9), "A9", "LOGOUT", "")])
def test_logged_out(event: Event) -> None:
    assert fold(HELLO, *login("accepted"), event).logged_out


def test_greeting_capability_product_and_delay() -> None:
    session = fold(HELLO, Capability(at(3), ("IMAP4", "AUTH=NTLM")), Capability(at(8), ("IMAP4",)))
    assert (session.greeting, session.greeting_status, session.greeting_at) == (HELLO.text, "OK", at(2))
    assert (session.capability, session.product, session.greeting_ms) == (("IMAP4",), "exchange", 10.0)


def test_without_a_handshake_there_is_no_delay() -> None:
    assert fold(HELLO, **MIDSTREAM).greeting_ms is None


_TEXT = st.sampled_from(["", "words", "LOGIN failed."])
_EVENTS = st.one_of(
    st.builds(Greeting, st.just(at(2)), st.sampled_from(["OK", "PREAUTH", "BYE", "?"]), st.none(), _TEXT),
    st.builds(Command, st.just(at(3)), st.just("A1"), st.sampled_from(["LOGOUT", "SELECT", "?"]), _TEXT),
    st.builds(
        reply, st.sampled_from(["OK", "NO", "BAD", "BYE"]), st.sampled_from([None, "SELECT", "UID FETCH", "NOOP"])
    ),
    st.builds(ended, st.sampled_from(["accepted", "refused", "abandoned", "unseen"])),
    st.builds(TlsStarted, st.just(at(4)), implicit=st.booleans()),
    st.builds(Closed, st.just(at(9)), st.sampled_from(Side), _TEXT),
    st.sampled_from([AuthStarted(at(5), "A1", "NTLM"), AuthIdentity(at(6), JOE), AuthServer(at(6), "X"), HELLO]),
    st.sampled_from([Lost(at(3), C, 5), Malformed(at(3), S, "odd"), Capability(at(3), ("IMAP4",))]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_EVENTS, max_size=12), st.booleans(), st.sampled_from([None, C, S]))
def test_any_events_make_a_session_at_one_with_itself(events: list[Event], syn: bool, who: Side | None) -> None:
    session = fold(*events, syn=syn, ended=who)
    accepted = any(x.outcome is LoginOutcome.ACCEPTED for x in session.logins)
    if accepted:
        assert session.outcome is Outcome.ACCEPTED
        assert session.opened is not None
    if session.opened is None:
        assert session.closed is None
        assert session.outcome is not Outcome.ACCEPTED
    assert not (session.opened_before and session.logins and accepted)


def test_the_distance_of_server_and_reset_and_the_word_against_logins_are_kept() -> None:
    fold = Fold("test.pcap", connection(server_ttl=126, reset_ttl=64, packets=17, said_at=at(9)))
    for event in (Capability(at(3), ("IDLE",)), *(Capability(at(n), ("IDLE", "LOGINDISABLED")) for n in (5, 7))):
        fold.take(event)
    session = fold.session()
    assert (session.server_ttl, session.reset_ttl, session.packets) == (126, 64, 17)
    assert (session.login_disabled_at, session.said_at) == (at(5), at(9))


def test_a_distance_no_engine_told_is_unset() -> None:
    session = Fold("test.pcap", connection(server_ttl=0, reset_ttl=None)).session()
    assert (session.server_ttl, session.reset_ttl, session.login_disabled_at, session.said_at) == (None,) * 4
