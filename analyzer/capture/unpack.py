"""gzip around a capture: streamed into memory or an unnamed temporary file, bounded, read up to any damage."""

from __future__ import annotations

import contextlib
import mmap
import tempfile
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from analyzer.capture.record import Data

GZIP_MAGIC = b"\x1f\x8b"

UNPACKED_LIMIT_BYTES = 4 << 30
"""Octets unpacked from one file at most: a bomb of a few MB may hold thousands of times its size."""

MEMORY_LIMIT_BYTES = 64 << 20
"""Octets unpacked in memory; more goes to a temporary file, so that memory stays flat."""

_STEP_BYTES = 1 << 20
_GZIP_WINDOW = 31  # zlib's word for 'a gzip header, largest window'


class Unpacked(NamedTuple):
    """What came out of a packed file."""

    data: Data
    damage: str | None
    """Why unpacking ended early."""


def gunzip(path: Path) -> Unpacked:
    """Unpack every gzip member of a file; octets behind the last member are ignored as gzip itself does.

    Raises:
        OSError: the file cannot be read or the temporary file cannot be written.
    """
    with path.open("rb") as packed, tempfile.SpooledTemporaryFile(MEMORY_LIMIT_BYTES) as plain:
        damage = _members(packed, plain)
        size = plain.tell()
        plain.seek(0)
        if size <= MEMORY_LIMIT_BYTES:
            return Unpacked(plain.read(), damage)
        return Unpacked(mmap.mmap(plain.fileno(), 0, access=mmap.ACCESS_READ), damage)


def _members(packed: BinaryIO, plain: tempfile.SpooledTemporaryFile[bytes]) -> str | None:
    """Write the octets of every member; return why it ended early, if it did."""
    inflater, rest, room, full = zlib.decompressobj(_GZIP_WINDOW), b"", UNPACKED_LIMIT_BYTES, False
    while True:
        rest = rest or (b"" if full else packed.read(_STEP_BYTES))
        if not rest and not full:
            return "the gzip data ends too early"
        before = inflater.copy()
        try:
            octets = inflater.decompress(rest, _STEP_BYTES)
        except zlib.error:
            plain.write(_salvaged(before, rest))
            return "the gzip data is damaged"
        room -= len(octets)
        if room < 0:
            return f"the gzip data holds more than {UNPACKED_LIMIT_BYTES} octets"
        plain.write(octets)
        rest, full = inflater.unconsumed_tail, len(octets) == _STEP_BYTES  # zlib may hold output back when full
        if inflater.eof:
            rest = inflater.unused_data + packed.read(_STEP_BYTES)
            if not rest.startswith(GZIP_MAGIC):
                return None
            inflater, full = zlib.decompressobj(_GZIP_WINDOW), False


def _salvaged(inflater: zlib._Decompress, octets: bytes) -> bytes:
    """Return what comes before the damage: zlib drops the output of the call that meets it, so go octet by octet."""
    kept = bytearray()
    with contextlib.suppress(zlib.error):
        for at in range(len(octets)):
            kept += inflater.decompress(octets[at : at + 1], _STEP_BYTES)
    return bytes(kept)
