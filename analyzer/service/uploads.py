"""Uploads that can be taken up again: tus 1.0.0 (https://tus.io/protocols/resumable-upload), the server's side without HTTP.

One upload is a file of octets and a small JSON file beside it, so that neither a cut connection nor a restart costs what
had come. When it is complete it becomes a capture; what it became stays known, for whoever missed the last answer.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from analyzer.service.files import HOUR_S, Files, digest
from analyzer.service.intake import WRITE_BYTES, Gone, Intake, Refused, shown
from analyzer.service.kinds import SNIFF_BYTES, refusal

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,checksum,termination"
ALGORITHMS = ("sha256", "sha1")
"""Of checksums; the protocol demands the second."""
MOST_UPLOADS = 100
"""Of one owner, begun and not complete."""
MISMATCH = 460
"""The protocol's own status for octets that arrived changed."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload."""

    id: str
    """Drawn by lot."""
    owner: str | None
    """None for the one person at this machine."""
    name: str
    """As shown."""
    length: int
    """Octets it will have."""
    begun: float
    """When, in seconds since the epoch."""
    capture: str | None = None
    """Id of the capture that it became."""


class Uploads:
    """All of them, in memory and on the disk."""

    def __init__(self, files: Files, intake: Intake) -> None:
        self._files, self._intake = files, intake
        self._busy: set[str] = set()
        self._settling: set[str] = set()
        self._lock = threading.Lock()
        self._all: dict[str, Upload] = {}
        for path in files.parts.glob("*.json"):
            self._load(path)
        intake.reserved = self.reserved

    def _load(self, path: Path) -> Upload | None:
        try:
            upload = Upload(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):  # cut short by a power cut: nobody has been told of it yet
            path.unlink(missing_ok=True)
            return None
        self._all[upload.id] = upload
        return upload

    def reserved(self, owner: str | None) -> list[int]:
        """Return the sizes of an owner's uploads that are not complete, each counted whole."""
        with self._lock:
            mine = [x for x in self._all.values() if x.owner == owner and x.capture is None]
            return [x.length for x in mine if x.id not in self._settling]

    def create(self, owner: str | None, name: str, length: int) -> Upload:
        """Begin an upload.

        Raises:
            Refused: there is no room for it.
        """
        if length <= 0:
            raise Refused(415, "Not taken: the file is empty.")
        if len(self.reserved(owner)) >= MOST_UPLOADS:
            raise Refused(429, f"{MOST_UPLOADS} uploads are begun and not complete; end some of them first.")
        self._intake.check_new(owner, length)
        upload = Upload(secrets.token_hex(16), owner, shown(name), length, time.time())
        self._files.part(upload.id).touch(mode=0o600)
        self._save(upload)
        return upload

    def get(self, name: str, owner: str | None) -> Upload | None:
        """Return an owner's upload; None when there is none of this id."""
        path = self._json(name)
        if path is None or not path.is_file():
            return None
        found = self._load(path)  # another replica may have gone on with it
        return found if found is not None and found.owner == owner else None

    def offset(self, upload: Upload) -> int:
        """Return how many octets of it are here."""
        if upload.capture is not None:
            return upload.length
        try:
            return self._files.part(upload.id).stat().st_size
        except FileNotFoundError:
            return 0

    def until(self, upload: Upload) -> float:
        """Return when it is dropped, in seconds since the epoch."""
        return upload.begun + self._intake.limits.part_hours * HOUR_S

    def drop(self, upload: Upload) -> None:
        """End an upload; nothing of it stays."""
        with self._lock:
            self._all.pop(upload.id, None)
        self._files.part(upload.id).unlink(missing_ok=True)
        if (path := self._json(upload.id)) is not None:
            path.unlink(missing_ok=True)

    def expire(self) -> None:
        """Drop those whose time is over."""
        for upload in list(self._all.values()):
            if self.until(upload) < time.time() and upload.id not in self._busy:
                self.drop(upload)

    async def add(self, upload: Upload, offset: int, body: AsyncIterator[bytes], checksum: Checksum | None) -> Upload:
        """Take octets from ``offset`` on, and return what the upload is then.

        Raises:
            Refused: they do not go on where it stopped, are too many, arrived changed, or are no capture's.
            Gone: the connection was cut; what had come stays, unless it should have been checked.
        """
        with self._lock:
            if upload.id in self._busy:
                raise Refused(423, "Another request is sending to this upload.")
            self._busy.add(upload.id)
        try:
            if offset != self.offset(upload):
                raise Refused(409, f"The upload goes on at {self.offset(upload)}.")
            with self._intake.ticket(upload.owner, 0) as fits:
                await _Tail(self._files.part(upload.id), upload, offset, checksum, fits).fill(body)
            return await asyncio.to_thread(self._looked, upload, offset)
        finally:
            with self._lock:
                self._busy.discard(upload.id)

    def _looked(self, upload: Upload, before: int) -> Upload:
        """Look at the first octets once they are here, and make a capture of an upload that is complete."""
        part, here = self._files.part(upload.id), self.offset(upload)
        complete = here == upload.length
        if upload.capture is None and before < SNIFF_BYTES and (complete or here >= SNIFF_BYTES):
            with part.open("rb") as file:
                why = refusal(file.read(SNIFF_BYTES))
            if why:
                self.drop(upload)
                raise Refused(415, f"Not taken: {why}.")
        if upload.capture is None and complete:
            with self._lock:
                self._settling.add(upload.id)  # counted by its own size from here on, not twice
            try:
                given = self._intake.settle(upload.owner, upload.name, part, digest(part))
                upload = replace(upload, capture=given.id)
                self._save(upload)
            finally:
                with self._lock:
                    self._settling.discard(upload.id)
        return upload

    def _save(self, upload: Upload) -> None:
        path = self._files.parts / f"{upload.id}.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(upload)), "utf-8")
        fresh.replace(path)
        with self._lock:
            self._all[upload.id] = upload

    def _json(self, name: str) -> Path | None:
        try:
            return self._files.part(name).with_suffix(".json")
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the octets of one request must hash to."""

    algorithm: str
    """sha256 or sha1."""
    value: bytes
    """The hash itself."""


def checksum_of(header: str | None) -> Checksum | None:
    """Read ``Upload-Checksum``.

    Raises:
        Refused: it names a hash not known here, or makes no sense.
    """
    if header is None:
        return None
    algorithm, _, value = header.partition(" ")
    try:
        octets = base64.b64decode(value, validate=True)
    except binascii.Error:
        octets = b""
    if algorithm not in ALGORITHMS or not octets:
        raise Refused(400, f"Upload-Checksum is one of {', '.join(ALGORITHMS)}, a space, and the hash in base64.")
    return Checksum(algorithm, octets)


def name_of(header: str | None) -> str:
    """Return what ``Upload-Metadata`` says the file is called.

    Raises:
        Refused: it makes no sense.
    """
    for pair in (header or "").split(","):
        name, _, value = pair.strip().partition(" ")
        if name in {"filename", "name"}:
            try:
                return base64.b64decode(value, validate=True).decode("utf-8", "replace")
            except binascii.Error:
                raise Refused(400, "Upload-Metadata has names, a space, and values in base64.") from None
    return ""


class _Tail:
    """The end of an upload's file, which octets are put to."""

    def __init__(self, path: Path, upload: Upload, offset: int, checksum: Checksum | None, fits: Any) -> None:
        self._path, self._upload, self._offset, self._checksum, self._fits = path, upload, offset, checksum, fits
        self._hash = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None
        self._held = bytearray()
        self._size = offset

    async def fill(self, body: AsyncIterator[bytes]) -> None:
        """Put all of a request's octets there; without a checksum also those of a request that was cut off."""
        try:
            async for piece in body:
                await self._take(piece)
        except (Gone, Refused, asyncio.CancelledError):
            if self._checksum is None:
                self._put()
            else:
                self._back()
            raise
        await asyncio.to_thread(self._put)
        if self._hash and self._checksum and self._hash.digest() != self._checksum.value:
            self._back()
            raise Refused(MISMATCH, "The octets arrived changed; send them again.")

    async def _take(self, piece: bytes) -> None:
        if self._size + len(self._held) + len(piece) > self._upload.length:
            raise Refused(413, f"The upload was to have {self._upload.length} octets, and these are more.")
        self._held += piece
        if len(self._held) >= WRITE_BYTES:
            await asyncio.to_thread(self._put)

    def _put(self) -> None:
        self._fits(0)
        octets = bytes(self._held)
        self._held.clear()
        if self._hash:
            self._hash.update(octets)
        with self._path.open("ab") as file:
            file.write(octets)
        self._size += len(octets)

    def _back(self) -> None:
        with self._path.open("rb+") as file:
            file.truncate(self._offset)
