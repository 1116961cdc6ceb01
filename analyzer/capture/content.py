"""What a file is before anything reads it: plain, packed, or text; told by its first octets at next to no cost."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from analyzer.capture.record import Data
from analyzer.errors import CaptureError

SNIFF_BYTES = 512
"""First octets looked at: a tar names itself at octet 257."""

STANDARD_INPUT = "stdin"
"""Name of the file that standard input is saved to."""

GZIP_MAGIC, XZ_MAGIC, ZSTD_MAGIC, LZ4_MAGIC = b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
ZIP_MAGIC = b"PK\x03\x04"
MAGICS: tuple[tuple[str, int, bytes], ...] = (
    ("gzip", 0, GZIP_MAGIC),
    ("zstd", 0, ZSTD_MAGIC),
    ("xz", 0, XZ_MAGIC),
    ("bzip2", 4, b"1AY&SY"),
    ("lz4", 0, LZ4_MAGIC),
    ("zip", 0, ZIP_MAGIC),
    ("7z", 0, b"7z\xbc\xaf\x27\x1c"),
    ("tar", 257, b"ustar"),
)
"""What a packed file begins with: (packing, offset, octets)."""
PACKINGS = tuple(kind for kind, _, _ in MAGICS)
"""Names of the packings read, for those who ask."""

UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LOOKS_LIKE_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n\f\x1b") | frozenset(range(0x80, 0x100))


class Content(NamedTuple):
    """A file as it lies on the disk, or what came out of it."""

    name: str
    """'' for the file itself, else the member's path in the archive."""
    packing: tuple[str, ...]
    """What was unpacked to get here, outermost first."""
    data: Data
    damage: str | None = None
    """Why unpacking ended early."""
    sha256: str | None = None
    """Of a member of an archive, hexadecimal, when that was asked for."""


def contents(path: Path, *, hashed: bool = False) -> Iterator[Content | CaptureError]:
    """Yield what a file holds: itself, or whatever is packed in it; a member that cannot be unpacked as its error.

    ``hashed``: with the SHA-256 of each member of an archive.

    Raises:
        CaptureError: nothing can be unpacked.
        OSError: the file cannot be read or the temporary file cannot be written.
    """
    with path.open("rb") as file:
        whole = Content("", (), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if packing(whole.data) is None:
        yield whole
        return
    from analyzer.capture.unpack import unpacked  # what unpacks takes long to load

    yield from unpacked(whole, path, hashed=hashed)


def packing(data: Data) -> str | None:
    """Return how a file is packed, by its first octets; None when it is not."""
    start = data[:SNIFF_BYTES]
    return next((kind for kind, at, magic in MAGICS if start.startswith(magic, at)), None)


def is_text(start: bytes) -> bool:
    """Tell whether the first octets of a file look like text."""
    return start.startswith(UTF16) or all(octet in _LOOKS_LIKE_TEXT for octet in start)
