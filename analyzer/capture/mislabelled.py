"""Captures that say Ethernet and hold bare IP: what drivers of modems and VPN adapters give, and old Npcap passes on.

Where nearly all frames begin with an IP header whose length is the frame's, and none of them makes sense as Ethernet,
the link type is put right. An Ethernet address that begins with 45 would have to meet a frame of the right length.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from struct import Struct

from analyzer.capture.packets import Facts
from analyzer.capture.record import DamageError, Data, Reader, Record, announce

SAMPLE_FRAMES = 64
"""Frames looked at from the start of the file."""

LEAST_FRAMES = 2
ENOUGH_SHARE = 0.9

_ETHERNET, _RAW = 1, 101
_HEADER_4, _HEADER_6 = Struct(">BxH5xB").unpack_from, Struct(">4xHB").unpack_from
_PROTOCOLS = frozenset({0, 1, 2, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58, 59, 60, 89, 103, 132})
"""Protocol numbers met in real traffic (IANA), extension headers of IPv6 among them."""

WARNING = "the file says Ethernet, but the frames are bare IP packets (as from a modem or VPN adapter): read as such"


def repaired(reader: Reader, data: Data) -> Reader | None:
    """Return a reader with the right link type, None where there is nothing to repair."""
    sample: list[Record] = []
    with suppress(DamageError):  # what comes before a damage counts
        sample.extend(islice(reader(data, Facts()), SAMPLE_FRAMES))
    frames = [record for record in sample if record[4] == _ETHERNET]
    bare = sum(_is_bare(data[at : at + size], wire) for _, at, size, wire, _ in frames)
    if bare < LEAST_FRAMES or bare < ENOUGH_SHARE * len(frames):
        return None

    def records(octets: Data, facts: Facts) -> Iterator[Record]:
        facts.warnings.append(WARNING)
        for ts, at, size, wire, link in reader(octets, facts):
            yield ts, at, size, wire, _RAW if link == _ETHERNET else link
        if "ethernet" in facts.link_types:
            facts.link_types.remove("ethernet")
        announce(facts, _RAW)

    return records


def _is_bare(octets: bytes, wire: int) -> bool:
    """Tell whether a frame is an IP packet from its first octet on: the length, or the checksum, must agree too."""
    if len(octets) < 20:
        return False
    version = octets[0] >> 4
    if version == 6 and len(octets) >= 40:
        length, proto = _HEADER_6(octets)
        return length + 40 == wire and proto in _PROTOCOLS
    first, total, proto = _HEADER_4(octets)
    head = (first & 15) * 4
    if version != 4 or not 20 <= head <= len(octets) or proto not in _PROTOCOLS:
        return False
    return total == wire or _checksum(octets[:head]) == 0


def _checksum(header: bytes) -> int:
    """Return the Internet checksum (RFC 1071) over a header, 0 where the one in it is right."""
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, len(header), 2))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
