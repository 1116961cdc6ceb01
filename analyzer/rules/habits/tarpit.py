"""Tarpit: the server holds refusals back for a fixed time, to make guessing slow.

Looks for
    Three refused logins or more of one server that were answered after the same delay of a second or more, while no accepted
    login waited so long.
Why
    Exchange's SMTP waits 5 s (TarpitInterval), Dovecot 2 s (auth_failure_delay), Cyrus 3 s, Courier 5 s, Postfix 1 s
    (smtpd_error_sleep_time). The wait is no sign of a slow server or network, and a program that retries is slowed down by it.
What would refute it
    Accepted logins that took as long; delays of all kinds.
Evidence
    The frames of the late refusals.
Sources
    Microsoft: Set-ReceiveConnector TarpitInterval; Dovecot auth_failure_delay; Postfix smtpd_error_sleep_time.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import FrameRef, Verdict
from analyzer.rules.habit import Habit, Sight
from analyzer.rules.scene import Scene
from analyzer.sessions.session import Login, LoginOutcome, Session

SEVERAL = 3
"""Refusals from which on a delay is the server's way."""
SHORTEST_MS = 900.0
"""Delays below this, ms, are a directory's."""
SPREAD_MS = 300.0
"""Delays that differ by less are one delay."""

Told = list[tuple[float, Session, Login]]


def check(scene: Scene) -> Iterator[Sight]:
    """Yield one sight per server that holds refusals back."""
    for server in dict.fromkeys(s.server for s in scene.sessions):
        refused = _waits(scene.on(server), LoginOutcome.REFUSED)
        accepted = _waits(scene.on(server), LoginOutcome.ACCEPTED)
        delays = [ms for ms, _, _ in refused]
        if len(refused) < SEVERAL or min(delays) < SHORTEST_MS or max(delays) - min(delays) >= SPREAD_MS:
            continue
        if any(ms >= min(delays) / 2 for ms, _, _ in accepted):
            continue
        yield Sight(
            title=f"refusals are held back for {min(delays) / 1000:.1f} s each: a brake on guessing",
            meaning="The wait is set on the server; it is no sign of a slow server or network.",
            server=server,
            sessions=[s for _, s, _ in refused],
            frames=[FrameRef(x.capture, x.decided.frame) for _, _, x in refused if x.decided],
            verdict=Verdict.LIKELY,
        )


def _waits(there: list[Session], outcome: LoginOutcome) -> Told:
    return [(x.auth_ms, s, x) for s in there for x in s.logins if x.outcome is outcome and x.auth_ms is not None]


HABIT = Habit(
    id="tarpit",
    title="the server holds refusals back to make guessing slow",
    cause="undetermined",
    remedies=("bad-credentials",),
    since="0.1",
    check=check,
    source="Microsoft: Set-ReceiveConnector TarpitInterval; Dovecot auth_failure_delay",
)
