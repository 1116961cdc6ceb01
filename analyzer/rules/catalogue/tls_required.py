"""TLS required: the server takes no password over a connection in clear.

Looks for
    Words that say so; LOGINDISABLED among the capabilities of a connection whose clear login was refused.
Why
    Exchange's default LoginType is SecureLogin; Dovecot and others refuse clear-text passwords likewise.
What would refute it
    A login accepted in clear on the same server.
Evidence
    words, LOGINDISABLED; and against: accepted in clear.
Sources
    RFC 9051, section 6.2.3 (LOGINDISABLED); RFC 5530, section 3 (PRIVACYREQUIRED); Microsoft: Set-ImapSettings LoginType.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence
from analyzer.rules.rule import Question, Rule, frame_filter, frames, words

CAUSE = "tls_required"
CLEAR = frozenset({"LOGIN", "PLAIN"})
"""Mechanisms that send the password itself."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a demand for TLS."""
    yield from words(question, CAUSE)
    dispute = question.dispute
    disabled = [
        r
        for r in dispute.refusals
        if r.login is not None and r.login.mechanism in CLEAR and r.session.tls == "none"
        and "LOGINDISABLED" in r.session.capability
    ]  # fmt: skip
    if disabled:
        text = "the server had announced LOGINDISABLED: no clear-text login before STARTTLS"
        yield Evidence(
            text,
            frames(dispute),
            18.0,
            decisive=True,
            filter=frame_filter(dispute),
            kind="logindisabled",
            source="RFC 9051",
        )
    ways = dispute.scene.place(dispute.server).ways
    if any(tls == "none" and mechanism in CLEAR for tls, mechanism in ways) and not dispute.signature.explicit:
        yield Evidence("clear-text logins were accepted on this server", (), -20.0, kind="clear-accepted")


RULE = Rule(
    id="tls-required",
    title="the server takes logins over TLS only",
    cause=CAUSE,
    kinds=("login", "greeting"),
    remedies=("tls-required",),
    since="0.1",
    check=check,
)
