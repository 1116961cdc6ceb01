r"""Exchange's IMAP4 and POP3 protocol logs: comma-separated, a '#Fields:' line, one line per command, times in UTC.

    2024-03-04T09:15:57.910Z,00000000000000A0,2,10.4.3.90:143,10.4.4.95:50001,uccx-mail,80,31,30,authenticate,PLAIN,
        "R=""A1 NO AUTHENTICATE failed."";Msg=UserConnectionLimitReached"

The wire says the same for every reason; ``Msg`` and ``ErrMsg`` name it. Of the parameters only a user name is read, and that
only where a password cannot stand. Source: Microsoft, "Protocol logging for POP3 and IMAP4" (2010, 2013).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from analyzer.sessions.records.record import LINE_LIMIT, RECORDS_LIMIT, Log, Record, endpoint, who
from analyzer.sessions.records.times import iso

_FIELDS = "#Fields:"
_NEEDED = {"dateTime", "cIp", "command", "context"}
_TYPE = re.compile(r"#Log-type: (IMAP4|POP3) Protocol Log", re.IGNORECASE)
_LOGINS = frozenset({"login", "authenticate", "auth", "pass", "apop"})
_TELLING = re.compile(
    r",(?:login|authenticate|auth|pass|apop|user|closesession),|SessionLimit|TooManyObjects", re.IGNORECASE
)
"""Lines worth taking apart: most are about fetching mail."""
_PORTS = {143: "imap", 993: "imap", 1993: "imap", 110: "pop3", 995: "pop3", 1995: "pop3"}
_OPEN_LIMIT = 50_000
"""Sessions whose user name is remembered between lines."""
_REPLY = re.compile(r'(?:^|;)R="?(?:\S{1,40} )?(OK|NO|BAD|\+OK|-ERR)\b', re.IGNORECASE)
_ERROR = re.compile(r'(?:^|;)ErrMsg="?([A-Za-z][\w:.-]{0,80})')
_MESSAGE = re.compile(r'(?:^|;)Msg="?([A-Za-z][\w:.-]{0,80})')


class Reason(NamedTuple):
    """A word of the log and what it means."""

    pattern: re.Pattern[str]
    cause: str
    sure: bool


def _reason(pattern: str, cause: str, *, sure: bool) -> Reason:
    return Reason(re.compile(pattern, re.IGNORECASE), cause, sure)


REASONS = (
    _reason("UserConnectionLimitReached", "per_user_connection_limit", sure=True),
    _reason("BasicAuthBlocked|BasicAuthDisabled", "auth_method_refused", sure=True),
    _reason("AccountLocked|LockedOut", "account_locked", sure=True),
    _reason("UserDisabled|ProtocolDisabled|AccountDisabled|AccountExpired", "account_locked", sure=True),
    _reason("PasswordExpired|PasswordMustChange", "bad_credentials", sure=True),
    _reason("MapiExceptionSessionLimit|TooManyObjectsOpened", "store_session_limit", sure=True),
    _reason("ProxyTimeout|ProxyFailed|NoProxyServer|NoProxyConnection|ProxyNotAuth", "server_unavailable", sure=False),
    _reason("LogonDenied|LogonFailed|InvalidCredential", "bad_credentials", sure=False),
)
"""In this order. A denied logon is a wrong name or password most of the time, and a locked account some of it."""


def is_exchange(lines: Iterable[str]) -> bool:
    """Tell a protocol log by its field line."""
    return any(line.startswith(_FIELDS) and "cIp" in line and "context" in line for line in islice(lines, 50))


def read_exchange(name: str, lines: Iterable[str]) -> Log:
    """Read a protocol log; several one after the other are read as one."""
    reader = _Reader(name)
    count = 0
    for count, line in enumerate(lines, 1):
        reader.take(count, line)
        if len(reader.records) >= RECORDS_LIMIT:
            break
    kinds = {r.protocol for r in reader.records} or {reader.protocol}
    words = {"imap": "IMAP4", "pop3": "POP3"}
    kind = f"Exchange {'/'.join(words[x] for x in sorted(k for k in kinds if k)) or 'IMAP4/POP3'} protocol log"
    full = (f"only the first {RECORDS_LIMIT:,} logins were read",) if len(reader.records) >= RECORDS_LIMIT else ()
    return Log(name, kind, "exchange", tuple(reader.records), count, utc=True, warnings=full)


class _Reader:
    def __init__(self, name: str) -> None:
        self.records: list[Record] = []
        self.protocol: str | None = None
        self._name = name
        self._columns: dict[str, int] = {}
        self._users: dict[str, str] = {}

    def take(self, number: int, line: str) -> None:
        if line.startswith("#"):
            self._header(line)
            return
        if not self._columns or not _TELLING.search(line):
            return
        row = _cells(line)
        if len(row) <= max(self._columns.values()):
            return
        cell = {name: row[place] for name, place in self._columns.items()}
        command = cell["command"].lower()
        user = self._user(cell, command)
        if command in _LOGINS:
            self._login(number, cell, user)
        elif (named := _named(cell["context"])) and named[1] == "store_session_limit":
            self._add(number, cell, user, None, named)

    def _header(self, line: str) -> None:
        if line.startswith(_FIELDS):
            names = [x.strip() for x in line[len(_FIELDS) :].split(",")]
            wanted = {"dateTime", "sessionId", "sIp", "cIp", "user", "command", "parameters", "context"}
            columns = {x: n for n, x in enumerate(names) if x in wanted}
            self._columns = columns if columns.keys() >= _NEEDED else {}
        elif found := _TYPE.match(line):
            self.protocol = "imap" if found[1].upper() == "IMAP4" else "pop3"

    def _user(self, cell: dict[str, str], command: str) -> str:
        """Return who the session belongs to, remembering it: some lines of a session name the user, some do not."""
        session = cell.get("sessionId", "")
        user = cell.get("user", "").strip() or _offered(command, cell.get("parameters", ""))
        if user and len(self._users) < _OPEN_LIMIT:
            self._users[session] = user
        known = user or self._users.get(session, "")
        if command == "closesession":
            self._users.pop(session, None)
        return known

    def _login(self, number: int, cell: dict[str, str], user: str) -> None:
        reply = _REPLY.search(cell["context"])
        named = _named(cell["context"])
        if reply is not None:
            accepted = reply[1].upper() in {"OK", "+OK"} and not (named and named[1] != "server_unavailable")
            self._add(number, cell, user, accepted, None if accepted else named)

    def _add(
        self,
        number: int,
        cell: dict[str, str],
        user: str,
        accepted: bool | None,
        named: tuple[str, str, bool] | None,
    ) -> None:
        stamp = iso(cell["dateTime"])
        server, server_port = endpoint(cell.get("sIp", ""))
        client, client_port = endpoint(cell["cIp"])
        account, domain = who(user)
        text = named[0] if named else "accepted" if accepted else "refused, no reason given"
        self.records.append(
            Record(
                self._name,
                number,
                stamp.ts if stamp else None,
                text,
                named[1] if named else None,
                named[2] if named else False,
                accepted,
                self.protocol or _PORTS.get(server_port or 0),
                account,
                domain,
                client,
                client_port,
                server,
                server_port,
            )
        )


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line[:LINE_LIMIT]]), [])
    except csv.Error:
        return []


def _offered(command: str, parameters: str) -> str:
    """Return the user name in front of a password's place: 'LOGIN name password', 'USER name'."""
    words = parameters.split(None, 2)
    if (command == "login" and len(words) == 2) or (command == "user" and len(words) == 1):
        name = words[0].strip('"')
        return "" if set(name) <= {"*"} else name
    return ""


def _named(context: str) -> tuple[str, str, bool] | None:
    """Return the reason a line names as (word, cause, sure); what follows a user name in it is the client's to write."""
    errors = _ERROR.findall(context)
    message = _MESSAGE.search(context)
    for said in (errors[-1] if errors else "", message[1] if message else ""):
        for reason in REASONS:
            if found := reason.pattern.search(said):
                return found[0], reason.cause, reason.sure
    return None
