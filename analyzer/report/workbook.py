"""The result as a spreadsheet: a sheet for each table, every text a text and no formula, whatever it begins with."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from analyzer.report.cells import FORMULA
from analyzer.report.model import document
from analyzer.report.result import Result

if TYPE_CHECKING:
    from openpyxl.cell import Cell
    from openpyxl.worksheet.worksheet import Worksheet

MOST_ROWS = 1_048_575
"""Rows below the head of a sheet (Excel specifications and limits)."""
MOST_CHARACTERS = 32_767
"""Characters of a cell (the same)."""
WIDEST = 60
"""Columns of characters a sheet's column is made wide at most."""
_EPOCH = datetime(1980, 1, 1, tzinfo=UTC)
"""The date in the file: the first a zip archive knows, so that the same result gives the same octets."""
_DATED = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*")


def workbook(result: Result) -> bytes:
    """Return an .xlsx file: verdict, findings, evidence, accounts, logins, sessions, captures, records of logs. Times are text, UTC.

    Raises:
        ImportError: openpyxl is not installed.
    """
    from openpyxl import Workbook

    whole = document(result)
    book = Workbook()
    book.remove(book.worksheets[0])
    sheets = {
        "verdict": [{"name": key, "value": value} for key, value in _verdict(whole)],
        "findings": [_finding(x) for x in whole["findings"]],
        "evidence": list(_evidence(whole["findings"])),
        **{name: whole[name] for name in ("accounts", "logins", "sessions")},
        "captures": [_capture(x) for x in whole["captures"]],
        "records": whole["records"],
    }
    for name, rows in sheets.items():
        _fill(book.create_sheet(name), rows)
    made = io.BytesIO()
    book.save(made)
    return _undated(made.getvalue())


def _verdict(whole: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield from whole["conclusion"].items()
    first = whole["findings"][0] if whole["findings"] else None
    if first is not None and first["cause"] == whole["conclusion"]["cause"]:
        yield from ((key, first[key]) for key in ("summary", "confidence", "start", "end", "missing"))
    yield "known", whole["known"]
    yield "tool", f"mailscope {whole['tool']['version']}"
    for name in ("sessions", "logins"):
        yield name, len(whole[name])
        if len(whole[name]) > MOST_ROWS:
            yield f"{name} left out", len(whole[name]) - MOST_ROWS


def _finding(row: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "rule",
        "cause",
        "verdict",
        "confidence",
        "severity",
        "start",
        "end",
        "title",
        "summary",
        "missing",
        "remedies",
    )
    facts = {f"fact {key}": value for key, value in row["facts"].items()}
    return {**{x: row[x] for x in names}, **row["subject"], **facts}


def _evidence(findings: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, finding in enumerate(findings, 1):
        for fact in finding["evidence"]:
            frames = [f"{x['capture']}:{x['frame']}" for x in fact["frames"]]
            yield {"finding": number, "cause": finding["cause"]} | fact | {"frames": frames}


def _capture(row: Mapping[str, Any]) -> dict[str, Any]:
    stopped = (row["stopped"] or {}).get("reason")
    plain = {key: value for key, value in row.items() if key != "quality"}
    return {**plain, **row["quality"], "stopped": stopped}


def _fill(sheet: Worksheet, rows: Sequence[Mapping[str, Any]]) -> None:
    from openpyxl.styles import Font

    columns = list(dict.fromkeys(key for row in rows[:MOST_ROWS] for key in row))
    for place, name in enumerate(columns, 1):
        _put(sheet.cell(1, place), name)
        sheet.cell(1, place).font = Font(bold=True)
    for number, row in enumerate(rows[:MOST_ROWS], 2):
        for place, name in enumerate(columns, 1):
            _put(sheet.cell(number, place), row.get(name))
    for place, name in enumerate(columns):
        longest = max([len(name), *(len(str(row.get(name) or "")) for row in rows[:100])])
        sheet.column_dimensions[_letters(place)].width = min(longest + 2, WIDEST)
    sheet.freeze_panes = "A2"


def _put(cell: Cell, value: object) -> None:
    """Write a value; a text stays a text even when somebody edits the cell (quotePrefix, ECMA-376 part 1, 18.8.45)."""
    if isinstance(value, (list, tuple)):
        value = " ".join(str(x) for x in value)
    if value is None or isinstance(value, (bool, int, float)):
        cell.value = value
        return
    text = str(value)[:MOST_CHARACTERS]
    cell.value = text
    cell.data_type = "s"
    cell.quotePrefix = text.startswith(FORMULA)


def _letters(place: int) -> str:
    from openpyxl.utils import get_column_letter

    return str(get_column_letter(place + 1))


def _undated(made: bytes) -> bytes:
    """Return the same archive without the moment it was made."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(made)) as before, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as after:
        for entry in before.infolist():
            content = before.read(entry)
            if entry.filename == "docProps/core.xml":
                content = _DATED.sub(rb"\g<1>" + _EPOCH.strftime("%Y-%m-%dT%H:%M:%SZ").encode(), content)
            after.writestr(zipfile.ZipInfo(entry.filename, _EPOCH.timetuple()[:6]), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
