"""Track: the packets of one TCP connection become its record; handshake, close, reset, the word for how it went.

Words and letters are Zeek's (``conn.log``: conn_state and history), so that analysts need not learn new ones.
"""

from __future__ import annotations

import mmap
from functools import lru_cache

from analyzer.at import NS_PER_MS, At, Side
from analyzer.capture.packets import ACK, FIN, RST, SYN
from analyzer.streams.connection import Connection, Listener
from analyzer.streams.reassembly import COPY_NS, MASK, RECENT, Half

_USUAL = ACK | SYN | RST

Key = tuple[int, int, int, int]
"""Source address index and port, destination address index and port."""


class Track:
    """One connection while it is being read."""

    __slots__ = ("client", "closed", "connection", "duplicates", "keys", "listener", "server", "settled", "settled_fin")

    def __init__(self, connection: Connection, listener: Listener, keys: tuple[Key, Key]) -> None:
        self.connection = connection
        self.listener = listener
        self.keys = keys
        """The 4-tuple as the client sends it and as the server does."""
        self.client = Half(Side.CLIENT, listener.chunk)
        self.server = Half(Side.SERVER, listener.chunk)
        self.client.peer, self.server.peer = self.server, self.client
        self.client.track = self.server.track = self
        self.closed = False
        self.settled = 0
        self.settled_fin = False
        self.duplicates = 0

    @property
    def last(self) -> At:
        """The latest packet."""
        return max(At(half.frame, half.ts) for half in (self.client, self.server) if half.packets)

    def starts_anew(self, half: Half, seq: int, ack: int, flags: int) -> bool:
        """Tell whether a SYN, from the sender of ``half``, opens another connection of the same four-tuple.

        A repeated SYN has the same initial number. One that comes late (captured behind its answer) fits the numbers
        already seen.
        """
        peer = half.peer
        if flags & ACK and peer.base is not None and (peer.base - ack) & MASK == 0:
            return False  # it answers the first octet of the other side
        if half.isn is not None:
            return half.isn != seq
        if half.base is None:
            return not flags & ACK or peer.isn is None
        return (half.base - seq - 1) & MASK != 0

    def take(self, half: Half, row: tuple[int, ...], octets: memoryview | mmap.mmap) -> None:
        """Take one packet sent by ``half``."""
        frame, ts, _, _, _, _, seq, ack, flags, start, size, cut, _, ttl, _, _ = row
        if half.packets and abs(ts - half.ts) <= COPY_NS and half.copies(row, octets):
            self.duplicates += 1
            return
        half.recent[half.packets % RECENT] = row
        half.packets += 1
        half.frame = frame
        half.ts = ts
        at = At(frame, ts)
        connection, peer = self.connection, half.peer
        if half.side and connection.server_ttl is None:
            connection.server_ttl = ttl
        if (
            flags & _USUAL == ACK
            and seq == half.next & MASK
            and ack == peer.next & MASK
            and half.firm
            and peer.firm
            and not (cut or half.stash or peer.stash)
        ):
            if size and half.ttl is None:
                half.ttl = ttl
            self._in_order(half, octets[start : start + size], flags, at)
        elif flags & RST:
            self._reset(half, ttl, at)  # what an RST carries is a reason in words, not data (RFC 9293, section 3.5.2)
        else:
            old = bool(flags & SYN) and self._syn(half, row, at)
            if half.base is None:
                half.begin(seq, firm=False)
            if flags & ACK:
                self._ack(half, ack, flags, size + cut, at)
            position = half.position(seq + (1 if flags & SYN else 0))
            if size or cut:
                self._letter(half, "D")
                half.ttl = half.ttl or ttl
                old = not half.take(position, bytes(octets[start : start + size]), cut, at, flags)
            if flags & FIN:
                old = self._fin(half, position + size + cut, at) and (old or not size + cut)
            half.repeats += old
        smooth = not (half.stash or peer.stash) and half.acked - half.next <= 1 and peer.acked - peer.next <= 1
        if smooth:  # nothing waits and nothing is owed, which :meth:`Half.look` would find out in more steps
            half.since = peer.since = None
        else:
            half.look(at)
            peer.look(at)
        self._settle(len(connection.history) if smooth or not (half.waiting or peer.waiting) else 0)

    def _in_order(self, half: Half, payload: memoryview | bytes, flags: int, at: At) -> None:
        """Take what nearly every packet is: the next octets, or none, of somebody who has all of the other side's."""
        connection, peer, size = self.connection, half.peer, len(payload)
        if half.side is Side.CLIENT and connection.established_at is None:
            shaken = half.isn is not None or peer.isn is not None
            connection.established_at = at if shaken else None
        peer.acked = max(peer.acked, peer.next)
        if size:
            self._letter(half, "D")
            half.give(bytes(payload), at)
        if flags & FIN:
            half.repeats += self._fin(half, half.next, at) and not size
        elif not size:
            self._letter(half, "A")

    def _letter(self, half: Half, letter: str) -> None:
        letter = letter.lower() if half.side else letter
        if letter not in self.connection.history:
            self.connection.history += letter

    def _syn(self, half: Half, row: tuple[int, ...], at: At) -> bool:
        """Note a SYN or SYN/ACK; True when it was seen before."""
        _, _, _, _, _, _, seq, ack, flags, _, _, _, _, ttl, _, _ = row
        connection = self.connection
        again = half.isn is not None
        self._letter(half, "H" if flags & ACK else "S")
        if not again:
            half.isn = seq
            if not half.octets and not half.stash:
                half.begin((seq + 1) & MASK, firm=True)
        if half.side is Side.CLIENT:
            connection.syn_count += 1
            connection.syn_at = connection.syn_at or at
            connection.client_isn = row[6] if connection.client_isn is None else connection.client_isn
            connection.client_known = "syn"
        elif flags & ACK and connection.syn_ack_at is None:
            connection.syn_ack_at = at
            connection.server_isn = row[6]
            connection.server_ttl = ttl
            if not half.peer.firm:
                half.peer.begin(ack, firm=True)
        return again

    def _ack(self, half: Half, ack: int, flags: int, payload: int, at: At) -> None:
        """Note what the sender has of the other side's octets, and the end of the handshake."""
        connection = self.connection
        peer = half.peer
        if not flags & SYN:
            if (
                half.side is Side.CLIENT
                and connection.established_at is None
                and (half.isn is not None or peer.isn is not None)
            ):
                connection.established_at = at
                if peer.base is None and not half.octets:
                    peer.begin(ack, firm=True)  # the handshake's last packet names the server's first octet
            if not payload and not flags & FIN:
                self._letter(half, "A")
        peer.acknowledge(ack)

    def _fin(self, half: Half, position: int, at: At) -> bool:
        """Note a FIN; True when it was seen before."""
        again = half.fin is not None
        self._letter(half, "F")
        if not again:
            half.fin = position
        if self.connection.fin_by is None:
            self.connection.fin_by, self.connection.fin_at = half.side, at
        if half.peer.fin is not None and not self.closed:
            self.closed = self.settled_fin = True
        return again

    def _reset(self, half: Half, ttl: int, at: At) -> None:
        self._letter(half, "R")
        self.closed = True
        if self.connection.reset_by is None:
            self.connection.reset_by, self.connection.reset_at, self.connection.reset_ttl = half.side, at, ttl
            self.connection.data_ttl = half.ttl
            if half.peer.packets:
                self.connection.reset_after_ms = (at.ts - half.peer.ts) / NS_PER_MS

    def _settle(self, letters: int) -> None:
        """Open the short way for packets in order, or close it while there is a hole, which has no ``letters``."""
        if letters == self.settled:  # nothing has changed since
            return
        self.settled, smooth = letters, letters > 0
        history, client, server = self.connection.history, self.client, self.server
        client.fast = smooth and client.firm and "D" in history
        server.fast = smooth and server.firm and "d" in history
        client.quiet = smooth and "A" in history
        server.quiet = smooth and "a" in history

    def end(self) -> None:
        """Complete the record and tell the listener."""
        connection, client, server = self.connection, self.client, self.server
        last = self.last
        if client.again or server.again or client.stash or server.stash:
            connection.stall = client.stall() or server.stall()
        client.finish(last)
        server.finish(last)
        connection.last_frame, connection.end = last
        connection.client_bytes, connection.server_bytes = client.octets, server.octets
        connection.missed_bytes = client.missed + server.missed
        connection.packets = client.packets + server.packets
        said = [At(half.said_frame, half.said_ts) for half in (client, server) if half.said_frame]
        connection.said_at = max(said, default=None)
        connection.server_packets, connection.server_retransmits = server.packets, server.repeats
        connection.retransmits, connection.duplicates = client.repeats + server.repeats, self.duplicates
        if connection.syn_at and connection.syn_ack_at:
            connection.handshake_ms = (connection.syn_ack_at.ts - connection.syn_at.ts) / NS_PER_MS
        # A SYN, and an RST behind it, need no answer; anything else was said to somebody.
        connection.one_sided = not client.packets or (not server.packets and not set(connection.history) <= {"S", "R"})
        connection.conn_state = conn_state(connection.history, connection.reset_by, closed=self.settled_fin)
        self.listener.end()

    def part(self) -> None:
        """Let go of both sides, which know each other: they need not wait for the garbage collector."""
        for half in (self.client, self.server):
            del half.peer, half.track


@lru_cache(maxsize=1024)
def conn_state(history: str, reset_by: Side | None, *, closed: bool) -> str:
    """Return Zeek's word for how a connection went (Zeek manual, conn.log, field conn_state).

    Args:
        history: the letters of what was seen.
        reset_by: who sent the first RST.
        closed: both sides sent FIN, and no RST came before the second one.
    """
    syn, syn_ack = "S" in history, "h" in history
    answered = bool(set(history) & set("hadfAD"))  # an ACK of the client proves a SYN/ACK that was not captured
    if closed:
        return "SF"
    if reset_by is Side.SERVER:
        if syn:
            return "RSTR" if answered else "REJ"
        return "RSTRH" if history.startswith("h") and not set(history) & set("ADF") else "RSTR"
    if reset_by is Side.CLIENT:
        return "RSTOS0" if syn and not answered else "RSTO"
    if not syn:
        return "SHR" if syn_ack and "f" in history and not set(history) & set("ADF") else "OTH"
    if "F" in history:
        return "S2" if set(history) & set("had") else "SH"
    if "f" in history:
        return "S3"
    return "S1" if answered else "S0"
