"""The answers of a triage in all dresses: a table or a page to read; JSON, JSON lines, CSV or Parquet to go on with."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analyzer import __version__
from analyzer.errors import OutputError
from analyzer.report.layout import percent
from analyzer.rules.narrate import NAMES
from analyzer.triage.baseline import STATES, Change
from analyzer.triage.batch import TriageResult
from analyzer.triage.incidents import Incident
from analyzer.triage.row import Row

SCHEMA_VERSION = 1
"""Of the triage contract; grows when a field changes its meaning."""
FORMATS = ("table", "json", "ndjson", "csv", "html", "parquet")
SUFFIXES = {
    ".txt": "table",
    ".json": "json",
    ".ndjson": "ndjson",
    ".csv": "csv",
    ".html": "html",
    ".parquet": "parquet",
}
"""Which format a file's name asks for."""
HEAD = ("VERDICT", "SURE", "CAPTURE", "SAYS")
CSV_FIELDS = ("path", "name", "sha256", "state", "reason", "cause", "verdict", "confidence", "title")
PATHS_SHOWN = 8
"""Captures named with an incident in the table; the page and JSON name them all."""


def render(result: TriageResult, style: str = "table", *, terminal: bool | None = None) -> bytes:
    """Return the whole result as octets; text is UTF-8 and ends in a line end.

    Args:
        result: What :func:`analyzer.triage.batch.triage` returned.
        style: One of ``FORMATS``.
        terminal: Colour and box drawing in the table; when None, if standard output is a terminal.

    Raises:
        ValueError: The style is not known.
        OutputError: It needs a package that is not installed.
    """
    if style not in FORMATS:
        raise ValueError(f"format {style!r} is not one of {', '.join(FORMATS)}")
    if style == "parquet":
        return _parquet(result)
    if style == "table":
        text = _table(result, terminal=sys.stdout.isatty() if terminal is None else terminal)
    else:
        dresses: dict[str, Callable[[TriageResult], str]] = {
            "json": _json,
            "ndjson": _lines,
            "csv": _csv,
            "html": _html,
        }
        text = dresses[style](result)
    return text.encode("utf-8", "replace")


def save(result: TriageResult, path: Path) -> None:
    """Write the result in the form that a file's suffix names.

    Raises:
        OutputError: There is no such form, or the file cannot be written.
    """
    from analyzer.report import write

    write(path, render(result, format_of(path), terminal=False))


def format_of(path: Path) -> str:
    """Return the format that a file's suffix names.

    Raises:
        OutputError: There is none.
    """
    style = SUFFIXES.get(path.suffix.lower())
    if style is None:
        known = " ".join(SUFFIXES)
        raise OutputError(
            f"{path.name}: no triage has the suffix {path.suffix!r}", path=path, hint=f"Use one of {known}."
        )
    return style


def entry(row: Row) -> dict[str, Any]:
    """Return a row as the contract has it."""
    return {
        "path": row.path,
        "name": row.name,
        "sha256": row.sha256,
        "state": row.state,
        "reason": row.reason,
        "conclusion": row.conclusion,
        "findings": list(row.findings),
        "id": row.id,
    }


def line(row: Row) -> str:
    """Return a row as one JSON line, for printing as rows are done."""
    return json.dumps(entry(row), ensure_ascii=True) + "\n"


def document(result: TriageResult) -> dict[str, Any]:
    """Return the whole result as the contract has it; ``changes`` only beside a baseline."""
    changes = {} if result.changes is None else {"changes": [asdict(change) for change in result.changes]}
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "mailscope", "version": __version__},
        "captures": [entry(row) for row in result.rows],
        "incidents": [asdict(incident) for incident in result.incidents],
        **changes,
    }


def _json(result: TriageResult) -> str:
    return json.dumps(document(result), indent=2, ensure_ascii=False) + "\n"


def _lines(result: TriageResult) -> str:
    return "".join(map(line, result.rows))


def _csv(result: TriageResult) -> str:
    from analyzer.report.cells import to_csv

    return to_csv(map(flat, result.rows), CSV_FIELDS)


def flat(row: Row) -> dict[str, Any]:
    """Return a row without lists in it: the fields of the CSV."""
    told = {**entry(row), **row.conclusion, "confidence": row.faults[0]["confidence"] if row.faults else None}
    return {name: told[name] for name in CSV_FIELDS}


def _html(result: TriageResult) -> str:
    from analyzer.triage.page import page

    return page(result)


