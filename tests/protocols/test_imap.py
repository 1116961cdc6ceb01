"""What transcripts cannot say: losses, snap lengths, bounds, speed against hostile octets."""

import time
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.at import At, Side
from analyzer.protocols import Event, Imap
from analyzer.protocols.events import (
    AuthEnded,
    AuthIdentity,
    AuthStarted,
    Closed,
    Command,
    Greeting,
    Lost,
    Malformed,
    Reply,
    TlsStarted,
)
from analyzer.protocols.imap import WAITING_LIMIT
from analyzer.secret import Secret
from tests import transcript
from tests.transcript import PLANTED, Step, ntlm_authenticate

READY = "S* OK ready\r\n"


def told(*steps: Step, complete: bool = True, close: bool = True) -> list[Event]:
    return transcript.told(Imap(), *steps, complete=complete, close=close)


def pick(events: list[Event], kind: type) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


def outcomes(*steps: Step, complete: bool = True) -> list[str]:
    return [event.outcome for event in pick(told(*steps, complete=complete), AuthEnded)]


def identity(*steps: Step) -> AuthIdentity:
    return pick(told(*steps), AuthIdentity)[-1]


def test_times_and_frames() -> None:
    events = told(READY, "CA1 LOGIN jo", "Ce x\r\n", "SA1 NO LOG", "SIN failed.\r\n")
    assert pick(events, Command)[0].at.frame == 2
    assert pick(events, AuthStarted)[0].at.frame == 2
    assert pick(events, AuthIdentity)[0].at.frame == 3
    (ended,) = pick(events, AuthEnded)
    assert (ended.at.frame, ended.auth_ms) == (5, 20.0)
    (reply,) = pick(told(READY, "CA1 IDLE\r\n", "S+ idling\r\n", "CDONE\r\n", "SA1 OK done\r\n"), Reply)
    assert (reply.began, reply.at.frame) == (At(4, 40_000_000), 5)


def test_same_password_is_the_same_secret_in_every_mechanism() -> None:
    expected = Secret(b"pass word")
    plain = b64encode(b"\0joe\0pass word").decode()
    asked = [
        (READY, 'CA1 LOGIN joe "pass word"\r\n'),
        (READY, "CA1 LOGIN joe {9+}\r\npass word\r\n"),
        (READY, f"CA1 AUTHENTICATE PLAIN {plain}\r\n"),
        (READY, "CA1 AUTHENTICATE LOGIN\r\n", "S+\r\n", "Cam9l\r\n", "S+\r\n", "CcGFzcyB3b3Jk\r\n"),
    ]
    assert {identity(*steps).identity.credential for steps in asked} == {expected}


# snap length and gaps in the client's direction: what is there is used, the tagged reply decides


def test_cut_plain_shows_the_account() -> None:
    blob = b64encode(f"\0CORP\\joe.the.agent\0{PLANTED * 4}".encode()).decode()
    steps = (
        READY,
        "CA1 AUTHENTICATE PLAIN\r\n",
        "S+\r\n",
        "C" + blob[:42],
        ("C", len(blob) - 40),
        "SA1 NO failed.\r\n",
    )
    found = identity(*steps)
    assert (found.identity.account, found.identity.domain, found.complete) == ("joe.the.agent", "CORP", False)
    assert found.identity.credential is None
    assert outcomes(*steps) == ["refused"]


def test_cut_that_is_told_too_late() -> None:
    blob = b64encode(f"\0joe.the.agent.of.corp\0{PLANTED * 4}".encode()).decode()
    steps = (READY, "CA1 AUTHENTICATE PLAIN\r\n", "S+\r\n", "C" + blob[:42], "SA1 NO AUTHENTICATE failed.\r\n")
    assert identity(*steps).identity.account == "joe.the.agent.of.corp"
    assert outcomes(*steps, ("C", 50), "CA2 NOOP\r\n", "SA2 OK\r\n") == ["refused"]
    # and when the rest comes after all, it is the rest of that line
    assert told(*steps, "Ctail of it\r\n")[:-1] == told(*steps)[:-1]


@pytest.mark.parametrize(
    ("line", "account"),
    [
        ("A1 LOGIN joe Pl4nt", "joe"),
        ('A1 LOGIN "CORP\\\\joe" "Pl4nt', "joe"),
        ("A1 LOGIN joe ", "joe"),
        ("A1 LOGIN {3+}\r\njoe {14+}\r\nPl4nt", "joe"),
        # half an account would be another account
        ("A1 LOGIN jo", None),
        ('A1 LOGIN "jo', None),
        ("A1 LOGIN {3+}\r\njo", None),
    ],
)
def test_cut_login(line: str, account: str | None) -> None:
    missing = 30 if "{" not in line else 60
    steps = (READY, "C" + line, ("C", missing), "SA1 NO LOGIN failed.\r\n")
    found = pick(told(*steps), AuthIdentity)
    assert [(x.identity.account, x.identity.credential, x.complete) for x in found] == (
        [(account, None, False)] if account else []
    )
    assert outcomes(*steps) == ["refused"]


