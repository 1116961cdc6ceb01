"""Redaction: a capture that can be given away, which tells the same story.

The file is read twice. First the parsers hear every mail connection, and what may be shown of it is noted (``listener``,
``lines``, ``sasl``, ``windows``; ``overlay`` holds it). Then every frame is written again (``frames``): packets of mail
connections, and ICMP errors about them, with pseudonyms (``pseudonyms``), masks and right checksums; all other frames
with no octet at all. So each frame keeps its number, its time and its length on the wire.
"""

from __future__ import annotations

import socket
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from analyzer.capture import MAIL_PORTS, SYN, OwnCapture, Packets, captures, file_of
from analyzer.capture.pcap import MAGICS
from analyzer.capture.writer import PcapngWriter, PcapWriter
from analyzer.errors import CaptureError, OutputError
from analyzer.report.redaction.frames import Fragmented, Frames, kept_link
from analyzer.report.redaction.lines import masked
from analyzer.report.redaction.listener import Listener
from analyzer.report.redaction.overlay import Overlay
from analyzer.report.redaction.pseudonyms import Pseudonyms
from analyzer.streams import Connection, connections
from analyzer.text import clean

BUFFER_BYTES = 1 << 20
"""Octets written at a time."""


class Shown(NamedTuple):
    """A frame of the capture as it may be shown."""

    frame: int
    ts: int
    octets: bytes
    wire: int
    link: int


class Redacted(NamedTuple):
    """What was done."""

    frames: int
    mail: int
    """Frames that kept their headers."""


class Heard:
    """What may be shown of one capture; made by reading it once."""

    def __init__(self, capture: OwnCapture, names: Pseudonyms, ports: frozenset[int]) -> None:
        self.frames = array("Q")
        """Numbers of the frames that are mail, in order."""
        self._overlays: dict[bytes, list[tuple[int, Overlay]]] = {}
        self._names, self._windows = names, list[Packets]()
        for connection in connections(self._watched(capture.windows()), self._listen, ports=ports):
            del connection
        self._windows.clear()
        self.digits = capture.facts.resolution
        if any(a > b for a, b in zip(self.frames, self.frames[1:], strict=False)):
            self.frames = array("Q", sorted(set(self.frames)))

    def _watched(self, windows: Iterable[Packets]) -> Iterator[Packets]:
        for window in windows:
            found = sorted([*window.columns[0], *(x.frame for x in window.unreachable)])
            self.frames.extend(map(int, found))
            self._windows = [*self._windows[-1:], window]
            yield window

    def _listen(self, connection: Connection) -> Listener:
        listener = Listener(connection, self._names, self._seq_of)
        here, there = _packed(connection.client), _packed(connection.server)
        ports = connection.client_port.to_bytes(2, "big"), connection.server_port.to_bytes(2, "big")
        for source, key in enumerate((here + there + b"".join(ports), there + here + b"".join(ports[::-1]))):
            self._overlays.setdefault(key, []).append((connection.first_frame, listener.shown[source]))
        return listener

    def _seq_of(self, frame: int) -> tuple[int, int] | None:
        """Return the sequence number of the first payload octet of a frame read a moment ago, and how many it has."""
        for window in reversed(self._windows):
            numbers = window.columns[0]
            place = bisect_left(numbers, frame)
            if place < len(numbers) and numbers[place] == frame:
                seq, flags, size = (int(window.columns[n][place]) for n in (6, 8, 10))
                return seq + bool(flags & SYN), size
        return None

    def show(self, key: bytes, frame: int, seq: int, payload: bytes) -> bytes:
        """Return what is shown of the payload of one packet."""
        known = self._overlays.get(key)
        if not known:
            return masked(payload)
        place = max(bisect_right(known, frame, key=lambda x: x[0]) - 1, 0)
        return known[place][1].shown(seq, payload)

    def written(self, capture: OwnCapture, *, careful: bool = False) -> Iterator[Shown]:
        """Yield every frame as it may be shown; the capture must be opened anew.

        Raises:
            Fragmented: there are IP fragments, which only the ``careful`` way puts together.
        """
        for overlays in self._overlays.values():
            for _, overlay in overlays:
                overlay.rewind()
        frames = Frames(self._names, self.show, careful=careful)
        mail, place, total = self.frames, 0, len(self.frames)
        expected = mail[0] if total else 0
        for frame, (ts, at, size, wire, link, data) in enumerate(capture.records(), 1):
            made = None
            if frame == expected:
                place += 1
                expected = mail[place] if place < total else 0
                made = frames.make(frame, ts, data[at : at + size], wire, link)
            elif careful:
                frames.make(frame, ts, data[at : at + size], wire, link)
            if made is None:
                yield Shown(frame, ts, b"", wire, kept_link(link) if link >= 0 else link)
            else:
                yield Shown(frame, ts, *made)


