"""Middlebox reset: something between client and server cuts connections in the server's name.

Looks for
    A reset in mid-session, without BYE, LOGOUT or FIN before it, that has come another way than the server's packets; or
    several connections reset after the same round time of silence.
Why
    Firewalls, balancers and scanners forget quiet connections, or forbid them, and send a reset to say so. The agent
    loses his mail although neither he nor the server ended anything.
What would refute it
    The reset has the server's own TTL; a capture at the server in which it sends the reset itself.
Evidence
    TTL, idle time; and against: the server's own TTL.
Sources
    RFC 9293, section 3.5.2 (resets); RFC 5382, section 5 (idle time-outs); RFC 9051, section 5.4 (autologout).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from analyzer.at import NS_PER_S
from analyzer.rules.finding import Evidence
from analyzer.rules.rule import FRAMES_SHOWN, Question, Rule, filter_of, frame_filter, frames
from analyzer.rules.scene import Dispute, Refusal, foreign_reset
from analyzer.sessions.session import Session

CAUSE = "middlebox_reset"
TIMEOUTS_S = (300, 600, 900, 1800, 3600)
"""Seconds of silence after which middleboxes are set to forget a connection."""
ABOUT_S = 5.0
"""Seconds a time-out may come late or early: tables are swept every few seconds."""
SEVERAL = 2
"""Connections reset at one round time from which on that is no accident."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a box on the way."""
    dispute = question.dispute
    yield _ttl(dispute)
    yield from _idle(dispute)


def _ttl(dispute: Dispute) -> Evidence:
    refs, shown = frames(dispute), frame_filter(dispute)
    first = dispute.refusals[0].session
    if not foreign_reset(first):
        return Evidence("the resets have the TTL of the server's own packets", refs, -4.0, filter=shown, kind="ttl")
    # A firewall that answers SYNs for the server would make the server's own reset look foreign.
    sure = _is_servers_own(first, dispute.scene.on(dispute.server))
    own = "its other packets" if sure else "its SYN/ACK"
    text = f"resets in the server's name came with TTL {first.reset_ttl}, {own} with {first.server_ttl}"
    source = "RFC 9293, section 3.5.2; RFC 791, section 3.2"
    return Evidence(text, refs, 20.0 if sure else 14.0, decisive=sure, filter=shown, kind="ttl", source=source)


def _is_servers_own(cut: Session, there: Iterable[Session]) -> bool:
    """Tell whether packets of the server other than a SYN/ACK were seen with the TTL of its SYN/ACK.

    These are the first packets of sessions that began before the capture, and resets that follow a FIN.
    """
    return any(
        s.capture == cut.capture
        and s.server_ttl == cut.server_ttl
        and (
            (s.syn_at is None and s.syn_ack_at is None and s.server_bytes > 0)
            or (s.reset_by == "server" and s.fin_by is not None and s.reset_ttl == s.server_ttl)
        )
        for s in there
    )


def _idle(dispute: Dispute) -> Iterator[Evidence]:
    timeouts = Counter(t for r in dispute.refusals if (t := _timeout(r)) is not None)
    if not timeouts:
        return
    seconds, times = timeouts.most_common(1)[0]
    if times < SEVERAL or times * 2 <= len(dispute.refusals):
        return
    refs = tuple(r.ref for r in dispute.refusals if _timeout(r) == seconds)[:FRAMES_SHOWN]
    text = f"{times} connections were reset after about {seconds} s of silence, a time-out of firewalls"
    yield Evidence(text, refs, 8.0, filter=filter_of(refs), kind="idle", source="RFC 5382, section 5")


def _timeout(refusal: Refusal) -> int | None:
    """Return the round time of silence, s, that came before a reset."""
    said = refusal.session.said_at
    if said is None:
        return None
    quiet = (refusal.at.ts - said.ts) / NS_PER_S
    return next((t for t in TIMEOUTS_S if abs(quiet - t) <= ABOUT_S), None)


RULE = Rule(
    id="middlebox-reset",
    title="something on the way cuts connections in the server's name",
    cause=CAUSE,
    kinds=("reset",),
    remedies=("middlebox-reset",),
    since="0.1",
    check=check,
)
