"""Tunnels and wireless headers: what carries an IP packet besides the plain links of ``headers``.

Every function takes the octets of one frame and may raise IndexError or struct.error where they end too early, as in
``headers``. What is inside is told by its EtherType; a whole Ethernet frame inside is 0x6558 (RFC 1701's word for it).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

IPV4, IPV6, ETHERNET, MPLS = 0x0800, 0x86DD, 0x6558, 0x8847

Inside = tuple[int, int]
"""(EtherType, first octet of what it announces)."""

_HALF = Struct(">H").unpack_from
_LITTLE = Struct("<H").unpack_from
_WORD = Struct("<I").unpack_from
_SNAP = b"\xaa\xaa\x03"


def by_version(octets: bytes, at: int) -> Inside:
    """Tell an IP packet by its first four bits."""
    return {4: IPV4, 6: IPV6}.get(octets[at] >> 4, 0), at


def pseudowire(octets: bytes, at: int) -> Inside:
    """Tell what stands behind the last MPLS label: IP, or Ethernet with a control word (RFC 4448) or without."""
    first = octets[at] >> 4
    if first in (4, 6):
        return by_version(octets, at)
    return ETHERNET, at + 4 if first == 0 and octets[at : at + 2] == b"\0\0" else at


# -- over IP (IANA protocol numbers)

_ETHERIP, _MPLS_IN_IP = 97, 137


def _over_ip(octets: bytes, proto: int, at: int) -> Inside | None:
    """Read EtherIP (RFC 3378) and MPLS in IP (RFC 4023)."""
    if proto == _ETHERIP:
        return (ETHERNET, at + 2) if octets[at] >> 4 == 3 else None
    return (MPLS, at) if proto == _MPLS_IN_IP else None


# -- over UDP (IANA port numbers)


def _vxlan(octets: bytes, at: int) -> Inside | None:
    """Read VXLAN (RFC 7348)."""
    return (ETHERNET, at + 8) if octets else None


def _old_vxlan(octets: bytes, at: int) -> Inside | None:
    """Read VXLAN on a port that others use too: the flags must be VXLAN's."""
    return _vxlan(octets, at) if octets[at : at + 4] == b"\x08\0\0\0" else None


def _vxlan_gpe(octets: bytes, at: int) -> Inside | None:
    """Read VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe): the next protocol is told."""
    if not octets[at] & 0x04:
        return _vxlan(octets, at)
    kind = {1: IPV4, 2: IPV6, 3: ETHERNET, 5: MPLS}.get(octets[at + 3])
    return (kind, at + 8) if kind else None


def _geneve(octets: bytes, at: int) -> Inside | None:
    """Read Geneve (RFC 8926, section 3.4); control packets carry nothing."""
    if octets[at] >> 6 or octets[at + 1] & 0x80:
        return None
    return _HALF(octets, at + 2)[0], at + 8 + (octets[at] & 0x3F) * 4


def _gtp(octets: bytes, at: int) -> Inside | None:
    """Read GTP-U (3GPP TS 29.281, section 5.1): version 1, a user's packet, with any extension headers."""
    flags, kind = octets[at], octets[at + 1]
    if flags >> 4 != 3 or kind != 255:
        return None
    inner, extended = at + 8, bool(flags & 4)
    if flags & 7:
        following, inner = octets[at + 11], inner + 4
        while extended and following:
            size = octets[inner] * 4
            if not size:
                return None
            following, inner = octets[inner + size - 1], inner + size
    return by_version(octets, inner)


def _mpls(octets: bytes, at: int) -> Inside | None:
    """Read MPLS in UDP (RFC 7510)."""
    return (MPLS, at) if octets else None


def _tzsp(octets: bytes, at: int) -> Inside | None:
    """Read TZSP, with which some routers mirror: version 1, a packet, fields up to the end tag, Ethernet."""
    if octets[at] != 1 or octets[at + 1] > 1 or octets[at + 2 : at + 4] != b"\0\1":
        return None
    at += 4
    while octets[at] != 1:
        at += 1 if octets[at] == 0 else 2 + octets[at + 1]
    return ETHERNET, at + 1


