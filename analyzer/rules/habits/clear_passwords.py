"""Clear passwords: logins that show their password to everybody on the way.

Looks for
    LOGIN, PLAIN or USER and PASS sent without TLS.
Why
    Who can capture can log in. The capture itself holds the passwords: it must be kept and sent like a password.
What would refute it
    TLS around the login, or a mechanism that proves the password without sending it.
Evidence
    The frames of the logins; the passwords are not kept.
Sources
    RFC 8314, section 3; RFC 9051, section 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import FrameRef
from analyzer.rules.habit import Habit, Sight
from analyzer.rules.rule import FRAMES_SHOWN
from analyzer.rules.scene import Scene
from analyzer.rules.weigh import UNDETERMINED
from analyzer.sessions.session import Login, Session


def check(scene: Scene) -> Iterator[Sight]:
    """Yield one sight per server that was told secrets in clear."""
    for server, place in scene.places.items():
        shown = [(s, x) for s in place.sessions if s.tls == "none" for x in s.logins if _is_told(x)]
        if shown:
            yield _sight(scene, server, shown)


def _is_told(login: Login) -> bool:
    """Tell a login that sends its password itself."""
    return login.credential is not None and login.account_from != "token"


def _sight(scene: Scene, server: str, shown: list[tuple[Session, Login]]) -> Sight:
    accounts = scene.accounts_of([x for _, x in shown])
    n = len(accounts) or 1
    return Sight(
        title=f"passwords of {n} accounts cross the wire in clear" if n > 1 else "a password crosses the wire in clear",
        meaning="Whoever can read the traffic, or this capture, can log in.",
        server=server,
        sessions=[s for s, _ in shown],
        frames=[FrameRef(x.capture, x.at.frame) for _, x in shown[:FRAMES_SHOWN]],
        accounts=accounts,
    )


HABIT = Habit(
    id="clear-passwords",
    title="passwords cross the wire in clear",
    cause=UNDETERMINED,
    remedies=("clear-passwords",),
    since="0.1",
    check=check,
    source="RFC 8314, section 3",
)
