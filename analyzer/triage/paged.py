"""What runs inside the isolated process for a report to keep: the document, and the page to show, both bounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analyzer.triage import worker

TARGET = "analyzer.triage.paged:told"
"""For :func:`analyzer.triage.isolated.isolated`."""
PAGE = "page"
"""Key of what comes with the document and is no part of it."""


def told(*paths: str, options: dict[str, Any]) -> dict[str, Any]:
    """Analyse captures together; return the report document and, under ``page``, the report as HTML."""
    from analyzer.analysis import read
    from analyzer.report import RENDERERS
    from analyzer.report.model import document
    from analyzer.triage.story import shortened

    analysis = read(*map(Path, paths), strict=False, **options)
    result = analysis.result._replace(dialogues=analysis.dialogues())
    return shortened(document(result)) | {PAGE: RENDERERS[".html"](result).decode()}


def prepare(folder: Path) -> None:
    """Load what all of this needs, by doing it once."""
    worker.prepare(folder)
    with worker.rehearsal(folder) as path:
        json.dumps(told(str(path), options={}))
