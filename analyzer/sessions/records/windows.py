"""Windows events about logins: .evtx, XML, the text of wevtutil and of the clipboard, CSV and tab-separated exports.

Exchange writes a limit into the application log once (1009 per user, 9646 per mailbox, 1021 per sender), and only once for
a while: that an event is missing proves nothing. XML and .evtx have UTC; the others the local time of whoever exported.
Source: Microsoft KB 932905, 968626, 980049; Windows security events 4625, 4740, 4776.
"""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from analyzer.errors import EngineMissing
from analyzer.sessions.records.record import NAME_LIMIT, RECORDS_LIMIT, Log, Record, address_of, who
from analyzer.sessions.records.times import Cultures, iso
from analyzer.text import clean

TEXT_LIMIT = 8192
"""Characters kept of one event's description."""
EVENT_LIMIT = 65_536
"""Characters of one event as XML; Windows itself allows no more than 64 KB."""


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


# -- what the events say

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


def _record(log: str, event: Event) -> Record | None:
    for kind in KINDS:
        if event.number in kind.numbers and kind.source.search(event.source):
            record = kind.record(log, event)
            host = clean(event.computer.strip(), NAME_LIMIT)
            return replace(record, host=host) if record and host else record
    return None


# -- how they are exported


def is_windows(start: str) -> str | None:
    """Tell what kind of export a text is, by its beginning: xml, text, table; None when it is none."""
    begin = start.lstrip("\ufeff \t\r\n")
    if _XML_EVENT.search(begin[:4096]):
        return "xml"
    if _BLOCK.match(begin) or begin.startswith("Log Name:"):
        return "text"
    return "table" if _table_columns(begin.splitlines()[:20]) else None


def read_windows(name: str, lines: Iterable[str], form: str) -> Log:
    """Read exported events."""
    events = {"xml": _xml_events, "text": _text_events, "table": _table_events}[form](lines)
    kinds = {"xml": "Windows events (XML)", "text": "Windows events (text)", "table": "Windows events (table)"}
    return _log(name, kinds[form], events)


def read_evtx(name: str, path: Path) -> Log:
    """Read a Windows event log file.

    Raises:
        EngineMissing: the package that reads it is not installed.
    """
    try:
        from evtx import PyEvtxParser
    except ImportError as missing:
        raise EngineMissing(
            "reading a Windows event log needs the package evtx",
            path=path,
            hint="pip install 'mailscope[evtx]', or export it on Windows: wevtutil qe FILE /lf /f:xml > events.xml",
        ) from missing
    damage: list[str] = []

    def events() -> Iterator[Event]:
        try:
            for row in PyEvtxParser(str(path), number_of_threads=1).records():
                if event := _xml_event(int(row["event_record_id"]), str(row["data"])[:EVENT_LIMIT]):
                    yield event
        except (RuntimeError, OSError, ValueError) as error:
            damage.append(f"reading stopped at a damaged event: {clean(str(error), 120)}")

    found = _log(name, "Windows event log", events())
    return replace(found, warnings=(*found.warnings, *damage))


def _log(name: str, kind: str, events: Iterable[Event]) -> Log:
    """Keep what is known of events, and set their times once all of them tell how times are written here."""
    kept: list[tuple[Record, str]] = []
    count = 0
    for event in events:
        count += 1
        record = _record(name, event)
        if record is not None:
            kept.append((record, event.time))
        if len(kept) >= RECORDS_LIMIT:
            break
    times, utc = _times([time for _, time in kept])
    records = tuple(replace(record, ts=ts) for (record, _), ts in zip(kept, times, strict=True))
    full = (f"only the first {RECORDS_LIMIT:,} events were read",) if len(kept) >= RECORDS_LIMIT else ()
    return Log(name, kind, None, records, count, utc=utc, warnings=full)


def _times(texts: list[str]) -> tuple[list[int | None], bool]:
    stamps = [iso(text.strip()) for text in texts]
    if any(stamps):
        return [x.ts if x else None for x in stamps], all(x.zoned for x in stamps if x)
    return Cultures(text.strip() for text in texts).times(), False


# XML, as wevtutil and Event Viewer write it. Read by pattern, not by a parser: entities and DTDs are nothing to us.
_XML_EVENT = re.compile(r"<Event(?:\s[^>]{0,300})?>")
_XML_END = "</Event>"
_PROVIDER = re.compile(r"<Provider\s[^>]{0,300}?\bName=[\"']([^\"'>]{1,200})[\"']")
_EVENT_SOURCE = re.compile(r"<Provider\s[^>]{0,300}?\bEventSourceName=[\"']([^\"'>]{1,200})[\"']")
_EVENT_ID = re.compile(r"<EventID[^>]{0,100}>\s*(\d{1,6})\s*</EventID>")
_CREATED = re.compile(r"<TimeCreated\s[^>]{0,100}?SystemTime=[\"']([^\"'>]{1,60})[\"']")
_COMPUTER = re.compile(r"<Computer>([^<]{1,200})</Computer>")
_DATA = re.compile(r"<Data(?:\s+Name=[\"']([^\"'>]{0,100})[\"'])?\s*>([^<]{0,4000})</Data>")
_RENDERED = re.compile(r"<Message>([^<]{0,8192})</Message>")


