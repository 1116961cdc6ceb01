"""ICMP and ICMPv6 'destination unreachable' that quotes a TCP packet to or from a mail port (RFC 792, RFC 4443)."""

from __future__ import annotations

from struct import Struct

from analyzer.capture.headers import ICMP, IPV4, IPV6, TCP, Datagram, internet
from analyzer.capture.packets import Unreachable
from analyzer.capture.window import text

_PORTS = Struct(">HH").unpack_from
_QUOTE = 8  # octets of ICMP before the quoted datagram
_CODES_4 = {0: "net", 1: "host", 3: "port", 4: "fragmentation", 6: "net", 7: "host", 9: "prohibited", 10: "prohibited"}
_CODES_4 |= {11: "net", 12: "host", 13: "prohibited"}
_CODES_6 = {0: "net", 1: "prohibited", 3: "host", 4: "port", 5: "prohibited", 6: "prohibited"}
_TYPE_4, _TYPE_6, _TOO_BIG_6 = 3, 1, 2


def unreachable(frame: int, ts: int, octets: bytes, datagram: Datagram, ports: frozenset[int]) -> Unreachable | None:
    """Return the complaint in an ICMP or ICMPv6 datagram, None when it is another message or about other ports.

    Raises:
        IndexError, struct.error: the quotation is cut before the ports.
    """
    at = datagram.at
    code = complaint(octets[at], octets[at + 1], version4=datagram.proto == ICMP)
    if code is None:
        return None
    quoted = internet(octets, IPV4 if datagram.proto == ICMP else IPV6, at + _QUOTE, 0)
    if quoted is None or quoted.proto != TCP or (quoted.fragment is not None and quoted.fragment.offset):
        return None
    sport, dport = _PORTS(octets, quoted.at)
    if sport not in ports and dport not in ports:
        return None
    reporter, src, dst = text(datagram.src), text(quoted.src), text(quoted.dst)
    return Unreachable(frame, ts, reporter, src, dst, sport, dport, code)


def complaint(kind: int, code: int, *, version4: bool) -> str | None:
    """Return our word for an ICMP or ICMPv6 type and code, None when the message is no 'unreachable'."""
    if version4:
        return _CODES_4.get(code, "other") if kind == _TYPE_4 else None
    if kind == _TOO_BIG_6:
        return "fragmentation"
    return _CODES_6.get(code, "other") if kind == _TYPE_6 else None
