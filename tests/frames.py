"""TCP segments -> octets of frames -> capture files: headers with right checksums, link types, containers.

Plain headers are packed by hand (thousands per second are needed); scapy builds the odd ones: Linux cooked links and
ICMP errors. The same input gives the same bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from analyzer.at import Side

LINK_TYPES = {"null": 0, "ethernet": 1, "raw": 101, "sll": 113, "sll2": 276}
SNAP = 262_144
"""Octets; tcpdump's default, which cuts nothing here."""
ETHERNET_MIN = 60
"""Octets; shorter frames arrive padded (the note's '+' fills a frame of 60)."""


class Host(NamedTuple):
    """One machine of a scene."""

    address: str
    ttl: int = 128

    @property
    def mac(self) -> bytes:
        """A locally administered address, always the same for one host."""
        return b"\x02\x00" + zlib.crc32(self.address.encode()).to_bytes(4, "big")


class Segment(NamedTuple):
    """One TCP segment as it passes the capture point."""

    ts: int
    flow: int
    """Number of its conversation."""
    side: Side
    src: Host
    dst: Host
    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    data: bytes = b""
    options: bytes = b""
    ip_id: int = 0
    copy: bool = False
    """A mirrored duplicate: another link header, one hop later."""


class Notice(NamedTuple):
    """A packet that is no TCP segment, ready made from the IP header on."""

    ts: int
    src: Host
    dst: Host
    octets: bytes


@dataclass(frozen=True)
class Look:
    """How a capture file looks, whatever it holds."""

    container: str = "pcap"
    nanos: bool = False
    big: bool = False
    """Byte order of the file."""
    link: str = "ethernet"
    vlans: tuple[int, ...] = ()
    snap: int = SNAP


def checksum(octets: bytes) -> int:
    """RFC 1071: the complement of the ones' complement sum, which is the number modulo 65535."""
    octets += b"\0" * (len(octets) % 2)
    return 0xFFFF - (int.from_bytes(octets, "big") % 0xFFFF or 0xFFFF)


@cache
def packed(address: str) -> bytes:
    return ip_address(address).packed


def tcp(segment: Segment) -> bytes:
    """The TCP header (RFC 9293, section 3.1) and payload."""
    s = segment
    offset = (20 + len(s.options)) // 4 << 4
    head = struct.pack("!HHIIBBHHH", s.sport, s.dport, s.seq, s.ack, offset, s.flags, 64_240, 0, 0)
    body = head + s.options + s.data
    ends = packed(s.src.address) + packed(s.dst.address)
    sizes = struct.pack("!HH", 6, len(body)) if len(ends) == 8 else struct.pack("!IHH", len(body), 0, 6)
    return body[:16] + checksum(ends + sizes + body).to_bytes(2, "big") + body[18:]


def datagram(segment: Segment) -> bytes:
    """The IPv4 or IPv6 packet; a mirrored copy has crossed one more router."""
    src, dst = packed(segment.src.address), packed(segment.dst.address)
    ttl = segment.src.ttl - segment.copy
    body = tcp(segment)
    if len(src) == 16:
        return struct.pack("!IHBB", 0x60000000, len(body), 6, ttl) + src + dst + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), segment.ip_id, 0x4000, ttl, 6, 0) + src + dst
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + body


def prohibited(reporter: Host, syn: Segment) -> bytes:
    """ICMP 'communication administratively prohibited' that quotes a SYN (RFC 1812, RFC 4443)."""
    from scapy.layers.inet import ICMP, IP
    from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6

    quoted = datagram(syn)
    if len(packed(syn.src.address)) == 16:
        top = IPv6(src=reporter.address, dst=syn.src.address, hlim=reporter.ttl)
        return bytes(top / ICMPv6DestUnreach(code=1) / quoted)
    top = IP(src=reporter.address, dst=syn.src.address, ttl=reporter.ttl, id=1)
    return bytes(top / ICMP(type=3, code=13) / quoted[:28])


