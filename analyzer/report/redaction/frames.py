"""Frames with addresses replaced, payload as it is shown, and right checksums.

A frame is built anew from zeros: only what is understood is copied into it, so that what is not understood cannot leak.
Lengths stay. IP options, IPv6 extension headers' contents, unusual TCP options, padding and trailers become zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, error
from typing import NamedTuple

from analyzer.capture.fragments import Fragments
from analyzer.capture.headers import (
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    LINKS,
    TCP,
    TUNNEL_DEPTH,
    VLAN_KINDS,
    Datagram,
    ethernet,
    internet,
    tunnelled,
    untag,
)
from analyzer.capture.packets import SYN
from analyzer.capture.record import link_name
from analyzer.capture.tunnels import ETHERNET, MPLS, pseudowire
from analyzer.capture.unreachable import complaint
from analyzer.capture.via_scapy import Foreign
from analyzer.report.redaction.pseudonyms import Pseudonyms

RAW_IP = 101
"""Link type of a frame that begins with its IP header."""

_ETHERNET_LINK, _COOKED, _COOKED_2 = 1, 113, 276
_BARE = frozenset({0, 9, 12, 14, 50, 101, 104, 108, 204, 228, 229})
"""Link types whose headers hold no address; those of all others but Ethernet and Linux cooked are left out."""
_KEPT = _BARE | {_ETHERNET_LINK, _COOKED, _COOKED_2}

_HALF = Struct(">H")
_PLAIN = Struct(">16xHxxHxxxx4s4s4xI4xBB").unpack_from
_IPV4_PLAIN, _TCP_PROTO, _STAMPS = b"\x08\x00\x45", b"\0\0\0\6", b"\1\1\x08\n"
_UDP, _GRE, _IN_IP_4, _IN_IP_6, _ETHERIP, _MPLS_IN_IP = 17, 47, 4, 41, 97, 137
_MPLS_KINDS, _PPPOE = frozenset({MPLS, 0x8848}), 0x8864
_EXTENSIONS, _AUTHENTICATION, _FRAGMENT = frozenset({0, 43, 60, 135, 139, 140}), 51, 44
_TCP_OPTIONS = frozenset({2, 3, 4, 5, 8})  # segment size, scale, SACK permitted, SACK, time stamps
_NOP = 1
_QUOTE = 8  # octets of ICMP before the quoted datagram
_GTP, _TEREDO, _TZSP = 2152, 3544, 37008
_UDP_BYTES, _TUNNEL_BYTES = 8, 8


class Fragmented(Exception):
    """A frame completes a datagram whose other fragments were passed by: no error, but every frame must be looked at."""


class Made(NamedTuple):
    """A frame to be written."""

    octets: bytes
    wire: int
    link: int


Show = Callable[[bytes, int, int, bytes], bytes]
"""(source, destination and ports as on the wire; frame; sequence number; payload) -> what is shown of the payload."""


def kept_link(link: int) -> int:
    """Return the link type a frame is written with."""
    return link if link in _KEPT else RAW_IP


def checksum(octets: bytes | bytearray) -> bytes:
    """Return the Internet checksum (RFC 1071)."""
    number = int.from_bytes(octets + bytes(len(octets) % 2), "big")
    return (0xFFFF - (number % 0xFFFF or (0xFFFF if number else 0))).to_bytes(2, "big")


class Frames:
    """Builds the frames of one capture."""

    def __init__(self, names: Pseudonyms, show: Show, *, careful: bool = False) -> None:
        """``careful`` says that every frame is handed over, so that fragments can be put together."""
        self._names, self._show, self._careful = names, show, careful
        self._fragments = Fragments()
        self._foreign: dict[int, Foreign] = {}

    def make(self, frame: int, ts: int, octets: bytes, wire: int, link: int) -> Made | None:
        """Return the frame as it is written, None when it holds nothing that is understood.

        Raises:
            Fragmented: all frames must be handed over.
        """
        try:
            return self._plain(frame, octets, wire, link) or self._make(frame, ts, octets, wire, link)
        except (IndexError, error):
            return None

    def _plain(self, frame: int, octets: bytes, wire: int, link: int) -> Made | None:
        """Return what most frames are: TCP in IPv4 without options in Ethernet, all of it captured; None for others."""
        if link != _ETHERNET_LINK or octets[12:15] != _IPV4_PLAIN or octets[23] != TCP:
            return None
        total, part, src, dst, seq, words, flags = _PLAIN(octets)
        end, payload = 14 + total, 34 + (words >> 4) * 4
        if part & 0x3FFF or not payload <= end <= len(octets) or payload < 54:
            return None
        names, key = self._names, octets[26:38]
        ends = names.address(src) + names.address(dst)
        ip = octets[14:24] + b"\0\0" + ends
        options = octets[54:payload]
        if options and (options[:4] != _STAMPS or len(options) != 12):
            kept = bytearray(payload)
            _tcp_options(octets, kept, 54, payload)
            options = bytes(kept[54:])
        said = self._show(key, frame, seq + (flags >> 1 & 1), octets[payload:end]) if payload < end else b""
        head, tail = octets[34:50], octets[52:54] + options + said
        size = total - 20
        number = int.from_bytes(
            ends + size.to_bytes(4, "big") + _TCP_PROTO + head + b"\0\0" + tail + bytes(size & 1), "big"
        )
        tcp = head + (0xFFFF - (number % 0xFFFF or 0xFFFF)).to_bytes(2, "big") + tail
        link_head = names.mac(octets[:6]) + names.mac(octets[6:12]) + octets[12:14]
        made = link_head + ip[:10] + checksum(ip) + ends + tcp
        return Made(made + bytes(len(octets) - end), wire, link)

    def _make(self, frame: int, ts: int, octets: bytes, wire: int, link: int) -> Made | None:
        octets, kind, at, wire, link = self._uncovered(octets, wire, link)
        out = bytearray(len(octets))
        self._link(octets, out, at, link)
        kind, at = self._tags(octets, out, kind, at)
        datagram = internet(octets, kind, at, wire)
        if datagram is None:
            return None
        if datagram.fragment is not None:
            whole = self._whole(ts, octets, datagram, kind, at)
            return None if whole is None else self._make(frame, ts, whole, len(whole), link)
        self._inside(frame, octets, out, kind, at, datagram, TUNNEL_DEPTH)
        return Made(bytes(out), wire, link)

    def _uncovered(self, octets: bytes, wire: int, link: int) -> tuple[bytes, int, int, int, int]:
        """Read the link header; return octets, EtherType, its end, length on the wire, link type."""
        reader = LINKS.get(link)
        if reader is None:
            foreign = self._foreign.setdefault(link, Foreign(link, link_name(link)))
            octets = foreign.internet(octets)
            return octets, IPV4 if octets[0] >> 4 == 4 else IPV6, 0, len(octets), RAW_IP
        kind, at = reader(octets, 0)
        if link in _KEPT:
            return octets, kind, at, wire, link
        kind, at = untag(octets, kind, at)
        return octets[at:], kind, 0, wire - at, RAW_IP

    # -- link headers

    def _link(self, octets: bytes, out: bytearray, at: int, link: int) -> None:
        if link == _ETHERNET_LINK:
            self._ethernet(octets, out, 0, at)
        elif link in {_COOKED, _COOKED_2}:
            place = 6 if link == _COOKED else 12
            out[:at] = octets[:at]
            out[place : place + 8] = self._names.mac(octets[place : place + 6]) + bytes(2)
            if link == _COOKED_2:
                out[4:8] = bytes(4)  # number of the interface
        else:
            out[:at] = octets[:at]

    def _ethernet(self, octets: bytes, out: bytearray, at: int, end: int) -> None:
        mac = self._names.mac
        out[at:end] = mac(octets[at : at + 6]) + mac(octets[at + 6 : at + 12]) + octets[at + 12 : end]

    def _tags(self, octets: bytes, out: bytearray, kind: int, at: int) -> tuple[int, int]:
        """Copy VLAN tags, MPLS labels, PPPoE and Ethernet inside; see ``headers.untag``."""
        for _ in range(16):
            start = at
            if kind in VLAN_KINDS:
                kind, at = _HALF.unpack_from(octets, at + 2)[0], at + 4
            elif kind in _MPLS_KINDS:
                last, at = octets[at + 2] & 1, at + 4
                out[start:at] = octets[start:at]
                if last:
                    kind, at = pseudowire(octets, at)
                continue
            elif kind == ETHERNET:
                kind, at = ethernet(octets, at)
                self._ethernet(octets, out, start, at)
                continue
            elif kind == _PPPOE:
                kind, at = {0x21: IPV4, 0x57: IPV6}.get(_HALF.unpack_from(octets, at + 6)[0], 0), at + 8
            else:
                break
            out[start:at] = octets[start:at]
        return kind, at

    # -- IP

    def _inside(  # noqa: PLR0917
        self, frame: int, octets: bytes, out: bytearray, kind: int, at: int, datagram: Datagram, depth: int
    ) -> None:
        self._internet(octets, out, kind, at, datagram)
        if datagram.fragment is not None or not depth:
            return
        if datagram.proto == TCP:
            self._tcp(frame, octets, out, datagram)
        elif datagram.proto in (ICMP, ICMPV6):
            self._icmp(octets, out, datagram)
        elif (found := self._tunnel(octets, out, datagram)) is not None:
            kind, at = self._tags(octets, out, *found)
            inner = internet(octets[: datagram.end], kind, at, datagram.wire_end)
            if inner is not None:
                self._inside(frame, octets[: datagram.end], out, kind, at, inner, depth - 1)
            _sum_outer(octets, out, datagram, self._names)

    def _internet(self, octets: bytes, out: bytearray, kind: int, at: int, datagram: Datagram) -> None:
        address = self._names.address
        if kind == IPV4:
            out[at : at + 12] = octets[at : at + 10] + b"\0\0"
            out[at + 12 : at + 20] = address(datagram.src) + address(datagram.dst)
            end = at + (octets[at] & 15) * 4
            out[at + 10 : at + 12] = checksum(out[at:end])
            return
        out[at : at + 8] = octets[at : at + 8]
        out[at + 8 : at + 40] = address(datagram.src) + address(datagram.dst)
        proto, place = octets[at + 6], at + 40
        while place < datagram.at:
            size = 8 if proto == _FRAGMENT else (octets[place + 1] + 2) * 4 if proto == _AUTHENTICATION else 0
            size = size or (octets[place + 1] + 1) * 8
            kept = 8 if proto == _FRAGMENT else 2
            out[place : place + kept] = octets[place : place + kept]
            proto, place = octets[place], place + size

    def _whole(self, ts: int, octets: bytes, datagram: Datagram, kind: int, at: int) -> bytes | None:
        """Return the frame with the datagram that this fragment completes, not in fragments; None when it completes none."""
        if not self._careful:
            raise Fragmented
        if datagram.proto not in {TCP, 60} or datagram.fragment is None:
            return None
        whole = self._fragments.add(ts, datagram, datagram.fragment, octets[datagram.at : datagram.end])
        if whole is None:
            return None
        if kind == IPV4:
            total = 20 + len(whole)
            head = b"\x45" + octets[at + 1 : at + 2] + _HALF.pack(total if total <= 0xFFFF else 0)
            head += octets[at + 4 : at + 6] + b"\0\0" + octets[at + 8 : at + 20]
        else:
            size = len(whole) if len(whole) <= 0xFFFF else 0
            head = octets[at : at + 4] + _HALF.pack(size) + bytes((datagram.proto,)) + octets[at + 7 : at + 40]
        return octets[:at] + head + whole

    # -- what IP carries

    def _tcp(self, frame: int, octets: bytes, out: bytearray, datagram: Datagram) -> None:
        at, end = datagram.at, datagram.end
        if at + 20 > end:
            return
        payload = at + (octets[at + 12] >> 4) * 4
        out[at : at + 16] = octets[at : at + 16]
        out[at + 18 : at + 20] = octets[at + 18 : at + 20]
        _tcp_options(octets, out, at + 20, min(payload, end))
        if payload < end:
            key = datagram.src + datagram.dst + octets[at : at + 4]
            seq = int.from_bytes(octets[at + 4 : at + 8], "big") + bool(octets[at + 13] & SYN)
            out[payload:end] = self._show(key, frame, seq, octets[payload:end])
        if end == datagram.wire_end:
            out[at + 16 : at + 18] = checksum(_pseudo(datagram, TCP, self._names) + out[at:end])

    def _icmp(self, octets: bytes, out: bytearray, datagram: Datagram) -> None:
        """Copy a 'destination unreachable' with the headers it quotes; of other messages nothing."""
        at, end, version4 = datagram.at, datagram.end, datagram.proto == ICMP
        if complaint(octets[at], octets[at + 1], version4=version4) is None:
            return
        out[at : at + 2] = octets[at : at + 2]
        if not version4 and octets[at] == 2:
            out[at + 4 : at + 8] = octets[at + 4 : at + 8]  # the next link's largest packet (RFC 4443)
        elif version4:
            out[at + 6 : at + 8] = octets[at + 6 : at + 8]  # the same (RFC 1191)
        self._quoted(octets[:end], out, IPV4 if version4 else IPV6, at + _QUOTE)
        if end == datagram.wire_end:
            head = b"" if version4 else _pseudo(datagram, ICMPV6, self._names)
            out[at + 2 : at + 4] = checksum(head + out[at:end])

    def _quoted(self, octets: bytes, out: bytearray, kind: int, at: int) -> None:
        quoted = internet(octets, kind, at, 0)
        if quoted is None:
            return
        self._internet(octets, out, kind, at, quoted)
        if quoted.proto != TCP:
            return
        start, end = quoted.at, min(quoted.end, len(octets))
        out[start : min(start + 16, end)] = octets[start : min(start + 16, end)]
        out[start + 18 : min(start + 20, end)] = octets[start + 18 : min(start + 20, end)]
        if start + 20 <= end:  # of a quotation cut short, what Wireshark reckons over what is there
            out[start + 16 : start + 18] = checksum(_pseudo(quoted, TCP, self._names) + out[start:end])

    # -- tunnels

    def _tunnel(self, octets: bytes, out: bytearray, datagram: Datagram) -> tuple[int, int] | None:
        """Copy a tunnel's header; return what it carries and where that begins."""
        at = datagram.at
        if datagram.proto == _GRE:
            return self._gre(octets, out, at)
        found = tunnelled(octets[: datagram.end], datagram)
        if found is None:
            return None
        end, size = found[1], {_UDP: _UDP_BYTES + _TUNNEL_BYTES, _ETHERIP: 2}.get(datagram.proto, 0)
        if datagram.proto == _UDP:
            ports = {_HALF.unpack_from(octets, at)[0], _HALF.unpack_from(octets, at + 2)[0]}
            size = end - at if _GTP in ports else 12 if ports & {_TEREDO, _TZSP} else size
            if _TZSP in ports:
                out[end - 1] = octets[end - 1]  # the end of the tagged fields, which are zeros: padding
        out[at : min(at + size, end)] = octets[at : min(at + size, end)]
        return found

    def _gre(self, octets: bytes, out: bytearray, at: int) -> tuple[int, int]:
        """Copy GRE and the ERSPAN header inside; see ``headers``."""
        flags, kind = _HALF.unpack_from(octets, at)[0], _HALF.unpack_from(octets, at + 2)[0]
        inner = at + 4 + 4 * bool(flags & 0x8000) + 4 * bool(flags & 0x2000) + 4 * bool(flags & 0x1000)
        if kind == 0x88BE:
            kind, inner = ETHERNET, inner + 8 * bool(flags & 0x1000)
        elif kind == 0x22EB:
            kind, inner = ETHERNET, inner + 12 + 8 * (octets[inner + 11] & 1)
        out[at:inner] = octets[at:inner]
        return kind, inner


