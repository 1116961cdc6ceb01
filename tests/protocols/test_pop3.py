"""What POP3's transcripts cannot say: losses in bodies, bounds, speed against hostile octets."""

import time

import pytest

from analyzer.at import Side
from analyzer.protocols import Event, Pop3
from analyzer.protocols.events import AuthEnded, AuthIdentity, AuthStarted, Closed, Command, Greeting, Malformed, Reply
from analyzer.protocols.turns import ATTEMPTS_LIMIT, WAITING_LIMIT
from analyzer.secret import Secret
from tests import transcript
from tests.transcript import PLANTED, Step

LOGIN = ("S+OK ready\r\n", "CUSER joe\r\n", "S+OK\r\n", f"CPASS {PLANTED}\r\n")


def told(*steps: Step, complete: bool = True) -> list[Event]:
    return transcript.told(Pop3(), *steps, complete=complete)


def outcomes(events: list[Event]) -> list[str]:
    return [event.outcome for event in events if isinstance(event, AuthEnded)]


def replies(events: list[Event]) -> list[tuple[str | None, str]]:
    return [(event.verb, event.status) for event in events if isinstance(event, Reply)]


def test_a_login_begins_at_user_and_is_timed_from_pass() -> None:
    events = told(*LOGIN, "S-ERR [IN-USE] locked\r\n")
    (began,) = [event for event in events if isinstance(event, AuthStarted)]
    (ended,) = [event for event in events if isinstance(event, AuthEnded)]
    assert (began.at.frame, ended.at.frame, ended.auth_ms, ended.code) == (2, 5, 10.0, "IN-USE")


def test_the_password_is_the_rest_of_the_line() -> None:
    events = told("S+OK\r\n", "CUSER joe\r\n", "S+OK\r\n", "CPASS  a b \r\n", "S+OK\r\n")
    last = [event for event in events if isinstance(event, AuthIdentity)][-1]
    assert last.identity.credential == Secret(b" a b ")


def test_a_lost_verdict_leaves_the_login_unseen() -> None:
    assert outcomes(told(*LOGIN, ("S", 20), "CSTAT\r\n", "S+OK 0 0\r\n")) == ["unseen"]


def test_a_reply_after_a_loss_never_accepts_a_pipelined_login() -> None:
    events = told("S+OK ready\r\n", "CUSER joe\r\nPASS x\r\n", ("S", 5), "S+OK\r\n")
    assert outcomes(events) == ["unseen"]


def test_words_decide_after_a_loss() -> None:
    assert outcomes(told(*LOGIN, ("S", 5), "S+OK Logged in.\r\n")) == ["accepted"]


def test_a_capture_that_ends_leaves_the_login_unseen() -> None:
    assert outcomes(told(*LOGIN, complete=False)) == ["unseen"]
    assert outcomes(told(*LOGIN)) == ["abandoned"]


def test_a_second_user_ends_the_first() -> None:
    events = told("S+OK\r\n", "CUSER a\r\n", "S+OK\r\n", "CUSER b\r\n", "S+OK\r\n", "CPASS x\r\n", "S+OK\r\n")
    assert outcomes(events) == ["abandoned", "accepted"]


@pytest.mark.parametrize("command", ["RETR 1", "TOP 1 0", "LIST", "UIDL"])
def test_a_multi_line_reply_is_skipped_up_to_its_dot(command: str) -> None:
    body = "S+OK\r\n-ERR a mail\r\n+OK\r\n..\r\n.x\r\n.\r\n+OK later\r\n"
    events = told("S+OK ready\r\n", f"C{command}\r\nNOOP\r\n", body)
    assert replies(events) == [(command.split(maxsplit=1)[0], "+OK"), ("NOOP", "+OK")]


@pytest.mark.parametrize("command", ["LIST 1", "UIDL 1", "STAT", "DELE 1"])
def test_a_single_line_reply_is_not(command: str) -> None:
    events = told("S+OK ready\r\n", f"C{command}\r\n", "S+OK\r\n", "CNOOP\r\n", "S-ERR\r\n")
    assert replies(events) == [(command.split(maxsplit=1)[0], "+OK"), ("NOOP", "-ERR")]


def test_a_refused_retrieval_has_no_body() -> None:
    events = told("S+OK ready\r\n", "CRETR 9\r\n", "S-ERR no\r\n", "CNOOP\r\n", "S+OK\r\n")
    assert replies(events) == [("RETR", "-ERR"), ("NOOP", "+OK")]


def test_a_body_whose_end_is_lost_ends_at_the_next_command() -> None:
    events = told("S+OK ready\r\n", "CRETR 1\r\n", "S+OK\r\nabc\r\n", ("S", 50), "CNOOP\r\n", "S+OK x\r\n")
    assert replies(events) == [("RETR", "+OK"), ("NOOP", "+OK")]


def test_a_list_whose_end_is_lost_swallows_nothing() -> None:
    events = told("S+OK ready\r\n", "CCAPA\r\n", "S+OK\r\nUIDL\r\n", ("S", 5), "CNOOP\r\n", "S-ERR x\r\n")
    assert replies(events) == [("CAPA", "+OK"), ("NOOP", "-ERR")]


def test_a_first_reply_in_the_middle_is_no_greeting() -> None:
    for words in ("+OK 2 320", "+OK", "+OK message follows"):
        assert not [event for event in told(f"S{words}\r\n") if isinstance(event, Greeting)]


def test_hostile_amounts_are_bounded() -> None:
    pairs = 3 * WAITING_LIMIT
    many = "".join(f"USER u{n}\r\nPASS p{n}\r\n" for n in range(pairs))
    events = told("S+OK ready\r\n", "C" + many)
    assert len(outcomes(events)) == sum(isinstance(event, AuthStarted) for event in events) == pairs
    assert ATTEMPTS_LIMIT < WAITING_LIMIT
    capabilities = told("S+OK\r\n", "CCAPA\r\n", "S+OK\r\n" + "SASL A B C\r\n" * 5000 + ".\r\n")
    assert max(len(repr(event)) for event in capabilities) < 10_000


def test_nonsense_is_told_once() -> None:
    events = told("C\0\0\r\n" * 5, "S????\r\n")
    assert sum(isinstance(event, Malformed) for event in events) == 1


def test_quit_closes() -> None:
    assert [event.by for event in told("S+OK\r\n", "CQUIT\r\n") if isinstance(event, Closed)] == [Side.CLIENT]


def test_arguments_shown_are_short_and_clean() -> None:
    (command,) = [event for event in told("S+OK\r\n", b"CRETR \x1b[31m" + b"1" * 5000) if isinstance(event, Command)]
    assert len(command.args) <= 200
    assert "\x1b" not in command.args


@pytest.mark.parametrize("line", [b"C" + b"x" * 100, b"S+OK 1\r\n", b"S\r\n", b"CRETR 1\r\n", b"S.\r", b"S\r\n."])
def test_time_is_linear(line: bytes) -> None:
    began = time.process_time()
    told(*[line] * 10_000)
    assert time.process_time() - began < 3
