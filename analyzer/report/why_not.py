"""Why a cause was not claimed, as text: what speaks for it and against it, the tests that failed, what was missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from analyzer.errors import AnalyzerError
from analyzer.report.layout import Line, folded, plain
from analyzer.report.result import Result
from analyzer.report.terminal import WIDTH, words
from analyzer.rules.scene import Known, Scene
from analyzer.rules.signatures import CAUSES
from analyzer.rules.weigh import UNDETERMINED
from analyzer.rules.why_not import WhyNot, why_not
from analyzer.text import clean

if TYPE_CHECKING:
    from analyzer.language import Say

FRAMES_TOLD = 8
"""Frames named with one fact."""
DISPUTES_TOLD = 5
"""Disputes told at length; the others are counted."""

_INDENT = 11


def text(result: Result, known: Known, cause: str, *, width: int = WIDTH, say: Say = str) -> str:
    """Return why ``cause`` was not claimed, for each dispute of a result.

    Raises:
        AnalyzerError: there is no such cause.
    """
    name = cause.lower().replace("-", "_")
    if name not in CAUSES - {UNDETERMINED}:
        known_causes = " ".join(sorted(CAUSES - {UNDETERMINED}))
        raise AnalyzerError(f"there is no cause {clean(cause, 60)}", hint=f"the causes are {known_causes}")
    found = why_not(Scene(result.sessions, known), name)
    return plain(_lines(name, found, width, say))


def _lines(cause: str, found: Sequence[WhyNot], width: int, say: Say) -> Iterator[Line]:
    if not found:
        yield from _folded(
            f"{say(words(cause))}: {say('nothing failed in this capture that it could explain.')}", width
        )
        return
    for item in found[:DISPUTES_TOLD]:
        yield from _one(cause, item, width, say)
        yield ()
    if len(found) > DISPUTES_TOLD:
        yield from _folded(say(f"and {len(found) - DISPUTES_TOLD} more like these"), width)


def _one(cause: str, item: WhyNot, width: int, say: Say) -> Iterator[Line]:
    yield from _folded(f"{say(item.verdict).upper()}  {say(item.about)}", width)
    asked = "claimed" if item.is_claimed else "not claimed"
    total = f"{item.total_db:+.0f} dB {say('in sum')}"
    yield from _fact(say("asked"), f"{say(words(cause))}: {say(asked)}, {total}", width)
    for label, sign in (("for", 1), ("against", -1)):
        facts = [x for x in item.evidence if x.weight_db * sign > 0]
        for number, fact in enumerate(facts):
            frames = " ".join(str(x.frame) for x in fact.frames[:FRAMES_TOLD])
            where = f"   {say('frames')} {frames}" if frames else ""
            yield from _fact("" if number else say(label), f"{fact.weight_db:+.0f} dB  {say(fact.text)}{where}", width)
    for label, texts in (("failed", item.reasons), ("settle", item.missing)):
        for number, text in enumerate(texts):
            yield from _fact("" if number else say(label), say(text), width)


def _fact(label: str, said: str, width: int) -> Iterator[Line]:
    for number, line in enumerate(folded(said, width - _INDENT)):
        yield ((f"   {label if number == 0 else '':8}", ""), (line, ""))


def _folded(said: str, width: int) -> Iterator[Line]:
    yield from (((line, ""),) for line in folded(said, width))
