"""Paths that lose what crosses them, filmed at both ends: what left one end, and what of it came to the other.

    film = Film()
    film.login(); film.list(2000)            # one connection; 'passes' decides which packets get through
    film.save(folder)                        # client.pcap and server.pcap, whose clock is ``ahead_ms`` ahead

Every packet is written where it leaves and, when it passes, where it arrives, half a round trip later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from analyzer.at import NS_PER_MS, Side
from analyzer.capture.packets import ACK, FIN, PSH, RST, SYN
from tests.frames import Host, Look, Segment, save
from tests.wire import START

CLIENT, SERVER = Side.CLIENT, Side.SERVER
PC, MAIL = Host("192.0.2.11"), Host("198.51.100.10", 64)
RTO_MS = (300, 900, 2100, 4500, 9300)
"""When a segment that nobody took is sent again, ms after the first time (RFC 6298, doubled each time)."""


@dataclass
class Film:
    """Connections of one client to one server, seen from both ends."""

    passes: Callable[[Segment], bool] = lambda segment: True
    way_ms: float = 5.0
    ahead_ms: float = 0.0
    """How far the server's clock is ahead."""
    drift: float = 0.0
    """What the server's clock gains, as a share of the time gone."""
    client: Host = PC
    server: Host = MAIL
    outside: Host | None = None
    """The client as the server sees it, when its address is translated in between."""
    port: int = 143
    account: str = "joe"
    secret: str = "secret"
    flows: int = 0
    at_client: list[Segment] = field(default_factory=list)
    at_server: list[Segment] = field(default_factory=list)
    now: float = 0.0
    """ms after the start, at the client."""
    seq: list[int] = field(default_factory=lambda: [0, 0])
    """Where each side goes on."""
    got: list[int] = field(default_factory=lambda: [0, 0])
    """What each side has of the other."""

    def send(
        self, side: Side, flags: int, data: bytes = b"", *, at_ms: float | None = None, seq: int | None = None
    ) -> bool:
        """Send one packet; tell whether it arrived."""
        ends = (self.client, self.server)
        number = self.seq[side] if seq is None else seq
        ack = self.got[side] if flags & ACK else 0
        left = self.now if at_ms is None else at_ms
        ts = START + round(left * NS_PER_MS)
        one = Segment(
            ts, self.flows, side, ends[side], ends[side.other], *self._ports(side), number, ack, flags, data,
            ip_id=len(self.at_client) + len(self.at_server) & 0xFFFF,
        )  # fmt: skip
        arrives = self.passes(one)
        for kept, there in ((self.at_client, CLIENT), (self.at_server, SERVER)):
            if there is side or arrives:
                kept.append(
                    one._replace(
                        ts=ts + (0 if there is side else round(self.way_ms * NS_PER_MS)), **self._view(there, side)
                    )
                )
        return arrives

    def _ports(self, side: Side) -> tuple[int, int]:
        sport = 50_000 + self.flows
        return (sport, self.port) if side is CLIENT else (self.port, sport)

    def _view(self, there: Side, side: Side) -> dict[str, Host]:
        """Hosts as they are seen at one end: what comes has passed three routers."""
        far = self.outside or self.client
        ends = [far if there is SERVER else self.client, self.server]
        if there is not side:
            ends[side] = ends[side]._replace(ttl=ends[side].ttl - 3)
        return {"src": ends[side], "dst": ends[side.other]}

    def say(self, side: Side, data: bytes) -> bool:
        """Send octets in one packet and let the other side acknowledge; a lost one is sent again, five times."""
        seq = self.seq[side]
        self.seq[side] += len(data)
        for after in (0.0, *RTO_MS):
            if self.send(side, ACK | PSH, data, at_ms=self.now + after, seq=seq):
                self.now += after + 2 * self.way_ms
                self.got[side.other] = max(self.got[side.other], self.seq[side])
                self.send(side.other, ACK)
                self.now += 1
                return True
        self.now += RTO_MS[-1] + 100
        return False

    def open(self) -> bool:
        """SYN, SYN/ACK, ACK; a lost SYN is sent again four times."""
        self.flows += 1
        self.seq = [1000 * self.flows, 9_000_000 + 1000 * self.flows]
        self.got = [self.seq[SERVER] + 1, self.seq[CLIENT] + 1]
        for after in (0.0, 1000.0, 3000.0, 7000.0):
            came = self.send(CLIENT, SYN, at_ms=self.now + after)
            if came and self.send(SERVER, SYN | ACK, at_ms=self.now + after + self.way_ms):
                break
        else:
            self.now += 9000
            return False
        self.now += after + 2 * self.way_ms
        self.seq = [self.seq[0] + 1, self.seq[1] + 1]
        self.send(CLIENT, ACK)
        self.now += 1
        return True

    def login(self) -> bool:
        """Open, greet and log in."""
        if not self.open():
            return False
        self.say(SERVER, b"* OK The Microsoft Exchange IMAP4 service is ready.\r\n")
        self.say(CLIENT, f"1 LOGIN {self.account} {self.secret}\r\n".encode())
        return self.say(SERVER, b"1 OK LOGIN completed.\r\n")

    def fetch(self, size: int, tail: bytes = b"2 OK LIST completed.\r\n") -> bool:
        """Ask for a long answer: one packet of ``size`` octets and a short one behind it."""
        self.say(CLIENT, b'2 LIST "" "*"\r\n')
        line = b'* LIST () "/" ' + b"x" * max(0, size - 16) + b"\r\n"
        came = self.send(SERVER, ACK | PSH, tail, at_ms=self.now + 0.1, seq=self.seq[SERVER] + len(line))
        first = self.got[CLIENT]
        if not self.passes(self.at_server[-1]._replace(data=line)):
            self.send(CLIENT, ACK, at_ms=self.now + 2 * self.way_ms)
        if not self.say(SERVER, line):
            self.seq[SERVER] += len(tail)
            return False
        assert self.got[CLIENT] > first
        if not came:
            return self.say(SERVER, tail)
        self.seq[SERVER] += len(tail)
        self.got[CLIENT] = self.seq[SERVER]
        self.send(CLIENT, ACK)
        return True

    def close(self) -> None:
        """FIN of the client; the server's follows when all it sent was taken."""
        whole = all(self.got[side.other] == self.seq[side] for side in (CLIENT, SERVER))
        for side in (CLIENT, SERVER):
            if side is SERVER and not whole:
                self.send(SERVER, ACK)
                return
            if self.send(side, FIN | ACK) and whole:
                self.got[side.other] += 1
            self.now += 2 * self.way_ms
            self.seq[side] += 1
        self.send(CLIENT, ACK)

    def reset(self, *, to_client: int | None = None, to_server: int | None = None) -> None:
        """A box in the middle resets one end or both, with these TTLs."""
        for there, ttl in ((CLIENT, to_client), (SERVER, to_server)):
            if ttl is None:
                continue
            side = there.other
            ends = [(self.outside or self.client) if there is SERVER else self.client, self.server]
            kept = (self.at_client, self.at_server)[there]
            kept.append(Segment(
                START + round(self.now * NS_PER_MS), self.flows, side, ends[side]._replace(ttl=ttl), ends[side.other],
                *self._ports(side), self.seq[side], self.seq[there], RST | ACK, ip_id=7,
            ))  # fmt: skip

    def save(self, folder: Path, *, look: Look | None = None) -> tuple[Path, Path]:
        """Write both captures."""
        server = [x._replace(ts=self._far(x.ts)) for x in self.at_server]
        return (
            save(folder / "client.pcap", sorted(self.at_client, key=lambda x: x.ts), look or Look()),
            save(folder / "server.pcap", sorted(server, key=lambda x: x.ts), look or Look()),
        )

    def _far(self, ts: int) -> int:
        return ts + round(self.ahead_ms * NS_PER_MS) + round(self.drift * (ts - START))


def no_larger(size: int, *, only: Side | None = SERVER) -> Callable[[Segment], bool]:
    """A path that drops what carries more than ``size`` octets."""
    return lambda x: len(x.data) <= size or only not in {None, x.side}
