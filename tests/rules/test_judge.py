"""What the judge says about small scenes: each line of the table is a case somebody will meet."""

from collections.abc import Callable

import pytest

from analyzer.rules import CLAIMS, Finding, Known, Verdict
from analyzer.sessions.session import Session
from tests.records import full_house, one_pc
from tests.rules.stories import (
    CASES,
    A,
    B,
    D,
    Story,
    bye,
    complaint,
    ended,
    findings,
    no,
    ok,
    silent,
    told,
    unanswered,
)

LIMIT, WRONG, LOCKED, UNKNOWN = "per_user_connection_limit", "bad_credentials", "account_locked", "undetermined"
CONFIRMED, LIKELY, SUSPECTED = Verdict.CONFIRMED, Verdict.LIKELY, Verdict.SUSPECTED
OTHERS, VERIFIED = {"others_working": True}, {"credentials_verified": True}


def only(story: Story, **known: object) -> Finding:
    (found,) = findings(story, **known)
    return found


# -- one PC, nobody accepted: the note's own capture ------------------------------------------------------------------


def test_the_seed_case_is_suspected_with_its_rivals() -> None:
    found = only(one_pc())
    assert (found.cause, found.verdict, found.rule) == (LIMIT, SUSPECTED, "imap-connections-per-user")
    assert {WRONG, UNKNOWN} <= {c.cause for c in found.candidates}
    assert found.candidates[0].cause == LIMIT
    assert 0.2 < found.confidence < 0.8
    assert any("--known others-working" in step for step in found.missing)
    assert [r.frame for r in found.evidence[0].frames] == [10_568, 10_598, 10_628]


@pytest.mark.parametrize(
    ("known", "verdict"),
    [
        ({}, SUSPECTED),
        (OTHERS, SUSPECTED),
        (VERIFIED, SUSPECTED),
        (OTHERS | VERIFIED, LIKELY),
    ],
)
def test_what_the_engineer_knows_moves_the_seed_case(known: dict[str, object], verdict: Verdict) -> None:
    found = only(one_pc(), **known)
    assert (found.cause, found.verdict) == (LIMIT, verdict)


def test_knowing_never_lowers_the_confidence() -> None:
    steps = [{}, OTHERS, OTHERS | VERIFIED]
    confidences = [only(one_pc(), **known).confidence for known in steps]
    assert confidences == sorted(confidences)
    assert confidences[0] < confidences[-1]


def test_a_named_limit_alone_does_not_prove_it() -> None:
    assert only(one_pc(), limit=16).verdict is SUSPECTED


@pytest.mark.parametrize("refusals", [1, 3, 30, 300])
def test_repeating_a_refusal_proves_nothing(refusals: int) -> None:
    assert only(one_pc(refusals)).verdict is SUSPECTED


# -- secrets that can be compared ------------------------------------------------------------------------------------

SECRETS: dict[str, tuple[Callable[[], Story], str, frozenset[Verdict]]] = {
    "same secret accepted, refused, accepted": (
        lambda: (ok(1, 0, b"s"), no(2, 10, b"s"), ok(3, 20, b"s")),
        LIMIT,
        frozenset({SUSPECTED}),
    ),
    "another secret, on another PC": (
        lambda: (ok(1, 0, b"s"), no(2, 10, b"x", client=B), no(3, 12, b"x", client=B), ok(4, 20, b"s")),
        WRONG,
        CLAIMS,
    ),
    "another secret, on the same PC": (
        lambda: (ok(1, 0, b"s"), no(2, 10, b"x"), ok(3, 20, b"s")),
        WRONG,
        CLAIMS,
    ),
    "mistyped, then right": (
        lambda: (no(1, 0, b"x"), no(2, 8, b"x"), ok(3, 20, b"s")),
        WRONG,
        frozenset({CONFIRMED}),
    ),
    "several secrets, none right": (
        lambda: (no(1, 0, b"x"), no(2, 9, b"y"), no(3, 20, b"z")),
        WRONG,
        frozenset({SUSPECTED, LIKELY}),
    ),
    "accepted, then refused with the same": (
        lambda: (ok(1, 0, b"s"), no(2, 60, b"s"), no(3, 61, b"s")),
        LIMIT,
        frozenset({SUSPECTED}),
    ),
}


