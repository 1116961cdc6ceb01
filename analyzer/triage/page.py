"""A triage as one self-contained page to keep or send: incidents, then every capture, worst first. No script, no request."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.at import NS_PER_S
from analyzer.report import html
from analyzer.report.layout import percent
from analyzer.report.model import version
from analyzer.triage.baseline import STATES
from analyzer.triage.batch import TriageResult
from analyzer.triage.incidents import Incident
from analyzer.triage.row import UNREAD_RANK, Row, ns
from analyzer.triage.table import ranked, summary, words

if TYPE_CHECKING:
    from jinja2 import Template

MOST_INCIDENTS = 100
"""Told on the page; JSON and the store have them all."""
MOST_ROWS = 2000
"""Captures listed, worst first."""
MOST_MEMBERS = 200
"""Captures named with one incident."""
MOST_BARS = 14
"""Incidents drawn over time."""
FEWEST_BARS = 2
"""One bar tells nothing that its two times do not."""
WIDTH, LEFT, LINE = 920, 30, 22
"""Of the drawing, px: in all, of the numbers in front, of one incident."""
THIN = 3
"""Least width of a bar, px: what lasted a second is seen, too."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One incident over time."""

    number: int
    """In the list."""
    incident: Incident
    x: float
    """px, like the others."""
    width: float
    y: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """When incidents were, below each other."""

    bars: tuple[Bar, ...]
    height: int
    """px."""
    start: int
    """First sign of any, ns UTC."""
    end: int


def page(result: TriageResult) -> str:
    """Return the triage as one HTML file."""
    rows = ranked(result)
    css = _css()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return (
        _template()
        .render(
            css=css,
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
            version=version(),
            result=result,
            incidents=result.incidents[:MOST_INCIDENTS],
            rows=rows[:MOST_ROWS],
            counts=_counts(rows),
            drawing=drawing(result.incidents),
            numbers=_numbers(result.incidents[:MOST_INCIDENTS]),
            changes=None if result.changes is None else _by_incident(result),
            gone=[one for one in result.changes or () if one.after is None],
            states=STATES,
            summary=summary(result),
            left_out={"incidents": len(result.incidents) - MOST_INCIDENTS, "rows": len(rows) - MOST_ROWS},
            most=MOST_MEMBERS,
        )
        .strip()
        + "\n"
    )


def drawing(incidents: tuple[Incident, ...]) -> Drawing | None:
    """Lay out when incidents were; None where there is nothing to compare."""
    timed = [(n, one, ns(one.start), ns(one.end)) for n, one in enumerate(incidents[:MOST_BARS], 1)]
    spans = [(n, one, start, end) for n, one, start, end in timed if start is not None and end is not None]
    if len(spans) < FEWEST_BARS:
        return None
    first, last = min(start for _, _, start, _ in spans), max(end for _, _, _, end in spans)
    scale = (WIDTH - LEFT - THIN) / max(last - first, 1)
    bars = [
        Bar(n, one, round(LEFT + (start - first) * scale, 1), round(max((end - start) * scale, THIN), 1), place * LINE)
        for place, (n, one, start, end) in enumerate(spans)
    ]
    return Drawing(tuple(bars), len(bars) * LINE, first, last)


def _counts(rows: list[Row]) -> dict[str, int]:
    """Return how many captures there are of each kind."""
    claimed = sum(row.rank < 2 for row in rows)
    unread = sum(row.rank == UNREAD_RANK for row in rows)
    suspected = sum(row.rank == 2 for row in rows)
    return {
        "claimed": claimed,
        "suspected": suspected,
        "unread": unread,
        "well": len(rows) - claimed - suspected - unread,
    }


def _numbers(incidents: tuple[Incident, ...]) -> dict[str, list[int]]:
    """Return the numbers of the incidents that each capture is in, by path."""
    numbers: dict[str, list[int]] = {}
    for number, one in enumerate(incidents, 1):
        for path in one.captures:
            numbers.setdefault(path, []).append(number)
    return numbers


def _by_incident(result: TriageResult) -> dict[tuple[Any, ...], Any]:
    changes = result.changes or ()
    return {(one.cause, one.server, one.accounts): one for one in changes if one.after is not None}


@cache
def _css() -> str:
    files = (html.FOLDER / "page.css", Path(__file__).parent / "page.css")
    return "\n".join(file.read_text("utf-8").strip() for file in files)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "clock": _clock, "day": html.date, "duration": html.duration, "percent": percent, "sentence": html.sentence,
        "thousands": html.thousands, "words": words, "ns": ns,
    }  # fmt: skip
    return made.get_template("page.html")


def _clock(ns_utc: int) -> str:
    """Write a time of day, UTC, to the second."""
    return f"{datetime.fromtimestamp(ns_utc // NS_PER_S, UTC):%H:%M:%S}"
