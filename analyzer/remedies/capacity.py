"""How many connections a team of agents needs, and how many agents a limit lets work."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple

from analyzer.sessions.defaults import CLOUD, SCOPES, Default, defaults

PER_AGENT = 2
"""IMAP connections of one logged-in Cisco Agent Desktop (Cisco technote 117589)."""
SERVICE = 2
"""Connections of the contact-centre server's own e-mail service, which uses the same account: one to two."""
RESERVE_PERCENT = 25
"""On top of what is needed: half-open sessions of a crashed PC keep their place until the server's time-out."""


class Capacity(NamedTuple):
    """What a number of agents needs of a per-user connection limit."""

    agents: int
    per_agent: int
    """Connections of one agent."""
    service: int
    """Connections of the server's own service."""
    needed: int
    """Connections when everybody works."""
    advised: int
    """``needed`` with the reserve, rounded up: the limit to set."""

    @property
    def sum_text(self) -> str:
        """The sum as a person would write it."""
        return (
            f"{self.agents} {'agent' if self.agents == 1 else 'agents'} x {self.per_agent} + {self.service} = {self.needed} connections, "
            f"+ {RESERVE_PERCENT} % reserve = {self.advised}"
        )


def plan(agents: int, *, per_agent: int = PER_AGENT, service: int = SERVICE) -> Capacity:
    """Add up what ``agents`` need; never fewer than two connections per agent, as the Cisco client opens two."""
    per_agent = max(per_agent, PER_AGENT)
    needed = agents * per_agent + service
    return Capacity(agents, per_agent, service, needed, -(-needed * (100 + RESERVE_PERCENT) // 100))


def agents_served(limit: int, *, per_agent: int = PER_AGENT, service: int = SERVICE) -> int:
    """Return how many agents work fully under ``limit``; the next one is refused or works by half."""
    return max(0, (limit - service) // per_agent)


class InPlay(NamedTuple):
    """One limit that the connections of a team meet."""

    scope: str
    """What is counted: 'account', 'account and address', 'address', 'server' or 'store'."""
    setting: str
    low: int | None
    """Lowest value it may have: seen in the capture, or shipped with some version."""
    high: int | None
    """Highest value it may have; None: the capture sets no bound."""
    seen: bool
    """The capture bounds it; otherwise these are shipped values."""
    needed: int
    """Connections it has to allow."""

    @property
    def enough(self) -> bool | None:
        """Whether it allows them; None: that depends on the version, or the capture does not tell."""
        if self.low is not None and self.needed <= self.low:
            return True
        return False if self.high is not None and self.needed > self.high else None


def in_play(capacity: Capacity, cause: str, facts: Mapping[str, float | str]) -> tuple[InPlay, ...]:
    """Return every limit of the server's product that a team's connections meet, the one that was seen with its bounds.

    An address has to hold one agent's connections, or all of them when the capture shows a single client; the server
    holds at least this team's.
    """
    product, protocol = (str(facts.get(x) or "") or None for x in ("product", "protocol"))
    shipped = [x for x in defaults(product, protocol) if x.versions != CLOUD]
    at_an_address = capacity.advised if facts.get("clients") == 1 else capacity.per_agent
    return tuple(
        _met(list(group), cause, facts, at_an_address if "address" in scope else capacity.advised)
        for (scope, _), group in groupby(shipped, key=lambda x: (x.scope, x.setting if x.scope != "account" else ""))
    )


def _met(shipped: list[Default], cause: str, facts: Mapping[str, float | str], needed: int) -> InPlay:
    first = shipped[0]
    low, high = facts.get("limit_low", facts.get("limit")), facts.get("limit_high", facts.get("limit"))
    seen = first.scope in SCOPES.get(cause, ()) and (low is not None or high is not None)
    if seen:
        return InPlay(first.scope, first.setting, _whole(low), _whole(high), seen, needed)
    values = [x.value for x in shipped]
    return InPlay(first.scope, first.setting, min(values), max(values), seen, needed)


def _whole(value: float | str | None) -> int | None:
    return None if value is None else round(float(value))
