"""Link and network headers of one frame: from its octets to the IP datagram inside, through tags and tunnels.

Every function takes the octets of one frame and may raise IndexError or struct.error where they end too early; the
walk catches both, so that a damaged frame is skipped. Nothing here reads past the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from analyzer.capture.tunnels import WIRELESS, carried, pseudowire

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
IPV4, IPV6 = 0x0800, 0x86DD
VLAN_KINDS = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})
"""EtherTypes of a VLAN tag: 802.1Q, 802.1ad, and two older ones for the outer tag."""

TUNNEL_DEPTH = 4
"""Tunnels inside tunnels followed; a real mirror needs one or two."""

TAG_DEPTH = 16
"""VLAN tags, MPLS labels and IPv6 extension headers followed in one frame."""

VXLAN_PORT = 4789

_HALF = Struct(">H").unpack_from
_V4 = Struct(">BxHHHBBxx4s4s").unpack_from
_V6 = Struct(">4xHBB16s16s").unpack_from
_FRAGMENT = Struct(">BxHI").unpack_from
_MPLS, _PPPOE, _SNAP, _TRANSPARENT, _ERSPAN2, _ERSPAN3 = (
    (0x8847, 0x8848),
    0x8864,
    b"\xaa\xaa\x03",
    0x6558,
    0x88BE,
    0x22EB,
)
_PPP_KINDS = {0x21: IPV4, 0x57: IPV6}
_PLAIN_EXTENSIONS = frozenset({0, 43, 60, 135, 139, 140})  # hop-by-hop, routing, destination, mobility, HIP, shim6
_AUTHENTICATION, _FRAGMENTED = 51, 44
_V4_IN_IP, _V6_IN_IP, _GRE = 4, 41, 47
_NULL_V6 = frozenset({24, 28, 30, 10, 23})  # AF_INET6 of the BSDs, macOS, Linux, Windows

Inside = tuple[int, int]
"""(EtherType, first octet of what it announces)."""


class Fragment(NamedTuple):
    """The place of a piece in its datagram (RFC 791, section 3.2; RFC 8200, section 4.5)."""

    ident: int
    offset: int
    """Octets."""
    more: bool


class Datagram(NamedTuple):
    """What an IP header says; positions are octets of the same frame."""

    src: bytes
    dst: bytes
    proto: int
    at: int
    """First octet behind the IP headers."""
    end: int
    """Behind the last octet of the datagram that is in the file (padding excluded)."""
    wire_end: int
    """Where the datagram would end had it been captured whole."""
    ident: int
    ttl: int
    fragment: Fragment | None


def ethernet(octets: bytes, at: int) -> Inside:
    """Read an Ethernet II or 802.3 header (LLC/SNAP inside)."""
    kind = _HALF(octets, at + 12)[0]
    if kind <= 1500 and octets[at + 14 : at + 17] == _SNAP:
        return _HALF(octets, at + 20)[0], at + 22
    return kind, at + 14


def _sll(octets: bytes, at: int) -> Inside:
    return _HALF(octets, at + 14)[0], at + 16


def _sll2(octets: bytes, at: int) -> Inside:
    return _HALF(octets, at)[0], at + 20


def _null(octets: bytes, at: int) -> Inside:
    """Read a BSD loopback header: the address family in the byte order of the machine that captured."""
    family = int.from_bytes(octets[at : at + 4], "big")
    family = family if family <= 0xFFFF else int.from_bytes(octets[at : at + 4], "little")
    return (IPV4 if family == 2 else IPV6 if family in _NULL_V6 else 0), at + 4


def _raw(octets: bytes, at: int) -> Inside:
    return {4: IPV4, 6: IPV6}.get(octets[at] >> 4, 0), at


def _ppp(octets: bytes, at: int) -> Inside:
    """Read PPP, with or without address and control octets (RFC 1662) and with a compressed protocol field."""
    at += 2 if octets[at : at + 2] == b"\xff\x03" else 0
    if octets[at] & 1:
        return _PPP_KINDS.get(octets[at], 0), at + 1
    return _PPP_KINDS.get(_HALF(octets, at)[0], 0), at + 2


def _ppp_direction(octets: bytes, at: int) -> Inside:
    return _ppp(octets, at + 1)


def _cisco_hdlc(octets: bytes, at: int) -> Inside:
    return _HALF(octets, at + 2)[0], at + 4


def _nflog(octets: bytes, at: int) -> Inside:
    """Read netfilter's log: family, version, resource, then fields of length, type, value; type 9 is the packet."""
    at += 4
    while True:
        size = int.from_bytes(octets[at : at + 2], "little")
        kind = int.from_bytes(octets[at + 2 : at + 4], "little") & 0x7FFF
        if size < 4:
            return 0, at
        if kind == 9:
            return _raw(octets, at + 4)
        at += size + 3 & ~3


