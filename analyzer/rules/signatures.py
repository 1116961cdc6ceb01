"""Server phrases and what they mean: load, match, lint ``signatures.toml``."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from analyzer.errors import RuleError

PHASES = frozenset({"greeting", "login", "mailbox", "bye", "any"})
PROTOCOLS = frozenset({"imap", "pop3", "smtp"})
CAUSES = frozenset(
    [
        "per_user_connection_limit",
        "per_ip_connection_limit",
        "server_connection_limit",
        "connection_limit_at_connect",
        "store_session_limit",
        "request_throttling",
        "command_size_limit",
        "login_delay",
        "mailbox_in_use",
        "smtp_connection_limit",
        "smtp_rate_limit",
        "bad_credentials",
        "account_locked",
        "tls_required",
        "auth_method_refused",
        "rejected_by_policy",
        "server_unavailable",
        "server_restart",
        "server_slow",
        "port_filtered",
        "port_closed",
        "middlebox_reset",
        "network_stall",
        "network_loss",
        "undetermined",
    ]
)
"""Every cause of the output contract."""


class Signature(NamedTuple):
    """One phrase of a server and its meaning."""

    id: str
    phase: str
    protocols: frozenset[str]
    pattern: str
    """A regular expression, case ignored; compiled when first tried: that of all takes 25 ms."""
    product: str | None
    means: dict[str, float]
    """Decibels for each cause."""
    explicit: bool
    """The words alone decide."""
    source: str
    general: bool = False
    """Wording that a more special phrase may contain."""

    def hears(self, line: str) -> bool:
        """Tell whether a reply says this; a count that is told must be above the limit told with it."""
        found = self.search(line)
        if found is None:
            return False
        said = found.groupdict()
        count, limit = said.get("count"), said.get("limit")
        return not (count and limit) or _number(count) > _number(limit)

    def search(self, line: str) -> re.Match[str] | None:
        """Look for the phrase in a reply line."""
        return _compiled(self.pattern).search(line)

    @property
    def cause(self) -> str | None:
        """The cause it speaks for most."""
        return max(self.means, key=lambda c: self.means[c]) if self.means else None


UNKNOWN = Signature("none", "any", frozenset(), r"(?!)", None, {}, explicit=False, source="")
"""Stands for words no signature knows."""


def line_of(status: str, code: str | None, text: str | None, *, untagged: bool = False) -> str:
    """Return a reply as the patterns expect it: 'NO [LIMIT] text', '* BYE text', '421 4.3.2 text'."""
    if status.isdigit():
        return " ".join(part for part in (status, code, text) if part)
    line = " ".join(part for part in (status, f"[{code}]" if code else "", text or "") if part)
    return f"* {line}" if untagged else line


def read_signatures(table: dict[str, Any], path: str) -> tuple[Signature, ...]:
    """Turn a parsed signature file into signatures.

    Raises:
        RuleError: when an entry is not well formed.
    """
    return tuple(_signature(entry, path) for entry in table.get("signature", []))


def _signature(entry: dict[str, Any], path: str) -> Signature:
    name = entry.get("id", "(no id)")
    missing = {"id", "phase", "pattern", "means", "explicit", "source"} - entry.keys()
    if missing:
        raise RuleError(
            f"signature {name}: {', '.join(sorted(missing))} missing", path=path, hint="see the head of the file"
        )
    if entry["phase"] not in PHASES:
        raise RuleError(
            f"signature {name}: unknown phase {entry['phase']!r}", path=path, hint=f"one of {sorted(PHASES)}"
        )
    unknown = set(entry["means"]) - CAUSES
    if unknown:
        raise RuleError(
            f"signature {name}: unknown cause {sorted(unknown)}", path=path, hint="mailscope rules lists the causes"
        )
    means = {cause: float(weight) for cause, weight in entry["means"].items()}
    spoken = frozenset(entry.get("protocols", ["imap"]))
    if not spoken <= PROTOCOLS:
        raise RuleError(
            f"signature {name}: unknown protocol {sorted(spoken)}", path=path, hint=f"of {sorted(PROTOCOLS)}"
        )
    return Signature(
        name,
        entry["phase"],
        spoken,
        entry["pattern"],
        entry.get("product"),
        means,
        explicit=bool(entry["explicit"]),
        source=entry["source"],
        general=bool(entry.get("general", False)),
    )


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise RuleError(
            f"signature {pattern}: {error}", path="signatures.toml", hint="patterns are Python regular expressions"
        ) from error


@cache
def signatures() -> tuple[Signature, ...]:
    """Return the shipped signatures, in order."""
    import tomllib

    place = Path(__file__).with_name("signatures.toml")
    return read_signatures(tomllib.loads(place.read_text("utf-8")), "signatures.toml")


@lru_cache(maxsize=4096)
def match(phase: str, line: str, product: str | None, protocol: str | None = "imap") -> Signature:
    """Return the first signature that fits a reply line in a phase, or :data:`UNKNOWN`.

    A signature of one product is not used for a server known to be another.
    """
    for signature in signatures():
        if signature.phase not in {phase, "any"} or (protocol or "imap") not in signature.protocols:
            continue
        if signature.product and product and signature.product != product:
            continue
        if signature.hears(line):
            return signature
    return UNKNOWN


Reply = tuple[str, str | None, str | None]
"""Status, response code, text."""


@lru_cache(maxsize=4096)
def heard(phase: str, reply: Reply, product: str | None, protocol: str | None) -> tuple[str, Signature]:
    """Return a reply as the patterns expect it, and its signature: a server says the same words thousands of times."""
    status, code, text = reply
    text = text and text.removeprefix(f"{status} ")  # a login tells BAD from NO in its text, too
    line = line_of(status or "NO", code, text, untagged=status == "BYE")
    return line, match(phase, line, product, protocol)


def limit_in(line: str, signature: Signature) -> int | None:
    """Return the limit's height when the phrase itself tells it."""
    found = signature.search(line)
    text = found.groupdict().get("limit") if found else None
    return int(text) if text and len(text) < 8 else None


def _number(digits: str) -> int:
    return int(digits[:MOST_DIGITS])


MOST_DIGITS = 18
"""Digits of a number that are read; longer ones are nonsense."""
