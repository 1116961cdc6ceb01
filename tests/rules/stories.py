"""Small scenes by hand: for each rule one where its cause is claimed and one that only looks like it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from analyzer.at import Side
from analyzer.rules import Finding, Known, Scene, judge
from analyzer.sessions.session import Complaint, LoginOutcome, Outcome, Session
from analyzer.streams import Stall
from tests.records import full_house, login, place, refused, session

A, B, D = "192.0.2.1", "192.0.2.2", "192.0.2.3"
PLAIN = {"mechanism": "PLAIN"}
Story = tuple[Session, ...]


def ok(n: int, at_s: float, secret: bytes | None = None, **changes: object) -> Session:
    """An accepted session that lasts five seconds; with a secret by PLAIN, else by NTLM."""
    kind = {} if secret is None else PLAIN
    return session(f"C{n}", at_s=at_s, secret=secret, **({"frame": 100 * n, "lasts_s": 5.0} | kind | changes))


def no(n: int, at_s: float, secret: bytes | None = None, **changes: object) -> Session:
    """A refused one."""
    kind = {} if secret is None else PLAIN
    return refused(f"C{n}", at_s=at_s, secret=secret, **({"frame": 100 * n} | kind | changes))


def told(n: int, at_s: float, text: str, *, code: str | None = None, status: str = "NO", **changes: object) -> Session:
    """A login refused with these words."""
    given = {"product": None, "greeting": "ready"} | changes
    own = {key: given[key] for key in ("client", "account", "mechanism") if key in given}
    said = login(
        f"C{n}",
        at_s=at_s + 0.1,
        frame=100 * n + 6,
        outcome=LoginOutcome.REFUSED,
        text=text,
        code=code,
        status=status,
        **own,
    )
    return no(n, at_s, logins=(said,), **given)


def bye(n: int, at_s: float, text: str = "Go away", **changes: object) -> Session:
    """A connection turned away by a BYE instead of a greeting."""
    given: dict[str, object] = {
        "outcome": Outcome.REFUSED_AT_GREETING, "logins": (), "greeting": text, "greeting_status": "BYE", "product": None,
        "closed_by": "server", "lasts_s": 0.02,
    }  # fmt: skip
    return session(f"C{n}", at_s=at_s, frame=100 * n, **(given | changes))


def turned_away(n: int, at_s: float, status: str, code: str | None, text: str) -> Session:
    """An SMTP connection turned away instead of greeted."""
    return bye(n, at_s, text, greeting_status=status, greeting_code=code, protocol="smtp", server_port=25)


def complaint(
    n: int, at_s: float, text: str, *, status: str = "NO", code: str | None = None, **changes: object
) -> Session:
    """A session whose first command after the login was refused."""
    said = Complaint("SELECT", status, code, text, place(100 * n + 12, at_s + 0.3), after_login=True)
    return ok(n, at_s, complaints=(said,), **({"lasts_s": 0.5} | changes))


def unanswered(n: int, at_s: float, state: str = "S0", **changes: object) -> Session:
    """A SYN without success: S0 got no answer, REJ a reset."""
    never = dict.fromkeys(("greeting", "greeting_status", "greeting_at", "established_at", "product"))
    given: dict[str, object] = {
        "outcome": Outcome.UNREACHABLE, "logins": (), "conn_state": state, "client_bytes": 0, "server_bytes": 0,
        "syn_count": 4 if state == "S0" else 1, "lasts_s": 7.0 if state == "S0" else 0.001, "closed_by": None,
    }  # fmt: skip
    return session(f"C{n}", at_s=at_s, frame=100 * n, **(never | given | changes))


def silent(n: int, at_s: float, **changes: object) -> Session:
    """A connection that the server took and never greeted."""
    never = dict.fromkeys(("greeting", "greeting_status", "greeting_at", "product"))
    given: dict[str, object] = {"outcome": Outcome.ABANDONED, "logins": (), "server_bytes": 0, "lasts_s": 30.0}
    return session(f"C{n}", at_s=at_s, frame=100 * n, **(never | given | changes))


def shut(n: int, at_s: float, **changes: object) -> Session:
    """A connection that the server accepted and closed at once, without a word."""
    return silent(
        n, at_s, **({"lasts_s": 0.02, "fin_by": "server", "closed_by": "server", "outcome": Outcome.DROPPED} | changes)
    )


def ended(
    n: int, at_s: float, end_s: float, text: str | None = "Connection is closed. 12", **changes: object
) -> Session:
    """A session that the server ended."""
    said = {} if text is None else {"bye": text, "bye_at": place(100 * n + 19, end_s)}
    return ok(n, at_s, lasts_s=end_s - at_s, closed_by="server", **(said | changes))


def cut(n: int, at_s: float, end_s: float, ttl: int, *, quiet_s: float = 10.0, **changes: object) -> Session:
    """A session reset in the server's name in mid-session, ``quiet_s`` after the last word."""
    given: dict[str, object] = {
        "lasts_s": end_s - at_s, "closed_by": "server", "reset_by": "server", "fin_by": None, "conn_state": "RSTR",
        "reset_ttl": ttl, "said_at": place(100 * n + 18, end_s - quiet_s),
    }  # fmt: skip
    return ok(n, at_s, **(given | changes))


