"""Late greeting: the server lets clients wait for seconds before its first word.

Looks for
    Three greetings or more of one server, and at least half of them all, that came three seconds or more after the handshake.
Why
    Always the same delay is one that somebody chose (postscreen, greet_pause) or a name look-up that runs into its time-out;
    one that varies is a server without free workers. Clients that wait less than it takes call that "no connection".
What would refute it
    Greetings at once at other times; a SYN/ACK that came late as well, then the way is long.
Evidence
    The frames of the late greetings.
Sources
    RFC 9051, section 3; RFC 5321, section 4.5.3.2.1 (a client waits five minutes); Postfix: postscreen_greet_wait.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import FrameRef, Verdict
from analyzer.rules.habit import Habit, Sight
from analyzer.rules.scene import SILENCE_S, Scene

SEVERAL = 3
"""Late greetings from which on that is no accident."""
SPREAD_MS = 500.0
"""Delays that differ by less are one delay."""


def check(scene: Scene) -> Iterator[Sight]:
    """Yield one sight per server that greets late."""
    for server in dict.fromkeys(s.server for s in scene.sessions):
        told = [(s.greeting_ms, s) for s in scene.on(server) if s.greeting_ms is not None and not s.retransmits]
        late = [(ms, s) for ms, s in told if ms >= SILENCE_S * 1000]
        if len(late) < SEVERAL or len(late) * 2 < len(told):
            continue
        delays = [ms for ms, _ in late]
        same = max(delays) - min(delays) < SPREAD_MS and len(late) == len(told)
        longest = max(delays) / 1000
        yield Sight(
            title=f"the server greets after {longest:.1f} s, each time the same"
            if same
            else f"{len(late)} of {len(told)} greetings came late, up to {longest:.1f} s",
            meaning="A delay that never varies is set so, or a name look-up that fails."
            if same
            else "The server has no free worker, or its name service answers late; clients with less patience give up.",
            server=server,
            sessions=[s for _, s in late],
            frames=[FrameRef(s.capture, s.greeting_at.frame) for _, s in late if s.greeting_at],
            verdict=Verdict.LIKELY,
        )


HABIT = Habit(
    id="late-greeting",
    title="the server lets clients wait for its greeting",
    cause="server_slow",
    remedies=("server-slow",),
    since="0.1",
    check=check,
    source="RFC 9051, section 3",
)
