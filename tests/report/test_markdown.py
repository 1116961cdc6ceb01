from __future__ import annotations

import re
from pathlib import Path

import pytest

import analyzer
from analyzer.report.markdown import code, escaped, markdown
from analyzer.rules.finding import Verdict
from tests.records import capture_seen, finding, one_pc, result
from tests.report import hostile

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"


def test_the_answer_comes_first_then_the_fix_then_the_proof() -> None:
    text = markdown(analyzer.read(SAMPLES / "server_side_limit.pcap").result)
    assert text.startswith("# Confirmed, 99 %: per-user connection throttling: account uccx-mail on 198.51.100.10")
    assert "| Refused | 76 of 100 logins |" in text
    assert "| Limit | 16 = Exchange 2010 to SE, default of MaxConnectionsPerUser |" in text
    places = [text.index(x) for x in ("## What to do", "## Evidence", "## Also seen", "## Accounts and clients")]
    assert places == sorted(places)
    assert "`frame.number in {249, 254, 277," in text
    assert "MaxConnectionsPerUser 33" in text
    assert "| uccx-mail | 198.51.100.10 | 24 | 76 | 16 |" in text


def test_a_suspicion_says_what_settles_it_and_names_the_rivals() -> None:
    text = markdown(analyzer.read(SAMPLES / "one_agent_refused.pcap").result)
    assert "## What settles it\n\n1. Do other agents work" in text
    assert "| Wrong or changed password | 29 % |" in text
    assert "## If it is so" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a*b_c", r"a\*b\_c"),
        ("<b>&amp;", r"\<b\>\&amp;"),
        ("a|b", r"a\|b"),
        ("[x](y)", r"\[x\](y)"),
        ("https://evil.example", r"https\://evil.example"),
        ("WWW.evil.example", r"WWW\.evil.example"),
        ("@team ana@corp.example", "@<!-- -->team ana@corp.example"),
        ("- a", r"\- a"),
        ("1. a", r"\1. a".replace("\\1.", "\\1.")),
        ("1.2.3", "1.2.3"),
        ("two\nlines", "two lines"),
    ],
)
def test_texts_format_nothing_link_nowhere_and_mention_nobody(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize(("text", "span"), [("a", "`a`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("a\nb", "`a b`")])
def test_a_code_span_holds_any_text(text: str, span: str) -> None:
    assert code(text) == span


def test_hostile_names_stay_text() -> None:
    text = markdown(hostile.case())
    outside = re.sub(r"(`+).+?\1", "", text)
    assert re.findall(r"(?<!\\)<(?!!-- -->)", outside) == []
    assert re.findall(r"(?<!\\)[*\[\]`]", outside) == []
    tables = [line for line in text.splitlines() if line.startswith("| ")]
    heads = {len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", line))) for line in tables}
    assert heads <= {3, 5, 6}


def test_several_findings_and_no_finding() -> None:
    made = result(
        one_pc(), [finding(), finding(Verdict.LIKELY, title="second"), finding(severity="warning", title="third")]
    )
    text = markdown(made)
    assert "## likely: second" in text
    assert "- suspected: third" in text
    assert markdown(result(captures=[capture_seen(state="no_mail")])).startswith(
        "# No mail: no mail traffic in the capture"
    )


def test_sentences_go_through_the_translator() -> None:
    text = markdown(hostile.case(), lambda x: f"«{x}»")
    assert all("«" in line for line in text.splitlines() if line.startswith("#"))
