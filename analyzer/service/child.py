"""What runs inside the isolated process for the service: the whole report as data, and as the page to show.

Run by :mod:`analyzer.triage.isolated` only; nothing else of the service is loaded there.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.triage.paged import PAGE

if TYPE_CHECKING:
    from analyzer.report.result import Result

ANALYSED, PROVEN = "analyzer.service.child:analysed", "analyzer.service.child:proven"
OCTETS = "octets"
"""Key of what comes with the document and is no part of it."""
_OWN_NAME = 32
"""Characters from which a name is no word of a language: looked for inside sentences, too."""


def analysed(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Analyse a capture that its sender called ``options["name"]``."""
    from analyzer.analysis import read
    from analyzer.report.model import document
    from analyzer.triage.story import shortened

    analysis = read(Path(path), strict=False, engine=options["engine"])
    result = renamed(analysis.result._replace(dialogues=analysis.dialogues()), Path(path).name, options["name"])
    return shortened(document(result)) | {PAGE: _page(result)}


def proven(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the frames that prove the findings, as a pcapng in base64."""
    from analyzer.analysis import read

    octets = read(Path(path), strict=False, engine=options["engine"]).evidence()
    return {"captures": [], "records": [1], OCTETS: base64.b64encode(octets).decode()}


def prepare(folder: Path) -> None:
    """Load what all of this needs, by doing it once; ``folder`` takes a capture for that long."""
    from analyzer.triage import worker

    worker.prepare(folder)
    with worker.rehearsal(folder) as path:
        json.dumps(analysed(str(path), {"name": "rehearsal", "engine": "native"}))


def _page(result: Result) -> str | None:
    """Return the report; what cannot be drawn must not cost the verdict."""
    from analyzer.report.html import page

    try:
        return page(result)
    except Exception:  # noqa: BLE001 (a fault of ours; the answer is there without it)
        return None


def renamed(value: Any, old: str, new: str) -> Any:
    """Return records with a capture called otherwise, wherever its name stands, also that of an archive's member."""
    if isinstance(value, str):
        return _name(value, old, new)
    if isinstance(value, tuple):
        parts = [renamed(part, old, new) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [renamed(part, old, new) for part in value]
    if isinstance(value, dict):
        return {key: renamed(part, old, new) for key, part in value.items()}
    return value


def _name(text: str, old: str, new: str) -> str:
    if type(text) is not str:  # a word of an enumeration
        return text
    if text == old or text.startswith(f"{old}!/"):
        return new + text[len(old) :]
    return text.replace(old, new) if len(old) >= _OWN_NAME else text
