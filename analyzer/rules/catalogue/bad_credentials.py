"""Wrong or changed password: on one client, everywhere, or from some moment on.

Looks for
    Secrets that are refused while another secret of the same account is accepted; hosts that never get in while all
    others do; an account that nobody gets into.
Why
    It is the commonest reason for a refused login, and the words are the same as for a limit on Exchange.
What would refute it
    The very same secret accepted before and after the refusal; a host accepted again without anybody having typed.
Evidence
    words, other secret, corrected (refused, then accepted with another secret), several secrets, everywhere, never here,
    changed; and against: reversal, returned, known credentials. Inside TLS, without keys: shape, answer, never here, half;
    never more than suspected.
Sources
    RFC 5530, section 3; RFC 4616; Microsoft: NTLM (MS-NLMP).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator

from analyzer.at import NS_PER_S
from analyzer.rules.finding import Evidence
from analyzer.rules.ledger import SECRET_WINDOW_S, Ledger, by_host, decided_ts, host_of
from analyzer.rules.rule import Question, Rule, shown_by, words
from analyzer.secret import Secret
from analyzer.sessions.session import Login

CAUSE = "bad_credentials"
RETRY_LOOP_S = 90.0
"""Seconds before an acceptance in which three refusals of the same host belong to one retry loop."""
MANY_ACCOUNTS = 3
"""Accounts one host is refused for before it looks like guessing."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against wrong credentials."""
    if question.dispute.kind == "sealed":
        from analyzer.rules.sealed import bad_credentials

        yield from bad_credentials(question.dispute)
        return
    yield from words(question, CAUSE)
    book = question.ledger
    if book is None or question.dispute.signature.explicit:
        return
    if question.dispute.protocol == "smtp" and not book.accepted:
        text = "SMTP servers count no connections at the login, so these words leave little else"
        yield shown_by(text, 3.0, "protocol", book.refused[:3])
    yield from _other_secret(book)
    yield from _several(book)
    yield from _nobody(book)
    yield from _many_accounts(question, book)
    yield from _never_here(book)
    yield from _changed(book)
    yield from _against(book)


def _other_secret(book: Ledger) -> Iterator[Evidence]:
    strange = [r.login for r in book.strange if r.login]
    if not strange or len(strange) < len(book.refused):
        return
    if book.corrected:
        refused, accepted = book.corrected[0]
        yield shown_by(
            f"{host_of(refused)} was refused with one secret and then accepted with another",
            22.0,
            "secret",
            [refused, accepted],
            decisive=True,
        )
        return
    window = SECRET_WINDOW_S * NS_PER_S
    first, last = book.dispute.first, book.dispute.last
    near = [x for x in book.accepted if abs(decided_ts(x) - first) <= window or first < decided_ts(x) < last]
    after = book.accepted_since(first)
    if near:
        witness = (after or near)[0]
        yield shown_by(
            f"the refused secret differs from the one that {host_of(witness)} got in with",
            20.0 if after else 14.0,
            "secret",
            [strange[0], witness],
            decisive=bool(after),
        )


def _several(book: Ledger) -> Iterator[Evidence]:
    by_secret: dict[str, dict[Secret, Login]] = defaultdict(dict)
    for login in book.refused:
        if login.credential is not None:
            by_secret[host_of(login)].setdefault(login.credential, login)
    tried = {host: secrets for host, secrets in by_secret.items() if len(secrets) > 1}
    if tried and not book.accepted:
        host, secrets = max(tried.items(), key=lambda item: len(item[1]))
        yield shown_by(
            f"{host} was refused with {len(secrets)} different secrets; at most one of them can be right",
            12.0,
            "several",
            list(secrets.values())[:5],
        )


def _nobody(book: Ledger) -> Iterator[Evidence]:
    if book.accepted or book.spans or book.dispute.scene.unsure(book.dispute.server):
        return
    hosts = sorted(book.refused_hosts)
    if len(hosts) > 1:
        yield shown_by(
            f"nobody gets in: {len(hosts)} hosts tried, all {len(book.refused)} logins were refused, no session was open",
            8.0,
            "everywhere",
            book.refused[:5],
        )


