"""What runs inside the isolated process for a store: captures read as one story, told as the report document, bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analyzer.triage.worker import prepare

__all__ = ["LONG", "MOST_ROWS", "TARGET", "prepare", "shortened", "told"]

TARGET = "analyzer.triage.story:told"
"""For :func:`analyzer.triage.isolated.isolated`."""
MOST_ROWS = 5_000
"""Sessions, and logins, in a document: with them it has some six megabytes at most."""
LONG = ("sessions", "logins")
"""Lists of the document that grow with the capture."""


def told(*paths: str, options: dict[str, Any]) -> dict[str, Any]:
    """Analyse captures together and return the report document; ``left_out`` counts rows that had no room."""
    from analyzer.analysis import read
    from analyzer.report.model import document

    return shortened(document(read(*map(Path, paths), strict=False, **options).result))


def shortened(whole: dict[str, Any]) -> dict[str, Any]:
    """Return a report document with no more rows than there is room for."""
    left_out = {name: len(whole[name]) - MOST_ROWS for name in LONG if len(whole[name]) > MOST_ROWS}
    return whole | {name: whole[name][:MOST_ROWS] for name in left_out} | ({"left_out": left_out} if left_out else {})
