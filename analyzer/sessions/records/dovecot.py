"""Dovecot's log lines, versions 2.2 to 2.4, from its own file, from syslog or from the journal.

    Mar  4 09:15:57 mail dovecot: imap-login: Maximum number of connections from user+IP exceeded
        (mail_max_userip_connections=10): user=<desk>, method=PLAIN, rip=10.4.4.95, lip=10.4.3.90, session=<...>

Only phrases known here are kept: with debugging on, Dovecot writes passwords into the same lines. Source: Dovecot's
documentation on logging and its login processes' messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from analyzer.sessions.records.record import LINE_LIMIT, NAME_LIMIT, RECORDS_LIMIT, Log, Record, address_of
from analyzer.sessions.records.times import Stamp, iso, syslog
from analyzer.text import clean

_SERVICE = re.compile(
    r"(?:^|[\s:])(?:dovecot(?:\[\d+\])?: )?(imap-login|pop3-login|submission-login|auth-worker|auth|master|imap|pop3)"
    r"(?:\([^)]{0,300}\))?(?:<[^>]{0,100}>){0,2}(?:\[\d+\])?: "
    r"(?:(?:Info|Warning|Error|Debug|Panic|Fatal): )?"
)
_DAY = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ")  # the journal's
_USER = re.compile(r"\buser=<([^>]{0,300})>")
_RIP, _LIP = re.compile(r"\brip=([0-9A-Fa-f.:]{2,45})"), re.compile(r"\blip=([0-9A-Fa-f.:]{2,45})")
_RPORT = re.compile(r"\brport=(\d{1,5})\b")
_AUTH = re.compile(r"\(([^,()]{0,300}),([0-9A-Fa-f.:]{2,45})[,)]")
_PROTOCOLS = {"imap-login": "imap", "pop3-login": "pop3", "submission-login": "smtp", "imap": "imap", "pop3": "pop3"}
_SNIFFED = 2000
"""Lines looked at for one of Dovecot's: in a mail server's syslog others write too."""


class Phrase(NamedTuple):
    """What Dovecot writes, and what it means."""

    pattern: re.Pattern[str]
    text: str
    cause: str | None
    accepted: bool | None
    sure: bool
    at_close: bool


def _phrase(
    pattern: str, text: str, cause: str | None, *, accepted: bool | None = False, sure: bool = True, close: bool = False
) -> Phrase:
    return Phrase(re.compile(pattern, re.IGNORECASE), text, cause, accepted, sure, close)


PHRASES = (
    _phrase(r"^Login: $", "Login", None, accepted=True),
    _phrase(
        r"Maximum number of connections from user\+IP exceeded(?: \(mail_max_userip_connections=(?P<limit>\d{1,7})\))?",
        "Maximum number of connections from user+IP exceeded",
        "per_user_connection_limit",
    ),
    _phrase(
        r"^service\((?:imap|pop3|submission)-login\): (?:process_limit|client_limit) \((?P<limit>\d{1,7})\) reached",
        "the login service's process_limit or client_limit is reached",
        "server_connection_limit",
        accepted=None,
    ),
    _phrase(
        r"client_limit and process_limit was hit|Connection queue full",
        "client_limit and process_limit was hit",
        "server_connection_limit",
        accepted=None,
        close=True,
    ),
    _phrase(r"\(user disabled\b", "user disabled", "account_locked", close=True),
    _phrase(r"\(login disabled\b", "login disabled", "account_locked", close=True),
    _phrase(r"\(password expired\b", "password expired", "bad_credentials", close=True),
    _phrase(r"\(tried to use disallowed (?:plain|clear)text auth", "disallowed plaintext auth", "tls_required", close=True),
    _phrase(r"\(tried to use unsupported auth", "unsupported auth mechanism", "auth_method_refused", close=True),
    _phrase(r"\(auth service reported temporary failure", "temporary failure of the auth service", "server_unavailable", close=True),
    _phrase(r"\(auth process communication failure", "auth process communication failure", "server_unavailable", close=True),
    _phrase(r"\(internal failure\b", "internal failure", "server_unavailable", close=True),
    _phrase(r"\(auth failed, \d", "auth failed", "bad_credentials", sure=False, close=True),
)  # fmt: skip
"""Of the login processes (and their master), the first that fits."""
AUTH_PHRASES = (
    _phrase(r"\bpassword mismatch\b", "Password mismatch", "bad_credentials"),
    _phrase(r"\bunknown user\b", "unknown user", "bad_credentials"),
    _phrase(r"\bpam_authenticate\(\) failed: Authentication failure", "pam_authenticate() failed", "bad_credentials", sure=False),
    _phrase(r"\b(?:user disabled|account disabled|nologin)\b", "account disabled", "account_locked"),
)  # fmt: skip
"""Of the authentication processes."""


def is_dovecot(lines: Iterable[str], year: int) -> bool:
    """Tell Dovecot's log by a line with its time, one of its services, and something it says of logins."""
    return any(_parsed(line, year) is not None for line in islice(lines, _SNIFFED))


