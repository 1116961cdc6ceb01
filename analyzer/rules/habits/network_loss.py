"""Network loss: so many packets are sent again that the network loses some of them.

Looks for
    Retransmissions: two in a hundred packets or more, at least twenty, in three or more connections to one server.
Why
    Lost packets make logins slow, and slow logins make clients give up and come back; wrong passwords they do not make.
What would refute it
    Few retransmissions; or a few connections only, whose client sends keep-alives that look like them.
Evidence
    Packets sent again, against all packets; with captures at both ends, packets that left one and never came to the other.
Sources
    RFC 9293, section 3.8.1; RFC 6298.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import FrameRef, Verdict
from analyzer.rules.habit import Habit, Sight
from analyzer.rules.scene import Scene
from analyzer.sessions.session import Session

SHARE = 0.02
"""Retransmissions by packets from which on people feel it; a healthy network stays well below one in a hundred."""
MANY = 20
"""Retransmissions below which a share means little."""
SEVERAL = 3
"""Connections that must have lost something: one may suffer from its own host."""


def check(scene: Scene) -> Iterator[Sight]:
    """Yield one sight per server the way to which loses packets."""
    for server, place in scene.places.items():
        if sum([s.retransmits for s in place.sessions]) < MANY and not any(s.crossing for s in place.sessions):
            continue
        there = [s for s in place.sessions if s.established_at is not None or s.opened_before]
        again, packets = sum(s.retransmits for s in there), sum(s.packets for s in there)
        gone = sum(_gone(s) for s in there)
        proved = gone >= MANY and gone >= SHARE * packets
        lossy = [s for s in there if s.retransmits or _gone(s)]
        if (not proved and (again < MANY or again < SHARE * packets)) or len(lossy) < SEVERAL:
            continue
        yield Sight(
            title=f"{gone} packets left one end and never came to the other"
            if proved
            else f"{again} of {packets} packets were sent again: the network loses some",
            meaning="That makes logins slow; it does not get them refused.",
            server=server,
            sessions=lossy,
            frames=[FrameRef(s.capture, s.first_frame) for s in lossy],
            verdict=Verdict.CONFIRMED if proved else Verdict.LIKELY,
        )


def _gone(s: Session) -> int:
    """Return how many packets left one end of a connection and never came to the other."""
    return 0 if s.crossing is None else s.crossing.lost_up + s.crossing.lost_down


HABIT = Habit(
    id="network-loss",
    title="the network loses packets",
    cause="network_loss",
    remedies=("network-loss",),
    since="0.1",
    check=check,
    source="RFC 9293, section 3.8.1",
)
