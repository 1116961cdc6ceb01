"""The same incident across captures is one row; two incidents stay two."""

import pytest

from analyzer.triage.incidents import incidents
from tests.triage.targets import finding

EARLY = {"start": "2024-05-06T08:00:00Z", "end": "2024-05-06T08:10:00Z"}
SOON = {"start": "2024-05-06T08:39:59.123456789Z", "end": "2024-05-06T08:50:00Z"}
LATE = {"start": "2024-05-06T09:30:00Z", "end": "2024-05-06T09:31:00Z"}


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        pytest.param(finding(**EARLY), finding(**SOON), 1, id="near in time"),
        pytest.param(finding(**EARLY), finding(**LATE), 2, id="far apart"),
        pytest.param(finding("server_restart"), finding("port_closed"), 2, id="other cause"),
        pytest.param(finding(accounts=["a", "b"]), finding(accounts=["b", "c"]), 1, id="an account in common"),
        pytest.param(finding(accounts=["a"]), finding(accounts=["b"]), 2, id="other accounts"),
        pytest.param(finding(accounts=["a"]), finding(), 2, id="an account and none"),
        pytest.param(finding(), finding(verdict="ruled_out"), 1, id="no finding at all"),
        pytest.param(finding(), finding(severity="info"), 1, id="nothing to act on"),
    ],
)
def test_what_belongs_together(first: dict[str, object], second: dict[str, object], count: int) -> None:
    assert len(incidents([("one", [first]), ("two", [second])])) == count
    assert len(incidents([("two", [second]), ("one", [first])])) == count


def test_an_incident_spans_its_findings_and_speaks_with_the_strongest() -> None:
    weak = finding(verdict="suspected", accounts=["b"], title="weak", **SOON)
    strong = finding(accounts=["a", "b"], title="strong", **EARLY)
    (one,) = incidents([("weak.pcap", [weak]), ("strong.pcap", [strong])])
    assert (one.verdict, one.title, one.accounts) == ("confirmed", "strong", ("a", "b"))
    assert (one.start, one.end) == (EARLY["start"], SOON["end"])
    assert one.captures == ("weak.pcap", "strong.pcap")


def test_a_capture_that_links_two_groups_makes_them_one() -> None:
    rows = [(name, [finding(accounts=accounts)]) for name, accounts in [("1", ["a"]), ("2", ["b"]), ("3", ["a", "b"])]]
    (one,) = incidents(rows)
    assert one.captures == ("1", "2", "3")


def test_the_strongest_come_first_and_a_finding_without_a_time_is_kept() -> None:
    rows = [("1", [finding(verdict="suspected", start=None, end=None), finding("port_closed", "likely", **LATE)])]
    assert [one.verdict for one in incidents(rows)] == ["likely", "suspected"]
