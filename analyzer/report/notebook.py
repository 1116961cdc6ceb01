"""The card a notebook shows for an analysis: the answer, the proof, what is missing."""

from __future__ import annotations

from html import escape

from analyzer.report.result import Result
from analyzer.rules.finding import Finding

CARD_FINDINGS = 3
"""Findings on the card; the rest is one attribute away."""
_COLOURS = {"confirmed": "#a40e26", "likely": "#b35900", "suspected": "#7a5c00"}


def card(result: Result) -> str:
    """Return the card as HTML; every text from a capture is escaped."""
    conclusion = result.conclusion
    head = "".join(
        f"<div>{escape(c.name)}: {c.packets:,} frames, {escape(c.state)}, quality {escape(c.quality.grade)}</div>"
        for c in result.captures
    )
    body = "".join(_finding(f) for f in result.faults[:CARD_FINDINGS]) or f"<p><b>{escape(conclusion.title)}</b></p>"
    more = len(result.faults) - CARD_FINDINGS
    rest = f"<p>and {more} more in <code>.findings</code></p>" if more > 0 else ""
    counts = f"<div>{len(result.sessions)} mail connections, {len(result.logins)} logins, {len(result.accounts)} accounts</div>"
    return f'<div style="border-left:4px solid #888;padding-left:1em">{head}{counts}{body}{rest}</div>'


def _finding(f: Finding) -> str:
    colour = _COLOURS.get(str(f.verdict), "#444")
    proof = "".join(f"<li>{escape(e.text)}</li>" for e in f.evidence[:4])
    settle = "".join(f"<li>{escape(m)}</li>" for m in f.missing)
    settled = f"<div>What would settle it:</div><ul>{settle}</ul>" if settle else ""
    return (
        f'<p><b style="color:{colour}">{escape(str(f.verdict).upper())}</b> ({f.confidence:.0%}) '
        f"<b>{escape(f.title)}</b><br>{escape(f.summary)}</p><ul>{proof}</ul>{settled}"
    )
