"""Habits: well formed, documented, each with a scene where it is told and look-alikes where it is not; never a fault."""

import re
from collections.abc import Callable, Iterator

import pytest

from analyzer import remedies
from analyzer.rules import CLAIMS, Finding, Habit, Scene, Verdict, habit, load_habits, load_rules, page_of, warn
from analyzer.rules.narrate import NAMES
from analyzer.rules.signatures import CAUSES
from analyzer.sessions.session import LoginOutcome, Session
from tests.records import full_house, login, one_pc, place, result, session
from tests.rules.stories import A, B, findings, no, ok, unanswered

HABITS = load_habits()
HEADINGS = ("Looks for", "Why", "What would refute it", "Evidence", "Sources")
LINE = 80 - 11 - len("confirmed: ")
"""Columns for a warning that must fit on one line of the verdict's screen."""
each = pytest.mark.parametrize("kind", HABITS, ids=lambda h: h.id)
Story = tuple[Session, ...]


def warned(story: Story) -> list[Finding]:
    return list(warn(Scene(story)))


def _spoke(n: int, **changes: object) -> Session:
    """A session that its client logged out of."""
    return ok(n, float(n), logged_out=True, **changes)


def _lossy(again: int, packets: int, sessions: int = 4, **changes: object) -> Story:
    return tuple(_spoke(n, retransmits=again, packets=packets, **changes) for n in range(1, sessions + 1))


def _greeted(*after_ms: float, **changes: object) -> Story:
    return tuple(_spoke(n, greeting_ms=float(ms), **changes) for n, ms in enumerate(after_ms, start=1))


def _held_back(*took_s: float, ok_s: float = 0.08) -> Story:
    said = [
        login(f"C{n}", at_s=20.0 * n, took_s=s, outcome=LoginOutcome.REFUSED) for n, s in enumerate(took_s, start=1)
    ]
    fine = _spoke(9, logins=(login("C9", at_s=200.0, took_s=ok_s),))
    return (*(no(n, 20.0 * n - 0.1, logins=(x,)) for n, x in enumerate(said, start=1)), fine)


def _storm(times: int, pause_s: float, **changes: object) -> Story:
    return tuple(no(n, n * pause_s, **changes) for n in range(times))


def _disabled(told_s: float | None, **changes: object) -> Story:
    said = login("C1", at_s=1.0, mechanism="LOGIN", outcome="refused")
    told = None if told_s is None else place(4, told_s)
    return (no(1, 0.9, logins=(said,), login_disabled_at=told, **changes),)


TOLD: dict[str, tuple[str, Callable[[], Story]]] = {
    "a password crosses the wire in clear": ("clear-passwords", lambda: (_spoke(1, secret=b"s"), no(2, 9, b"s"))),
    "passwords of 2 accounts cross the wire in clear": (
        "clear-passwords",
        lambda: (_spoke(1, secret=b"s"), no(2, 9, b"x", account="joe")),
    ),
    "LOGIN was sent although LOGINDISABLED was announced": ("login-disabled", lambda: _disabled(0.95)),
    "LOGIN was sent 2 times although LOGINDISABLED was announced": ("login-disabled", lambda: _disabled(0.95) * 2),
    "3 sessions ended without LOGOUT: their slots may linger": (
        "missing-logout",
        lambda: (ok(1, 0), ok(2, 1), ok(3, 2, reset_by="client", fin_by=None), _spoke(4)),
    ),
    "the server greets after 5.1 s, each time the same": ("late-greeting", lambda: _greeted(5000, 5100, 4900)),
    "3 of 5 greetings came late, up to 9.6 s": ("late-greeting", lambda: _greeted(2, 3100, 9600, 5000, 700)),
    "refusals are held back for 5.0 s each: a brake on guessing": ("tarpit", lambda: _held_back(5.0, 5.1, 5.02)),
    "20 of 400 packets were sent again: the network loses some": ("network-loss", lambda: _lossy(5, 100)),
    "192.0.2.1 tried 21 times without a pause": ("retry-storm", lambda: _storm(21, 0.9, client=A)),
    "2 clients tried 50 times without a pause": (
        "retry-storm",
        lambda: _storm(25, 0.5, client=A) + _storm(25, 0.2, client=B),
    ),
}
"""Title -> the habit, and a scene that shows it and no other."""
NOT_TOLD: dict[str, Callable[[], Story]] = {
    "greetings in time": lambda: _greeted(2, 3, 900, 2900),
    "two late greetings": lambda: _greeted(5000, 5000),
    "most greetings in time": lambda: _greeted(5000, 5000, 5000, 2, 3, 4, 5),
    "greetings late by loss": lambda: _greeted(5000, 5000, 5000, retransmits=2),
    "refusals after delays of all kinds": lambda: _held_back(1.0, 5.0, 2.5),
    "refusals at once": lambda: _held_back(0.5, 0.5, 0.5),
    "acceptances as late as refusals": lambda: _held_back(5.0, 5.0, 5.0, ok_s=5.0),
    "two refusals held back": lambda: _held_back(5.0, 5.0),
    "nothing at all": tuple,
    "a password inside TLS": lambda: (_spoke(1, secret=b"s", tls="implicit"), _spoke(2, secret=b"s", tls="starttls")),
    "a token, which expires": lambda: (
        _spoke(1, logins=(login(secret=b"s", mechanism="XOAUTH2", account_from="token"),)),
    ),
    "a mechanism that hides the password": lambda: (_spoke(1), no(2, 3)),
    "LOGINDISABLED told after the LOGIN": lambda: _disabled(1.05),
    "LOGINDISABLED never told": lambda: _disabled(None),
    "LOGIN after STARTTLS": lambda: _disabled(0.95, tls="starttls"),
    "two without LOGOUT": lambda: (ok(1, 0), ok(2, 1), _spoke(3)),
    "closed by the server": lambda: tuple(ok(n, n, closed_by="server") for n in range(1, 5)),
    "closed after a BYE": lambda: tuple(ok(n, n, bye_at=place(9, n + 1.0)) for n in range(1, 5)),
    "still open": lambda: tuple(ok(n, n, lasts_s=None) for n in range(1, 5)),
    "never logged in": lambda: tuple(no(n, 9.0 * n) for n in range(1, 5)),
    "the LOGOUT may be in what the capture lost": lambda: tuple(ok(n, n, missed_bytes=9) for n in range(1, 5)),
    "the LOGOUT may be inside TLS": lambda: tuple(ok(n, n, tls="starttls") for n in range(1, 5)),
    "few sent again": lambda: _lossy(4, 100),
    "a small share sent again": lambda: _lossy(7, 400),
    "one host that sends keep-alives": lambda: _lossy(30, 100, sessions=2),
    "SYNs without answer": lambda: tuple(unanswered(n, n, retransmits=9, packets=10) for n in range(1, 5)),
    "twenty tries": lambda: _storm(20, 0.5),
    "tries a second apart": lambda: _storm(40, 1.1),
    "many clients that try once": lambda: tuple(no(n, n / 10, client=f"192.0.2.{n}") for n in range(1, 60)),
    "tries at two servers": lambda: _storm(15, 0.5) + _storm(15, 0.5, server="198.51.100.9"),
}


