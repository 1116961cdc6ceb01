"""The facts of a login dispute."""

import pytest

from analyzer.rules import Scene
from analyzer.rules.ledger import SECRET_WINDOW_S, Ledger, host_of, ledger
from analyzer.rules.scene import login_disputes
from analyzer.sessions.session import Session
from tests.records import ACCOUNT, full_house, login, one_pc, refused, session

PLAIN = {"mechanism": "PLAIN"}
A, B = "192.0.2.1", "192.0.2.2"


def ok(n: int, at_s: float, secret: bytes | None = None, **changes: object) -> Session:
    kind = {} if secret is None else PLAIN
    return session(f"C{n}", at_s=at_s, secret=secret, **({"frame": 100 * n, "lasts_s": 5.0} | kind | changes))


def no(n: int, at_s: float, secret: bytes | None = None, **changes: object) -> Session:
    kind = {} if secret is None else PLAIN
    return refused(f"C{n}", at_s=at_s, secret=secret, **({"frame": 100 * n} | kind | changes))


def books(*sessions: Session) -> list[Ledger]:
    return [ledger(dispute) for dispute in login_disputes(Scene(sessions))]


def book(*sessions: Session) -> Ledger:
    (only,) = books(*sessions)
    return only


def uids(pairs: list[tuple[object, ...]]) -> list[list[str]]:
    return [[x.session for x in pair] for pair in pairs]  # type: ignore[attr-defined]


def test_a_host_is_its_workstation_where_one_is_named() -> None:
    assert host_of(login(client=A, workstation="PC1")) != host_of(login(client=A, workstation="PC2"))
    assert host_of(login(client=A, mechanism="PLAIN")) == A


def test_one_secret_accepted_refused_accepted_is_a_reversal() -> None:
    found = book(ok(1, 0, b"s"), no(2, 10, b"s"), ok(3, 20, b"s"))
    assert uids(found.reversals) == [["C1", "C2", "C3"]]
    assert uids(found.kept) == [["C1", "C2"]]
    assert uids(found.regained) == [["C2", "C3"]]
    assert found.strange == []


def test_the_nearest_acceptances_are_compared() -> None:
    found = book(ok(1, 0, b"s"), ok(2, 5, b"s"), no(3, 10, b"s"), ok(4, 20, b"s"), ok(5, 30, b"s"))
    assert uids(found.reversals) == [["C2", "C3", "C4"]]


@pytest.mark.parametrize(("before", "after", "kinds"), [(-1, 1, 3), (-2000, 1, 1), (-1, 2000, 1), (-2000, 2000, 0)])
def test_a_reversal_needs_both_within_the_window(before: float, after: float, kinds: int) -> None:
    assert SECRET_WINDOW_S < 2000
    found = book(ok(1, 3000 + before, b"s"), no(2, 3000, b"s"), ok(3, 3000 + after, b"s"))
    assert sum(map(bool, (found.reversals, found.kept, found.regained))) == kinds


def test_another_secret_is_a_question_of_its_own() -> None:
    same, other = books(ok(1, 0, b"s"), no(2, 10, b"s"), no(3, 11, b"x", client=B))
    assert ([r.session.uid for r in other.strange], same.strange) == (["C3"], [])
    assert uids(same.kept) == [["C1", "C2"]]
    assert other.outsiders == {B}


def test_a_corrected_secret() -> None:
    found = book(no(1, 0, b"x", client=B), ok(2, 10, b"s", client=B), ok(3, 20, b"s"))
    assert uids(found.corrected) == [["C1", "C2"]]


def test_nothing_is_compared_when_secrets_cannot_be_read() -> None:
    found = book(ok(1, 0), no(2, 10), ok(3, 20))
    assert not (found.reversals)
    assert not (found.kept)
    assert not (found.regained)
    assert not (found.strange)
    assert not (found.corrected)


def test_witnesses_and_outsiders() -> None:
    found = book(ok(1, 0, client=A), no(2, 10, client=A), no(3, 11, client=B))
    assert {h.split()[0] for h in found.witnesses} == {A}
    assert {h.split()[0] for h in found.outsiders} == {B}
    assert found.wide


def test_one_pc_is_not_wide_and_knows_of_no_refusal_below() -> None:
    found = book(ok(1, 0, lasts_s=None), ok(2, 1, lasts_s=1.0), no(3, 30))
    assert (found.wide, found.standing.below, found.below) == (False, 1, 0)


def test_halves_are_the_two_connections_of_one_start() -> None:
    near = book(ok(1, 0, b"s"), no(2, 1, b"s"))
    assert uids(near.halves) == [["C1", "C2"]]
    assert uids(near.partners) == [["C1", "C2"]]
    assert book(ok(1, 0, b"s"), no(2, 30, b"s")).halves == []


def test_each_host_has_one_pair_of_halves() -> None:
    found = book(ok(1, 0, client=A), no(2, 1, client=A), no(3, 2, client=A), ok(4, 10, client=B), no(5, 11, client=B))
    assert uids(found.halves) == [["C1", "C2"], ["C4", "C5"]]


def test_comebacks_count_from_refusal_to_acceptance() -> None:
    story = [ok(1, 0), no(2, 1), no(3, 2), ok(4, 3), no(5, 4), ok(6, 5), ok(7, 6)]
    found = book(*story)
    assert found.comebacks == 2
    assert [x.session for x in found.interleaved] == ["C4"]
    assert [x.session for x in found.after_all] == ["C6", "C7"]


def test_a_retry_loop() -> None:
    assert book(*one_pc(3)).fast_retry_s == pytest.approx(0.1)
    assert book(*one_pc(2)).fast_retry_s is None
    assert book(no(1, 0), no(2, 100), no(3, 200)).fast_retry_s is None


def test_a_full_house_stands_clean() -> None:
    found = book(*full_house(limit=16))
    assert found.standing.clean
    assert (found.standing.height, found.below) == (16, 0)
    assert found.comebacks == 1


def test_a_session_from_before_the_capture_counts_when_there_is_one_account() -> None:
    before = ok(1, 0, logins=(), opened=1, opened_before=True, lasts_s=None)
    assert len(book(before, no(2, 10)).spans) == 1
    assert len(book(before, no(2, 10), ok(3, 20, account="other")).spans) == 0


def test_a_login_whose_account_was_lost_counts_as_the_only_one() -> None:
    found = book(ok(1, 0), no(2, 10, account=None))
    assert (found.dispute.account, len(found.refused)) == (ACCOUNT, 1)
