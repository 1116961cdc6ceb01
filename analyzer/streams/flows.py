"""connections: packets of all connections, mixed, become one record and one ordered stream of octets for each."""

from __future__ import annotations

import mmap
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from analyzer.at import NS_PER_S, At, Side
from analyzer.capture.packets import ACK, FIN, RST, SYN, Packets, Unreachable
from analyzer.streams.connection import Chunk, Connection, Listener
from analyzer.streams.reassembly import AHEAD, COPY_NS, MASK, RECENT, Half
from analyzer.streams.tracking import Key, Track

MAIL_PORTS_DEFAULT = frozenset({25, 110, 143, 465, 587, 993, 995})
"""SMTP, POP3, IMAP, submission and their TLS twins (IANA service names)."""
LINGER_NS = 60 * NS_PER_S
"""A closed connection waits this long for late packets: TIME-WAIT of common systems (RFC 9293, section 3.4.2)."""
LINGER_LIMIT = 4096
"""Closed connections that wait at once; beyond it the one closed first goes."""
OPEN_LIMIT = 100_000
"""Connections open at once; beyond it (a SYN flood) the one that began first is ended."""
HELD_PACKETS = 8
"""Packets without payload after which a connection on unknown ports is no longer asked who its client is."""

# greeting = "* OK" / "* BYE" / "* PREAUTH" (RFC 9051) | "+OK" / "-ERR" (RFC 1939) | 220 / 421 / 554 (RFC 5321)
_GREETING = re.compile(rb"\* (?:OK|BYE|PREAUTH)\b|\+OK|-ERR|(?:220|421|554)[ -]", re.IGNORECASE)
_NEVER_NS = 1 << 63
_STEER = SYN | FIN | RST


def connections(
    windows: Iterable[Packets], listen: Callable[[Connection], Listener], *, ports: frozenset[int] = MAIL_PORTS_DEFAULT
) -> Iterator[Connection]:
    """Yield each connection when it has ended; those open when the capture ends come last, in order of first frame.

    ``listen`` is called once per connection, as soon as it is known who the client is; chunks are pushed to what it
    returns while the packets are read. ``ports`` are those a server listens on, for connections whose SYN is missing.
    """
    return _Flows(listen, ports).read(windows)


