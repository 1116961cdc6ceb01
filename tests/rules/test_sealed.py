"""Refused logins inside TLS, by sizes and times: the shapes that are suspected, and all that only looks like them."""

from collections.abc import Callable, Sequence
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.at import Side
from analyzer.protocols.events import TlsAlert, TlsTalk, TlsTurn
from analyzer.report.result import Result
from analyzer.rules import Finding, Scene, Verdict, judge
from analyzer.rules import sealed as rule
from analyzer.rules.weigh import MARGIN_DB
from analyzer.sessions.session import Outcome, Session
from tests.records import place, result, session

C, S = Side.CLIENT, Side.SERVER
SEAL = 17
GREETING, CAPABILITY = 53, (15, 180)
LOGIN_NO, LOGIN_OK = (34, 21), (34, 24)
LOGOUT = (11, 45)
SELECT, FETCH, NOOP = (17, 300), (30, 4000), (9, 44)
A, B, D = "192.0.2.1", "192.0.2.2", "192.0.2.3"
Pairs = Sequence[tuple[int, int]]
Story = Callable[[], Sequence[Session]]


def sealed(n: int, at_s: float, said: Pairs, client: str = A, lasts_s: float = 0.2, **changes: object) -> Session:
    """An encrypted session in which these questions and answers were exchanged, by their octets in clear."""
    sizes = [(S, GREETING)] + [(side, size) for pair in said for side, size in zip((C, S), pair, strict=True)]
    at = place(100 * n + 10, at_s + min(lasts_s, 0.1))
    turns = tuple(TlsTurn(side, size + SEAL, 1, at) for side, size in sizes if size)
    more: dict[str, object] = {
        "client": client, "tls": "implicit", "server_port": 993, "outcome": Outcome.OPAQUE, "logins": (), "greeting": None,
        "greeting_status": None, "greeting_at": None, "product": None, "capability": (), "frame": 100 * n,
        "talk": TlsTalk(at, turns[:24], len(turns), whole=True),
    }  # fmt: skip
    return session(f"C{n}", at_s=at_s, lasts_s=lasts_s, **(more | changes))


def working(n: int, at_s: float, client: str = A, lasts_s: float = 300.0, login: tuple[int, int] = LOGIN_OK) -> Session:
    """A session that goes on."""
    return sealed(n, at_s, [CAPABILITY, login, SELECT, FETCH, *[NOOP] * 5], client, lasts_s)


def burst(
    n: int, at_s: float, said: Pairs, *, times: int = 5, every_s: float = 0.2, **changes: object
) -> list[Session]:
    return [sealed(n + i, at_s + i * every_s, said, **changes) for i in range(times)]  # type: ignore[arg-type]


def findings(story: Sequence[Session]) -> tuple[Finding, ...]:
    return tuple(x for x in judge(Scene(tuple(story))) if x.severity == "fault")


