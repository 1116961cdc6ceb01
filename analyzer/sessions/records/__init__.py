"""Server-side records: what a server's own log says about logins, as evidence beside the captures.

What a log is, its content decides, never its name. Everything in it is hostile: sizes are bounded, only known words and
cleaned names are kept, and no argument of a command ever is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from analyzer.capture.formats import EVENT_LOG_MAGIC
from analyzer.errors import CaptureError, UnknownFormat
from analyzer.sessions.records.dovecot import is_dovecot, read_dovecot
from analyzer.sessions.records.exchange import is_exchange, read_exchange
from analyzer.sessions.records.exports import form_of
from analyzer.sessions.records.record import LOG_LIMIT_BYTES, Log, LogSeen, Record, lines_of
from analyzer.sessions.records.times import year_of
from analyzer.sessions.records.windows import read_evtx, read_windows
from analyzer.text import clean

__all__ = ["READS", "Log", "LogSeen", "Record", "is_log", "read_log"]

READS = "Windows event logs (.evtx, XML, text, CSV), Exchange's IMAP4 and POP3 protocol logs, Dovecot's log lines (file, syslog)"
"""What is read, for messages and for 'mailscope doctor'."""
_START_LINES = 2000
_START_CHARACTERS = 1 << 20


def is_log(path: Path) -> bool:
    """Tell whether a file is a log that is read here, by its content; False for one that cannot be read."""
    try:
        return _kind(path) is not None
    except (OSError, UnicodeError):
        return False


def read_log(path: Path) -> Log:
    """Read a server's log.

    Raises:
        UnknownFormat: it is none of those read here.
        EngineMissing: a package is needed and not installed.
        CaptureError: it cannot be read.
    """
    name = clean(path.name or str(path))
    try:
        kind = _kind(path)
        if kind is None:
            raise UnknownFormat("not a server log we read", path=path, hint=f"logs read: {READS}")
        return _read(name, path, kind)
    except (OSError, UnicodeError) as failure:
        reason = getattr(failure, "strerror", None) or "its text is damaged"
        raise CaptureError(f"it cannot be read: {reason}", path=path, hint="check that you may read it") from failure


def _kind(path: Path) -> str | None:
    with path.open("rb") as file:
        if file.read(len(EVENT_LOG_MAGIC)) == EVENT_LOG_MAGIC:
            return "evtx"
    start = list(_bounded(islice(lines_of(path), _START_LINES)))
    if is_exchange(start):
        return "exchange"
    return form_of("\n".join(start[:100])) or ("dovecot" if is_dovecot(start, _year(path)) else None)


def _bounded(lines: Iterator[str]) -> Iterator[str]:
    """Yield the first lines, as long as they are not too many characters in sum."""
    left = _START_CHARACTERS
    for line in lines:
        yield line
        left -= len(line)
        if left < 0:
            return


def _read(name: str, path: Path, kind: str) -> Log:
    if kind == "evtx":
        return read_evtx(name, path)
    if kind == "exchange":
        found = read_exchange(name, lines_of(path))
    elif kind == "dovecot":
        found = read_dovecot(name, lines_of(path), _year(path))
    else:
        found = read_windows(name, lines_of(path), kind)
    if path.stat().st_size <= LOG_LIMIT_BYTES:
        return found
    from dataclasses import replace

    return replace(found, warnings=(*found.warnings, f"only the first {LOG_LIMIT_BYTES >> 20} MiB were read"))


def _year(path: Path) -> int:
    """Return the year of a file's last change: that of the times in it which have none."""
    return year_of(path.stat().st_mtime_ns)
