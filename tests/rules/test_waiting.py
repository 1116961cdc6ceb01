"""The queue before a server: a full one serves the next as soon as somebody goes; its look-alikes do not wait for that."""

from typing import Any

import pytest

from analyzer.rules import Finding, Scene, judge
from analyzer.rules.scene import silence_disputes
from analyzer.rules.waiting import Wait, Waiting, equal
from analyzer.sessions.session import LoginOutcome, Outcome, Session
from tests.records import login, ns, place, session

SEC = 1_000_000_000
MUTE: dict[str, Any] = {"greeting": None, "greeting_status": None, "greeting_at": None, "greeting_ms": None}


def host(n: int) -> str:
    return f"192.0.2.{n}"


def inside(n: int, until_s: float, **changes: Any) -> Session:
    """One of those that hold a place: there from the start, until they log out."""
    given = {"at_s": n / 10, "lasts_s": until_s - n / 10, "logged_out": True, "client": host(n), "account": f"user{n}"}
    return session(f"C{n}", frame=100 * n, **(given | changes))


def in_vain(n: int, at_s: float, lasts_s: float = 10.0, **changes: Any) -> Session:
    """A newcomer that heard nothing and gave up."""
    given = MUTE | {"outcome": Outcome.ABANDONED, "server_bytes": 0, "logins": (), "client": host(n)}
    return session(f"C{n}", at_s=at_s, lasts_s=lasts_s, frame=100 * n, **(given | changes))


def at_last(n: int, at_s: float, greeted_s: float, **changes: Any) -> Session:
    """A newcomer that was greeted late, and then let in."""
    given = {
        "greeting_at": place(100 * n + 3, greeted_s),
        "greeting_ms": (greeted_s - at_s) * 1000,
        "login_s": greeted_s - at_s + 0.05,
        "client": host(n),
        "account": f"user{n}",
        "lasts_s": None,
    }
    return session(f"C{n}", at_s=at_s, frame=100 * n, **(given | changes))


FOUR_INSIDE = [inside(n, 60.0) for n in range(1, 5)]
TURNED_AWAY = [in_vain(11, 20.0), in_vain(12, 25.0), in_vain(13, 40.0)]


def verdicts(*stories: list[Session]) -> dict[str, str]:
    return {f.cause: f.verdict.value for f in told(*stories)}


def told(*stories: list[Session]) -> tuple[Finding, ...]:
    return judge(Scene([s for story in stories for s in story]))


def waiting(*stories: list[Session]) -> Waiting:
    (dispute,) = silence_disputes(Scene([s for story in stories for s in story]))
    return Waiting(dispute)


def test_served_as_soon_as_others_had_gone_is_a_full_server() -> None:
    served = [at_last(21, 55.0, 60.004), at_last(22, 56.0, 60.006)]
    assert verdicts(FOUR_INSIDE, TURNED_AWAY, served) == {"server_connection_limit": "likely"}


def test_served_long_after_others_had_gone_is_suspected_only() -> None:
    served = [at_last(21, 55.0, 78.0), at_last(22, 56.0, 78.1)]
    assert verdicts(FOUR_INSIDE, TURNED_AWAY, served)["server_connection_limit"] == "suspected"


def test_more_served_than_had_gone_is_no_full_server() -> None:
    """A stuck server that wakes up lets in everybody at once."""
    one_goes = [inside(1, 60.0), *(inside(n, 300.0) for n in range(2, 5))]
    served = [at_last(n, 50.0 + n / 10, 60.004) for n in range(21, 26)]
    assert len(waiting(one_goes, TURNED_AWAY, served).unreleased) == 4
    assert "server_connection_limit" not in {
        f.cause for f in told(one_goes, TURNED_AWAY, served) if f.verdict != "suspected"
    }


def test_sessions_that_the_server_ended_make_no_way() -> None:
    """Somebody restarts a stuck server: all sessions end, and all newcomers are served."""
    cut = {"logged_out": False, "closed_by": "server"}
    ended = [inside(n, 60.0, **cut) for n in range(1, 5)]
    served = [at_last(21, 55.0, 60.004), at_last(22, 56.0, 60.006)]
    assert {m.gone for m in waiting(ended, TURNED_AWAY, served).moments} == {None}
    assert verdicts(ended, TURNED_AWAY, served)["server_connection_limit"] == "suspected"


