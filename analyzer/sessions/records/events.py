"""Windows events about logins, and what they say.

Exchange writes a limit into the application log once (1009 per user, 9646 per mailbox, 1021 per sender), and only once for
a while: that an event is missing proves nothing. Source: Microsoft KB 932905, 968626, 980049; Windows security events 4625,
4740, 4776.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from analyzer.sessions.records.record import NAME_LIMIT, Record, address_of, who
from analyzer.text import clean


class Event(NamedTuple):
    """One event, however it was exported."""

    line: int
    source: str
    number: int
    time: str
    """As it was written."""
    text: str
    """Its description; may be in any language, or empty."""
    data: tuple[tuple[str, str], ...] = ()
    """(name, value) of its parameters, where the export has them."""
    computer: str = ""


class Kind(NamedTuple):
    """An event that says something about logins."""

    source: re.Pattern[str]
    numbers: frozenset[int]
    record: Callable[[str, Event], Record | None]


_LIMIT = re.compile(r"\(\W?(\d{1,7})\W?\)")
_MAXIMUM = re.compile(r"\bmaximum of (\d{1,7})\b|\b(\d{1,7}) objects of type")
_DN = re.compile(r"/cn=([^/\"\r\n]{1,300})", re.IGNORECASE)
_DN_END = re.compile(r" with client type | exceeded ")
_GUID = re.compile(r"^[0-9a-f]{32}-")  # what Exchange 2013 and later put in front of the alias
_ADDRESS = re.compile(r"IP address '?([0-9A-Fa-f.:]{2,45})'?")
_SMTP_LIMIT = re.compile(r"\('?(\d{1,7})'?\)")
_STATUS = re.compile(r"0x[cC]000[0-9a-fA-F]{4}")
_NAME = re.compile(r"(?:Account Name|Logon Account):[ \t]*([^\r\n]{1,300})")
_MAIL_PROCESS = re.compile(r"imap4|pop3|edgetransport|frontendtransport", re.IGNORECASE)
_STATUSES = {
    0xC000006A: ("wrong password", "bad_credentials"),
    0xC0000064: ("unknown user name", "bad_credentials"),
    0xC0000071: ("password expired", "bad_credentials"),
    0xC0000224: ("password must be changed", "bad_credentials"),
    0xC0000234: ("account locked out", "account_locked"),
    0xC0000072: ("account disabled", "account_locked"),
    0xC0000193: ("account expired", "account_locked"),
}
"""NTSTATUS values (MS-ERREF, section 2.3.1)."""


def _value(event: Event, *names: str) -> str:
    """Return a parameter by name, '' where the export has none."""
    return next((value for name in names for key, value in event.data if key == name), "")


def _protocol(source: str) -> str | None:
    return "imap" if "imap" in source.lower() else "pop3" if "pop3" in source.lower() else None


def _per_user(log: str, event: Event) -> Record | None:
    before, exceeded, _ = event.text.partition(" exceeded")
    named = before.rpartition("user ")[2].strip(" <>") if exceeded else ""
    limit = _LIMIT.search(event.text)
    values = [value for _, value in event.data]
    account, domain = who(named or (values[0] if values and not values[0].isdecimal() else ""))
    told = limit[1] if limit else next((x for x in values if x.isdecimal() and len(x) < 8), None)
    most = f": more than {told} connections of one user" if told else ": too many connections of one user"
    return Record(
        log,
        event.line,
        None,
        f"event 1009{most}",
        "per_user_connection_limit",
        sure=True,
        protocol=_protocol(event.source),
        account=account,
        domain=domain,
        limit=int(told) if told else None,
    )


def _store(log: str, event: Event) -> Record | None:
    whole = "\n".join((event.text, *(value for _, value in event.data)))
    if "session" not in whole.lower().replace("mapi session", ""):
        return None  # another kind of object: messages, folders, attachments
    names = _DN.findall(whole)
    alias = _GUID.sub("", _DN_END.split(names[-1])[0].strip()) if names else ""
    most = _MAXIMUM.search(whole)
    numbers = [value for _, value in event.data if value.isdecimal() and len(value) < 8]
    told = next((x for x in most.groups() if x), None) if most else next(iter(numbers), None)
    text = f"event 9646: more than {told or 'the allowed'} sessions of one user in the store"
    account = clean(alias, NAME_LIMIT) or None
    limit = int(told) if told else None
    return Record(log, event.line, None, text, "store_session_limit", sure=True, account=account, limit=limit)


def _protocol_off(log: str, event: Event) -> Record | None:
    account, domain = who(event.data[0][1] if event.data else "")
    text = "event 1005: the protocol is switched off for the user"
    return Record(
        log, event.line, None, text, "account_locked", protocol=_protocol(event.source), account=account, domain=domain
    )


def _service_full(log: str, event: Event) -> Record | None:
    cause, of = (
        ("per_ip_connection_limit", "one address")
        if event.number == 1103
        else ("server_connection_limit", "the service")
    )
    text = f"event {event.number}: too many connections of {of}"
    return Record(log, event.line, None, text, cause, protocol=_protocol(event.source))


def _smtp(log: str, event: Event) -> Record | None:
    address, limit = _ADDRESS.search(event.text), _SMTP_LIMIT.search(event.text)
    client = address[1] if address else _value(event, "RemoteIPAddress", "IPAddress")
    told = f" ({limit[1]})" if limit else ""
    text = f"event {event.number}: a receive connector's limit of connections is reached{told}"
    return Record(
        log,
        event.line,
        None,
        text,
        "smtp_connection_limit",
        sure=True,
        protocol="smtp",
        client=address_of(client),
        limit=int(limit[1]) if limit else None,
    )


def _locked(log: str, event: Event) -> Record | None:
    names = _NAME.findall(event.text)
    name = _value(event, "TargetUserName") or (names[-1] if names else "")
    text = "event 4740: the account was locked out"
    return Record(log, event.line, None, text, "account_locked", account=who(name.strip())[0])


def _logon(log: str, event: Event) -> Record | None:
    process = _value(event, "ProcessName")
    if process not in {"", "-"} and not _MAIL_PROCESS.search(process):
        return None  # somebody logged on to something else
    numbers = [_value(event, "SubStatus"), _value(event, "Status"), *reversed(_STATUS.findall(event.text))]
    codes = [int(x, 16) for x in numbers if _STATUS.fullmatch(x)]
    told = next((_STATUSES[x] for x in codes if x in _STATUSES), None)
    if told is None:
        return None
    names = _NAME.findall(event.text)
    name = _value(event, "TargetUserName") or (names[-1] if names else "")
    return Record(log, event.line, None, f"event {event.number}: {told[0]}", told[1], account=who(name.strip())[0])


def _kind(source: str, numbers: Iterable[int], record: Callable[[str, Event], Record | None]) -> Kind:
    return Kind(re.compile(source, re.IGNORECASE), frozenset(numbers), record)


KINDS = (
    _kind(r"MSExchange\s?(?:IMAP4|POP3)", {1009}, _per_user),
    _kind(r"MSExchange\s?(?:IMAP4|POP3)", {1005}, _protocol_off),
    _kind(r"MSExchange\s?(?:IMAP4|POP3)", {1101, 1103}, _service_full),
    _kind(r"MSExchangeIS", {9646}, _store),
    _kind(r"MSExchange\w*Transport", {1020, 1021}, _smtp),
    _kind(r"Security", {4740}, _locked),
    _kind(r"Security", {4625, 4776}, _logon),
)
"""The events known here; all others are passed over."""


def record_of(log: str, event: Event) -> Record | None:
    """Return what an event says about logins, without its time; None for all others."""
    for kind in KINDS:
        if event.number in kind.numbers and kind.source.search(event.source):
            record = kind.record(log, event)
            host = clean(event.computer.strip(), NAME_LIMIT)
            return replace(record, host=host) if record and host else record
    return None
