"""Request throttling: a budget of requests, time or bandwidth is used up.

Looks for
    Words that say so, with the back-off time the server asks for.
Why
    Exchange Online and Gmail slow down or refuse accounts that ask too much; connections are not the matter.
What would refute it
    The words are explicit; nothing else is taken for it.
Evidence
    words.
Sources
    imapsync FAQ (Office 365, Gmail); Microsoft: user workload management.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence
from analyzer.rules.rule import Question, Rule, words

CAUSE = "request_throttling"


def check(question: Question) -> Iterator[Evidence]:
    """Testify for request throttling."""
    yield from words(question, CAUSE)


RULE = Rule(
    id="request-throttling",
    title="request throttling: the account's budget is used up",
    cause=CAUSE,
    kinds=("login", "greeting", "mailbox"),
    remedies=("request-throttling",),
    since="0.1",
    check=check,
)
