"""Command size limit: a command longer than the server takes.

Looks for
    Words that say so.
Why
    Exchange takes 10,240 octets a command by default (Set-ImapSettings MaxCommandSize); long FETCH or SEARCH sets exceed it.
What would refute it
    The same command, short, refused as well.
Evidence
    words.
Sources
    Microsoft: Set-ImapSettings MaxCommandSize.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence
from analyzer.rules.rule import Question, Rule, words

CAUSE = "command_size_limit"


def check(question: Question) -> Iterator[Evidence]:
    """Testify for a command too long."""
    yield from words(question, CAUSE)


RULE = Rule(
    id="command-size",
    title="command longer than the server takes",
    cause=CAUSE,
    kinds=("login", "greeting", "mailbox"),
    remedies=("command-size-limit",),
    since="0.1",
    check=check,
)
