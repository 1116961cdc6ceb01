"""Back end or service trouble: the server cannot serve anybody, whoever asks.

Looks for
    Words that say so, and the TLS alert internal_error; every account refused at the same time; connections accepted and
    closed at once without a word; logins that work again for all at once.
Why
    A front end that cannot reach its directory or its store refuses good credentials, with the words of bad ones.
What would refute it
    Other accounts, or other hosts of the same account, accepted during the refusals.
Evidence
    words, all accounts, stretch, slow, cut, without a word, all clients; and against: others fine.
Sources
    RFC 5530, section 3 (UNAVAILABLE, SERVERBUG); Microsoft KB 980049.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from analyzer.at import NS_PER_S
from analyzer.rules.finding import Evidence, FrameRef
from analyzer.rules.place import Place
from analyzer.rules.rule import FRAMES_SHOWN, Question, Rule, filter_of, frame_filter, frames, shown_by, words
from analyzer.rules.scene import Dispute, shut_out

CAUSE = "server_unavailable"
SLOW_MS = 8000.0
"""Median wait before a refusal that tells of time-outs behind the server; the longest known tarpit is 5 s."""
STRETCH_DB = 1.6
"""So much that what an outage shows as well as a limit (words, height, cadence, coming back: 11.5 dB at most) does not suffice
for a claim of the limit."""
SEVERAL = 3
"""Refusals that make a stretch; one or two may be mishaps."""
COUNTED = 100
"""Accounts counted: more make no difference, and there may be thousands."""
BATCH = 1024
"""Logins whose accounts are counted before a look at how many there are."""
SAMPLE = 200
"""Waits whose median is taken; of more, every so many-th."""


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
    if dispute.kind == "greeting":
        yield from _without_a_word(dispute)
        return
    scene, place = dispute.scene, dispute.scene.place(dispute.server)
    first, last = dispute.first, dispute.last
    begin, end = place.accepted.between(first, last)
    if dispute.kind == "login":
        if begin == end:
            yield from _everybody(question, place)
            yield from _stretch(question)
        yield from _slow(question, place)
    elif dispute.kind == "silence":
        yield from _cut(question)
    welcome = zip(place.accepted.logins[begin:end], place.accepted.accounts[begin:end], strict=True)
    others = list(islice((x for x, account in welcome if account != dispute.account), 3))
    if others:
        yield shown_by("other accounts were accepted at the same time", -12.0, "others-fine", others)
    elif begin < end and dispute.kind == "login":
        same = place.accepted.logins[begin : min(begin + 3, end)]
        yield shown_by("logins of the same account were accepted at the same time", -10.0, "others-fine", same)
    if scene.known.others_working:
        yield Evidence("you said that others work with this account", (), -15.0, kind="known-others", source="--known")


def _everybody(question: Question, place: Place) -> Iterator[Evidence]:
    """Testify when accounts were refused from several clients in a time in which nobody was accepted."""
    dispute = question.dispute
    begin, end = place.unexplained.between(dispute.first, dispute.last)
    refused = place.unexplained.logins[begin:end]
    accounts: set[str | None] = set()
    for first in range(begin, end, BATCH):
        accounts.update(place.unexplained.accounts[first : min(first + BATCH, end)])
        if len(accounts) > COUNTED:
            break
    accounts.discard(None)
    if len(accounts) > 1 and any(login.client != refused[0].client for login in refused):
        accepted_before = bool(place.accepted.times) and place.accepted.times[0] < dispute.first
        number = f"{len(accounts)} accounts" if len(accounts) < COUNTED else f"{COUNTED} accounts or more"
        text = f"{number} were refused in the same time and none accepted"
        yield shown_by(text, 8.0 if accepted_before else 4.0, "all-accounts", refused[:5])


def _without_a_word(dispute: Dispute) -> Iterator[Evidence]:
    """Testify from connections that were accepted and closed at once without a greeting."""
    mute = [r for r in dispute.refusals if shut_out(r.session)]
    if not mute:
        return
    refs, shown = frames(dispute), frame_filter(dispute)
    text = f"{len(mute)} connection(s) were accepted and closed at once without a greeting, as a service in maintenance does"
    yield Evidence(text, refs, 4.0, filter=shown, kind="without-a-word", source="RFC 9051, section 3")
    there = dispute.scene.on(dispute.server)
    meanwhile = [s for s in there if s.greeting_at is not None and dispute.first <= s.greeting_at.ts <= dispute.last]
    if meanwhile:
        met = tuple(FrameRef(s.capture, s.first_frame) for s in meanwhile)[:FRAMES_SHOWN]
        text = f"{len(meanwhile)} other connection(s) were greeted meanwhile"
        yield Evidence(text, met, -10.0, filter=filter_of(met), kind="others-fine")
    elif len(dispute.clients) > 1:
        text = f"nobody was greeted meanwhile: {len(dispute.clients)} clients tried"
        yield Evidence(text, refs, 5.0, filter=shown, kind="all-clients")


def _stretch(question: Question) -> Iterator[Evidence]:
    """Testify when all refusals fall into one stretch of time, with acceptances before and after: an outage is like that."""
    book = question.ledger
    if book is None or not book.wide or len(book.refused) < SEVERAL or not book.after_all:
        return
    if len(book.after_all) < len(book.accepted):
        seconds = (question.dispute.last - question.dispute.first) / NS_PER_S
        text = f"for {seconds:.0f} s nobody at all was accepted, before and after that everybody: as when something was down"
        yield shown_by(text, STRETCH_DB, "stretch", [book.refused[0], book.refused[-1], book.after_all[0]])


def _cut(question: Question) -> Iterator[Evidence]:
    """Testify when the server closed most connections without a word, and at once: what should serve them fails."""
    dispute = question.dispute
    cut = len(dispute.refusals) - len(question.waiting.hung)
    if 2 * cut > len(dispute.refusals):
        text = f"{cut} connections were closed by the server without a word, as when a process behind it fails"
        yield Evidence(text, frames(dispute), 4.0, filter=frame_filter(dispute), kind="cut")


def _slow(question: Question, place: Place) -> Iterator[Evidence]:
    """Testify when most refusals took as long as a time-out behind the server."""
    if place.slowest_ms < SLOW_MS:
        return
    begin, end = place.unexplained.between(question.dispute.first, question.dispute.last)
    turned = place.unexplained.logins[begin : end : 1 + (end - begin) // SAMPLE]
    waits = sorted(x.auth_ms for x in turned if x.auth_ms is not None)
    if waits and waits[len(waits) // 2] >= SLOW_MS:
        text = f"refusals took {waits[len(waits) // 2] / 1000:.0f} s, as when a back end does not answer"
        yield shown_by(text, 6.0, "slow", turned[:5])


RULE = Rule(
    id="server-unavailable",
    title="server or back end unavailable",
    cause=CAUSE,
    kinds=("login", "greeting", "mailbox", "silence", "tls"),
    remedies=("server-unavailable",),
    since="0.1",
    check=check,
)
