from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

import analyzer
from analyzer.report.html import MOST_JSON_BYTES, duration, embedded, page, percent
from analyzer.report.model import document
from analyzer.rules.finding import Verdict
from analyzer.rules.narrate import NAMES
from analyzer.sessions.session import Outcome
from tests.records import capture_seen, evidence, finding, one_pc, refused, result, session
from tests.report import hostile

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_pcaps"
VOID = {"meta", "br", "hr", "img", "input", "link"}
ALLOWED = (
    "a article b body caption code dd details div dl dt figcaption figure footer h1 h2 h3 h4 head header html li main meta nav"
    " ol p pre section small span style summary table tbody td th thead time title tr ul svg g path rect circle text"
)
ATTRIBUTES = (
    "aria-hidden aria-label aria-labelledby charset class content cx cy d datetime height href http-equiv id lang name r role"
    " rx scope tabindex text-anchor title value viewbox width x y"
)
CSS = (ROOT / "analyzer" / "report" / "page.css").read_text("utf-8")
THEME = re.compile(r":root \{(.*?)\}", re.DOTALL)
COLOUR = re.compile(r"--([\w-]+): (#[0-9a-f]{6});")


class Tree(HTMLParser):
    """Elements with attributes in order, text by the id of the element it stands in; every element must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.open: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("id") or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, name in self.open:
            self.texts[name] = self.texts.get(name, "") + data


@pytest.fixture(scope="module")
def evil() -> str:
    return page(hostile.case())


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("html") / "case.html"
    return analyzer.read(SAMPLES / "server_side_limit.pcap").save(path).read_text("utf-8")


def test_names_and_texts_of_a_capture_stay_text(evil: str) -> None:
    tree = Tree(evil)
    assert {tag for tag, _ in tree.elements} <= set(ALLOWED.split())
    assert {key for _, attrs in tree.elements for key in attrs} <= set(ATTRIBUTES.split())
    shown = tree.texts[""]
    for text in hostile.EVIL:
        assert text in shown
    assert "7 records about logins, 3 of them belong to the captures" in shown
    assert not re.search(r"\b49\b", shown)  # no template was filled in


def test_links_lead_into_the_page_and_nowhere_else(evil: str) -> None:
    tree = Tree(evil)
    ids = [attrs["id"] for _, attrs in tree.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {str(attrs["href"]) for _, attrs in tree.elements if "href" in attrs}
    assert links
    assert {x.removeprefix("#") for x in links} <= set(ids)
    named = {x for _, attrs in tree.elements for x in str(attrs.get("aria-labelledby") or "").split()}
    assert named <= set(ids)


def test_the_policy_allows_the_one_stylesheet_and_nothing_else(sample: str) -> None:
    tree = Tree(sample)
    policy = next(x["content"] for _, x in tree.elements if x.get("http-equiv") == "Content-Security-Policy")
    css = sample.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in css
    assert "@import" not in css
    assert sample.index("Content-Security-Policy") < sample.index("<style>")


def test_the_answer_comes_first_with_who_when_how_many_and_the_fix(sample: str) -> None:
    answer = " ".join(Tree(sample).texts["answer"].split())
    for told in (
        "Confirmed 99 % sure", "Per-user connection throttling", "uccx-mail", "198.51.100.10", "76 of 100 logins", "4 of 12",
        "09:14:03 to 09:14:19 UTC", "16 sessions open at once", "What to do", "MaxConnectionsPerUser 33",
    ):  # fmt: skip
        assert told in answer
    assert "192.0.2.18, 192.0.2.19" in answer


def test_the_page_holds_the_whole_story(sample: str) -> None:
    texts = {key: " ".join(x.split()) for key, x in Tree(sample).texts.items()}
    assert "frame.number in {249, 254" in texts["evidence"]
    assert "Nothing speaks against it" in texts["evidence"]
    assert "refused, with 16 of its sessions open" in texts["dialogue"]
    assert "A1 NO AUTHENTICATE failed." in texts["dialogue"]
    assert "Undo" in texts["fix"]
    assert "192.0.2.21" in texts["who"]
    assert "first login refused, of 76" in texts["timeline"]
    assert "SHA-256" in texts["captures"]
    assert "most open" in texts["chart"]


def test_a_suspicion_says_what_settles_it_and_what_its_rivals_are() -> None:
    made = analyzer.read(SAMPLES / "one_agent_refused.pcap").result
    texts = {key: " ".join(x.split()) for key, x in Tree(page(made)).texts.items()}
    assert "What settles it Do other agents work" in texts["answer"]
    assert "If it is so" in texts["answer"]
    assert "Wrong or changed password29 %" in texts["evidence"]
    assert " sure" not in texts["answer"]


@pytest.mark.parametrize(
    "name", ["server_side_limit.pcap", "wrong_password_one_pc.pcap", "one_agent_refused.pcap", "healthy.pcap"]
)
def test_the_result_can_be_read_back_from_a_page_of_normal_size(name: str, tmp_path: Path) -> None:
    case = analyzer.read(SAMPLES / name)
    octets = case.save(tmp_path / "case.html").read_bytes()
    assert len(octets) < 300_000
    assert json.loads(Tree(octets.decode()).texts["result-json"]) == document(case.result)


def many() -> Iterator[object]:
    for n in range(3000):
        made = refused if n % 3 else session
        yield made(
            f"C{n}", account=f"agent-{n}@corp.example", client=f"10.1.{n // 250}.{n % 250}", at_s=n / 7, frame=50 * n
        )


def test_a_large_case_stays_a_small_page_that_says_what_it_leaves_out() -> None:
    sessions = tuple(many())
    facts = [evidence("x" * 300, frames=range(50)) for _ in range(12)]
    made = result(sessions, [finding(title=f"fault {n}", evidence=facts) for n in range(60)])  # type: ignore[arg-type]
    text = page(made)
    assert len(text.encode()) < 400_000
    kept = json.loads(Tree(text).texts["result-json"])
    assert len(kept["sessions"]) + kept["left_out"]["sessions"] == 3000
    assert len(kept["findings"]) + kept["left_out"].get("findings", 0) == 60
    assert "2960 more are not shown here" in text
    assert "2995 more accounts are not drawn" in text


def test_what_is_cut_from_the_data_keeps_the_most_important_rows() -> None:
    made = result([refused(f"C{n}", greeting="g" * 400) for n in range(300)], [finding()])
    text = embedded(made)
    kept = json.loads(text)
    assert len(text) < MOST_JSON_BYTES + 2000
    assert len(kept["findings"]) == 1
    assert len(kept["logins"]) == 300
    assert kept["left_out"] == {"sessions": 300 - len(kept["sessions"])}
    assert "left_out" not in json.loads(embedded(result(one_pc())))


@pytest.mark.parametrize("cause", sorted(NAMES))
def test_every_cause_is_explained_to_a_stranger(cause: str) -> None:
    text = page(result(one_pc(), [finding(Verdict.LIKELY, cause=cause, title="x")]))
    meaning = text.partition('<p class="meaning">')[2].partition("</p>")[0]
    assert len(meaning.replace("No single fact proves it, but nothing else explains what was seen.", "").strip()) > 30


@pytest.mark.parametrize(
    ("sessions", "state", "told"),
    [
        ([session()], "ok", "Nothing wrong found"),
        ([], "no_mail", "No mail traffic in the capture"),
        ([], "not_a_capture", "Nothing could be read"),
        ([session(outcome=Outcome.OPAQUE)], "ok", "All 1 mail sessions are encrypted"),
    ],
)
def test_no_fault_is_a_page_too(sessions: list[object], state: str, told: str) -> None:
    texts = Tree(page(result(sessions, captures=[capture_seen(state=state)]))).texts  # type: ignore[arg-type]
    assert told in texts["answer"]
    assert texts["answer"].count("None") == 0


def test_every_sentence_of_ours_goes_through_the_translator() -> None:
    made = hostile.case()
    asked: list[str] = []

    def say(text: str) -> str:
        asked.append(text)
        return f"«{text}»"

    tree = Tree(page(made, say))
    own = [tree.texts[str(attrs["id"])] for tag, attrs in tree.elements if tag in {"h1", "h2"} and attrs.get("id")]
    assert own
    assert all("«" in x for x in own)
    assert "en" in asked
    assert not any("{" in x for x in asked if not any(evil in x for evil in hostile.EVIL))


def test_the_same_result_gives_the_same_page(sample: str) -> None:
    made = hostile.case()
    assert page(made) == page(made)
    assert sample.count("<h1") == 1


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    r, g, b = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_counted_right() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_contrast_enough_in_both_schemes(theme: int) -> None:
    colours = dict(COLOUR.findall(THEME.findall(CSS)[theme]))
    grounds = [colours[x] for x in ("ground", "paper", "well")]
    for name in ("ink", "soft", "link"):
        assert min(contrast(colours[name], x) for x in grounds) >= 4.5, name
    for name in ("bad", "warn", "good", "tone"):
        tint = colours.get(f"{name}-tint", colours["tint"])
        assert min(contrast(colours[name], x) for x in (colours["paper"], colours["well"], tint)) >= 4.5, name
        assert contrast(colours["ink"], tint) >= 4.5
        assert contrast(colours["soft"], tint) >= 4.5
        assert contrast(colours["on-tone"], colours[name]) >= 4.5, name
    for name in ("c1", "c2", "c3", "c4", "c5", "refused"):
        assert contrast(colours[name], colours["paper"]) >= 3, name


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ms"),
        (48_000_000, "48 ms"),
        (16_800_000_000, "16.8 s"),
        (600 * 10**9, "10 min"),
        (3 * 3600 * 10**9, "3.0 h"),
    ],
)
def test_lengths_of_time_are_in_the_unit_a_person_takes(ns: int, text: str) -> None:
    assert duration(ns) == text
    assert percent(1.0) == "99 %"