def test_gap_inside_the_password_literal() -> None:
    steps = (READY, "CA1 LOGIN joe {14+}\r\nPl4n", ("C", 5), "CecretXXXXX\r\n"[:6] + "\r\n", "SA1 NO LOGIN failed.\r\n")
    assert (identity(*steps).identity.account, identity(*steps).complete) == ("joe", False)


def test_cut_ntlm() -> None:
    message = ntlm_authenticate("CORP", "agent", "PC7")
    blob = b64encode(message).decode()
    keep = len(b64encode(message[: 72 + 8 + 10]))  # domain and user, which come first
    steps = (READY, "CA1 AUTHENTICATE NTLM\r\n", "S+\r\n", "C" + blob[:keep], ("C", len(blob)), "SA1 NO failed\r\n")
    found = identity(*steps).identity
    assert (found.account, found.domain, found.workstation) == ("agent", "CORP", None)


def test_ntlm_after_a_gap_is_still_known() -> None:
    blob = b64encode(ntlm_authenticate("CORP", "agent", "PC7")).decode()
    steps = (READY, "CA1 AUTHENTICATE NTLM\r\n", "S+\r\n", ("C", 58), "S+ TlRM\r\n", f"C{blob}\r\n", "SA1 OK done\r\n")
    assert identity(*steps).identity.account == "agent"
    assert outcomes(*steps) == ["accepted"]


def test_sasl_login_after_a_gap_takes_no_password_for_an_account() -> None:
    secret = b64encode(PLANTED.encode()).decode()
    # the line end was lost, so the name's line may be the rest of a line and is dropped: the next one is not the name
    gap = (READY, "CA1 AUTHENTICATE LOGIN", ("C", 2), "S+\r\n", "Cam9l\r\n")
    steps = (*gap, "S+\r\n", f"C{secret}\r\n", "SA1 NO failed\r\n")
    assert pick(told(*steps), AuthIdentity) == []
    assert outcomes(*steps) == ["refused"]


@pytest.mark.parametrize(
    "words",
    [
        "NO The AUTH protocol exchange was canceled by the client.",
        "BAD Client canceled authentication",
        "BAD AUTHENTICATE aborted",
    ],
)
def test_cancel_that_was_not_seen(words: str) -> None:
    assert outcomes(READY, "CA1 AUTHENTICATE NTLM\r\n", "S+\r\n", ("C", 3), f"SA1 {words}\r\n") == ["abandoned"]
    assert outcomes(READY, "S+\r\n", f"SA1 {words}\r\n") == ["abandoned"][: words.startswith("NO")]


def test_tag_that_lost_its_start() -> None:
    steps = (READY, ("C", 1), "C1 LOGIN joe x\r\n", "SA1 NO LOGIN failed.\r\n")
    assert outcomes(*steps) == ["refused"]
    assert identity(*steps).identity.account == "joe"


# gaps in the server's direction


def test_lost_verdict_is_unseen_once_it_is_over() -> None:
    login = (READY, "CA1 LOGIN joe x\r\n", ("S", 22))
    assert outcomes(*login) == ["unseen"]
    assert outcomes(*login, "CA2 NOOP\r\n", "SA2 OK done\r\n", complete=False) == ["unseen"]
    assert outcomes(*login, "CA2 LOGIN joe y\r\n", "SA2 OK LOGIN completed.\r\n") == ["unseen", "accepted"]
    assert outcomes(*login, "SA1 NO LOGIN failed.\r\n") == ["refused"]


def test_lost_verdict_of_an_exchange() -> None:
    steps = (READY, "CA1 AUTHENTICATE PLAIN AGoAeA==\r\n", ("S", 28), "CA2 SELECT INBOX\r\n", "SA2 OK done\r\n")
    assert outcomes(*steps) == ["unseen"]
    assert [command.verb for command in pick(told(*steps), Command)] == ["AUTHENTICATE", "SELECT"]


def test_undecided_login_at_the_end() -> None:
    login = (READY, "CA1 LOGIN joe x\r\n")
    assert outcomes(*login) == ["abandoned"]
    assert outcomes(*login, complete=False) == ["unseen"]
    assert outcomes("CA1 LOGIN joe x\r\n") == ["unseen"]
    assert outcomes(*login, "S* BYE gone\r\n", complete=False) == ["abandoned"]
    (ended,) = pick(told(*login, "S* BYE [UNAVAILABLE] gone\r\n"), AuthEnded)
    assert (ended.at.frame, ended.status, ended.code, ended.text) == (3, "BYE", "UNAVAILABLE", "gone")


