"""Back end or service trouble: the server cannot serve anybody, whoever asks.

Looks for
    Words that say so, and the TLS alert internal_error; every account refused at the same time; logins that work again for
    all at once.
Why
    A front end that cannot reach its directory or its store refuses good credentials, with the words of bad ones.
What would refute it
    Other accounts, or other hosts of the same account, accepted during the refusals.
Evidence
    words, all accounts; and against: others fine.
Sources
    RFC 5530, section 3 (UNAVAILABLE, SERVERBUG); Microsoft KB 980049.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from analyzer.rules.finding import Evidence
from analyzer.rules.ledger import decided_ts
from analyzer.rules.rule import Question, Rule, shown_by, words
from analyzer.rules.signatures import line_of, match
from analyzer.sessions.session import Login, LoginOutcome

CAUSE = "server_unavailable"
SLOW_MS = 8000.0
"""Median wait before a refusal that tells of time-outs behind the server; the longest known tarpit is 5 s."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against trouble of the whole service."""
    if question.dispute.kind == "tls":
        from analyzer.rules.sealed import broken_off

        yield from broken_off(question.dispute, CAUSE)
        return
    yield from words(question, CAUSE)
    dispute = question.dispute
    if dispute.signature.explicit:
        return
    scene = dispute.scene
    product, protocol = dispute.refusals[0].session.product, dispute.refusals[0].session.protocol
    first, last = dispute.first, dispute.last
    during = [x for ts, x in scene.decided(dispute.server) if first <= ts <= last]
    welcome = [x for x in during if x.outcome is LoginOutcome.ACCEPTED]
    turned = [x for x in during if x.outcome is LoginOutcome.REFUSED and not _explained(x, product, protocol)]
    refused = {scene.account(x) for x in turned} - {None}
    if dispute.kind == "login" and len(refused) > 1 and len({x.client for x in turned}) > 1 and not welcome:
        accepted_before = any(decided_ts(x) < first for _, x in scene.welcome(dispute.server))
        text = f"{len(refused)} accounts were refused in the same time and none accepted"
        yield shown_by(text, 8.0 if accepted_before else 4.0, "all-accounts", during[:5])
    waits = sorted(x.auth_ms for x in turned if x.auth_ms is not None)
    if dispute.kind == "login" and waits and waits[len(waits) // 2] >= SLOW_MS:
        text = f"refusals took {waits[len(waits) // 2] / 1000:.0f} s, as when a back end does not answer"
        yield shown_by(text, 6.0, "slow", turned[:5])
    others = [x for x in welcome if scene.account(x) != dispute.account]
    if others:
        yield shown_by("other accounts were accepted at the same time", -12.0, "others-fine", others[:3])
    elif welcome and dispute.kind == "login":
        yield shown_by("logins of the same account were accepted at the same time", -10.0, "others-fine", welcome[:3])
    if scene.known.others_working:
        yield Evidence("you said that others work with this account", (), -15.0, kind="known-others", source="--known")


def _explained(login: Login, product: str | None, protocol: str | None) -> bool:
    """Tell a refusal whose words name another reason."""
    return _explicit(login.status, login.code, login.text, product, protocol)


@lru_cache(maxsize=4096)
def _explicit(status: str, code: str | None, text: str | None, product: str | None, protocol: str | None) -> bool:
    return match("login", line_of(status or "NO", code, text), product, protocol).explicit


RULE = Rule(
    id="server-unavailable",
    title="server or back end unavailable",
    cause=CAUSE,
    kinds=("login", "greeting", "mailbox", "tls"),
    remedies=("server-unavailable",),
    since="0.1",
    check=check,
)