def _ether_type(octets: bytes) -> int:
    return 0x86DD if octets[0] >> 4 == 6 else 0x0800


@cache
def _cooked(link: str, mac: bytes, ether_type: int) -> bytes:
    """Linux cooked header, version 1 or 2."""
    from scapy.layers.l2 import CookedLinux, CookedLinuxV2

    if link == "sll":
        return bytes(CookedLinux(pkttype=0, lladdrtype=1, lladdrlen=6, src=mac + b"\0\0", proto=ether_type))
    head = CookedLinuxV2(proto=ether_type, ifindex=2, lladdrtype=1, pkttype=0, lladdrlen=6, src=mac + b"\0\0")
    return bytes(head)


def _ethernet(frame: Segment | Notice, octets: bytes, vlans: tuple[int, ...]) -> bytes:
    copy = getattr(frame, "copy", False)
    far = b"\x02\x01" if copy else b"\x02\x00"
    macs = far + frame.dst.mac[2:] + far + frame.src.mac[2:]
    outer = 0x88A8 if len(vlans) > 1 else 0x8100  # IEEE 802.1ad for the outer of two tags
    kinds = [outer, *[0x8100] * (len(vlans) - 1)]
    tags = b"".join(struct.pack("!HH", kind, vlan) for kind, vlan in zip(kinds, vlans, strict=False))
    return (macs + tags + _ether_type(octets).to_bytes(2, "big") + octets).ljust(ETHERNET_MIN, b"\0")


def linked(frame: Segment | Notice, look: Look) -> bytes:
    """The frame's octets from the link header on."""
    octets = frame.octets if isinstance(frame, Notice) else datagram(frame)
    if look.link == "ethernet":
        return _ethernet(frame, octets, look.vlans)
    if look.link == "raw":
        return octets
    if look.link == "null":  # BSD address family in the byte order of the capturing machine
        return struct.pack(">I" if look.big else "<I", 30 if octets[0] >> 4 == 6 else 2) + octets
    return _cooked(look.link, frame.src.mac, _ether_type(octets)) + octets


def pcap(frames: Iterable[tuple[int, bytes]], look: Look) -> bytes:
    """Classic pcap: (ns, octets) -> a file."""
    order = ">" if look.big else "<"
    magic, unit = (0xA1B23C4D, 1) if look.nanos else (0xA1B2C3D4, 1000)
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, look.snap, LINK_TYPES[look.link])]
    record = struct.Struct(order + "IIII")
    for ts, octets in frames:
        kept = octets[: look.snap]
        parts += record.pack(ts // 10**9, ts % 10**9 // unit, len(kept), len(octets)), kept
    return b"".join(parts)


def pcapng(frames: Iterable[tuple[int, bytes]], look: Look) -> bytes:
    """One section, one interface, enhanced packet blocks (the pcapng Internet-Draft, section 4)."""
    order = ">" if look.big else "<"

    def block(kind: int, body: bytes) -> bytes:
        body += b"\0" * (-len(body) % 4)
        size = struct.pack(order + "I", 12 + len(body))
        return struct.pack(order + "I", kind) + size + body + size

    digits, unit = (9, 1) if look.nanos else (6, 1000)
    resolution = struct.pack(order + "HHB3xHH", 9, 1, digits, 0, 0)
    parts = [
        block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)),
        block(1, struct.pack(order + "HHI", LINK_TYPES[look.link], 0, look.snap) + resolution),
    ]
    for ts, octets in frames:
        kept, ticks = octets[: look.snap], ts // unit
        head = struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(kept), len(octets))
        parts.append(block(6, head + kept))
    return b"".join(parts)


def save(path: Path, frames: Iterable[Segment | Notice], look: Look) -> Path:
    """Write frames as a capture file."""
    container = {"pcap": pcap, "pcapng": pcapng}[look.container]
    path.write_bytes(container(((frame.ts, linked(frame, look)) for frame in frames), look))
    return path
