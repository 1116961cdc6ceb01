"""Lines of a screen: text folded to a width in columns, in parts that each have a style.

Plain text needs no more than this; only a terminal with colours needs rich, which takes longer to load than a small
capture takes to read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

Line = tuple[tuple[str, str], ...]
"""Parts of one line: (text, style in rich's words)."""

MOST_SURE = 0.99
"""Highest share shown: no capture makes anything certain."""

_WORD = re.compile(r" *[^ ]+")


def columns(text: str) -> int:
    """Return how many columns a text takes: wide characters (Unicode Standard Annex 11) two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def folded(text: str, room: int, first_room: int | None = None) -> Iterator[str]:
    """Yield the lines of a text, none wider than ``room`` columns (the first: ``first_room``), broken between words."""
    limit = room if first_room is None else first_room
    line, width = "", 0
    for spaced in _WORD.findall(text):
        size, word = columns(spaced), spaced
        if width + size <= limit:
            line, width = line + word, width + size
            continue
        if line.strip():
            yield line
            limit, word = room, spaced.lstrip()
        line, width = "", 0
        for character in word:
            size = _columns(character)
            if width + size > limit:
                yield line
                line, width, limit = "", 0, room
            line, width = line + character, width + size
    if line.strip():
        yield line


def plain(lines: Iterator[Line]) -> str:
    """Return lines as text without styles or trailing spaces."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines).rstrip() + "\n"


def share(confidence: float) -> int:
    """Return how sure something is in percent, as it is shown everywhere."""
    return round(min(confidence, MOST_SURE) * 100)


def percent(confidence: float) -> str:
    """Write how sure something is: '87 %'."""
    return f"{share(confidence)} %"
