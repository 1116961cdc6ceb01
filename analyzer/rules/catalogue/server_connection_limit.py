"""Server connection limit: the server, or its pool of processes, is full for everybody.

Looks for
    Several clients turned away at one and the same total of open connections; words that say so; TCP accepted but no
    greeting, while other sessions work.
Why
    Exchange MaxConnections, Dovecot's process limits, Zimbra's thread pool: whoever comes next is turned away or waits.
What would refute it
    Some addresses welcomed while others are turned away.
Evidence
    words, total plateau, silence; and against: others welcomed.
Sources
    Microsoft: Set-ImapSettings MaxConnections; Dovecot service limits; Zimbra zimbraImapMaxConnections.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence, FrameRef
from analyzer.rules.plateau import Standing, standing
from analyzer.rules.rule import Question, Rule, filter_of, frame_filter, frames, words
from analyzer.rules.scene import shut_out
from analyzer.sessions.concurrency import spans, steps

CAUSE = "server_connection_limit"


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a full server."""
    yield from words(question, CAUSE)
    dispute = question.dispute
    if dispute.protocol == "smtp":
        return
    refs, shown = frames(dispute), frame_filter(dispute)
    if dispute.kind == "silence":
        text = "TCP accepted the connection, then the server said nothing: as when every worker is taken"
        yield Evidence(text, refs, 4.0, filter=shown, kind="silence")
        yield from _silence(question)
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
        yield Evidence(text, refs, 16.0, decisive=True, filter=shown, kind="total-plateau")
        text = f"several addresses at once, each with another number of own connections ({_own(stands.by_client)})"
        yield Evidence(text, refs, 10.0, filter=shown, kind="several-clients")


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
        text = f"{len(back)} newcomer(s) were served once a session had ended"
        yield Evidence(text, after, 7.0, filter=filter_of(after), kind="refill")


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
