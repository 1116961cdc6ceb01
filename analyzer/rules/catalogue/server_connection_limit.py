"""Server connection limit: the server, or its pool of processes, is full for everybody.

Looks for
    Several clients turned away at one and the same total of open connections; words that say so; TCP accepted but no
    greeting or no answer to the login, while other sessions work, until one of these ends.
Why
    Exchange MaxConnections, Dovecot's process limits, Zimbra's thread pool: whoever comes next is turned away or waits.
What would refute it
    Some addresses welcomed while others are turned away; newcomers served although nobody had gone, as when a stuck server
    works again.
Evidence
    words, total plateau, silence, refill, release (newcomers served just as another client had gone), dropped (the way in
    which Dovecot turns newcomers away when no process is free); and against: others welcomed, served although nobody had
    gone.
Sources
    Microsoft: Set-ImapSettings MaxConnections; Dovecot service limits, and what its master
    process does at them (src/master/service-monitor.c); Zimbra zimbraImapMaxConnections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyzer.at import NS_PER_S
from analyzer.rules.dropped import SOURCE, Drop, drops, then_at_once, together
from analyzer.rules.finding import Evidence, FrameRef
from analyzer.rules.plateau import Standing, standing
from analyzer.rules.release import together_db
from analyzer.rules.rule import FRAMES_SHOWN, Question, Rule, filter_of, frame_filter, frames, words
from analyzer.rules.scene import shut_out
from analyzer.rules.waiting import Gone, Wait
from analyzer.sessions.concurrency import spans, steps

CAUSE = "server_connection_limit"
RELEASE_COST_DB = 20.0
"""What the odds of newcomers being served just after others had gone must beat. A freed place is taken within milliseconds,
so the odds are high; in simulated stalls one of several hundred looks like it all the same."""
RELEASE_CAP_DB = 13.0
"""No single coincidence weighs more."""
DROPPED_DB = 13.0
"""Other timers strike each connection in its own time; a restart strikes all, but once in twenty just then."""
AT_ONCE_DB = 11.0
"""Nothing else in Dovecot's source is silent that way; but a directory may fail slowly first and then at once."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a full server."""
    yield from words(question, CAUSE)
    dispute = question.dispute
    if dispute.protocol == "smtp":
        return
    refs, shown = frames(dispute), frame_filter(dispute)
    if dispute.kind == "silence":
        waiting = question.waiting
        said = "said nothing" if waiting.hung else "closed it without a word"
        text = f"TCP accepted the connection, then the server {said}: as when every worker is taken"
        yield Evidence(text, refs, 4.0, filter=shown, kind="silence")
        yield from _silence(question)
        yield from _release(question)
        yield from _dropped(question)
        return
    if dispute.kind != "greeting" or dispute.signature.explicit:
        return
    if any(shut_out(r.session) for r in dispute.refusals):
        text = "accepted and closed without a word, as some servers do when every worker is taken"
        yield Evidence(text, refs, 4.0, filter=shown, kind="silence")
    stands = question.crowd
    if stands.passed_by:
        yield Evidence("other addresses were welcomed meanwhile", refs, -20.0, filter=shown, kind="others-welcome")
    elif len(stands.refused) > 1 and stands.total.clean:
        text = (
            f"{len(stands.refused)} clients were turned away, only with {stands.total.least_refused} or more connections of "
            f"the server open; welcomed with {stands.total.most_accepted} or fewer"
        )
        # A service that stops turns everybody away from then on.
        weight = 16.0 if question.is_limit else 4.0
        yield Evidence(text, refs, weight, decisive=question.is_limit, filter=shown, kind="total-plateau")
        text = f"several addresses at once, each with another number of own connections ({_own(stands.by_client)})"
        yield Evidence(text, refs, 10.0 if question.is_limit else 4.0, filter=shown, kind="several-clients")