REFUSED = [CAPABILITY, LOGIN_NO]
SUSPECTED: dict[str, tuple[Story, str]] = {
    "one of two connections of a PC, again and again": (
        lambda: [working(1, 0), *burst(2, 0.1, REFUSED)], "per_user_connection_limit",
    ),
    "with a goodbye, every ten seconds": (
        lambda: [working(1, 0), *burst(2, 0.1, [*REFUSED, LOGOUT], every_s=10)], "per_user_connection_limit",
    ),
    "by several PCs while others work": (
        lambda: [
            *(working(n, n, client) for n, client in enumerate((A, B), 1)),
            *burst(10, 5, REFUSED, client=A), *burst(20, 6, REFUSED, client=B), *burst(30, 7, REFUSED, client=D),
        ],
        "per_user_connection_limit",
    ),
    "one PC, nobody works": (lambda: burst(1, 0, REFUSED), "bad_credentials"),
    "a wrong password on one PC while another works": (
        lambda: [working(1, 0, B), *burst(2, 0.1, REFUSED, client=A)], "bad_credentials",
    ),
    "NTLM": (lambda: burst(1, 0, [CAPABILITY, (20, 3), (60, 350), (700, 27)]), "bad_credentials"),
    "after STARTTLS": (
        lambda: [
            sealed(9, 0, [(15, 680), LOGIN_OK, SELECT, FETCH, *[NOOP] * 5], lasts_s=300.0, tls="starttls"),
            *burst(1, 0.1, REFUSED, tls="starttls"),
        ],
        "per_user_connection_limit",
    ),
    "LOGIN at once, no other question": (lambda: burst(1, 0, [LOGIN_NO]), "bad_credentials"),
}  # fmt: skip
QUIET: dict[str, Story] = {
    "a poll every minute": lambda: burst(1, 0, [CAPABILITY, LOGIN_OK, SELECT, LOGOUT], every_s=60),
    "a poll of nothing every minute": lambda: burst(1, 0, [LOGIN_OK, LOGOUT], every_s=60),
    "a poll every minute beside a session that goes on": lambda: [
        working(9, 0), *burst(1, 1, [CAPABILITY, LOGIN_OK, SELECT, LOGOUT], every_s=60),
    ],
    "a poll every ten seconds, answers as where it went on": lambda: [
        working(9, 0), *burst(1, 1, [CAPABILITY, LOGIN_OK, LOGOUT], every_s=10),
    ],
    "a poll whose answer grew by one": lambda: [
        working(9, 0), *burst(1, 1, [CAPABILITY, LOGIN_OK, (17, 301), LOGOUT], every_s=10),
    ],
    "twenty mailboxes polled at once": lambda: burst(1, 0, [CAPABILITY, LOGIN_OK, SELECT, (16, 30), LOGOUT], times=20),
    "a monitor that greets and leaves": lambda: burst(1, 0, [LOGOUT], every_s=2),
    "a monitor that asks and leaves": lambda: burst(1, 0, [CAPABILITY, LOGOUT], every_s=2),
    "a monitor that hangs up": lambda: burst(1, 0, [], every_s=1),
    "a balancer's look, CAPABILITY only": lambda: burst(1, 0, [CAPABILITY], every_s=1),
    "two refusals": lambda: burst(1, 0, REFUSED, times=2),
    "a retry every minute": lambda: [working(9, 0), *burst(1, 1, REFUSED, every_s=60)],
    "webmail pages": lambda: burst(1, 0, [CAPABILITY, LOGIN_OK, SELECT, FETCH, LOGOUT]),
    "POP3 polls": lambda: burst(1, 0, [(10, 5), (12, 30), LOGOUT], protocol="pop3", server_port=995),
    "messages handed over": lambda: burst(1, 0, [(20, 100), (60, 30)], protocol="smtp", server_port=465),
    "long sessions": lambda: [working(n, n) for n in range(1, 9)],
    "octets missing": lambda: [
        sealed(n, n, REFUSED, talk=TlsTalk(place(n, n), (TlsTurn(C, 90, 1, place(n, n)),), 1, whole=False)) for n in range(1, 9)
    ],
    "begun before the capture": lambda: burst(1, 0, REFUSED, syn_at=None),
    "decrypted": lambda: burst(1, 0, REFUSED, decrypted=True, outcome=Outcome.ACCEPTED),
}  # fmt: skip


@pytest.mark.parametrize("name", SUSPECTED)
def test_suspected_and_no_more(name: str) -> None:
    story, cause = SUSPECTED[name]
    (found,) = findings(story())
    assert (found.verdict, found.cause) == (Verdict.SUSPECTED, cause)
    assert {x.cause for x in found.candidates} >= {"per_user_connection_limit", "bad_credentials"}
    assert "inside TLS" in found.title
    assert "sizes and times alone" in found.summary
    assert any("--keylog" in x for x in found.missing)
    assert found.evidence[0].frames


@pytest.mark.parametrize("name", QUIET)
def test_look_alikes_are_passed_over(name: str) -> None:
    assert findings(QUIET[name]()) == ()


def test_no_cause_can_be_claimed_by_sizes() -> None:
    assert rule.ALL_DB < MARGIN_DB


sizes = st.tuples(st.integers(1, 60), st.integers(0, 60))
story = st.lists(
    st.tuples(st.lists(sizes, max_size=9), st.floats(0, 60), st.sampled_from([A, B]), st.floats(0.01, 90)), max_size=25
)