@pytest.mark.parametrize("name", SECRETS)
def test_secrets(name: str) -> None:
    story, cause, verdicts = SECRETS[name]
    found = only(story())
    assert found.cause == cause
    assert found.verdict in verdicts


def test_one_pc_rules_a_wrong_password_out_and_cannot_tell_a_limit_from_an_outage() -> None:
    found = only((ok(1, 0, b"s"), no(2, 10, b"s"), ok(3, 20, b"s")))
    assert {LIMIT, UNKNOWN} <= {c.cause for c in found.candidates}
    assert WRONG not in {c.cause for c in found.candidates}


def test_an_old_acceptance_of_the_secret_is_no_reversal() -> None:
    found = only((ok(1, 0, b"s"), no(2, 3000, b"s"), ok(3, 6000, b"s")))
    assert found.verdict is SUSPECTED


def test_no_word_of_a_secret_gets_out() -> None:
    for story, _, _ in SECRETS.values():
        text = repr(findings(story()))
        assert "b'x'" not in text
        assert "Secret" not in text


# -- hosts -----------------------------------------------------------------------------------------------------------


def test_nobody_gets_in_from_two_hosts() -> None:
    found = findings([no(n, float(n), client=(A, B)[n % 2]) for n in range(1, 9)])
    assert [(f.cause, f.verdict) for f in found] in ([(WRONG, LIKELY)], [(WRONG, SUSPECTED)])


def test_one_host_only_is_suspected() -> None:
    assert only(tuple(no(n, float(n)) for n in range(1, 9))).verdict is SUSPECTED


def test_ntlm_with_a_stale_password_on_one_pc() -> None:
    """Others come and go with as many sessions open; one PC never gets in."""
    others = [ok(n, 4.0 * n, client=f"192.0.2.{10 + n % 6}", lasts_s=30.0) for n in range(1, 30)]
    stale = [no(50 + n, 20.0 + 9 * n, client=D) for n in range(9)]
    found = only((*others, *stale))
    assert (found.cause, found.subject.clients) == (WRONG, (D,))
    assert found.verdict in CLAIMS
    assert D in found.title


@pytest.mark.parametrize("secret", [None, b"s"])
def test_a_full_house_is_claimed(secret: bytes | None) -> None:
    mechanism = "NTLM" if secret is None else "PLAIN"
    found = only(full_house(agents=12, limit=16, secret=secret, mechanism=mechanism))
    assert (found.cause, found.verdict in CLAIMS, found.facts["limit"]) == (LIMIT, True, 16)


@pytest.mark.parametrize("limit", [4, 10, 16, 18])
def test_the_height_of_the_limit_is_told(limit: int) -> None:
    assert only(full_house(agents=12, limit=limit)).facts["limit"] == limit


def test_one_pc_of_a_full_house_is_not_told_a_limit() -> None:
    story = full_house(agents=10, limit=16)
    mine = [s for s in story if s.client == "10.4.4.99"]
    assert any(s.outcome == "refused" for s in mine)
    for found in findings(mine):
        assert "limit" not in found.facts
        assert found.cause not in {WRONG, LOCKED} or found.verdict not in CLAIMS


# -- locks, changes, outages -----------------------------------------------------------------------------------------


def _failures_first(secret: bytes | None) -> Story:
    good = [ok(n, float(n), secret, client=f"192.0.2.{n}", lasts_s=40.0) for n in range(1, 9)]
    wrong = [no(20 + n, 10.0 + n, secret and b"x", client="192.0.2.99") for n in range(6)]
    out = [no(30 + n, 60.0 + n, secret, client=f"192.0.2.{n}") for n in range(1, 9)]
    return (*good, *wrong, *out)


