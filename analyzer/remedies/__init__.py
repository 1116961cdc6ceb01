"""What to do about a cause: knowledge kept as data, with the numbers of the case filled in.

    fill({"clients": 20, "limit": 16}, ["per_user_connection_limit"], "exchange-2010-sp2")
    ids_for("per_user_connection_limit", "exchange")

Each entry of the ``.toml`` files beside this one says how to look first, what to change, how to look again, how to undo
it, what not to do, and who says so; :func:`lint` refuses an entry without those. ``{names}`` in their texts are the
numbers of :mod:`analyzer.remedies.capacity` and the words of the protocol; ``<angle brackets>`` are left to the person.
Nothing here is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from analyzer.errors import AnalyzerError
from analyzer.remedies.capacity import PER_AGENT, SERVICE, Capacity, plan
from analyzer.remedies.files import FOLDER, LISTS, TEXTS, Head, entry, heads, lint, load
from analyzer.remedies.remedy import Remedy
from analyzer.remedies.servers import ANY, is_server, known, server_of
from analyzer.text import clean

__all__ = [
    "ANY", "FOLDER", "Remedy", "ask", "capacity_of", "causes", "entries", "fill", "ids_for", "is_known", "lint", "load", "opened", "products",
]  # fmt: skip

USUAL_LIMIT = 16
"""MaxConnectionsPerUser of Exchange 2010 and later when nobody changed it: advice not above it would be no cure."""
USUAL_PROTOCOL = "imap"
"""Protocol of a case when none is told."""
_WORDS = {
    "imap": {"Imap": "Imap", "IMAP4": "IMAP4", "IMAP": "IMAP", "ports": "143,993"},
    "pop3": {"Imap": "Pop", "IMAP4": "POP3", "IMAP": "POP3", "ports": "110,995"},
    "smtp": {"Imap": "Imap", "IMAP4": "IMAP4", "IMAP": "SMTP", "ports": "25,587"},
}
"""Exchange's IMAP and POP3 services have the same settings under two names."""
_PORTS = {"imap": "143", "pop3": "110", "smtp": "25"}
_PLACE = re.compile(r"\{(\w+)\}")
_TRAILING = re.compile(r"(.*?\S)(\s{2,})# (.*)")
_IN_COMMANDS = ("before", "commands", "restart", "check", "undo")


Say = Callable[[str], str]
"""Puts an English sentence into the reader's language; ``str`` leaves it."""


def fill(
    facts: Mapping[str, float | str], ids: Iterable[str], product: str | None = None, *, say: Say = str
) -> tuple[Remedy, ...]:
    """Return the remedies named (by their own id or by a cause) with the numbers of ``facts`` put in.

    ``facts`` are those of a finding: ``account_clients`` or ``clients`` (or ``agents``, said by a person), ``per_client``,
    ``limit``, ``port``, ``protocol``.
    A number is filled in only when it would cure: one PC's capture sees one agent, and a limit of 5 would make it worse.
    ``product`` is a name such as 'exchange' or 'exchange-2010-sp2'; None leaves only what fits every server.
    """
    server = server_of(product)
    protocol = str(facts.get("protocol") or "") or None
    wanted = list(dict.fromkeys(x for name in ids for x in opened(name, product, protocol)))
    capacity = capacity_of(facts)
    return tuple(_filled(_said(entry(name).on(server), say), capacity, facts, say) for name in wanted)


def ask(facts: Mapping[str, float | str], name: str, product: str | None, *, say: Say = str) -> tuple[Remedy, ...]:
    """Return the remedies a person asked for by a cause or an id, filled in.

    Raises:
        AnalyzerError: the cause or the server is not known; the hint lists what is.
    """
    wanted = name.strip().lower()
    if not is_known(wanted):
        listed = " ".join(x.replace("_", "-") for x in causes())
        raise AnalyzerError(f"There is no remedy for {clean(name, 60)!r}.", hint=f"Causes with remedies: {listed}")
    if product is not None and not is_server(product, products()):
        raise AnalyzerError(
            f"There are no remedies for the server {clean(product, 60)!r}.",
            hint=f"Servers: {' '.join(known(products()))}",
        )
    return fill(facts, [wanted], product, say=say)