def _pseudo(datagram: Datagram, proto: int, names: Pseudonyms) -> bytes:
    """Return the pseudo header (RFC 9293, section 3.1; RFC 8200, section 8.1) of a datagram as it is written."""
    ends = names.address(datagram.src) + names.address(datagram.dst)
    size = datagram.end - datagram.at
    return ends + size.to_bytes(4, "big") + proto.to_bytes(4, "big")


def _sum_outer(octets: bytes, out: bytearray, datagram: Datagram, names: Pseudonyms) -> None:
    """Put the checksum of a tunnel's header right, where it has one."""
    at, end = datagram.at, datagram.end
    whole = end == datagram.wire_end
    if datagram.proto == _UDP and any(octets[at + 6 : at + 8]):
        out[at + 6 : at + 8] = b"\0\0"
        made = checksum(_pseudo(datagram, _UDP, names) + out[at:end])
        out[at + 6 : at + 8] = (made if any(made) else b"\xff\xff") if whole else b"\0\0"
    elif datagram.proto == _GRE and octets[at] & 0x80:
        out[at + 4 : at + 6] = b"\0\0"
        out[at + 4 : at + 6] = checksum(out[at:end]) if whole else b"\0\0"


def _tcp_options(octets: bytes, out: bytearray, at: int, end: int) -> None:
    """Copy usual options; others become as many no-operations (RFC 9293, section 3.1)."""
    while at < end:
        kind = octets[at]
        if kind <= _NOP:
            size = 1
        elif at + 1 < end:
            size = octets[at + 1]
        else:
            return
        if size < 1 or at + size > end or (kind > _NOP and size < 2):
            return
        out[at : at + size] = octets[at : at + size] if kind in _TCP_OPTIONS or kind <= _NOP else bytes((_NOP,)) * size
        if kind == 0:
            return
        at += size
