"""Before and after: what is fixed, what is new, what is still there, and what the later captures do not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import analyzer
from analyzer import Analysis
from analyzer.errors import AnalyzerError
from analyzer.rules.finding import Finding, Subject, Verdict
from analyzer.sessions.session import Outcome
from tests.records import ACCOUNT, SERVER, finding, full_house, refused, result, session

SAMPLES = Path(__file__).parents[1] / "sample_pcaps"
PC = "10.4.4.95"
LIMIT = finding(Verdict.CONFIRMED, facts={"limit": 16}, title="limit of 16")
PASSWORD = finding(
    Verdict.CONFIRMED, cause="bad_credentials", title="wrong password", subject=Subject((ACCOUNT,), (PC,), SERVER)
)
CLOSED = finding(Verdict.CONFIRMED, cause="port_closed", title="port closed", subject=Subject((), (PC,), SERVER))


def case(sessions: Any = (), *findings: Finding) -> Analysis:
    return Analysis(result(sessions, findings), (), frozenset(), "native")


def crowd(people: int) -> list[Any]:
    """So many sessions of the account open at once, one for each client."""
    return [session(f"C{n}", client=f"10.1.1.{n}", at_s=float(n), lasts_s=None) for n in range(1, people + 1)]


def told(old: Finding, after: Analysis) -> tuple[str, str]:
    """State and reason of the one earlier finding."""
    (change,) = [x for x in analyzer.compare(case((), old), after).changes if x.before is old]
    return change.state, change.reason


def test_a_limit_is_fixed_when_more_were_open_than_had_met_it() -> None:
    assert told(LIMIT, case(crowd(17))) == (
        "fixed",
        "17 accepted logins and no refusal there, with 17 sessions open at once",
    )


@pytest.mark.parametrize("people", [3, 16])
def test_a_limit_that_nobody_tried_is_not_fixed(people: int) -> None:
    state, reason = told(LIMIT, case(crowd(people)))
    assert state == "unsettled"
    assert reason == f"not found again, but at most {people} sessions at once, where 16 met the limit"


def test_a_limit_of_unknown_height_is_not_fixed() -> None:
    assert told(LIMIT._replace(facts={}), case(crowd(30)))[0] == "unsettled"


def test_sessions_of_others_do_not_try_a_limit() -> None:
    others = [session(f"C{n}", account="other", client=f"10.1.1.{n}", lasts_s=None) for n in range(1, 30)]
    assert told(LIMIT, case([*others, *crowd(3)]))[0] == "unsettled"
    elsewhere = [x._replace(server="10.9.9.9") for x in crowd(30)]
    assert told(LIMIT, case([*elsewhere, *crowd(3)]))[0] == "unsettled"


def test_a_limit_per_address_counts_an_address() -> None:
    per_ip = LIMIT._replace(cause="per_ip_connection_limit", facts={"limit": 10})
    assert told(per_ip, case(crowd(30)))[0] == "unsettled"
    one = [session(f"C{n}", at_s=float(n), lasts_s=None) for n in range(1, 12)]
    assert told(per_ip, case(one))[0] == "fixed"


def test_a_password_is_fixed_when_the_refused_client_gets_in() -> None:
    assert told(PASSWORD, case([session(client=PC)])) == ("fixed", "1 accepted login and no refusal there")


def test_a_password_is_not_fixed_by_others_that_get_in() -> None:
    state, reason = told(PASSWORD, case(crowd(5)))
    assert state == "unsettled"
    assert "no login of those concerned was accepted" in reason


@pytest.mark.parametrize("after", [(), (session(outcome=Outcome.OPAQUE),)])
@pytest.mark.parametrize("old", [LIMIT, PASSWORD, CLOSED], ids=lambda x: x.cause)
def test_captures_without_a_login_cure_nothing(old: Finding, after: Any) -> None:
    assert told(old, case(after))[0] == "unsettled"


def test_refusals_under_another_name_are_no_cure() -> None:
    after = case([session("C1", client=PC), refused("C2", client=PC)], finding(cause="account_locked"))
    assert told(PASSWORD, after) == (
        "unsettled",
        "not found again, but 1 refusal there, put down to account locked or disabled",
    )
    turned = session("C2", outcome=Outcome.REFUSED_AT_GREETING)
    assert told(CLOSED, case([session(client=PC), turned]))[0] == "unsettled"


def test_a_port_is_open_when_somebody_logs_in_in_its_protocol() -> None:
    assert told(CLOSED, case([session(client=PC)]))[0] == "fixed"
    assert told(CLOSED, case([session(client=PC)._replace(protocol="pop3")]))[0] == "unsettled"


def test_what_is_found_again_is_still_there_with_both_verdicts() -> None:
    again = LIMIT._replace(verdict=Verdict.LIKELY)
    found = analyzer.compare(case((), LIMIT), case(full_house(), again))
    assert (found.new, found.still, found.unsettled, found.fixed) == ((), (again,), (), ())
    assert found.changes[0].reason == "confirmed before, likely after"


@pytest.mark.parametrize(
    "subject",
    [Subject(("other",), (), SERVER), Subject((ACCOUNT,), (), "10.9.9.9"), Subject((ACCOUNT,), (), SERVER, "pop3")],
)
def test_the_same_cause_elsewhere_is_another_trouble(subject: Subject) -> None:
    found = analyzer.compare(case((), LIMIT), case((), LIMIT._replace(subject=subject)))
    assert [x.state for x in found.changes] == ["new", "unsettled"]


def test_habits_and_what_is_ruled_out_are_no_troubles() -> None:
    habit = finding(cause="undetermined", severity="warning")
    out = finding(Verdict.RULED_OUT, cause="port_closed")
    found = analyzer.compare(case((), habit, out), case((), habit, out))
    assert found.changes == ()
    assert repr(found) == "nothing wrong in either"
    assert "nothing wrong" in found._repr_html_()
    assert len(found.table) == 0


def test_the_table_has_types_and_a_row_for_each_trouble() -> None:
    table = analyzer.compare(case((), PASSWORD, LIMIT), case([session(client=PC)], CLOSED)).table
    assert table["state"].tolist() == ["new", "unsettled", "fixed"]
    assert table["cause"].tolist() == ["port_closed", "per_user_connection_limit", "bad_credentials"]
    assert table["after"].isna().tolist() == [False, True, True]
    assert "object" not in {str(x) for x in table.dtypes}


def test_hostile_titles_are_escaped_in_a_notebook() -> None:
    html = analyzer.compare(case(), case((), LIMIT._replace(title="<script>alert(1)</script>")))._repr_html_()
    assert "<script" not in html
    assert "NEW" in html


def test_paths_patterns_and_analyses_are_taken() -> None:
    wrong = SAMPLES / "wrong_password_everywhere.pcap"
    after = analyzer.read(SAMPLES / "healthy.pcap")
    for before in (wrong, str(wrong), [wrong], analyzer.read(wrong)):
        assert [x.cause for x in analyzer.compare(before, after).fixed] == ["bad_credentials"]
    with pytest.raises(AnalyzerError, match="no capture"):
        analyzer.compare([], after)


def test_one_pc_and_the_server_tell_of_the_same_trouble() -> None:
    found = analyzer.compare(SAMPLES / "one_agent_refused.pcap", SAMPLES / "server_side_limit.pcap")
    assert [x.reason for x in found.changes] == ["suspected before, confirmed after"]


def test_a_look_alike_does_not_cure_the_limit() -> None:
    found = analyzer.compare(SAMPLES / "server_side_limit.pcap", SAMPLES / "wrong_password_one_pc.pcap")
    assert [x.cause for x in found.new] == ["bad_credentials"]
    assert [x.cause for x in found.unsettled] == ["per_user_connection_limit"]
