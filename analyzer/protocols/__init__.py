"""Bytes in, events out; no packet, no file, no clock.

A parser is a bystander, not a peer: it sees both directions, may start in the middle and may lose octets. ``feed`` never
raises; ``lost`` forgets the half-read message and resumes at the next line that looks like one; ``close`` yields what the
end of the connection means. No secret leaves a parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from analyzer.at import At, Side
from analyzer.protocols.events import Event
from analyzer.protocols.imap import Imap
from analyzer.protocols.pop3 import Pop3
from analyzer.protocols.smtp import Smtp


class Parser(Protocol):
    """What a mail protocol must offer."""

    name: str
    ports: frozenset[int]
    opening: re.Pattern[bytes]
    """The first octets of the side that speaks first, the server."""

    def feed(self, side: Side, data: bytes, at: At) -> Iterator[Event]:
        """Take the next octets of one side."""

    def idle(self, side: Side) -> int:
        """Return how many octets of a side would tell nothing if they came next: they need not be fed."""

    def passed(self, side: Side, count: int) -> None:
        """Be told that octets, no more than :meth:`idle` said, went by."""

    def lost(self, side: Side, count: int, at: At) -> Iterator[Event]:
        """Be told that octets of one side are missing."""

    def close(self, at: At, *, complete: bool = True) -> Iterator[Event]:
        """Be told that the connection ended; ``complete`` is False when it was the capture that ended."""

    def unseal(self) -> None:
        """Go on after TLS began: what follows comes decrypted."""


PARSERS: tuple[type[Parser], ...] = (Imap, Pop3, Smtp)

__all__ = ["PARSERS", "Event", "Imap", "Parser", "Pop3", "Smtp"]
