"""The answers of a triage as a table to read, or as JSON, JSON lines or CSV to process."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from analyzer import __version__
from analyzer.report.layout import percent
from analyzer.triage.batch import Row, TriageResult
from analyzer.triage.incidents import RANK, Incident

SCHEMA_VERSION = 1
"""Of the triage contract; grows when a field changes its meaning."""
FORMATS = ("table", "json", "ndjson", "csv")
HEAD = ("VERDICT", "SURE", "CAPTURE", "SAYS")
CSV_FIELDS = ("path", "name", "sha256", "state", "reason", "cause", "verdict", "confidence", "title")


def render(result: TriageResult, style: str = "table", *, terminal: bool | None = None) -> str:
    """Return the whole result as text, ending in a line end.

    Args:
        result: What :func:`analyzer.triage.batch.triage` returned.
        style: One of ``FORMATS``.
        terminal: Colour and box drawing in the table; when None, if standard output is a terminal.

    Raises:
        ValueError: The style is not known.
    """
    if style not in FORMATS:
        raise ValueError(f"format {style!r} is not one of {', '.join(FORMATS)}")
    if style == "table":
        return _table(result, terminal=sys.stdout.isatty() if terminal is None else terminal)
    dresses: dict[str, Callable[[TriageResult], str]] = {"json": _json, "ndjson": _lines, "csv": _csv}
    return dresses[style](result)


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
    }


def line(row: Row) -> str:
    """Return a row as one JSON line, for printing as rows are done."""
    return json.dumps(entry(row), ensure_ascii=True) + "\n"


def document(result: TriageResult) -> dict[str, Any]:
    """Return the whole result as the contract has it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "mailscope", "version": __version__},
        "captures": [entry(row) for row in result.rows],
        "incidents": [asdict(incident) for incident in result.incidents],
    }


def _json(result: TriageResult) -> str:
    return json.dumps(document(result), indent=2, ensure_ascii=False) + "\n"


def _lines(result: TriageResult) -> str:
    return "".join(map(line, result.rows))


def _csv(result: TriageResult) -> str:
    from analyzer.report.cells import to_csv

    rows = ({**entry(row), **row.conclusion, "confidence": _confidence(row)} for row in result.rows)
    return to_csv(rows, CSV_FIELDS)


def _confidence(row: Row) -> float | None:
    return row.faults[0]["confidence"] if row.faults else None


def _rank(row: Row) -> tuple[int, float, str]:
    """Worst first: claims, suspicions, what could not be read, then what is well or not mail."""
    if row.faults:
        return RANK[row.faults[0]["verdict"]], -row.faults[0]["confidence"], row.path
    return len(RANK) + (not row.unread), 0.0, row.path


def _cells(row: Row) -> tuple[str, str, str, str]:
    if row.faults:
        first = row.faults[0]
        return first["verdict"].upper(), percent(first["confidence"]), row.path, first["title"]
    word = row.state.replace("_", " ")
    return word.upper() if row.unread else word, "", row.path, row.reason or row.conclusion["title"]


def _shown(result: TriageResult) -> list[tuple[str, str, str, str]]:
    rows = [row for row in result.rows if row.named or row.state != "not_a_capture"]
    return [_cells(row) for row in sorted(rows, key=_rank)]


def _incident(number: int, one: Incident) -> str:
    who = f"  {', '.join(one.accounts)}" if one.accounts else ""
    where = f"  on {one.server}" if one.server else ""
    seen = f"  {_count(len(one.captures), 'capture')}: {', '.join(one.captures)}"
    return f"{number:3}  {one.verdict.upper()}  {one.cause.replace('_', ' ')}{who}{where}{seen}"


def _foot(result: TriageResult) -> Iterator[str]:
    if result.incidents:
        yield f"\n{_count(len(result.incidents), 'incident')}\n"
        yield from (f"{_incident(number, one)}\n" for number, one in enumerate(result.incidents, 1))
    strange = sum(row.state == "not_a_capture" for row in result.rows)
    unread = sum(row.unread for row in result.rows)
    parts = [_count(len(result.rows), "input")]
    parts += [f"{unread} not read"] * bool(unread) + [f"{strange} no captures"] * bool(strange)
    yield f"\n{', '.join(parts)}\n"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _table(result: TriageResult, *, terminal: bool) -> str:
    cells = _shown(result)
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