def _silence(question: Question) -> Iterator[Evidence]:
    """Testify from the sessions that held the server while newcomers waited in vain."""
    dispute = question.dispute
    working = [s for s in dispute.scene.on(dispute.server) if s.opened is not None]
    held = spans(working)
    line = steps(held)
    stand = standing(
        [r.at.ts for r in dispute.refusals], [s.opened for s in working if s.opened is not None], held, line
    )
    if not stand.clean or len(dispute.clients) < 2:
        return
    refs, shown = frames(dispute), frame_filter(dispute)
    text = f"newcomers waited in vain only with {stand.least_refused} or more sessions open, were served with {stand.most_accepted} or fewer"
    yield Evidence(text, refs, 3.0, filter=shown, kind="plateau")
    back = [s for s in working if s.opened is not None and s.opened > dispute.first]
    if back:
        after = tuple(FrameRef(s.capture, s.first_frame) for s in back[:10])
        # So they would be once a stuck server works again; how soon after the end is another fact.
        text = f"{len(back)} newcomer(s) were served once a session had ended"
        yield Evidence(text, after, 2.0, filter=filter_of(after), kind="refill")


def _release(question: Question) -> Iterator[Evidence]:
    """Testify from newcomers served as soon as another client had gone, and from those for whom nobody made way."""
    waiting, place = question.waiting, question.dispute.scene.place(question.dispute.server)
    if not place.is_wide:
        return
    if waiting.unreleased and not place.is_late and not place.unsure:
        refs = tuple(_greeted(w) for w in waiting.unreleased[:10])
        text = (
            f"{len(waiting.unreleased)} newcomer(s) that had to wait were served although nobody had made way for them"
        )
        yield Evidence(text, refs, -12.0, filter=filter_of(refs), kind="release")
        return
    weight = min(together_db([m.chance for m in waiting.moments]) - RELEASE_COST_DB, RELEASE_CAP_DB)
    if weight > 0:
        releases = [(m.wait, m.gone) for m in waiting.moments if m.gone is not None]
        refs = tuple(ref for wait, gone in releases[:10] for ref in (_ended(gone), _greeted(wait)))
        soonest = min(wait.served - gone.ts for wait, gone in releases) / NS_PER_S
        text = (
            f"{len(releases)} of {len(waiting.moments)} time(s) newcomers that had waited in vain were served as soon as another client had gone, "
            f"at best {soonest:.3f} s later"
        )
        yield Evidence(text, refs, weight, filter=filter_of(refs), kind="release")


def _dropped(question: Question) -> Iterator[Evidence]:
    """Testify from newcomers that Dovecot dropped as it drops those for whom no process is free."""
    dispute = question.dispute
    if dispute.scene.place(dispute.server).product != "dovecot":
        return
    found = drops(question.waiting)
    for batch in together(found):
        waited = (batch[0].ts - min(d.since for d in batch)) / NS_PER_S
        text = (
            f"{len(batch)} newcomers that had come at different times were dropped at one moment, {waited:.1f} s after the "
            "first: Dovecot does that when every process is taken"
        )
        yield _evidence(text, DROPPED_DB, batch)
        return
    waited_long, later = ([], []) if question.waiting.at_greeting else then_at_once(found)
    if later:
        text = (
            f"{len(waited_long)} newcomer(s) waited before they were dropped, and all {len(later)} that came then were cut "
            "off at once, without a word: Dovecot does that when every process stays taken"
        )
        yield _evidence(text, AT_ONCE_DB, [*waited_long, *later])


def _evidence(text: str, weight_db: float, found: Sequence[Drop]) -> Evidence:
    refs = tuple(d.ref for d in found)[:FRAMES_SHOWN]
    return Evidence(text, refs, weight_db, filter=filter_of(refs), kind="dropped", source=SOURCE)


def _greeted(wait: Wait) -> FrameRef:
    s = wait.session
    login = s.login.decided if s.login is not None and s.login.decided is not None else None
    at = s.greeting_at if s.greeting_at is not None and s.greeting_at.ts == wait.served else login
    return FrameRef(s.capture, at.frame if at is not None else s.first_frame)


def _ended(gone: Gone) -> FrameRef:
    at = gone.session.closed_at
    return FrameRef(gone.session.capture, at.frame if at is not None else gone.session.last_frame)


def _own(by_client: dict[str, Standing]) -> str:
    numbers = sorted({s.height for s in by_client.values() if s.height is not None})
    return ", ".join(map(str, numbers)) or "none"


RULE = Rule(
    id="server-connections",
    title="the server is full: connection limit of the whole server",
    cause=CAUSE,
    kinds=("greeting", "login", "mailbox", "silence"),
    remedies=("server-connection-limit",),
    since="0.1",
    check=check,
)
