"""Where, when and from whom something was seen: the two words every floor shares."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


class At(NamedTuple):
    """One place in one capture."""

    frame: int
    """Frame number in the file, 1-based, counted over all frames as Wireshark does."""
    ts: int
    """Time of capture, ns since the Unix epoch, UTC."""


class Side(IntEnum):
    """Who sent something; the client is the one that opened the connection."""

    CLIENT = 0
    SERVER = 1

    @property
    def other(self) -> Side:
        """Return the opposite side."""
        return Side(1 - self)
