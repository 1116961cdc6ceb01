"""The card a notebook shows for an analysis: the answer, the proof, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from analyzer.report.layout import percent
from analyzer.report.result import Result
from analyzer.report.tables import frames_text
from analyzer.rules.finding import CLAIMS, Evidence, Finding
from analyzer.sessions.coverage import CaptureSeen

CARD_FINDINGS = 3
"""Findings on the card; the rest is one attribute away."""
CARD_CAPTURES = 8
CARD_FRAMES = 5
CARD_REMEDIES = 2
RIVAL = 0.05
"""Share from which on a rival cause is named."""
OTHER = {"undetermined": "something else"}
_COLOURS = {"confirmed": "#d1242f", "likely": "#b35900", "suspected": "#9a6700"}
"""Legible on the white and on the black of a notebook."""


def card(result: Result) -> str:
    """Return the card as HTML; every text from a capture is escaped."""
    conclusion = result.conclusion
    head = "".join(_capture(c) for c in result.captures[:CARD_CAPTURES])
    if len(result.captures) > CARD_CAPTURES:
        head += f"<div>and {len(result.captures) - CARD_CAPTURES} more captures</div>"
    body = (
        "".join(_finding(f, result) for f in result.faults[:CARD_FINDINGS])
        or f"<p><b>{escape(conclusion.title)}</b></p>"
    )
    more = len(result.faults) - CARD_FINDINGS
    rest = f"<p>and {more} more in <code>.findings</code></p>" if more > 0 else ""
    counts = f"<div>{len(result.sessions)} mail connections, {len(result.logins)} logins, {len(result.accounts)} accounts</div>"
    return f'<div style="border-left:4px solid #888;padding-left:1em">{head}{counts}{body}{rest}</div>'


def _capture(seen: CaptureSeen) -> str:
    lacks = f": {escape('; '.join(seen.quality.reasons))}" if seen.quality.reasons else ""
    return (
        f"<div>{escape(seen.name)}: {seen.packets:,} frames, {escape(seen.state)}, "
        f"quality {escape(seen.quality.grade)}{lacks}</div>"
    )


def _finding(f: Finding, result: Result) -> str:
    colour = _COLOURS.get(str(f.verdict), "#888")
    return (
        f'<p><b style="color:{colour}">{escape(str(f.verdict).upper())}</b> ({percent(f.confidence)}) '
        f"<b>{escape(f.title)}</b><br>{escape(f.summary)}</p><ul>{''.join(_proof(e) for e in f.evidence[:4])}</ul>"
        f"{_rivals(f)}{_listed('What would settle it:', f.missing)}"
        f"{_listed('What to do:' if f.verdict in CLAIMS else 'What would cure it, if so:', [x.title for x in result.remedies_of(f)[:CARD_REMEDIES]])}"
    )


def _proof(e: Evidence) -> str:
    frames = escape(frames_text(e.frames[:CARD_FRAMES]) or "")
    where = (
        f' <span style="opacity:.7">(frames {frames}{", ..." * (len(e.frames) > CARD_FRAMES)})</span>' if frames else ""
    )
    return f"<li>{escape(e.text)}{where}</li>"


def _rivals(f: Finding) -> str:
    rivals = [x for x in f.candidates if x.cause != f.cause and x.confidence >= RIVAL]
    return _listed("It might also be:", [f"{OTHER.get(x.cause, x.cause)} ({percent(x.confidence)})" for x in rivals])


def _listed(head: str, items: Sequence[str]) -> str:
    return f"<div>{head}</div><ul>{''.join(f'<li>{escape(x)}</li>' for x in items)}</ul>" if items else ""
