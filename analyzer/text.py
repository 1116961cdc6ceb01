"""Hostile text made safe to show, once, at the edge of the model.

Whatever came out of a capture (server texts, account names, file names) passes ``clean`` before it is kept. Each output
still escapes for its own language (terminal markup, HTML, Markdown, CSV): this only removes what no output may carry.
"""

from __future__ import annotations

import unicodedata

TEXT_LIMIT = 400
"""Characters kept of one text; the longest server phrase known to the signatures is 130."""

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # control, bidi and other format, surrogate, private, line breaks


def clean(text: str, limit: int = TEXT_LIMIT) -> str:
    """Replace every control, bidi and format character by U+FFFD and cut to ``limit`` characters."""
    if not text.isprintable():
        text = "".join(
            "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _UNSAFE else c for c in text[: limit + 1]
        )
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def decoded(octets: bytes, limit: int = TEXT_LIMIT) -> str:
    """Decode octets of a protocol line (UTF-8, else Latin-1) and clean them."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        text = octets.decode("latin-1")
    return clean(text, limit)
