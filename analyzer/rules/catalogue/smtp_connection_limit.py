"""SMTP connection limit: a receive connector or MTA takes no more connections, from one source or in total.

Looks for
    A 421 instead of the greeting, with words of a limit, or only while a certain number of connections is open.
Why
    Exchange's receive connectors allow 20 connections per source and 2 percent of what is free; Postfix, Exim and others
    have limits of their own. The contact-centre server sends all replies from one address.
What would refute it
    Refusals with few connections open but many made within the last minute: that is a rate limit.
Evidence
    words, plateau; and against: few open.
Sources
    Microsoft: Set-ReceiveConnector; Postfix smtpd_client_connection_count_limit; Exim smtp_accept_max.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence
from analyzer.rules.rule import Question, Rule, frame_filter, frames, words

CAUSE = "smtp_connection_limit"


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a limit on SMTP connections."""
    yield from words(question, CAUSE)
    dispute = question.dispute
    if dispute.kind != "greeting" or dispute.protocol != "smtp" or dispute.signature.explicit:
        return
    refs, shown = frames(dispute), frame_filter(dispute)
    stands = question.crowd
    clean = [s for s in (*stands.by_client.values(), stands.total) if s.clean and (s.least_refused or 0) > 1]
    if clean:
        text = f"refused only with {clean[0].least_refused} or more connections open, welcomed with {clean[0].most_accepted} or fewer"
        yield Evidence(text, refs, 12.0, filter=shown, kind="plateau")
    elif any(s.counted and s.least_refused == 0 for s in stands.by_client.values()):
        yield Evidence("refused even with no connection open", refs, -12.0, filter=shown, kind="plateau")


RULE = Rule(
    id="smtp-connections",
    title="SMTP connection limit",
    cause=CAUSE,
    kinds=("greeting", "mailbox", "login"),
    remedies=("smtp-connection-limit",),
    since="0.1",
    check=check,
)
