"""What was asked for, as inputs: files, folders, patterns, addresses, and each capture of an archive that holds several.

Nothing is dropped: what cannot be opened is an input that says why. Nothing is judged here either; what a file is, its
own isolated run will tell.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.text import clean

ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]{1,20}://")
"""What an address begins with; a drive letter of Windows is shorter."""
INSIDE = "!/"
"""Between an archive and its member."""


@dataclass(frozen=True, slots=True)
class Input:
    """One capture to look at, or a path that cannot be."""

    path: Path
    """The file to read; of an archive's member or an address, a temporary one."""
    shown: str
    """Relative to what was asked for, cleaned."""
    named: bool
    """Asked for by name, not found in a folder."""
    location: str = ""
    """Where it really lies: the same the next time."""
    problem: str | None = None
    """Why it cannot even be opened."""
    state: str = "error"
    """Of its row when there is a problem."""

    @property
    def name(self) -> str:
        """Last part of what is shown."""
        return self.shown.replace(INSIDE, "/").rpartition("/")[2] or self.shown


def gather(paths: Iterable[Path | str], folder: Path) -> Iterator[Input]:
    """Yield what is asked for, in order; ``folder`` takes what has to be fetched or unpacked, and must be empty."""
    for number, path in enumerate(paths):
        for place, one in enumerate(_found(path, folder / f"{number}")):
            yield from _members(one, folder / f"{number}-{place}")


def found(path: Path | str) -> Iterator[Input]:
    """Yield a path itself, every regular file of a folder, or what a pattern matches, sorted."""
    text = str(path)
    whole = Path(path)
    if _is(Path.is_dir, whole):
        yield from _walked(whole)
    elif glob.has_magic(text) and not _is(Path.exists, whole):
        yield from _matched(text)
    else:
        yield _file(whole, whole.name or text, named=True)


def _found(path: Path | str, folder: Path) -> Iterator[Input]:
    if isinstance(path, str) and ADDRESS.match(path):
        from analyzer.triage.fetch import fetched

        yield fetched(path, folder)
    else:
        yield from found(path)


def _is(what: Callable[[Path], bool], path: Path) -> bool:
    try:
        return what(path)
    except (OSError, ValueError):  # a name no system has
        return False


def _file(path: Path, shown: str, *, named: bool) -> Input:
    there = "not a regular file" if _is(Path.exists, path) else "no such file"
    return Input(path, clean(shown), named, location_of(path), None if _is(Path.is_file, path) else there)


def location_of(path: Path) -> str:
    """Return where a file lies, in letters any database takes, whatever octets its name has."""
    return os.fsencode(os.path.abspath(path)).decode("utf-8", "backslashreplace")  # noqa: PTH100 (links stay links)


def _matched(pattern: str) -> Iterator[Input]:
    """Yield what a pattern matches: folders are walked; what it matches is not asked for by name."""
    hits = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (with folders and hidden files as a shell has it)
    start = os.path.dirname(pattern[: re.search(r"[*?\[]", pattern).start()])  # type: ignore[union-attr]  # noqa: PTH120
    if not hits:
        yield Input(
            Path(pattern), clean(pattern), named=True, location=location_of(Path(pattern)), problem="nothing matches"
        )
    for hit in hits:
        path = Path(hit)
        if not path.is_dir():
            yield _file(path, Path(os.path.relpath(hit, start or ".")).as_posix(), named=False)
        elif "**" not in pattern:  # which would name what is in it as well
            yield from (replace(one, shown=f"{clean(path.name)}/{one.shown}") for one in _walked(path))


def _walked(folder: Path) -> Iterator[Input]:
    refused: list[OSError] = []
    for here, folders, names in os.walk(folder, onerror=refused.append):  # links to folders are not followed: no loops
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if not name.startswith(".") and path.is_file():
                yield _file(path, path.relative_to(folder).as_posix(), named=False)
    for error in refused:
        path = Path(error.filename)
        shown = clean(path.relative_to(folder).as_posix())
        yield Input(path, shown, True, location_of(path), f"folder could not be listed: {error.strerror}")


def _members(one: Input, folder: Path) -> Iterator[Input]:
    """Yield the captures of an archive that holds several, else the input itself."""
    from analyzer.triage.unpacked import is_archive, members

    inside = members(one.path, folder) if one.problem is None and is_archive(one.path) else []
    if len(inside) < 2:
        yield one
        return
    for member in inside:
        yield Input(
            member.path,
            f"{one.shown}{INSIDE}{member.name}",
            named=False,
            location=f"{one.location}{INSIDE}{member.name}",
            problem=member.problem,
            state=member.state,
        )
