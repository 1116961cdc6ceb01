"""Any picture or text of a result: the suffix of a file picks the function.

``RENDERERS[".json"](result)`` returns octets; what a renderer needs is imported only when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from analyzer.errors import OutputError
from analyzer.report.result import Result


def _json(result: Result) -> bytes:
    from analyzer.report.model import to_json

    return to_json(result)


def _text(result: Result) -> bytes:
    from analyzer.report.terminal import screen

    return screen(result).encode("utf-8", "replace")


def text(result: Result, say: Callable[[str], str]) -> bytes:
    """Return the screen as UTF-8 text in the reader's language."""
    from analyzer.report.terminal import screen

    return screen(result, say=say).encode("utf-8", "replace")


def _csv(result: Result) -> bytes:
    from analyzer.report.cells import findings_csv

    return findings_csv(result).encode("utf-8", "replace")


def _png(result: Result) -> bytes:
    from analyzer.report.charts import connections

    return connections(result).render("png")


def _svg(result: Result) -> bytes:
    from analyzer.report.charts import connections

    return connections(result).render("svg")


RENDERERS: Mapping[str, Callable[[Result], bytes]] = {
    ".json": _json,
    ".txt": _text,
    ".csv": _csv,
    ".png": _png,
    ".svg": _svg,
}


def save(result: Result, path: Path, say: Callable[[str], str] = str) -> None:
    """Write a result in the form its suffix names; ``say`` puts the sentences of a text into the reader's language.

    Raises:
        OutputError: the suffix is unknown, or the file cannot be written.
    """
    renderer = RENDERERS.get(path.suffix.lower())
    if renderer is None:
        known = " ".join(RENDERERS)
        raise OutputError(
            f"{path.name}: no report has the suffix {path.suffix!r}", path=path, hint=f"Use one of {known}."
        )
    write(path, renderer(result) if say is str or path.suffix.lower() != ".txt" else text(result, say))


def write(path: Path, octets: bytes) -> None:
    """Write a file.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.write_bytes(octets)
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputError(
            f"{path} cannot be written: {why}", path=path, hint="Name another file or folder with -o."
        ) from error
