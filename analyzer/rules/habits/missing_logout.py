"""Missing logout: clients reset their sessions, or just close them, instead of logging out.

Looks for
    Three or more sessions that were logged in and that the client ended by FIN or RST without LOGOUT before it.
Why
    A server that does not notice the end at once counts the session on, and a slot of the account stays taken.
What would refute it
    LOGOUT before the end; octets of the client lost to the capture, among which it may have been.
Evidence
    The frames of the closes.
Sources
    RFC 9051, sections 3.4 and 6.1.3.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import FrameRef
from analyzer.rules.habit import Habit, Sight
from analyzer.rules.rule import FRAMES_SHOWN
from analyzer.rules.scene import Scene
from analyzer.rules.weigh import UNDETERMINED
from analyzer.sessions.session import Session

SEVERAL = 3
"""Sessions from which on it is a habit."""


def check(scene: Scene) -> Iterator[Sight]:
    """Yield one sight per server that was left without a word."""
    for server, place in scene.places.items():
        left = [s for s in place.sessions if not s.logged_out and s.closed_by == "client" and _left(s)]
        if len(left) < SEVERAL:
            continue
        yield Sight(
            title=f"{len(left)} sessions ended without LOGOUT: their slots may linger",
            meaning="Until the server notices, they count towards the account's limit.",
            server=server,
            sessions=left,
            frames=[FrameRef(s.capture, s.closed_at.frame) for s in left[:FRAMES_SHOWN] if s.closed_at is not None],
            accounts=scene.accounts_of(x for s in left for x in s.logins),
        )


def _left(s: Session) -> bool:
    """Tell a session that ended without a word, as far as all that was said was captured and could be read."""
    whole = s.tls == "none" and s.missed_bytes == 0 and not s.one_sided
    return whole and s.opened is not None and s.closed_at is not None and s.bye_at is None


HABIT = Habit(
    id="missing-logout",
    title="clients end their sessions without LOGOUT",
    cause=UNDETERMINED,
    remedies=("missing-logout",),
    since="0.1",
    check=check,
    source="RFC 9051, section 3.4",
)
