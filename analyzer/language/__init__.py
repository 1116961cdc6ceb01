"""Sentences in the reader's language: English is the key, the catalogues beside this file hold the rest.

    say = speaker("es")
    say("quality")                                    -> "calidad"
    say("account ana on 192.0.2.1: 3 logins refused") -> by the templates of its parts

A key of the report with ``{holes}`` is a template: the sentence it fits gives the words for the holes of its translation. A hole of one
letter takes a number, one called ``text...`` any words, ``clause...`` words without a semicolon, ``say_...`` words that are translated
in turn, ``whole_...`` such words that are never taken apart (they may be a server's), ``named_...`` such words without a semicolon,
``list_...`` such words separated by commas, any other one word. A remedy's ``{holes}`` are filled in later and stand for themselves.
What no key fits stays English: no sentence is ever lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from analyzer.errors import AnalyzerError

LANGUAGES = ("en", "es")
"""Languages there are; English needs no catalogue."""
FOLDER = Path(__file__).parent
LONGEST = 1000
"""Characters of the longest sentence that is looked at; our own are below 700."""
DEEPEST = 6
"""Parts within parts: our own titles have three; a server's words may look like many."""
_HOLE = re.compile(r"\{(\w+)\}")
_END = re.compile(r"(?<=[.!?]) (?=\S)")
_FORMS = {
    "n": r"[+-]?[\d,.]*\d",
    "text": r".+?",
    "say": r".+?",
    "whole": r".+?",
    "list": r".+?",
    "clause": r"[^;]+?",
    "named": r"[^;]+?",
}

Say = Callable[[str], str]


def speaker(language: str) -> Say:
    """Return the function that puts an English sentence into a language.

    Raises:
        AnalyzerError: the language is none of :data:`LANGUAGES`.
    """
    if language not in LANGUAGES:
        raise AnalyzerError(f"no language {language!r:.40}", hint=f"the languages are {', '.join(LANGUAGES)}")
    return str if language == "en" else _spanish


def catalogue(language: str) -> Mapping[str, str]:
    """Return all keys of a language with their translations."""
    return _catalogue(language)[0]


@cache
def _catalogue(language: str) -> tuple[Mapping[str, str], tuple[tuple[re.Pattern[str], str], ...]]:
    import tomllib

    files = {path.stem: tomllib.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob(f"{language}_*.toml"))}
    texts = {key: str(value) for file in files.values() for key, value in file.items()}
    said = [x for name, file in files.items() if name != f"{language}_remedies" for x in file.items()]
    return texts, tuple((_pattern(key), str(value)) for key, value in said if _HOLE.search(key))


def _pattern(key: str) -> re.Pattern[str]:
    parts = _HOLE.split(key)
    made = [re.escape(x) if place % 2 == 0 else f"(?P<{x}>{_form(x)})" for place, x in enumerate(parts)]
    return re.compile("".join(made))


def _form(hole: str) -> str:
    return _FORMS["n"] if len(hole) == 1 else _FORMS.get(hole.partition("_")[0], r"\S+?")


def _spanish(text: str) -> str:
    return _in_spanish(text, 0)


@lru_cache(maxsize=4096)
def _in_spanish(text: str, depth: int) -> str:
    told = _fitted(text, depth)
    return _in_parts(text, depth + 1) if told is None else told


def _fitted(text: str, depth: int) -> str | None:
    """Translate a text that has a key, or that a template fits as a whole; None where neither is so."""
    texts, templates = _catalogue("es")
    if text in texts:
        return texts[text]
    if len(text) > LONGEST or depth > DEEPEST:
        return text
    for pattern, translation in templates:
        match = pattern.fullmatch(text)
        if match and (told := _put(translation, match.groupdict(), depth + 1)) != text:
            return told
    return None


def _put(translation: str, holes: Mapping[str, str], depth: int) -> str:
    words = {name: _word(name, value, depth) for name, value in holes.items()}
    return _HOLE.sub(lambda hole: words.get(hole[1], hole[0]), translation)


def _word(hole: str, value: str, depth: int) -> str:
    kind = hole.partition("_")[0]
    if kind == "whole":
        return _fitted(value, depth) or value
    if kind == "list":
        return ", ".join(_in_spanish(x, depth) for x in value.split(", "))
    return _in_spanish(value, depth) if kind in {"say", "named"} else value


def _in_parts(text: str, depth: int) -> str:
    """Translate what follows a known name, sentence by sentence, a title told as a sentence, clause by clause; else leave it English."""
    name, _, rest = text.partition(": ")
    if rest and name in _catalogue("es")[0]:
        return f"{_in_spanish(name, depth)}: {_in_spanish(rest, depth)}"
    return _joined(_END.split(text), " ", depth) or _as_title(text, depth) or _in_clauses(text, depth)


def _in_clauses(text: str, depth: int) -> str:
    return _joined(text.split("; "), "; ", depth) or _joined(text.split(": ", 1), ": ", depth) or text


def _joined(parts: Sequence[str], between: str, depth: int) -> str:
    """Translate parts, empty when there is but one, or nothing between two."""
    return between.join(_in_spanish(x, depth) for x in parts) if len(parts) > 1 and all(parts) else ""


def _as_title(text: str, depth: int) -> str:
    """Translate a title, or the end of one, that is told as a sentence; empty when it is none."""
    if not text.endswith("."):
        return ""
    for title in dict.fromkeys((text[:-1], text[:1].lower() + text[1:-1])):
        told = _in_spanish(title, depth)
        if told != title:
            return f"{told[:1].upper() if text[:1].isupper() else told[:1]}{told[1:]}."
    return ""