class _Flows:
    """All connections that may still get packets."""

    def __init__(self, listen: Callable[[Connection], Listener], ports: frozenset[int]) -> None:
        self.listen = listen
        self.ports = ports
        self.halves: dict[Key, Half] = {}
        self.tracks: dict[str, Track] = {}
        self.held: dict[Key, tuple[str, list[tuple[int, ...]]]] = {}
        self.lingering: deque[tuple[int, Track]] = deque()
        self.deadline = _NEVER_NS
        self.count = 0
        self.addresses: Sequence[str] = ()
        self.indexes: dict[str, int] = {}
        self.octets: memoryview | mmap.mmap = memoryview(b"")

    def read(self, windows: Iterable[Packets]) -> Iterator[Connection]:
        for window in windows:
            yield from self._window(window)
            for half in self.halves.values():
                half.forget()
        for uid, rows in self.held.values():
            yield from self._start(uid, rows, self._higher_port(rows[0]), "port")
        for track in sorted(self.tracks.values(), key=lambda track: track.connection.first_frame):
            track.end()
            track.part()
            yield track.connection

    def _window(self, window: Packets) -> Iterator[Connection]:
        """Take the rows of one window: the loop that every mail packet passes, hence the short way in its middle."""
        self.addresses = window.addresses
        buffer = (
            window.buffer
        )  # a view of a mapped file would keep it from being closed, and its slices are copies anyway
        self.octets = octets = buffer if isinstance(buffer, mmap.mmap) else memoryview(buffer)
        complaints = deque(sorted(window.unreachable))
        self.indexes = {address: index for index, address in enumerate(window.addresses)} if complaints else {}
        complaint = complaints[0].frame if complaints else _NEVER_NS
        halves = self.halves
        for row in window.rows():
            frame, ts, src, dst, sport, dport, seq, ack, flags, start, size, cut, _, _, _, _ = row
            if frame > complaint:
                complaint = self._complain(complaints, frame)
            if ts >= self.deadline:
                yield from self._expire(ts)
            half = halves.get((src, sport, dst, dport))
            if half is None:
                yield from self._begin(row)
                continue
            peer = half.peer
            behind = (peer.next - ack) & MASK
            if not flags & _STEER and seq == half.next & MASK and behind < AHEAD and not cut:
                if size:
                    if half.fast:
                        half.recent[half.packets % RECENT] = row
                        half.packets += 1
                        half.next += size
                        half.octets += size
                        half.frame = half.said_frame = frame
                        half.ts = half.said_ts = ts
                        if size <= half.skip:
                            half.skip -= size
                            half.passed += size
                        else:
                            chunk = Chunk(half.side, bytes(octets[start : start + size]), At(frame, ts), 0, half.passed)
                            half.passed = 0
                            half.skip = half.push(chunk)
                        continue
                elif half.quiet:
                    news = peer.firm and peer.next - behind > peer.acked
                    if news or ts - half.ts > COPY_NS:  # else it might be a mirrored copy
                        if news:
                            peer.acked = peer.next - behind
                        half.recent[half.packets % RECENT] = row
                        half.packets += 1
                        half.frame = frame
                        half.ts = ts
                        continue
            track = half.track
            if flags & SYN and not flags & RST and track.starts_anew(half, seq, ack, flags):
                yield self._fold(track)
                yield from self._begin(row)
                continue
            was_closed = track.closed
            track.take(half, row, octets)
            if track.closed and not was_closed:
                yield from self._linger(track, ts)
        self._complain(complaints, _NEVER_NS)

    # -- the start of a connection

    def _begin(self, row: tuple[int, ...]) -> Iterator[Connection]:
        """Take a packet of an unknown connection: start it, or hold the packet until it is known who is who."""
        _, _, src, dst, sport, dport, _, _, _, _, size, *_ = row
        one, other = (src, sport, dst, dport), (dst, dport, src, sport)
        pair = min(one, other)
        uid, rows = self.held.get(pair, ("", []))
        if not uid:
            self.count += 1
            uid = f"C{self.count}"
        rows.append(row)
        known = self._client_of(row)
        if known is None and not size and len(rows) < HELD_PACKETS and len(self.held) < OPEN_LIMIT:
            self.held[pair] = (uid, rows)
            return
        self.held.pop(pair, None)
        client, how = known or (self._higher_port(row), "port")
        yield from self._start(uid, rows, client, how)

    def _client_of(self, row: tuple[int, ...]) -> tuple[Key, str] | None:
        """Return the client's 4-tuple and how it is known, as far as one packet tells."""
        _, _, src, dst, sport, dport, _, _, flags, start, size, *_ = row
        sent, received = (src, sport, dst, dport), (dst, dport, src, sport)
        if flags & SYN and not flags & RST:
            return (received if flags & ACK else sent), "syn"
        if (sport in self.ports) != (dport in self.ports):
            return (received if sport in self.ports else sent), "port"
        if size and _GREETING.match(self.octets[start : start + size]):
            return received, "greeting"
        return None

    def _higher_port(self, row: tuple[int, ...]) -> Key:
        _, _, src, dst, sport, dport, *_ = row
        return (src, sport, dst, dport) if sport > dport else (dst, dport, src, sport)

    def _start(self, uid: str, rows: list[tuple[int, ...]], client: Key, how: str) -> Iterator[Connection]:
        """Open a connection and give it its first packets."""
        if len(self.tracks) >= OPEN_LIMIT:
            yield self._fold(next(iter(self.tracks.values())))
        source, port, target, target_port = client
        first = rows[0]
        connection = Connection(
            uid, self.addresses[source], port, self.addresses[target], target_port, how, first[0], first[1]
        )
        track = Track(connection, self.listen(connection), (client, (target, target_port, source, port)))
        self.tracks[uid] = track
        self.halves[track.keys[1]] = track.server
        self.halves[client] = track.client
        for row in rows:
            track.take(self.halves[(row[2], row[4], row[3], row[5])], row, self.octets)
        if track.closed:
            yield from self._linger(track, rows[-1][1])

    # -- the end of a connection

    def _fold(self, track: Track) -> Connection:
        """End a connection and forget it."""
        for key in track.keys:
            self.halves.pop(key, None)
        del self.tracks[track.connection.uid]
        track.end()
        track.part()
        return track.connection

    def _linger(self, track: Track, ts: int) -> Iterator[Connection]:
        """Let a closed connection wait for late packets."""
        self.lingering.append((ts + LINGER_NS, track))
        if len(self.lingering) > LINGER_LIMIT:
            _, oldest = self.lingering.popleft()
            if oldest.connection.uid in self.tracks:
                yield self._fold(oldest)
        self.deadline = self.lingering[0][0]

    def _expire(self, now: int) -> Iterator[Connection]:
        """End the closed connections whose time is over at ``now``."""
        while self.lingering and self.lingering[0][0] <= now:
            _, track = self.lingering.popleft()
            again = track.last.ts + LINGER_NS
            if again > now:  # it goes on: the RST was not meant for it, or not believed
                self.lingering.append((again, track))
            elif track.connection.uid in self.tracks:
                yield self._fold(track)
        self.deadline = self.lingering[0][0] if self.lingering else _NEVER_NS

    # -- complaints of routers

    def _complain(self, complaints: deque[Unreachable], frame: int) -> int:
        """Attribute the ICMP errors before ``frame`` to unanswered connections; return the frame of the next one."""
        while complaints and complaints[0].frame < frame:
            complaint = complaints.popleft()
            track = self._quoted(complaint)
            if track and not track.server.packets and track.connection.unreachable is None:
                track.connection.unreachable = f"{complaint.code} from {complaint.reporter}"
                track.connection.unreachable_frame = complaint.frame
        return complaints[0].frame if complaints else _NEVER_NS

    def _quoted(self, complaint: Unreachable) -> Track | None:
        """Return the connection whose client sent the quoted packet."""
        source, target = self.indexes.get(complaint.src, -1), self.indexes.get(complaint.dst, -1)
        half = self.halves.get((source, complaint.sport, target, complaint.dport))
        return half.track if half and half.side is Side.CLIENT else None
