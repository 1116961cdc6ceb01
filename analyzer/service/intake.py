"""Uploads on their way to the disk: never more than a MiB of one in memory, counted while they come, nothing left of a failed one.

What is refused is refused as early as it can be told: by the length that was announced, by the first octets, then by the
octets counted. A file's own name is cleaned, shown, and never used for anything else.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from analyzer.service.files import Files
from analyzer.service.kinds import SNIFF_BYTES, refusal
from analyzer.service.settings import GIB, Limits
from analyzer.text import clean
from analyzer.triage.case import Item, Submitted, Usage
from analyzer.triage.row import key
from analyzer.triage.store import Store

if TYPE_CHECKING:
    from starlette.requests import Request

WRITE_BYTES = 1 << 20
"""Octets of an upload held before they are written."""
NAME_LIMIT = 200
"""Characters of a file's name that are kept."""
NAMELESS = "capture"
KEY = key({})
"""Of the results: a capture that is given again after an upgrade is analysed again."""


class Refused(Exception):
    """An upload, or a request, that is not taken."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Gone(Exception):
    """Whoever sent it is not there any more, so that nobody can be told."""


def shown(name: str) -> str:
    """Return what a file is called on pages: its last part, cleaned and cut."""
    last = name.replace("\\", "/").rstrip("/").rsplit("/", maxsplit=1)[-1].strip()
    return clean(last, NAME_LIMIT) if last.strip(".") else NAMELESS


async def pieces(request: Request, idle_s: float) -> AsyncIterator[bytes]:
    """Yield the body of a request as it comes.

    Raises:
        Refused: nothing came for too long.
        Gone: the connection was cut.
    """
    from starlette.requests import ClientDisconnect

    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(idle_s):
                piece = await anext(stream, None)
        except ClientDisconnect:
            raise Gone from None
        except TimeoutError:
            raise Refused(408, f"Nothing came for {idle_s:g} seconds; what had come is dropped.") from None
        if piece is None:
            return
        if piece:
            yield piece


class Sink:
    """Where the octets of one upload go: looked at, counted, hashed, written a MiB at a time."""

    def __init__(self, path: Path, fits: Callable[[int], None]) -> None:
        self.path = path
        self.size = 0
        self._fits = fits
        self._held = bytearray()
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None

    async def take(self, octets: bytes) -> None:
        """Take the next octets.

        Raises:
            Refused: it is no capture, or there is no room for it.
        """
        self._held += octets
        if len(self._held) >= WRITE_BYTES:
            await self._write()

    async def done(self) -> str:
        """Write what is left and return the SHA-256 of all; raises as ``take`` does."""
        await self._write()
        self._close()
        return self._hash.hexdigest()

    def drop(self) -> None:
        """Leave nothing behind."""
        self._close()
        self.path.unlink(missing_ok=True)

    async def _write(self) -> None:
        octets = bytes(self._held)
        self._held.clear()
        self.size += len(octets)
        if self._file is None and (why := refusal(octets[:SNIFF_BYTES])):
            raise Refused(415, f"Not taken: {why}.")
        await asyncio.to_thread(self._put, octets)

    def _put(self, octets: bytes) -> None:
        self._fits(self.size)
        if self._file is None:
            self._file = self.path.open("xb")
        self._hash.update(octets)
        self._file.write(octets)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()


class Intake:
    """Takes uploads against the limits, and hands them to the store."""

    def __init__(self, limits: Limits, files: Files, store: Store, wake: Callable[[], None]) -> None:
        self.limits, self.files, self._store, self._wake = limits, files, store, wake
        self.reserved: Callable[[str | None], list[int]] = lambda _: []
        """Sizes of an owner's resumable uploads, as announced; set by who keeps them."""
        self._growing: dict[str, tuple[str | None, int]] = {}  # ticket -> owner, octets counted or announced
        self._lock = threading.Lock()

    async def receive(
        self, owner: str | None, name: str, body: AsyncIterator[bytes], announced: int | None
    ) -> Submitted:
        """Take one upload whole and put it in line; of a failed one nothing stays.

        Raises:
            Refused: it is no capture, or there is no room.
            Gone: it was cut off.
        """
        with self.ticket(owner, announced or 0) as fits:
            sink = Sink(self.files.part(secrets.token_hex(16)), fits)
            try:
                async for piece in body:
                    await sink.take(piece)
                digest = await sink.done()
                return await asyncio.to_thread(self.settle, owner, name, sink.path, digest)
            finally:
                await asyncio.to_thread(sink.drop)

    @contextmanager
    def ticket(self, owner: str | None, announced: int) -> Iterator[Callable[[int], None]]:
        """Count an upload as long as it lasts; yields what must be asked whenever it has grown.

        Raises:
            Refused: too many at once, or no room for what was announced.
        """
        ticket = secrets.token_hex(8)
        with self._lock:
            mine = sum(1 for who, _ in self._growing.values() if who == owner)
            if len(self._growing) >= self.limits.uploads or mine >= self.limits.uploads_each:
                raise Refused(429, "Too many uploads at once; try again when one is done.")
            self._growing[ticket] = (owner, announced)
        try:
            used = self._store.usage(owner)

            def fits(size: int) -> None:
                with self._lock:
                    self._growing[ticket] = (owner, max(size, announced))
                self.check(owner, max(size, announced), used, to_come=max(0, announced - size))

            fits(0)
            yield fits
        finally:
            with self._lock:
                del self._growing[ticket]

    def check_new(self, owner: str | None, size: int) -> None:
        """Hold an upload that is only announced against the limits; raises as ``check`` does."""
        self.check(owner, size, self._store.usage(owner), to_come=size, more=size)

    def check(self, owner: str | None, size: int, used: Usage, *, to_come: int = 0, more: int = 0) -> None:
        """Hold an upload of this size against the limits; ``to_come`` octets of it are not on the disk yet.

        Raises:
            Refused: it does not fit.
        """
        limits = self.limits
        if size > limits.upload_bytes:
            raise Refused(413, f"An upload may have {in_units(limits.upload_bytes)} at most.")
        with self._lock:
            growing = [octets for who, octets in self._growing.values() if who == owner]
        growing += self.reserved(owner) + [more] * bool(more)
        if used.captures + len(growing) > limits.quota_captures:
            raise Refused(507, f"{limits.quota_captures:,} captures are all you can keep here; delete some.")
        if used.size_bytes + sum(growing) > limits.quota_bytes:
            raise Refused(507, f"{in_units(limits.quota_bytes)} are all you can keep here; delete some captures.")
        if self.files.free_bytes() - to_come < limits.free_bytes:
            raise Refused(507, "The service's disk is nearly full; tell who runs it.")

    def settle(self, owner: str | None, name: str, part: Path, digest: str) -> Submitted:
        """Make a complete upload a capture that waits for its analysis.

        Raises:
            Refused: others filled the room meanwhile.
        """
        size = part.stat().st_size
        self.check(owner, size, self._store.usage(owner))
        self.files.sync(part)
        with self.files.settling:
            self.files.keep(part, digest)
            item = Item(path=name, name=name, sha256=digest, size_bytes=size)
            given = self._store.submit(item, owner, key=KEY)
        what = "upload" if given.new else "upload, had already"
        self._store.note(who(owner), what, sha256=digest, capture=given.id)
        self._wake()
        return given

    def delete(self, capture: str, owner: str | None) -> bool:
        """Delete a capture and all that came of it; False when the owner has none of this id."""
        with self.files.settling:
            gone = self._store.delete(capture, owner)
            if gone is None:
                return False
            if gone.unused and gone.sha256:
                self.files.forget(gone.sha256)
        self._store.note(who(owner), "delete", sha256=gone.sha256, capture=capture)
        return True


def who(owner: str | None) -> str:
    """Return how the audit calls an owner."""
    return owner or "local"


def in_units(octets: int) -> str:
    """Write a size as people do."""
    for size, unit in ((GIB, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if octets >= size:
            return f"{octets / size:.3g} {unit}" if octets < 1000 * size else f"{octets // size} {unit}"
    return f"{octets} B"
