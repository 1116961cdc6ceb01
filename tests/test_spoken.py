"""The library in the reader's language: of the analysis, or of one call; data stay English."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import analyzer
from analyzer import Analysis
from analyzer.errors import AnalyzerError

SAMPLES = Path(__file__).parents[1] / "sample_pcaps"
CASE = SAMPLES / "server_side_limit.pcap"
SPEAKING: dict[str, Callable[..., Any]] = {
    "explain": lambda a, **x: a.explain(249, **x),
    "why_not": lambda a, **x: a.why_not("bad-credentials", **x),
    "evidence": lambda a, **x: a.evidence(**x),
    "remedies": lambda a, **x: a.remedies(**x)[0].title,
    "connections": lambda a, **x: a.chart.connections(**x).title,
    "refusals": lambda a, **x: a.chart.refusals(**x).title,
    "lanes": lambda a, **x: a.chart.lanes(**x).title,
    "delays": lambda a, **x: a.chart.delays(**x).title,
    "dialogue": lambda a, **x: [line.text for line in a.dialogue("C17", **x)],
    "compare": lambda a, **x: repr(analyzer.compare(a, a, **x)),
}


@pytest.fixture(scope="module")
def english() -> Analysis:
    return analyzer.read(CASE)


@pytest.fixture(scope="module")
def spanish() -> Analysis:
    return analyzer.read(CASE, language="es")


@pytest.mark.parametrize("name", SPEAKING)
def test_a_call_speaks_as_it_is_told_else_as_the_analysis(english: Analysis, spanish: Analysis, name: str) -> None:
    said = SPEAKING[name]
    assert said(english, language="es") == said(spanish) != said(english) == said(spanish, language="en")


@pytest.mark.parametrize("suffix", [".html", ".md", ".txt", ".svg", ".png"])
def test_what_people_read_is_saved_in_a_language(
    english: Analysis, spanish: Analysis, tmp_path: Path, suffix: str
) -> None:
    one, two, three = (tmp_path / f"{n}{suffix}" for n in range(3))
    assert english.save(one, language="es") == one
    spanish.save(two)
    english.save(three)
    assert one.read_bytes() == two.read_bytes() != three.read_bytes()


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_data_are_the_same_in_any_language(english: Analysis, spanish: Analysis, tmp_path: Path, suffix: str) -> None:
    one, two = tmp_path / f"1{suffix}", tmp_path / f"2{suffix}"
    assert english.save(one).read_bytes() == spanish.save(two).read_bytes()
    assert spanish.findings.table.equals(english.findings.table)
    assert spanish.chart.lanes().data.equals(english.chart.lanes().data)
    if suffix == ".json":
        assert json.loads(one.read_text("utf-8"))["conclusion"]["verdict"] == "confirmed"


def test_screen_and_card_speak_as_the_analysis(spanish: Analysis) -> None:
    assert "CONFIRMADO" in repr(spanish)
    assert "CONFIRMADO" in spanish._repr_html_()
    assert spanish.language == "es"


@pytest.mark.parametrize("name", SPEAKING)
def test_a_language_there_is_none_of_is_an_error_that_names_them(english: Analysis, name: str) -> None:
    with pytest.raises(AnalyzerError, match="no language 'fr'") as told:
        SPEAKING[name](english, language="fr")
    assert told.value.hint == "the languages are en, es"
    with pytest.raises(AnalyzerError):
        analyzer.read(CASE, language="fr")
