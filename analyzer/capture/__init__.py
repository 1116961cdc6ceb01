"""Files to columns of mail packets: opens a capture by its content, never by its name."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from analyzer.capture.formats import FORMATS, SNIFF_BYTES, Format, recognise
from analyzer.capture.packets import ACK, FIN, PSH, RST, SYN, Capture, Facts, Packets, Row, Stopped, Unreachable
from analyzer.capture.select import MAIL_PORTS
from analyzer.capture.unpack import GZIP_MAGIC, Unpacked, gunzip
from analyzer.capture.walk import Walk
from analyzer.errors import CaptureError
from analyzer.text import clean

__all__ = [
    "ACK",
    "FIN",
    "FORMATS",
    "MAIL_PORTS",
    "PSH",
    "RST",
    "SYN",
    "Capture",
    "Facts",
    "Packets",
    "Row",
    "Stopped",
    "Unreachable",
    "open_capture",
]


def open_capture(
    path: str | Path, *, ports: frozenset[int] = MAIL_PORTS, any_port: bool = True, engine: str = "own"
) -> Capture:
    """Open a capture for reading; what kind it is, its first octets tell.

    ``ports`` are kept whatever they carry; with ``any_port`` also connections on other ports that open with a mail
    greeting. ``engine`` is "own" or "tshark" (reads what Wireshark reads, slower; by port only).

    Raises:
        CaptureError: no such file, a directory, empty, or unreadable.
        UnknownFormat: a format we do not read.
        EngineMissing: tshark was asked for and is not installed.
    """
    path = Path(path)
    _check(path)
    if engine == "tshark":
        from analyzer.capture.via_tshark import TsharkCapture

        return TsharkCapture(path, ports)
    if engine != "own":
        raise ValueError(f"no engine {engine!r}: it is 'own' or 'tshark'")
    try:
        return _open(path, ports, any_port=any_port)
    except OSError as failure:
        raise _unreadable(path, failure) from failure


class _OwnCapture:
    """A capture read by the plain loop."""

    def __init__(self, path: Path, packing: Unpacked, container: Format, walk: Walk) -> None:
        self.name, self.facts = clean(path.name), walk.facts
        self._data, self._damage = packing
        self._container, self._walk = container, walk

    def windows(self) -> Iterator[Packets]:
        """Yield the mail packets window by window; the facts are complete once the last one is out."""
        try:
            yield from self._walk.packets(self._container.reader(self._data, self.facts), self._damage)
        finally:
            if isinstance(self._data, mmap.mmap):
                self._data.close()


def _open(path: Path, ports: frozenset[int], *, any_port: bool) -> Capture:
    with path.open("rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        content = gunzip(path) if packed else Unpacked(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), None)
    if not len(content.data):
        raise CaptureError(content.damage or "an empty file packed with gzip", path=path, hint="copy it again")
    container = recognise(content.data[:SNIFF_BYTES], path)
    facts = Facts(format=container.name + " (gzip)" * packed)
    return _OwnCapture(path, content, container, Walk(content.data, facts, ports, any_port=any_port))


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
