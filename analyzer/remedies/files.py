"""The ``.toml`` files of remedies: found by a glance at their heads, parsed one entry at a time.

Parsing all of them takes longer than judging a small capture, and one case needs two or three entries.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from analyzer.errors import RuleError
from analyzer.remedies.remedy import Remedy
from analyzer.remedies.servers import Server

FOLDER = Path(__file__).parent

LISTS = ("versions", "protocols", "steps", "avoid", "source", "notes")
TEXTS = ("id", "title", "cause", "product", "before", "commands", "restart", "check", "undo", "risk")
_REQUIRED = ("id", "title", "cause", "product", "versions", "steps", "check", "undo", "risk", "source")
_FIXED = frozenset({"id", "cause", "product", "protocols"})
"""What a version cannot change."""
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MARK = "[[remedy]]\n"
_HEAD = re.compile(r"^(id|cause|product|versions|protocols|besides) = (.*)$", re.MULTILINE)
_WORD = re.compile(r'"([^"]*)"')


class Head(NamedTuple):
    """What an entry says of itself at its beginning."""

    id: str
    cause: str
    product: str
    versions: tuple[str, ...]
    protocols: tuple[str, ...]
    besides: bool
    """It is told beside what fits every server, not instead."""
    text: str
    """The entry, as TOML."""


class Entry(NamedTuple):
    """One entry: the remedy as it holds for every version, and what some versions have otherwise."""

    remedy: Remedy
    variants: tuple[Mapping[str, object], ...] = ()
    """Each: 'versions' it is for, and the keys it replaces; 'notes' and 'avoid' are added."""

    def on(self, server: Server) -> Remedy:
        """Return the remedy as it holds on a server."""
        found = self.remedy
        for variant in self.variants:
            if server.exact(_texts(variant["versions"])):
                found = _changed(found, variant)
        return found


@functools.cache
def heads() -> Mapping[str, Head]:
    """Return what the entries of all files say of themselves, by id, in the order of the files."""
    return {x.id: x for path in sorted(FOLDER.glob("*.toml")) for x in _heads(path.read_text("utf-8"))}


@functools.cache
def entry(name: str) -> Entry:
    """Return the entry with an id.

    Raises:
        KeyError: there is none.
    """
    import tomllib  # a run that finds no fault needs none

    return _entry(tomllib.loads(heads()[name].text)["remedy"][0])


def load(path: Path) -> tuple[Entry, ...]:
    """Read one file of remedies whole.

    Raises:
        RuleError: it is not TOML, or an entry is not well formed.
    """
    import tomllib

    try:
        found = tomllib.loads(path.read_text("utf-8")).get("remedy", [])
    except (OSError, ValueError) as error:
        raise RuleError(f"{path.name} is not readable TOML: {error}", path=path) from error
    wrong = lint(found)
    if wrong:
        raise RuleError(f"{path.name}: {wrong[0]}", path=path, hint="analyzer/remedies/files.py lists the keys.")
    return tuple(_entry(x) for x in found)


def lint(found: Iterable[Mapping[str, object]]) -> list[str]:
    """Say what is wrong with raw entries: keys missing, unknown or of the wrong type, ids not unique."""
    wrong: list[str] = []
    seen: set[object] = set()
    for raw in found:
        name = raw.get("id", "?")
        wrong += [f"{name}: {key} is missing or empty" for key in _REQUIRED if not raw.get(key)]
        wrong += _wrong_keys(f"{name}", raw, (*LISTS, *TEXTS, "on", "besides"))
        for variant in _variants(raw):
            wrong += _wrong_keys(f"{name} on {variant.get('versions')}", variant, {*LISTS, *TEXTS} - _FIXED)
            if not variant.get("versions"):
                wrong.append(f"{name}: a variant without versions")
        if not _ID.fullmatch(str(name)) or name in seen:
            wrong.append(f"{name}: id is not unique words joined by hyphens")
        if raw.get("commands") and not raw.get("before"):
            wrong.append(f"{name}: changes something without looking first (before)")
        seen.add(name)
    return wrong


def _wrong_keys(name: str, raw: Mapping[str, object], known: Iterable[str]) -> list[str]:
    wrong = [f"{name}: {key} is no known key" for key in raw if key not in set(known)]
    wrong += [f"{name}: {key} is not a text" for key in TEXTS if not isinstance(raw.get(key, ""), str)]
    return wrong + [f"{name}: {key} is not a list of texts" for key in LISTS if not _is_texts(raw.get(key, []))]


def _heads(text: str) -> Iterable[Head]:
    for block in text.split(f"\n{_MARK}")[1:]:
        told = dict(reversed(_HEAD.findall(block.partition("[[remedy.on]]")[0])))
        first = {key: tuple(_WORD.findall(told.get(key, ""))) for key in ("id", "cause", "product")}
        yield Head(
            first["id"][0], first["cause"][0], first["product"][0],
            tuple(_WORD.findall(told.get("versions", ""))), tuple(_WORD.findall(told.get("protocols", ""))),
            told.get("besides") == "true", _MARK + block,
        )  # fmt: skip


def _entry(raw: Mapping[str, object]) -> Entry:
    texts = {key: str(raw.get(key, "")).strip() for key in TEXTS}
    lists = {key: _texts(raw.get(key, [])) for key in LISTS}
    # The keys are those of the record: lint saw to it.
    return Entry(Remedy(**texts, **lists), tuple(_variants(raw)))  # type: ignore[arg-type]


def _changed(remedy: Remedy, variant: Mapping[str, object]) -> Remedy:
    changed: dict[str, Any] = {key: str(value).strip() for key, value in variant.items() if key in TEXTS}
    changed |= {key: _texts(value) for key, value in variant.items() if key in LISTS}
    for key in ("notes", "avoid"):
        changed[key] = getattr(remedy, key) + changed.get(key, ())
    return remedy._replace(**changed)


def _variants(raw: Mapping[str, object]) -> list[Mapping[str, object]]:
    found = raw.get("on", [])
    return [x for x in found if isinstance(x, Mapping)] if isinstance(found, list) else []


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(x, str) for x in value)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(x) for x in value) if isinstance(value, list) else ()
