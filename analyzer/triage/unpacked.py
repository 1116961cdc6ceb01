"""The captures of an archive as files, unpacked in a limited process: an archive is as hostile as what is in it.

Whatever goes wrong, no member is told: the archive is then analysed as a whole, in a process of its own, which says why.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.text import clean
from analyzer.triage.sealed import seal
from analyzer.triage.worker import limit

if TYPE_CHECKING:
    from analyzer.capture.content import Content

TIMEOUT_S = 300.0
"""Four gigabytes, the most that is unpacked, take a minute."""
MEMORY_MB = 1024
"""Members of up to 64 MiB are unpacked in memory, an xz may take 256 MiB more."""
SCRATCH_MB = 4096
"""The longest file written; as much as is unpacked of one archive."""
LONGEST_NAME = 100
"""Characters of a member's name that its file keeps."""
STREAMS = ("gzip", "xz", "bzip2")
"""Packings that are looked into for a tar."""

_START = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from analyzer.triage.unpacked import main; main(*sys.argv[2:])"


@dataclass(frozen=True, slots=True)
class Member:
    """One capture of an archive, or what stands for one and cannot be read."""

    path: Path
    """Where it was unpacked to."""
    name: str
    """Its path in the archive, cleaned."""
    problem: str | None = None
    """Why it cannot be read."""
    state: str = "error"
    """Of its row, when there is a problem."""


def is_archive(path: Path) -> bool:
    """Tell by its first octets whether a file may hold several captures."""
    from analyzer.capture.archives import ARCHIVES
    from analyzer.capture.content import SNIFF_BYTES, packing
    from analyzer.capture.spool import DAMAGES

    try:
        with path.open("rb") as file:
            kind = packing(file.read(SNIFF_BYTES))
        return kind in ARCHIVES or (kind in STREAMS and packing(_inside(path, str(kind))) in ARCHIVES)
    except DAMAGES:
        return False


def _inside(path: Path, kind: str) -> bytes:
    """Return the first octets of what is packed."""
    import bz2
    import gzip
    import lzma

    from analyzer.capture.content import SNIFF_BYTES

    opener: Any = {"gzip": gzip.open, "xz": lzma.open, "bzip2": bz2.open}[kind]
    with opener(path) as packed:
        return bytes(packed.read(SNIFF_BYTES))


def members(path: Path, folder: Path) -> list[Member]:
    """Unpack an archive into a folder, which is made; return its captures in its order, none when that fails."""
    folder.mkdir()
    package = str(Path(__file__).resolve().parents[2])
    known = [package, *(entry for entry in sys.path if Path(entry).is_absolute())]
    told = None
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        done = subprocess.run(  # noqa: S603 (this interpreter, no shell)
            [sys.executable, "-I", "-c", _START, json.dumps(known), str(path.absolute()), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=True,
        )
        told = json.loads(done.stdout)
    return [
        Member(folder / one["file"], clean(one["name"]), one["problem"] and clean(one["problem"]), one["state"])
        for one in told or ()
    ]


# -- inside


def main(path: str, folder: str) -> None:
    """Unpack, and say on standard output what came of it."""
    limit(MEMORY_MB, int(TIMEOUT_S), SCRATCH_MB, Path(path).stat().st_size)
    seal(programs=False)
    sys.stdout.write(json.dumps(list(_unpacked(Path(path), Path(folder)))))


def _unpacked(path: Path, folder: Path) -> Iterator[dict[str, Any]]:
    from analyzer.capture import SNIFF_BYTES, is_chaff
    from analyzer.capture.content import contents
    from analyzer.errors import CaptureError, PasswordNeeded

    for number, content in enumerate(contents(path)):
        if isinstance(content, CaptureError):
            state = "password_needed" if isinstance(content, PasswordNeeded) else "error"
            name = str(content.path).partition("!/")[2] or "?"
            yield {"file": ".", "name": name, "problem": str(content), "state": state}
        elif _is_capture(content) or not is_chaff(content.name, content.data[:SNIFF_BYTES]):
            place = folder / str(number)
            place.mkdir()
            last = content.name.rpartition("/")[2]
            file = place / (re.sub(r"[^\w.() -]", "_", last)[-LONGEST_NAME:].lstrip(".") or "capture")
            with file.open("wb") as plain:
                plain.write(content.data)
            told = content.damage if not len(content.data) else None
            yield {"file": f"{number}/{file.name}", "name": content.name, "problem": told, "state": "error"}


def _is_capture(content: Content) -> bool:
    """Tell whether a member looks like a capture, whatever it is called."""
    from analyzer.capture import MAIL_PORTS, SNIFF_BYTES
    from analyzer.capture.content import is_text
    from analyzer.capture.etl import is_etl
    from analyzer.capture.formats import by_magic
    from analyzer.capture.summary import packet_list

    start = content.data[:SNIFF_BYTES]
    if is_text(start):
        return packet_list(content.name, content.data, MAIL_PORTS) is not None
    return by_magic(start) is not None or is_etl(start)
