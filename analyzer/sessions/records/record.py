"""Record: one thing a server's own log says about a login; and the log it stands in.

A record holds nothing of a line but what its reader knows by name: who, from where, when, how it ended, and which of the
causes the server wrote down. Arguments of commands never get here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from analyzer.text import clean

LOG_LIMIT_BYTES = 256 << 20
"""Octets read of one log; a day of a large server, and more should be cut down to the hours in question."""
LINE_LIMIT = 8192
"""Characters looked at of one line; the longest that servers write about a login have some hundred."""
RECORDS_LIMIT = 200_000
"""Records kept of one log: about 100 MB of memory."""
NAME_LIMIT = 120
"""Characters kept of an account or host name."""
_READ_BYTES = 1 << 20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a log that says something about a login, a session or a limit."""

    log: str
    """Base name of the log, cleaned."""
    line: int
    """Line in the log, or number of the event."""
    ts: int | None
    """When it was written, ns UTC; local time is kept as if it were UTC."""
    text: str
    """What it says, in words of ours and names the servers are known to use."""
    cause: str | None = None
    """The cause of the contract that it names; None for an acceptance, or a refusal without a reason."""
    sure: bool = False
    """Its words leave no other cause."""
    accepted: bool | None = None
    """How the login ended; None when it is not about one login."""
    protocol: str | None = None
    account: str | None = None
    """The identity offered, without its Windows domain."""
    domain: str | None = None
    """Windows domain offered with the account."""
    client: str | None = None
    client_port: int | None = None
    """None where the log does not keep it."""
    server: str | None = None
    server_port: int | None = None
    """None where the log does not keep it."""
    limit: int | None = None
    """The limit's height, when it is told."""
    host: str | None = None
    """What the server is called, where the log has its name and not its address."""
    at_close: bool = False
    """Written when the connection ended, not when the login was decided."""

    @property
    def place(self) -> str:
        """Return where it stands, for a person to look it up."""
        return f"{self.log} line {self.line}"


@dataclass(frozen=True, slots=True)
class Log:
    """A log as it was read."""

    name: str
    kind: str
    """What it is, in words, such as 'Exchange IMAP4 protocol log'."""
    product: str | None
    """exchange, dovecot; None for events of Windows itself."""
    records: tuple[Record, ...]
    """What it says about logins, in the log's order."""
    lines: int
    """Lines, or events, looked at."""
    utc: bool
    """Its times are UTC; otherwise they are the server's local time."""
    dated: bool = True
    """Its times have a year; where they have none, the file's own date told it."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogSeen:
    """One log that was given beside the captures, and what became of it."""

    name: str
    kind: str
    """What it is, in words, such as 'Exchange IMAP4 protocol log'."""
    records: int
    """Entries that say something about logins."""
    matched: int
    """Entries that belong to logins or sessions of the captures."""
    clock_offset_s: float | None
    """How far its clock is ahead of the captures', seconds; None when nothing could be compared."""
    start: int | None
    end: int | None
    times: str
    """utc, or local: the server's own time."""
    warnings: tuple[str, ...] = ()


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a text file in its own encoding, each cut to the limit; ends at the size limit.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(2)
    encoding = "utf-16" if start in _UTF16 else "utf-8-sig"
    left = LOG_LIMIT_BYTES
    with path.open(encoding=encoding, errors="replace", newline=None) as text:
        while left > 0 and (line := text.readline(LINE_LIMIT)):
            left -= len(line)
            whole = line.endswith("\n")
            yield line.rstrip("\r\n")
            while not whole and (rest := text.readline(_READ_BYTES)):  # what is beyond the limit of a line is not kept
                left -= len(rest)
                whole = rest.endswith("\n")
                if left <= 0:
                    return


def endpoint(text: str) -> tuple[str | None, int | None]:
    """Split 'address:port' or '[address]:port' as logs write it."""
    address, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or len(port) > 5:
        return None, None
    return address_of(address.strip("[]")), int(port)


def address_of(text: str | None) -> str | None:
    """Return an IP address in the one way captures write it, None for what is none."""
    try:
        found = ip_address((text or "").strip().partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def who(text: str) -> tuple[str | None, str | None]:
    r"""Split what was offered as a user name, 'DOM\user', 'user@dom', 'DOM\user\alias', into account and domain."""
    parts = [part for part in text.replace("/", "\\").split("\\") if part]
    if not parts:
        return None, None
    if "@" in parts[0] or len(parts) == 1:
        return clean(parts[0], NAME_LIMIT), None
    return clean(parts[1], NAME_LIMIT), clean(parts[0], NAME_LIMIT)
