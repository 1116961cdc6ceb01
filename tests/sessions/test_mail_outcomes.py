"""POP3 and SMTP conversations -> the one word that says how the session went."""

import pytest

from analyzer.sessions.session import Outcome, Session
from tests.sessions.dialogue import C, S, connection, converse
from tests.transcript import load, load_all

OUTCOMES = {
    "pop3/user_pass": Outcome.ACCEPTED,
    "pop3/wrong_password": Outcome.ACCEPTED,
    "pop3/dovecot_limit": Outcome.REFUSED,
    "pop3/exchange_user_refused": Outcome.REFUSED,
    "pop3/exchange_full": Outcome.REFUSED_AT_GREETING,
    "pop3/stls": Outcome.OPAQUE,
    "pop3/implicit_tls": Outcome.OPAQUE,
    "smtp/plain_accepted": Outcome.ACCEPTED,
    "smtp/login_refused": Outcome.REFUSED,
    "smtp/greeting_421": Outcome.REFUSED_AT_GREETING,
    "smtp/greeting_554": Outcome.REFUSED_AT_GREETING,
    "smtp/pipelining": Outcome.ACCEPTED,
    "smtp/bdat": Outcome.ACCEPTED,
    "smtp/starttls": Outcome.OPAQUE,
    "smtp/implicit_tls": Outcome.OPAQUE,
    "smtp/verdict_unseen": Outcome.ABANDONED,
}
PORTS = {"pop3": 110, "smtp": 25}


def played(name: str, **changes: object) -> Session:
    protocol = name.partition("/")[0]
    port = {"pop3": 995, "smtp": 465}[protocol] if "implicit" in name else PORTS[protocol]
    return converse(load(name).steps, connection(**{"server_port": port} | changes))


@pytest.mark.parametrize(("name", "outcome"), OUTCOMES.items())
def test_outcome(name: str, outcome: Outcome) -> None:
    session = played(name)
    assert (session.protocol, session.outcome) == (name.partition("/")[0], outcome)


@pytest.mark.parametrize("protocol", PORTS)
def test_logins_are_those_of_the_transcripts(protocol: str) -> None:
    for transcript in load_all(protocol):
        session = played(f"{protocol}/{transcript.name}")
        found = [(x.mechanism, x.account, str(x.outcome)) for x in session.logins]
        expected = [
            (x["mechanism"], x.get("account", found[n][1]), x["outcome"]) for n, x in enumerate(transcript.logins)
        ]
        assert found == expected, transcript.name


def test_mail_without_a_login_opens_no_mailbox() -> None:
    session = played("smtp/pipelining")
    assert (session.opened, session.logins, session.logged_out) == (None, (), True)


def test_a_refusal_after_login_is_a_complaint() -> None:
    session = played("pop3/user_pass")
    assert [(c.verb, c.status, c.after_login) for c in session.complaints] == [("DELE", "-ERR", True)]
    assert session.opened is not None


def test_a_rate_limit_is_a_complaint_and_a_goodbye() -> None:
    session = played("smtp/rate_421")
    assert [(c.verb, c.status, c.code) for c in session.complaints] == [("MAIL", "421", "4.4.2")]
    assert session.bye == "Message submission rate for this client has exceeded the configured limit"


def test_welcomed_and_left_is_accepted_unless_something_was_refused() -> None:
    hello = [(S, b"220 mail ESMTP\r\n"), (C, b"EHLO a\r\n"), (S, b"250 mail\r\n")]
    leave = [(C, b"QUIT\r\n"), (S, b"221 bye\r\n")]
    refused = [(C, b"MAIL FROM:<a@b>\r\n"), (S, b"530 5.7.1 Not authenticated\r\n")]
    smtp = connection(server_port=25)
    assert converse([*hello, *leave], smtp).outcome is Outcome.ACCEPTED
    assert converse([*hello, *refused, *leave], smtp).outcome is not Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("steps", "port", "protocol"),
    [
        ([(C, b"EHLO a\r\n")], 25, "smtp"),
        ([(C, b"USER joe\r\n")], 110, "pop3"),
        ([(S, b"250 2.1.0 ok\r\n")], 25, "smtp"),
        ([(C, b"EHLO a\r\n")], 4711, None),
        ([(C, b"GET / HTTP/1.1\r\nHost: a.example\r\n"), (S, b"HTTP/1.1 200 OK\r\nServer: a/1.0\r\n")], 25, None),
        (
            [
                (C, b"CONNECT mail.example:25 HTTP/1.0\r\n\r\n"),
                (S, b"HTTP/1.0 200 Connection established\r\n\r\n"),
                (S, b"220 mail ESMTP\r\n"),
                (C, b"HELO a\r\n"),
            ],
            8080,
            "smtp",
        ),
        ([(C, b"\x05\x01\x00"), (S, b"\x05\x00"), (S, b"+OK POP3 ready\r\n")], 1080, "pop3"),
        ([(C, b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 25\r\n"), (S, b"220 mail ESMTP\r\n")], 25, "smtp"),
    ],
)
def test_the_first_octets_name_the_protocol(steps: list[tuple[object, bytes]], port: int, protocol: str | None) -> None:
    session = converse(steps, connection(server_port=port))
    assert session.protocol == protocol
    greets = any(octets.startswith((b"220", b"+OK")) for _, octets in steps)
    assert (session.greeting is not None) == greets
