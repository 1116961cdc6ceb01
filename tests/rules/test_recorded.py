"""What a server's log decides, and the look-alikes it must not."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from analyzer.rules.engine import judge
from analyzer.rules.finding import CLAIMS, Finding
from analyzer.rules.scene import Known, Scene
from analyzer.sessions.records.align import align
from analyzer.sessions.session import Login, Outcome, Session
from tests.logs import DENIED, LIMIT, STORE_TEXT, USER_TEXT, dovecot, event_text, event_xml, exchange, log
from tests.records import ACCOUNT, changed, full_house, ns, one_pc, refused, session
from tests.rules.stories import complaint, silent

USER_LIMIT, CREDENTIALS, LOCKED, STORE = (
    "per_user_connection_limit",
    "bad_credentials",
    "account_locked",
    "store_session_limit",
)
PC = one_pc(5)
"""One PC, five refusals, nobody accepted: without a log, suspected."""
Judge = Callable[..., tuple[Finding, ...]]


@pytest.fixture
def judged(tmp_path: Path) -> Judge:
    """What is said of sessions beside these logs."""

    def say(story: Iterable[Session], *texts: str) -> tuple[Finding, ...]:
        sessions = tuple(story)
        logs = [align(log(tmp_path, text, f"server{n}.LOG"), sessions) for n, text in enumerate(texts)]
        return judge(Scene(sessions, Known(), logs))

    return say


def claims(found: Iterable[Finding], *, severity: str = "fault") -> list[tuple[str, str]]:
    return [(f.verdict.value, f.cause) for f in found if f.severity == severity and f.verdict in CLAIMS]


def test_without_a_log_it_is_not_decided(judged: Judge) -> None:
    assert claims(judged(PC)) == []


@pytest.mark.parametrize(
    ("reason", "verdict", "cause"),
    [
        (LIMIT, "confirmed", USER_LIMIT),
        (DENIED, "likely", CREDENTIALS),
        ("LogonFailed:AccountLockedOut", "confirmed", LOCKED),
        ("UserDisabled", "confirmed", LOCKED),
        ("PasswordExpired", "confirmed", CREDENTIALS),
        ("AuthFailed:LogonDenied-BasicAuthBlocked", "confirmed", "auth_method_refused"),
    ],
)
def test_the_record_of_the_refused_login_decides(judged: Judge, reason: str, verdict: str, cause: str) -> None:
    found = judged(PC, exchange(PC, reason))
    assert claims(found) == [(verdict, cause)]
    (proof,) = [e for e in found[0].evidence if e.kind == "record" and e.weight_db > 0]
    assert proof.text.startswith("server0.LOG line 5: the server's own log says")
    assert [x.frame for x in proof.frames] == [s.logins[0].decided.frame for s in PC if s.logins[0].decided]
    assert proof.filter.startswith("frame.number in {")
    assert proof.decisive is (verdict == "confirmed")


def test_the_clock_is_told(judged: Judge) -> None:
    (proof, *_) = judged(PC, exchange(PC, ahead_s=-90.25))[0].evidence
    assert "90.2 s behind the capture's" in proof.text or "90.3 s behind the capture's" in proof.text


def test_it_speaks_against_the_limit(judged: Judge) -> None:
    story = full_house(agents=10, limit=16)
    assert USER_LIMIT in {cause for _, cause in claims(judged(story))}
    assert USER_LIMIT not in {cause for _, cause in claims(judged(story, exchange(story, DENIED)))}


@pytest.mark.parametrize(
    "text",
    [
        exchange(PC, account="other"),
        exchange(PC, server="198.51.100.7", moved=9),
        exchange(PC, server="198.51.100.7", account="other"),
        exchange(PC, ahead_s=86_400.0),
        exchange(PC, ahead_s=-7200.0),
        exchange(PC, ""),
        dovecot(PC, server="198.51.100.7"),
        dovecot(PC, zone_h=24),
        dovecot(PC).replace(ACCOUNT, "other"),
        dovecot(PC).replace("rip=10.4.4.95", "rip=10.4.4.96"),
        event_text(1009, "MSExchangeIMAP4", "2024-03-04T11:15:58.000", USER_TEXT.format(ACCOUNT)),
        event_xml(1009, "MSExchangeIMAP4", ns(118), [ACCOUNT, "16"]),
        event_xml(1009, "MSExchangeIMAP4", ns(118), ["other", "16"]),
        event_xml(1009, "MSExchangePOP3", ns(118), [ACCOUNT, "16"]),
        event_xml(9646, "MSExchangeIS", ns(118), (), STORE_TEXT.format(ACCOUNT)),
    ],
    ids=[
        "another account", "another server", "both", "another day", "two hours before", "no reason", "another server 2",
        "another day 2", "another account 2", "another client", "local time", "nothing ties it to the server",
        "another account 3", "another protocol", "another phase",
    ],
)  # fmt: skip
def test_a_log_of_something_else_convicts_nobody(judged: Judge, text: str) -> None:
    found = judged(PC, text)
    assert claims(found) == []
    mine = [f for f in found if f.severity == "fault" and ACCOUNT in f.subject.accounts]
    assert [f.verdict.value for f in mine] == ["suspected"]


def test_another_accounts_limit_is_told_as_an_aside(judged: Judge) -> None:
    found = judged(PC, exchange(PC, account="other"))
    assert claims(found, severity="warning") == [("confirmed", USER_LIMIT)]
    assert found[-1].subject.accounts == ("other",)
    assert "nothing of it is in the capture" in found[-1].summary


def test_one_wrong_password_during_a_limit_is_a_question_of_its_own(judged: Judge) -> None:
    story = full_house(agents=10, limit=16)
    stranger = tuple(
        refused(f"C{900 + n}", at_s=130.0 + n, frame=90_000 + 30 * n, client="10.4.4.200") for n in range(3)
    )

    def why(login: Login) -> str:
        return DENIED if login.client == "10.4.4.200" else LIMIT

    found = judged((*story, *stranger), exchange((*story, *stranger), why))
    assert claims(found) == [("confirmed", USER_LIMIT), ("likely", CREDENTIALS)]
    assert [f.subject.clients for f in found if f.cause == CREDENTIALS] == [("10.4.4.200",)]
    assert all("10.4.4.200" not in f.subject.clients for f in found if f.cause == USER_LIMIT)


def test_refusals_without_a_record_join_those_that_have_one_when_most_do(judged: Judge) -> None:
    most, few = exchange(PC[:4]), exchange(PC[:1])
    (joined,) = [f for f in judged(PC, most) if f.severity == "fault"]
    assert (joined.facts["refused"], joined.verdict.value) == (5, "confirmed")
    assert "4 of 5 refusals" in joined.evidence[0].text
    apart = [(f.verdict.value, f.facts["refused"]) for f in judged(PC, few) if f.severity == "fault"]
    assert apart == [("confirmed", 1), ("suspected", 4)]


def test_an_event_of_the_account_at_the_server_adds_up_with_what_is_seen(judged: Judge) -> None:
    named = [changed(x, server_name="EXCH01.corp.example") for s in PC for x in s.logins]
    story = (
        session("C90", at_s=60.0, lasts_s=None, client="10.4.4.1"),
        *(changed(s, logins=(x,)) for s, x in zip(PC, named, strict=True)),
    )
    event = event_xml(1009, "MSExchangeIMAP4", ns(118), [ACCOUNT, "16"])
    assert claims(judged(story, event)) == [("likely", USER_LIMIT)]
    assert judged(story, event)[0].facts["limit"] == 16
    assert claims(judged(story, event.replace("EXCH01", "EXCH02"))) == []
    assert claims(judged(story)) == []


@pytest.mark.parametrize(
    ("at_s", "account", "cause"), [(30, ACCOUNT, True), (30, "other", False), (9000, ACCOUNT, False)]
)
def test_event_9646_decides_what_was_refused_after_the_login(
    judged: Judge, at_s: float, account: str, cause: bool
) -> None:
    story = [complaint(n, 20.0 + n, "Server Unavailable. 15", client=f"192.0.2.{n}") for n in range(17, 21)]
    found = judged(
        story, event_xml(9646, "MSExchangeIS", ns(at_s), (), STORE_TEXT.format(account).replace('"', "&quot;"))
    )
    assert claims(found) == ([("confirmed", STORE)] if cause else [])
    assert claims(judged(story)) == []


def test_a_full_login_service_is_why_nobody_is_greeted(judged: Judge) -> None:
    greeted = [session(f"C{n}", at_s=0.1 * n, client=f"192.0.2.{n}", lasts_s=None) for n in range(1, 4)]
    story = [*greeted, *(silent(20 + n, 20.0 + n, client=f"192.0.2.{20 + n}") for n in range(3))]
    line = "Mar  4 09:14:2{} mail dovecot: master: Warning: service(imap-login): process_limit (100) reached, client connections are being dropped\n"
    full = line.format(1) + line.format(3)
    assert claims(judged(story, dovecot(greeted) + full)) == [("confirmed", "server_connection_limit")]
    assert ("confirmed", "server_connection_limit") not in claims(judged(story, full))  # whose log it is nobody knows
    assert ("confirmed", "server_connection_limit") not in claims(judged(story, dovecot(greeted)))


def test_the_wire_wins_where_it_says_why(judged: Judge) -> None:
    words = {
        "text": "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
        "code": "LIMIT",
    }
    story = tuple(changed(s, product="dovecot", logins=tuple(changed(x, **words) for x in s.logins)) for s in PC)
    auth = dovecot(story, words="Disconnected (auth failed, 1 attempts in 2 secs)")
    assert claims(judged(story, auth)) == [("confirmed", USER_LIMIT)]


# -- the log alone


def test_a_log_alone_is_judged(judged: Judge) -> None:
    (found,) = judged((), exchange(full_house(agents=10, limit=16)))
    assert (found.verdict.value, found.cause, found.severity) == ("confirmed", USER_LIMIT, "fault")
    assert found.subject.accounts == (ACCOUNT,)
    assert found.evidence[0].frames == ()
    assert "server0.LOG lines " in found.evidence[0].text
    assert "there is no capture beside it" in found.summary
    assert found.remedies


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(DENIED, [("likely", CREDENTIALS)]), ("", [])],
)
def test_a_log_alone_claims_no_more_than_it_says(judged: Judge, reason: str, expected: list[tuple[str, str]]) -> None:
    found = judged((), exchange(PC, reason))
    assert claims(found) == expected
    assert len(found) == 1


def test_the_limits_height_is_the_logs(judged: Judge) -> None:
    (found,) = judged((), dovecot(PC))
    assert (found.facts["limit"], found.facts["product"], found.verdict.value) == (10, "dovecot", "confirmed")
    assert "local time" in found.summary


def test_guessers_are_told_as_one(judged: Judge) -> None:
    text = exchange(PC[:1], DENIED)
    lines = [text.splitlines()[-1].replace(ACCOUNT, f"guess{n}") for n in range(50)]
    (found,) = judged((), text + "\n".join(lines))
    assert found.title.startswith("wrong or changed password: 51 accounts")
    assert len(found.subject.accounts) == 20


def test_hidden_logins_are_told_by_the_log(judged: Judge) -> None:
    hidden = tuple(changed(s, logins=(), outcome=Outcome.OPAQUE, tls="implicit") for s in PC)
    (found,) = judged(hidden, exchange(PC))
    assert (found.verdict.value, found.cause, found.severity) == ("confirmed", USER_LIMIT, "fault")
    assert len(found.evidence[0].frames) == 5
    assert "their logins cannot be read there" in found.summary
    other = judged(hidden, exchange(PC, moved=100))
    assert claims(other) == []


def test_a_healthy_capture_stays_healthy(judged: Judge) -> None:
    story = (session("C1"), session("C2", at_s=5.0))
    found = judged(story, exchange(PC, ahead_s=-86_400.0))
    assert claims(found) == []
    assert claims(found, severity="warning") == [("confirmed", USER_LIMIT)]
