"""Rejected by policy: the server does not want this client, sender or relay, whoever logs in.

Looks for
    Enhanced status codes X.7.n, words of relay and permission, an error limit; an alert that breaks a TLS handshake off.
Why
    A receive connector's permissions, a block list or an error limit refuses; connections and passwords play no part. Nor
    do they where a server takes no TLS so old, or a client does not trust the certificate.
What would refute it
    The words are explicit; nothing else is taken for it. TLS of the same client that works on the same port.
Evidence
    words, alert (decisive when the server says protocol_version or insufficient_security; else it fits other causes too).
Sources
    RFC 3463, section 3.8; RFC 8446, section 6.2; Microsoft: receive connectors.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence
from analyzer.rules.rule import Question, Rule, frame_filter, frames, words

CAUSE = "rejected_by_policy"


def check(question: Question) -> Iterator[Evidence]:
    """Testify for a refusal by policy."""
    if question.dispute.kind == "tls":
        from analyzer.rules.sealed import broken_off

        yield from broken_off(question.dispute, CAUSE)
        return
    yield from words(question, CAUSE)
    dispute = question.dispute
    if dispute.signature.id == "smtp-too-many-errors":
        text = "the server ends the connection for the errors before it"
        yield Evidence(text, frames(dispute), 3.0, filter=frame_filter(dispute), kind="errors")


RULE = Rule(
    id="rejected-by-policy",
    title="rejected by policy",
    cause=CAUSE,
    kinds=("greeting", "mailbox", "login", "tls"),
    remedies=("rejected-by-policy",),
    since="0.1",
    check=check,
)
