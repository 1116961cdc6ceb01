"""Contents: what comes out of packed files, in memory or in an unnamed temporary file, within limits."""

from __future__ import annotations

import io
import lzma
import mmap
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from analyzer.capture.record import Data
from analyzer.errors import CaptureError

UNPACKED_LIMIT_BYTES = 4 << 30
"""Octets unpacked from one file at most, all members together: a bomb of a few MB may hold thousands of times its size."""

MEMORY_LIMIT_BYTES = 64 << 20
"""Octets unpacked in memory; more goes to a temporary file, so that memory stays flat."""

MEMBERS_LIMIT = 2000
"""Members of archives in one file: a ring buffer of a long night has some hundred."""

STEP_BYTES = 1 << 20
"""Octets taken at a time."""

DAMAGES = (EOFError, OSError, RuntimeError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
"""What readers of packed data raise when the data is damaged."""

EXTRA = "pip install 'mailscope[formats]'"
"""What brings the packages that some packings need."""


class Room:
    """What may still be unpacked from one file."""

    def __init__(self) -> None:
        self.left_bytes, self.members = UNPACKED_LIMIT_BYTES, MEMBERS_LIMIT

    def count(self, path: Path) -> None:
        """Count one member of an archive.

        Raises:
            CaptureError: it is one too many.
        """
        self.members -= 1
        if self.members < 0:
            raise CaptureError(f"the archive has more than {MEMBERS_LIMIT} members", path=path, hint="unpack it first")


class Octets(io.RawIOBase):
    """Octets as a file; unlike a mapped file it knows all that archive readers ask."""

    def __init__(self, data: Data) -> None:
        self._data, self._at, self._fresh = data, 0, 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that one can go to any place."""
        return True

    def tell(self) -> int:
        """Return the place of the next octet."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, counted from the start, from here or from the end."""
        self._at = max(offset + (0, self._at, len(self._data))[whence], 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the octets go."""
        octets = self._data[self._at : self._at + len(buffer)]
        buffer[: len(octets)] = octets
        self._at += len(octets)
        self._fresh += len(octets)
        if self._fresh > MEMORY_LIMIT_BYTES:
            self._release()
        return len(octets)

    def _release(self) -> None:
        """Give back the pages of a mapped file, where the system can: what was read is counted as memory otherwise."""
        self._fresh = 0
        if isinstance(self._data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self._data.madvise(mmap.MADV_DONTNEED)


def save(stream: BinaryIO, path: Path) -> None:
    """Write what comes from a stream, such as standard input, to a file.

    Raises:
        CaptureError: it does not end within the limit.
    """
    room = UNPACKED_LIMIT_BYTES
    with path.open("wb") as file:
        while octets := stream.read(STEP_BYTES):
            room -= len(octets)
            if room < 0:
                hint = "capture with a filter, or save it to a file first"
                raise CaptureError(f"more than {UNPACKED_LIMIT_BYTES} octets came", path=path, hint=hint)
            file.write(octets)


def spooled(chunks: Iterable[bytes], kind: str, room: Room | None = None) -> tuple[Data, str | None]:
    """Collect octets; return them and why they end early, if they do."""
    damage, room = None, room or Room()
    with tempfile.SpooledTemporaryFile(MEMORY_LIMIT_BYTES) as plain:
        try:
            for octets in chunks:
                room.left_bytes -= len(octets)
                if room.left_bytes < 0:
                    plain.write(octets[: room.left_bytes])
                    damage = f"the {kind} data holds more than {UNPACKED_LIMIT_BYTES} octets"
                    break
                plain.write(octets)
        except EOFError:
            damage = f"the {kind} data ends too early"
        except DAMAGES as failure:
            if isinstance(failure, OSError) and failure.errno is not None:
                raise  # the disk, not the data
            damage = f"the {kind} data is damaged"
        size = plain.tell()
        plain.seek(0)
        if size <= MEMORY_LIMIT_BYTES:
            return plain.read(), damage
        return mmap.mmap(plain.fileno(), 0, access=mmap.ACCESS_READ), damage
