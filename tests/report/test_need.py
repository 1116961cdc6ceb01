from __future__ import annotations

from typing import Any

import pytest

from analyzer.report.model import finding_row
from analyzer.report.need import height, need, sentences
from analyzer.report.terminal import screen
from analyzer.rules.finding import Subject, Verdict
from tests.records import finding, one_pc, result

SEEN = {"product": "exchange", "clients": 20, "limit": 16, "limit_low": 16, "limit_high": 16}


def limited(verdict: Verdict = Verdict.CONFIRMED, **facts: Any) -> Any:
    return finding(verdict, facts={**SEEN, **facts}, subject=Subject(("uccx-mail",), (), "10.4.3.90", "imap"))


def test_what_is_needed_is_held_against_every_limit() -> None:
    found = need(limited())
    assert found is not None
    assert [(x.scope, x.low, x.high, x.seen, x.needed, x.enough) for x in found.limits] == [
        ("account", 16, 16, True, 53, False),
        ("store", 16, 16, False, 53, False),
        ("address", 20, 2_147_483_647, False, 2, True),
        ("server", 2000, 2_147_483_647, False, 53, True),
    ]
    assert sentences(found) == [
        "per account: MaxConnectionsPerUser 16 seen, 53 needed: too low",
        "store, per account: Maximum Allowed Service Sessions Per User 16 by default, 53 needed: too low",
        "enough: MaxConnectionFromSingleIP (per address), MaxConnections (whole server)",
    ]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"limit_high": 60, "limit_low": 50}, "MaxConnectionsPerUser 50 to 60 seen, 53 needed: may be too low"),
        (
            {"clients": 1, "agents": 20},
            "MaxConnectionFromSingleIP 20 to 2147483647 by default, 53 needed: depends on the version",
        ),
        ({"clients": 1000}, "MaxConnections 2000 to 2147483647 by default, 2503 needed: depends on the version"),
        ({"product": "dovecot", "clients": 1, "agents": 9}, "mail_max_userip_connections 16 seen, 25 needed: too low"),
    ],
)
def test_what_is_not_sure_is_said(facts: dict[str, Any], said: str) -> None:
    found = need(limited(**facts))
    assert found is not None
    assert any(said in x for x in sentences(found))


@pytest.mark.parametrize(
    "facts", [{"clients": 1}, {"clients": 3}, {"clients": 20, "limit": 60, "limit_high": 60, "limit_low": 60}]
)
def test_no_sum_where_it_would_not_cure(facts: dict[str, Any]) -> None:
    assert need(limited(**facts)) is None
    assert finding_row(limited(**facts))["capacity"] is None


def test_other_causes_have_no_need() -> None:
    assert need(finding(cause="bad_credentials", facts={"clients": 20})) is None


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"limit": 16}, "16"),
        ({"limit_low": 14}, "at least 14"),
        ({"limit_high": 16}, "at most 16"),
        ({"limit_low": 15, "limit_high": 16, "known_default": "16 = x"}, "between 15 and 16: 16 = x"),
        ({"limit_low": 16, "limit_high": 16, "known_default": "16 = x"}, "16 = x"),
        ({"limit_low": 12, "limit_high": 12}, "12"),
        ({}, ""),
    ],
)
def test_the_height_in_words(facts: dict[str, Any], said: str) -> None:
    assert height(finding(Verdict.LIKELY, facts=facts)) == said


def test_a_lower_bound_of_a_suspicion_is_not_worth_a_line() -> None:
    assert height(finding(Verdict.SUSPECTED, facts={"limit_low": 3})) == ""


def test_the_json_has_the_range_and_the_sum() -> None:
    row = finding_row(limited(known_default="16 = x"))
    assert row["limit_estimate"] == {"low": 16, "high": 16, "known_default": "16 = x"}
    capacity = row["capacity"]
    assert (capacity["clients"], capacity["needed"], capacity["reserve_percent"], capacity["advised"]) == (
        20,
        42,
        25,
        53,
    )
    assert capacity["limits"][0]["enough"] is False
    assert finding_row(finding())["limit_estimate"] is None


def test_the_screen_shows_both() -> None:
    shown = screen(
        result(one_pc(), [limited(known_default="16 = Exchange 2010 to SE, default of MaxConnectionsPerUser")])
    )
    assert "   limit   16 = Exchange 2010 to SE, default of MaxConnectionsPerUser" in shown
    assert "   needs   per account: MaxConnectionsPerUser 16 seen, 53 needed: too low" in shown
    assert "needs" not in screen(result(one_pc(), [limited(Verdict.SUSPECTED)]))
