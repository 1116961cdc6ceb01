"""Archives: zip, tar and 7z to the contents of their members; cut ones as far as they go."""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from struct import Struct

from analyzer.capture.content import ZIP_MAGIC, Content
from analyzer.capture.record import Data
from analyzer.capture.spool import DAMAGES, EXTRA, STEP_BYTES, Octets, Room, spooled
from analyzer.errors import CaptureError, EngineMissing, PasswordNeeded
from analyzer.text import clean

_NAME_BYTES = 4096  # the longest path of a member believed
_TAR_BLOCK = 512
_UNLOCK = "unpack it with its password first, then give the capture in it"
_ZIP_LOCAL = Struct("<4x2xHH8xI4xHH")  # flags, method, octets packed, of the name, of the extra field
_ZIP_AES = 99  # method of WinZip's AES (APPNOTE 4.4.5, AE-x)
_ZIP_SIZED_BEHIND, _ZIP_64 = 8, 0xFFFFFFFF


def _zip(content: Content, path: Path, room: Room) -> Iterator[Content | CaptureError]:
    try:
        archive = zipfile.ZipFile(io.BufferedReader(Octets(content.data)))
    except DAMAGES:
        yield from _cut_zip(content.data, path, room)
        return
    for info in archive.infolist():
        if info.is_dir() or not info.file_size:
            continue
        name = clean(info.filename)
        if info.flag_bits & 1:
            yield _locked(path, name, "with AES" if info.compress_type == _ZIP_AES else "")
            continue
        room.count(path)
        try:
            member = archive.open(info)
        except (NotImplementedError, *DAMAGES) as failure:
            yield _unread(path, name, f"it cannot be unpacked: {clean(str(failure), 100)}")
            continue
        yield Content(name, (), *spooled(iter(lambda: member.read(STEP_BYTES), b""), "zip", room))  # noqa: B023


def _cut_zip(data: Data, path: Path, room: Room) -> Iterator[Content | CaptureError]:
    """Yield what can be had of a zip archive whose directory, which stands at its end, is missing: member after member."""
    at, found = 0, False
    while data[at : at + 4] == ZIP_MAGIC and at + _ZIP_LOCAL.size <= len(data):
        flags, method, packed_bytes, name_bytes, extra_bytes = _ZIP_LOCAL.unpack_from(data, at)
        name = clean(data[at + _ZIP_LOCAL.size : at + _ZIP_LOCAL.size + name_bytes].decode("utf-8", "replace"))
        start = at + _ZIP_LOCAL.size + name_bytes + extra_bytes
        sized = not flags & _ZIP_SIZED_BEHIND and packed_bytes != _ZIP_64
        end = min(start + packed_bytes, len(data)) if sized else len(data)
        if flags & 1 or method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            break
        if end > start:
            room.count(path)
            found = True
            octets = _slices(data, start, end)
            chunks = octets if method == zipfile.ZIP_STORED else _inflated(octets)
            plain, damage = spooled(chunks, "zip", room)
            yield Content(name, (), plain, damage or ("the zip data ends too early" if end == len(data) else None))
        at = end
    if not found:
        raise CaptureError("the zip archive is damaged or cut", path=path, hint="copy it again")


def _slices(data: Data, start: int, end: int) -> Iterator[bytes]:
    return (data[at : min(at + STEP_BYTES, end)] for at in range(start, end, STEP_BYTES))


def _inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what raw deflate data hold, up to its end or where it is cut."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for chunk in chunks:
        rest = chunk
        while rest and not inflater.eof:
            yield inflater.decompress(rest, STEP_BYTES)
            rest = inflater.unconsumed_tail
        if inflater.eof:
            return
    yield inflater.flush()
    raise EOFError


