"""Retry storm: a client that is refused tries again and again without a pause.

Looks for
    More than twenty refused logins of one client at one server, half of them within a second of the one before.
Why
    It loads the server, fills its logs, can lock the account, and takes free slots from others the moment they appear.
What would refute it
    Pauses that grow, or a person's pace.
Evidence
    The frames of the refused logins.
Sources
    RFC 9051, section 11.4 (repeated failures); Microsoft: client throttling, back-off.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from analyzer.at import NS_PER_S
from analyzer.rules.finding import FrameRef
from analyzer.rules.habit import Habit, Sight
from analyzer.rules.scene import Scene
from analyzer.rules.weigh import UNDETERMINED
from analyzer.sessions.session import Login, LoginOutcome, Session

MANY = 20
"""Refused logins above which no person types."""
PAUSE_S = 1.0
"""Seconds between attempts below which there is no back-off."""

Attempts = list[tuple[Session, Login]]


def check(scene: Scene) -> Iterator[Sight]:
    """Yield one sight per server that is stormed, with all the clients that do it."""
    attempts: dict[str, dict[str, Attempts]] = defaultdict(lambda: defaultdict(list))
    for s in scene.odd:
        for login in s.logins:
            if login.outcome is LoginOutcome.REFUSED:
                attempts[s.server][s.client].append((s, login))
    for server, by_client in attempts.items():
        storms = {client: found for client, found in by_client.items() if _is_storm(found)}
        if storms:
            yield _sight(scene, server, storms)


def _is_storm(attempts: Attempts) -> bool:
    if len(attempts) <= MANY:
        return False
    times = sorted(login.at.ts for _, login in attempts)
    pauses = sorted(b - a for a, b in pairwise(times))
    return pauses[len(pauses) // 2] < PAUSE_S * NS_PER_S  # the median; to load what works it out takes 4 ms


def _sight(scene: Scene, server: str, storms: dict[str, Attempts]) -> Sight:
    found = sorted((x for attempts in storms.values() for x in attempts), key=lambda x: x[1].at.ts)
    who = f"{len(storms)} clients" if len(storms) > 1 else next(iter(storms))
    return Sight(
        title=f"{who} tried {len(found)} times without a pause",
        meaning="Let the client wait longer after each refusal: attempts without a pause can lock the account.",
        server=server,
        sessions=[s for s, _ in found],
        frames=[FrameRef(x.capture, x.at.frame) for _, x in found],
        accounts=scene.accounts_of(x for _, x in found),
    )


HABIT = Habit(
    id="retry-storm",
    title="a refused client tries again without a pause",
    cause=UNDETERMINED,
    remedies=("retry-storm",),
    since="0.1",
    check=check,
    source="RFC 9051, section 11.4",
)
