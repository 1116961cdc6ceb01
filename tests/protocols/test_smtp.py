"""What SMTP's transcripts cannot say: losses in messages, bounds, speed against hostile octets."""

import time

import pytest

from analyzer.at import Side
from analyzer.protocols import Event, Smtp
from analyzer.protocols.events import AuthEnded, AuthStarted, Capability, Closed, Greeting, Malformed, Reply, TlsStarted
from analyzer.protocols.turns import WAITING_LIMIT
from tests import transcript
from tests.transcript import Step

READY = ("S220 mail ESMTP\r\n", "CEHLO a\r\n", "S250 AUTH PLAIN\r\n")
PLAIN = "CAUTH PLAIN AGpvZQB4\r\n"  # joe, x
DATA = (*READY, "CDATA\r\n", "S354 go\r\n")


def told(*steps: Step, complete: bool = True) -> list[Event]:
    return transcript.told(Smtp(), *steps, complete=complete)


def outcomes(events: list[Event]) -> list[str]:
    return [event.outcome for event in events if isinstance(event, AuthEnded)]


def replies(events: list[Event]) -> list[tuple[str | None, str]]:
    return [(event.verb, event.status) for event in events if isinstance(event, Reply)]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("235 ok", "accepted"),
        ("535 no", "refused"),
        ("454 later", "refused"),
        ("501 bad", "refused"),
        ("504", "refused"),
    ],
)
def test_a_reply_decides_a_login(reply: str, outcome: str) -> None:
    events = told(*READY, PLAIN, f"S{reply}\r\n")
    (ended,) = [event for event in events if isinstance(event, AuthEnded)]
    assert (ended.outcome, ended.status, ended.auth_ms) == (outcome, reply[:3], 10.0)


def test_a_lost_verdict_leaves_the_login_unseen() -> None:
    assert outcomes(told(*READY, PLAIN, ("S", 20), "CMAIL FROM:<a@b>\r\n", "S250 ok\r\n")) == ["unseen"]


def test_a_capture_that_ends_leaves_the_login_unseen() -> None:
    assert outcomes(told(*READY, PLAIN, complete=False)) == ["unseen"]
    assert outcomes(told(*READY, PLAIN)) == ["abandoned"]


@pytest.mark.parametrize("cut", range(1, 6))
def test_the_end_of_a_message_may_be_split(cut: int) -> None:
    end = "x\r\n.\r\n"
    events = told(*DATA, "Cx\r\n.\r", "C" + end[:cut], "C" + end[cut:] + "QUIT\r\n", "S250 ok\r\n", "S221 bye\r\n")
    assert replies(events)[1:] == [("DATA", "250"), ("QUIT", "221")]


def test_an_empty_message_ends_at_once() -> None:
    assert replies(told(*DATA, "C.\r\nRSET\r\n", "S250 a\r\n250 b\r\n"))[1:] == [("DATA", "250"), ("RSET", "250")]


def test_a_message_whose_end_is_lost_ends_at_its_reply() -> None:
    events = told(*DATA, "Cabc\r\n", ("C", 99), "S250 ok\r\n", "CQUIT\r\n", "S221 bye\r\n")
    assert replies(events)[-1] == ("QUIT", "221")


def test_a_chunk_is_skipped_by_count_across_a_loss() -> None:
    events = told(*READY, "CBDAT 10 LAST\r\nQUIT\r\n", ("C", 4), "CQUIT\r\n", "S250 ok\r\n", "S221 bye\r\n")
    assert replies(events)[1:] == [("BDAT", "250"), ("QUIT", "221")]
    assert sum(isinstance(event, Closed) for event in events) == 1


def test_quit_in_an_exchange_is_a_command_when_nothing_was_asked() -> None:
    events = told(*READY, "CAUTH PLAIN\r\n", ("S", 9), "CQUIT\r\n", "S221 bye\r\n")
    assert Closed in {type(event) for event in events}
    assert outcomes(events) == ["unseen"]


def test_a_cut_reply_is_no_answer_to_what_came_later() -> None:
    assert outcomes(told("S220 m\r\n", "CEHLO a\r\n", "S250", PLAIN, ("S", 30), "S250 y\r\n")) == ["unseen"]


def test_an_exim_greeting_of_many_lines_is_one() -> None:
    (greeting,) = [e for e in told("S220-a\r\n220-b\r\n220 c\r\n") if isinstance(e, Greeting)]
    assert greeting.text == "a b c"


def test_a_421_closes_wherever_it_comes() -> None:
    events = told(*READY, "S421 4.4.2 timeout\r\n")
    assert [event.by for event in events if isinstance(event, Closed)] == [Side.SERVER]
    assert replies(events)[-1] == (None, "421")


def test_tls_may_begin_before_its_leave_is_seen() -> None:
    events = told(*READY, "CSTARTTLS\r\n", ("S", 10), b"C\x16\x03", b"C\x01\x00")
    assert [event.implicit for event in events if isinstance(event, TlsStarted)] == [False]


def test_all_recipients_of_a_message_are_paired() -> None:
    count = 1000
    events = told(*READY, "C" + "RCPT TO:<a@b>\r\n" * count, "S250 ok\r\n" * (count - 1) + "452 full\r\n")
    assert count < WAITING_LIMIT
    assert replies(events)[-1] == ("RCPT", "452")


def test_hostile_amounts_are_bounded() -> None:
    events = told(*READY, "C" + "AUTH NTLM\r\n" * 5000)
    assert len(outcomes(events)) == sum(isinstance(event, AuthStarted) for event in events) == 5000
    wide = told("S220 a\r\n", "CEHLO a\r\n", "S" + "250-AUTH A B C\r\n250-X\r\n" * 5000 + "250 END\r\n")
    (words,) = [event.words for event in wide if isinstance(event, Capability)]
    assert words == ("X", "AUTH=A", "AUTH=B", "AUTH=C")
    assert max(len(repr(event)) for event in wide) < 2000


def test_nonsense_is_told_once() -> None:
    assert sum(isinstance(event, Malformed) for event in told("S????\r\n" * 5, "C\0\r\n" * 5)) == 1


@pytest.mark.parametrize(
    "line", [b"C" + b"x" * 100, b"S250-a\r\n", b"S250 a\r\n", b"CDATA\r\n", b"C.\r", b"CBDAT 3\r\n"]
)
def test_time_is_linear(line: bytes) -> None:
    began = time.process_time()
    told("S220 a\r\n", *[line] * 10_000)
    assert time.process_time() - began < 3