def _parquet(result: TriageResult) -> bytes:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as missing:
        hint = "pip install 'mailscope[parquet]'"
        raise OutputError(
            "Parquet needs the package pyarrow, which is not installed", path="parquet", hint=hint
        ) from missing
    kinds = {name: pa.float64() if name == "confidence" else pa.string() for name in CSV_FIELDS}
    incidents = json.dumps([asdict(incident) for incident in result.incidents])
    schema = pa.schema(list(kinds.items()), metadata={"mailscope": json.dumps({"incidents": json.loads(incidents)})})
    out = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([flat(row) for row in result.rows], schema=schema), out)
    return out.getvalue()


def ranked(result: TriageResult) -> list[Row]:
    """Return the rows worth a line, worst first: claims, suspicions, what could not be read, then what is well."""
    rows = [row for row in result.rows if row.named or row.state != "not_a_capture"]
    return sorted(
        rows, key=lambda row: (row.rank, -(row.faults[0]["confidence"] or 0.0) if row.faults else 0.0, row.path)
    )


def _cells(row: Row) -> tuple[str, str, str, str]:
    if row.faults:
        first = row.faults[0]
        return first["verdict"].upper(), percent(first["confidence"]), row.path, first["title"]
    word = row.state.replace("_", " ")
    return word.upper() if row.unread else word, "", row.path, row.reason or row.conclusion["title"]


def _incident(number: int, one: Incident) -> Iterator[str]:
    who = f"  {', '.join(one.accounts)}" if one.accounts else ""
    where = f"  on {one.server}" if one.server else ""
    names = ", ".join(one.captures[:PATHS_SHOWN]) + (", ..." if len(one.captures) > PATHS_SHOWN else "")
    seen = f"  {_count(len(one.captures), 'capture')}: {names}"
    yield f"{number:3}  {one.verdict.upper()}  {words(one.cause)}{who}{where}{seen}"
    if one.joined is not None:
        yield f"     together: {_count(len(one.joined['captures']), 'capture')} read as one; alone they were {one.joined['alone']}"
    for other in one.outliers:
        total = len({*one.captures, *other.captures})
        yield f"     but {len(other.captures)} of {total}: {other.verdict} {words(other.cause)} ({', '.join(other.captures[:PATHS_SHOWN])})"


def _change(one: Change) -> str:
    who = f"  {', '.join(one.accounts)}" if one.accounts else ""
    where = f"  on {one.server}" if one.server else ""
    return f"{one.state.upper():>9}  {words(one.cause)}{who}{where}  {one.reason}"


def words(cause: str) -> str:
    """Write a cause as a person says it."""
    return NAMES.get(cause, cause.replace("_", " "))


def _foot(result: TriageResult) -> Iterator[str]:
    if result.incidents:
        yield f"\n{_count(len(result.incidents), 'incident')}\n"
        for number, one in enumerate(result.incidents, 1):
            yield from (f"{text}\n" for text in _incident(number, one))
    if result.changes is not None:
        counts = (f"{sum(one.state == state for one in result.changes)} {state}" for state in STATES)
        yield f"\nagainst the baseline: {', '.join(counts)}\n"
        yield from (f"{_change(one)}\n" for one in result.changes)
    yield f"\n{summary(result)}\n"


def summary(result: TriageResult) -> str:
    """Say how many inputs there were, and of what kind those without an answer were."""
    strange = sum(row.state == "not_a_capture" for row in result.rows)
    unread = sum(row.unread for row in result.rows)
    parts = [_count(len(result.rows), "input")]
    parts += [f"{unread} not read"] * bool(unread) + [f"{strange} no captures"] * bool(strange)
    return ", ".join(parts)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _table(result: TriageResult, *, terminal: bool) -> str:
    cells = [_cells(row) for row in ranked(result)]
    body = "" if not cells else _boxed(cells) if terminal else _aligned([HEAD, *cells])
    return body + "".join(_foot(result))


def _aligned(cells: list[tuple[str, str, str, str]]) -> str:
    widths = [max(len(row[place]) for row in cells) for place in range(3)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in cells
    )
    return "".join(f"{text.rstrip()}\n" for text in lines)


def _boxed(cells: list[tuple[str, str, str, str]]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"CONFIRMED": "bold red", "LIKELY": "red", "SUSPECTED": "yellow", "ok": "green"}
    table = Table(*HEAD)
    for row in cells:
        first = Text(row[0], style=colours.get(row[0], "magenta" if row[0].isupper() else "dim"))
        table.add_row(first, *(Text(cell, overflow="fold") for cell in row[1:]))  # Text: nothing is read as markup
    console = Console(file=io.StringIO(), force_terminal=True, force_jupyter=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
