"""Login delay: POP3 logins must lie some minutes apart.

Looks for
    The response code LOGIN-DELAY.
Why
    A server may ask clients to poll less often; neither the password nor the number of sessions is the matter.
What would refute it
    The words are explicit; nothing else is taken for it.
Evidence
    words.
Sources
    RFC 2449, section 8.1.1; Cyrus popminpoll.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence
from analyzer.rules.rule import Question, Rule, words

CAUSE = "login_delay"


def check(question: Question) -> Iterator[Evidence]:
    """Testify for a login delay."""
    yield from words(question, CAUSE)


RULE = Rule(
    id="login-delay",
    title="POP3 logins too close together",
    cause=CAUSE,
    kinds=("login",),
    remedies=("login-delay",),
    since="0.1",
    check=check,
)
