"""Middlebox reset: something between client and server cuts connections in the server's name.

Looks for
    A reset in mid-session, without BYE, LOGOUT or FIN before it, that has come another way than the packets of the side it
    names; that came sooner than an answer of that side can; or that the capture at that side's end does not hold. Or several
    connections reset after the same round time of silence.
Why
    Firewalls, balancers and scanners forget quiet connections, or forbid them, and send a reset to say so. The agent
    loses his mail although neither he nor the server ended anything.
What would refute it
    The reset has the own TTL (IPv6: hop limit) of the side it names; a capture at the server in which it sends the reset
    itself. Its window tells nothing: hosts send 0 as well as their last one.
Evidence
    both ends, TTL, too soon, idle time; and against: the own TTL.
Sources
    RFC 9293, section 3.5.2 (resets); RFC 5382, section 5 (idle time-outs); RFC 9051, section 5.4 (autologout).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from analyzer.at import NS_PER_S
from analyzer.rules.finding import Evidence, FrameRef
from analyzer.rules.rule import FRAMES_SHOWN, Question, Rule, filter_of, frame_filter, frames
from analyzer.rules.scene import TTL_STEP, Dispute, Refusal, foreign_reset, own_ttl
from analyzer.sessions.session import Session

CAUSE = "middlebox_reset"
TIMEOUTS_S = (300, 600, 900, 1800, 3600)
"""Seconds of silence after which middleboxes are set to forget a connection."""
ABOUT_S = 5.0
"""Seconds a time-out may come late or early: tables are swept every few seconds."""
SEVERAL = 2
"""Connections reset at one round time from which on that is no accident."""
SOON = 0.5
"""Share of the handshake's round trip in which no answer of the server can come."""
NEAR_MS = 2.0
"""Round trips below this, ms, are too short to tell who answered sooner."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a box on the way."""
    dispute = question.dispute
    yield from _both_ends(dispute)
    yield from _ttl(dispute)
    yield from _too_soon(dispute)
    yield from _idle(dispute)


def _both_ends(dispute: Dispute) -> Iterator[Evidence]:
    """Testify from captures at both ends: a reset that its sender's own capture does not hold was made in between."""
    told = [c for r in dispute.refusals if (c := r.session.crossing) is not None and c.forged]
    if not told:
        return
    seen = dict.fromkeys(FrameRef(*place) for c in told for place in c.seen)
    refs = tuple(seen)[:FRAMES_SHOWN]
    # One packet a capture may have lost itself; that its sender went on, or several, it has not.
    sure = len(told) >= SEVERAL or any(c.forged == "both" or c.went_on for c in told)
    first = next((c for c in told if c.forged == "both"), told[0])
    text = {
        "both": f"{first.near} and {first.far} each got a reset in the other's name, and neither sent one",
        "server": f"{first.near} got a reset in the server's name that {first.far}, at the server's end, does not hold",
        "client": f"{first.far} got a reset in the client's name that {first.near}, at the client's end, does not hold",
    }[str(first.forged)]
    yield Evidence(text, refs, 24.0 if sure else 12.0, decisive=sure, filter=filter_of(refs), kind="both-ends")


def _ttl(dispute: Dispute) -> Iterator[Evidence]:
    strange = next((r.session for r in dispute.refusals if _differs(r.session)), None)
    refs, shown = frames(dispute), frame_filter(dispute)
    if strange is None:
        if all(r.session.reset_ttl is not None for r in dispute.refusals):
            text = "the resets have the TTL of the packets of the side they name"
            yield Evidence(text, refs, -4.0, filter=shown, kind="ttl")
        return
    # A firewall that answers SYNs for the server would make the server's own reset look foreign.
    sure = strange.data_ttl is not None or _is_servers_own(strange, dispute.scene.on(dispute.server))
    own = "its other packets" if sure else "its SYN/ACK"
    text = f"resets in the {strange.reset_by}'s name came with TTL {strange.reset_ttl}, {own} with {own_ttl(strange)}"
    source = "RFC 9293, section 3.5.2; RFC 791, section 3.2"
    yield Evidence(text, refs, 20.0 if sure else 14.0, decisive=sure, filter=shown, kind="ttl", source=source)


def _differs(s: Session) -> bool:
    own = own_ttl(s)
    return foreign_reset(s) and own is not None and s.reset_ttl is not None and abs(own - s.reset_ttl) > TTL_STEP


def _too_soon(dispute: Dispute) -> Iterator[Evidence]:
    """Testify from resets that answer a packet of the client sooner than the server is away."""
    soon = [r for r in dispute.refusals if _sooner(r.session)]
    if len(soon) < SEVERAL or len(soon) * 2 <= len(dispute.refusals):
        return
    refs = tuple(r.ref for r in soon)[:FRAMES_SHOWN]
    first = soon[0].session
    text = (
        f"{len(soon)} resets came {first.reset_after_ms:.1f} ms behind a packet of the client; the server is "
        f"{first.handshake_ms:.1f} ms away, there and back"
    )
    yield Evidence(text, refs, 8.0, filter=filter_of(refs), kind="too-soon", source="RFC 9293, section 3.5.2")


def _sooner(s: Session) -> bool:
    after, trip = s.reset_after_ms, s.handshake_ms
    return s.reset_by == "server" and after is not None and trip is not None and trip >= NEAR_MS and after < SOON * trip


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
