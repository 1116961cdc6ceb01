"""How the work of judging grows: with twice the sessions about twice the work, whatever the sessions are about.

Counted in lines of Python run, not in seconds, so that the answer is the same on every machine.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from analyzer.rules import Scene, judge, warn
from analyzer.rules.scene import disputes
from analyzer.sessions.accounts import accounts
from analyzer.sessions.merge import merge
from analyzer.sessions.session import Complaint, LoginOutcome, Outcome, Session
from tests.records import login, place, refused, session

FEW, GROWTH = 400, 2.1
"""Sessions to begin with; how much more work twice as many may make."""

TURNED_AWAY = {
    "outcome": Outcome.REFUSED_AT_GREETING, "greeting": "Connection is closed. 10", "greeting_status": "BYE",
}  # fmt: skip
UNHEARD = {
    "outcome": Outcome.DROPPED,
    "greeting": None,
    "greeting_status": None,
    "greeting_at": None,
    "server_bytes": 0,
}
CUT = {"reset_by": "server", "fin_by": None, "reset_ttl": 60}
ENDED = {"bye": "Connection is closed. 12", "closed_by": "server"}


def well(n: int, **changes: Any) -> Session:
    given = {
        "at_s": n * 0.1,
        "frame": 20 * n + 1,
        "mechanism": "PLAIN",
        "secret": b"right",
        "client": f"192.0.2.{n % 20}",
    }
    return session(f"C{n + 1}", **(given | {"lasts_s": 3.0} | changes))


def no(n: int, **changes: Any) -> Session:
    given = {
        "at_s": n * 0.1,
        "frame": 20 * n + 1,
        "mechanism": "PLAIN",
        "secret": b"right",
        "client": f"192.0.2.{n % 20}",
    }
    return refused(f"C{n + 1}", **(given | changes))


def healthy(n: int) -> Session:
    return well(n, account=f"user{n % 40}")


def limited(n: int) -> Session:
    return no(n) if n % 5 else well(n)


def limited_many(n: int) -> Session:
    account = f"user{n * 7 % (8 + n // 10)}"
    return no(n, account=account) if n % 5 else well(n, account=account)


def guessed(n: int) -> Session:
    return no(n, account=f"user{n // 3}", secret=f"{n}".encode())


def reused_ports(n: int) -> Session:
    numbers = {"client_port": 1000 + n % 5, "client_isn": n, "server_isn": n, "client": "192.0.2.1"}
    return well(n, capture="ab"[n % 2], lasts_s=0.05, **numbers)


def trouble(n: int) -> Session:
    account, frame, at_s = f"user{n % 30}", 20 * n + 10, n * 0.1
    if n % 8 in {1, 2, 3}:
        gone = {"outcome": Outcome.UNREACHABLE, "conn_state": "REJ", "established_at": None}
        return well(n, logins=(), **(TURNED_AWAY, gone, UNHEARD)[n % 8 - 1])
    if n % 8 == 7:
        return no(n, account=account)
    failed = Complaint("SELECT", "NO", None, "Server Unavailable. 15", place(frame, at_s + 1), after_login=True)
    kinds = {4: ENDED | {"bye_at": place(frame, at_s + 2)}, 5: CUT, 6: {"complaints": (failed,)}}
    return well(n, account=account, **kinds.get(n % 8, {}))


def lines_run(work: Callable[[], object]) -> int:
    """Return how many lines of Python some work runs; each round of a comprehension counts."""
    count = 0

    def step(frame: FrameType, event: str, arg: object) -> object:
        nonlocal count
        del frame, arg
        count += event == "line"
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def whole(sessions: list[Session]) -> None:
    merged = merge(sessions).sessions
    scene = Scene(merged)
    judge(scene)
    warn(scene)
    accounts(merged)


@pytest.mark.parametrize(
    "kind", [healthy, limited, limited_many, guessed, trouble, reused_ports], ids=lambda f: f.__name__
)
def test_twice_the_sessions_are_twice_the_work(kind: Callable[[int], Session]) -> None:
    few, many = ([kind(n) for n in range(count)] for count in (FEW, 2 * FEW))
    whole(few)  # what is read once: rules, signatures
    assert lines_run(lambda: whole(many)) < GROWTH * lines_run(lambda: whole(few))


def test_the_work_is_counted() -> None:
    assert lines_run(lambda: [x for x in range(1000)]) > 1000  # noqa: C416


@pytest.mark.parametrize("kind", [healthy, limited, limited_many, trouble], ids=lambda f: f.__name__)
def test_sessions_that_went_well_raise_no_question(kind: Callable[[int], Session]) -> None:
    """The short cut past them changes nothing."""
    sessions = [kind(n) for n in range(80)]
    slow = well(90, logins=(login("C91", at_s=9.0, took_s=4.0),))
    waiting = well(
        91, logins=(login("C92", at_s=9.1, outcome=LoginOutcome.UNSEEN),), opened=None, outcome=Outcome.UNSEEN
    )
    short, long = Scene([*sessions, slow, waiting]), Scene([*sessions, slow, waiting])
    long.__dict__["odd"] = long.sessions
    asked = [[(x.kind, x.account, [r.session.uid for r in x.refusals]) for x in disputes(s)] for s in (short, long)]
    assert asked[0] == asked[1]
    assert any("C91" in uids for _, _, uids in asked[0])
    assert len(short.odd) < len(long.sessions)
