"""What to do about a cause: knowledge kept as data, with the numbers of the case filled in.

    fill({"clients": 20, "limit": 16}, ["per_user_connection_limit"], "exchange-2010-sp2")
    ids_for("per_user_connection_limit", "exchange")

Each entry of the ``.toml`` files beside this one says how to look first, what to change, how to look again, how to undo
it and who says so; :func:`lint` refuses an entry without those. ``{names}`` in their texts are the numbers of
:mod:`analyzer.remedies.capacity`; ``<angle brackets>`` are left to the person. Nothing here is ever run.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from analyzer.errors import RuleError
from analyzer.remedies.capacity import PER_AGENT, SERVICE, Capacity, plan

FOLDER = Path(__file__).parent
ANY = "any"
"""Product of an entry that fits every server."""
USUAL_LIMIT = 16
"""MaxConnectionsPerUser of Exchange 2010 and later when nobody changed it: advice not above it would be no cure."""

_LISTS = ("versions", "steps", "source", "notes")
_TEXTS = ("id", "title", "cause", "product", "before", "commands", "restart", "check", "undo", "risk")
_REQUIRED = ("id", "title", "cause", "product", "steps", "check", "undo", "risk", "source")
_PLACE = re.compile(r"\{(\w+)\}")
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SERVER = re.compile(r"([a-z]+)(?:[-_ ](\d{4}|online|se)\b)?", re.IGNORECASE)


class Remedy(NamedTuple):
    """One way to cure one cause on one product."""

    id: str
    title: str
    """What it does, in one line."""
    cause: str
    """The cause it cures, one of the output contract's."""
    product: str
    """'exchange', 'dovecot', ...; 'any' fits every server."""
    versions: tuple[str, ...]
    """Versions it fits, such as '2010'; empty: all."""
    steps: tuple[str, ...]
    """What to do, in order, in plain sentences."""
    before: str
    """Commands that only read: how it stands now."""
    commands: str
    """The change; empty when nothing is to be changed by a command."""
    restart: str
    """What must be restarted for the change to count; empty when nothing."""
    check: str
    """How to see that it worked."""
    undo: str
    """How to go back."""
    risk: str
    """What it may cost."""
    source: tuple[str, ...]
    """Who says so."""
    notes: tuple[str, ...]
    """What else to know, and what other notes advise wrongly."""
    capacity: Capacity | None = None
    """The sum behind a filled-in number; None when there is no such number or the agents are not known."""


def fill(facts: Mapping[str, float | str], ids: Iterable[str], product: str | None = None) -> tuple[Remedy, ...]:
    """Return the remedies named (by their own id or by a cause) with the numbers of ``facts`` put in.

    ``facts`` are those of a finding: ``account_clients`` or ``clients`` (or ``agents``, said by a person), ``per_client``,
    ``limit``, ``port``.
    A number is filled in only when it would cure: one PC's capture sees one agent, and a limit of 5 would make it worse.
    ``product`` is a name such as 'exchange' or 'exchange-2010-sp2'; None leaves only what fits every server.
    """
    wanted = list(dict.fromkeys(x for name in ids for x in _expand(name, product)))
    capacity = _capacity(facts)
    port = facts.get("port", "143")
    return tuple(_filled(entries()[name], capacity, facts, str(port)) for name in wanted)


def ids_for(cause: str, product: str | None = None) -> tuple[str, ...]:
    """Return the ids of the remedies for a cause: those of the product and version, or else those for any server."""
    name, version = _server(product)
    fits = [x for x in entries().values() if x.cause == cause]
    own = [x.id for x in fits if x.product == name and _fits(x, version)]
    return tuple(own or [x.id for x in fits if x.product == ANY])


def causes() -> tuple[str, ...]:
    """Return every cause some remedy is for, in the order of the files."""
    return tuple(dict.fromkeys(x.cause for x in entries().values()))


def is_known(name: str) -> bool:
    """Tell whether a name is a remedy's id or a cause (with hyphens or underscores) that some remedy is for."""
    return name in entries() or name.replace("-", "_") in causes()


@functools.cache
def entries() -> Mapping[str, Remedy]:
    """Return all remedies by id, texts not yet filled in."""
    return {x.id: x for path in sorted(FOLDER.glob("*.toml")) for x in load(path)}


