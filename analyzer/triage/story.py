"""What runs inside the isolated process for a store: captures read as one story, told as the report document, bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TARGET = "analyzer.triage.story:told"
"""For :func:`analyzer.triage.isolated.isolated`."""
MOST_ROWS = 5_000
"""Sessions, and logins, in a document: with them it has some six megabytes at most."""
LONG = ("sessions", "logins")
"""Lists of the document that grow with the capture."""


def told(*paths: str, options: Any = None) -> dict[str, Any]:
    """Analyse captures together and return the report document; ``left_out`` counts rows that had no room."""
    from analyzer.analysis import read
    from analyzer.report.model import document

    if options is None:
        *paths, options = paths  # type: ignore[assignment]
    whole = document(read(*map(Path, paths), strict=False, **options).result)
    left_out = {name: len(whole[name]) - MOST_ROWS for name in LONG if len(whole[name]) > MOST_ROWS}
    return whole | {name: whole[name][:MOST_ROWS] for name in left_out} | ({"left_out": left_out} if left_out else {})
