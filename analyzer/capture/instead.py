"""What a capture holds instead of mail: a look at its first frames, taken only where no mail was found."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from struct import Struct, error
from typing import NamedTuple

from analyzer.capture.content import SNIFF_BYTES
from analyzer.capture.formats import recognise
from analyzer.capture.headers import LINKS, TCP, UDP, Datagram, internet, untag
from analyzer.capture.packets import Facts
from analyzer.capture.record import DamageError
from analyzer.errors import CaptureError

FRAMES = 5000
"""Frames looked at: some 10 ms, and what an adapter carries shows in its first seconds."""
VPN_PORTS = frozenset({500, 1194, 1701, 4500, 51820})
"""UDP ports of IKE, OpenVPN, L2TP, IPsec through NAT (RFC 3948) and WireGuard (IANA; WireGuard by custom)."""

_ESP, _AH = 50, 51
_PORTS = Struct(">HH").unpack_from
_V6_LOOPBACK = bytes(15) + b"\x01"


class Instead(NamedTuple):
    """How many frames of which kind a capture begins with."""

    frames: int
    """Frames looked at."""
    tcp: int
    vpn: int
    """Frames of IPsec, OpenVPN, L2TP or WireGuard: what is inside cannot be seen."""
    loopback: int
    """Frames from a machine to itself."""


def instead(path: Path) -> Instead | None:
    """Look at the first frames of a capture that is not packed; None where it is, or where they cannot be read."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            reader = recognise(data[:SNIFF_BYTES], path).reader
            found = [
                _kind(data[at : at + size], wire, link) for _, at, size, wire, link in _first(reader(data, Facts()))
            ]
    except (CaptureError, OSError, ValueError):
        return None
    kinds = [kind for kind in found if kind is not None]
    count = len(found)
    return Instead(count, *(sum(kind[place] for kind in kinds) for place in range(3))) if count else None


def _first(records: Iterator[tuple[int, int, int, int, int]]) -> Iterator[tuple[int, int, int, int, int]]:
    with suppress(DamageError):
        yield from islice(records, FRAMES)


def _kind(octets: bytes, wire: int, link: int) -> tuple[bool, bool, bool] | None:
    """Tell whether a frame is TCP, a VPN's, and from a machine to itself; None when it is no IP."""
    header = LINKS.get(link)
    if header is None:
        return None
    try:
        kind, at = untag(octets, *header(octets, 0))
        datagram = internet(octets, kind, at, wire)
        if datagram is None:
            return None
        return datagram.proto == TCP, _vpn(octets, datagram), _loopback(datagram)
    except (IndexError, error):
        return None


def _vpn(octets: bytes, datagram: Datagram) -> bool:
    if datagram.proto in (_ESP, _AH):
        return True
    return datagram.proto == UDP and not VPN_PORTS.isdisjoint(_PORTS(octets, datagram.at))


def _loopback(datagram: Datagram) -> bool:
    return (len(datagram.src) == 4 and datagram.src[0] == 127) or datagram.src == _V6_LOOPBACK