def load(path: Path) -> tuple[Remedy, ...]:
    """Read one file of remedies.

    Raises:
        RuleError: it is not TOML, or an entry is not well formed.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RuleError(f"{path.name} is not readable TOML: {error}", path=path) from error
    found = table.get("remedy", [])
    wrong = lint(found)
    if wrong:
        raise RuleError(f"{path.name}: {wrong[0]}", path=path, hint="analyzer/remedies/__init__.py lists the keys.")
    return tuple(_remedy(x) for x in found)


def lint(found: Iterable[Mapping[str, object]]) -> list[str]:
    """Say what is wrong with raw entries: keys missing, unknown or of the wrong type, ids not unique."""
    wrong: list[str] = []
    seen: set[object] = set()
    for entry in found:
        name = entry.get("id", "?")
        wrong += [f"{name}: {key} is missing or empty" for key in _REQUIRED if not entry.get(key)]
        wrong += [f"{name}: {key} is no known key" for key in entry if key not in (*_LISTS, *_TEXTS)]
        wrong += [f"{name}: {key} is not a text" for key in _TEXTS if not isinstance(entry.get(key, ""), str)]
        wrong += [f"{name}: {key} is not a list of texts" for key in _LISTS if not _is_texts(entry.get(key, []))]
        if not _ID.fullmatch(str(name)) or name in seen:
            wrong.append(f"{name}: id is not unique words joined by hyphens")
        if entry.get("commands") and not entry.get("before"):
            wrong.append(f"{name}: changes something without looking first (before)")
        seen.add(name)
    return wrong


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(x, str) for x in value)


def _remedy(entry: Mapping[str, object]) -> Remedy:
    texts = {key: str(entry.get(key, "")).strip() for key in _TEXTS}
    lists = {key: tuple(str(x) for x in _as_list(entry.get(key, []))) for key in _LISTS}
    return Remedy(**texts, **lists)  # type: ignore[arg-type]  # the keys are those of the record: lint saw to it


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _expand(name: str, product: str | None) -> tuple[str, ...]:
    if found := ids_for(name.replace("-", "_"), product):
        return found
    return (name,) if name in entries() else ()


def _server(product: str | None) -> tuple[str, str | None]:
    match = _SERVER.match(product or "")
    if match is None:
        return ANY, None
    return match[1].lower(), match[2].lower() if match[2] else None


def _fits(remedy: Remedy, version: str | None) -> bool:
    if version is None:
        return "online" not in remedy.versions  # a plain 'exchange' is one that can be administered
    return not remedy.versions or version in remedy.versions


def _capacity(facts: Mapping[str, float | str]) -> Capacity | None:
    said = "agents" in facts
    agents = _number(facts.get("agents", facts.get("account_clients", facts.get("clients"))))
    if not agents:
        return None
    per_agent = _number(facts.get("per_client")) or PER_AGENT
    capacity = plan(agents, per_agent=per_agent)
    enough = _number(facts.get("limit")) or USUAL_LIMIT
    return capacity if said or capacity.advised > enough else None


def _number(value: float | str | None) -> int:
    try:
        return max(0, round(float(value or 0)))
    except (ValueError, OverflowError):
        return 0


def _filled(remedy: Remedy, capacity: Capacity | None, facts: Mapping[str, float | str], port: str) -> Remedy:
    if not any(place in text for place in ("{advised}", "{sum}") for text in (remedy.commands, *remedy.steps)):
        capacity = None
    per_agent = capacity.per_agent if capacity else max(_number(facts.get("per_client")), PER_AGENT)
    example = plan(20, per_agent=per_agent)
    numbers = {
        "per_agent": str(per_agent),
        "service": str(SERVICE),
        "advised": str(capacity.advised) if capacity else "<N>",
        "sum": capacity.sum_text if capacity else f"N; for example {example.sum_text}",
        "port": port,
    }

    def put(text: str) -> str:
        return _PLACE.sub(lambda m: numbers.get(m[1], m[0]), text)

    texts = {key: put(getattr(remedy, key)) for key in _TEXTS}
    lists = {key: tuple(put(x) for x in getattr(remedy, key)) for key in _LISTS}
    return remedy._replace(**texts, **lists, capacity=capacity)  # type: ignore[arg-type]  # as in _remedy
