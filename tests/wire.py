"""Dialogues -> real captures: TCP connections between hosts on a simulated clock, and what a capture does to them.

    wire = Wire(seed=1)
    talk = wire.conversation("192.0.2.11", "198.51.100.10")
    talk.open()
    talk.say(Side.SERVER, b"* OK ready\\r\\n", think_ms=2)
    talk.close(Side.CLIENT)
    wire.save(path, Look(link="sll2"), Flaws(mirror=True))

Times are those of the capture point: ``Reach`` says how far it is from both ends. Many conversations interleave by time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count, groupby
from pathlib import Path
from random import Random

from analyzer.at import NS_PER_MS, NS_PER_S, Side
from analyzer.capture.packets import ACK, FIN, PSH, RST, SYN
from tests.frames import Host, Look, Notice, Segment, prohibited, save

START = 1_709_543_640 * NS_PER_S
"""2024-03-04T09:14:00Z."""
DELAYED_ACK = 40 * NS_PER_MS
RTO = 250 * NS_PER_MS
"""A common retransmission time-out on a local network."""
SYN_OPTIONS = bytes.fromhex("020405b401010402")
"""Maximum segment size 1460, selective acknowledgements permitted."""
SYN_RETRIES_S = (1.0, 3.0, 7.0)


@dataclass(frozen=True)
class Reach:
    """Where the capture point stands: one-way delays to both ends, and what the network loses."""

    client_ms: float = 0.3
    server_ms: float = 0.02
    loss: float = 0.0
    """Share of data segments that the network loses and the sender sends again."""

    def ns(self, side: Side) -> int:
        """One-way delay between the capture point and one end."""
        return round((self.client_ms, self.server_ms)[side] * NS_PER_MS)


AT_SERVER = Reach()
AT_CLIENT = Reach(client_ms=0.02, server_ms=0.3)


@dataclass(frozen=True)
class Flaws:
    """What capturing does to packets."""

    repeat: float = 0.0
    """Share of data segments seen a second time, some 200 ms later (a needless retransmission)."""
    reorder: float = 0.0
    """Share of turns whose segments come in any order."""
    missing: float = 0.0
    """Share of data segments that the capture missed."""
    mirror: bool = False
    """Every packet twice, a few microseconds apart: two mirrored ports of one path."""
    skip: int = 0
    """Drop the first packets: the capture starts in the middle."""
    only: Side | None = None
    """Packets sent by one side only."""


@dataclass
class Conversation:
    """One TCP connection being written; ``now`` is the time of the last packet at the capture point, ns."""

    wire: Wire
    flow: int
    client: Host
    server: Host
    sport: int
    port: int
    now: int
    reach: Reach
    segment: int
    """Payload octets per segment."""
    seq: list[int]
    rng: Random
    last: Side = Side.CLIENT
    """Who was heard last: an answer of the other side has to travel."""
    owed: int | None = None
    """When the receiver of the last data has to acknowledge on its own."""

    def _put(self, side: Side, flags: int, data: bytes = b"", options: bytes = b"", ts: int | None = None) -> None:
        hosts, ports = (self.client, self.server), (self.sport, self.port)
        ack = self.seq[side.other] if flags & ACK else 0
        segment = Segment(
            self.now if ts is None else ts, self.flow, side, hosts[side], hosts[side.other],
            ports[side], ports[side.other], self.seq[side], ack, flags, data, options,
        )  # fmt: skip
        self.wire.segments.append(segment)

    def _advance(self, side: Side, size: int) -> None:
        self.seq[side] = (self.seq[side] + size) & 0xFFFFFFFF

    def _turn(self, side: Side, think_ms: float) -> None:
        """Move the clock to the moment this side is heard, and let the other acknowledge when that is late."""
        travel = 2 * self.reach.ns(side) if side != self.last else 0
        then = self.now + travel + round(think_ms * NS_PER_MS)
        if self.owed is not None and (side == self.last or then > self.owed):
            self._put(self.last.other, ACK, ts=min(self.owed, then))
        self.now, self.last, self.owed = then, side, None

    def wait(self, ms: float) -> None:
        """Let time pass."""
        self.now += round(ms * NS_PER_MS)

    def wait_until(self, ts: int) -> None:
        """Let time pass until a moment, ns; a moment gone by changes nothing."""
        self.now = max(self.now, ts)

    def open(self, answer_ms: float = 0.05) -> Conversation:
        """SYN, SYN/ACK, ACK."""
        self._put(Side.CLIENT, SYN, options=SYN_OPTIONS)
        self._advance(Side.CLIENT, 1)
        self._turn(Side.SERVER, answer_ms)
        self._put(Side.SERVER, SYN | ACK, options=SYN_OPTIONS)
        self._advance(Side.SERVER, 1)
        self._turn(Side.CLIENT, 0.01)
        self._put(Side.CLIENT, ACK)
        return self

    def say(self, side: Side, data: bytes, think_ms: float = 1.0) -> Conversation:
        """Send octets in segments; a lost one is heard twice when it passed the capture point, else only late."""
        self._turn(side, think_ms)
        for start in range(0, len(data), self.segment):
            part = data[start : start + self.segment]
            flags = ACK | PSH if start + self.segment >= len(data) else ACK
            if self.reach.loss and self.rng.random() < self.reach.loss:
                if self.reach.ns(side) < self.reach.ns(side.other):
                    self._put(side, flags, part)
                self.now += RTO
            self._put(side, flags, part)
            self._advance(side, len(part))
            self.now += 12_000  # 1460 octets at 1 Gbit/s
        self.owed = self.now + DELAYED_ACK
        return self

    def close(self, by: Side, how: str = "fin", think_ms: float = 0.5) -> None:
        """End it by FIN from both sides, or by one RST."""
        self._turn(by, think_ms)
        if how == "rst":
            self._put(by, RST | ACK)
            return
        for side, flags in ((by, FIN | ACK), (by.other, FIN | ACK), (by, ACK)):
            if side != self.last:
                self._turn(side, 0.1)
            self._put(side, flags)
            self._advance(side, flags & FIN)

    def leave(self) -> None:
        """Stop writing an open connection: the last octets are acknowledged, nothing more."""
        if self.owed is not None:
            self._put(self.last.other, ACK, ts=self.owed)
            self.owed = None


@dataclass
class Wire:
    """All packets of a scene."""

    seed: int = 0
    start: int = START
    segments: list[Segment] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    flows: int = 0

    def conversation(
        self,
        client: str | Host,
        server: str | Host,
        *,
        at_ms: float = 0.0,
        port: int = 143,
        sport: int | None = None,
        segment: int = 1460,
        isn: tuple[int, int] | None = None,
        reach: Reach = AT_SERVER,
    ) -> Conversation:
        """Begin a connection at a time after the start; nothing is sent yet."""
        rng = Random(f"{self.seed}/{self.flows}")
        self.flows += 1
        here = client if isinstance(client, Host) else Host(client)
        there = server if isinstance(server, Host) else Host(server)
        seq = list(isn or (rng.getrandbits(32), rng.getrandbits(32)))
        sport = 49_152 + self.flows % 16_384 if sport is None else sport
        now = self.start + round(at_ms * NS_PER_MS)
        return Conversation(self, self.flows, here, there, sport, port, now, reach, segment, seq, rng)

    def dialogue(
        self, steps: Iterable[tuple[Side, bytes]], client: str = "192.0.2.11", server: str = "198.51.100.10",
        *, think_ms: float = 1.0, closed_by: Side | None = Side.CLIENT, **options: object,
    ) -> Conversation:  # fmt: skip
        """One whole connection that says these steps."""
        talk = self.conversation(client, server, **options).open()  # type: ignore[arg-type]
        for side, data in steps:
            talk.say(side, data, think_ms)
        talk.leave() if closed_by is None else talk.close(closed_by)
        return talk

    def unanswered(self, talk: Conversation, retries_s: Iterable[float] = SYN_RETRIES_S) -> None:
        """A SYN and its retries, each this long after the first, which nobody answers."""
        first = talk.now
        for after in (0.0, *retries_s):
            talk._put(Side.CLIENT, SYN, options=SYN_OPTIONS, ts=first + round(after * NS_PER_S))

    def turned_away(self, talk: Conversation) -> None:
        """A SYN answered by RST: nobody listens."""
        talk._put(Side.CLIENT, SYN, options=SYN_OPTIONS)
        talk._advance(Side.CLIENT, 1)
        talk.seq[Side.SERVER] = 0
        talk._turn(Side.SERVER, 0.05)
        talk._put(Side.SERVER, RST | ACK)

    def prohibited(self, talk: Conversation, reporter: str) -> None:
        """A SYN answered by a firewall's ICMP error."""
        talk._put(Side.CLIENT, SYN, options=SYN_OPTIONS)
        syn, router = self.segments[-1], Host(reporter, 64)
        self.notices.append(Notice(talk.now + 400_000, router, talk.client, prohibited(router, syn)))

    def frames(self, flaws: Flaws | None = None) -> list[Segment | Notice]:
        """All packets in the order of the capture."""
        flaws, rng = flaws or Flaws(), Random(f"{self.seed}/flaws")
        heard = _numbered(self.segments + _repeats(self.segments, flaws.repeat, rng))
        heard = _reordered(heard, flaws.reorder, rng)
        heard = [x for x in heard if not x.data or rng.random() >= flaws.missing]
        heard = [x for x in heard if flaws.only in {None, x.side}]
        heard = sorted(heard, key=lambda x: x.ts)[flaws.skip :]
        if flaws.mirror:
            heard += [x._replace(ts=x.ts + rng.randrange(3_000, 9_000, 1_000), copy=True) for x in heard]
        return sorted([*heard, *self.notices], key=lambda x: x.ts)

    def save(self, path: Path, look: Look | None = None, flaws: Flaws | None = None) -> Path:
        """Write the capture file."""
        return save(path, self.frames(flaws), look or Look())