@pytest.mark.parametrize("secret", [None, b"s"])
def test_locked_after_failures(secret: bytes | None) -> None:
    found = findings(_failures_first(secret))
    locked = next(f for f in found if "192.0.2.1" in f.subject.clients)
    assert locked.cause in {LOCKED, WRONG}
    assert LOCKED in {c.cause for c in locked.candidates}
    assert not [f.title for f in found if f.cause == LIMIT and f.verdict in CLAIMS]


@pytest.mark.parametrize("secret", [None, b"s"])
def test_a_password_changed_in_mid_capture_is_no_limit(secret: bytes | None) -> None:
    good = [ok(n, float(n), secret, client=f"192.0.2.{n}", lasts_s=40.0) for n in range(1, 9)]
    out = [no(30 + n, 60.0 + n, secret, client=f"192.0.2.{n}") for n in range(1, 9)]
    found = only((*good, *out))
    assert found.cause != LIMIT or found.verdict not in CLAIMS


def test_all_accounts_refused_is_no_limit() -> None:
    before = [ok(n, float(n), account=f"u{n}", client=f"192.0.2.{n}") for n in range(1, 6)]
    out = [no(10 + n, 30.0 + n, account=f"u{n % 5 + 1}", client=f"192.0.2.{n % 5 + 1}") for n in range(10)]
    for found in findings((*before, *out)):
        assert found.cause != LIMIT or found.verdict not in CLAIMS


# -- before the login ------------------------------------------------------------------------------------------------

PLACES: dict[str, tuple[Callable[[], Story], str, frozenset[Verdict]]] = {
    "BYE at an address's own limit": (CASES["per_ip_connection_limit"][1], "per_ip_connection_limit", CLAIMS),
    "BYE at the server's total": (CASES["server_connection_limit"][1], "server_connection_limit", CLAIMS),
    "BYE seen from one PC": (
        lambda: (
            *(ok(n, float(n), lasts_s=None) for n in (1, 2, 3)),
            *(bye(n, 2.0 * n, "Connection is closed. 10") for n in (4, 5, 6)),
        ),
        "connection_limit_at_connect",
        CLAIMS,
    ),
    "one BYE": (
        lambda: (bye(1, 0.0, "Connection is closed. 10"),),
        "connection_limit_at_connect",
        frozenset({SUSPECTED, LIKELY}),
    ),
    "store session limit": (CASES["store_session_limit"][1], "store_session_limit", CLAIMS),
    "SELECT refused once": (
        lambda: (complaint(1, 0.0, "Server Unavailable. 15"),),
        "store_session_limit",
        frozenset({SUSPECTED}),
    ),
    "closed": (lambda: (unanswered(1, 0.0, "REJ"),), "port_closed", frozenset({CONFIRMED})),
    "closed, but served at other times": (
        lambda: (ok(1, 0.0), unanswered(2, 20.0, "REJ"), ok(3, 30.0)),
        "port_closed",
        CLAIMS,
    ),
    "filtered": (lambda: (unanswered(1, 0.0),), "port_filtered", frozenset({CONFIRMED})),
    "prohibited": (
        lambda: (unanswered(1, 0.0, syn_count=1, lasts_s=0.1, unreachable="prohibited from 192.0.2.254"),),
        "port_filtered",
        frozenset({CONFIRMED}),
    ),
    "one lost SYN": (
        lambda: (unanswered(1, 0.0, syn_count=1, lasts_s=0.1), ok(2, 5.0)),
        "port_filtered",
        frozenset({SUSPECTED}),
    ),
    "restart": (CASES["server_restart"][1], "server_restart", CLAIMS),
    "silence": (lambda: (silent(1, 0.0), silent(2, 40.0)), "server_slow", frozenset({SUSPECTED})),
}


@pytest.mark.parametrize("name", PLACES)
def test_before_and_after_the_login(name: str) -> None:
    story, cause, verdicts = PLACES[name]
    found = findings(story())
    if not found:
        assert verdicts == {SUSPECTED}
        return
    (one,) = found
    assert one.verdict in verdicts
    assert one.cause == cause or SUSPECTED in verdicts


