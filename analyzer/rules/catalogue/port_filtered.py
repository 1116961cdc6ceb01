"""Port filtered: SYNs get no answer, or an ICMP refusal.

Looks for
    A SYN sent again and again for three seconds or more without an answer; ICMP 'prohibited' or 'unreachable'.
Why
    A firewall drops the packets, or the host is not there. telnet HOST 143 would hang.
What would refute it
    Other connections of the same client to the same port answered at the same time.
Evidence
    unanswered, ICMP; and against: answered for this client.
Sources
    RFC 9293, section 3.8.3; RFC 1812, section 5.2.7.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.at import NS_PER_S
from analyzer.rules.finding import Evidence
from analyzer.rules.rule import Question, Rule, frame_filter, frames
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
