"""The walk over all frames: a plain loop that decides by ports as early as possible and keeps mail packets only.

Two roads: plain IPv4 without options or fragments behind a link header of fixed length is read in place, with as few
operations as possible; everything else (tags, tunnels, IPv6, fragments, ICMP, odd links) goes through ``headers``.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from itertools import islice
from struct import Struct, error
from zlib import crc32

from analyzer.capture import pcap, pcapng
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
    extensions,
    internet,
    tunnelled,
    untag,
)
from analyzer.capture.packets import SYN, Facts, Packets, Stopped
from analyzer.capture.record import DamageError, Data, Reader, Record, link_name
from analyzer.capture.select import OPENERS, Selection
from analyzer.capture.tunnels import TUNNEL_PORTS
from analyzer.capture.unreachable import unreachable
from analyzer.capture.via_scapy import Foreign
from analyzer.capture.window import Segment, Window

_FIXED_HEADERS = {1: 14, 113: 16}
"""Link type -> octets of a header that ends in the EtherType."""

_PLAIN_BYTES = 40  # IPv4 and TCP without options
_PEEK = Struct(">HB5xHxB10xHH").unpack_from  # EtherType, version and length, fragment, protocol, both ports
_V4 = Struct(">xxHHxxB3x4s4s").unpack_from  # total length, identification, time to live, addresses
_PORTS = Struct(">HH").unpack_from
BULK_BYTES = 48 << 20
"""Files from this size on are read in bulk; below it, loading NumPy costs more than it saves."""
BULK_RECORDS = 80_000
"""The same for files of less octets and many small packets, by the size of the first ones."""
_SAMPLE_RECORDS = 1024
"""Records by which their number is guessed."""

_RELEASE_BYTES = 64 << 20
"""Octets of a mapped file walked before their pages are given back."""


class Walk:
    """One pass over the records of one capture."""

    def __init__(self, data: Data, facts: Facts, ports: frozenset[int], *, any_port: bool) -> None:
        self.facts, self.ports, self.any_port = facts, ports, any_port
        self.window = Window(facts)
        self.selection = Selection(self.window)
        self._data, self._released = data, 0
        self._fragments = Fragments()
        self._foreign: dict[int, Foreign] = {}
        self.watch: Callable[[int, int], None] | None = None
        """Told where reading is, and of how many octets, when pages are given back."""

    def windows(self, reader: Reader, damage: str | None = None) -> Iterator[Packets]:
        """Yield window after window, read in bulk where the container allows it and the file is large enough to pay."""
        container = self._container(reader) if self._pays(reader) else None
        if container is None:
            return self.packets(reader(self._data, self.facts), damage)
        from analyzer.capture.bulk import Bulk

        return Bulk(self, container, self._data).packets(damage)

    def _pays(self, reader: Reader) -> bool:
        """Tell whether the capture is large enough for the bulk walk, in octets or, by guess, in records."""
        size = len(self._data)
        if size >= BULK_BYTES or size < BULK_RECORDS * _PLAIN_BYTES:
            return size >= BULK_BYTES
        try:
            places = [record[1] for record in islice(reader(self._data, Facts()), _SAMPLE_RECORDS)]
        except DamageError:
            return False
        return bool(places) and len(places) * size > BULK_RECORDS * places[-1]

    def _container(self, reader: Reader) -> pcap.Records | pcapng.Records | None:
        """Return the container as the bulk walk takes it; None when only the plain walk can read it."""
        if reader is pcapng.records and pcapng.regular(self._data):
            return pcapng.Records(self._data, self.facts)
        return pcap.Records(self._data, self.facts) if reader is pcap.records and pcap.regular(self._data) else None

    def packets(self, records: Iterator[Record], damage: str | None = None) -> Iterator[Packets]:
        """Yield window after window; the facts are complete before the last one is yielded.

        ``damage`` says why the data ends early when the packing around the capture was damaged.
        """
        data, facts, window, ports, any_port = self._data, self.facts, self.window, self.ports, self.any_port
        followed, waiting, offer = self.selection.followed, self.selection.waiting, self.selection.offer
        peek, general = _PEEK, self.general
        frame, first, last, released = 0, 1 << 64, -1, _RELEASE_BYTES
        link_before = head = -1
        try:
            for ts, at, size, wire, link in records:
                frame += 1
                if ts < first:  # noqa: PLR1730  (min and max cost a call per frame)
                    first = ts
                if ts > last:  # noqa: PLR1730
                    last = ts
                if link != link_before:
                    link_before, head = link, _FIXED_HEADERS.get(link, -1)
                if head > 0 and size >= head + _PLAIN_BYTES:
                    ip = at + head
                    kind, version, part, proto, sport, dport = peek(data, ip - 2)
                    if kind in VLAN_KINDS and size >= head + _PLAIN_BYTES + 4:
                        ip += 4
                        kind, version, part, proto, sport, dport = peek(data, ip - 2)
                    if kind == IPV4 and version == 0x45 and not part & 0x3FFF:
                        if proto == TCP:
                            if sport in ports or dport in ports:
                                window.add(_plain(frame, ts, data, at, ip, size, wire))
                            elif any_port:
                                key = data[ip + 12 : ip + 24]
                                tcp = ip + 20
                                if key in waiting or key in followed or data[tcp + 13] & SYN:
                                    offer(key, _plain(frame, ts, data, at, ip, size, wire))
                                else:
                                    said = tcp + (data[tcp + 12] >> 2 & 60)
                                    if said < at + size and data[said] in OPENERS:
                                        offer(key, _plain(frame, ts, data, at, ip, size, wire))
                        elif proto != 17 or dport in TUNNEL_PORTS or sport in TUNNEL_PORTS:
                            general(frame, ts, data[at : at + size], wire, link)
                    elif kind != 0x0806:
                        general(frame, ts, data[at : at + size], wire, link)
                else:
                    general(frame, ts, data[at : at + size], wire, link)
                if window.full and (taken := window.take()) is not None:
                    yield taken
                if at > released:
                    self.release(at)
                    released = at + _RELEASE_BYTES
        except DamageError as found:
            facts.stopped = Stopped(frame, found.offset_bytes, damage or found.reason)
        self.complete(frame, first, last, damage)
        if (taken := window.take()) is not None:
            yield taken

    def complete(self, frames: int, first: int, last: int, damage: str | None) -> None:
        """Complete the facts, all frames having been seen."""
        facts = self.facts
        if damage is not None and facts.stopped is None:
            facts.stopped = Stopped(frames, len(self._data), damage)
        facts.packets = frames
        facts.start, facts.end = (first or None, last or None) if frames else (None, None)
        for foreign in self._foreign.values():
            facts.warnings.extend(foreign.warnings())

    def release(self, at: int) -> None:
        """Give back the pages of a mapped file before ``at``, where the system can; tell who watches."""
        if self.watch is not None:
            self.watch(at, len(self._data))
        if isinstance(self._data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            at &= -mmap.PAGESIZE
            if at > self._released:
                self._data.madvise(mmap.MADV_DONTNEED, self._released, at - self._released)
                self._released = at

    def general(self, frame: int, ts: int, octets: bytes, wire: int, link: int) -> None:
        """Read any frame; what ends too early or makes no sense is skipped."""
        try:
            reader = LINKS.get(link)
            if reader is None:
                if link < 0:  # a block that is numbered but no packet
                    return
                octets = self._other(link, octets)
                kind, at = (IPV4 if octets[0] >> 4 == 4 else IPV6), 0
                wire = len(octets)
            else:
                kind, at = untag(octets, *reader(octets, 0))
            self._inside(frame, ts, octets, kind, at, wire, crc32(octets[:at]))
        except (IndexError, error):
            return

    def _inside(self, frame: int, ts: int, octets: bytes, kind: int, at: int, wire: int, link: int) -> None:  # noqa: PLR0917
        for _ in range(TUNNEL_DEPTH):
            datagram = internet(octets, kind, at, wire)
            if datagram is None:
                return
            if datagram.fragment is not None:
                self._fragment(frame, ts, octets, datagram, link)
                return
            if datagram.proto == TCP:
                self._tcp(frame, ts, octets, datagram, link)
                return
            if datagram.proto in (ICMP, ICMPV6):
                found = unreachable(frame, ts, octets, datagram, self.ports)
                if found is not None:
                    self.window.complain(found)
                return
            inner = tunnelled(octets[: datagram.end], datagram)
            if inner is None:
                return
            kind, at = untag(octets, *inner)

    def _fragment(self, frame: int, ts: int, octets: bytes, datagram: Datagram, link: int) -> None:
        fragment = datagram.fragment
        if fragment is None or datagram.proto not in (TCP, 60):  # 60: destination options before TCP
            return
        whole = self._fragments.add(ts, datagram, fragment, octets[datagram.at : datagram.end])
        if whole is None:
            return
        proto, at, nested = extensions(whole, datagram.proto, 0)
        if proto == TCP and nested is None:
            joined = datagram._replace(at=at, end=len(whole), wire_end=len(whole), fragment=None)
            self._tcp(frame, ts, whole, joined, link)

    def _tcp(self, frame: int, ts: int, octets: bytes, datagram: Datagram, link: int) -> None:
        src, dst, _, at, end, wire_end, ident, ttl, _ = datagram
        if at + 20 > end:
            return
        sport, dport = _PORTS(octets, at)
        segment = Segment(frame, ts, octets, src, dst, at, end, wire_end, ident, ttl, link)
        if sport in self.ports or dport in self.ports:
            self.window.add(segment)
        elif self.any_port:
            self.selection.offer(src + dst + octets[at : at + 4], segment)

    def _other(self, link: int, octets: bytes) -> bytes:
        """Return the IP datagram in a frame of a link type that is not ours, through scapy."""
        foreign = self._foreign.get(link)
        if foreign is None:
            foreign = self._foreign[link] = Foreign(link, link_name(link))
        return foreign.internet(octets)


def _plain(frame: int, ts: int, data: Data, at: int, ip: int, size: int, wire: int) -> Segment:  # noqa: PLR0917
    """Make the segment of a plain IPv4 packet (header of 20 octets) at ``ip``."""
    total, ident, ttl, src, dst = _V4(data, ip)
    end = at + size
    wire_end = ip + total if total else at + max(wire, size)
    return Segment(frame, ts, data, src, dst, ip + 20, min(end, wire_end), wire_end, ident, ttl, crc32(data[at:ip]))
