"""Every form of the report holds the same numbers, whatever case it is of."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import analyzer
from analyzer.errors import OutputError
from analyzer.report import EXTRAS, RENDERERS, save
from analyzer.report.model import document
from tests.records import one_pc, result
from tests.report.test_html import Tree

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"
CASES = ("server_side_limit.pcap", "one_agent_refused.pcap", "healthy.pcap", "port_closed.pcap")

Numbers = dict[str, Any]


def rows_of(octets: bytes) -> dict[str, list[dict[str, Any]]]:
    """The sheets of a workbook as lists of rows."""
    from openpyxl import load_workbook

    found = {}
    for sheet in load_workbook(io.BytesIO(octets)):
        head, *rows = [[cell.value for cell in row] for row in sheet.iter_rows()] or [[]]
        found[sheet.title] = [dict(zip(map(str, head), row, strict=True)) for row in rows]
    return found


def from_json(told: dict[str, Any]) -> Numbers:
    outcomes = [x["outcome"] for x in told["logins"]]
    return {
        "title": told["conclusion"]["title"],
        "verdict": told["conclusion"]["verdict"],
        "findings": [(x["cause"], x["verdict"], x["confidence"]) for x in told["findings"]],
        "sessions": len(told["sessions"]),
        "accepted": outcomes.count("accepted"),
        "refused": outcomes.count("refused"),
        "frames": [x["decided_frame"] for x in told["logins"]],
    }


def numbers_json(octets: bytes) -> Numbers:
    return from_json(json.loads(octets))


def numbers_html(octets: bytes) -> Numbers:
    return from_json(json.loads(Tree(octets.decode()).texts["result-json"]))


def numbers_xlsx(octets: bytes) -> Numbers:
    sheets = rows_of(octets)
    told = {x["name"]: x["value"] for x in sheets["verdict"]}
    assert (told["sessions"], told["logins"]) == (len(sheets["sessions"]), len(sheets["logins"]))
    whole = {"conclusion": told, **{name: sheets[name] for name in ("findings", "logins", "sessions")}}
    return from_json(whole)


def numbers_parquet(octets: bytes) -> Numbers:
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(octets))
    rest = json.loads(table.schema.metadata[b"mailscope"])
    logins = [x for row in table.column("logins").to_pylist() for x in row]
    return from_json({**rest, "sessions": table.column("uid").to_pylist(), "logins": logins})


WHOLE: dict[str, Callable[[bytes], Numbers]] = {
    ".json": numbers_json,
    ".html": numbers_html,
    ".xlsx": numbers_xlsx,
    ".parquet": numbers_parquet,
}
"""Forms that hold the whole result."""


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Any:
    return analyzer.read(SAMPLES / request.param)


@pytest.mark.parametrize("suffix", WHOLE)
def test_a_whole_form_gives_the_same_numbers_back(case: Any, suffix: str, tmp_path: Path) -> None:
    octets = case.save(tmp_path / f"case{suffix}").read_bytes()
    assert WHOLE[suffix](octets) == from_json(document(case.result))


@pytest.mark.parametrize("suffix", [".md", ".txt", ".csv", ".svg", ".html"])
def test_a_form_to_look_at_shows_the_same_answer(case: Any, suffix: str, tmp_path: Path) -> None:
    text = case.save(tmp_path / f"case{suffix}").read_text("utf-8")
    shown = " ".join(re.sub(r"<[^>]+>", " ", text).split()).lower()
    for finding in case.result.faults:
        who, _, numbers = finding.title.partition(", ")
        for told in (*who.partition(": ")[::2], numbers, finding.verdict.value):
            assert " ".join(told.split()).lower() in shown, told
    if not case.result.faults and suffix != ".csv":
        assert case.result.conclusion.title.partition(": ")[2].lower() in shown


def test_the_picture_is_of_the_same_data(case: Any, tmp_path: Path) -> None:
    assert case.save(tmp_path / "case.png").read_bytes().startswith(b"\x89PNG")
    told = from_json(document(case.result))
    assert (case.chart.connections().data["what"] == "refused").sum() == told["refused"]


def test_every_form_is_tried() -> None:
    assert {*WHOLE, ".md", ".txt", ".csv", ".svg", ".png"} == set(RENDERERS)


@pytest.mark.parametrize("package", EXTRAS)
def test_a_missing_package_is_one_clear_sentence(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    suffix = f".{EXTRAS[package]}"
    with pytest.raises(OutputError, match=f"needs the package {package}, which is not installed") as caught:
        save(result(one_pc()), tmp_path / f"case{suffix}")
    assert caught.value.hint == f"pip install 'mailscope[{EXTRAS[package]}]'"
    assert list(tmp_path.iterdir()) == []


def test_another_missing_package_is_our_own_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    from analyzer.report import html

    html._template.cache_clear()
    with pytest.raises(ModuleNotFoundError):
        save(result(one_pc()), tmp_path / "case.html")
