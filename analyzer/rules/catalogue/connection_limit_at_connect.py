"""Connection limit at connect: turned away before anybody has said who he is.

Looks for
    BYE or a bare close instead of a greeting, with words of a limit or only while a certain number of connections is open.
Why
    A limit that strikes before the login counts addresses or all connections, never accounts. Seen from one PC, per
    address and whole server cannot be told apart.
What would refute it
    Connections turned away although fewer were open than when others were welcomed.
Evidence
    words, before login, plateau (proof only when somebody was welcomed again, or the words lean to a limit); and against: below.
Sources
    RFC 9051, section 7.1.5; Microsoft: Set-ImapSettings MaxConnections and MaxConnectionFromSingleIP.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence
from analyzer.rules.rule import Question, Rule, frame_filter, frames, words

CAUSE = "connection_limit_at_connect"


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a limit at connect."""
    yield from words(question, CAUSE)
    dispute = question.dispute
    if dispute.protocol == "smtp":
        return
    if not question.at_door or (dispute.signature.explicit and dispute.signature.cause != CAUSE):
        return
    refs, shown = frames(dispute), frame_filter(dispute)
    yield Evidence(
        "turned away before the login, so the account plays no part", refs, 3.0, filter=shown, kind="before-login"
    )
    stands = question.crowd
    apart = stands.passed_by or (len(stands.refused) > 1 and stands.total.clean)
    if apart and (stands.total.clean or any(s.clean for s in stands.by_client.values())):
        text = "enough clients were seen to tell a limit per address from one of the whole server"
        yield Evidence(text, refs, -14.0, filter=shown, kind="told-apart")
        return
    clean = [s for s in (stands.total, *stands.by_client.values()) if s.clean]
    if clean:
        best = clean[0]
        text = f"turned away only with {best.least_refused} or more connections open, welcomed with {best.most_accepted} or fewer"
        weight = 10.0 if question.is_limit else 4.0
        yield Evidence(
            text, refs, weight, decisive=best.counted >= 3 and question.is_limit, filter=shown, kind="plateau"
        )
    elif stands.total.below:
        text = f"{stands.total.below} of {stands.total.refusals} came with no more connections open than a welcome had"
        yield Evidence(text, refs, -6.0, filter=shown, kind="below")


RULE = Rule(
    id="connection-limit-at-connect",
    title="connection limit before login",
    cause=CAUSE,
    kinds=("greeting", "silence"),
    remedies=("connection-limit-at-connect",),
    since="0.1",
    check=check,
)
