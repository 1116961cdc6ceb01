"""How many connections a team of agents needs, and how many agents a limit lets work."""

from __future__ import annotations

from typing import NamedTuple

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
            f"{self.agents} agents x {self.per_agent} + {self.service} = {self.needed} connections, "
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
