"""The front door: 'mailscope FILE...' and 'report', plainly asked for, without loading what parses options.

That costs more than reading a small capture. Whatever is not plain, and whatever goes wrong, is the whole command
line's business (``cli``), which starts over.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from analyzer.inputs import Watch
    from analyzer.report.result import Result

NAME_SHOWN = 50
"""Characters of a file's name shown while it is read."""
YOUNG_OBJECTS = 100_000
"""Objects made between two looks of the garbage collector: a run makes records that all stay, and few cycles."""


class Asked(NamedTuple):
    """A plain question."""

    captures: list[Path]
    style: str
    """text or json."""
    exit_zero: bool


def run() -> None:
    """Run the command as a program: after a plain answer the process ends at once.

    Taking a million records apart, one by one, costs a tenth of the run; nothing plain leaves anything to be put in order.
    """
    main(leave=_gone)


def main(argv: Sequence[str] | None = None, *, leave: Callable[[int], object] = sys.exit) -> None:
    """Run the command and end it with its exit status; ``leave`` ends it after a plain answer."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy would start threads at once that nothing here uses
    gc.set_threshold(YOUNG_OBJECTS, 50, 1000)
    given = list(sys.argv[1:] if argv is None else argv)
    asked = plain(given)
    status = None if asked is None else _answered(asked)
    if status is not None:
        leave(status)
        return
    from analyzer.cli import main as whole

    whole(given)


def plain(words: Sequence[str]) -> Asked | None:
    """Return what is asked for when it is plain: existing files, '--format text' or 'json', '--exit-zero'."""
    captures, style, exit_zero = [], "text", False
    rest = iter(words[1:] if words[:1] == ["report"] else words)
    for word in rest:
        if word == "--format":
            style = next(rest, "")
        elif word == "--exit-zero":
            exit_zero = True
        elif word.startswith("-") or not {".", "/", os.sep} & set(word) or not Path(word).is_file():
            return None  # a verb has neither dot nor slash in its name
        else:
            captures.append(Path(word))
    return Asked(captures, style, exit_zero) if captures and style in {"text", "json"} else None


def _answered(asked: Asked) -> int | None:
    """Answer and return the exit status; None, with nothing printed, where the whole command line must look."""
    gc.disable()  # one answer, then the end: what is read makes no cycles, and looking for some costs a quarter of the run
    with suppress(Exception):
        from analyzer.analysis import read

        with progress() as watch:
            result = read(*asked.captures, strict=False, hashed=asked.style == "json", watch=watch).result
        if not any(seen.unread for seen in result.captures):
            screen = _screen(result, asked.style)
            write(screen)
            return 0 if asked.exit_zero else result.exit_status
    gc.enable()
    return None


def _gone(status: int) -> NoReturn:
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(status)  # the answer has been written


@contextmanager
def progress() -> Iterator[Watch | None]:
    """Show how far reading a large capture is, on standard error and only on a terminal; wipe that out at the end."""
    shown = ""

    def tell(name: str, read: int, total: int) -> None:
        nonlocal shown
        text = f"reading {name[:NAME_SHOWN]}  {100 * read // total} %"
        if text != shown:
            shown = text
            sys.stderr.write(f"\r{text}\x1b[K")
            sys.stderr.flush()

    if not sys.stderr.isatty():
        yield None
        return
    try:
        yield tell
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")


def _screen(result: Result, style: str) -> bytes:
    """Return the answer as octets."""
    from analyzer.report import RENDERERS

    if style == "text" and sys.stdout.isatty():
        from analyzer.report.terminal import console_for, show

        console = console_for()
        with console.capture() as shown:
            show(result, console)
        return shown.get().encode("utf-8", "replace")
    return RENDERERS[".txt" if style == "text" else f".{style}"](result)


def write(octets: bytes) -> None:
    """Write UTF-8 to standard output, whatever the locale says."""
    stream = getattr(sys.stdout, "buffer", None)
    try:
        if stream is None:  # a replaced standard output that takes text only
            sys.stdout.write(octets.decode())
            return
        sys.stdout.flush()
        stream.write(octets)
        stream.flush()
    except BrokenPipeError:  # the reader has gone: nothing is left to say, not at the exit either, and that is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