def test_the_clients_own_session_makes_no_way() -> None:
    served = [at_last(21, 55.0, 60.004, client=host(1))]
    only = [inside(1, 60.0), *(inside(n, 300.0) for n in range(2, 5))]
    assert waiting(only, TURNED_AWAY, served).moments[0].gone is None


def test_one_that_came_later_held_no_place() -> None:
    brief = inside(5, 60.0, at_s=58.0, lasts_s=2.0)
    served = [at_last(21, 55.0, 60.004)]
    stay = [inside(n, 300.0) for n in range(1, 5)]
    assert waiting([*stay, brief], TURNED_AWAY, served).moments[0].gone is None


def test_one_pc_alone_sees_no_queue() -> None:
    mine = [inside(1, 60.0), in_vain(11, 20.0, client=host(1)), at_last(21, 55.0, 60.004, client=host(1))]
    assert all(f.verdict == "suspected" for f in told(mine))


def late_login(n: int, at_s: float, took_s: float, **changes: Any) -> Session:
    given = {"client": host(n), "account": f"user{n}"} | changes
    asked = login(
        f"C{n}", at_s=at_s + 0.1, frame=100 * n, took_s=took_s, client=given["client"], account=given["account"]
    )
    return session(f"C{n}", at_s=at_s, frame=100 * n, logins=(asked,), lasts_s=None, **given)


def unanswered(n: int, at_s: float, lasts_s: float, **changes: Any) -> Session:
    asked = login(f"C{n}", at_s=at_s + 0.1, frame=100 * n, outcome=LoginOutcome.ABANDONED, client=host(n))
    given = {"outcome": Outcome.ABANDONED, "client": host(n), "opened": None, "closed": None} | changes
    return session(f"C{n}", at_s=at_s, lasts_s=lasts_s, frame=100 * n, logins=(asked,), **given)


def test_a_turn_at_the_login_needs_another_account() -> None:
    served = [late_login(21, 50.0, 9.905)]
    refused = [unanswered(n, 20.0 + n, 10.0) for n in (11, 12, 13)]
    assert waiting(FOUR_INSIDE, refused, served).moments[0].gone is not None
    shared = [inside(n, 60.0, account="user21") for n in range(1, 5)]
    assert waiting(shared, refused, served).moments[0].gone is None


def test_a_delay_is_slowness_and_turns_in_a_queue_are_not() -> None:
    waits = [unanswered(11, 90.0, 5.0), unanswered(12, 95.0, 5.0)]
    delayed = [late_login(n, 10.0 * n, 8.0 + n / 10_000) for n in range(1, 6)]
    assert verdicts(waits, delayed) == {"server_slow": "likely"}
    turns = [late_login(n, 10.0 * n, 8.0 + n) for n in range(1, 6)]
    assert verdicts(waits, turns)[
        "server_slow" if "server_slow" in verdicts(waits, turns) else "server_connection_limit"
    ] == ("suspected")


def test_cut_off_at_once_is_not_slow() -> None:
    cut = [unanswered(n, 20.0 + n, 0.11, closed_by="server") for n in (11, 12, 13)]
    (found,) = told(FOUR_INSIDE, cut)
    assert waiting(FOUR_INSIDE, cut).hung == []
    assert {c.cause for c in found.candidates} == {"server_connection_limit", "server_unavailable", "undetermined"}
    assert found.verdict == "suspected"


def wait(since_s: float, took_s: float) -> Wait:
    return Wait(ns(since_s), ns(since_s + took_s), session())


@pytest.mark.parametrize(
    ("waits", "apart"),
    [
        ([], 0),
        ([wait(0, 8)], 0),
        ([wait(0, 8), wait(1, 8)], 2),
        ([wait(0, 8), wait(0.001, 8)], 0),
        ([wait(0, 8), wait(1, 8.3)], 0),
        ([wait(0, 8), wait(1, 8.1)], 0),
        ([wait(n, 8 + n / 100) for n in range(9)], 9),
        ([wait(n, 3 + n / 10) for n in range(9)], 0),
    ],
)
def test_waits_that_are_equal_by_no_accident(waits: list[Wait], apart: int) -> None:
    assert equal(waits) == apart
