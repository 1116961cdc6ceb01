"""Store session limit: the login is accepted, the mailbox refused.

Looks for
    Commands on the mailbox refused right after an accepted login, only while many sessions of the account are open.
Why
    Exchange's store caps the sessions one user may hold through a service (16 by default, event 9646). The IMAP service
    then answers `Server Unavailable. 15`; raising MaxConnectionsPerUser does not help.
What would refute it
    Refusals with few sessions open; other accounts refused alike.
Evidence
    words, plateau, height; and against: below, all accounts.
Sources
    Microsoft KB 980049; Microsoft: Exchange store limits.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence
from analyzer.rules.plateau import Standing, standing
from analyzer.rules.rule import Question, Rule, frame_filter, frames, words
from analyzer.rules.scene import Dispute
from analyzer.sessions.concurrency import spans, steps

CAUSE = "store_session_limit"
DEFAULT_SESSIONS = 16
"""Service sessions per user in Exchange's store (KB 980049)."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against the store's limit."""
    yield from words(question, CAUSE)
    dispute = question.dispute
    if dispute.signature.explicit:
        return
    refs, shown = frames(dispute), frame_filter(dispute)
    stand = working(dispute)
    if stand.clean and stand.height:
        text = f"the mailbox was refused only with {stand.least_refused} or more working sessions, given with {stand.most_accepted} or fewer"
        yield Evidence(text, refs, 5.0, filter=shown, kind="plateau")
        if stand.height >= DEFAULT_SESSIONS - 1:
            text = f"{stand.height} working sessions: the store's default is {DEFAULT_SESSIONS} per user"
            yield Evidence(text, refs, 11.0, filter=shown, kind="height", source="Microsoft KB 980049")
    elif stand.below and stand.below == stand.refusals and len(dispute.scene.hosts(dispute.server)) > 1:
        text = "the mailbox was refused however few sessions were open"
        yield Evidence(text, refs, -10.0, filter=shown, kind="plateau")


def working(dispute: Dispute) -> Standing:
    """Compare the refusals with the account's working sessions: one that was refused its mailbox holds none."""
    complained: dict[int, int] = {}
    for r in dispute.refusals:
        complained.setdefault(id(r.session), r.at.ts)
    mine = dispute.scene.place(dispute.server).by_account.get(dispute.account, [])
    held = [s for s in mine if s.opened is not None and id(s) not in complained]
    open_spans = spans(held)
    return standing(
        sorted(complained.values()), [s.opened for s in held if s.opened is not None], open_spans, steps(open_spans)
    )


RULE = Rule(
    id="store-sessions",
    title="store session limit: login accepted, mailbox refused",
    cause=CAUSE,
    kinds=("mailbox",),
    remedies=("store-session-limit",),
    since="0.1",
    check=check,
)
