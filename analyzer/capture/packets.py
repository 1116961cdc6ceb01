"""Packets: the columns of mail packets of one window of a capture, and the facts about the whole capture.

The floors above see only this file. How the columns are made (a plain loop, arrays, tshark) is nobody's business but
``capture``'s; every column is an integer sequence that can be zipped, of equal length, in file order.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
"""Bits of the flags column (RFC 9293, section 3.1)."""


class Row(NamedTuple):
    """One TCP packet as it comes out of :meth:`Packets.rows`."""

    frame: int
    """Frame number in the file, 1-based, counted over all frames. Of an IP datagram in fragments: the completing one."""
    ts: int
    """ns since the Unix epoch, UTC."""
    src: int
    """Index into :attr:`Packets.addresses`."""
    dst: int
    """Index into :attr:`Packets.addresses`."""
    sport: int
    dport: int
    seq: int
    """As on the wire, unsigned 32 bits."""
    ack: int
    flags: int
    start: int
    """First payload octet in :attr:`Packets.buffer`."""
    size: int
    """Payload octets in the file (padding excluded)."""
    cut: int
    """Payload octets that were on the wire but are not in the file (snap length)."""
    ip_id: int
    """IPv4 identification; 0 for IPv6, which has none."""
    ttl: int
    """IPv4 time to live or IPv6 hop limit."""
    link: int
    """CRC-32 of the link header (addresses, VLAN tags): tells a mirrored copy from the original."""
    window: int
    """TCP window as on the wire, unscaled."""


class Unreachable(NamedTuple):
    """An ICMP or ICMPv6 'destination unreachable' that quotes a TCP packet to a mail port."""

    frame: int
    ts: int
    reporter: str
    """Address of the router or host that complains."""
    src: str
    """Sender of the quoted packet, that is the client."""
    dst: str
    sport: int
    dport: int
    code: str
    """'net', 'host', 'port', 'prohibited', 'fragmentation', 'other'."""


class Packets:
    """One window: equal-length columns, one row per kept TCP packet, and the buffer the payloads lie in."""

    buffer: bytes | bytearray | memoryview | mmap.mmap
    """Good until the next window is asked for: it may be the mapped file itself."""
    addresses: Sequence[str]
    """Canonical text of each address; grows from window to window, indexes stay valid."""
    columns: tuple[Sequence[int], ...]
    """In the order of :class:`Row`'s fields."""
    unreachable: Sequence[Unreachable]

    def __init__(
        self,
        buffer: bytes | bytearray | memoryview | mmap.mmap,
        addresses: Sequence[str],
        columns: tuple[Sequence[int], ...],
        unreachable: Sequence[Unreachable] = (),
    ) -> None:
        self.buffer, self.addresses, self.columns, self.unreachable = buffer, addresses, columns, unreachable

    def __len__(self) -> int:
        return len(self.columns[0])

    def rows(self) -> Iterator[tuple[int, ...]]:
        """Yield each row as a tuple in the order of :class:`Row`'s fields."""
        return zip(*self.columns, strict=True)


class Stopped(NamedTuple):
    """Where and why reading ended before the end of the file."""

    frame: int
    """The last frame that could be read."""
    offset_bytes: int
    """Octets from the start of the (unpacked) file."""
    reason: str


class Facts:
    """What is true of a capture as a whole; complete once its last window was read."""

    format: str = ""
    """'pcap', 'pcapng', 'tshark', with ' (gzip)' behind it when packed."""
    link_types: list[str]
    """Names in order of appearance, such as 'ethernet', 'linux_sll2', 'raw_ip', 'null'."""
    packets: int = 0
    """All frames in the file, mail or not."""
    start: int | None = None
    """Earliest frame, ns UTC."""
    end: int | None = None
    """Latest frame, ns UTC."""
    stopped: Stopped | None = None
    snapped: int = 0
    """Kept mail packets that the snap length cut."""
    resolution: int = 6
    """Decimal digits of the capture's own clock: 6 for microseconds, 9 for nanoseconds."""
    secrets: bool = False
    """TLS keys lie in the file itself (pcapng's Decryption Secrets Block)."""
    warnings: list[str]
    """Oddities worth a sentence in the report."""
    sha256: str | None = None
    """Of a member of an archive, hexadecimal, when that was asked for."""

    def __init__(self, *, format: str = "", warnings: list[str] | None = None) -> None:  # noqa: A002
        self.format, self.link_types, self.warnings = format, [], [] if warnings is None else warnings

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Facts) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Capture(Protocol):
    """An opened capture file."""

    name: str
    """Base name of the file, cleaned."""
    facts: Facts

    def windows(self) -> Iterator[Packets]:
        """Yield the mail packets window by window and complete ``facts`` on the way; can be called once."""
