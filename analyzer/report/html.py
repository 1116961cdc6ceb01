"""One self-contained page to send: the answer, the chart, the proof, the cure. No script, no request, light and dark.

The page names the hash of its only stylesheet and allows nothing else (Content Security Policy Level 3, section 2.3.1), so
that whatever a capture smuggles in stays text; besides, every text is escaped by the template engine.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.at import NS_PER_MS, NS_PER_S
from analyzer.report.case import MOST_NAMES, MOST_ROWS, Case, case, in_words
from analyzer.report.curves import end_of, limit_of, named, utc
from analyzer.report.layout import percent, share
from analyzer.report.model import document, version
from analyzer.report.plot import plot
from analyzer.report.result import Result
from analyzer.report.terminal import words
from analyzer.rules.finding import CLAIMS

if TYPE_CHECKING:
    from jinja2 import Template

FOLDER = Path(__file__).parent
WIDE, NARROW = 920, 340
"""Widths of the two drawings of the chart, px: for a desk or paper, and for a phone."""
MOST_JSON_BYTES = 160_000
"""Of the whole result, what the page holds; of a larger one the first rows of each table."""
_ROWS = ("captures", "findings", "remedies", "accounts", "logins", "sessions")
"""Lists of the result, those first that must not be cut."""

Say = Callable[[str], str]


def page(result: Result, say: Say = str) -> str:
    """Return the report as one HTML file; ``say`` puts its sentences into the reader's language."""
    shown = case(in_words(result, say))
    shown = shown._replace(lines=tuple(x._replace(name=named(x.name, say)) for x in shown.lines))

    def speak(text: str, /, **values: object) -> str:
        return say(text.format(**values) if values else text)

    text = _template().render(
        _=speak,
        case=shown,
        result=shown.result,
        plots=_plots(shown),
        data=_embedded(result),
        css=_css(),
        policy=_policy(_css()),
        version=version(),
        most_names=MOST_NAMES,
        most_rows=MOST_ROWS,
    )
    return text.strip() + "\n"


def embedded(result: Result) -> str:
    """Return the result as JSON, the rows of its lists cut to what a page may hold; ``left_out`` counts the others."""
    whole = document(result)
    kept: dict[str, Any] = {key: [] if key in _ROWS else value for key, value in whole.items()}
    left, left_out = MOST_JSON_BYTES, {}
    for name in _ROWS:
        for row in whole[name]:
            left -= len(_json(row))
            if left < 0:
                left_out[name] = len(whole[name]) - len(kept[name])
                break
            kept[name].append(row)
    return _json(kept | ({"left_out": left_out} if left_out else {}))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _embedded(result: Result) -> Any:
    """Return the same, fit to stand in an element's text: there, quotes need no escape, and escaping them doubles it."""
    from markupsafe import Markup

    text = embedded(result).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markup(text)  # noqa: S704 (escaped in the line above)


def _plots(shown: Case) -> dict[str, Any]:
    limit, end = limit_of(shown.result), end_of(shown.result)
    return {
        name: plot(shown.lines, shown.lanes, limit, end, width) for name, width in (("wide", WIDE), ("narrow", NARROW))
    }


@cache
def _css() -> str:
    return (FOLDER / "page.css").read_text("utf-8").strip()


def _policy(css: str) -> str:
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["CLAIMS"] = CLAIMS
    made.filters |= {
        "clock": clock, "date": date, "duration": duration, "percent": percent, "words": words, "thousands": thousands,
        "sentence": sentence, "share": share, "release": release,
    }  # fmt: skip
    return made.get_template("page.html")


def clock(ns: int) -> str:
    """Write a time of day, UTC, to the millisecond."""
    return f"{utc(ns):%H:%M:%S}.{ns % NS_PER_S // NS_PER_MS:03d}"


def date(ns: int) -> str:
    """Write a day as RFC 3339 does: understood everywhere, in no language."""
    return f"{utc(ns):%Y-%m-%d}"


def duration(ns: int) -> str:
    """Write a length of time in the unit a person would take."""
    seconds = ns / NS_PER_S
    if seconds < 1:
        return f"{ns / NS_PER_MS:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def thousands(number: int) -> str:
    """Write a number with its thousands apart."""
    return f"{number:,}"


def release(version: str) -> str:
    """Write a product's version as its maker does: SE, SP2, Online."""
    return version.upper() if len(version) < 4 else version.capitalize()


def sentence(text: str) -> str:
    """Begin with a capital letter."""
    return text[:1].upper() + text[1:]
