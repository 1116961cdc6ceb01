from __future__ import annotations

from collections.abc import Iterable

import pytest

from analyzer.rules import Finding, Known, Scene, judge
from analyzer.sessions.session import Outcome, Session
from tests.records import full_house, one_pc, session
from tests.rules.stories import A, B, bye, complaint, no, ok, told


def first(sessions: Iterable[Session], cause: str, known: Known | None = None) -> Finding:
    found = [f for f in judge(Scene(tuple(sessions), known or Known())) if f.cause == cause]
    assert found
    return found[0]


def bounds(finding: Finding) -> tuple[object, object]:
    return finding.facts.get("limit_low"), finding.facts.get("limit_high")


@pytest.mark.parametrize("limit", [3, 10, 13, 16])
def test_at_the_server_both_bounds_meet(limit: int) -> None:
    finding = first(full_house(limit=limit), "per_user_connection_limit")
    assert bounds(finding) == (limit, limit)
    known = {10: "10 = Exchange 2007", 16: "16 = Exchange 2010 to SE"}.get(limit)
    told = str(finding.facts.get("known_default", ""))
    assert told.startswith(known) if known else told == ""
    assert (f"That fits {known}" in finding.summary) if known else ("That fits" not in finding.summary)


def test_one_pc_sets_no_upper_bound() -> None:
    story = [ok(1, 0.0), *(no(n, 1.0 + n / 10) for n in range(2, 8))]
    found = [f for f in judge(Scene(tuple(story))) if f.facts.get("limit_low")]
    assert all("limit_high" not in f.facts and "known_default" not in f.facts for f in found)
    assert bounds(first(one_pc(), "per_user_connection_limit")) == (None, None)


def test_encrypted_sessions_take_the_upper_bound_away() -> None:
    veiled = session(
        "C900", client="10.4.4.77", capture="exchange.pcap", logins=(), outcome=Outcome.OPAQUE, tls="implicit"
    )
    low, high = bounds(first([*full_house(limit=16), veiled], "per_user_connection_limit"))
    assert (low, high) == (16, None)


def test_refusals_lower_than_an_acceptance_bound_nothing() -> None:
    story = [*full_house(limit=16), no(900, 1.0, client="10.4.4.77", capture="exchange.pcap")]
    low, high = bounds(first(story, "per_user_connection_limit"))
    assert (low, high) == (16, None)


def test_what_is_told_is_taken() -> None:
    text = "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)"
    story = [ok(1, 0.0, product="dovecot"), told(2, 1.0, text, code="UNAVAILABLE", product="dovecot")]
    finding = first(story, "per_user_connection_limit")
    assert bounds(finding) == (10, 10)
    assert finding.facts["known_default"] == "10 = Dovecot, default of mail_max_userip_connections"
    known = Known(others_working=True, credentials_verified=True, limit=12)
    assert bounds(first(one_pc(), "per_user_connection_limit", known)) == (12, 12)


def test_a_full_server_is_bounded_by_all_its_connections() -> None:
    held = [ok(n, 0.1 * n, lasts_s=None, client=f"192.0.2.{n}") for n in range(1, 8)]
    turned = [
        bye(20 + n, 10.0 + n, "Connection is closed. 10", client=f"192.0.2.{100 + n % 3}", product="exchange")
        for n in range(6)
    ]
    finding = first([*held, *turned], "server_connection_limit")
    assert bounds(finding) == (7, 7)


def test_the_stores_limit_counts_working_sessions() -> None:
    held = [ok(n, 0.1 * n, lasts_s=None, client=f"192.0.2.{n}") for n in range(1, 17)]
    failing = [complaint(20 + n, 10.0 + n, "Server Unavailable. 15", client=A) for n in range(4)]
    finding = first([*held, *failing], "store_session_limit")
    assert bounds(finding) == (16, 16)
    assert "Maximum Allowed Service Sessions Per User" in str(finding.facts["known_default"])


def test_other_causes_have_no_height() -> None:
    story = [ok(1, 0.0, b"good", client=A), *(no(n, 1.0 + n, b"bad", client=B) for n in range(2, 6))]
    finding = first(story, "bad_credentials")
    assert bounds(finding) == (None, None)
