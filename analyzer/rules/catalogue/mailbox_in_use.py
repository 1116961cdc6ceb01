"""Mailbox in use: another session holds a lock on it.

Looks for
    The response code INUSE.
Why
    Some operations need the mailbox alone; it is no limit on connections.
What would refute it
    The words are explicit; nothing else is taken for it.
Evidence
    words.
Sources
    RFC 5530, section 3 (INUSE).
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence
from analyzer.rules.rule import Question, Rule, words

CAUSE = "mailbox_in_use"


def check(question: Question) -> Iterator[Evidence]:
    """Testify for a locked mailbox."""
    yield from words(question, CAUSE)


RULE = Rule(
    id="mailbox-in-use",
    title="mailbox locked by another session",
    cause=CAUSE,
    kinds=("login", "mailbox"),
    remedies=("mailbox-in-use",),
    since="0.1",
    check=check,
)
