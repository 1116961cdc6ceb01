"""How Windows events are exported: XML and text of wevtutil, text of the clipboard, CSV and tab-separated tables."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from analyzer.sessions.records.events import Event
from analyzer.sessions.records.times import Cultures

TEXT_LIMIT = 8192
"""Characters kept of one event's description."""
EVENT_LIMIT = 65_536
"""Characters of one event as XML; Windows itself allows no more than 64 KB."""


def form_of(start: str) -> str | None:
    """Tell what kind of export a text is, by its beginning: xml, text, table; None when it is none."""
    begin = start.lstrip("\ufeff \t\r\n")
    if _XML_EVENT.search(begin[:4096]):
        return "xml"
    if _BLOCK.match(begin) or begin.startswith("Log Name:"):
        return "text"
    return "table" if _table_columns(begin.splitlines()[:20]) else None


# XML, as wevtutil and Event Viewer write it. Read by pattern, not by a parser: entities and DTDs are nothing to us.
_XML_EVENT = re.compile(r"<Event(?:\s[^>]{0,300})?>")
_XML_END = "</Event>"
_PROVIDER = re.compile(r"<Provider\s[^>]{0,300}?\bName=[\"']([^\"'>]{1,200})[\"']")
_EVENT_SOURCE = re.compile(r"<Provider\s[^>]{0,300}?\bEventSourceName=[\"']([^\"'>]{1,200})[\"']")
_EVENT_ID = re.compile(r"<EventID[^>]{0,100}>\s*(\d{1,6})\s*</EventID>")
_CREATED = re.compile(r"<TimeCreated\s[^>]{0,100}?SystemTime=[\"']([^\"'>]{1,60})[\"']")
_COMPUTER = re.compile(r"<Computer>([^<]{1,200})</Computer>")
_DATA = re.compile(r"<(?:Data(?:\s+Name=[\"']([^\"'>]{0,100})[\"'])?|string)\s*>([^<]{0,4000})</(?:Data|string)>")
"""A parameter; several without names may lie in one as strings."""
_RENDERED = re.compile(r"<Message>([^<]{0,8192})</Message>")


def _xml_events(lines: Iterable[str]) -> Iterator[Event]:
    waiting: list[str] = []
    size, started = 0, 0
    for number, line in enumerate(lines, 1):
        for place, piece in enumerate(line.split(_XML_END)):
            if place:  # what came before ended an event
                if event := xml_event(started or number, "\n".join(waiting)):
                    yield event
                waiting, size, started = [], 0, 0
            if size < EVENT_LIMIT:
                waiting.append(piece)
                size += len(piece) + 1
                started = started or (number if "<Event" in piece else 0)


def xml_event(line: int, xml: str) -> Event | None:
    """Read one event from its XML."""
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


FORMS = {"xml": _xml_events, "text": _text_events, "table": _table_events}
"""Form of an export -> what reads its lines."""
