"""Times as logs write them: ISO 8601, syslog's without a year, Windows' in the culture of whoever exported them.

All come out as ns since the epoch; a time without a zone is taken as if it were UTC, and its log is said to be local.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from analyzer.at import NS_PER_S

_ISO = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})[T ]+(\d{1,2}):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)? ?(Z|UTC|GMT|[+-]\d\d:?\d\d)?(?!\d)"
)
_SYSLOG = re.compile(r"([A-Z][a-z]{2}) +(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?!\d)")
_CULTURE = re.compile(
    r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}),? +(\d{1,2})[:.](\d\d)[:.](\d\d)(?:[ \xa0\u202f]*([AaPp])\.?[ \xa0\u202f]?[Mm](\.)?)?"
)
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
FIRST_YEAR, LAST_YEAR = 1990, 2200
"""Years a mail server's log can be of."""


class Stamp(NamedTuple):
    """A time as it was read."""

    ts: int
    """ns since the epoch; as if UTC when no zone was written."""
    zoned: bool
    dated: bool
    """A year was written."""
    end: int
    """Where it ends in the text."""


def _ns(date: tuple[int, int, int], clock: tuple[int, int, int], fraction: str | None = None) -> int | None:
    (year, month, day), (hour, minute, second) = date, clock
    if not (FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60):
        return None
    seconds = timegm((year, month, day, hour, minute, min(second, 59)))
    return seconds * NS_PER_S + int((fraction or "0").ljust(9, "0")[:9])


def _zone_s(text: str | None) -> int:
    if not text or text in {"Z", "UTC", "GMT"}:
        return 0
    digits = text[1:].replace(":", "")
    return (-1 if text[0] == "-" else 1) * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)


def iso(text: str, at: int = 0) -> Stamp | None:
    """Read an ISO 8601 time that begins at ``at``; its seconds may have any number of decimals."""
    found = _ISO.match(text, at)
    if not found:
        return None
    date, clock = (int(found[1]), int(found[2]), int(found[3])), (int(found[4]), int(found[5]), int(found[6]))
    ns = _ns(date, clock, found[7])
    return None if ns is None else Stamp(ns - _zone_s(found[8]) * NS_PER_S, bool(found[8]), True, found.end())


def syslog(text: str, year: int) -> Stamp | None:
    """Read 'Mar  1 09:00:01' (RFC 3164, section 4.1.2) of a year."""
    found = _SYSLOG.match(text)
    month, rest = divmod(_MONTHS.find(found[1]) if found else -1, 3)
    if not found or rest:
        return None
    ns = _ns((year, month + 1, int(found[2])), (int(found[3]), int(found[4]), int(found[5])), found[6])
    return None if ns is None else Stamp(ns, False, False, found.end())


def year_of(ts: int) -> int:
    """Return the year of a time."""
    return datetime.fromtimestamp(ts // NS_PER_S, UTC).year


def in_year(ts: int, year: int) -> int:
    """Return the same day and time of another year."""
    old = datetime.fromtimestamp(ts // NS_PER_S, UTC)
    return timegm((year, *old.timetuple()[1:6])) * NS_PER_S + ts % NS_PER_S


class Cultures:
    """Reads times of one export; which number is the month, the whole export tells."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._found = [_CULTURE.match(text) for text in texts]
        told = [m for m in self._found if m]
        firsts, seconds = [int(m[1]) for m in told], [int(m[3]) for m in told]
        if max(firsts, default=0) > 12 or max(seconds, default=0) > 12:
            self._month_first = max(firsts, default=0) <= 12
        else:  # 'AM' is how the United States write it; 'a. m.' is Spanish, which puts the day first
            self._month_first = any(m[2] == "/" and m[8] and not m[9] for m in told)

    def times(self) -> list[int | None]:
        """Return the times in the order of the texts, None for one that is none."""
        return [self._one(m) if m else None for m in self._found]

    def _one(self, found: re.Match[str]) -> int | None:
        first, second, hour = int(found[1]), int(found[3]), int(found[5])
        month, day = (first, second) if self._month_first else (second, first)
        if found[8]:
            hour = hour % 12 + (12 if found[8] in "Pp" else 0)
        return _ns((int(found[4]), month, day), (hour, int(found[6]), int(found[7])))
