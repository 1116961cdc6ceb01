"""Findings and their evidence as tables."""

from __future__ import annotations

import pytest

from analyzer.errors import AnalyzerError
from analyzer.report.tables import WHY_TYPES, finding_table, why, why_table
from analyzer.rules.finding import Candidate, Evidence, FrameRef, Verdict
from tests.records import finding, result

FOR = Evidence("seen at the limit", (FrameRef("a.pcap", 12), FrameRef("a.pcap", 9)), 22.0, True, "tcp", "plateau")
AGAINST = Evidence("accepted meanwhile", (FrameRef("b.pcap", 3), FrameRef("a.pcap", 4)), -6.0)
LIMIT = finding(Verdict.SUSPECTED, cause="per_user_connection_limit", evidence=(FOR, AGAINST))
PASSWORD = finding(cause="bad_credentials", rule="bad-credentials", evidence=(AGAINST,))


def test_evidence_is_a_table_with_frames_by_capture() -> None:
    table = why_table((FOR, AGAINST))
    assert {name: str(kind) for name, kind in table.dtypes.items()} == WHY_TYPES
    assert table["weight_db"].tolist() == [22.0, -6.0]
    assert table["decisive"].tolist() == [True, False]
    assert table["frames"].tolist() == ["9, 12", "a.pcap: 4; b.pcap: 3"]
    assert table["kind"].isna().tolist() == [False, True]
    assert {name: str(kind) for name, kind in why_table(()).dtypes.items()} == WHY_TYPES


def test_why_is_that_of_the_first_fault_when_nothing_is_asked() -> None:
    info = finding(cause="undetermined", severity="info")
    assert why(result((), [info, LIMIT]))["text"].tolist() == ["seen at the limit", "accepted meanwhile"]
    assert len(why(result(()))) == 0


@pytest.mark.parametrize("asked", ["bad_credentials", "bad-credentials", "Bad_Credentials", PASSWORD])
def test_why_can_be_asked_of_a_cause_a_rule_or_a_finding(asked: object) -> None:
    assert why(result((), [LIMIT, PASSWORD]), asked)["text"].tolist() == ["accepted meanwhile"]  # type: ignore[arg-type]


def test_a_cause_that_was_not_found_is_told_with_those_that_were() -> None:
    rival = LIMIT._replace(candidates=(Candidate(LIMIT.cause, 0.7), Candidate("account_locked", 0.3)))
    with pytest.raises(AnalyzerError, match="no finding has the cause port_closed") as caught:
        why(result((), [rival]), "port_closed")
    assert caught.value.hint == "the findings are: per_user_connection_limit"
    with pytest.raises(AnalyzerError) as caught:
        why(result((), [rival]), "account_locked")
    assert "a candidate only" in caught.value.hint


def test_findings_are_a_table_with_types() -> None:
    for items in ((LIMIT, PASSWORD), ()):
        kinds = {name: str(kind) for name, kind in finding_table(items).dtypes.items()}
        assert (kinds["verdict"], kinds["confidence"], kinds["title"]) == ("category", "Float64", "string")