def still(
    n: int, at_s: float, *, size: int = 1400, times: int = 6, side: Side = Side.SERVER, **changes: object
) -> Session:
    """A session that stood still: a segment of this size was sent so often and never taken, for 20 of its 30 seconds."""
    stall = Stall(
        side, place(100 * n + 15, at_s + 25), size, times, 120, place(1, at_s + 10).ts, place(1, at_s + 30).ts
    )
    return ok(n, at_s, **({"stall": stall, "lasts_s": 30.0} | changes))


def begun(n: int, at_s: float, **changes: object) -> Session:
    """A session that was open before the capture began."""
    never = dict.fromkeys(("greeting", "greeting_status", "greeting_at", "syn_at", "established_at", "product"))
    return ok(n, at_s, opened_before=True, logins=(), **(never | changes))


def findings(story: Iterable[Session], **known: object) -> tuple[Finding, ...]:
    """What the judge says about a scene."""
    return judge(Scene(tuple(story), Known(**known)))  # type: ignore[arg-type]


def _queue(limit: int, clients: Iterable[str], *, last: int = 30) -> Story:
    """Connections of these clients in turn, one a second; from ``limit`` open ones on the next are turned away."""
    names = list(clients)
    held = [ok(n, float(n), client=names[n % len(names)], lasts_s=None) for n in range(1, limit + 1)]
    turned = [
        bye(n, float(n), "Connection is closed. 10", client=names[n % len(names)]) for n in range(limit + 1, last)
    ]
    return (*held, *turned)


def _per_address() -> Story:
    """One address at its limit of three, others welcome all the time."""
    held = [ok(n, float(n), client=A, lasts_s=None) for n in (1, 2, 3)]
    turned = [bye(n, 2.0 * n, "Connection is closed. 10", client=A) for n in (4, 6, 8, 10)]
    others = [ok(20 + n, 7.0 + 2 * n, client=f"192.0.2.{20 + n}", lasts_s=None) for n in range(6)]
    return (*held, *turned, *others)


def _store(sessions: int = 16, refused_from: int = 17) -> Story:
    working = [ok(n, float(n), client=f"192.0.2.{n}", lasts_s=None) for n in range(1, sessions + 1)]
    words = "Server Unavailable. 15"
    return (
        *working,
        *(complaint(n, 20.0 + n, words, client=f"192.0.2.{n}") for n in range(refused_from, refused_from + 4)),
    )


def _locked_after(*, again: bool) -> Story:
    """One PC fails with another secret, then the good one is refused everywhere while fewer sessions are open."""
    good = [ok(n, float(n), b"s", client=f"192.0.2.{n}", lasts_s=40.0) for n in range(1, 9)]
    wrong = [no(20 + n, 10.0 + n, b"x", client=D) for n in range(6)]
    out = [no(30 + n, 60.0 + n, b"s", client=f"192.0.2.{n}") for n in range(1, 9)]
    back = [ok(50 + n, 62.5 + n, b"s", client=f"192.0.2.{n}") for n in range(1, 6)] if again else []
    return (*good, *wrong, *out, *back)


def _full_at_greeting() -> Story:
    """All places are taken, until one leaves and the next is welcome."""
    story = list(_queue(10, [A, B, D]))
    story[0] = ok(1, 1.0, client=A, lasts_s=99.0)
    return (*story, ok(90, 101.0, client=B, lasts_s=None))