@settings(max_examples=60, deadline=None)
@given(story)
def test_no_sizes_ever_make_a_claim(drawn: list[tuple[list[tuple[int, int]], float, str, float]]) -> None:
    """Few different sizes, many sessions: runs, contrasts and halves come about by chance."""
    made = [
        sealed(n, at, [(a % 3 + 30, b % 3 + 20) for a, b in said], who, lasts)
        for n, (said, at, who, lasts) in enumerate(drawn, 1)
    ]
    assert all(x.verdict is Verdict.SUSPECTED for x in findings(made))


def test_many_sessions_cost_little() -> None:
    crowd = [working(n, n / 10, f"10.0.{n % 40}.1") for n in range(4000)]
    crowd += [sealed(5000 + n, n / 10, [CAPABILITY, (34, 21 + n % 500)], f"10.0.{n % 40}.1") for n in range(4000)]
    began = process_time()
    rule.sealed_disputes(Scene(tuple(crowd)), crowd)
    assert process_time() - began < 3


def broken(n: int, side: Side, words: str, *, level: str = "fatal", **changes: object) -> Session:
    alert = TlsAlert(place(100 * n + 5, n), side, level, words)
    given: dict[str, object] = {
        "alert": alert,
        "tls_offered": ("TLS 1.0",),
        "talk": TlsTalk(place(100 * n + 9, n), (), 0, whole=True),
    }
    return sealed(n, n, [], **(given | changes))  # type: ignore[arg-type]


HANDSHAKES: dict[str, tuple[Story, str, Verdict]] = {
    "the server takes no such version": (
        lambda: [broken(1, S, "protocol_version")], "rejected_by_policy", Verdict.CONFIRMED,
    ),
    "the ciphers are too weak": (
        lambda: [broken(1, S, "insufficient_security")], "rejected_by_policy", Verdict.CONFIRMED,
    ),
    "nothing in common, or a client certificate is wanted": (
        lambda: [broken(1, S, "handshake_failure")], "rejected_by_policy", Verdict.SUSPECTED,
    ),
    "the client does not trust the certificate": (
        lambda: [broken(1, C, "unknown_ca", certificate_names=("mail.example.test",))], "rejected_by_policy", Verdict.SUSPECTED,
    ),
    "the client takes no such version": (
        lambda: [broken(1, C, "protocol_version")], "rejected_by_policy", Verdict.SUSPECTED,
    ),
    "the client says something under its key": (
        lambda: [broken(1, C, "encrypted", level="unknown")], "rejected_by_policy", Verdict.SUSPECTED,
    ),
    "the server failed": (lambda: [broken(1, S, "internal_error")], "server_unavailable", Verdict.SUSPECTED),
}  # fmt: skip


@pytest.mark.parametrize("name", HANDSHAKES)
def test_handshakes_broken_off(name: str) -> None:
    story, cause, verdict = HANDSHAKES[name]
    (found,) = findings(story())
    assert (found.cause, found.verdict) == (cause, verdict)
    assert found.evidence[0].frames[0].frame == 105
    assert "handshake" in found.title
    if verdict is Verdict.SUSPECTED:
        assert any("mailscope probe" in x for x in found.missing)


@pytest.mark.parametrize(
    "story",
    [
        lambda: [broken(1, S, "protocol_version"), working(2, 3)],
        lambda: [broken(1, S, "unrecognized_name", level="warning")],
        lambda: [broken(1, C, "unknown_ca"), working(2, 3)],
    ],
    ids=["it works with another version", "a warning", "a person said yes to the certificate"],
)
def test_handshakes_that_did_no_harm(story: Story) -> None:
    assert findings(story()) == ()


def test_another_client_that_works_is_no_excuse() -> None:
    (found,) = findings([broken(1, S, "protocol_version"), working(2, 3, client=B)])
    assert found.subject.clients == (A,)


def conclusion(story: Sequence[Session]) -> str:
    made: Result = result(story, findings(story))
    return made.conclusion.cause


def test_what_stays_hidden_is_called_encrypted() -> None:
    assert conclusion(QUIET["a poll every minute"]()) == "encrypted"
    assert conclusion(SUSPECTED["one PC, nobody works"][0]()) == "bad_credentials"