def _tar(content: Content, path: Path, room: Room) -> Iterator[Content | CaptureError]:
    """Yield the files of a tar archive (POSIX ustar, with the long names of GNU and pax)."""
    data, at, name = content.data, 0, ""
    while at + _TAR_BLOCK <= len(data):
        header = data[at : at + _TAR_BLOCK]
        size = _tar_size(header[124:136])
        if size is None or not any(header):
            return
        start, kind = at + _TAR_BLOCK, header[156:157]
        if kind == b"L":
            name = _tar_text(data[start : start + min(size, _NAME_BYTES)])
        elif kind == b"x":
            name = _pax_path(data[start : start + min(size, _NAME_BYTES)]) or name
        elif kind in b"0\0" and size:
            room.count(path)
            parts = (_tar_text(header[345:500]), _tar_text(header[:100]))
            octets, damage = spooled(_slices(data, start, min(start + size, len(data))), "tar", room)
            cut = start + size > len(data)
            damage = damage or (content.damage or "the tar data ends too early" if cut else None)
            yield Content(clean(name or "/".join(part for part in parts if part)), (), octets, damage)
            name = ""
        at = start + (size + _TAR_BLOCK - 1) // _TAR_BLOCK * _TAR_BLOCK


def _tar_size(field: bytes) -> int | None:
    """Read octal digits, or the base-256 number of GNU and star."""
    if field[:1] >= b"\x80":
        return int.from_bytes(field[-8:], "big") & (1 << 62) - 1
    text = field.strip(b"\0 ")
    try:
        return int(text or b"0", 8)
    except ValueError:
        return None


def _tar_text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _pax_path(octets: bytes) -> str:
    at = octets.find(b" path=")
    return octets[at + 6 :].split(b"\n", 1)[0].decode("utf-8", "replace") if at >= 0 else ""


def _seven_zip(content: Content, path: Path, room: Room) -> Iterator[Content | CaptureError]:
    """Unpack a 7z archive into a temporary folder: its reader knows no streams."""
    try:
        import py7zr
    except ImportError as missing:
        hint = f"{EXTRA}, or unpack it first: 7z x FILE"
        raise EngineMissing("reading 7z needs the package py7zr", path=path, hint=hint) from missing
    with tempfile.TemporaryDirectory() as folder:
        try:
            with py7zr.SevenZipFile(io.BufferedReader(Octets(content.data))) as archive:
                if archive.needs_password():
                    raise _locked(path, "")  # noqa: TRY301
                if sum(info.uncompressed for info in archive.list()) > room.left_bytes:
                    limit = f"the 7z data holds more than {room.left_bytes} octets"
                    raise CaptureError(limit, path=path, hint="unpack it first")  # noqa: TRY301
                archive.extractall(folder)
        except py7zr.PasswordRequired as failure:
            raise _locked(path, "") from failure
        except CaptureError:
            raise
        except Exception as failure:  # whatever its reader says of hostile octets
            raise CaptureError("the 7z archive is damaged or cut", path=path, hint="copy it again") from failure
        root = Path(folder)
        for file in sorted(x for x in root.rglob("*") if x.is_file() and not x.is_symlink()):
            room.count(path)
            with file.open("rb") as plain:
                octets = spooled(iter(lambda: plain.read(STEP_BYTES), b""), "7z", room)
            if len(octets[0]):
                yield Content(clean(file.relative_to(root).as_posix()), (), *octets)


def _locked(path: Path, member: str, how: str = "") -> PasswordNeeded:
    what = f"the member {member} is" if member else "the archive is"
    said = " ".join(part for part in (what, "encrypted", how, "and needs a password") if part)
    return PasswordNeeded(said, path=_inside(path, member), hint=_UNLOCK)


def _unread(path: Path, member: str, reason: str) -> CaptureError:
    return CaptureError(reason, path=_inside(path, member), hint="unpack it first: 7z x FILE")


def _inside(path: Path, member: str) -> str:
    return f"{path}!/{member}" if member else str(path)


ARCHIVES: dict[str, Callable[[Content, Path, Room], Iterator[Content | CaptureError]]] = {
    "zip": _zip,
    "tar": _tar,
    "7z": _seven_zip,
}
"""Packing -> reader of its members."""
