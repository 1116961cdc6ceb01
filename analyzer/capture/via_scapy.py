"""Frames of link types that ``headers`` does not read, through scapy: to the IP datagram inside.

scapy is loaded for the first frame that could hold IP at all: most frames of such captures (beacons, USB, CAN) do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

FRAMES_LIMIT = 20_000
"""Frames of one link type given to scapy, which takes some 0.2 ms for each."""

# an EtherType of IP, then the first octet of its header (IPv4 with 5 to 15 words, or IPv6)
_MAYBE_IP = re.compile(rb"\x08\x00[\x45-\x4f]|\x86\xdd[\x60-\x6f]|\x00\x21[\x45-\x4f]|\x00\x57[\x60-\x6f]")


class Foreign:
    """Decodes the frames of one link type and counts what it could not do."""

    def __init__(self, link: int, name: str) -> None:
        self._link, self._name = link, name
        self._decode: Callable[[bytes], Any] | None = None
        self._ready = False
        self._tried = self._failed = self._left = self._unknown = 0

    def internet(self, octets: bytes) -> bytes:
        """Return the IP datagram in a frame.

        Raises:
            IndexError: there is none, or it cannot be found.
        """
        if not _MAYBE_IP.search(octets):
            raise IndexError
        if self._tried >= FRAMES_LIMIT:
            self._left += 1
            raise IndexError
        self._tried += 1
        return self._through_scapy(octets)

    def warnings(self) -> list[str]:
        """Return what the report should say about frames that were skipped."""
        link = f"link type {self._name}"
        return [
            sentence
            for count, sentence in (
                (self._failed, f"{self._failed} frames of {link} were skipped: scapy failed on them"),
                (self._unknown, f"{self._unknown} frames of {link} were skipped: neither we nor scapy read it"),
                (self._left, f"{self._left} frames of {link} were skipped: only {FRAMES_LIMIT} are read through scapy"),
            )
            if count
        ]

    def _through_scapy(self, octets: bytes) -> bytes:
        if not self._ready:
            self._decode, self._ready = _decoder(self._link), True
        if self._decode is None:
            self._unknown += 1
            raise IndexError
        try:
            found = self._decode(octets)
        except Exception as failure:  # whatever scapy stumbles over is one packet's matter
            self._failed += 1
            raise IndexError from failure
        if found is None:
            raise IndexError
        return bytes(found)


def _decoder(link: int) -> Callable[[bytes], bytes | None] | None:
    """Return a function from a frame to its IP datagram, None where scapy is missing or does not know the link type."""
    try:
        from scapy.config import conf
        from scapy.layers import dot11, inet, inet6, ppi, ppp  # noqa: F401  (each registers its link types)
    except ImportError:
        return None
    layer = conf.l2types.num2layer.get(link)
    if layer is None:
        return None

    def decode(octets: bytes) -> bytes | None:
        packet = layer(octets)
        found = packet.getlayer(inet.IP) or packet.getlayer(inet6.IPv6)
        return None if found is None else found.original

    return decode
