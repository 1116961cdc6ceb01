"""The page of a triage: all of it there, nothing of it runs, and it is looked at in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analyzer.triage import page as subject
from analyzer.triage.baseline import Change
from analyzer.triage.batch import TriageResult
from analyzer.triage.incidents import Incident, Outlier
from analyzer.triage.page import drawing, page
from analyzer.triage.row import Row
from tests.report import test_browser
from tests.report.test_browser import LOOK
from tests.report.test_html import contrast
from tests.triage.targets import finding, report

EVIL = "</style><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">{{7*7}}"
LEAST = 4.5
"""Contrast of text (WCAG 2.2, success criterion 1.4.3)."""


def row(path: str, *findings: dict[str, Any], state: str = "ok", reason: str | None = None) -> Row:
    told = report(*findings)["conclusion"] if state == "ok" else {"cause": "x", "verdict": None, "title": reason}
    return Row(path, path, "0" * 64, state, reason, told, findings)


def incident(number: int = 1, **changed: Any) -> Incident:
    values = {
        "cause": "per_user_connection_limit",
        "verdict": "confirmed",
        "server": "192.0.2.1",
        "accounts": ("u",),
        "start": f"2024-05-06T08:0{number}:00.5Z",
        "end": f"2024-05-06T08:3{number}:00Z",
        "captures": ("a.pcap", "b.pcap"),
        "title": "per-user connection throttling: account u",
        "clients": 3,
    }
    return Incident(**(values | changed))


@pytest.fixture
def result() -> TriageResult:
    fact = {"text": "the server said no", "frames": [{"capture": "a.pcap", "frame": 7}], "filter": "frame.number == 7"}
    joined = {
        "captures": ["a.pcap", "b.pcap"],
        "alone": "suspected",
        "finding": finding(summary="76 of 100", evidence=[fact]),
    }
    one = incident(joined=joined, outliers=(Outlier("bad_credentials", "confirmed", ("c.pcap",)),))
    two = incident(
        2, cause="port_closed", verdict="suspected", title="port closed: 192.0.2.1:143", captures=("c.pcap",)
    )
    rows = (
        row("a.pcap", finding(verdict="suspected")),
        row("b.pcap", finding(verdict="suspected")),
        row("c.pcap", finding("bad_credentials")),
        row("d.pcap"),
        row("e.pcap", state="timeout", reason="took longer than 60 s"),
    )
    return TriageResult(rows, (one, two))


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.partition("<body>")[2]))


def test_it_says_all_there_is_to_say(result: TriageResult) -> None:
    html = page(result)
    text = text_of(html)
    for said in (
        "Per-user connection throttling", "worst of 2 incidents", "Account u", "Shown by 2 captures together", "alone each was suspected",
        "76 of 100", "The server said no", "a.pcap 7", "frame.number == 7", "1 really shows something else", "3 clients",
        "Took longer than 60 s", "1 capture with nothing wrong", "5 inputs, 1 not read", "2024-05-06 08:01:00 to 08:31:00 UTC",
        "incident 1 : confirmed, with others",
    ):  # fmt: skip
        assert said in text, said
    paths = re.findall(r'<th scope="row">(.*?)</th>', html)
    assert paths == ["c.pcap", "a.pcap", "b.pcap", "e.pcap", "d.pcap"]


def test_changes_since_the_baseline(result: TriageResult) -> None:
    one, gone = result.incidents[0], ("bad_credentials", None, ("v",), "wrong password: v")
    changes = (
        Change("still", one.cause, one.server, one.accounts, one.title, "likely", "confirmed", "r"),
        Change("fixed", *gone, "likely", None, "3 logins accepted there"),
    )
    html = page(replace(result, changes=changes))
    assert '<span class="badge still">still</span>' in html
    assert "3 logins accepted there" in html
    assert "Since the baseline" not in page(result)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((), "No captures"),
        ((row("a"),), "Nothing wrong found"),
        ((row("a", state="error", reason="no such file"),), "Some captures could not be read"),
    ],
)
def test_without_an_incident_it_still_has_an_answer(rows: tuple[Row, ...], said: str) -> None:
    html = page(TriageResult(rows, ()))
    assert f">{said}</h1>" in html


def test_hostile_names_stay_text(result: TriageResult) -> None:
    fault = finding(title=EVIL, evidence=[])
    one = incident(cause=EVIL, server=EVIL, accounts=(EVIL,), captures=(EVIL, "b"), title=EVIL)
    joined = {
        "captures": [EVIL],
        "alone": EVIL,
        "finding": finding(
            summary=EVIL, evidence=[{"text": EVIL, "frames": [{"capture": EVIL, "frame": 1}], "filter": EVIL}]
        ),
    }
    one = replace(one, joined=joined, outliers=(Outlier(EVIL, EVIL, (EVIL,)),))
    changes = (Change("fixed", EVIL, EVIL, (EVIL,), EVIL, EVIL, None, EVIL),)
    html = page(TriageResult((row(EVIL, fault), row(EVIL, state="error", reason=EVIL)), (one, one), changes))
    assert html.count("<script") == html.count("<img") == 0
    assert html.count("</style>") == 1
    assert "49" not in text_of(html).replace("{{7*7}}", "")


def test_a_large_triage_is_bounded(result: TriageResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MOST_ROWS", 3)
    monkeypatch.setattr(subject, "MOST_INCIDENTS", 1)
    monkeypatch.setattr(subject, "MOST_MEMBERS", 1)
    text = text_of(page(result))
    assert "2 more captures not shown here" in text
    assert "1 more incident not shown here" in text
    assert "and 1 more" in text


def test_incidents_are_drawn_where_they_were() -> None:
    early = incident(start="2024-05-06T08:00:00Z", end="2024-05-06T09:00:00Z")
    late = incident(start="2024-05-06T11:00:00Z", end="2024-05-06T12:00:00Z")
    moment = incident(start="2024-05-06T10:00:00Z", end="2024-05-06T10:00:00Z")
    timeless = incident(start=None, end=None)
    drawn = drawing((early, timeless, late, moment))
    assert drawn is not None
    assert [bar.number for bar in drawn.bars] == [1, 3, 4]
    first, last, thin = drawn.bars
    assert first.x == subject.LEFT
    assert first.x + first.width < thin.x < last.x
    assert last.x + last.width <= subject.WIDTH
    assert thin.width == subject.THIN
    assert drawing((early, timeless)) is None


def test_the_look_is_that_of_the_report() -> None:
    assert subject._css().startswith((subject.html.FOLDER / "page.css").read_text("utf-8").strip())


browser = test_browser.browser
"""Chromium, as for the report."""


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Open a page and tell what it asked for and said."""
    contexts = []

    def opened(html: str, width: int, scheme: str) -> tuple[Any, list[str]]:
        path = tmp_path / f"{width}-{scheme}.html"
        path.write_text(html, "utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        tab, heard = context.new_page(), []
        tab.on("request", lambda request: heard.append(request.url) if not request.url.startswith("file:") else None)
        tab.on("console", lambda message: heard.append(message.text))
        tab.on("pageerror", lambda error: heard.append(str(error)))
        tab.goto(path.as_uri())
        return tab, heard

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_it_fits_reads_well_and_runs_nothing(
    visit: Any, result: TriageResult, width: int, scheme: str
) -> None:
    evil = replace(result, rows=(*result.rows, row(EVIL, finding(title=EVIL))))
    tab, heard = visit(page(evil), width, scheme)
    assert heard == []
    assert tab.title() == "2 incidents in 6 captures"
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.evaluate("document.querySelectorAll('details').forEach(x => x.open = true)")
    for text, colour, ground, _ in tab.evaluate(LOOK):
        if colour is not None:
            assert contrast(hexed(colour), hexed(ground)) >= LEAST, text


def hexed(colour: list[float]) -> str:
    return "#" + "".join(f"{round(part):02x}" for part in colour[:3])
