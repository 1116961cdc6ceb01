"""The engine: isolates a failing rule, orders, merges, and lets a restart explain its consequences."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from analyzer.rules import CLAIMS, Evidence, Verdict, engine, load_rules
from analyzer.rules.rule import Question
from analyzer.rules.weigh import THROTTLING
from analyzer.sessions.session import Session
from tests.records import ACCOUNT, SERVER, full_house, ns, one_pc, refused
from tests.rules.stories import CASES, A, B, bye, complaint, ended, findings, no, ok, silent, unanswered


def _broken(_: Question) -> Iterator[Evidence]:
    yield Evidence("before", weight_db=50.0, kind="x", decisive=True)
    raise ZeroDivisionError("division by zero")


@pytest.fixture
def broken_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule about wrong passwords raises."""
    rules = tuple(r._replace(check=_broken) if r.cause == "bad_credentials" else r for r in load_rules())
    monkeypatch.setattr(engine, "load_rules", lambda: rules)


@pytest.mark.usefixtures("broken_rule")
def test_a_rule_that_raises_fails_alone() -> None:
    found = findings(full_house())
    assert [f.cause for f in found if f.verdict in CLAIMS] == ["per_user_connection_limit"]
    (failed,) = [f for f in found if f.verdict is Verdict.FAILED]
    assert (failed.rule, failed.cause, failed.severity, failed.confidence) == (
        "bad-credentials",
        "bad_credentials",
        "info",
        0,
    )
    assert "ZeroDivisionError: division by zero" in failed.title
    assert failed is found[-1]
    assert "before" not in {e.text for f in found for e in f.evidence}


def test_best_first() -> None:
    story = (
        *full_house(),
        unanswered(900, 700.0, "REJ", server="198.51.100.1"),
        no(901, 700.0, account="joe", server="198.51.100.2"),
    )
    verdicts = [f.verdict for f in findings(story)]
    assert verdicts == sorted(verdicts, key=list(Verdict).index)
    assert {Verdict.CONFIRMED, Verdict.SUSPECTED} <= set(verdicts)


def test_nothing_wrong_is_no_finding() -> None:
    assert findings([ok(n, float(n)) for n in range(5)]) == ()
    assert findings([]) == ()


def test_the_subject_names_who_was_refused() -> None:
    (found,) = findings(one_pc())
    subject = found.subject
    assert (subject.accounts, subject.clients, subject.server, subject.protocol) == (
        (ACCOUNT,),
        ("10.4.4.95",),
        SERVER,
        "imap",
    )
    assert (found.start, found.end) == (ns(118.08), ns(118.28))
    assert found.sessions == tuple(("agent-pc-07.pcapng", f"C{n}") for n in (1, 2, 3))


def test_a_greeting_refused_has_no_account() -> None:
    (found,) = findings([bye(1, 0.0), bye(2, 1.0)])
    assert (found.subject.accounts, found.subject.clients) == ((), ("10.4.4.95",))


def test_facts_for_remedies() -> None:
    story = full_house(agents=10, limit=16)
    (found,) = findings(story)
    refused = sum(s.outcome == "refused" for s in story)
    expected = {
        "refused": refused, "refused_clients": len(found.subject.clients), "clients": 10, "product": "exchange",
        "accepted": len(story) - refused, "peak": 16, "limit": 16, "account_clients": 10, "per_client": 2,
    }  # fmt: skip
    assert expected.items() <= found.facts.items()


def test_sessions_named_are_bounded() -> None:
    (found,) = findings([no(n, n / 10) for n in range(1, 300)])
    assert len(found.sessions) == engine.SESSIONS_NAMED
    assert found.facts["refused"] == 299


def test_like_findings_of_many_accounts_are_one() -> None:
    (found,) = findings([no(n, float(n), account=f"user{n}") for n in range(1, 6)])
    assert found.subject.accounts == tuple(f"user{n}" for n in range(1, 6))
    assert found.facts["refused"] == 5
    assert len(found.sessions) == 5
    assert "5 accounts" in found.title
    assert (found.start, found.end) == (ns(1.18), ns(5.18))


def test_two_accounts_are_told_apart() -> None:
    assert len(findings([no(n, float(n), account=f"user{n}") for n in range(1, 3)])) == 2


def test_different_clients_are_told_apart() -> None:
    assert len(findings([no(n, float(n), account=f"user{n}", client=f"192.0.2.{n}") for n in range(1, 6)])) == 5


