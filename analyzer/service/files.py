"""The folder beside the store: captures named by their SHA-256, and uploads on their way in.

No name that came with an upload is ever a path here. Whatever is written is whole before it has its name.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DIGEST = re.compile(r"[0-9a-f]{64}")
ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
READ_BYTES = 1 << 20
HOUR_S = 3600.0


class Files:
    """One such folder; made, for nobody else to read, when it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settling = threading.Lock()
        """Held while octets and their row come, or go: no deletion falls between the two."""
        self.blobs, self.parts = folder / "blobs", folder / "parts"
        for each in (folder, self.blobs, self.parts):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)

    def free_bytes(self) -> int:
        """Return how much room the disk has."""
        return shutil.disk_usage(self.folder).free

    def blob(self, sha256: str) -> Path:
        """Return where a capture lies."""
        if not DIGEST.fullmatch(sha256):
            raise ValueError("not a SHA-256")
        return self.blobs / sha256[:2] / f"{sha256}.capture"

    def part(self, name: str) -> Path:
        """Return where an upload on its way in lies."""
        if not ID.fullmatch(name):
            raise ValueError("not an id")
        return self.parts / name

    def sync(self, part: Path) -> None:
        """Have the system write a complete upload to the disk for good."""
        with part.open("rb+") as file:
            os.fsync(file.fileno())

    def keep(self, part: Path, sha256: str) -> None:
        """Make a complete upload a capture."""
        target = self.blob(sha256)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        part.replace(target)
        os.utime(target)  # young: not taken for one that nobody needs
        _settle(target.parent)

    def forget(self, sha256: str) -> None:
        """Remove a capture."""
        self.blob(sha256).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what a service that was killed was just taking in; what can be taken up again stays."""
        for path in self.parts.iterdir():
            if path.suffix == ".new" or (not path.suffix and not path.with_suffix(".json").exists()):
                path.unlink(missing_ok=True)

    def strays(self, older_s: float) -> Iterator[str]:
        """Yield the SHA-256 of captures that were last given longer ago than this."""
        for path in self.blobs.glob("??/*.capture"):
            if DIGEST.fullmatch(path.stem) and _age_s(path) > older_s:
                yield path.stem


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _settle(folder: Path) -> None:
    """Make a name last through a power cut, where the system lets a folder be opened (POSIX)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
