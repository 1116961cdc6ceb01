"""A second look at a capture for one frame of it: its octets, its packet, what was said with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from analyzer.capture import SYN, OwnCapture, Packets, captures
from analyzer.capture.packets import Capture, Row, Unreachable
from analyzer.capture.series import Series
from analyzer.errors import AnalyzerError, CaptureError
from analyzer.protocols import Event
from analyzer.report.dialogue import lines
from analyzer.report.explain import Seen
from analyzer.report.result import Result
from analyzer.sessions.converse import Conversation
from analyzer.sessions.series import Run, run_of
from analyzer.sessions.session import Session
from analyzer.streams import Connection, connections

_MODULUS = 1 << 32


def look(result: Result, name: str, frame: int, opened: Callable[[str], OwnCapture], ports: frozenset[int]) -> Seen:
    """Return what there is to see of one frame of a capture; the file is read up to three times.

    ``opened`` opens a capture of the result by its name. A connection that goes on through a series is heard from its start.

    Raises:
        CaptureError: it cannot be read, or is a list of packets.
        AnalyzerError: it has no such frame.
    """
    found = _raw(opened(name), frame)
    packet, complaint = _packet(opened(name).windows(), frame)
    if packet is None:
        return found._replace(complaint=complaint)
    row, ends = packet
    run = _run(result, name)
    through = row._replace(frame=run.before[run.names.index(name)] + frame)
    session = next((s for s in result.sessions if _holds(s, run, through, ends)), None)
    if session is None:
        return found._replace(row=row)
    watch = _Watch(through, ends, session.uid)
    watch.read(Series(name, map(opened, run.names)) if len(run.names) > 1 else opened(name), ports)
    told = [x for x in lines(watch.events) if x.at.frame == through.frame]
    return found._replace(row=row, session=session, lines=told, repeated=watch.repeated)


def open_again(path: Path, ports: frozenset[int]) -> OwnCapture:
    """Open a capture for a second look; ``path`` may name a member of an archive.

    Raises:
        CaptureError: it cannot be read, or is a list of packets.
    """
    found = next(captures(path, ports=ports))
    if isinstance(found, CaptureError):
        raise found
    if not isinstance(found, OwnCapture):
        raise CaptureError("a list of packets holds no frames to look at", path=path, hint="give the capture itself")
    return found


def split(text: str) -> tuple[str | None, str]:
    """Part 'NAME:REST' (a frame or a session of one of several captures); without a name it is None."""
    name, colon, rest = text.rpartition(":")
    return (name if colon else None), rest


def _run(result: Result, name: str) -> Run:
    """Return the series a capture is part of; it may be alone."""
    names = next((x.series for x in result.captures if x.name == name), ()) or (name,)
    return run_of(names, {x.name: x.packets for x in result.captures})


def _raw(capture: OwnCapture, frame: int) -> Seen:
    number = 0
    for number, (ts, at, size, wire, link, data) in enumerate(capture.records(), 1):
        if number == frame:
            return Seen(frame, ts, wire, link, bytes(data[at : at + size]))
    raise AnalyzerError(f"{capture.name} has no frame {frame}", hint=f"its frames are 1 to {number}")


def _packet(windows: Iterable[Packets], frame: int) -> tuple[tuple[Row, tuple[str, str]] | None, Unreachable | None]:
    """Find the packet or complaint of a frame, and the packet's addresses."""
    for window in windows:
        for complaint in window.unreachable:
            if complaint.frame == frame:
                return None, complaint
        for values in window.rows():
            if values[0] == frame:
                row = Row(*map(int, values))
                return (row, (window.addresses[row.src], window.addresses[row.dst])), None
    return None, None


def _holds(session: Session, run: Run, row: Row, ends: tuple[str, str]) -> bool:
    """Tell whether a packet, its frame counted through the series, belongs to a session."""
    last_capture = session.last_capture or session.capture
    if session.capture not in run.names or last_capture not in run.names:
        return False
    first = run.before[run.names.index(session.capture)] + session.first_frame
    last = run.before[run.names.index(last_capture)] + session.last_frame
    here, there = (session.client, session.client_port), (session.server, session.server_port)
    return first <= row.frame <= last and {(ends[0], row.sport), (ends[1], row.dport)} == {here, there}


class _Watch:
    """Reads a capture again and watches one connection."""

    def __init__(self, row: Row, ends: tuple[str, str], uid: str) -> None:
        self.events: list[Event] = []
        self.repeated = 0
        self._row, self._ends, self._uid = row, ends, uid
        self._end: int | None = None

    def read(self, capture: Capture, ports: frozenset[int]) -> None:
        def listen(connection: Connection) -> Conversation:
            events = self.events if connection.uid == self._uid else []
            return Conversation(capture.name, connection, lambda _: None, events)

        for _ in connections(self._watched(capture.windows()), listen, ports=ports):
            pass

    def _watched(self, windows: Iterable[Packets]) -> Iterator[Packets]:
        for window in windows:
            mine = self._ways(window.addresses)
            for values in window.rows():
                if values[0] <= self._row.frame and tuple(values[2:6]) == mine:
                    self._packet(Row(*map(int, values)))
            yield window

    def _ways(self, addresses: Sequence[str]) -> tuple[int, ...] | None:
        """Return source, destination and ports of this side as a window numbers them; None where it has no such address."""
        if not set(self._ends) <= set(addresses):
            return None
        return *map(addresses.index, self._ends), self._row.sport, self._row.dport

    def _packet(self, row: Row) -> None:
        """Compare a packet of this side with how far it had come."""
        begin, end = row.seq, row.seq + row.size + row.cut
        if row.flags & SYN or self._end is None:
            self._end = (end + bool(row.flags & SYN)) % _MODULUS
            return
        ahead = (self._end - begin) % _MODULUS
        ahead = ahead if ahead < _MODULUS // 2 else 0
        if row.frame == self._row.frame:
            self.repeated = min(ahead, row.size)
        if row.size + row.cut > ahead:
            self._end = end % _MODULUS
