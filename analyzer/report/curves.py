"""What every chart draws: lines of open sessions with their refusals, the span they cover, round ticks of time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from analyzer.at import NS_PER_S
from analyzer.report.result import Result
from analyzer.sessions.concurrency import Steps, account_of, open_sessions
from analyzer.sessions.names import Names, names
from analyzer.sessions.session import LoginOutcome, Outcome, Session

if TYPE_CHECKING:
    from analyzer.language import Say

UNSEEN = "(account not seen)"
OTHERS = "(others)"
SILENT = "(closed without a word)"
MOST_TICKS = 8
_DIGITS = re.compile(r"([0-9]+)")
_TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_ROUND_STEPS: tuple[int, ...] = (
    *(factor * int(10**exponent) for exponent in range(9) for factor in (1, 2, 5)),
    *(s * NS_PER_S for s in _TICKS_S),
)
"""Distances between ticks that a person finds round, ns."""


class Curve(NamedTuple):
    """One account, client or server: its open sessions and its refusals."""

    name: str
    steps: Steps
    refused: tuple[int, ...]
    """When, ns UTC, ascending."""


def named(who: str, say: Say) -> str:
    """Put a name that is ours into the reader's language; an account's, an address's or a server's words stay."""
    return say(who) if who in {UNSEEN, OTHERS, SILENT} else who


def curves(sessions: Sequence[Session], by: str) -> list[Curve]:
    """Return a curve for each account, client or server, those with most refusals first, then the highest."""
    known = names(login for s in sessions for login in s.logins)
    opened = open_sessions(sessions, by=by)
    refused: dict[str, list[int]] = {}
    for session in sessions:
        for who, ts in refusals(session, by, known):
            refused.setdefault(who, []).append(ts)
    made = [
        Curve(x, opened.get(x, Steps((), ())), tuple(sorted(refused.get(x, ()))))
        for x in opened.keys() | refused.keys()
    ]
    return sorted(made, key=lambda x: (-len(x.refused), -x.steps.peak[0], natural(x.name), x.name))


def natural(name: str) -> list[str | int]:
    """Sort key that puts 10.0.0.9 before 10.0.0.10."""
    return [int(x) if place % 2 else x for place, x in enumerate(_DIGITS.split(name))]


def refusals(session: Session, by: str, known: Names) -> Iterable[tuple[str, int]]:
    """Yield who was refused in a session, and when, ns UTC: each login, or the connection itself at the greeting."""
    if session.outcome is Outcome.REFUSED_AT_GREETING:
        yield (UNSEEN if by == "account" else getattr(session, by)), session.start
    for login in session.logins:
        if login.outcome is LoginOutcome.REFUSED:
            who = (known.of(login) or account_of(session, known) or UNSEEN) if by == "account" else getattr(session, by)
            yield who, (login.decided or login.at).ts


def limit_of(result: Result) -> int | None:
    """Return the limit the best finding names."""
    for finding in result.faults:
        value = finding.facts.get("limit")
        if isinstance(value, (int, float)) and math.isfinite(value) and value > 0:
            return int(value)
    return None


def end_of(result: Result) -> int | None:
    """Return the end of the captures, ns UTC."""
    ends = [x.end for x in result.captures if x.end is not None] + [x.end for x in result.sessions]
    return max(ends, default=None)


def span_of(lines: Sequence[Curve], last_seen: int | None) -> tuple[int, int]:
    """Return the first and last ns drawn, with a little room around a single instant."""
    seen = [ts for line in lines for ts in (*line.steps.times, *line.refused)]
    start = min(seen, default=last_seen or 0)
    opened = any(line.steps.times for line in lines)
    last = max(seen, default=start)
    end = max(last, last_seen or last) if opened else last
    room = max((end - start) // 40, NS_PER_S // 20)
    return start - room, end + (0 if opened and end > last else room)


def ticks(start: int, end: int, most: int = MOST_TICKS) -> list[tuple[int, str]]:
    """Return at most ``most`` round UTC times between, ns and text."""
    step = step_of(end - start, most)
    first = -(-start // step) * step
    return [(ts, clock(ts, step)) for ts in range(first, end + 1, step)]


def step_of(span: int, most: int = MOST_TICKS) -> int:
    """Return the smallest round step, in ns, that gives at most ``most`` ticks."""
    for step in _ROUND_STEPS:
        if span // step < most:
            return step
    day = _ROUND_STEPS[-1]
    return day * -(-span // (most * day))


def clock(ts: int, step: int) -> str:
    """Write a time as finely as steps of ``step`` ns need."""
    when = utc(ts)
    if step >= 86_400 * NS_PER_S:
        return when.strftime("%m-%d")
    if step >= 60 * NS_PER_S:
        return when.strftime("%H:%M")
    text = when.strftime("%H:%M:%S")
    if step >= NS_PER_S:
        return text
    digits = next(d for d in range(1, 10) if step % 10 ** (9 - d) == 0)
    return f"{text}.{ts % NS_PER_S:09d}"[: 9 + digits]


def day(ts: int) -> str:
    """Write the date of a time."""
    return utc(ts).strftime("%Y-%m-%d")


def utc(ts: int) -> datetime:
    """Return a time as a datetime; one beyond the year 9999 as the epoch."""
    try:
        return datetime.fromtimestamp(ts // NS_PER_S, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
