"""A second look at a capture for one frame of it: its octets, its packet, what was said with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from analyzer.capture import SYN, OwnCapture, Packets, captures
from analyzer.capture.packets import Row, Unreachable
from analyzer.errors import AnalyzerError, CaptureError
from analyzer.protocols import Event
from analyzer.report.dialogue import lines
from analyzer.report.explain import Seen
from analyzer.report.result import Result
from analyzer.sessions.converse import Conversation
from analyzer.sessions.session import Session
from analyzer.streams import Connection, connections

_MODULUS = 1 << 32


def look(path: Path, ports: frozenset[int], frame: int, result: Result) -> tuple[str, Seen]:
    """Return the capture's name and what there is to see of one of its frames; the file is read up to three times.

    Raises:
        CaptureError: it cannot be read, or is a list of packets.
        AnalyzerError: it has no such frame.
    """
    capture = _opened(path, ports)
    name = capture.name
    found = _raw(capture, frame)
    packet, complaint = _packet(_opened(path, ports).windows(), frame)
    if packet is None:
        return name, found._replace(complaint=complaint)
    row, ends = packet
    session = next((s for s in result.sessions if s.capture == name and _holds(s, row, ends)), None)
    if session is None:
        return name, found._replace(row=row)
    watch = _Watch(row, session.uid)
    watch.read(_opened(path, ports), ports)
    told = [x for x in lines(watch.events) if x.at.frame == frame]
    return name, found._replace(row=row, session=session, lines=told, repeated=watch.repeated)


def _opened(path: Path, ports: frozenset[int]) -> OwnCapture:
    found = next(captures(path, ports=ports))
    if isinstance(found, CaptureError):
        raise found
    if not isinstance(found, OwnCapture):
        raise CaptureError("a list of packets holds no frames to look at", path=path, hint="give the capture itself")
    return found


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


def _holds(session: Session, row: Row, ends: tuple[str, str]) -> bool:
    """Tell whether a packet belongs to a session."""
    here, there = (session.client, session.client_port), (session.server, session.server_port)
    source, target = (ends[0], row.sport), (ends[1], row.dport)
    return session.first_frame <= row.frame <= session.last_frame and {source, target} == {here, there}


class _Watch:
    """Reads a capture again and watches one connection."""

    def __init__(self, row: Row, uid: str) -> None:
        self.events: list[Event] = []
        self.repeated = 0
        self._row, self._uid = row, uid
        self._end: int | None = None

    def read(self, capture: OwnCapture, ports: frozenset[int]) -> None:
        def listen(connection: Connection) -> Conversation:
            events = self.events if connection.uid == self._uid else []
            return Conversation(capture.name, connection, lambda _: None, events)

        for _ in connections(self._watched(capture.windows()), listen, ports=ports):
            pass

    def _watched(self, windows: Iterable[Packets]) -> Iterator[Packets]:
        mine = (self._row.src, self._row.dst, self._row.sport, self._row.dport)
        for window in windows:
            for values in window.rows():
                if values[0] <= self._row.frame and tuple(values[2:6]) == mine:
                    self._packet(Row(*map(int, values)))
            yield window

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