def test_cut_replies_still_decide() -> None:
    login = (READY, "CA1 LOGIN joe x\r\n")
    (ended,) = pick(told(*login, "SA1 NO [LIMIT] Maximum number", ("S", 40)), AuthEnded)
    assert (ended.outcome, ended.code, ended.text) == ("refused", "LIMIT", "Maximum number")
    assert outcomes(*login, "SA1 NO LOGIN fai") == ["refused"]
    assert outcomes(*login, "SA1 N", ("S", 40)) == ["unseen"]
    (greeting,) = pick(told("S* OK The Microsoft Exch", ("S", 30)), Greeting)
    assert greeting.text == "The Microsoft Exch"


def test_gap_is_told() -> None:
    assert pick(told(READY, ("S", 22), ("C", 0)), Lost) == [Lost(At(2, 20_000_000), Side.SERVER, 22)]


def test_a_mail_is_no_login() -> None:
    """Octets lost with the head of a literal: the mail's lines are read as replies, and must not decide a login."""
    mail = "Sline\r\nA1 OK LOGIN completed.\r\nA9 OK LOGIN completed.\r\n"
    login = (READY, "CA1 LOGIN joe x\r\n", "SA1 NO LOGIN failed.\r\n", "CA2 FETCH 1 BODY[]\r\n")
    assert outcomes(*login, ("S", 60), mail) == ["refused"]


# replies whose command was not seen


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("A1 NO AUTHENTICATE failed.", "refused"),
        ("A1 NO LOGIN failed.", "refused"),
        ("A1 NO [AUTHENTICATIONFAILED] no", "refused"),
        ("A1 NO [LIMIT] Maximum number of connections from user+IP exceeded", "refused"),
        ("A1 OK LOGIN completed.", "accepted"),
        ("A1 OK AUTHENTICATE completed.", "accepted"),
        ("A1 OK [CAPABILITY IMAP4rev1] Logged in", "accepted"),
        ("A1 OK SELECT completed.", None),
        ("A1 NO Server Unavailable. 15", None),
    ],
)
def test_reply_to_an_unseen_command(reply: str, outcome: str | None) -> None:
    assert outcomes(f"S{reply}\r\n") == ([outcome] if outcome else [])
    assert outcomes(READY, "CA0 NOOP\r\n", "SA0 OK done\r\n", f"S{reply}\r\n") == []


def test_one_direction_bare_plus_then_no() -> None:
    assert outcomes(READY, "S+\r\n", "SA1 NO sorry\r\n") == ["refused"]
    assert outcomes(READY, "S+ Ready for literal data\r\n", "SA1 NO too big\r\n") == []


# what opens a connection


@pytest.mark.parametrize("octets", [b"\x16\x03\x01\x02\x00\x01", b"\x17\x03\x03\x00\x20"])
@pytest.mark.parametrize("side", [b"C", b"S"])
def test_tls_from_the_start(octets: bytes, side: bytes) -> None:
    secret = f"CA1 LOGIN joe {PLANTED}\r\n"
    for pieces in ([side + octets], [side + octets[i : i + 1] for i in range(len(octets))]):
        events = told(*pieces, secret)
        assert [(type(x), x.implicit) for x in events] == [(TlsStarted, True)]


def test_tls_after_a_lost_starttls_reply() -> None:
    steps = (READY, "CA1 STARTTLS\r\n", ("S", 40), b"C\x16\x03\x01\x00\xf0\x01", b"S\x16\x03\x03")
    assert [x.implicit for x in pick(told(*steps), TlsStarted)] == [False]


def test_no_tls_for_other_octets() -> None:
    assert pick(told(b"S\x16\x09\x01\r\n* OK\r\n", "CA1 NOOP\r\n"), TlsStarted) == []


@pytest.mark.parametrize("line", ["* OK [UIDVALIDITY 3] ok", "* OK Still here", "* 5 EXISTS", "A1 OK done"])
def test_start_in_the_middle_is_no_greeting(line: str) -> None:
    assert pick(told(f"S{line}\r\n"), Greeting) == []


def test_bye_of_a_running_session_is_no_greeting() -> None:
    events = told("CA1 NOOP\r\n", "S* BYE Connection is closed. 13\r\n")
    assert pick(events, Greeting) == []
    assert [x.text for x in pick(events, Closed)] == ["Connection is closed. 13"]


