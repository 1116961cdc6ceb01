import re
from pathlib import Path

import pytest

from analyzer.sessions.records.align import Aligned, align, same_account
from analyzer.sessions.records.record import Record
from analyzer.sessions.session import Outcome, Session
from tests.logs import DENIED, LIMIT, dovecot, exchange, log
from tests.records import changed, full_house, one_pc, refused, session

HOUSE = full_house(agents=10, limit=16)
PC = one_pc(5)


def beside(folder: Path, text: str, story: tuple[Session, ...]) -> Aligned:
    return align(log(folder, text), story)


@pytest.mark.parametrize("ahead_s", [0.0, 0.4, -3.0, 45.0, -299.0, 540.0])
def test_address_and_port_tell_each_login_and_the_clock(tmp_path: Path, ahead_s: float) -> None:
    found = beside(tmp_path, exchange(HOUSE, ahead_s=ahead_s), HOUSE)
    assert len(found.matches) == len(found.records) == len(HOUSE)
    assert found.offset is not None
    assert found.offset / 1e9 == pytest.approx(ahead_s, abs=0.002)
    assert all(m.session.client_port == m.record.client_port for m in found.matches)
    assert all(
        m.record.ts == pytest.approx(m.login.decided.ts, abs=2e6) for m in found.matches if m.login and m.login.decided
    )


@pytest.mark.parametrize("zone_h", [0, 1, -5, 5.5, 12, -12])
def test_local_time_without_a_port_is_told_by_account_and_order(tmp_path: Path, zone_h: float) -> None:
    found = beside(tmp_path, dovecot(HOUSE, zone_h=zone_h), HOUSE)
    assert found.offset is not None
    assert found.offset / 1e9 == pytest.approx(zone_h * 3600, abs=1.5)
    assert len(found.matches) >= len(HOUSE) * 0.95
    assert all(
        m.login and m.login.account == m.record.account and m.session.client == m.record.client for m in found.matches
    )
    assert found.timed


def test_a_time_without_a_year_gets_the_captures(tmp_path: Path) -> None:
    found = beside(tmp_path, dovecot(HOUSE), HOUSE)  # the file is of today, the capture of 2024
    assert {m.record.ts // (86_400 * 10**9) for m in found.matches if m.record.ts} == {
        HOUSE[0].start // (86_400 * 10**9)
    }


@pytest.mark.parametrize(
    "text",
    [
        exchange(PC, moved=7),
        exchange(PC, ahead_s=86_400.0),
        exchange(PC, ahead_s=-3600.0),
        exchange(PC, server="198.51.100.7", account="other"),
        exchange(PC, account="other"),
        re.sub('"R=.*"', "R=OK", exchange(PC)),
        dovecot(PC, server="198.51.100.7"),
        dovecot(PC, words="Login"),
        dovecot(PC).replace("user=<uccx-mail>", "user=<other>"),
        dovecot(PC, zone_h=24),
    ],
    ids=["port", "day", "hour", "server", "account", "outcome", "server 2", "outcome 2", "account 2", "day 2"],
)
def test_what_is_of_others_matches_nothing(tmp_path: Path, text: str) -> None:
    found = beside(tmp_path, text, PC)
    assert found.matches == ()
    assert len(found.records) == 5


def test_a_balancer_changes_the_servers_address_only(tmp_path: Path) -> None:
    assert len(beside(tmp_path, exchange(PC, server="198.51.100.7"), PC).matches) == 5


def test_a_zone_that_several_offsets_explain_is_not_told(tmp_path: Path) -> None:
    # One login every quarter of an hour: any zone would fit.
    story = tuple(refused(f"C{n}", at_s=900.0 * n) for n in range(20))
    found = beside(tmp_path, dovecot(story[5:15], zone_h=2), story)
    assert (found.offset, found.matches, found.timed) == (None, (), False)


def test_a_session_whose_logins_are_hidden_is_told_by_its_port(tmp_path: Path) -> None:
    hidden = tuple(changed(s, logins=(), outcome=Outcome.OPAQUE, tls="implicit") for s in PC)
    found = beside(tmp_path, exchange(PC), hidden)
    assert [m.login for m in found.matches] == [None] * 5
    assert {m.session.uid for m in found.matches} == {s.uid for s in PC}


def test_each_record_and_each_login_is_used_once(tmp_path: Path) -> None:
    text = exchange(PC)
    twice = text + "\n".join(text.splitlines()[4:]) + "\n"
    found = beside(tmp_path, twice, PC)
    assert len(found.records) == 10
    assert len(found.matches) == len({m.session.uid for m in found.matches}) == 5


def test_without_a_capture(tmp_path: Path) -> None:
    found = beside(tmp_path, exchange(PC), ())
    assert (found.matches, found.offset, len(found.records)) == ((), None, 5)
    assert (found.seen.records, found.seen.matched, found.seen.times) == (5, 0, "utc")


def test_a_large_log_is_matched_in_time(tmp_path: Path) -> None:
    story = tuple(session(f"C{n}", at_s=0.5 * n, lasts_s=0.4) for n in range(4000))
    found = beside(tmp_path, dovecot(story, zone_h=-8, words=""), story)
    assert len(found.matches) > 3900


@pytest.mark.parametrize(
    ("mine", "theirs", "same"),
    [
        (("desk", None), ("Desk", None), True),
        (("desk", "CORP"), ("desk", "corp"), True),
        (("desk", "CORP"), ("desk", "OTHER"), False),
        (("desk@a.example", None), ("desk@b.example", None), False),
        (("desk@a.example", None), ("desk", None), True),
        (("desk@a.example", None), ("desk", "CORP"), True),
        (("desk", None), ("desk2", None), False),
        ((None, None), ("desk", None), False),
        (("desk", None), (None, None), False),
    ],
)
def test_accounts(mine: tuple[str | None, str | None], theirs: tuple[str | None, str | None], same: bool) -> None:
    record = Record("x", 1, None, "", account=mine[0], domain=mine[1])
    assert same_account(record, *theirs) is same


def test_reasons_go_with_their_logins(tmp_path: Path) -> None:
    found = beside(tmp_path, exchange(PC, lambda x: DENIED if x.session == "C3" else LIMIT), PC)
    assert {m.session.uid: m.record.cause for m in found.matches}["C3"] == "bad_credentials"
    assert sum(m.record.cause == "per_user_connection_limit" for m in found.matches) == 4
