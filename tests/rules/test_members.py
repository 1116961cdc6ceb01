"""Several servers behind one address: each counts for itself, and NTLM tells which one answered."""

from collections.abc import Sequence
from typing import Any

import pytest

from analyzer.rules import Finding, Scene, judge
from analyzer.rules.ledger import ledger
from analyzer.rules.scene import login_disputes
from analyzer.sessions.session import Outcome, Session
from tests.model import ACCOUNT, Limits, Server, agents, simulate
from tests.records import login, session
from tests.simulated import sessions

LIMIT, WRONG = "per_user_connection_limit", "bad_credentials"


def at(member: str | None, n: int, at_s: float, **changes: Any) -> Session:
    """A session, or an attempt, of the PC with this number on one of the servers."""
    given: dict[str, Any] = {"client": f"192.0.2.{n}", "lasts_s": None, "account": "box"} | changes
    s = session(f"C{1000 * n + round(at_s * 10)}", at_s=at_s, frame=round(at_s * 1000), **given)
    (asked,) = s.logins
    return s._replace(logins=(asked._replace(server_name=member, workstation=f"PC{n}"),))


def no(member: str | None, n: int, at_s: float) -> Session:
    return at(member, n, at_s, outcome=Outcome.REFUSED, lasts_s=0.2)


def full_and_free(names: tuple[str | None, str | None]) -> list[Session]:
    """Four sessions fill the one server, whose PC 9 never gets in; the other takes in one PC after the other."""
    full, free = names
    inside = [at(full, n, n) for n in (1, 2, 3, 4)]
    others = [at(free, n, 10.0 + 10 * n) for n in (5, 6, 7, 8)]
    return [*inside, *others, *(no(full, 9, 20.0 + 5 * i) for i in range(20))]


def found(story: Sequence[Session]) -> Finding:
    (finding,) = judge(Scene(story))
    return finding


def test_one_left_out_by_a_full_server_has_no_wrong_password() -> None:
    found_there = found(full_and_free(("EXCH01", "EXCH02")))
    assert (found_there.cause, found_there.verdict.value) == (LIMIT, "suspected")


@pytest.mark.parametrize("names", [("EXCH01", "EXCH01"), ("EXCH01", None), (None, "EXCH01"), (None, None)])
def test_on_one_server_the_same_is_a_wrong_password(names: tuple[str | None, str | None]) -> None:
    """What the protection leaves as it was: others come in with more sessions open, and only that PC never does."""
    assert (found(full_and_free(names)).cause, found(full_and_free(names)).verdict.value) == (WRONG, "likely")


def shifts(mechanism: str) -> tuple[Session, ...]:
    """Eighteen PCs with two connections each, which they close and open anew, at two servers that take ten."""
    people = agents(18, mechanism=mechanism, stay_s=(30.0, 90.0), reopen_s=5.0, burst=2, rest_s=10.0)
    return sessions(simulate(Server(limits=Limits(per_user=10), members=2), people, until_s=300.0, seed=3))


def test_the_limit_of_each_is_found_and_both_are_told() -> None:
    finding = found(shifts("NTLM"))
    assert (finding.cause, finding.verdict.value) == (LIMIT, "confirmed")
    assert (finding.facts["limit"], finding.facts["servers"]) == (10, 2)
    assert "Each of the 2 servers behind that address counts for itself." in finding.summary
    assert "each of the 2 servers behind the address counted for itself" in finding.evidence[0].text


def test_where_logins_name_no_server_there_is_one() -> None:
    assert "servers" not in found(shifts("PLAIN")).facts


def test_one_login_that_names_no_server_leaves_all_in_one_pot() -> None:
    story = shifts("NTLM")
    (dispute,) = login_disputes(Scene(story))
    assert ledger(dispute).members == {"EXCH01", "EXCH02"}
    (dispute,) = login_disputes(Scene([*story, at(None, 70, 300.0, account=ACCOUNT, server=Server().address)]))
    assert ledger(dispute).members == frozenset()


def test_sessions_from_before_the_capture_may_be_on_either() -> None:
    """They name no server, so they make a refusal unsure that would else lie below an acceptance."""
    story = full_and_free(("EXCH01", "EXCH02"))
    (dispute,) = login_disputes(Scene(story))
    before = ledger(dispute).standing.unsure
    old = [at("EXCH01", n, 0.1, opened_before=True)._replace(logins=()) for n in (30, 31)]
    (dispute,) = login_disputes(Scene([*story, *old]))
    assert ledger(dispute).standing.unsure == before + 2


def test_the_name_of_a_session_is_its_last_logins() -> None:
    first, second = login(server_name="A"), login(server_name=None)
    assert session(logins=(first, second)).server_name == "A"
    assert session(logins=()).server_name is None
