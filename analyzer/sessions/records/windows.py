"""Windows event logs: .evtx and what is exported from them.

XML and .evtx have UTC; the other exports the local time of whoever made them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from analyzer.errors import EngineMissing
from analyzer.sessions.records.events import Event, record_of
from analyzer.sessions.records.exports import EVENT_LIMIT, FORMS, xml_event
from analyzer.sessions.records.record import RECORDS_LIMIT, Log, Record
from analyzer.sessions.records.times import Cultures, iso
from analyzer.text import clean


def read_windows(name: str, lines: Iterable[str], form: str) -> Log:
    """Read exported events."""
    events = FORMS[form](lines)
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
                if event := xml_event(int(row["event_record_id"]), str(row["data"])[:EVENT_LIMIT]):
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
        record = record_of(name, event)
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
