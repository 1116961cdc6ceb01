"""SMTP rate limit: too many connections, messages or recipients in a time.

Looks for
    Words that say so; refusals after a number of connections within a minute, with few of them still open.
Why
    Exchange's client connectors take five messages a minute from one source; Postfix counts connections per minute.
What would refute it
    Refusals only while many connections are open at once: that is a connection limit.
Evidence
    words, many in a minute; and against: plateau.
Sources
    Microsoft: message rate limits; Postfix smtpd_client_connection_rate_limit.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.at import NS_PER_S
from analyzer.rules.finding import Evidence
from analyzer.rules.rule import Question, Rule, frame_filter, frames, words

CAUSE = "smtp_rate_limit"
UNIT_S = 60.0
"""Seconds over which Postfix (anvil_rate_time_unit) and Exchange count."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a rate limit."""
    yield from words(question, CAUSE)
    dispute = question.dispute
    if dispute.kind != "greeting" or dispute.protocol != "smtp" or dispute.signature.explicit:
        return
    refs, shown = frames(dispute), frame_filter(dispute)
    stands = question.crowd
    turned = {id(r.session) for r in dispute.refusals}
    first = dispute.refusals[0]
    recent = [
        s
        for s in dispute.scene.on(dispute.server)
        if s.client == first.session.client
        and id(s) not in turned
        and 0 <= dispute.first - s.start <= UNIT_S * NS_PER_S
    ]
    open_then = [s for s in recent if s.closed_at is None or s.closed_at.ts > dispute.first]
    if len(recent) > 1 and not open_then:
        text = f"{len(recent)} connections were served within the minute before, none of them still open at the first refusal"
        yield Evidence(text, refs, 12.0, filter=shown, kind="minute")
    elif any(s.clean and (s.least_refused or 0) > 1 for s in stands.by_client.values()):
        yield Evidence("refused only while several connections were open", refs, -8.0, filter=shown, kind="minute")


RULE = Rule(
    id="smtp-rate",
    title="SMTP rate limit",
    cause=CAUSE,
    kinds=("greeting", "mailbox", "login"),
    remedies=("smtp-rate-limit",),
    since="0.1",
    check=check,
)
