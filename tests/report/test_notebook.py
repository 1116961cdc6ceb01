"""The card of a notebook: the answer, the proof with frames, the rivals, what is missing, the cure; nothing of it is HTML."""

from __future__ import annotations

import re
from pathlib import Path

import analyzer
from analyzer.report.notebook import CARD_CAPTURES, card
from analyzer.rules.finding import Candidate, Evidence, FrameRef, Verdict
from analyzer.sessions.coverage import Quality
from tests.records import capture_seen, finding, result

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"


def words(html: str) -> str:
    return re.sub(r"<[^>]*>", " ", html)


def test_a_suspicion_comes_with_rivals_and_what_would_settle_it() -> None:
    told = words(analyzer.read(SAMPLES / "one_agent_refused.pcap")._repr_html_())
    for said in (
        "SUSPECTED",
        "frames 19, 27",
        "It might also be:",
        "wrong or changed password (",
        "something else",
        "What would settle it:",
    ):
        assert said in told
    assert "What would cure it, if so:" in told
    assert "What to do:" not in told


def test_a_claim_comes_with_what_to_do() -> None:
    told = words(analyzer.read(SAMPLES / "server_side_limit.pcap")._repr_html_())
    assert "CONFIRMED" in told
    assert "What to do:" in told
    assert "MaxConnectionsPerUser" in told
    assert "It might also be" not in told


def test_a_poor_capture_says_what_it_lacks() -> None:
    poor = capture_seen(quality=Quality("D", ("one direction is missing", "cut packets")))
    assert "quality D: one direction is missing; cut packets" in words(card(result((), (), [poor])))


def test_many_captures_are_counted() -> None:
    told = card(result((), (), [capture_seen(f"c{n}.pcap") for n in range(CARD_CAPTURES + 3)]))
    assert "and 3 more captures" in told
    assert f"c{CARD_CAPTURES}.pcap" not in told


def test_frames_of_several_captures_are_named_by_capture() -> None:
    seen = Evidence("seen at both ends", (FrameRef("a.pcap", 3), FrameRef("b.pcap", 9)), 3.0)
    assert "(frames a.pcap: 3; b.pcap: 9)" in words(card(result((), [finding(evidence=(seen,))])))


def test_hostile_texts_stay_text() -> None:
    bad = "<img src=x onerror=alert(1)>"
    proof = Evidence(bad, (FrameRef(bad, 1), FrameRef("b", 2)), 3.0)
    made = finding(
        Verdict.SUSPECTED, title=bad, summary=bad, evidence=(proof,), missing=(bad,), candidates=(Candidate(bad, 0.4),)
    )
    html = card(result((), [made], [capture_seen(bad, quality=Quality("F", (bad,)))]))
    assert "<img" not in html
    assert html.count("&lt;img") >= 7
