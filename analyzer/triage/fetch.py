"""Captures from elsewhere (https, s3 ...), through fsspec, to a temporary file of bounded size."""

from __future__ import annotations

import re
import time
from pathlib import Path

from analyzer.text import clean
from analyzer.triage.gather import Input

LIMIT_BYTES = 4 << 30
"""Octets taken of one address; as many as are unpacked of one archive."""
LIMIT_S = 600.0
"""For one address: a server that sends an octet a minute must not hold up the others for ever."""
STEP_BYTES = 1 << 20

_SECRETS = re.compile(r"(?<=://)[^/@]*@|[?#].*", re.DOTALL)
"""Of an address: user and password, and what signs it."""


def fetched(address: str, folder: Path) -> Input:
    """Fetch one address into a folder, which is made; whatever goes wrong is told by the input."""
    shown = clean(_SECRETS.sub("", address))
    name = re.sub(r"[^\w.() -]", "_", shown.rstrip("/").rpartition("/")[2])[-100:] or "capture"
    folder.mkdir()
    path = folder / name
    return Input(path, shown, named=True, location=shown, problem=_problem(address, path))


def _problem(address: str, path: Path) -> str | None:
    """Fetch, and say why that failed."""
    if "::" in address:
        return "an address of an address is not followed"
    try:
        import fsspec
    except ImportError:
        return "fetching needs the package fsspec: pip install 'mailscope[urls]'"
    try:
        with fsspec.open(address, "rb") as remote, path.open("wb") as file:
            return _copied(remote, file)
    except ImportError as missing:  # of one kind of address; fsspec says which
        return clean(f"fetching this needs a package more: {missing}", 200)
    except FileNotFoundError:
        return "no such file there"
    except Exception as error:  # noqa: BLE001 (whatever a driver raises; its words may hold the address, so not all of them)
        return clean(f"it could not be fetched: {type(error).__name__}", 200)


def _copied(remote: object, file: object) -> str | None:
    left, end = LIMIT_BYTES, time.monotonic() + LIMIT_S
    while octets := remote.read(STEP_BYTES):  # type: ignore[attr-defined]
        left -= len(octets)
        if left < 0:
            return f"it is longer than {LIMIT_BYTES >> 30} GiB"
        if time.monotonic() > end:
            return f"fetching took longer than {LIMIT_S:g} s"
        file.write(octets)  # type: ignore[attr-defined]
    return None