# -- words -----------------------------------------------------------------------------------------------------------

WORDS = {
    (
        "NO",
        "UNAVAILABLE",
        "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
    ): LIMIT,
    ("NO", "ALERT", "Too many simultaneous connections. (Failure)"): LIMIT,
    ("NO", "LIMIT", "Too many open connections (3 of 50 from host [192.0.2.1], 21 of 20 for user)"): LIMIT,
    ("NO", "LIMIT", "Too many open connections (11 of 10 from host [192.0.2.1])"): "per_ip_connection_limit",
    (
        "NO",
        None,
        "Too many open connections (51 of 50 from host [192.0.2.1], 3 of 20 for user)",
    ): "per_ip_connection_limit",
    ("NO", None, "Your mailbox is locked"): LOCKED,
    ("NO", "EXPIRED", "Renew your password"): WRONG,
    ("NO", "PRIVACYREQUIRED", "Plaintext authentication disallowed"): "tls_required",
    ("BAD", None, "Command received in Invalid state."): "tls_required",
    ("NO", None, "Unsupported authentication mechanism."): "auth_method_refused",
    ("NO", "UNAVAILABLE", "Temporary authentication failure."): "server_unavailable",
    ("BAD", None, "Request is throttled. Suggested Backoff Time: 9 milliseconds"): "request_throttling",
}


@pytest.mark.parametrize("words", WORDS)
def test_the_servers_own_words_decide(words: tuple[str, str | None, str]) -> None:
    status, code, text = words
    found = only((told(1, 0.0, text, code=code, status=status),))
    assert (found.cause, found.verdict) == (WORDS[words], CONFIRMED)
    assert text in found.evidence[0].text


VAGUE = [
    ("NO", "AUTHENTICATIONFAILED", "Authentication failed."),
    ("NO", None, "LOGIN failed."),
    ("NO", None, "Invalid credentials"),
    ("NO", None, "Too many invalid login attempts"),
    ("NO", None, "Too many failed logins, try again later"),
    ("NO", None, "no"),
]


@pytest.mark.parametrize("words", VAGUE)
def test_words_that_name_no_limit_never_claim_one(words: tuple[str, str | None, str]) -> None:
    status, code, text = words
    story: list[Session] = [told(n, 0.1 * n, text, code=code, status=status) for n in range(1, 9)]
    assert not [f.title for f in findings(story) if f.cause == LIMIT and f.verdict in CLAIMS]


def test_a_fallback_after_the_real_word_is_no_second_question() -> None:
    """A client that is told why tries another mechanism, which must fail."""

    from tests.records import login

    first = told(1, 0.0, "Too many simultaneous connections", code="ALERT")
    second = login("C1", at_s=0.5, frame=120, outcome="refused", text="Invalid credentials", mechanism="XOAUTH2")
    found = only((first._replace(logins=(*first.logins, second)),))
    assert (found.cause, found.verdict) == (LIMIT, CONFIRMED)


def test_known_words() -> None:
    assert Known().words == ()
    said = Known(credentials_verified=True, others_working=True, limit=20).words
    assert said == ("credentials-verified", "others-working", "limit=20")


def test_sessions_ended_one_by_one_are_no_restart() -> None:
    story = [ended(n, float(n), 60.0 + 30 * n, "Timeout", client=f"192.0.2.{n}") for n in range(1, 6)]
    assert not [f.title for f in findings(story) if f.verdict in CLAIMS]


# -- somebody goes home, and the one who was refused gets in -----------------------------------------------------------


LAST = "192.0.2.40"


