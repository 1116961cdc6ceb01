"""Server slow: it answers, but so late that clients give up.

Looks for
    Connections or logins that stay without an answer for many seconds while TCP is well.
Why
    A tarpit and an overloaded directory look like this, and so does a pool of processes that are all taken: there the next
    is served when somebody goes, so that no two wait equally long.
What would refute it
    Answers at once to others at the same time; newcomers served just as others go.
Evidence
    silence, late answers (decisive for a claim only when they are equally late), late greetings; and against: answers at
    once to others, not even acknowledged.
Sources
    Dovecot auth_failure_delay; Microsoft: Set-ImapSettings PreAuthenticatedConnectionTimeout.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence, FrameRef
from analyzer.rules.rule import FRAMES_SHOWN, Question, Rule, filter_of, frame_filter, frames
from analyzer.rules.scene import STALL_TIMES
from analyzer.rules.waiting import equal
from analyzer.sessions.session import LoginOutcome

CAUSE = "server_slow"
LATE_MS = 3000.0
"""ms; an accepted login that took longer was not served normally; healthy ones take well under one second."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a slow server."""
    dispute, waiting = question.dispute, question.waiting
    if not waiting.hung:
        return
    # Those that were cut off at once did not wait for anything.
    weight = 4.0 if 2 * len(waiting.hung) >= len(dispute.refusals) else 2.0
    yield Evidence("no answer came for seconds", frames(dispute), weight, filter=frame_filter(dispute), kind="silence")
    unheard = [r for r in dispute.refusals if (s := r.session.stall) is not None and s.times >= STALL_TIMES]
    if len(unheard) * 2 > len(dispute.refusals):
        refs = tuple(r.ref for r in unheard)[:FRAMES_SHOWN]
        text = f"in {len(unheard)} of {len(dispute.refusals)} the server did not even acknowledge what the client sent"
        yield Evidence(text, refs, -8.0, filter=filter_of(refs), kind="unheard", source="RFC 9293, section 3.8.1")
    there = dispute.scene.on(dispute.server)
    accepted = [x for s in there for x in s.logins if x.outcome is LoginOutcome.ACCEPTED and x.auth_ms is not None]
    late = [x for x in accepted if (x.auth_ms or 0.0) >= LATE_MS]
    if len(late) > 1 and len(late) == len(accepted):
        refs = tuple(FrameRef(x.capture, x.decided.frame) for x in late if x.decided)[:20]
        slowest = max(x.auth_ms or 0.0 for x in late) / 1000
        text = f"every accepted login waited long as well, up to {slowest:.1f} s"
        alike = 0 if waiting.at_greeting else equal(waiting.served)
        if alike:
            text += f", and {alike} that began apart equally long: that is a delay, not a queue"
        yield Evidence(text, refs, 14.0 if alike else 4.0, filter=filter_of(refs), kind="late-answers")
    elif accepted and not late:
        yield Evidence("other logins were answered at once", (), -4.0, kind="late-answers")


RULE = Rule(
    id="server-slow",
    title="the server answers too late",
    cause=CAUSE,
    kinds=("silence",),
    remedies=("server-slow",),
    since="0.1",
    check=check,
)
