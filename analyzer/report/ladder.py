"""A dialogue as a ladder: the client's lines left, the server's right, each with frame, time and what passed since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from analyzer.at import NS_PER_S
from analyzer.report.dialogue import DialogueLine
from analyzer.report.layout import Line, columns, folded
from analyzer.sessions.session import Session

if TYPE_CHECKING:
    from analyzer.language import Say

LEAST_COLUMN = 20
"""Columns of one side at least."""
LONG_S = 10_000.0
"""Seconds from which on a pause is told without decimals."""

_GUTTER = 2
_STYLES = {"C": "cyan", "S": "yellow", "-": "dim"}


def ladder(
    lines: Iterable[DialogueLine], session: Session, width: int, say: Say = str, capture: str = ""
) -> Iterator[Line]:
    """Yield the lines of the ladder, none wider than ``width`` columns.

    ``say`` puts our own words into the reader's language; ``capture`` is named above, where there are several.
    """
    said = list(lines)
    wide = max(5, *(len(str(x.at.frame)) for x in said)) if said else 5
    before = wide + 1 + 12 + 1 + 9 + 1
    side = max((width - before - _GUTTER) // 2, LEAST_COLUMN)
    day = datetime.fromtimestamp(session.start // NS_PER_S, UTC).date()
    head = f"{say('frame'):>{wide}} {say('time (UTC)'):12} {say('since'):>9} "
    if capture:
        yield from (((x, "bold"),) for x in folded(capture, width))
    yield from _heads(session, f"{session.uid}  {day}", before, side)
    yield ((head, "bold"), (_padded(say("client"), side) + " " * _GUTTER + say("server"), "bold"))
    for line in said:
        yield from _rung(line, wide, before, side, say)


def _heads(session: Session, first: str, before: int, side: int) -> Iterator[Line]:
    client, server = f"{session.client}:{session.client_port}", f"{session.server}:{session.server_port}"
    yield ((f"{first:{before}}", "bold"), (_padded(client, side) + " " * _GUTTER, "cyan"), (server, "yellow"))


def _rung(line: DialogueLine, wide: int, before: int, side: int, say: Say) -> Iterator[Line]:
    style = _STYLES.get(line.side, "")
    remark = line.side == "-"
    text = f"({say(line.text)})" if remark else line.text
    room = 2 * side + _GUTTER if remark else side
    indent = side + _GUTTER if line.side == "S" else 0
    meta = f"{line.at.frame:>{wide}} {_time(line.at.ts)} {_since(line.delta_s):>9} "
    for number, part in enumerate(list(folded(text, room)) or [""]):
        yield ((meta if number == 0 else " " * before, ""), (" " * indent, ""), (part, style))


def _time(ts: int) -> str:
    moment = datetime.fromtimestamp(ts // NS_PER_S, UTC)
    return f"{moment:%H:%M:%S}.{ts % NS_PER_S // 1_000_000:03}"


def _since(seconds: float) -> str:
    if abs(seconds) < 1:
        return f"{seconds * 1000:+.1f} ms"
    return f"{seconds:+.0f} s" if abs(seconds) >= LONG_S else f"{seconds:+.1f} s"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))