def _teredo(octets: bytes, at: int) -> Inside | None:
    """Read Teredo (RFC 4380, section 5.1.1): IPv6, maybe behind an authentication and an origin header."""
    if octets[at : at + 2] == b"\0\1":
        at += 13 + octets[at + 2] + octets[at + 3]
    if octets[at : at + 2] == b"\0\0":
        at += 8
    return (IPV6, at) if octets[at] >> 4 == 6 else None


_UDP: dict[int, Callable[[bytes, int], Inside | None]] = {
    2152: _gtp,
    3544: _teredo,
    4789: _vxlan,
    4790: _vxlan_gpe,
    6081: _geneve,
    6635: _mpls,
    8472: _old_vxlan,  # Linux before IANA gave a number
    37008: _tzsp,
}
TUNNEL_PORTS = frozenset(_UDP)
"""UDP ports that tunnels are sent to."""


def carried(octets: bytes, proto: int, at: int) -> Inside | None:
    """Return what a tunnel over IP or UDP carries, None when it is none; ``at`` is behind the IP header."""
    if proto != 17:
        return _over_ip(octets, proto, at)
    port = _HALF(octets, at + 2)[0]
    reader = _UDP.get(port)
    if reader is None and port != 53 and _HALF(octets, at)[0] == 3544:  # a Teredo server's answer
        reader = _teredo
    return reader(octets, at + 8) if reader else None


# -- wireless links (IEEE 802.11-2020, section 9.2 and 9.3.2)

_DATA, _QOS, _TO_FROM_DS, _PROTECTED, _ORDER = 0x08, 0x80, 0x03, 0x40, 0x80


def _wlan(octets: bytes, at: int, pad: int = 0) -> Inside:
    """Read a data frame up to the EtherType behind LLC and SNAP; encrypted ones and others hold nothing."""
    control, flags = octets[at], octets[at + 1]
    if control & 0x0C != _DATA or control & 0x40 or flags & _PROTECTED:
        return 0, at
    body = at + 24 + (6 if flags & _TO_FROM_DS == _TO_FROM_DS else 0)
    aggregated = False
    if control & _QOS:
        aggregated = bool(octets[body] & 0x80)
        body += 2 + (4 if flags & _ORDER else 0)
    if pad:
        body += -(body - at) % pad
    body += 14 if aggregated else 0  # the first of several frames; the others are rare and stay unread
    if octets[body : body + 3] != _SNAP:
        return 0, at
    return _HALF(octets, body + 6)[0], body + 8


def _radiotap(octets: bytes, at: int) -> Inside:
    """Read radiotap (radiotap.org): its length, and of its fields only the flag for padding."""
    size, fields, words = _LITTLE(octets, at + 2)[0], _WORD(octets, at + 4)[0], 1
    while _WORD(octets, at + 4 * words)[0] >> 31:
        words += 1
    pad = 0
    if fields & 2:
        place = 4 + 4 * words
        place = (place + 7 & ~7) + 8 if fields & 1 else place
        pad = 4 if octets[at + place] & 0x20 else 0
    return _wlan(octets, at + size, pad)


def _ppi(octets: bytes, at: int) -> Inside:
    """Read PPI (per-packet information, CACE): its length and the link type inside."""
    size, link = _LITTLE(octets, at + 2)[0], _WORD(octets, at + 4)[0]
    if link == 1:
        return ETHERNET, at + size
    return _wlan(octets, at + size) if link == 105 else (0, at)


def _prism(octets: bytes, at: int) -> Inside:
    """Read the header of Prism cards, or of AVS where a driver calls that Prism."""
    if octets[at : at + 3] == b"\x80\x21\x10":
        return _avs(octets, at)
    return _wlan(octets, at + min(_WORD(octets, at + 4)[0], len(octets)))


def _avs(octets: bytes, at: int) -> Inside:
    return _wlan(octets, at + int.from_bytes(octets[at + 4 : at + 8], "big"))


WIRELESS: dict[int, Callable[[bytes, int], Inside]] = {105: _wlan, 119: _prism, 127: _radiotap, 163: _avs, 192: _ppi}
"""Link type -> reader of its header."""
