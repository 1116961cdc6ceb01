"""Login disabled: a client sends LOGIN although the server had announced LOGINDISABLED.

Looks for
    The LOGIN command without TLS in a session whose list of capabilities holds LOGINDISABLED.
Why
    Such a LOGIN must be refused, and it has shown the password for nothing. The client ignores what the server says.
What would refute it
    The list was sent after the LOGIN only.
Evidence
    The frames of the LOGIN commands.
Sources
    RFC 9051, sections 6.2.3 and 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.rules.finding import FrameRef
from analyzer.rules.habit import Habit, Sight
from analyzer.rules.scene import Scene
from analyzer.sessions.session import Login, Session


def check(scene: Scene) -> Iterator[Sight]:
    """Yield one sight per server whose word was ignored."""
    for server, place in scene.places.items():
        told = [s for s in place.sessions if s.login_disabled_at is not None]
        shown = [(s, x) for s in told for x in s.logins if _ignores(s, x)]
        if not shown:
            continue
        times = f" {len(shown)} times" if len(shown) > 1 else ""
        yield Sight(
            title=f"LOGIN was sent{times} although LOGINDISABLED was announced",
            meaning="The server must refuse it, and the password was shown for nothing: let the client use TLS.",
            server=server,
            sessions=[s for s, _ in shown],
            frames=[FrameRef(x.capture, x.at.frame) for _, x in shown],
        )


def _ignores(s: Session, login: Login) -> bool:
    """Tell a LOGIN in clear that came after the word."""
    told = s.login_disabled_at
    own = login.mechanism == "LOGIN" and login.account_from == "login"
    return s.tls == "none" and own and told is not None and told.ts < login.at.ts


HABIT = Habit(
    id="login-disabled",
    title="the client sends LOGIN although the server announced LOGINDISABLED",
    cause="tls_required",
    remedies=("tls-required",),
    since="0.1",
    check=check,
    source="RFC 9051, section 6.2.3",
)