def _one_goes_home(back_s: float, tries: int = 25, **leaving: object) -> Story:
    """Four hosts with two sessions each; a fifth is refused every two seconds until one of them has gone at 60 s."""
    hosts = [f"192.0.2.{n}" for n in range(1, 5)]
    inside = [
        ok(2 * i + n, i + n / 10, b"s", client=host, lasts_s=None) for i, host in enumerate(hosts) for n in (0, 1)
    ]
    goes: dict[str, object] = {"client": hosts[0], "logged_out": True} | leaving
    inside[:2] = [ok(10 + n, n / 10, b"s", lasts_s=60.0 - n / 10, **goes) for n in (0, 1)]
    refused = [no(20 + n, 10.0 + 2 * n, b"s", client=LAST) for n in range(tries)]
    return (*inside, *refused, *(ok(90 + n, back_s + n / 10, b"s", client=LAST, lasts_s=None) for n in (0, 1)))


@pytest.mark.parametrize(
    ("story", "verdict"),
    [
        (_one_goes_home(61.0), LIKELY),
        (_one_goes_home(110.0), SUSPECTED),
        (_one_goes_home(61.0, logged_out=False, closed_by="server"), SUSPECTED),
        (_one_goes_home(140.0, tries=4), SUSPECTED),
    ],
    ids=["soon after", "long after", "the server ended them", "nobody had tried for long"],
)
def test_one_release_counts_when_it_was_soon_and_anothers_own_will(story: Story, verdict: Verdict) -> None:
    (found,) = [f for f in findings(story) if f.cause != UNKNOWN]
    assert (found.cause, found.verdict) == (LIMIT, verdict)


# -- turned away at the door --------------------------------------------------------------------------------------------


def _cut_off(n: int, at_s: float, client: str) -> Session:
    """Accepted by TCP and closed by the server at once, without a word."""
    mute = {"greeting": None, "greeting_status": None, "greeting_at": None, "server_bytes": 0}
    return silent(n, at_s, client=client, lasts_s=0.01, closed_by="server", fin_by="server", **mute)


def _bye(n: int, at_s: float, client: str) -> Session:
    return bye(n, at_s, "Go away", client=client)


HOSTS = [f"192.0.2.{n}" for n in range(1, 9)]


def _one_address(turned: Callable[[int, float, str], Session]) -> Story:
    """One host holds four connections and is turned away at each fifth; others come and go."""
    mine = [ok(n, n * 2.0, client=A, lasts_s=None) for n in range(1, 5)]
    refused = [turned(10 + n, 20.0 + 10 * n, A) for n in range(5)]
    others = [ok(30 + n, 22.0 + 5 * n, client=D, lasts_s=3.0) for n in range(9)]
    return (*mine, *refused, *others)


def _stopping(turned: Callable[[int, float, str], Session]) -> Story:
    """A service about to stop serves those who are in and turns away all others."""
    inside = [ok(n, n * 2.0, client=host, lasts_s=None) for n, host in enumerate(HOSTS, 1)]
    return (*inside, *(turned(20 + n, 30.0 + 3 * n, f"192.0.2.{50 + n % 4}") for n in range(12)))


@pytest.mark.parametrize("turned", [_cut_off, _bye])
def test_one_address_at_its_limit(turned: Callable[[int, float, str], Session]) -> None:
    found = only(_one_address(turned))
    assert (found.cause, found.verdict) == ("per_ip_connection_limit", CONFIRMED)


@pytest.mark.parametrize("turned", [_cut_off, _bye])
def test_a_service_that_stops_is_no_limit(turned: Callable[[int, float, str], Session]) -> None:
    assert not [f for f in findings(_stopping(turned)) if f.verdict in CLAIMS]


def test_a_full_server_takes_the_next_when_somebody_has_gone() -> None:
    inside = [ok(n, n * 2.0, client=host, lasts_s=60.0) for n, host in enumerate(HOSTS, 1)]
    refused = [_bye(20 + n, 30.0 + 3 * n, f"192.0.2.{50 + n % 4}") for n in range(9)]
    again = [ok(40 + n, 90.0 + n, client=f"192.0.2.{50 + n}", lasts_s=None) for n in range(4)]
    found = only((*inside, *refused, *again))
    assert (found.cause, found.verdict) == ("server_connection_limit", CONFIRMED)
