"""The card a notebook shows for an analysis: the answer, the proof, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from analyzer.report.layout import percent
from analyzer.report.result import Result
from analyzer.report.tables import frames_text
from analyzer.report.terminal import words
from analyzer.rules.finding import CLAIMS, Evidence, Finding
from analyzer.sessions.coverage import CaptureSeen

if TYPE_CHECKING:
    from analyzer.language import Say

CARD_FINDINGS = 3
"""Findings on the card; the rest is one attribute away."""
CARD_CAPTURES = 8
CARD_FRAMES = 5
CARD_REMEDIES = 2
RIVAL = 0.05
"""Share from which on a rival cause is named."""
_COLOURS = {"confirmed": "#d1242f", "likely": "#b35900", "suspected": "#9a6700"}
"""Legible on the white and on the black of a notebook."""


def card(result: Result, say: Say = str) -> str:
    """Return the card as HTML in the reader's language; every text from a capture is escaped."""
    conclusion = result.conclusion
    head = "".join(_capture(c, say) for c in result.captures[:CARD_CAPTURES])
    if len(result.captures) > CARD_CAPTURES:
        head += f"<div>{say(f'and {len(result.captures) - CARD_CAPTURES} more captures')}</div>"
    body = (
        "".join(_finding(f, result, say) for f in result.faults[:CARD_FINDINGS])
        or f"<p><b>{escape(say(conclusion.title))}</b></p>"
    )
    more = len(result.faults) - CARD_FINDINGS
    rest = f"<p>{say(f'and {more} more')}: <code>.findings</code></p>" if more > 0 else ""
    counts = f"<div>{_counts(result, say)}</div>"
    return f'<div style="border-left:4px solid #888;padding-left:1em">{head}{counts}{body}{rest}</div>'


def _counts(result: Result, say: Say) -> str:
    kinds = (("mail connection", result.sessions), ("login", result.logins), ("account", result.accounts))
    return ", ".join(say(f"{len(x)} {name}{'' if len(x) == 1 else 's'}") for name, x in kinds)


def _capture(seen: CaptureSeen, say: Say) -> str:
    lacks = f": {escape('; '.join(map(say, seen.quality.reasons)))}" if seen.quality.reasons else ""
    frames, state = say(f"{seen.packets:,} frames"), say(seen.state.replace("_", " "))
    return f"<div>{escape(seen.name)}: {frames}, {state}, {say(f'quality {seen.quality.grade}')}{lacks}</div>"


def _finding(f: Finding, result: Result, say: Say) -> str:
    colour = _COLOURS.get(str(f.verdict), "#888")
    cures = [say(x.title) for x in result.remedies_of(f)[:CARD_REMEDIES]]
    return (
        f'<p><b style="color:{colour}">{escape(say(f.verdict.value).upper())}</b> ({percent(f.confidence)}) '
        f"<b>{escape(say(f.title))}</b><br>{escape(say(f.summary))}</p>"
        f"<ul>{''.join(_proof(e, say) for e in f.evidence[:4])}</ul>"
        f"{_rivals(f, say)}{_listed(say('What would settle it:'), [say(x) for x in f.missing])}"
        f"{_listed(say('What to do:' if f.verdict in CLAIMS else 'What would cure it, if so:'), cures)}"
    )


def _proof(e: Evidence, say: Say) -> str:
    frames = escape(frames_text(e.frames[:CARD_FRAMES]) or "")
    more = ", ..." * (len(e.frames) > CARD_FRAMES)
    where = f' <span style="opacity:.7">({say("frames")} {frames}{more})</span>' if frames else ""
    return f"<li>{escape(say(e.text))}{where}</li>"


def _rivals(f: Finding, say: Say) -> str:
    rivals = [x for x in f.candidates if x.cause != f.cause and x.confidence >= RIVAL]
    return _listed(say("It might also be:"), [f"{say(words(x.cause))} ({percent(x.confidence)})" for x in rivals])


def _listed(head: str, items: Sequence[str]) -> str:
    return f"<div>{head}</div><ul>{''.join(f'<li>{escape(x)}</li>' for x in items)}</ul>" if items else ""