def _xml_events(lines: Iterable[str]) -> Iterator[Event]:
    waiting: list[str] = []
    size, started = 0, 0
    for number, line in enumerate(lines, 1):
        for place, piece in enumerate(line.split(_XML_END)):
            if place:  # what came before ended an event
                if event := _xml_event(started or number, "\n".join(waiting)):
                    yield event
                waiting, size, started = [], 0, 0
            if size < EVENT_LIMIT:
                waiting.append(piece)
                size += len(piece) + 1
                started = started or (number if "<Event" in piece else 0)


def _xml_event(line: int, xml: str) -> Event | None:
    number, source = _EVENT_ID.search(xml), _EVENT_SOURCE.search(xml) or _PROVIDER.search(xml)
    time = _CREATED.search(xml)
    if not number or not source:
        return None
    data = tuple((key, html.unescape(value).strip()) for key, value in islice(_DATA.findall(xml), 64))
    message = _RENDERED.search(xml)
    text = html.unescape(message[1]) if message else ""
    computer = _COMPUTER.search(xml)
    host = html.unescape(computer[1]) if computer else ""
    return Event(line, source[1], int(number[1]), time[1] if time else "", text, data, host)


# text: 'Key: value' lines and a description
_BLOCK = re.compile(r"Event\[\d{1,9}\]:?")
_LINE = re.compile(r"\s{0,4}(Log Name|Source|Date|Event ID|Computer|Description)\s{0,20}:\s{0,20}(.{0,300})")


def _text_events(lines: Iterable[str]) -> Iterator[Event]:
    found: dict[str, str] = {}
    said: list[str] = []
    begun = 0
    for number, line in enumerate(lines, 1):
        new = _BLOCK.match(line) or line.lstrip().startswith("Log Name:")
        if new:
            if "Event ID" in found and (event := _text_event(begun, found, said)):
                yield event
                found, said = {}, []
            begun = begun if said == [] and found == {} and begun and not _BLOCK.match(line) else number
        match = None if "Description" in found else _LINE.match(line)
        if match:
            found.setdefault(match[1], match[2].strip())
        elif "Description" in found and sum(map(len, said[-1:])) < TEXT_LIMIT and len(said) < 200:
            said.append(line)
    if "Event ID" in found and (event := _text_event(begun, found, said)):
        yield event


def _text_event(line: int, found: dict[str, str], said: list[str]) -> Event | None:
    number = found.get("Event ID", "")
    if not number.isdecimal() or len(number) > 6:
        return None
    text = "\n".join([found.get("Description", ""), *said])[:TEXT_LIMIT]
    return Event(line, found.get("Source", ""), int(number), found.get("Date", ""), text, (), found.get("Computer", ""))


# tables: Event Viewer's CSV and tab-separated text, PowerShell's Export-Csv
class _Columns(NamedTuple):
    delimiter: str
    time: int
    source: int
    number: int
    text: int | None
    """None: behind the last named one."""


_HEADINGS = {
    "time": ("timecreated", "timegenerated", "date and time", "timewritten"),
    "source": ("providername", "source"),
    "number": ("event id", "eventid", "id"),
    "text": ("message", "description"),
}


def _table_columns(lines: list[str]) -> _Columns | None:
    """Find the columns by their names; in another language by their order, when the first row fits it."""
    head = next((n for n, line in enumerate(lines) if line.strip() and not line.startswith("#TYPE")), None)
    if head is None:
        return None
    for delimiter in "\t,;":
        names = [x.strip().strip('"').lower() for x in lines[head].lstrip("\ufeff").split(delimiter)]
        place = {key: next((names.index(x) for x in known if x in names), None) for key, known in _HEADINGS.items()}
        time, source, number = place["time"], place["source"], place["number"]
        if time is not None and source is not None and number is not None:
            return _Columns(delimiter, time, source, number, place["text"])
        if len(names) == 5 and any(_is_row(line.split(delimiter)) for line in lines[head + 1 : head + 4]):
            return _Columns(delimiter, 1, 2, 3, None)
    return None


def _is_row(cells: list[str]) -> bool:
    return len(cells) >= 5 and cells[3].strip().isdecimal() and Cultures([cells[1].strip()]).times() != [None]


def _table_events(lines: Iterable[str]) -> Iterator[Event]:
    rest = iter(lines)
    first = list(islice(rest, 20))
    columns = _table_columns(first)
    if columns is None:
        return
    texts = (f"{line}\n" for group in (first, rest) for line in group)
    reader = csv.reader(texts, delimiter=columns.delimiter)
    try:
        for row in reader:
            if event := _row_event(reader.line_num, row, columns):
                yield event
    except csv.Error:  # a quote that never ends: what follows is no table
        return


def _row_event(line: int, row: list[str], columns: _Columns) -> Event | None:
    if len(row) <= max(columns.time, columns.source, columns.number):
        return None
    number = row[columns.number].strip()
    if not number.isdecimal() or len(number) > 6:
        return None
    text = row[columns.text] if columns.text is not None and columns.text < len(row) else row[-1]
    return Event(line, row[columns.source], int(number), row[columns.time], text[:TEXT_LIMIT])