def test_a_restart_explains_closed_ports() -> None:
    _, restart, _ = CASES["server_restart"]
    causes = [f.cause for f in findings(restart())]
    assert causes == ["server_restart"]
    later = unanswered(90, 500.0, "REJ")
    assert sorted(f.cause for f in findings((*restart(), later))) == ["port_closed", "server_restart"]


def test_one_session_ended_by_the_server_is_no_news() -> None:
    assert findings([ended(1, 0.0, 30.0, "Timeout"), ok(2, 10.0, lasts_s=None, client=B)]) == ()


def test_a_limit_in_the_words_is_told() -> None:
    from tests.rules.stories import told

    (found,) = findings(
        [told(1, 0, "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)")]
    )
    assert (found.verdict, found.cause, found.facts["limit"]) == (Verdict.CONFIRMED, "per_user_connection_limit", 10)


def test_what_you_said_is_told() -> None:
    (found,) = findings(one_pc(), others_working=True)
    assert "others-working" in found.summary


def test_captures_of_different_days_are_judged_apart() -> None:
    """Refusals of last month with nothing open must not speak against today's full house, nor be proved by it."""
    day = 86_400.0
    old = tuple(refused(f"C{900 + n}", at_s=n - 30 * day, capture="old.pcap", client="192.0.2.200") for n in range(5))
    found = findings((*old, *full_house(agents=12)))
    assert sorted((f.verdict in CLAIMS, f.facts["refused"] == 5) for f in found) == [(False, True), (True, False)]
    near = tuple(s._replace(capture="near.pcap") for s in full_house(agents=12)[:1])
    assert len(findings((*near, *full_house(agents=12)))) == 1


def test_a_suspicion_says_what_would_settle_it_and_a_claim_does_not() -> None:
    (suspected,) = findings(one_pc())
    (claimed,) = findings(full_house(agents=12))
    assert suspected.missing
    assert claimed.missing == ()


_CLIENTS = st.sampled_from([A, B, "192.0.2.3"])
_SECRETS = st.sampled_from([None, b"s", b"x"])
_TIMES = st.floats(0, 300)
_SESSIONS = st.one_of(
    st.builds(lambda t, s, c: ("no", t, s, c), _TIMES, _SECRETS, _CLIENTS),
    st.builds(lambda t, c: ("silent", t, None, c), _TIMES, _CLIENTS),
    st.builds(lambda t, c: ("syn", t, None, c), _TIMES, _CLIENTS),
    st.builds(lambda t, c: ("bye", t, None, c), _TIMES, _CLIENTS),
)
_ANY = _SESSIONS | st.builds(
    lambda k, t, s, c: (k, t, s, c), st.sampled_from(["ok", "ended", "select"]), _TIMES, _SECRETS, _CLIENTS
)


def _made(what: list[tuple[str, float, bytes | None, str]]) -> list[Session]:
    story = []
    for n, (kind, t, secret, client) in enumerate(what, 1):
        at_s = round(t, 3)
        story.append({
            "no": lambda: no(n, at_s, secret, client=client),  # noqa: B023
            "ok": lambda: ok(n, at_s, secret, client=client),  # noqa: B023
            "silent": lambda: silent(n, at_s, client=client),  # noqa: B023
            "syn": lambda: unanswered(n, at_s, client=client),  # noqa: B023
            "bye": lambda: bye(n, at_s, client=client),  # noqa: B023
            "ended": lambda: ended(n, at_s, at_s + 9, client=client),  # noqa: B023
            "select": lambda: complaint(n, at_s, "Server Unavailable. 15", client=client),  # noqa: B023
        }[kind]())  # fmt: skip
    return story


few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


ONE_BYE = [("no", 0.0, None, B), ("bye", 0.0, None, A), ("no", 0.0, None, A)]
"""One connection turned away while another of the same address is open is no limit per address."""


@example(ONE_BYE)
@few
@given(st.lists(_SESSIONS, min_size=1, max_size=25))
def test_without_any_acceptance_no_throttling_is_claimed(
    what: list[tuple[str, float, bytes | None, str]],
) -> None:
    claims = [f for f in findings(_made(what)) if f.verdict in CLAIMS]
    assert not [f.title for f in claims if f.cause in THROTTLING]


@few
@given(st.lists(_ANY, min_size=1, max_size=25))
def test_no_scene_makes_a_rule_fail(what: list[tuple[str, float, bytes | None, str]]) -> None:
    story = _made(what)
    found = findings(story)
    assert not [f.title for f in found if f.verdict is Verdict.FAILED]
    assert found == findings(reversed(story)) or len(found) == len(findings(reversed(story)))
    for f in found:
        assert 0 <= f.confidence <= 1
        assert f.start <= f.end
