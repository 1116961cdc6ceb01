"""Whether an upload may be a capture at all: its first octets decide, before anything of it is kept."""

from __future__ import annotations

import re
from pathlib import Path

from analyzer.capture.content import SNIFF_BYTES, UTF16, is_text, packing
from analyzer.capture.formats import EVENT_LOG_MAGIC, by_magic, recognise
from analyzer.errors import AnalyzerError

__all__ = ["SNIFF_BYTES", "refusal"]

_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<|#!|%!|\{\\rtf)")
"""Pages, scripts, PostScript and letters are text, and hold no packets."""
_EVENTS = re.compile(rb"<Events?\b")
"""Exported Windows events begin like a page."""


def refusal(start: bytes) -> str | None:
    """Return why a file that begins so is not taken; None when it is."""
    from analyzer.capture.erf import is_erf
    from analyzer.capture.etl import is_etl

    if not start:
        return "the file is empty"
    known = packing(start) or by_magic(start) or start.startswith(EVENT_LOG_MAGIC) or is_etl(start) or is_erf(start)
    if known:
        return None
    if is_text(start):
        return "a page or a script, not a capture" if _is_markup(start) else None
    try:
        recognise(start, Path("upload"))
    except AnalyzerError as error:
        return str(error)
    return None


def _is_markup(start: bytes) -> bool:
    text = start.replace(b"\0", b"")[2:] if start.startswith(UTF16) else start
    return bool(_MARKUP.match(text)) and not _EVENTS.search(text)