def opened(path: Path, ports: frozenset[int]) -> OwnCapture:
    """Open the one capture a file holds.

    Raises:
        CaptureError: it cannot be read, holds several, or holds no packets but a list of them.
    """
    found = next(captures(path, ports=ports))
    if isinstance(found, CaptureError):
        raise found
    if not isinstance(found, OwnCapture):
        raise CaptureError("a list of packets holds no octets to write", path=path, hint="give the capture itself")
    return found


def frames_shown(path: Path, names: Pseudonyms, ports: frozenset[int], wanted: frozenset[int]) -> list[Shown]:
    """Return some frames of a capture as they may be shown, in order; the file is read twice.

    Raises:
        CaptureError: it cannot be read.
    """
    heard = Heard(opened(path, ports), names, ports)
    try:
        return [x for x in heard.written(opened(path, ports)) if x.frame in wanted]
    except Fragmented:
        return [x for x in heard.written(opened(path, ports), careful=True) if x.frame in wanted]


def redact(source: Path, target: Path, *, case: str | None = None, ports: Iterable[int] = ()) -> Redacted:
    """Write a capture that tells the same story without secrets and names; pcap stays pcap, all else becomes pcapng.

    ``case`` is the key of the pseudonyms; see :class:`Pseudonyms`.

    Raises:
        CaptureError: the capture cannot be read, or it is an archive with several.
        OutputError: the target cannot be written, or is the source itself.
    """
    watched = MAIL_PORTS | frozenset(ports)
    _refuse_several(source, watched)
    return _redact(source, target, Pseudonyms(case), watched)


def redact_all(
    sources: Iterable[Path], folder: Path, *, case: str | None = None, ports: Iterable[int] = ()
) -> list[Path]:
    """Redact captures, those in archives too, into a folder under names that tell nothing: capture-1.pcap, ...

    Raises as :func:`redact` does.
    """
    watched, names, made = MAIL_PORTS | frozenset(ports), Pseudonyms(case), list[Path]()
    for source in sources:
        for member in members(source, watched):
            suffix = ".pcap" if opened(member, watched).magic in MAGICS else ".pcapng"
            target = folder / f"capture-{len(made) + 1}{suffix}"
            _redact(member, target, names, watched)
            made.append(target)
    return made


def members(path: Path, ports: frozenset[int]) -> list[Path]:
    """Return the names of the captures in a file: its own, or those an archive holds."""
    own = clean(file_of(path).name)
    found = []
    for capture in captures(path, ports=ports):
        if isinstance(capture, CaptureError):
            raise capture
        found.append(Path(f"{file_of(path)}{capture.name.removeprefix(own)}"))
    return found


def _redact(source: Path, target: Path, names: Pseudonyms, watched: frozenset[int]) -> Redacted:
    if target.exists() and file_of(source).exists() and target.samefile(file_of(source)):
        raise OutputError(f"{target} is the capture itself", path=target, hint="name another file")
    heard = Heard(opened(source, watched), names, watched)
    part = target.with_name(f"{target.name}.part")
    try:
        try:
            count = _save(heard, opened(source, watched), part)
        except Fragmented:
            count = _save(heard, opened(source, watched), part, careful=True)
        part.replace(target)
    except OSError as failure:
        part.unlink(missing_ok=True)
        why = failure.strerror or str(failure)
        raise OutputError(f"{target} cannot be written: {why}", path=target, hint="name another file") from failure
    return Redacted(count, len(heard.frames))


def _save(heard: Heard, capture: OwnCapture, path: Path, *, careful: bool = False) -> int:
    count = 0
    with path.open("wb", BUFFER_BYTES) as file:
        writer = PcapWriter(file, capture.magic) if capture.magic in MAGICS else PcapngWriter(file, heard.digits)
        for frame in heard.written(capture, careful=careful):
            count = frame.frame
            writer.write(frame.ts, frame.octets, frame.wire, frame.link)
        writer.close()
    return count


def _refuse_several(path: Path, ports: frozenset[int]) -> None:
    found = captures(path, ports=ports)
    names = [getattr(x, "name", "") for x, _ in zip(found, range(2), strict=False)]
    if len(names) > 1:
        raise CaptureError(
            "the archive holds several captures", path=path, hint=f"name one of them, such as {clean(names[0])}"
        )


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
