"""Per-address connection limit: the cap on connections from one client address.

Looks for
    One address turned away, by words or by a bare close, at a constant number of its own connections while other addresses
    are welcomed.
Why
    Terminal servers and NAT put many people behind one address (Exchange MaxConnectionFromSingleIP, Courier MAXPERIP).
What would refute it
    Several addresses turned away at the same total.
Evidence
    words, per-client plateau with others welcomed meanwhile.
Sources
    Microsoft: Set-ImapSettings MaxConnectionFromSingleIP; Cyrus maxlogins_per_host; Courier MAXPERIP.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence, FrameRef
from analyzer.rules.rule import Question, Rule, filter_of, frame_filter, frames, words

CAUSE = "per_ip_connection_limit"


def check(question: Question) -> Iterator[Evidence]:
    """Testify for a limit per address."""
    yield from words(question, CAUSE)
    dispute = question.dispute
    if dispute.protocol == "smtp":
        return
    if not question.at_door or dispute.signature.explicit:
        return
    stands = question.crowd
    clean = {
        client: s for client, s in stands.by_client.items() if s.clean and s.counted > 1 and (s.least_refused or 0) > 1
    }
    if not stands.passed_by or not clean or len(clean) < len(stands.refused):
        return
    client, stand = next(iter(clean.items()))
    yield Evidence(
        f"{client} was turned away only with {stand.least_refused} or more of its own connections open",
        frames(dispute),
        16.0,
        decisive=stand.counted >= 3,
        filter=frame_filter(dispute),
        kind="client-plateau",
    )
    passed = tuple(FrameRef(s.capture, s.greeting_at.frame) for s in stands.passed_by if s.greeting_at)[:20]
    yield Evidence(
        f"{len({s.client for s in stands.passed_by})} other address(es) were welcomed meanwhile",
        passed,
        12.0,
        filter=filter_of(passed),
        kind="others-welcome",
    )


RULE = Rule(
    id="connections-per-address",
    title="connection limit per client address",
    cause=CAUSE,
    kinds=("login", "greeting", "mailbox", "silence"),
    remedies=("per-ip-connection-limit",),
    since="0.1",
    check=check,
)
