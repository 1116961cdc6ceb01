"""Any picture or text of a result: the suffix of a file picks the function.

``RENDERERS[".json"](result)`` returns octets; what a renderer needs is imported only when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from analyzer.errors import OutputError
from analyzer.report.result import Result

Say = Callable[[str], str]
"""Puts a sentence into the reader's language."""


def _json(result: Result) -> bytes:
    from analyzer.report.model import to_json

    return to_json(result)


def text(result: Result, say: Say = str) -> bytes:
    """Return the screen as UTF-8 text in the reader's language."""
    from analyzer.report.terminal import screen

    return screen(result, say=say).encode("utf-8", "replace")


def _csv(result: Result) -> bytes:
    from analyzer.report.cells import findings_csv

    return findings_csv(result).encode("utf-8", "replace")


def _png(result: Result, say: Say = str) -> bytes:
    from analyzer.report.charts import connections

    return connections(result, say=say).render("png")


def _svg(result: Result, say: Say = str) -> bytes:
    from analyzer.report.charts import connections

    return connections(result, say=say).render("svg")


def _html(result: Result, say: Say = str) -> bytes:
    from analyzer.report.html import page

    return page(result, say).encode("utf-8", "replace")


def _md(result: Result, say: Say = str) -> bytes:
    from analyzer.report.markdown import markdown

    return markdown(result, say).encode("utf-8", "replace")


def _xlsx(result: Result) -> bytes:
    from analyzer.report.workbook import workbook

    return workbook(result)


def _parquet(result: Result) -> bytes:
    from analyzer.report.parquet import parquet

    return parquet(result)


RENDERERS: Mapping[str, Callable[[Result], bytes]] = {
    ".html": _html,
    ".md": _md,
    ".json": _json,
    ".txt": text,
    ".csv": _csv,
    ".xlsx": _xlsx,
    ".parquet": _parquet,
    ".png": _png,
    ".svg": _svg,
}
SPOKEN: Mapping[str, Callable[[Result, Say], bytes]] = {
    ".html": _html, ".md": _md, ".txt": text, ".png": _png, ".svg": _svg,
}  # fmt: skip
"""Those whose sentences can be put into another language."""
HASHED = frozenset({".html", ".md", ".json", ".xlsx", ".parquet"})
"""Suffixes of forms that name the SHA-256 of each capture."""
WITH_DIALOGUES = frozenset({".html"})
"""Suffixes of forms that show what was said in the sessions that decide."""
EXTRAS = {"openpyxl": "xlsx", "pyarrow": "parquet"}
"""Packages that come with an extra of the project."""


def save(result: Result, path: Path, say: Say = str) -> None:
    """Write a result in the form its suffix names; ``say`` puts the sentences of a text into the reader's language.

    Raises:
        OutputError: the suffix is unknown, its form needs a package that is not installed, or the file cannot be written.
    """
    renderer = RENDERERS.get(path.suffix.lower())
    if renderer is None:
        known = " ".join(RENDERERS)
        raise OutputError(
            f"{path.name}: no report has the suffix {path.suffix!r}", path=path, hint=f"Use one of {known}."
        )
    spoken = SPOKEN.get(path.suffix.lower())
    try:
        octets = spoken(result, say) if spoken else renderer(result)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        raise OutputError(
            f"{path.name}: a {path.suffix} file needs the package {error.name}, which is not installed",
            path=path,
            hint=f"pip install 'mailscope[{EXTRAS[error.name]}]'",
        ) from error
    write(path, octets)


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