LINKS: dict[int, Callable[[bytes, int], Inside]] = {
    0: _null,
    1: ethernet,
    9: _ppp,
    12: _raw,
    14: _raw,
    50: _ppp,
    101: _raw,
    104: _cisco_hdlc,
    108: _null,
    113: _sll,
    204: _ppp_direction,
    228: _raw,
    229: _raw,
    239: _nflog,
    276: _sll2,
    **WIRELESS,
}
"""Link type -> reader of its header; others go to scapy."""


def untag(octets: bytes, kind: int, at: int) -> Inside:
    """Step over VLAN tags, MPLS labels, PPPoE and Ethernet inside, whatever their order."""
    for _ in range(TAG_DEPTH):
        if kind in VLAN_KINDS:
            kind, at = _HALF(octets, at + 2)[0], at + 4
        elif kind in _MPLS:
            last = octets[at + 2] & 1
            at += 4
            if last:
                kind, at = pseudowire(octets, at)
        elif kind == _TRANSPARENT:
            kind, at = ethernet(octets, at)
        elif kind == _PPPOE:
            kind, at = _PPP_KINDS.get(_HALF(octets, at + 6)[0], 0), at + 8
        else:
            break
    return kind, at


def internet(octets: bytes, kind: int, at: int, wire: int) -> Datagram | None:
    """Read the IPv4 or IPv6 header at ``at``; ``wire`` is the length of the whole frame on the wire.

    A total length of 0 (segmentation done by the network card) means: as long as the frame.
    """
    if kind == IPV4:
        return _version4(octets, at, wire)
    return _version6(octets, at, wire) if kind == IPV6 else None


def _version4(octets: bytes, at: int, wire: int) -> Datagram | None:
    first, total, ident, part, ttl, proto, src, dst = _V4(octets, at)
    head = (first & 15) * 4
    if first >> 4 != 4 or head < 20 or 0 < total < head:
        return None
    wire_end = at + total if total else max(wire, len(octets))
    offset, more = (part & 0x1FFF) * 8, bool(part & 0x2000)
    fragment = Fragment(ident, offset, more) if offset or more else None
    return Datagram(src, dst, proto, at + head, min(wire_end, len(octets)), wire_end, ident, ttl, fragment)


def _version6(octets: bytes, at: int, wire: int) -> Datagram | None:
    length, proto, ttl, src, dst = _V6(octets, at)
    if octets[at] >> 4 != 6:
        return None
    wire_end = at + 40 + length if length else max(wire, len(octets))
    end = min(wire_end, len(octets))
    proto, at, fragment = extensions(octets, proto, at + 40)
    return Datagram(src, dst, proto, at, end, wire_end, 0, ttl, fragment)


def extensions(octets: bytes, proto: int, at: int) -> tuple[int, int, Fragment | None]:
    """Step over IPv6 extension headers (RFC 8200, section 4) up to the upper protocol or into a real fragment."""
    for _ in range(TAG_DEPTH):
        if proto in _PLAIN_EXTENSIONS:
            proto, at = octets[at], at + (octets[at + 1] + 1) * 8
        elif proto == _AUTHENTICATION:
            proto, at = octets[at], at + (octets[at + 1] + 2) * 4
        elif proto == _FRAGMENTED:
            proto, part, ident = _FRAGMENT(octets, at)
            at += 8
            if part & 0xFFF9:  # offset or more; an atomic fragment (RFC 6946) is whole
                return proto, at, Fragment(ident, part & 0xFFF8, bool(part & 1))
        else:
            break
    return proto, at, None


def tunnelled(octets: bytes, outer: Datagram) -> Inside | None:
    """Return what a tunnel carries (IP in IP, GRE, ERSPAN and those of ``tunnels``), None when the datagram is none."""
    if outer.proto == _V4_IN_IP:
        return IPV4, outer.at
    if outer.proto == _V6_IN_IP:
        return IPV6, outer.at
    if outer.proto == _GRE:
        return _gre(octets, outer.at)
    return carried(octets, outer.proto, outer.at)


def _gre(octets: bytes, at: int) -> Inside:
    """Read GRE (RFC 2784, RFC 2890) and the ERSPAN mirror header (draft-foschiano-erspan) inside."""
    flags, kind = _HALF(octets, at)[0], _HALF(octets, at + 2)[0]
    inner = at + 4 + 4 * bool(flags & 0x8000) + 4 * bool(flags & 0x2000) + 4 * bool(flags & 0x1000)
    if kind == _TRANSPARENT:
        return ethernet(octets, inner)
    if kind == _ERSPAN2:  # type I has no sequence number and no header of its own
        return ethernet(octets, inner + 8 * bool(flags & 0x1000))
    if kind == _ERSPAN3:
        return ethernet(octets, inner + 12 + 8 * (octets[inner + 11] & 1))
    return kind, inner
