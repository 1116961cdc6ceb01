"""The page in a real browser: it asks for nothing, says nothing to the console, runs nothing, reads well, prints."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest

import analyzer
from analyzer.report.html import page as page_of
from tests.report import hostile
from tests.report.test_html import contrast

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PAGES = ("server_side_limit", "one_agent_refused", "healthy", "hostile")
SIZES = {"phone": 390, "laptop": 1280}
TALL = 900
LEAST, LEAST_LARGE = 4.5, 3.0
"""Contrast of text and of large text (WCAG 2.2, success criterion 1.4.3)."""

LOOK = """() => {
  const solid = text => { const m = text.match(/[\\d.]+/g).map(Number); return m.length < 4 || m[3] > 0.99 ? m : null; };
  const ground = e => { for (; e; e = e.parentElement) {
    const c = solid(getComputedStyle(e).backgroundColor); if (c) return c.slice(0, 3); } return [255, 255, 255]; };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
    if (!walk.currentNode.data.trim() || !box.width || e.closest('svg title') || style.clipPath !== 'none') continue;
    const colour = solid(e.closest('svg') ? style.fill : style.color);
    const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
    found.push([walk.currentNode.data.trim().slice(0, 40), colour, ground(e), size >= 24 || (bold && size >= 18.66)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; without it the test is skipped, or fails where MAILSCOPE_REQUIRE_BROWSER says it must be there."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    if path is None:
        missing("chromium is not installed")
    with sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=path)
        yield chromium
        chromium.close()


def missing(reason: str) -> None:
    """Skip the test, or fail it where a browser must be there."""
    if os.environ.get("MAILSCOPE_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{reason}, and MAILSCOPE_REQUIRE_BROWSER=1 says it must be")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds every page."""
    made = tmp_path_factory.mktemp("pages")
    for name in PAGES:
        if name != "hostile":
            analyzer.read(SAMPLES / f"{name}.pcap").save(made / f"{name}.html")
    (made / "hostile.html").write_text(page_of(hostile.case()), "utf-8")
    return made


class Visit:
    """A page opened offline, and what happened meanwhile."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(offline=True, **options)
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page = self.context.new_page()
        self.page.on("request", lambda x: self.asked.append(x.url))
        self.page.on("console", lambda x: self.said.append(x.text))
        self.page.on("pageerror", lambda x: self.said.append(str(x)))
        self.page.on("dialog", lambda x: self.said.append(f"dialog {x.message}"))
        self.page.goto(path.as_uri())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.fixture(scope="module", params=PAGES)
def visit(browser: Any, folder: Path, request: pytest.FixtureRequest) -> Iterator[Visit]:
    with Visit(browser, folder / f"{request.param}.html", viewport={"width": 1280, "height": TALL}) as made:
        yield made


def test_nothing_is_asked_for_and_nothing_said(visit: Visit) -> None:
    visit.page.emulate_media(color_scheme="dark")
    visit.page.screenshot(full_page=True)
    assert [x for x in visit.asked if not x.startswith("file:")] == []
    assert len(visit.asked) == 1
    assert visit.said == []


def test_nothing_runs_and_nothing_is_built_of_names(visit: Visit) -> None:
    counted = visit.page.evaluate("() => ['script','img','iframe','object','foreignObject','#evil','[onerror]','[onload]',"
                                  "'a[href^=\"javascript\"]'].map(x => document.querySelectorAll(x).length)")  # fmt: skip
    assert set(counted) == {0}
    assert visit.page.title() != "owned"


def test_a_policy_is_in_force(browser: Any, folder: Path) -> None:
    text = (folder / "hostile.html").read_text("utf-8")
    broken = folder / "broken.html"
    broken.write_text(
        text.replace("</main>", "<script>document.title='owned'</script><img src='x.png'></main>"), "utf-8"
    )
    with Visit(browser, broken) as made:
        assert made.page.title() != "owned"
        assert any("Content Security Policy" in x for x in made.said)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(visit: Visit, scheme: Any) -> None:
    visit.page.emulate_media(color_scheme=scheme)
    visit.page.evaluate("() => document.querySelectorAll('details').forEach(x => x.open = true)")
    found = visit.page.evaluate(LOOK)
    assert len(found) > 50
    bad = [(text, ratio) for text, ratio, large in map(_ratio, found) if ratio < (LEAST_LARGE if large else LEAST)]
    assert bad == []


def _ratio(told: list[Any]) -> tuple[str, float, bool]:
    text, colour, ground, large = told
    assert colour is not None, f"{text} is see-through"
    one, other = ("#" + "".join(f"{round(x):02x}" for x in parts[:3]) for parts in (colour, ground))
    return text, contrast(one, other), large


def test_landmarks_headings_and_tables_are_right(visit: Visit) -> None:
    counted = {x: visit.page.locator(x).count() for x in ("body > header", "main", "nav", "body > footer", "h1")}
    assert set(counted.values()) == {1}
    levels = visit.page.evaluate("() => [...document.querySelectorAll('h1,h2,h3,h4')].map(x => +x.tagName[1])")
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    unnamed = visit.page.evaluate(
        "() => [...document.querySelectorAll('section,article,nav,[role=region],svg[role=img]')]"
        ".filter(x => !x.getAttribute('aria-label') && !document.getElementById(x.getAttribute('aria-labelledby'))).length"
    )
    assert unnamed == 0
    assert visit.page.locator("th:not([scope])").count() == 0
    assert visit.page.locator("svg:not([role=img]):not([aria-hidden=true])").count() == 0
    tree = visit.context.new_cdp_session(visit.page).send("Accessibility.getFullAXTree")["nodes"]
    roles = {x["role"]["value"] for x in tree if not x["ignored"]}
    assert {"banner", "main", "navigation", "contentinfo"} <= roles


def test_the_chart_has_a_table_twin_with_the_same_numbers(browser: Any, folder: Path) -> None:
    with Visit(browser, folder / "server_side_limit.html") as made:
        rows = made.page.evaluate(
            "() => [...document.querySelectorAll('.twin tbody tr')].map(r => r.cells[2].textContent)"
        )
        assert sum(map(int, rows)) == 76
        marks = made.page.locator(".chart.wide .marks title").all_text_contents()
        assert sum(int(m[1]) for x in marks if (m := re.search(r"(\d+) refused, with 1[67] open", x))) == 76


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_sticks_out_at_the_side(browser: Any, folder: Path, name: str, size: str) -> None:
    with Visit(browser, folder / f"{name}.html", viewport={"width": SIZES[size], "height": TALL}) as made:
        assert made.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        shown = {x: made.page.locator(f".chart.{x}").is_visible() for x in ("wide", "narrow")}
        assert shown == {"wide": size == "laptop", "narrow": size == "phone"}


def test_it_prints_on_a_few_pages_without_what_paper_cannot_do(visit: Visit) -> None:
    octets = visit.page.pdf(prefer_css_page_size=True)
    assert octets.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", octets)) <= 30
    visit.page.emulate_media(media="print", color_scheme="dark")
    assert not visit.page.locator("nav").is_visible()
    assert not visit.page.locator("#data").is_visible()
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    visit.page.emulate_media(media="screen")


def test_a_display_filter_is_selected_whole_by_one_click(browser: Any, folder: Path) -> None:
    with Visit(browser, folder / "server_side_limit.html", viewport={"width": 1280, "height": TALL}) as made:
        field = made.page.locator("#evidence code.copy").first
        field.click()
        assert made.page.evaluate("getSelection().toString()") == field.text_content()
