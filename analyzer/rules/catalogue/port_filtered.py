"""Port filtered: SYNs get no answer, or an ICMP refusal.

Looks for
    A SYN sent again and again for three seconds or more without an answer; ICMP 'prohibited' or 'unreachable'.
Why
    A firewall drops the packets, or the host is not there. telnet HOST 143 would hang.
What would refute it
    Other connections of the same client to the same port answered at the same time.
Evidence
    unanswered, ICMP, other end (captured there too); and against: answered for this client.
Sources
    RFC 9293, section 3.8.3; RFC 1812, section 5.2.7.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from analyzer.at import NS_PER_S
from analyzer.rules.finding import Evidence, FrameRef
from analyzer.rules.rule import FRAMES_SHOWN, Question, Rule, filter_of, frame_filter, frames
from analyzer.rules.scene import Dispute
from analyzer.sessions.session import Session

CAUSE = "port_filtered"
PATIENCE_S = 2.5
"""Seconds of unanswered SYNs that are no mere loss: the first retransmission comes after one, the second after three."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a filter on the way."""
    dispute = question.dispute
    silent = [r.session for r in dispute.refusals if _unanswered(r.session)]
    told = [r.session for r in dispute.refusals if r.session.unreachable]
    refs, shown = frames(dispute), frame_filter(dispute)
    if told:
        text = f"ICMP answered the SYN: {told[0].unreachable}"
        yield Evidence(text, refs, 25.0, decisive=True, filter=shown, kind="icmp", source="RFC 1812, section 5.2.7.1")
    if silent:
        syns = sum(s.syn_count for s in silent)
        text = f"{syns} SYN(s) of {len(silent)} connection(s) to {dispute.server}:{silent[0].server_port} got no answer"
        yield Evidence(
            text, refs, 18.0, decisive=True, filter=shown, kind="unanswered", source="RFC 9293, section 3.8.3"
        )
    yield from _other_end(dispute)
    clients = set(dispute.clients)
    port = dispute.refusals[0].session.server_port
    answered = [
        s
        for s in dispute.scene.on(dispute.server)
        if s.server_port == port and s.client in clients and s.established_at is not None
    ]
    if answered and (silent or told):
        text = f"{len(answered)} other connection(s) of the same client(s) to this port were answered"
        yield Evidence(text, (), -14.0, kind="answered")


_TOLD = {
    "unseen": ("{far}, captured at the server's end, holds none of these SYNs: they were dropped on the way", 12.0),
    "unanswered": ("{far} shows that the SYNs came to the server's end and that nothing there answered", 6.0),
    "answer lost": ("{far} shows that the server answered: its SYN/ACKs were dropped on the way back", 12.0),
}
"""What became of a SYN, as the capture at the server's end tells -> the words, and their weight."""


def _other_end(dispute: Dispute) -> Iterator[Evidence]:
    """Tell from a capture at the server's end where the SYNs or their answers were dropped."""
    told = Counter(c.syn for r in dispute.refusals if (c := r.session.crossing) is not None and c.syn)
    if not told:
        return
    kind = told.most_common(1)[0][0]
    crossings = [c for r in dispute.refusals if (c := r.session.crossing) is not None and c.syn == kind]
    refs = tuple(FrameRef(*place) for c in crossings for place in c.seen)[:FRAMES_SHOWN]
    text, weight = _TOLD[str(kind)]
    yield Evidence(
        text.format(far=crossings[0].far),
        refs,
        weight,
        decisive=kind != "unanswered",
        filter=filter_of(refs),
        kind="other-end",
    )


def _unanswered(s: Session) -> bool:
    return (
        s.conn_state == "S0"
        and s.syn_count >= 2
        and s.syn_at is not None
        and s.end - s.syn_at.ts >= PATIENCE_S * NS_PER_S
    )


RULE = Rule(
    id="port-filtered",
    title="port filtered or host not reachable",
    cause=CAUSE,
    kinds=("connect",),
    remedies=("port-filtered",),
    since="0.1",
    check=check,
)
