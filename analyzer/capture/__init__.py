"""Files to columns of mail packets: opens a capture by its content, never by its name."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from analyzer.capture.content import SNIFF_BYTES, Content, contents, is_text
from analyzer.capture.formats import FORMATS, Format, by_magic, is_chaff, recognise
from analyzer.capture.mislabelled import repaired
from analyzer.capture.packets import ACK, FIN, PSH, RST, SYN, Capture, Facts, Packets, Row, Stopped, Unreachable
from analyzer.capture.record import DamageError, Data
from analyzer.capture.select import MAIL_PORTS
from analyzer.capture.walk import Walk
from analyzer.errors import CaptureError, UnknownFormat
from analyzer.text import clean

__all__ = [
    "ACK",
    "FIN",
    "FORMATS",
    "MAIL_PORTS",
    "PSH",
    "RST",
    "SNIFF_BYTES",
    "SYN",
    "Capture",
    "Facts",
    "OwnCapture",
    "Packets",
    "Row",
    "Stopped",
    "Unreachable",
    "captures",
    "file_of",
    "is_chaff",
    "open_capture",
]


RELEASE_BYTES = 64 << 20
"""Octets of a mapped file read before its pages are given back."""
_INSIDE = "!/"
"""What stands between an archive and its member in a name."""


def open_capture(
    path: str | Path, *, ports: frozenset[int] = MAIL_PORTS, any_port: bool = True, engine: str = "native"
) -> Capture:
    """Open a capture for reading, of an archive the first one; what kind it is, its first octets tell.

    ``ports`` are kept whatever they carry; with ``any_port`` also connections on other ports that open with a mail
    greeting. ``engine`` is "native" (our readers), "tshark" (reads what Wireshark reads, slower; by port only; no archives)
    or "auto" (ours; tshark, where it is installed, for what they do not know).

    Raises:
        CaptureError: no such file, a directory, empty, or unreadable.
        UnknownFormat: a format we do not read.
        PasswordNeeded: an encrypted archive.
        EngineMissing: tshark, or a package that unpacks, is needed and not installed.
    """
    found = next(captures(path, ports=ports, any_port=any_port, engine=engine))
    if isinstance(found, CaptureError):
        raise found
    return found


def captures(
    path: str | Path,
    *,
    ports: frozenset[int] = MAIL_PORTS,
    any_port: bool = True,
    engine: str = "native",
    followed: set[bytes] | None = None,
    hashed: bool = False,
) -> Iterator[Capture | CaptureError]:
    """Yield every capture of a file: itself, or those in an archive, named 'archive.zip!/member.pcap'.

    Such a name may be given too, for the one member. Each must be read before the next is asked for. A member that cannot be read comes as its error, whose ``path`` names
    it; text that lists no packets and the like are passed over. ``followed`` are connections on other ports known to be
    mail from captures read before, which go on; those of this file are added. ``hashed``: with the SHA-256 of each member
    of an archive in its facts. Raises as :func:`open_capture` does when there is none.
    """
    member = member_of(Path(path))
    path = file_of(Path(path))
    _check(path)
    if engine == "tshark":
        from analyzer.capture.via_tshark import TsharkCapture

        yield TsharkCapture(path, ports)
        return
    if engine not in {"native", "auto"}:
        raise ValueError(f"no engine {engine!r}: it is 'native', 'tshark' or 'auto'")
    try:
        for found in _all(path, member, ports, any_port=any_port, hashed=hashed):
            if followed is not None and isinstance(found, OwnCapture):
                found.follow(followed)
            yield found
    except UnknownFormat as unknown:
        if engine == "native" or member or not unknown.foreign:
            raise
        from analyzer.capture.via_tshark import last_resort

        yield last_resort(path, ports, unknown)
    except OSError as failure:
        raise _unreadable(path, failure) from failure


class OwnCapture:
    """A capture read by ourselves."""

    def __init__(self, name: str, content: Content, container: Format, walk: Walk) -> None:
        self.name, self.facts = name, walk.facts
        self._data, self._damage = content.data, content.damage
        self._container, self._walk = container, walk

    def follow(self, connections: set[bytes]) -> None:
        """Take connections on other ports for mail, and add those found."""
        self._walk.selection.followed = connections

    def watch(self, tell: Callable[[str, int, int], None]) -> None:
        """Have somebody told, now and then, how many octets of a large capture are read, and of how many."""
        self._walk.watch = partial(tell, self.name)

    def windows(self) -> Iterator[Packets]:
        """Yield the mail packets window by window; the facts are complete once the last one is out."""
        try:
            yield from self._walk.windows(self._container.reader, self._damage)
        finally:
            self._close()

    def records(self) -> Iterator[tuple[int, int, int, int, int, bytes | mmap.mmap]]:
        """Yield every frame as it lies in the file, mail or not, instead of the windows, up to any damage.

        ns UTC, first octet in the data, octets in the file, octets on the wire, link type (below 0: a block that is
        numbered but no packet), and the data.
        """
        data, released = self._data, 0
        try:
            for ts, at, size, wire, link in self._container.reader(data, self.facts):
                yield ts, at, size, wire, link, data
                if at - released > RELEASE_BYTES:
                    self._walk.release(at)
                    released = at
        except DamageError:
            return
        finally:
            self._close()

    @property
    def magic(self) -> bytes:
        """The first four octets."""
        return self._data[:4]

    def _close(self) -> None:
        if isinstance(self._data, mmap.mmap):
            self._data.close()


def _trace(name: str, content: Content, packing: str, ports: frozenset[int], *, any_port: bool) -> Capture:
    """Open a Windows event trace through the pcapng that its packets make."""
    from analyzer.capture.etl import Trace, as_pcapng
    from analyzer.capture.spool import spooled

    trace = Trace(content.data)
    data, full = spooled(as_pcapng(content.data, trace.packets(), trace.clock), "etl")
    if isinstance(content.data, mmap.mmap):
        content.data.close()
    facts = Facts(format="etl" + packing, warnings=trace.warnings)
    if not facts.warnings and not trace.count:
        facts.warnings.append("the event trace holds no packets: was it started with capture=yes?")
    packets = content._replace(data=data, damage=content.damage or trace.damage or full)
    return OwnCapture(
        name, packets, recognise(data[:SNIFF_BYTES], Path(name)), Walk(data, facts, ports, any_port=any_port)
    )


def file_of(path: Path) -> Path:
    """Return the file on the disk that a name stands for: 'archive.zip' for 'archive.zip!/member.pcap'."""
    return Path(str(path).split(_INSIDE, 1)[0]) if member_of(path) else path


def member_of(path: Path) -> str:
    """Return the member of an archive that a name stands for, '' where it names a file."""
    try:
        return "" if path.exists() else str(path.as_posix()).partition(_INSIDE)[2]
    except (OSError, ValueError):
        return ""


def _all(
    path: Path, member: str, ports: frozenset[int], *, any_port: bool, hashed: bool
) -> Iterator[Capture | CaptureError]:
    found, unread = False, None
    for content in contents(path, hashed=hashed):
        if isinstance(content, CaptureError):
            unread = content
        elif member and clean(content.name) != clean(member):
            continue
        else:
            try:
                capture = _open(path, content, ports, any_port=any_port)
            except CaptureError as failure:
                if not content.name:
                    raise
                if isinstance(failure, UnknownFormat) and is_chaff(content.name, content.data[:SNIFF_BYTES]):
                    continue
                unread = failure
                unread.sha256 = content.sha256
            else:
                found = True
                capture.facts.sha256 = content.sha256
                yield capture
                continue
        found = True
        yield unread
    if not found:
        what = f"no capture {clean(member)}" if member else "no capture"
        raise UnknownFormat(f"the archive holds {what}", path=path, hint="look what is in it")


def _open(path: Path, content: Content, ports: frozenset[int], *, any_port: bool) -> Capture:
    name = clean(path.name + (f"!/{content.name}" if content.name else ""))
    packing = f" ({', '.join(content.packing)})" if content.packing else ""
    if not len(content.data):
        inside = f"an empty file packed with {content.packing[-1]}" if content.packing else "the file is empty"
        raise CaptureError(content.damage or inside, path=path, hint="copy it again")
    start = content.data[:SNIFF_BYTES]
    if by_magic(start) is None:
        from analyzer.capture.etl import is_etl

        if is_etl(start):
            return _trace(name, content, packing, ports, any_port=any_port)
        if is_text(start) and (listing := _listing(name, content.data, ports)):
            listing.facts.format += packing
            return listing
    container = recognise(start, Path(f"{path}!/{content.name}") if content.name else path)
    if reader := repaired(container.reader, content.data):
        container = container._replace(reader=reader)
    facts = Facts(format=container.name + packing)
    return OwnCapture(name, content, container, Walk(content.data, facts, ports, any_port=any_port))


def _listing(name: str, data: Data, ports: frozenset[int]) -> Capture | None:
    from analyzer.capture.summary import packet_list

    return packet_list(name, data, ports)


def _check(path: Path) -> None:
    """Refuse what is no readable, filled, regular file."""
    try:
        if path.is_dir():
            raise CaptureError("it is a directory, not a capture file", path=path, hint="name a file in it")
        if not path.exists():
            raise CaptureError("there is no such file", path=path, hint="check the name")
        if not path.is_file():
            raise CaptureError("it is not a regular file", path=path, hint="save the capture to a file first")
        if not path.stat().st_size:
            raise CaptureError("the file is empty", path=path, hint="copy or record it again")
    except (OSError, ValueError) as failure:
        raise _unreadable(path, failure) from failure


def _unreadable(path: Path, failure: Exception) -> CaptureError:
    reason = getattr(failure, "strerror", None) or str(failure)
    return CaptureError(f"it cannot be read: {reason}", path=path, hint="check that you may read it")
