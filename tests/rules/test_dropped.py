"""Dovecot drops newcomers for whom no process is free in a way of its own; its look-alikes are suspected only."""

from typing import Any

import pytest

from analyzer.rules import Scene, judge
from analyzer.sessions.session import LoginOutcome, Outcome, Session
from tests.records import login, session

MUTE: dict[str, Any] = {"greeting": None, "greeting_status": None, "greeting_at": None, "greeting_ms": None}
LIKELY, SUSPECTED = "likely", "suspected"


def mute(n: int, at_s: float, until_s: float, *, gave_up_s: float | None = None, **changes: Any) -> Session:
    """A newcomer that was never greeted; dropped by the server, at last, or when its client had given up already."""
    given = MUTE | {"outcome": Outcome.ABANDONED, "server_bytes": 0, "logins": (), "client": f"192.0.2.{n}"}
    given |= {"product": None, "closed_by": "server", "fin_by": "server", "history": "Shf"}
    if gave_up_s is not None:
        given |= {"closed_by": "client", "fin_by": "client", "history": "ShFf", "lasts_s": gave_up_s - at_s}
        given |= {"capture_ends_s": until_s}
    s = session(f"C{n}", at_s=at_s, frame=100 * n, **({"lasts_s": until_s - at_s} | given | changes))
    ended = s.end_at._replace(ts=s.start + round((until_s - at_s) * 1e9))
    return s._replace(end=ended.ts, end_at=ended)


def unanswered(n: int, at_s: float, lasts_s: float, **changes: Any) -> Session:
    """A login without an answer; ``lasts_s`` counts from its credentials."""
    asked = login(f"C{n}", at_s=at_s, frame=100 * n, outcome=LoginOutcome.ABANDONED)
    given = {"outcome": Outcome.DROPPED, "opened": None, "closed": None, "closed_by": "server", "product": "dovecot"}
    return session(f"C{n}", at_s=at_s - 0.1, lasts_s=lasts_s + 0.1, frame=100 * n, logins=(asked,), **(given | changes))


def greeted(n: int, at_s: float, product: str = "dovecot") -> Session:
    return session(f"C{n}", at_s=at_s, lasts_s=None, frame=100 * n, product=product)


def verdict(*found: Session) -> str | None:
    """The word on a full server, as the silence is judged."""
    words = [f.verdict.value for f in judge(Scene(found)) if f.cause == "server_connection_limit"]
    return words[0] if words else None


def test_dropped_together_after_ten_seconds_is_a_full_dovecot() -> None:
    assert verdict(mute(1, 5.0, 15.01), mute(2, 9.0, 15.012), greeted(3, 40.0)) == LIKELY


def test_the_end_counts_that_the_server_made_when_the_client_had_long_gone() -> None:
    story = [mute(1, 5.0, 15.01, gave_up_s=11.0), mute(2, 5.2, 15.01, gave_up_s=11.2), greeted(3, 40.0)]
    assert verdict(*story) == LIKELY


@pytest.mark.parametrize(
    ("why", "story"),
    [
        ("another product", [mute(1, 5.0, 15.01), mute(2, 9.0, 15.012), greeted(3, 40.0, "cyrus")]),
        ("unknown product", [mute(1, 5.0, 15.01), mute(2, 9.0, 15.012)]),
        ("timers of their own", [mute(1, 5.0, 15.0), mute(2, 9.0, 19.0), greeted(3, 40.0)]),
        ("one alone", [mute(1, 5.0, 15.01), greeted(3, 40.0)]),
        ("two that came together", [mute(1, 5.0, 15.0), mute(2, 5.02, 15.01), greeted(3, 40.0)]),
        ("another time", [mute(1, 5.0, 17.0), mute(2, 9.0, 17.0), greeted(3, 40.0)]),
        (
            "the clients gave up together",
            [
                mute(1, 5.0, 15.0, gave_up_s=14.999),
                mute(2, 9.0, 15.0, gave_up_s=14.999),
                greeted(3, 40.0),
            ],
        ),
    ],
)
def test_what_only_looks_like_it_stays_suspected(why: str, story: list[Session]) -> None:
    assert verdict(*story) in {SUSPECTED, None}, why


def at_once(*starts: float) -> list[Session]:
    return [unanswered(20 + i, at, 0.001) for i, at in enumerate(starts)]


def test_waits_first_and_then_cut_off_at_once_is_a_full_pool_of_mail_processes() -> None:
    assert verdict(unanswered(1, 5.0, 6.0), *at_once(20.0, 24.0, 28.0)) == LIKELY


@pytest.mark.parametrize(
    ("why", "story"),
    [
        ("cut off from the start, as by a process that crashes", at_once(5.0, 9.0, 13.0, 17.0, 21.0)),
        ("two are no habit", [unanswered(1, 5.0, 6.0), *at_once(20.0, 24.0)]),
        (
            "waits again, as for a process that dies as it starts",
            [unanswered(1, 5.0, 6.0), *at_once(20.0, 24.0, 28.0), unanswered(2, 30.0, 6.0)],
        ),
        (
            "cut off before the first had waited",
            [*at_once(5.0), unanswered(1, 12.0, 6.0), *(unanswered(n, 20.0 + n, 0.001) for n in range(30, 35))],
        ),
        (
            "cut off after a while each",
            [unanswered(1, 5.0, 6.0), *(unanswered(n, 20.0 + 4 * n, 0.8) for n in range(2, 6))],
        ),
        (
            "another product",
            [s._replace(product="courier") for s in (unanswered(1, 5.0, 6.0), *at_once(20.0, 24.0, 28.0))],
        ),
    ],
)
def test_other_troubles_behind_the_login_stay_suspected(why: str, story: list[Session]) -> None:
    assert verdict(*story) in {SUSPECTED, None}, why


def test_the_evidence_names_the_packets_that_ended_them_and_its_source() -> None:
    (finding,) = (
        f
        for f in judge(Scene([mute(1, 5.0, 15.01), mute(2, 9.0, 15.012), greeted(3, 40.0)]))
        if f.verdict.value == LIKELY
    )
    told = next(e for e in finding.evidence if e.kind == "dropped")
    assert "10.0 s after the first" in told.text
    assert "service-monitor.c" in told.source
    assert len(told.frames) == 2
