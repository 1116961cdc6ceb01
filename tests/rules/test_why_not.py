"""Why a cause was not claimed: the tests that failed are named, and only those."""

from pathlib import Path

import pytest

import analyzer
from analyzer.errors import AnalyzerError
from analyzer.rules import Known, Scene, judge
from analyzer.rules.engine import hearings
from analyzer.rules.why_not import why_not

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"


def told(name: str, cause: str, **known: bool) -> str:
    del known
    return " ".join(analyzer.read(SAMPLES / name).why_not(cause).split())


@pytest.mark.parametrize(
    ("name", "cause", "says"),
    [
        ("one_agent_refused.pcap", "per-user-connection-limit", ["nobody was seen accepted", "dB ahead of every rival", "Capture at the mail server"]),
        ("one_agent_refused.pcap", "bad_credentials", ["for per-user connection throttling: a claim must be"]),
        ("server_side_limit.pcap", "bad-credentials", ["wrong or changed password: not claimed", "against -"]),
        ("server_side_limit.pcap", "per-user-connection-limit", ["per-user connection throttling: claimed, +"]),
        ("server_side_limit.pcap", "port-filtered", ["its rule has nothing to say where it happened (login)"]),
        ("server_side_limit.pcap", "server-slow", ["nothing"]),
        ("healthy.pcap", "bad-credentials", ["nothing failed in this capture"]),
    ],
)  # fmt: skip
def test_the_tests_that_failed_are_told(name: str, cause: str, says: list[str]) -> None:
    text = told(name, cause)
    assert [x for x in says if x not in text] == []


def test_a_claim_has_no_failed_test() -> None:
    assert "failed" not in told("server_side_limit.pcap", "per-user-connection-limit").replace(
        "AUTHENTICATE failed", ""
    )


def test_an_unknown_cause_is_answered_with_those_there_are() -> None:
    with pytest.raises(AnalyzerError) as error:
        analyzer.read(SAMPLES / "healthy.pcap").why_not("bad luck")
    assert "bad_credentials" in error.value.hint


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.pcap*")), ids=lambda x: x.name)
def test_it_agrees_with_the_judgement(path: Path) -> None:
    sessions = analyzer.read(path).result.sessions
    scene = Scene(sessions, Known())
    for finding in judge(scene):
        claimed = [x for x in why_not(scene, finding.cause) if x.is_claimed]
        assert bool(claimed) == (finding.verdict in {"confirmed", "likely"}), finding.title
    weighed = [x.weighed.cause for x in hearings(scene) if x.weighed is not None]
    assert {f.cause for f in judge(scene)} <= set(weighed)