def opened(name: str, product: str | None = None, protocol: str | None = None) -> tuple[str, ...]:
    """Return the ids of the entries that a cause, or an entry's own id, opens; hyphens and underscores are alike."""
    if found := ids_for(name.replace("-", "_"), product, protocol):
        return found
    return (name,) if name in heads() else ()


def ids_for(cause: str, product: str | None = None, protocol: str | None = None) -> tuple[str, ...]:
    """Return the ids of the remedies for a cause: those of the product and version, or else those for any server."""
    server = server_of(product)
    fits = [x for x in heads().values() if x.cause == cause and _spoken(x, protocol)]
    own = [x for x in fits if x.product == server.product != ANY and server.fits(x.versions)]
    rest = [x for x in fits if x.product == ANY]
    return tuple(x.id for x in (own + rest if all(x.besides for x in own) else own))


def causes() -> tuple[str, ...]:
    """Return every cause some remedy is for, in the order of the files."""
    return tuple(dict.fromkeys(x.cause for x in heads().values()))


def products() -> tuple[str, ...]:
    """Return every product some remedy is for, 'any' among them."""
    return tuple(dict.fromkeys(x.product for x in heads().values()))


def is_known(name: str) -> bool:
    """Tell whether a name is a remedy's id or a cause (with hyphens or underscores) that some remedy is for."""
    return name in heads() or name.replace("-", "_") in causes()


def entries() -> Mapping[str, Remedy]:
    """Return all remedies by id as they hold for every version, texts not yet filled in."""
    return {name: entry(name).remedy for name in heads()}


def _spoken(head: Head, protocol: str | None) -> bool:
    return not head.protocols or (protocol or USUAL_PROTOCOL) in head.protocols


def capacity_of(facts: Mapping[str, float | str]) -> Capacity | None:
    """Return what the clients of a finding need; None when the capture does not show enough of them for a number that cures."""
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


def _said(remedy: Remedy, say: Say) -> Remedy:
    """Return a remedy with its sentences in the reader's language; commands stay, their comments do not."""
    if say is str:
        return remedy
    texts = {key: say(getattr(remedy, key)) for key in ("title", "risk")}
    blocks = {key: "\n".join(_line(x, say) for x in getattr(remedy, key).splitlines()) for key in _IN_COMMANDS}
    lists = {key: tuple(say(x) for x in getattr(remedy, key)) for key in ("steps", "avoid", "notes")}
    return remedy._replace(**texts, **blocks, **lists)  # type: ignore[arg-type]  # the record's own keys


def _line(line: str, say: Say) -> str:
    if line.startswith("# "):
        return f"# {say(line[2:])}"
    if match := _TRAILING.fullmatch(line):
        return f"{match[1]}{match[2]}# {say(match[3])}"
    return say(line)


def _filled(remedy: Remedy, capacity: Capacity | None, facts: Mapping[str, float | str], say: Say) -> Remedy:
    if not any(place in text for place in ("{advised}", "{sum}") for text in (remedy.commands, *remedy.steps)):
        capacity = None
    per_agent = capacity.per_agent if capacity else max(_number(facts.get("per_client")), PER_AGENT)
    example = plan(20, per_agent=per_agent)
    protocol = str(facts.get("protocol") or USUAL_PROTOCOL)
    numbers = {
        "per_agent": str(per_agent),
        "service": str(SERVICE),
        "advised": str(capacity.advised) if capacity else "<N>",
        "sum": say(capacity.sum_text)
        if capacity
        else say("N; for example {sum}").replace("{sum}", say(example.sum_text)),
        "port": str(facts.get("port") or _PORTS.get(protocol, "143")),
        **_WORDS.get(protocol, _WORDS[USUAL_PROTOCOL]),
    }

    def put(text: str) -> str:
        return _PLACE.sub(lambda m: numbers.get(m[1], m[0]), text)

    texts = {key: put(getattr(remedy, key)) for key in TEXTS}
    lists = {key: tuple(put(x) for x in getattr(remedy, key)) for key in LISTS}
    return remedy._replace(**texts, **lists, capacity=capacity)  # type: ignore[arg-type]  # as in _said
