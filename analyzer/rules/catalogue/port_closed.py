"""Port closed: the host answers, but nothing listens on the mail port.

Looks for
    A RST in answer to the SYN.
Why
    Exchange's IMAP service is not started by default in any version; a stopped service answers like this.
What would refute it
    A connection to the same port accepted by the same server for the same client.
Evidence
    reset; and against: accepted at other times.
Sources
    RFC 9293, section 3.5.2; Microsoft: enable and configure IMAP4.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import Evidence
from analyzer.rules.rule import Question, Rule, frame_filter, frames

CAUSE = "port_closed"


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against a closed port."""
    dispute = question.dispute
    closed = [r for r in dispute.refusals if r.session.conn_state == "REJ"]
    if not closed:
        return
    refs, shown = frames(dispute), frame_filter(dispute)
    port = closed[0].session.server_port
    text = f"{dispute.server} answered {len(closed)} SYN(s) to port {port} with RST"
    yield Evidence(text, refs, 25.0, decisive=True, filter=shown, kind="reset", source="RFC 9293, section 3.5.2")
    served = [s for s in dispute.scene.on(dispute.server) if s.server_port == port and s.established_at is not None]
    if served:
        text = f"{len(served)} connection(s) to the same port were accepted in the same captures"
        yield Evidence(text, (), -14.0, kind="served")


RULE = Rule(
    id="port-closed",
    title="port closed: nothing listens there",
    cause=CAUSE,
    kinds=("connect",),
    remedies=("port-closed",),
    since="0.1",
    check=check,
)
