"""Authentication method refused: the mechanism, not the credentials.

Looks for
    Words that say so; a mechanism that the server had not offered in its capabilities.
Why
    A client configured for a mechanism the server does not offer never gets in, with any password.
What would refute it
    A login with this mechanism accepted on the same server.
Evidence
    words, not offered; and against: accepted with it.
Sources
    RFC 9051, section 6.2.2; RFC 3501, section 7.2.1 (AUTH= capabilities).
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence
from analyzer.rules.rule import Question, Rule, frame_filter, frames, words

CAUSE = "auth_method_refused"


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a refused mechanism."""
    yield from words(question, CAUSE)
    dispute = question.dispute
    mechanisms = {r.login.mechanism for r in dispute.refusals if r.login is not None}
    missing = [
        r
        for r in dispute.refusals
        if r.login is not None and r.login.mechanism not in {"LOGIN", "?"} and r.session.capability
        and f"AUTH={r.login.mechanism}" not in r.session.capability
    ]  # fmt: skip
    if missing and len(missing) == len(dispute.refusals):
        text = f"the server did not offer {', '.join(sorted(mechanisms))} among its capabilities"
        yield Evidence(
            text,
            frames(dispute),
            14.0,
            filter=frame_filter(dispute),
            kind="not-offered",
            source="RFC 9051, section 6.2.2",
        )
    worked = any(mechanism in mechanisms for _, mechanism in dispute.scene.place(dispute.server).ways)
    if worked and not dispute.signature.explicit:
        yield Evidence("logins with this mechanism were accepted on this server", (), -20.0, kind="mechanism-accepted")


RULE = Rule(
    id="auth-method-refused",
    title="authentication method refused",
    cause=CAUSE,
    kinds=("login",),
    remedies=("auth-method-refused",),
    since="0.1",
    check=check,
)