def _many_accounts(question: Question, book: Ledger) -> Iterator[Evidence]:
    """Testify from a host that tries account after account and gets into none: it guesses, or is configured wrongly."""
    dispute = question.dispute
    if book.accepted:
        return
    guesses = dispute.scene.place(dispute.server).guesses
    client = next((x for x in dispute.clients if guesses.get(x, 0) >= MANY_ACCOUNTS), None)
    if client is not None:
        text = f"{client} tried {guesses[client]} accounts and got into none"
        yield shown_by(text, 6.0, "many-accounts", book.refused[:3])


def _never_here(book: Ledger) -> Iterator[Evidence]:
    """Testify where secrets cannot be read: some hosts never get in, the others always do, with as many sessions open."""
    if book.strange or not book.accepted or book.refused_hosts & book.witnesses:
        return
    if not book.below or book.kept or book.regained:
        return
    others = {host_of(x) for x in book.accepted}
    # Between two of its refusals: those who come in after the last one may come in because something is over. And on the
    # same server: behind a load balancer one may be full while another is not.
    there = {x.server_name for x in book.refused} - {None}
    names = there | {x.server_name for x in book.interleaved} - {None}
    during = [x for x in book.interleaved if len(names) < 2 or x.server_name in there]
    if others and during:
        hosts = ", ".join(sorted(book.refused_hosts)[:3])
        yield shown_by(
            f"only {hosts} is refused, every time ({len(book.refused)}); {len(others)} other host(s) are accepted every time, "
            f"{len(during)} login(s) of theirs between its refusals",
            6.0 if book.late else 12.0,
            "never-here",
            [book.refused[0], during[0], book.refused[-1]],
        )


def _changed(book: Ledger) -> Iterator[Evidence]:
    if book.superseded:
        before, refused, newer = book.superseded
        yield shown_by(
            f"the refused secret was good before, and another one is good now ({host_of(newer)} got in with it): the password "
            "was changed",
            24.0,
            "changed",
            [before, refused, newer],
            decisive=True,
        )
        return
    if not book.kept or book.regained or book.after_all or book.interleaved or not book.below:
        return
    yield shown_by(
        "from one moment on every login is refused, with the secret that was accepted before, however few sessions are open: "
        "the password was changed, or the account locked, in between",
        6.0,
        "changed",
        list(book.kept[0]),
    )


def _against(book: Ledger) -> Iterator[Evidence]:
    known = book.dispute.scene.known
    if known.credentials_verified:
        yield Evidence(
            "you said that the credentials are verified", (), -15.0, kind="known-credentials", source="--known"
        )
    if known.others_working and not book.wide:
        text = "you said that others work with this account; this PC may still hold an old password"
        yield Evidence(text, (), -2.0, kind="known-others", source="--known")
    if book.reversals:
        yield shown_by("the same secret was accepted before and after", -30.0, "reversal", list(book.reversals[0]))
    elif book.regained:
        yield shown_by("the refused secret was accepted later", -20.0, "reversal", list(book.regained[0]))
    elif book.partners and not book.superseded:
        yield shown_by("the same host was let in a moment before", -8.0, "reversal", list(book.partners[0]))
    elif book.kept and not book.below and not book.superseded:
        text = (
            "the refused secret is the one the server accepts for this account; it would have to change in mid-capture"
        )
        yield shown_by(text, -6.0, "reversal", list(book.kept[0]))
    elif _returned(book):
        yield shown_by("a refused host was accepted later, in the same retry loop", -10.0, "reversal", _returned(book))


def _returned(book: Ledger) -> list[Login]:
    """Return a host's (refused, accepted) pair within seconds in a retry loop, where secrets cannot be compared."""
    if book.fast_retry_s is None or book.strange:
        return []
    turned = by_host(book.refused)
    for after in book.accepted:
        refused = turned.get(host_of(after), [])
        first = bisect_right(refused, decided_ts(after) - RETRY_LOOP_S * NS_PER_S, key=decided_ts)
        mine = refused[first : bisect_left(refused, decided_ts(after), key=decided_ts)]
        if len(mine) >= 3:
            return [mine[-1], after]
    return []


RULE = Rule(
    id="bad-credentials",
    title="wrong or changed password",
    cause=CAUSE,
    kinds=("login", "sealed"),
    remedies=("bad-credentials",),
    since="0.1",
    check=check,
)
