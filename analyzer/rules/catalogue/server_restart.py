"""Server restart: the service ended its sessions, all at once, and took logins again later.

Looks for
    Unasked BYE or close of several sessions within seconds, connections refused for a while, then logins again.
Why
    Administrators restart the service (after a change of settings, for one); clients see lost connections and failed
    logins that have nothing to do with accounts.
What would refute it
    Sessions of the server that lived on.
Evidence
    words, together, closed port in between; and against: others lived on.
Sources
    RFC 9051, section 7.1.5 (BYE).
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.at import NS_PER_S
from analyzer.rules.finding import Evidence, FrameRef
from analyzer.rules.rule import Question, Rule, filter_of, frame_filter, frames, words
from analyzer.rules.scene import Dispute

CAUSE = "server_restart"
TOGETHER_S = 5.0
"""Seconds within which sessions that end together ended for one reason."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a restart."""
    yield from words(question, CAUSE)
    dispute = question.dispute
    if dispute.kind != "ending":
        return
    refs, shown = frames(dispute), frame_filter(dispute)
    begin, together = _burst(dispute)
    scene = dispute.scene
    window = int(TOGETHER_S * NS_PER_S)
    lived = [
        s
        for s in scene.on(dispute.server)
        if s.opened is not None
        and s.opened < begin
        and s.end > begin + window
        and (s.closed is None or s.closed > begin + window)
    ]
    if together > 1:
        text = f"{together} sessions were ended by the server within {TOGETHER_S:.0f} s"
        yield Evidence(text, refs, 6.0 if lived else 10.0, filter=shown, kind="together")
    if lived:
        text = f"{len(lived)} session(s) of the server lived on"
        yield Evidence(text, (), -14.0, kind="lived-on")
    closed = [s for s in scene.on(dispute.server) if s.conn_state == "REJ" and s.start >= begin - window]
    again = [x for s in scene.on(dispute.server) for x in s.logins if x.outcome == "accepted" and x.at.ts > begin]
    if closed:
        gone = tuple(FrameRef(s.capture, s.first_frame) for s in closed[:20])
        back = ", then it took logins again" if again else ""
        yield Evidence(f"the port was closed afterwards{back}", gone, 8.0, filter=filter_of(gone), kind="closed-after")


def _burst(dispute: Dispute) -> tuple[int, int]:
    """Return when the largest bunch of endings began, and how many there were."""
    times = [r.at.ts for r in dispute.refusals]
    best = (times[0], 1)
    low = 0
    for high, ts in enumerate(times):
        while ts - times[low] > TOGETHER_S * NS_PER_S:
            low += 1
        if high - low + 1 > best[1]:
            best = (times[low], high - low + 1)
    return best


RULE = Rule(
    id="server-restart",
    title="the server ended its sessions: restart or shutdown",
    cause=CAUSE,
    kinds=("ending", "greeting"),
    remedies=("server-restart",),
    since="0.1",
    check=check,
)