def read_dovecot(name: str, lines: Iterable[str], year: int) -> Log:
    """Read Dovecot's lines; ``year`` is that of the file's own date, for times that have none."""
    records: list[Record] = []
    zoned = dated = True
    count = 0
    for count, line in enumerate(lines, 1):
        found = _parsed(line, year)
        if found is None:
            continue
        stamp, service, said = found
        record = _record(name, count, stamp.ts, service, said)
        if record is not None:
            records.append(record)
            zoned, dated = zoned and stamp.zoned, dated and stamp.dated
        if len(records) >= RECORDS_LIMIT:
            break
    full = (f"only the first {RECORDS_LIMIT:,} logins were read",) if len(records) >= RECORDS_LIMIT else ()
    utc = zoned and bool(records)
    return Log(name, "Dovecot log", "dovecot", tuple(records), count, utc=utc, dated=dated, warnings=full)


def _parsed(line: str, year: int) -> tuple[Stamp, str, str] | None:
    if "-login" not in line and "auth" not in line:
        return None  # what happens after the login, or somebody else's
    line = line[:LINE_LIMIT]
    day = _DAY.match(line)
    start = day.end() if day else 0
    stamp = iso(line, start) or (syslog(line, year) if not start else None)
    if stamp is None:
        return None
    service = _SERVICE.search(line, stamp.end, stamp.end + 800)
    return (stamp, service[1], line[service.end() :]) if service else None


def _record(name: str, number: int, ts: int, service: str, said: str) -> Record | None:
    about_auth = service in {"auth", "auth-worker"}
    if service in {"imap", "pop3"}:
        return None  # what happens after the login
    # The user name is the client's to write, and must not be taken for Dovecot's words: they stand before it, or behind.
    words = said.partition("): ")[2] if about_auth else said.partition("user=<")[0]
    for phrase in AUTH_PHRASES if about_auth else PHRASES:
        if found := phrase.pattern.search(words):
            break
    else:
        return None
    who = _AUTH.search(said) if about_auth else None
    user, client = (who[1], who[2]) if who else (_group(_USER, said), _group(_RIP, said))
    server, port = _group(_LIP, said), _group(_RPORT, said)
    limit = found.groupdict().get("limit")
    if phrase.cause == "server_connection_limit" and not client:
        service = said[len("service(") :].partition(")")[0]
    return Record(
        name,
        number,
        ts,
        phrase.text + (f" ({limit})" if limit else ""),
        phrase.cause,
        phrase.sure and phrase.cause is not None,
        phrase.accepted,
        _PROTOCOLS.get(service),
        clean(user, NAME_LIMIT) if user else None,
        None,
        address_of(client),
        int(port) if port else None,
        address_of(server),
        None,
        int(limit) if limit else None,
        at_close=phrase.at_close,
    )


def _group(pattern: re.Pattern[str], said: str) -> str | None:
    found = pattern.search(said)
    return found[1] if found else None