FAILED = "AUTHENTICATE failed."
CASES: dict[str, tuple[str, Callable[[], Story], Callable[[], Story]]] = {
    "account_locked": (
        "words",
        lambda: (told(1, 0, "Your account has been disabled."), told(2, 5, "Your account has been disabled.")),
        lambda: _locked_after(again=True),
    ),
    "auth_method_refused": (
        "words",
        lambda: (told(1, 0, "Unsupported authentication mechanism.", mechanism="CRAM-MD5"),),
        lambda: (no(1, 0), ok(2, 5)),
    ),
    "bad_credentials": (
        "other secret",
        lambda: (ok(1, 0, b"s"), no(2, 10, b"x", client=B), no(3, 12, b"x", client=B), ok(4, 20, b"s")),
        lambda: (ok(1, 0, b"s"), no(2, 10, b"s"), ok(3, 20, b"s")),
    ),
    "command_size_limit": (
        "words",
        lambda: (complaint(1, 0, "Error in IMAP command: Too long argument.", status="BAD"),),
        lambda: (complaint(1, 0, "Command Error. 12", status="BAD"),),
    ),
    "connection_limit_at_connect": (
        "words",
        lambda: (
            *(ok(n, n, lasts_s=None) for n in range(1, 5)),
            *(bye(9 + n, 9 + n, "Too many connections") for n in range(3)),
        ),
        _full_at_greeting,
    ),
    "login_delay": (
        "words",
        lambda: (told(1, 0, "try later", status="-ERR", code="LOGIN-DELAY", protocol="pop3"),),
        lambda: (told(1, 0, "try later", status="-ERR", protocol="pop3"),),
    ),
    "mailbox_in_use": (
        "words",
        lambda: (complaint(1, 0, "Mailbox is held", code="INUSE"),),
        lambda: (complaint(1, 0, "Mailbox is held"),),
    ),
    "middlebox_reset": (
        "another TTL",
        lambda: (begun(1, 0), cut(2, 1, 30, 254), cut(3, 2, 33, 254)),
        lambda: (begun(1, 0), cut(2, 1, 30, 126), cut(3, 2, 33, 126)),
    ),
    "network_loss": (
        "sent again",
        lambda: (
            still(1, 0, size=30, retransmits=9),
            still(2, 40, size=40, retransmits=9),
            ok(3, 80, retransmits=9, packets=60),
        ),
        lambda: (still(1, 0, size=30, retransmits=6), *(ok(n, 40.0 * n, packets=900) for n in range(2, 9))),
    ),
    "network_stall": (
        "large only",
        lambda: (still(1, 0), still(2, 40), ok(3, 80)),
        lambda: (still(1, 0), still(2, 40), still(3, 80, size=30)),
    ),
    "per_ip_connection_limit": ("plateau of one address", _per_address, _full_at_greeting),
    "per_user_connection_limit": (
        "plateau",
        lambda: full_house(agents=12, limit=16),
        lambda: tuple(no(n, float(n), client=f"192.0.2.{n % 5}") for n in range(1, 30)),
    ),
    "port_closed": ("reset", lambda: (unanswered(1, 0, "REJ"), unanswered(2, 3, "REJ")), lambda: (unanswered(1, 0),)),
    "port_filtered": (
        "no answer",
        lambda: (unanswered(1, 0), unanswered(2, 20)),
        lambda: (unanswered(1, 0, syn_count=1, lasts_s=0.5),),
    ),
    "rejected_by_policy": (
        "words",
        lambda: (complaint(1, 0, "SMTP; Unable to relay", status="550", code="5.7.54", protocol="smtp"),),
        lambda: (complaint(1, 0, "Mailbox full", status="550", code="5.2.2", protocol="smtp"),),
    ),
    "request_throttling": (
        "words",
        lambda: (told(1, 0, "Request is throttled. Suggested Backoff Time: 9000 milliseconds", status="BAD"),),
        lambda: (told(1, 0, "Request failed.", status="BAD"),),
    ),
    "server_connection_limit": ("total plateau", _full_at_greeting, _per_address),
    "server_restart": (
        "together",
        lambda: (
            *(ended(n, n, 50.0 + n / 10, client=f"192.0.2.{n}") for n in range(1, 6)),
            unanswered(8, 53.0, "REJ"),
            *(ok(10 + n, 60.0 + n, client=f"192.0.2.{n}") for n in range(1, 6)),
        ),
        lambda: (
            *(ended(n, n, 50.0 + 9 * n, "Timeout", client=f"192.0.2.{n}") for n in range(1, 4)),
            *(ok(10 + n, 2.0 + n, client=f"192.0.2.{10 + n}", lasts_s=None) for n in range(1, 6)),
        ),
    ),
    "server_slow": (
        "late answers",
        lambda: (
            silent(1, 0, client=A),
            silent(2, 9, client=B),
            *(
                ok(n, 10.0 * n, logins=(login(f"C{n}", at_s=10.0 * n, took_s=6.0),), client=B, lasts_s=9.0)
                for n in (3, 4, 5)
            ),
        ),
        lambda: (silent(1, 3.0, client=A), *(ok(n, float(n), client=B) for n in range(2, 9))),
    ),
    "server_unavailable": (
        "words",
        lambda: (told(1, 0, "Temporary authentication failure.", code="UNAVAILABLE"),),
        lambda: (no(1, 0), ok(2, 1, account="other"), no(3, 2)),
    ),
    "smtp_connection_limit": (
        "words",
        lambda: (
            turned_away(1, 0, "421", "4.3.2", "The maximum number of concurrent connections has exceeded a limit"),
        ),
        lambda: (turned_away(1, 0, "421", None, "mail.example Error: too many connections from 192.0.2.1"),),
    ),
    "smtp_rate_limit": (
        "words",
        lambda: (turned_away(1, 0, "421", "4.4.2", "Message submission rate for this client has exceeded the limit"),),
        lambda: (turned_away(1, 0, "421", None, "mail.example Error: too many connections from 192.0.2.1"),),
    ),
    "store_session_limit": ("plateau at sixteen", _store, lambda: _store(sessions=3, refused_from=4)),
    "tls_required": (
        "words",
        lambda: (told(1, 0, "STARTTLS required.", mechanism="LOGIN"),),
        lambda: (no(1, 0, b"s"), ok(2, 3, b"s", client=B)),
    ),
}
"""Cause -> what shows it, a scene where it is claimed, a look-alike where it is not."""
