"""The pages in a real Chromium: captures dropped and chosen, progress, the verdict that comes by itself, hostile names."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analyzer.at import Side
from analyzer.service.identity import add_token
from analyzer.triage.isolated import Answer, isolated
from tests.report import test_browser as pages
from tests.report.test_browser import LEAST, LEAST_LARGE, LOOK
from tests.service.served import LIMITS, SAMPLES, Served, capture, told
from tests.wire import Wire

browser = pages.browser  # the fixture
EVIL = ("<img src=x onerror=alert(1)>", "\"'><script>document.title='owned'</script>", "{{7*7}}</title><h1 id=evil>")
EVIL_FILE = "..\\<img src=x onerror=alert(1)>\u202egnp.\x07{{7*7}}.pcap"
DROP = """files => {
  const carried = new DataTransfer();
  for (const [name, text] of files) carried.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));
  for (const kind of ['dragenter', 'dragover', 'drop'])
    document.querySelector('main').dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


class Seen:
    """A page, and what happened on it that must not."""

    def __init__(self, page: Any, service: Served) -> None:
        self.page, self.service = page, service
        self.said: list[str] = []
        self.strange: list[str] = []
        page.on("console", lambda x: self.said.append(x.text))
        page.on("pageerror", lambda x: self.said.append(str(x)))
        page.on("request", lambda x: self.strange.append(x.url) if not x.url.startswith(service.address) else None)

    def go(self, path: str = "/") -> Any:
        self.page.goto(self.service.address + path)
        return self.page

    def shows(self, text: str, place: str = "main") -> None:
        self.page.locator(place).get_by_text(text).first.wait_for(timeout=20_000)


def counted(page: Any, what: str, number: int) -> None:
    """Wait until there are so many of something; without evaluating text, which the pages' policy forbids."""
    from playwright.sync_api import expect

    expect(page.locator(what)).to_have_count(number, timeout=20_000)


def looked(page: Any) -> None:
    """Have the page look for what is new, as it does by itself every few seconds."""
    with page.expect_response(lambda x: "/board" in x.url, timeout=15_000):
        page.evaluate("document.body.dispatchEvent(new Event('look'))")


def dropped(page: Any, *files: tuple[str, bytes]) -> None:
    """Drop files on the page."""
    page.evaluate(DROP, [[name, base64.b64encode(octets).decode()] for name, octets in files])


