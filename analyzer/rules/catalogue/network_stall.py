"""Network stall: large packets vanish on the way while small ones pass, a hole for packets of full size (path MTU).

Looks for
    Connections that stop at a large segment: it is sent again and again and never taken, or what follows it comes and it
    never does, while the other side goes on answering; in one connection after another.
Why
    A tunnel or VPN takes smaller packets than the ends believe, and the ICMP message that would tell them is filtered.
    Greeting and login are small and pass; the first long list of folders, certificate or mail hangs for ever.
What would refute it
    A segment of that size taken in the same direction; small segments that stand still likewise (then the network loses
    packets of any size); a capture that lost the packets itself: then the other side acknowledges what is not in it.
Evidence
    stalled, small ones pass, both ends; and against: large ones pass, small ones stall too, only one connection.
Sources
    RFC 2923, section 2.1 (black hole detection); RFC 8899; RFC 9293, section 3.7.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyzer.at import Side
from analyzer.rules.finding import Evidence, FrameRef
from analyzer.rules.rule import FRAMES_SHOWN, Question, Rule, filter_of
from analyzer.rules.scene import Dispute, Refusal
from analyzer.sessions.session import Session
from analyzer.streams import Stall

CAUSE = "network_stall"
LARGE_BYTES = 537
"""Payload from which on a segment may be too large for a path; 536 octets are TCP's default (RFC 9293, section 3.7.1)."""
SEVERAL = 2
"""Connections from which on it is no accident."""
MUCH = 4
"""A side that had this many times the size taken, in packets large on average, got large ones through."""
MEAN_SHARE = 8
"""Large on average: octets per packet of both sides, in parts of the size; answers to polls stay far below."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a hole for large packets."""
    dispute = question.dispute
    big = [r for r in dispute.refusals if _stall(r).size >= LARGE_BYTES]
    if not big:
        return
    size, refs = min(_stall(r).size for r in big), tuple(r.ref for r in big)[:FRAMES_SHOWN]
    shown = filter_of(refs)
    side = _stall(big[0]).side
    who = side.name.lower()
    text = f"{_connections(len(big))} stopped at {size} octets or more of the {who}, {_tried(big)}"
    source = "RFC 2923, section 2.1"
    weight = 12.0 if len(big) >= SEVERAL else 5.0
    yield Evidence(text, refs, weight, filter=shown, kind="stalled", source=source)
    if all(0 < _stall(r).taken < size for r in big):
        text = f"smaller segments of the {who} passed before, none of that size did"
        yield Evidence(text, refs, 4.0, filter=shown, kind="small-pass")
    yield from _two_ends(big, side)
    yield from _against(dispute, big, side, size)


def _stall(refusal: Refusal) -> Stall:
    stall = refusal.session.stall
    assert stall is not None  # noqa: S101 (the dispute is made of them)
    return stall


def _connections(number: int) -> str:
    return f"{number} connection{'s' if number != 1 else ''}"


def _tried(big: Sequence[Refusal]) -> str:
    times = [_stall(r).times for r in big if _stall(r).times]
    if not times:
        return "which never came although what follows it did"
    return f"sent up to {max(times)} times and never taken, while the other side went on"


def _two_ends(big: Sequence[Refusal], side: Side) -> Iterator[Evidence]:
    """Testify from captures at both ends: what left one and never came to the other was lost between."""
    lost = [r for r in big if (c := r.session.crossing) is not None and (c.lost_down if side else c.lost_up) > 0]
    if not lost:
        return
    crossing = lost[0].session.crossing
    assert crossing is not None  # noqa: S101 (just asked for)
    start, end = (crossing.far, crossing.near) if side else (crossing.near, crossing.far)
    text = f"they left {start} and never came to {end}: both ends were captured"
    refs = tuple(r.ref for r in lost)[:FRAMES_SHOWN]
    yield Evidence(text, refs, 10.0, decisive=len(lost) >= SEVERAL, filter=filter_of(refs), kind="both-ends")


def _against(dispute: Dispute, big: Sequence[Refusal], side: Side, size: int) -> Iterator[Evidence]:
    still = {id(r.session) for r in dispute.refusals}
    clients = {r.session.client for r in big}
    there = [s for s in dispute.scene.on(dispute.server) if s.client in clients and id(s) not in still]
    passed = [s for s in there if _carried(s, side, size)]
    if passed:
        refs = tuple(FrameRef(s.capture, s.first_frame) for s in passed)[:FRAMES_SHOWN]
        text = f"{_connections(len(passed))} of the same client(s) carried large segments the same way"
        yield Evidence(text, refs, -14.0, filter=filter_of(refs), kind="large-pass")
    small = [r for r in dispute.refusals if _stall(r).size < LARGE_BYTES]
    if small:
        refs = tuple(r.ref for r in small)[:FRAMES_SHOWN]
        text = f"small segments stood still as well, in {_connections(len(small))}"
        yield Evidence(text, refs, -12.0, filter=filter_of(refs), kind="small-stalled")


def _carried(s: Session, side: Side, size: int) -> bool:
    """Tell a session in which large segments of a side passed, as far as its sums tell."""
    octets = s.server_bytes if side else s.client_bytes
    packets = s.server_packets if side else s.packets - s.server_packets
    return octets >= MUCH * size and octets * MEAN_SHARE >= size * packets


RULE = Rule(
    id="network-stall",
    title="large packets vanish on the way: a hole in the path MTU",
    cause=CAUSE,
    kinds=("stall",),
    remedies=("network-stall",),
    since="0.1",
    check=check,
)
