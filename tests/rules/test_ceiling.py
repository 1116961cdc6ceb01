"""No finding is surer than its capture allows, where it rests on what the capture lacks."""

from __future__ import annotations

import pytest

from analyzer.rules.ceiling import CEILINGS, limited
from analyzer.rules.finding import Candidate, Evidence, Finding, Verdict
from analyzer.sessions.coverage import CaptureSeen, Lack, Quality
from tests.records import CAPTURE, capture_seen, evidence, finding

CONFIRMED, LIKELY, SUSPECTED = Verdict.CONFIRMED, Verdict.LIKELY, Verdict.SUSPECTED
COUNT = evidence("refused at sixteen", frames=(1, 2), decisive=True, kind="plateau")
WORDS = evidence("the server says so itself", frames=(1,), decisive=True, kind="words")


def lacking(name: str = CAPTURE, **steps: int) -> CaptureSeen:
    lacks = tuple(Lack(kind.replace("_", "-"), cost, f"{kind} is wrong") for kind, cost in steps.items())
    seen: CaptureSeen = capture_seen(name, quality=Quality("B", tuple(x.text for x in lacks), lacks))
    return seen


def sure(verdict: Verdict = CONFIRMED, confidence: float = 0.99, *, fact: Evidence = COUNT, **more: object) -> Finding:
    cause = str(more.get("cause", "per_user_connection_limit"))
    rest = Candidate("bad_credentials", round(1 - confidence, 4))
    given = {"confidence": confidence, "candidates": (Candidate(cause, confidence), rest), "evidence": (fact,)}
    return finding(verdict, **(given | more))  # type: ignore[arg-type]


def one(found: Finding, *captures: CaptureSeen) -> Finding:
    (made,) = limited([found], captures)
    return made


@pytest.mark.parametrize(
    ("steps", "verdict", "confidence"),
    [(0, CONFIRMED, 0.99), (1, CONFIRMED, 0.98), (2, CONFIRMED, 0.95), (3, LIKELY, 0.90), (4, SUSPECTED, 0.75), (9, SUSPECTED, 0.75)],
)  # fmt: skip
def test_each_step_lowers_the_ceiling(steps: int, verdict: Verdict, confidence: float) -> None:
    made = one(sure(), lacking(gaps=steps))
    assert (made.verdict, made.confidence) == (verdict, confidence)
    own, *rest = made.candidates
    assert own == Candidate("per_user_connection_limit", pytest.approx(confidence))
    assert sum(c.confidence for c in (own, *rest)) == pytest.approx(1.0)
    assert ("allows no more: gaps is wrong." in made.summary) == (verdict is not CONFIRMED)
    assert bool(made.missing) == (verdict is SUSPECTED)


def test_words_and_shares_agree() -> None:
    """Whoever claims has ten to one on his side; and the ceilings fall."""
    assert [share for share, _ in CEILINGS] == sorted({share for share, _ in CEILINGS}, reverse=True)
    for share, verdict in CEILINGS:
        assert (verdict in {CONFIRMED, LIKELY}) == (share >= 0.9)


@pytest.mark.parametrize(
    ("found", "lacks", "touched"),
    [
        pytest.param(sure(fact=WORDS), {"gaps": 2, "one_sided": 3}, False, id="words are words"),
        pytest.param(sure(), {"cut": 1, "copies": 0, "encrypted": 2, "stopped": 1}, False, id="counts need no payload"),
        pytest.param(sure(), {"late": 1, "gaps": 2}, True, id="counts need every session"),
        pytest.param(sure(), {"clock": 1, "listing": 1, "one_sided": 1}, True, id="counts need an order"),
        pytest.param(sure(cause="port_filtered"), {"late": 1, "cut": 1}, False, id="a SYN is a SYN"),
        pytest.param(sure(cause="port_filtered"), {"one_sided": 3}, True, id="an answer needs the other side"),
    ],
)
def test_only_what_a_finding_rests_on_matters(found: Finding, lacks: dict[str, int], touched: bool) -> None:
    assert (one(found, lacking(**lacks)) != found) == touched


def test_a_weaker_finding_stays_as_it_is() -> None:
    for found in (sure(LIKELY, 0.85), sure(SUSPECTED, 0.5), sure(Verdict.FAILED, 0.0)):
        assert one(found, lacking(gaps=2)) == found
    assert one(sure(LIKELY, 0.93), lacking(gaps=3)).verdict is LIKELY
    assert one(sure(LIKELY, 0.93), lacking(gaps=3)).confidence == 0.9


def test_warnings_are_left_alone() -> None:
    told = sure(severity="warning")
    assert one(told, lacking(gaps=4)) == told


def test_the_capture_that_holds_the_evidence_counts() -> None:
    other = sure(fact=evidence("seen at the server", frames=(1, 2, 3), capture="server.pcap", kind="plateau"))
    assert one(other, lacking(gaps=4), capture_seen("server.pcap")) == other
    assert one(other, capture_seen(), lacking("server.pcap", gaps=4)).verdict is SUSPECTED
    by_session = sure(evidence=(), sessions=(("server.pcap", "C1"),))
    assert one(by_session, lacking("server.pcap", gaps=4)).verdict is SUSPECTED
    assert one(sure(evidence=()), lacking(gaps=4)) == sure(evidence=())


def test_the_best_stands_first_again() -> None:
    weak = sure(title="weak", fact=evidence("x", frames=(1,), capture="bad.pcap", kind="plateau"))
    firm = sure(LIKELY, 0.93, title="firm", fact=evidence("y", frames=(1,), capture="good.pcap", kind="plateau"))
    found = limited([weak, firm], [lacking("bad.pcap", gaps=4), capture_seen("good.pcap")])
    assert [f.title for f in found] == ["firm", "weak"]
