from __future__ import annotations

import pytest

from analyzer.remedies import fill
from analyzer.rules.finding import Verdict
from analyzer.sessions.session import Outcome
from tests.records import capture_seen, finding, one_pc, result, session


@pytest.mark.parametrize(
    ("verdicts", "severity", "cause", "status"),
    [
        ([Verdict.CONFIRMED], "fault", "per_user_connection_limit", 10),
        ([Verdict.LIKELY], "fault", "per_user_connection_limit", 10),
        ([Verdict.SUSPECTED], "fault", "per_user_connection_limit", 11),
        ([Verdict.SUSPECTED, Verdict.LIKELY], "fault", "per_user_connection_limit", 10),
        ([Verdict.RULED_OUT], "fault", "healthy", 0),
        ([Verdict.NOT_SEEN], "fault", "healthy", 0),
        ([Verdict.FAILED], "fault", "healthy", 0),
        ([Verdict.CONFIRMED], "warning", "healthy", 0),
        ([Verdict.CONFIRMED], "info", "healthy", 0),
        ([], "fault", "healthy", 0),
    ],
)
def test_conclusion_and_status_follow_the_first_fault(
    verdicts: list[Verdict], severity: str, cause: str, status: int
) -> None:
    made = result([session()], [finding(x, severity=severity) for x in verdicts])
    assert made.conclusion.cause == cause
    assert made.exit_status == status
    assert made.conclusion.verdict == (verdicts[0] if cause != "healthy" else None)


@pytest.mark.parametrize(
    ("outcomes", "cause"),
    [
        ([], "no_mail"),
        ([Outcome.OPAQUE, Outcome.OPAQUE], "encrypted"),
        ([Outcome.OPAQUE, Outcome.UNSEEN], "encrypted"),
        ([Outcome.OPAQUE, Outcome.ACCEPTED], "healthy"),
        ([Outcome.UNSEEN], "healthy"),
    ],
)
def test_nothing_has_its_kinds(outcomes: list[Outcome], cause: str) -> None:
    assert result([session(outcome=x) for x in outcomes]).conclusion.cause == cause


@pytest.mark.parametrize(
    ("states", "cause", "status"),
    [
        (["not_a_capture"], "unreadable", 3),
        (["error", "timeout"], "unreadable", 3),
        (["password_needed", "no_mail"], "no_mail", 3),
        (["no_mail"], "no_mail", 0),
        (["empty"], "no_mail", 0),
        (["partial"], "no_mail", 0),
    ],
)
def test_what_cannot_be_read_is_said_in_the_status(states: list[str], cause: str, status: int) -> None:
    made = result(captures=[capture_seen(state=x) for x in states])
    assert (made.conclusion.cause, made.exit_status) == (cause, status)


def test_a_fault_speaks_louder_than_an_unreadable_neighbour() -> None:
    captures = [capture_seen(), capture_seen("x", state="error")]
    assert result(one_pc(), [finding()], captures).exit_status == 11


def test_remedies_of_a_finding_are_found_by_id_and_by_cause() -> None:
    remedies = fill({}, ["per_user_connection_limit", "bad_credentials"], "exchange")
    made = result(remedies=remedies)
    by_id = made.remedies_of(finding(remedies=("exchange-per-user-connection-limit",)))
    by_cause = made.remedies_of(finding(remedies=("per-user-connection-limit",)))
    assert by_id == by_cause == remedies[:1]
