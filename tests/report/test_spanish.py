"""The report to send in Spanish: every sentence of the page and of the Markdown has its translation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import analyzer
from analyzer.language import catalogue, speaker
from analyzer.report import SPOKEN, save
from analyzer.sessions.session import Outcome
from tests.report.test_html import Tree

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "analyzer" / "report"
IN_PAGE = re.compile(r"""_\((?:"([^"]+)"|'([^']+)')""")
IN_CODE = re.compile(r"""say\((?:"([^"]+)"|'([^']+)')\)""")
ENGLISH = re.compile(r"\b(the|was|were|with|and|of|open|what|which|this|more|by)\b", re.IGNORECASE)
SAY = speaker("es")


def keys() -> set[str]:
    found = IN_PAGE.findall((REPORT / "page.html").read_text("utf-8"))
    found += IN_CODE.findall((REPORT / "markdown.py").read_text("utf-8"))
    return {first or second for first, second in found}


def test_every_sentence_has_its_spanish() -> None:
    assert len(keys()) > 120
    assert sorted(keys() - catalogue("es").keys()) == []
    assert [x.value for x in Outcome if SAY(x.value.replace("_", " ")) == x.value] == []


@pytest.mark.parametrize(
    "name", ["server_side_limit.pcap", "one_agent_refused.pcap", "healthy.pcap", "port_closed.pcap"]
)
def test_a_spanish_page_speaks_spanish(name: str, tmp_path: Path) -> None:
    case = analyzer.read(ROOT / "sample_pcaps" / name)
    path = tmp_path / "case.html"
    save(case.result._replace(dialogues=case.dialogues()), path, SAY)
    text = path.read_text("utf-8")
    assert '<html lang="es">' in text
    for part in ("answer", "chart-title", "timeline", "captures-title", "data-title"):
        shown = re.sub(r"«.*?»|Set-\w+.*|--known \S+|\(throttling\)", "", Tree(text).texts.get(part, ""))
        assert ENGLISH.findall(shown) == [], part


@pytest.mark.parametrize("suffix", SPOKEN)
def test_every_spoken_form_is_spoken(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"case{suffix}"
    save(analyzer.read(ROOT / "sample_pcaps" / "server_side_limit.pcap").result, path, SAY)
    if suffix == ".png":
        assert path.read_bytes().startswith(b"\x89PNG")
        return
    text = path.read_text("utf-8")
    assert "limitación de conexiones por usuario" in text.lower()
    assert suffix in {".txt", ".svg"} or "12 agentes x 2" in text
    assert "Restart the IMAP" not in text.partition('id="data"')[0]
