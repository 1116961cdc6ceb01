"""Account locked, disabled or expired, or the protocol switched off for it.

Looks for
    Words that say so; failures with a wrong secret, followed by the refusal of secrets that were good before.
Why
    Directories lock an account after a few wrong passwords; one PC with an old password in a retry loop then locks out
    everybody. Sessions already open live on.
What would refute it
    An acceptance of the account in the middle of the refusals.
Evidence
    words, after failures, changed; and against: accepted in between, known others.
Sources
    RFC 5530, section 3; Windows events 4740 and 4776.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.at import NS_PER_S
from analyzer.rules.finding import Evidence
from analyzer.rules.ledger import Ledger, decided_ts, host_of
from analyzer.rules.rule import Question, Rule, shown_by, words
from analyzer.sessions.session import Login

CAUSE = "account_locked"
FAILURES_NEEDED = 3
"""Fewest wrong secrets before a lock; the smallest lockout threshold in use."""
LOCK_S = 60.0
"""Seconds; the shortest lockout Windows can be told to keep is one minute, its default ten or thirty."""
FAILURES_WINDOW_S = 1800.0
"""Seconds before the first good secret was refused in which failures may have led to a lock (Windows' longest default)."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a locked account."""
    yield from words(question, CAUSE)
    book = question.ledger
    if book is None or question.dispute.signature.explicit:
        return
    yield from _after_failures(book)
    if book.kept and not book.regained and not book.after_all and not book.interleaved and book.below:
        yield shown_by("good secrets are refused from one moment on", 6.0, "changed", list(book.kept[0]))
    yield from _against(book)


def _failures_before(book: Ledger, moment: int) -> list[Login]:
    """Return refusals of the account, with a secret accepted nowhere or by hosts never accepted, before a moment."""
    good = {x.credential for x in book.accepted if x.credential is not None}
    dispute = book.dispute
    since = moment - int(FAILURES_WINDOW_S * NS_PER_S)
    return [
        x
        for x in dispute.scene.place(dispute.server).refused_of.get(dispute.account, ())
        if since <= decided_ts(x) < moment
        and (x.credential not in good if x.credential is not None else host_of(x) not in book.witnesses)
    ]


def _after_failures(book: Ledger) -> Iterator[Evidence]:
    if book.strange or book.after_all or book.regained:
        return
    inside = [x for x in book.refused if host_of(x) in book.witnesses] if not book.kept else [x for _, x in book.kept]
    if not inside:
        return
    failures = _failures_before(book, decided_ts(inside[0]))
    if not any(x.credential is not None for x in failures):
        # Hosts that never got in may have come after the change that refuses all; only while others get in are they wrong.
        worked = [decided_ts(x) for x in book.accepted if decided_ts(x) < decided_ts(inside[0])]
        failures = [x for x in failures if worked and decided_ts(x) < worked[-1]]
    later = [x for x in book.accepted if decided_ts(x) > decided_ts(inside[0])]
    if len(failures) >= FAILURES_NEEDED and not later and book.below:
        yield shown_by(
            f"{len(failures)} logins with another secret failed first; from then on the good one is refused too, everywhere",
            14.0,
            "after-failures",
            [*failures[-3:], inside[0]],
        )


def _against(book: Ledger) -> Iterator[Evidence]:
    known = book.dispute.scene.known
    if known.others_working:
        yield Evidence("you said that others work with this account", (), -15.0, kind="known-others", source="--known")
    if known.credentials_verified:
        yield Evidence(
            "you said that the credentials are verified", (), -8.0, kind="known-credentials", source="--known"
        )
    if book.interleaved:
        weight = -15.0 if len(book.interleaved) > 1 else -10.0
        yield shown_by("the account was accepted in between", weight, "interleaved", book.interleaved[:3])
    elif book.after_all:
        away = (decided_ts(book.after_all[0]) - book.dispute.first) / NS_PER_S
        text = f"the account was accepted again {away:.0f} s after the first refusal; locks last minutes"
        yield shown_by(text, -8.0 if away < LOCK_S else -3.0, "interleaved", book.after_all[:3])
    elif book.kept and not book.below:
        text = "the account was let in shortly before; it would have to be locked in mid-capture"
        yield shown_by(text, -5.0, "interleaved", list(book.kept[0]))
    halves = book.halves
    if halves and not book.below:
        yield shown_by("one connection of a host came in as the other was refused", -3.0, "edge", list(halves[0]))


RULE = Rule(
    id="account-locked",
    title="account locked, disabled or not allowed",
    cause=CAUSE,
    kinds=("login", "greeting", "mailbox"),
    remedies=("account-locked",),
    since="0.1",
    check=check,
)
