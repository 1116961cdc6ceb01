"""Remedy: one way to cure one cause on one product, as an outside reader sees it."""

from __future__ import annotations

from typing import NamedTuple

from analyzer.remedies.capacity import Capacity


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
    """Versions it fits, such as '2010' or '2010-rtm'; 'any': all."""
    protocols: tuple[str, ...]
    """imap, pop3, smtp; empty: all."""
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
    avoid: tuple[str, ...]
    """What well-known notes advise here and should not be done, with the reason."""
    source: tuple[str, ...]
    """Who says so."""
    notes: tuple[str, ...]
    """What else to know."""
    capacity: Capacity | None = None
    """The sum behind a filled-in number; None when there is no such number or the agents are not known."""

    @property
    def blocks(self) -> tuple[tuple[str, str], ...]:
        """Return the command blocks in the order of work: (heading, text), empty ones left out."""
        named = (
            ("look first", self.before),
            ("change", self.commands),
            ("restart", self.restart),
            ("look again", self.check),
            ("undo", self.undo),
        )
        return tuple((name, text) for name, text in named if text)
