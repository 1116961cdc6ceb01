"""Loss that hurts: packets get lost on the way so often that connections fail by it.

Looks for
    Connections that end with octets which were sent again and again, small ones too, and which nobody took; one packet in
    twenty or more sent again on the whole.
Why
    A bad cable, a duplex mismatch, weak Wi-Fi or a full line loses packets of any size. A few cost time only (see the warning
    network-loss); many make logins run into time-outs, and the agent sees a mailbox that hangs.
What would refute it
    Few retransmissions on the whole; a server that acknowledges what it gets and answers late; only large segments lost.
Evidence
    unheard, sent again, both ends; and against: few sent again, only large ones.
Sources
    RFC 9293, section 3.8.1; RFC 6298.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.catalogue.network_stall import LARGE_BYTES
from analyzer.rules.finding import Evidence
from analyzer.rules.rule import FRAMES_SHOWN, Question, Rule, filter_of
from analyzer.rules.scene import STALL_TIMES
from analyzer.sessions.session import Session

CAUSE = "network_loss"
SHARE = 0.05
"""Packets sent again by packets from which on connections fail: every dialogue of ten lines meets a time-out or two."""
FEW = 0.01
"""Share below which a network is well."""
MANY = 20
"""Packets sent again below which a share means little."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a network that loses too much."""
    dispute = question.dispute
    unheard = [r for r in dispute.refusals if _unheard(r.session)]
    if not unheard:
        return
    refs = tuple(r.ref for r in unheard)[:FRAMES_SHOWN]
    shown = filter_of(refs)
    text = f"{len(unheard)} of {len(dispute.refusals)} ended with octets that were sent again and again and never taken"
    yield Evidence(text, refs, 5.0, filter=shown, kind="unheard", source="RFC 9293, section 3.8.1")
    there = [s for s in dispute.scene.on(dispute.server) if s.established_at is not None]
    again, packets = sum(s.retransmits for s in there), sum(s.packets for s in there)
    if again >= MANY and again >= SHARE * packets and sum(1 for s in there if s.retransmits) > len(unheard):
        text = f"{again} of {packets} packets were sent again, in other connections too"
        yield Evidence(text, refs, 8.0, filter=shown, kind="sent-again", source="RFC 6298")
    elif again < FEW * packets:
        yield Evidence(f"only {again} of {packets} packets were sent again", (), -8.0, kind="sent-again")
    if all(s.stall is not None and s.stall.size >= LARGE_BYTES for s in (r.session for r in unheard)):
        yield Evidence("only large segments were lost", (), -10.0, kind="large-only")
    crossed = [s.crossing for s in there if s.crossing is not None]
    lost = sum(c.lost_up + c.lost_down for c in crossed)
    if lost >= MANY and lost >= SHARE * packets:
        text = f"{lost} packets left one end and never came to the other: both ends were captured"
        yield Evidence(text, refs, 10.0, decisive=True, filter=shown, kind="both-ends")


def _unheard(s: Session) -> bool:
    return s.stall is not None and s.stall.times >= STALL_TIMES


RULE = Rule(
    id="network-loss-fault",
    title="the network loses so much that connections fail",
    cause=CAUSE,
    kinds=("stall", "silence"),
    remedies=("network-loss",),
    since="0.1",
    check=check,
)
