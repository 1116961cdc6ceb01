"""Packed captures: streams (gzip, zstd, xz, bzip2, lz4) and archives (zip, tar, 7z), one in the other, bounded.

What comes out lies in memory or in an unnamed temporary file. A damaged or cut stream is read up to the damage.
"""

from __future__ import annotations

import bz2
import contextlib
import io
import lzma
import mmap
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from analyzer.capture.archives import ARCHIVES
from analyzer.capture.content import GZIP_MAGIC, LZ4_MAGIC, XZ_MAGIC, ZSTD_MAGIC, Content, packing
from analyzer.capture.record import Data
from analyzer.capture.spool import EXTRA, STEP_BYTES, Octets, Room, spooled
from analyzer.errors import CaptureError, EngineMissing

DEPTH_LIMIT = 4
"""Packings one in the other: a tar.gz in a zip has three."""

XZ_MEMORY_LIMIT_BYTES = 256 << 20
"""Memory an xz file may ask for; its strongest preset takes 65 MB."""

_GZIP_WINDOW = 31  # zlib's word for 'a gzip header, largest window'


def unpacked(content: Content, path: Path, *, hashed: bool) -> Iterator[Content | CaptureError]:
    """Yield whatever is packed in a file; a member that cannot be unpacked as its error.

    ``hashed``: with the SHA-256 of each member of an archive.

    Raises:
        CaptureError: nothing can be unpacked.
        OSError: the temporary file cannot be written.
    """
    return _opened(content, path, Room(), hashed=hashed)


def _opened(content: Content, path: Path, room: Room, *, hashed: bool) -> Iterator[Content | CaptureError]:
    kind = packing(content.data)
    if kind is None or len(content.packing) >= DEPTH_LIMIT:
        yield content
    elif kind in _STREAMS:
        yield from _opened(_unpacked(content, kind, path, room), path, room, hashed=hashed)
    else:
        layers = (*content.packing, kind)
        for member in ARCHIVES[kind](content, path, room):
            if isinstance(member, CaptureError):
                yield member
            else:
                name = "!/".join(part for part in (content.name, member.name) if part)
                digest = _digest(member.data) if hashed else None
                whole = member._replace(name=name, packing=layers, sha256=digest)
                yield from _opened(whole, path, room, hashed=hashed)
        if isinstance(content.data, mmap.mmap):
            content.data.close()


def _digest(data: Data) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


# -- streams


def _unpacked(content: Content, kind: str, path: Path, room: Room) -> Content:
    try:
        chunks = _STREAMS[kind](io.BufferedReader(Octets(content.data), STEP_BYTES))
    except ImportError as missing:
        reason = f"reading {kind} needs the package {missing.name}"
        raise EngineMissing(reason, path=path, hint=f"{EXTRA}, or unpack it first") from missing
    data, damage = spooled(chunks, kind, room)
    if isinstance(content.data, mmap.mmap):
        content.data.close()
    return Content(content.name, (*content.packing, kind), data, content.damage or damage, content.sha256)


def _gzip(packed: BinaryIO) -> Iterator[bytes]:
    """Yield the octets of every gzip member, by the faster package where it is installed.

    That one does not tell what comes before a damage: then it is read again, by zlib.
    """
    try:
        from isal import isal_zlib
    except ImportError:
        yield from _inflated(packed, zlib.decompressobj)
        return
    told = 0
    try:
        for octets in _inflated(packed, isal_zlib.decompressobj):
            told += len(octets)
            yield octets
    except isal_zlib.error:  # type: ignore[misc]
        packed.seek(0)
        for octets in _inflated(packed, zlib.decompressobj):
            yield octets[told:]
            told -= min(told, len(octets))


def _inflated(packed: BinaryIO, engine: Callable[[int], Any]) -> Iterator[bytes]:
    """Yield the octets of every gzip member; what stands behind the last one is ignored as gzip itself does."""
    inflater, rest, full = engine(_GZIP_WINDOW), b"", False
    while True:
        rest = rest or (b"" if full else packed.read(STEP_BYTES))
        if not rest and not full:
            raise EOFError
        before = inflater.copy() if engine is zlib.decompressobj else None
        try:
            octets = inflater.decompress(rest, STEP_BYTES)
        except zlib.error:
            yield _salvaged(before, rest)
            raise
        yield octets
        rest, full = inflater.unconsumed_tail, len(octets) == STEP_BYTES  # zlib may hold output back when full
        if inflater.eof:
            rest = inflater.unused_data + packed.read(STEP_BYTES)
            if not rest.startswith(GZIP_MAGIC):
                return
            inflater, full = engine(_GZIP_WINDOW), False


def _salvaged(inflater: Any, octets: bytes) -> bytes:
    """Return what comes before the damage: zlib drops the output of the call that meets it, so go octet by octet."""
    kept = bytearray()
    with contextlib.suppress(zlib.error):
        for at in range(len(octets)):
            kept += inflater.decompress(octets[at : at + 1], STEP_BYTES)
    return bytes(kept)


def _steps(packed: BinaryIO, engine: Callable[[], Any], magic: bytes) -> Iterator[bytes]:
    """Yield the octets of every stream in a file through a decompressor of the standard library's kind."""
    inflater, rest = engine(), packed.read(STEP_BYTES)
    while True:
        yield inflater.decompress(rest, STEP_BYTES)
        if inflater.eof:
            rest = (inflater.unused_data or b"") + packed.read(STEP_BYTES)
            if not rest.startswith(magic):
                return
            inflater = engine()
        elif not inflater.needs_input:
            rest = b""
        elif not (rest := packed.read(STEP_BYTES)):
            raise EOFError


def _bzip2(packed: BinaryIO) -> Iterator[bytes]:
    return _steps(packed, bz2.BZ2Decompressor, b"BZh")


def _xz(packed: BinaryIO) -> Iterator[bytes]:
    return _steps(packed, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY_LIMIT_BYTES), XZ_MAGIC)


def _lz4(packed: BinaryIO) -> Iterator[bytes]:
    import lz4.frame

    return _steps(packed, lz4.frame.LZ4FrameDecompressor, LZ4_MAGIC)


def _zstd(packed: BinaryIO) -> Iterator[bytes]:
    """Read Zstandard by Python's own module (3.14) or by the package."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
        return _told(iter(lambda: reader.read(STEP_BYTES), b""), zstandard.ZstdError)
    return _told(_steps(packed, zstd.ZstdDecompressor, ZSTD_MAGIC), zstd.ZstdError)


def _told(chunks: Iterator[bytes], error: type[Exception]) -> Iterator[bytes]:
    """Turn an error of a kind of its own into one that stands for damage."""
    try:
        yield from chunks
    except error as failure:
        raise ValueError from failure


_STREAMS: dict[str, Callable[[BinaryIO], Iterator[bytes]]] = {
    "gzip": _gzip,
    "zstd": _zstd,
    "xz": _xz,
    "bzip2": _bzip2,
    "lz4": _lz4,
}
