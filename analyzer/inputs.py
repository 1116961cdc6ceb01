"""What was given, read: files, folders, archives, series and server logs to sessions and records."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.capture import SNIFF_BYTES, Capture, OwnCapture, captures, file_of, is_chaff
from analyzer.capture.content import is_text
from analyzer.capture.formats import EVENT_LOG_MAGIC
from analyzer.errors import CaptureError, PasswordNeeded, UnknownFormat
from analyzer.protocols import Event
from analyzer.sessions.converse import Conversation
from analyzer.sessions.coverage import CaptureSeen, capture_seen, unread
from analyzer.sessions.session import Session
from analyzer.streams import Connection, connections
from analyzer.text import clean

if TYPE_CHECKING:
    from analyzer.capture.instead import Instead
    from analyzer.sessions.records import Log
    from analyzer.sessions.rejoin import Joined

Watch = Callable[[str, int, int], None]
"""Told now and then how far reading is: name of the capture, octets read, octets in all."""

_NUMBERED = re.compile(r"(\D*)(\d{0,18})")


def expand(paths: Iterable[str | Path]) -> list[Path]:
    """Return the files named, in name order (2 before 10) where a pattern or a folder stands for them.

    A pattern is one that no file is called; a folder's hidden files, notes and pictures are left out.
    """
    found: list[Path] = []
    for path in paths:
        text = str(path)
        if glob.has_magic(text) and not Path(text).exists():
            found += sorted(map(Path, glob.glob(text, recursive=True)), key=_in_name_order) or [Path(text)]  # noqa: PTH207
        elif Path(text).is_dir():
            found += sorted(_likely(Path(text)), key=_in_name_order) or [Path(text)]
        else:
            found.append(Path(text))
    return found


def _likely(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that are not plainly something else than captures."""
    for path in folder.iterdir():
        if path.is_file():
            with path.open("rb") as file:
                if not is_chaff(path.name, file.read(SNIFF_BYTES)):
                    yield path


def _in_name_order(path: Path) -> list[tuple[int, str]]:
    """Return what sorts names as people do, with numbers by size."""
    return [(int(digits or 0), text) for text, digits in _NUMBERED.findall(str(path))]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    import hashlib

    with file_of(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_file(
    path: Path,
    ports: frozenset[int],
    engine: str,
    keys: bytes,
    followed: set[bytes],
    *,
    hashed: bool,
    watch: Watch | None = None,
) -> Iterator[tuple[CaptureSeen, list[Session]]]:
    """Read every capture of a file: itself, or the members of an archive."""
    digest: str | None = None
    for capture in captures(path, ports=ports, engine=engine, followed=followed, hashed=hashed):
        if isinstance(capture, CaptureError):
            yield unreadable(path, capture), []
        else:
            if watch is not None and isinstance(capture, OwnCapture):
                capture.watch(watch)
            sessions = sessions_in(capture, ports, None, path, keys)
            found = None if sessions else _instead(path)
            if hashed and capture.facts.sha256 is None:
                digest = digest or sha256(path)
            yield capture_seen(capture.name, capture.facts.sha256 or digest, capture.facts, sessions, found), sessions


def _instead(path: Path) -> Instead | None:
    from analyzer.capture.instead import instead

    return instead(file_of(path))


def sessions_in(
    capture: Capture, ports: frozenset[int], tap: dict[str, list[Event]] | None, path: Path, keys: bytes
) -> list[Session]:
    """Return the sessions of a capture in order of first frame; ``tap`` takes the events of the connections it names.

    ``path`` is the file to give to tshark when there are ``keys``, or keys in the capture itself.
    """
    sessions: list[Session] = []
    sealed: list[Conversation] = []

    def wait(conversation: Conversation) -> bool:
        secret = bool(keys or capture.facts.secrets)
        if secret:
            sealed.append(conversation)
        return secret

    def listen(connection: Connection) -> Conversation:
        events = None if tap is None else tap.get(connection.uid)
        return Conversation(capture.name, connection, sessions.append, events, wait)

    for _ in connections(capture.windows(), listen, ports=ports):
        pass
    if sealed:
        from analyzer.sessions.unseal import unseal

        unseal(capture, path, sealed, keys)
    elif keys:
        capture.facts.warnings.append("the key log was not needed: no TLS session is in the capture")
    sessions.sort(key=lambda s: (s.first_frame, s.uid))
    return sessions


def unreadable(path: Path, error: CaptureError) -> CaptureSeen:
    """Describe a file, or a member of an archive, that could not be read."""
    before, _, member = str(error.path).partition(str(path))
    inside = member * (not before)
    name = clean((path.name or str(path)) + inside)  # with the member, if it was one
    try:
        empty = path.stat().st_size == 0
        digest = error.sha256 if inside else sha256(path)
    except OSError:
        return unread(name, "error", str(error), hint=error.hint)
    return unread(name, "empty" if empty else _state(error), str(error), digest, error.hint)


def _state(error: CaptureError) -> str:
    if isinstance(error, PasswordNeeded):
        return "password_needed"
    return "not_a_capture" if isinstance(error, UnknownFormat) else "error"


def is_server_log(path: Path) -> bool:
    """Tell whether a file is a server's log, by its content; only what looks like one costs more than a glance."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(SNIFF_BYTES)
    except (OSError, ValueError):
        return False
    if not start.startswith(EVENT_LOG_MAGIC) and not (start and is_text(start)):
        return False
    from analyzer.sessions.records import is_log

    return is_log(path)


def server_log(path: Path) -> Log:
    """Read a server's log."""
    from analyzer.sessions.records import read_log

    return read_log(path)


def keys_of(keylogs: Iterable[str | Path]) -> bytes:
    """Return the lines of key logs, when there are any; what will use them must be installed."""
    paths = [Path(x) for x in keylogs]
    if not paths:
        return b""
    from analyzer.capture.decrypted import keys_in, tshark_for

    keys = b"".join(keys_in(path) for path in paths)
    tshark_for(paths[0])
    return keys


def joined_series(
    seen: Sequence[CaptureSeen],
    sessions: Sequence[Session],
    sources: Mapping[str, Path],
    ports: frozenset[int],
    engine: str,
) -> Iterator[Joined]:
    """Read captures that continue one another again, each series as one."""
    from analyzer.sessions.series import runs

    order = [x.name for x in seen]
    for run in runs(seen, sessions):
        from analyzer.sessions.rejoin import join

        if all(sources[a] != sources[b] or order.index(a) < order.index(b) for a, b in pairwise(run.names)):
            parts = opened([(sources[name], name) for name in run.names], ports, engine)
            joined = join(run, parts, lambda capture: sessions_in(capture, ports, None, Path(capture.name), b""), seen)
            if joined.adds_up(s for s in sessions if s.capture in run.names):
                yield joined


def opened(parts: Iterable[tuple[Path, str]], ports: frozenset[int], engine: str) -> Iterator[Capture]:
    """Open captures one after the other; those of one archive stand in its order."""
    followed: set[bytes] = set()
    for path, group in groupby(parts, key=lambda part: part[0]):
        names = {name for _, name in group}
        for capture in captures(path, ports=ports, engine=engine, followed=followed):
            if not isinstance(capture, CaptureError) and capture.name in names:
                yield capture
