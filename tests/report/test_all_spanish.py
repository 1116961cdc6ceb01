"""Every form of every sample in Spanish: no sentence of ours is left in English, whichever way it came to the reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import analyzer
from analyzer import Analysis
from analyzer.language import speaker
from analyzer.report.charts import Chart
from analyzer.report.evidence import comments
from analyzer.report.ladder import ladder
from analyzer.report.layout import plain
from analyzer.report.probed import STATES, Probe, text
from analyzer.rules.signatures import CAUSES
from analyzer.rules.weigh import UNDETERMINED

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"
NAMES = sorted(x.name for x in SAMPLES.glob("*.pcap*"))
SAY = speaker("es")
ENGLISH = re.compile(
    r"\b(?:[Tt]he|was|were|[Ww]ith|and|of|[Ii]s|are|[Nn]ot|[Aa]t|[Ii]n|[Ff]or|[Ii]t|[Ff]rom|to|[Tt]hat|[Tt]his|[Ww]hich|[Bb]y|"
    r"[Ll]ogins?|[Rr]efused|[Aa]ccepted|[Oo]pen|[Ff]rames?|[Mm]ore|than|[Ss]essions?|[Ss]erver|[Cc]lient|[Aa]ccount|[Qq]uality|"
    r"[Ss]ince|[Uu]ntil|[Tt]ime|capture|[Nn]ever|[Oo]nly|[Nn]othing|[Ee]ach)\b"
)
"""Words that are no Spanish."""
KEPT = re.compile(
    r"«.*?»|\(throttling\)|mailscope \S.*|\bSet-\w+.*|Wireshark: .*|--known \S+|netstat.*?\)|\bpktmon .*|\bnetsh .*|tcpdump .*|"
    r"dumpcap .*|ping .*|\S*\.pcap\S*|Maximum Allowed Service Sessions Per User|-Name .*|\(\.\.\. exceeded.*?\)|"
    r"\b[a-z]+(?:-[a-z]+)+\b",
)
"""What stays: quoted words of servers, commands, filters, names of files and settings."""
VISIBLE = {"code", "pre", "style", "title"}
"""Elements with commands, filters and data; the title is the heading's twin."""


class Shown(HTMLParser):
    """The text of each node a reader sees, but for commands and for words of client and server."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.nodes: list[str] = []
        self._open: list[bool] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br", "hr", "img", "link"}:
            kind = dict(attrs).get("class") or ""
            self._open.append(tag in VISIBLE or kind.split()[:1] in (["said"], ["name"], ["source"]))

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip() and not any(self._open):
            self.nodes.append(" ".join(data.split()))


def english(text: str) -> list[str]:
    """Return the English words in a text, but for what stays."""
    return ENGLISH.findall(KEPT.sub("", text))


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest) -> Analysis:
    """A sample, read for a Spanish reader."""
    return analyzer.read(SAMPLES / request.param, language="es")


def joined(screen: str) -> str:
    """Undo the folding of a screen's lines."""
    return re.sub(r"\n {11}(?=\S)", " ", screen)


def test_the_page(case: Analysis, tmp_path: Path) -> None:
    nodes = Shown(case.save(tmp_path / "a.html").read_text("utf-8")).nodes
    assert len(nodes) > 60
    assert [x for x in nodes if english(x)] == []


def test_the_markdown(case: Analysis, tmp_path: Path) -> None:
    told = case.save(tmp_path / "a.md").read_text("utf-8")
    told = re.sub(r"```.*?```|`[^`]*`|\\(?=\W)", "", told, flags=re.DOTALL)
    assert [x for x in told.splitlines() if english(x)] == []


def test_the_screen_and_the_card(case: Analysis) -> None:
    assert [x for x in joined(repr(case)).splitlines() if english(x)] == []
    assert [x for x in Shown(case._repr_html_()).nodes if english(x)] == []


def test_frames_and_dialogues(case: Analysis) -> None:
    last = case.result.captures[0].packets
    asked = {ref.frame for f in case.findings for e in f.evidence for ref in e.frames[:2]} | set(
        range(1, last, last // 12)
    )
    for frame in sorted(asked):
        told = joined(case.explain(frame))
        shown = re.sub(r"(?:el cliente|el servidor) dice: .*", "", told)
        assert [x for x in shown.splitlines() if english(x)] == [], frame
    for session in case.result.sessions[:3]:
        said = [x for x in case.dialogue(session.uid) if x.side == "-"]
        assert [x.text for x in said if english(x.text)] == []
        head = plain(ladder([], session, 80, SAY)).splitlines()
        assert not any(english(x) for x in head)


def test_why_not(case: Analysis) -> None:
    for cause in sorted(CAUSES - {UNDETERMINED}):
        told = joined(case.why_not(cause))
        assert [x for x in told.splitlines() if english(x)] == [], cause


def test_comments_on_frames(case: Analysis) -> None:
    told = [
        line for frames in comments(case.result, SAY).values() for text in frames.values() for line in text.splitlines()
    ]
    assert [x for x in told if english(x.removeprefix("mailscope: "))] == []


CHARTS = [
    ("connections", "account"),
    ("connections", "client"),
    ("refusals", "words"),
    ("lanes", "client"),
    ("delays", ""),
]


@pytest.mark.parametrize(("kind", "by"), CHARTS)
def test_charts(case: Analysis, kind: str, by: str) -> None:
    chart: Chart = getattr(case.chart, kind)(**({"by": by} if by else {}))
    assert [x for x in texts(chart.draw()) if english(re.sub(r"rechazado: .*", "", x))] == []


def texts(ax: Any) -> Iterator[str]:
    """Yield all that is written on and beside axes, but for the names of lanes."""
    yield from (" ".join(x.split()) for x in (ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()))
    yield from (x.get_text() for x in ax.texts)
    legend = ax.get_legend()
    if legend is not None:
        yield from (" ".join(x.get_text().split()) for x in (*legend.get_texts(), legend.get_title()))


def test_a_comparison() -> None:
    names = ("wrong_password_everywhere.pcap", "server_side_limit.pcap", "healthy.pcap", "one_agent_refused.pcap")
    cases = [analyzer.read(SAMPLES / x, hashed=False) for x in names]
    for before in cases:
        for after in cases:
            told = analyzer.compare(before, after, language="es")
            assert [x for x in repr(told).splitlines() if english(x)] == []
            assert [x for x in Shown(told._repr_html_()).nodes if english(x)] == []


def test_a_probe() -> None:
    probes = [
        Probe("192.0.2.1", 143, x, connect_ms=1.0, greeting_ms=2.0, starttls=False, verified=True) for x in STATES
    ]
    told = text("mail", 143, probes, SAY)
    assert [x for x in told.splitlines() if english(x)] == []
    assert told.startswith("mail, puerto 143\n")


@pytest.mark.parametrize("page", ["<p>Nothing of it was said</p>", "<p>nada <i>more</i></p>"])
def test_a_word_left_over_is_seen(page: str) -> None:
    assert any(english(x) for x in Shown(page).nodes)
    assert not any(english(x) for x in Shown("<p>nada</p><code>the frame</code>").nodes)