def test_greeting_after_a_hasty_client() -> None:
    assert len(pick(told("CA1 LOGIN joe x\r\n", READY, "SA1 NO LOGIN failed.\r\n"), Greeting)) == 1


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        ("A1 AUTHENT", ["refused"]),
        ("A1 AUTHENTICATE", ["refused"]),
        ("A1 AUTH", ["refused"]),
        ("A1 LOGIN u", ["refused"]),
        ("A1 AUT", []),
        ("A1 AUTHORS", []),
        ("A1 AUTHENTIK", []),
        ("A1 SELECT ", []),
    ],
)
def test_what_a_short_snap_length_leaves(command: str, outcome: list[str]) -> None:
    """64 octets hold ten of what was said: the beginning of each line, the rest is told as lost."""
    steps: list[Step] = [
        "S* OK The M",
        ("S", 30),
        f"C{command}",
        ("C", 12),
        "S+ \r\n",
        "SA1 NO AUTH",
        ("S", 20),
    ]
    assert outcomes(*steps) == outcome


@pytest.mark.parametrize("command", ["A1 AUTHENT\r\n", "A1 AUTHENT ICATE\r\n"])
def test_a_whole_line_is_no_cut_authenticate(command: str) -> None:
    assert pick(told(READY, f"C{command}", "SA1 NO AUTHENT failed\r\n"), AuthStarted) == []


# bounds


def test_commands_waiting_are_bounded() -> None:
    count = WAITING_LIMIT + 10
    steps = [READY, *(f"CA{n} LOGIN joe x\r\n" for n in range(count))]
    assert outcomes(*steps) == ["unseen"] * 10 + ["abandoned"] * WAITING_LIMIT


def test_malformed_is_said_once() -> None:
    events = told(*[f"C{'z' * 9}\r\n" for _ in range(50)], *[b"S\xff\xfe\r\n" for _ in range(50)])
    assert len(events) == len(pick(events, Malformed)) == 1


def test_overlong_line_is_said() -> None:
    assert [x.why for x in pick(told(READY, "S* 1 FETCH " + "x" * 70_000 + "\r\n"), Malformed)] == ["line too long"]


HOSTILE = (
    b"* OK x\r\n", b"A1 LOGIN a b\r\n", b"A1 AUTHENTICATE NTLM\r\n", b"+\r\n", b"+ TlRMTVNTUAACAAAA\r\n", b"A1 NO x\r\n",
    b"TlRMTVNTUAADAAAA//8AAP////8=\r\n", b"*\r\n", b"A1 STARTTLS\r\n", b"A1 BAD \xff\r\n", b"* BYE\r\n", b"A1 LOGIN {3}\r\n",
    b"YIIBIwYGKwYBBQUC\r\n", b"DONE\r\n", b"A1 IDLE\r\n", b"{4}\r\n", b"\x16\x03",
)  # fmt: skip
hostile = st.one_of(st.binary(max_size=40), st.sampled_from(HOSTILE))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(Side), st.one_of(hostile, st.integers(-1, 50))), max_size=25), st.booleans())
def test_anything_goes(steps: list[tuple[Side, bytes | int]], complete: bool) -> None:
    parser, events = Imap(), []
    for number, (side, step) in enumerate(steps):
        at = At(number, number)
        events += parser.feed(side, step, at) if isinstance(step, bytes) else parser.lost(side, step, at)
    events += parser.close(At(99, 99), complete=complete)
    events += parser.close(At(99, 99))
    assert len(pick(events, AuthStarted)) == len(pick(events, AuthEnded))


@pytest.mark.parametrize(
    "octets",
    [
        b"x",
        b"\n",
        b"A1 LOGIN {0}\r\n",
        b"* OK [",
        b"A1 NO [A ",
        b'"\\',
        b"A1 LOGIN a b\r\n",
        b"AAAA\r\n",
        b"* CAPABILITY A ",
    ],
)
@pytest.mark.parametrize("side", Side)
def test_time_is_linear(octets: bytes, side: Side) -> None:
    def cost(size: int) -> float:
        data, parser = octets * (size // len(octets)), Imap()
        list(parser.feed(Side.SERVER, b"* OK x\r\n", At(0, 0)))
        start = time.process_time()
        for i in range(0, len(data), 500):
            list(parser.feed(side, data[i : i + 500], At(1, 1)))
        list(parser.close(At(2, 2)))
        return time.process_time() - start

    small = min(cost(12_000) for _ in range(3))
    # eight times the octets: 8 when linear, 64 when quadratic; the rest is the machine's noise
    assert min(cost(96_000) for _ in range(2)) < 24 * small + 0.02
