"""Tables for spreadsheets: CSV whose cells no spreadsheet will run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from analyzer.report.model import finding_row
from analyzer.report.result import Result

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula (OWASP, CSV Injection)."""
FINDING_COLUMNS = (
    "cause", "verdict", "confidence", "severity", "accounts", "clients", "server", "start", "end", "title", "frames", "remedies",
)  # fmt: skip


def to_csv(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Write rows as CSV (RFC 4180) under a head line; None is empty, lists are joined by spaces."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return out.getvalue()


def findings_csv(result: Result) -> str:
    """Write one line per finding."""
    return to_csv((_finding(finding_row(x)) for x in result.findings), FINDING_COLUMNS)


def _finding(row: dict[str, object]) -> dict[str, object]:
    subject, evidence = row["subject"], row["evidence"]
    assert isinstance(subject, dict)  # noqa: S101 (tells the type checker what finding_row builds)
    assert isinstance(evidence, list)  # noqa: S101
    frames = [f"{x['capture']}:{x['frame']}" for e in evidence for x in e["frames"]]
    return row | subject | {"frames": list(dict.fromkeys(frames))}


def _cell(value: object) -> object:
    if isinstance(value, (list, tuple)):
        value = " ".join(str(x) for x in value)
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