def _repeats(segments: list[Segment], share: float, rng: Random) -> list[Segment]:
    again = [x for x in segments if x.data and rng.random() < share]
    return [x._replace(ts=x.ts + RTO - rng.randrange(50) * NS_PER_MS) for x in again]


def _numbered(segments: list[Segment]) -> list[Segment]:
    """Give each packet the next IPv4 identification of its sender."""
    ids: dict[Host, count[int]] = {}
    numbered = []
    for segment in sorted(segments, key=lambda x: x.ts):
        ids.setdefault(segment.src, count(int.from_bytes(segment.src.mac[-2:], "big")))
        numbered.append(segment._replace(ip_id=next(ids[segment.src]) & 0xFFFF))
    return numbered


def _reordered(segments: list[Segment], share: float, rng: Random) -> list[Segment]:
    """Let the data segments of a turn, what one side says before the other does, trade their times."""
    traded = []
    by_flow = sorted(segments, key=lambda x: x.flow)
    for _, turn in groupby(by_flow, key=lambda x: (x.flow, x.side, bool(x.data))):
        parts = list(turn)
        times = [x.ts for x in parts]
        if parts[0].data and rng.random() < share:
            rng.shuffle(parts)
        traded += [x._replace(ts=ts) for x, ts in zip(parts, times, strict=True)]
    return traded


__all__ = ["AT_CLIENT", "AT_SERVER", "START", "Conversation", "Flaws", "Host", "Look", "Reach", "Wire"]