@contextmanager
def opened(browser: Any, service: Served, **options: Any) -> Iterator[Seen]:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    seen = Seen(context.new_page(), service)
    yield seen
    said = [x for x in seen.said if not x.startswith("htmx:")]  # it notes a look that a search has overtaken
    strange = list(seen.strange)
    context.close()  # cuts whatever is asked just then
    assert strange == []
    assert said == []


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that really analyses."""
    with Served(tmp_path_factory.mktemp("service"), isolated, limits=replace(LIMITS, jobs=2)) as made:
        yield made


def hostile_capture(path: Path) -> Path:
    """A capture with logins whose accounts and answers are markup."""
    wire = Wire()
    for number, evil in enumerate(EVIL * 2):
        quoted = evil.replace("\\", "\\\\").replace('"', '\\"')
        talk = wire.conversation("192.0.2.9", "198.51.100.1", at_ms=200.0 * number).open()
        talk.say(Side.SERVER, b"* OK The Microsoft Exchange IMAP4 service is ready.\r\n")
        talk.say(Side.CLIENT, f'a LOGIN "{quoted}" "Pl4nted-Secret"\r\n'.encode())
        talk.say(Side.SERVER, f"a NO LOGIN failed. {evil}\r\n".encode())
        talk.close(Side.CLIENT)
    return wire.save(path)


def test_a_chosen_capture_is_uploaded_and_its_verdict_appears(browser: Any, service: Served) -> None:
    with opened(browser, service) as seen:
        page = seen.go()
        seen.shows("Why were logins refused?")
        page.locator("#files").set_input_files(SAMPLES / "server_side_limit.pcap")
        seen.shows("handed in", "#sending")
        seen.shows("Per-user connection throttling", "#answer")  # nobody reloaded
        seen.shows("server_side_limit.pcap", "#board")
        assert page.locator("#said").text_content()
        page.get_by_role("link", name="server_side_limit.pcap").click()
        report = page.frame_locator("iframe")
        report.locator("h1").wait_for()
        assert "throttling" in report.locator("h1").text_content().lower()
        assert page.locator("iframe").get_attribute("sandbox") == ""
        page.get_by_role("link", name="Report alone").click()
        page.locator("#answer").wait_for()
        assert page.evaluate("document.querySelectorAll('script').length") == 0


def test_a_capture_chosen_before_the_script_is_there_is_uploaded_by_it(browser: Any, tmp_path: Path) -> None:
    with Served(tmp_path) as service, opened(browser, service) as seen:
        held: list[Any] = []
        seen.page.route("**/page.js*", lambda route: held.append(route))  # noqa: PLW0108 (it wants a function of Python)
        seen.page.goto(service.address, wait_until="commit")
        seen.page.locator("#files").set_input_files(SAMPLES / "healthy.pcap")
        held[0].continue_()
        seen.shows("healthy.pcap", "#board")


def test_captures_are_dropped_several_at_once(browser: Any, service: Served) -> None:
    names = ("healthy.pcap", "healthy_lossy.pcap")
    with opened(browser, service) as seen:
        page = seen.go()
        dropped(page, *((name, (SAMPLES / name).read_bytes()) for name in names))
        for name in names:
            seen.shows(name, "#board")
        counted(page, "#board li.healthy", 2)


def test_what_is_no_capture_is_told_beside_its_name(browser: Any, service: Served, tmp_path: Path) -> None:
    (tmp_path / "page.pcap").write_text("<!doctype html>")
    with opened(browser, service) as seen:
        page = seen.go()
        page.locator("#files").set_input_files(tmp_path / "page.pcap")
        seen.shows("a page or a script, not a capture", "#sending")
        page.get_by_role("button", name="Stop the upload of page.pcap").click()
        assert page.locator("#sending li").count() == 0
        seen.said = [x for x in seen.said if "415" not in x]  # the browser notes the refusal


def test_filters_and_search_change_the_list_without_a_reload(browser: Any, tmp_path: Path) -> None:
    with Served(tmp_path) as service, opened(browser, service) as seen:
        for number in range(3):
            service.finished(capture(number), f"number{number}.pcap")
        page = seen.go()
        page.evaluate("window.same = true")
        page.locator("#search").fill("number2")
        counted(page, ".rows > li", 1)
        assert page.evaluate("window.same")
        assert page.evaluate("document.activeElement.id") == "search"
        service.finished(capture(3), "another-number2.pcap")
        looked(page)
        counted(page, ".rows > li", 2)  # what comes is filtered, too
        assert page.locator("#search").input_value() == "number2"
        page.locator("#search").fill("")
        looked(page)  # the list is drawn anew while somebody types
        counted(page, ".rows > li", 4)
        page.get_by_role("link", name="confirmed 4").click()
        assert "verdict=confirmed" in page.url


def test_a_capture_is_deleted_when_that_is_confirmed(browser: Any, tmp_path: Path) -> None:
    with Served(tmp_path) as service, opened(browser, service) as seen:
        service.finished(capture(1), "stays.pcap")
        service.finished(capture(2), "goes.pcap")
        page = seen.go()
        asked: list[str] = []

        def decline(dialog: Any) -> None:
            asked.append(dialog.message)
            dialog.dismiss()

        page.once("dialog", decline)
        page.get_by_role("button", name="Delete goes.pcap").click()
        assert asked == ["Delete this capture and its report?"]
        assert service.ask("GET", "/api/captures").json["total"] == 2
        page.once("dialog", lambda x: x.accept())
        page.get_by_role("button", name="Delete goes.pcap").click()
        counted(page, ".rows > li", 1)
        assert service.ask("GET", "/api/captures").json["total"] == 1
        page.get_by_role("link", name="stays.pcap").click()
        page.once("dialog", lambda x: x.accept())
        page.get_by_role("button", name="Delete").click()
        seen.shows("Why were logins refused?")


def test_hostile_names_stay_text(browser: Any, service: Served, tmp_path: Path) -> None:
    octets = hostile_capture(tmp_path / "x.pcap").read_bytes()
    with opened(browser, service) as seen:
        page = seen.go()
        page.on("dialog", lambda x: seen.said.append(f"dialog {x.message}"))
        dropped(page, (EVIL_FILE, octets))
        name = "<img src=x onerror=alert(1)>\ufffdgnp.\ufffd{{7*7}}.pcap"
        seen.shows(name, "#board")
        counted(page, "#board .queue", 0)
        for _ in range(2):  # through two looks of the page
            looked(page)
        paths = ["/", "/incidents", page.get_by_role("link", name=name).get_attribute("href")]
        for path in paths:
            seen.go(path)
            assert page.evaluate("document.querySelectorAll('img, #evil, main script, [onerror]').length") == 0
            assert "owned" not in page.title()
            assert "49" not in page.locator("h1").first.text_content()
        report = page.frames[-1]
        report.wait_for_selector("h1")
        assert report.locator("img, #evil, script, [onerror]").count() == 0
        assert EVIL[0] in report.content().replace("&lt;", "<").replace("&gt;", ">")


def test_injected_markup_would_be_stopped_by_the_policy(browser: Any, tmp_path: Path) -> None:
    """Should escaping ever fail, the browser still runs nothing: the list is made to hold raw markup here."""
    from analyzer.service import pages

    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    made = pages._environment()
    pages._environment.cache_clear()
    try:
        with Served(tmp_path, told(f"{evil}: x")) as service:
            service.finished(capture())
            pages._environment().autoescape = False
            context = browser.new_context()
            page = context.new_page()
            said: list[str] = []
            page.on("console", lambda x: said.append(x.text))
            page.goto(service.address)
            looked(page)
            assert page.evaluate("document.querySelectorAll('main img').length") > 0  # it did get in
            assert "owned" not in page.title()
            assert any("Content Security Policy" in x for x in said)
            context.close()
    finally:
        pages._environment.cache_clear()
    assert made.autoescape


def test_an_upload_shows_how_far_it_is_and_goes_on_after_a_cut(browser: Any, tmp_path: Path) -> None:
    with Served(tmp_path) as service, opened(browser, service) as seen:
        page = seen.go()
        cuts = iter([True])

        def cut(route: Any) -> None:
            if next(cuts, False):
                route.abort("connectionreset")
            else:
                route.continue_()

        page.route(
            "**/api/uploads/*", lambda route: cut(route) if route.request.method == "PATCH" else route.continue_()
        )
        dropped(page, ("big.pcap", capture(size=3 << 20)))
        bar = page.get_by_role("progressbar", name="Upload of big.pcap")
        bar.wait_for()
        seen.shows("handed in", "#sending")
        seen.shows("big.pcap", "#board")
        seen.said = [x for x in seen.said if "ERR_CONNECTION_RESET" not in x]


def test_the_queue_shows_how_far_it_is(browser: Any, tmp_path: Path) -> None:
    go = threading.Semaphore(0)

    def analyse(*_: object, **__: object) -> Answer:
        go.acquire(timeout=20)
        return told()()

    with Served(tmp_path, analyse) as service, opened(browser, service) as seen:
        for number in range(3):
            service.upload(capture(number), f"{number}.pcap")
        page = seen.go()
        seen.shows("0 of 3", "#board")
        seen.shows("Being analysed", "#board")
        go.release()
        seen.shows("1 of 3", "#board")
        assert page.title() == "(2) mailscope"
        assert page.locator("#queue-bar").get_attribute("value") == "1"
        page.get_by_role("link", name="1.pcap").click()
        seen.shows("The report appears here by itself")
        go.release()
        go.release()
        page.locator("iframe").wait_for()


@pytest.mark.parametrize("size", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_and_nothing_sticks_out(
    browser: Any,
    service: Served,
    size: int,
    scheme: Any,
) -> None:
    for name in ("server_side_limit.pcap", "one_agent_refused.pcap", "healthy.pcap", "large_packets_lost.pcap"):
        service.finished((SAMPLES / name).read_bytes(), name)
    with opened(browser, service, viewport={"width": size, "height": 900}, color_scheme=scheme) as seen:
        for path in ("/", "/incidents", "/?q=nobody-has-this"):
            page = seen.go(path)
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
            found = page.evaluate(LOOK)
            bad = [
                (text, ratio)
                for text, ratio, large in map(pages._ratio, found)
                if ratio < (LEAST_LARGE if large else LEAST)
            ]
            assert bad == [], path


def test_it_works_with_the_keyboard_and_says_what_is_what(browser: Any, service: Served) -> None:
    service.finished((SAMPLES / "healthy.pcap").read_bytes(), "healthy.pcap")
    with opened(browser, service) as seen:
        page = seen.go()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the answer"
        reached = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.getAttribute('aria-label')"))
        assert {"files", "search", "cause", "filter-1"} <= reached
        assert any(str(x).startswith("Delete ") for x in reached)
        outline = page.evaluate("getComputedStyle(document.querySelector('.pick')).outlineStyle")
        page.locator("#files").focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.querySelector('.pick')).outlineStyle") != outline
        unnamed = page.evaluate(
            "() => [...document.querySelectorAll('input:not([type=hidden]), select, button, a, progress')]"
            ".filter(x => !(x.labels?.length || x.textContent.trim() || x.getAttribute('aria-label'))).length"
        )
        assert unnamed == 0
        assert page.locator("h1").count() == 1
        tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
        roles = {x["role"]["value"] for x in tree if not x["ignored"]}
        assert {"banner", "main", "navigation", "contentinfo", "search", "status"} <= roles


def test_it_works_without_script(browser: Any, service: Served, tmp_path: Path) -> None:
    with opened(browser, service, java_script_enabled=False) as seen:
        page = seen.go()
        page.locator("#files").set_input_files(SAMPLES / "server_restart.pcap")
        page.get_by_role("button", name="Upload").click()
        deadline = time.monotonic() + 20
        while page.get_by_role("link", name="server_restart.pcap").count() == 0 or page.locator(".queue").count():
            assert time.monotonic() < deadline
            page.reload()
        page.locator("#search").fill("server_restart")
        page.get_by_role("button", name="Search").click()
        assert page.locator(".rows > li").count() == 1
        page.get_by_role("link", name="server_restart.pcap").click()
        page.get_by_role("button", name="Delete").click()
        assert page.get_by_role("link", name="server_restart.pcap").count() == 0


def test_one_logs_in_and_out(browser: Any, tmp_path: Path) -> None:
    token = add_token(tmp_path / "tokens", "ann")
    with Served(tmp_path, tokens=tmp_path / "tokens") as service, opened(browser, service) as seen:
        page = seen.go()
        page.get_by_label("Your token").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("alert").wait_for()
        page.get_by_label("Your token").fill(token)
        page.get_by_role("button", name="Log in").click()
        seen.shows("Why were logins refused?")
        assert page.evaluate("document.cookie") == ""  # no script can read it
        page.locator("#files").set_input_files(SAMPLES / "healthy.pcap")
        seen.shows("healthy.pcap", "#board")
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Your token").wait_for()
        seen.go("/")
        page.get_by_label("Your token").wait_for()
        seen.said = [x for x in seen.said if "401" not in x]


def test_nothing_of_a_row_lies_on_something_else(browser: Any, service: Served) -> None:
    service.finished((SAMPLES / "server_restart.pcap").read_bytes(), "x")
    for width in (390, 700, 1280):
        with opened(browser, service, viewport={"width": width, "height": 900}) as seen:
            boxes = seen.go().evaluate(
                "() => [...document.querySelectorAll('.rows > li')].map(row => [...row.children].map(x => {"
                " const b = x.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; }))"
            )
            assert boxes
            for row in boxes:
                pairs = [(a, b) for place, a in enumerate(row) for b in row[place + 1 :]]
                assert [x for x in pairs if lie_on_each_other(*x)] == []


def lie_on_each_other(a: list[float], b: list[float]) -> bool:
    return a[0] < b[2] - 1 and b[0] < a[2] - 1 and a[1] < b[3] - 1 and b[1] < a[3] - 1
