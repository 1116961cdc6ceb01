"""What a probe of a server found, as a record, a page of text and JSON; knocking is the business of ``analyzer.probe``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from analyzer.at import NS_PER_S
from analyzer.protocols.certificate import Certificate
from analyzer.text import clean

if TYPE_CHECKING:
    from analyzer.language import Say

STATES = {
    "greeted": "the server greets",
    "turned_away": "the server answers, but turns the connection away",
    "port_closed": "port closed: the host refuses the connection",
    "port_filtered": "port filtered: no answer, something on the way drops the connection",
    "no_route": "this machine has no way to that address",
    "silent": "connected, but no greeting came",
    "dropped": "connected, and closed again before a greeting",
    "tls_failed": "connected, but TLS could not be set up",
    "no_mail": "connected, but what answers is no mail server",
}
"""How it went, as ``Probe.state`` names it, and in words."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What one address answered; unset is None."""

    address: str
    """As the system names it."""
    port: int
    """TCP port."""
    state: str
    """One of STATES."""
    reason: str | None = None
    """What the system said of a failure."""
    connect_ms: float | None = None
    """Time to set up the TCP connection, ms."""
    greeting_ms: float | None = None
    """From then on, or from when TLS was set up, to the first line, ms."""
    protocol: str | None = None
    """imap, pop3 or smtp, as the greeting tells."""
    greeting: str | None = None
    """The first line, cleaned."""
    product: str | None = None
    """Server product as far as it tells."""
    capability: tuple[str, ...] = ()
    """What the server says it can do before login, upper case."""
    starttls: bool | None = None
    """TLS is offered on this connection; None when that was not asked, or it began with TLS."""
    tls_version: str | None = None
    """Such as TLSv1.3; None without TLS."""
    certificate: Certificate | None = None
    """What the server showed, verified or not."""
    verified: bool | None = None
    """The certificate is the named host's, valid now, by an authority this machine trusts."""
    tls_error: str | None = None
    """Why it does not verify, or why TLS could not be set up."""


def healthy(probes: Iterable[Probe]) -> bool:
    """Tell whether every address this machine has a way to greets, and there is one."""
    states = {x.state for x in probes} - {"no_route"}
    return states == {"greeted"}


def document(host: str, port: int, probes: Iterable[Probe]) -> dict[str, Any]:
    """Return what was found as JSON takes it; times are ISO 8601, UTC."""
    rows = [asdict(x) for x in probes]
    for held in (row["certificate"] for row in rows if row["certificate"]):
        held.update(valid_from=_iso(held["valid_from"]), valid_until=_iso(held["valid_until"]))
    return {"host": clean(host), "port": port, "addresses": rows}


def text(host: str, port: int, probes: Iterable[Probe], say: Say = str) -> str:
    """Return what was found as a page of text in the reader's language."""
    head = f"{clean(host)}, {say('port')} {port}"
    return "\n".join([head, *(line for x in probes for line in _lines(x, say))]) + "\n"


def _lines(found: Probe, say: Say) -> Iterator[str]:
    yield f"\n{found.address}   {say(STATES[found.state])}"
    times = [f"connected in {found.connect_ms:.1f} ms"] if found.connect_ms is not None else []
    times += [f"greeted after {found.greeting_ms:.1f} ms"] if found.greeting_ms is not None else []
    rows = (
        ("system", found.reason),
        ("time", ", ".join(map(say, times))),
        ("greeting", found.greeting),
        ("product", found.product),
        ("offers", " ".join(found.capability)),
        ("STARTTLS", {True: say("offered"), False: say("not offered"), None: None}[found.starttls]),
        ("TLS", found.tls_version or found.tls_error),
        ("certificate", _told(found.certificate, say)),
        ("verifies", {True: say("yes"), False: f"{say('no')}: {found.tls_error}", None: None}[found.verified]),
    )
    yield from (f"  {say(name):<12} {value}" for name, value in rows if value)


def _told(held: Certificate | None, say: Say) -> str | None:
    if held is None:
        return None
    until = f", {say('until')} {_iso(held.valid_until)}" if held.valid_until is not None else ""
    return f"{', '.join(held.names) or say('no name')}{until}, {say('by')} {held.issuer or say('nobody named')}"


def _iso(ts: int | None) -> str | None:
    return None if ts is None else datetime.fromtimestamp(ts // NS_PER_S, UTC).isoformat().replace("+00:00", "Z")