@pytest.mark.parametrize("title", TOLD)
def test_a_habit_is_told_where_it_shows(title: str) -> None:
    name, story = TOLD[title]
    (found,) = warned(story())
    assert (found.title, found.rule, found.severity) == (title, name, "warning")
    assert found.verdict in CLAIMS
    assert found.summary.startswith(title[0].upper() + title[1:] + ". ")
    assert found.summary.endswith(".")
    (fact,) = found.evidence
    assert fact.frames
    assert fact.filter.startswith("frame.number in {")
    assert fact.weight_db == 0
    assert found.sessions
    assert found.start <= found.end


@pytest.mark.parametrize("name", NOT_TOLD)
def test_a_look_alike_is_not_told(name: str) -> None:
    assert [f.title for f in warned(NOT_TOLD[name]())] == []


def test_every_habit_has_its_scenes() -> None:
    assert {name for name, _ in TOLD.values()} == {h.id for h in HABITS}


@pytest.mark.parametrize("title", TOLD)
def test_a_title_is_one_short_line(title: str) -> None:
    assert len(title) <= LINE + 1


@each
def test_a_habit_is_well_formed(kind: Habit) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind.id)
    assert kind.cause in CAUSES
    assert kind.cause in NAMES
    assert not kind.title.endswith(".")
    assert kind.source
    assert all(remedies.is_known(name) for name in kind.remedies)
    assert kind.remedies
    assert kind.id not in {r.id for r in load_rules()}


@each
def test_a_page_has_its_five_headings_in_order(kind: Habit) -> None:
    page = page_of(kind)
    assert tuple(line for line in page.splitlines() if line in HEADINGS) == HEADINGS


def test_warnings_never_change_the_conclusion() -> None:
    story = TOLD["3 sessions ended without LOGOUT: their slots may linger"][1]()
    told = result(story, warned(story))
    assert told.conclusion == result(story).conclusion
    assert (told.conclusion.cause, told.exit_status, told.faults) == ("healthy", 0, ())


def test_a_warning_names_who_does_it_but_no_secret() -> None:
    (found,) = warned((_spoke(1, secret=b"planted-secret", client=A), _spoke(2, secret=b"planted-secret", client=B)))
    assert (found.subject.accounts, found.subject.clients) == (("uccx-mail",), (A, B))
    assert "planted" not in repr(found)


def test_each_server_is_warned_about_apart() -> None:
    story = (*_lossy(9, 100), *_lossy(9, 100, server="198.51.100.9"))
    assert [f.subject.server for f in warned(story)] == ["10.4.3.90", "198.51.100.9"]
    assert [f.verdict for f in warned(story)] == [Verdict.LIKELY] * 2


def test_habits_are_no_testimony() -> None:
    house = tuple(full_house())
    assert {f.severity for f in findings(house)} == {"fault"}
    assert warned(one_pc()) == []
    assert warned((session(),)) == []


def _broken(_: Scene) -> Iterator[habit.Sight]:
    raise ZeroDivisionError("division by zero")
    yield


def test_a_habit_that_raises_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Habit("broken", "t", "network_loss", ("network-loss",), "0.1", _broken, "RFC")
    monkeypatch.setattr(habit, "load_habits", lambda: (broken, *HABITS))
    failed, *others = warned(_lossy(5, 100))
    assert (failed.verdict, failed.severity) == (Verdict.FAILED, "info")
    assert "ZeroDivisionError: division by zero" in failed.title
    assert [f.rule for f in others] == ["network-loss"]
