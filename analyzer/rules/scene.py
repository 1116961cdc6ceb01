"""The scene: all sessions of a case, and the disputes in it, each with its refusals and acceptances.

A dispute is one question for rival causes: "why was this account refused on this server with these words?". Its kind
says where in a session the refusals happened: at a login, instead of a greeting, after the login, at the TCP handshake,
in silence, at the end of many sessions at once, or by a reset in mid-session.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from analyzer.at import NS_PER_S, At
from analyzer.rules.finding import FRAMES_SHOWN, FrameRef, filter_of
from analyzer.rules.place import Place
from analyzer.rules.signatures import UNKNOWN, Signature, heard, limit_in, line_of, match
from analyzer.secret import Secret
from analyzer.sessions.concurrency import account_of
from analyzer.sessions.names import Names, names
from analyzer.sessions.session import Login, LoginOutcome, Outcome, Session


@dataclass(frozen=True, slots=True)
class Known:
    """What the engineer knows from elsewhere and said with ``--known``."""

    credentials_verified: bool = False
    others_working: bool = False
    limit: int | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Return it as it was said."""
        said = (("credentials-verified", self.credentials_verified), ("others-working", self.others_working))
        named = tuple(word for word, true in said if true)
        return named + ((f"limit={self.limit}",) if self.limit is not None else ())


class Refusal(NamedTuple):
    """One refusal that takes part in a dispute."""

    at: At
    session: Session
    login: Login | None
    text: str
    """The server's words as the signatures see them."""
    signature: Signature

    @property
    def ref(self) -> FrameRef:
        """Return where it stands."""
        return FrameRef(self.session.capture, self.at[0])


@dataclass
class Dispute:
    """One question, with everything said about it in the captures."""

    kind: str
    """login, greeting, mailbox, connect, silence, ending, reset."""
    scene: Scene
    server: str
    account: str | None
    refusals: list[Refusal]
    accepted: list[Login] = field(default_factory=list)
    """Accepted logins of the account on the server, by time."""

    @cached_property
    def signature(self) -> Signature:
        """The phrase of most refusals."""
        by_id = {refusal.signature.id: refusal.signature for refusal in self.refusals}
        if len(by_id) < 2:
            return next(iter(by_id.values()), UNKNOWN)
        counted = Counter([refusal.signature.id for refusal in self.refusals])
        return by_id[max(counted, key=lambda i: counted[i])]

    @property
    def first(self) -> int:
        """Time of the first refusal, ns."""
        return self.refusals[0].at.ts

    @property
    def last(self) -> int:
        """Time of the last refusal, ns."""
        return self.refusals[-1].at.ts

    @cached_property
    def clients(self) -> tuple[str, ...]:
        """Addresses that were refused, in order of their first refusal."""
        return tuple(dict.fromkeys([r.session.client for r in self.refusals]))

    @cached_property
    def frames(self) -> tuple[FrameRef, ...]:
        """The first frames of the refusals."""
        return tuple([r.ref for r in self.refusals[:FRAMES_SHOWN]])

    @cached_property
    def filter(self) -> str:
        """The Wireshark display filter that shows them."""
        return filter_of(self.frames)

    @property
    def protocol(self) -> str | None:
        """The protocol of its sessions."""
        return self.refusals[0].session.protocol

    @cached_property
    def told_limit(self) -> int | None:
        """The limit's height when the words tell it."""
        return next((n for r in self.refusals if (n := limit_in(r.text, r.signature)) is not None), None)


@dataclass
class Scene:
    """All sessions of a case; what is asked about them is worked out when it is first asked for."""

    sessions: Sequence[Session]
    known: Known = field(default_factory=Known)

    @cached_property
    def names(self) -> Names:
        """Which spellings are one account."""
        return names(self.logins)

    @cached_property
    def odd(self) -> list[Session]:
        """Sessions in which something went another way than well; only these raise questions."""
        return [s for s in self.sessions if not _went_well(s)]

    @property
    def logins(self) -> Iterable[Login]:
        """All logins, in order of session."""
        return chain.from_iterable(s.logins for s in self.sessions)

    @cached_property
    def start(self) -> int:
        """First packet of any session, ns."""
        return min((s.start for s in self.sessions), default=0)

    @cached_property
    def end(self) -> int:
        """Last packet of any session, ns."""
        return max((s.end for s in self.sessions), default=0)

    @cached_property
    def places(self) -> dict[str, Place]:
        """The servers, in order of their first session."""
        by_server: dict[str, list[Session]] = defaultdict(list)
        for s in self.sessions:
            by_server[s.server].append(s)
        return {server: Place(sessions, lambda: self.names) for server, sessions in by_server.items()}

    def place(self, server: str) -> Place:
        """Return what was seen of one server."""
        return self.places.get(server) or Place([], lambda: self.names)

    def on(self, server: str) -> list[Session]:
        """Return the sessions to one server."""
        return self.place(server).sessions

    def hosts(self, server: str) -> set[str]:
        """Return the addresses that connected to one server."""
        return self.place(server).hosts

    def of(self, server: str, client: str) -> list[Session]:
        """Return the sessions of one client to one server."""
        return self.place(server).by_client.get(client, [])

    def welcome(self, server: str) -> list[tuple[Session, Login]]:
        """Return the accepted logins of one server, each with its session."""
        return self.place(server).welcome

    def at_once(self, server: str, client: str) -> int:
        """Return how many connections to a server a client had open at once, at most."""
        return self.place(server).at_once(client)

    def is_wide(self, server: str) -> bool:
        """Tell whether one capture holds several clients of a server."""
        return self.place(server).is_wide

    def accounts(self, server: str) -> set[str]:
        """Return the accounts that logins showed on one server."""
        return self.names.on(server)

    def only_account(self, server: str) -> str | None:
        """Return the one account of a server; a login whose account was cut off or lost counts as that one's."""
        found = self.accounts(server)
        return next(iter(found)) if len(found) == 1 else None

    def unsure(self, server: str) -> int:
        """Return how many sessions of a server may have been open without the capture showing it."""
        return self.place(server).unsure

    def account(self, login: Login) -> str | None:
        """Return the account a login counts for."""
        return self.names.of(login)

    def accounts_of(self, logins: Iterable[Login]) -> tuple[str, ...]:
        """Return the accounts some logins count for, in alphabetical order."""
        return tuple(sorted(self.names.of_all(logins)))

    def sessions_of(self, server: str, account: str | None) -> list[Session]:
        """Return the sessions of an account on a server.

        A session open before the capture shows no account; it counts when the server has this one account only.
        """
        by_account = self.place(server).by_account
        mine = by_account.get(account, [])
        if account is not None and self.accounts(server) == {account}:
            mine = mine + by_account.get(None, [])
        return mine


SILENCE_S = 3.0
"""Seconds a server may stay silent before that is remarkable; healthy greetings and logins take well under one."""


def _went_well(s: Session) -> bool:
    """Tell a session that raises no question of any kind, by the fewest looks: most sessions of most captures are such."""
    if s.complaints or s.reset_by == "server" or s.server_bytes == 0 or s.outcome in _TURNED_AWAY:
        return False
    if not s.logged_out and (s.bye_at is not None or s.closed_by == "server"):
        return False
    for login in s.logins:
        if login.outcome is not LoginOutcome.ACCEPTED or (login.auth_ms or 0.0) >= SILENCE_S * 1000:
            return False
    return True


_TURNED_AWAY = frozenset({Outcome.REFUSED_AT_GREETING, Outcome.UNREACHABLE})


def _voice(refusal: Refusal) -> str:
    """Return what keeps refusals apart: the cause an explicit phrase names, else that they are ambiguous."""
    signature = refusal.signature
    return (signature.cause or "") if signature.explicit else ""


def _login_refusals(scene: Scene) -> dict[tuple[str, str | None], list[Refusal]]:
    found: dict[tuple[str, str | None], list[Refusal]] = defaultdict(list)
    for s in scene.odd:
        spoken = False
        for login in s.logins:
            if login.outcome is not LoginOutcome.REFUSED or login.decided is None:
                continue
            line, signature = heard("login", (login.status, login.code, login.text), s.product, s.protocol)
            # After a refusal that says why, a client falls back to mechanisms that must fail (a token is no password):
            # only the first word of a connection counts then.
            if not spoken:
                found[s.server, scene.account(login) or scene.only_account(s.server)].append(
                    Refusal(login.decided, s, login, line, signature)
                )
            spoken = spoken or signature.explicit
    return found


def _odd(refusal: Refusal, good: set[Secret]) -> bool:
    """Tell a refusal whose secret was accepted nowhere although another secret of the account was."""
    secret = refusal.login.credential if refusal.login else None
    return secret is not None and bool(good) and secret not in good


def login_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server, account and kind of words; refusals of an odd secret are a question of their own."""
    disputes = []
    for (server, account), refusals in _login_refusals(scene).items():
        voices: dict[str, list[Refusal]] = defaultdict(list)
        welcome = scene.place(server).accepted_of.get(account, [])
        good = {x.credential for x in welcome if x.credential is not None}
        for refusal in refusals:
            voice = _voice(refusal)
            voices["odd secret" if not voice and _odd(refusal, good) else voice].append(refusal)
        disputes += [Dispute("login", scene, server, account, _by_time(v), welcome) for v in voices.values()]
    return disputes


def _greeting_line(s: Session) -> str:
    status = s.greeting_status or "BYE"
    return line_of(status, s.greeting_code, s.greeting, untagged=status == "BYE")


def greeting_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server for connections turned away before any login, by a BYE or by a bare close."""
    said: dict[tuple[str, str], list[Refusal]] = defaultdict(list)
    for s in scene.odd:
        if s.outcome is Outcome.REFUSED_AT_GREETING and s.greeting_at is not None:
            line = _greeting_line(s)
            refusal = Refusal(s.greeting_at, s, None, line, match("greeting", line, s.product, s.protocol))
            said[s.server, _voice(refusal)].append(refusal)
        elif s.bye_at is not None and s.opened is None and not s.logged_out and s.outcome is not Outcome.REFUSED:
            line = line_of("BYE", None, s.bye, untagged=True)
            signature = match("any", line, s.product, s.protocol)
            if signature.explicit:
                said[s.server, signature.cause or ""].append(Refusal(s.bye_at, s, None, line, signature))
    return [Dispute("greeting", scene, server, None, _by_time(rs)) for (server, _), rs in said.items()]


def mailbox_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server, account and meaning for what was refused after a login."""
    said: dict[tuple[str, str | None, str], list[Refusal]] = defaultdict(list)
    for s in scene.odd:
        account = account_of(s, scene.names)
        for c in s.complaints:
            line = line_of(c.status, c.code, c.text)
            signature = match("mailbox" if c.after_login or s.opened_before else "any", line, s.product, s.protocol)
            if signature.means:
                said[s.server, account, signature.id].append(Refusal(c.at, s, None, line, signature))
    return [Dispute("mailbox", scene, server, account, _by_time(rs)) for (server, account, _), rs in said.items()]


def connect_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server and port for connections that never came about."""
    failed: dict[tuple[str, int, bool], list[Refusal]] = defaultdict(list)
    for s in scene.odd:
        if s.outcome is Outcome.UNREACHABLE:
            closed = s.conn_state == "REJ"
            at = s.closed_at if closed and s.closed_at else s.syn_at or s.end_at
            failed[s.server, s.server_port, closed].append(Refusal(at, s, None, "", UNKNOWN))
    return [Dispute("connect", scene, server, None, _by_time(rs)) for (server, _, _), rs in failed.items()]


def silence_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server for connections that were accepted by TCP and then heard nothing."""
    silent: dict[str, list[Refusal]] = defaultdict(list)
    for s in scene.odd:
        waiting = _waited_since(s)
        if waiting is not None and s.protocol == "imap" and s.missed_bytes == 0 and not s.one_sided:
            silent[s.server].append(Refusal(waiting, s, None, "", UNKNOWN))
    return [Dispute("silence", scene, server, None, _by_time(rs)) for server, rs in silent.items()]


def _waited_since(s: Session) -> At | None:
    """Return since when a client waited, in vain or for long, for its greeting or for the answer to its login."""
    if s.tls != "none" or s.syn_at is None or s.established_at is None or s.reset_by == "server":
        return None
    if s.server_bytes == 0 and s.greeting is None:
        since = s.established_at
    elif s.login is not None and s.login.decided is None and s.opened is None and s.bye is None:
        since = s.login.at
    elif s.opened is not None and s.login is not None and (s.login.auth_ms or 0.0) >= SILENCE_S * 1000:
        return s.login.at
    else:
        return None
    return since if s.end - since.ts >= SILENCE_S * NS_PER_S or s.closed_by == "server" else None


def ending_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server for sessions the server ended without being asked."""
    ended: dict[str, list[Refusal]] = defaultdict(list)
    for s in scene.odd:
        if s.opened is None or s.logged_out or s.protocol != "imap" or foreign_reset(s):
            continue
        at = s.bye_at or (s.closed_at if s.closed_by == "server" else None)
        if at is None:
            continue
        line = line_of("BYE", None, s.bye, untagged=True) if s.bye_at else ""
        ended[s.server].append(
            Refusal(at, s, None, line, match("bye", line, s.product, s.protocol) if line else UNKNOWN)
        )
    return [Dispute("ending", scene, server, None, _by_time(rs)) for server, rs in ended.items()]


TTL_STEP = 2
"""Difference of TTLs that is nothing: packets of one host may take ways of different length."""
_FIRST_TTLS = (64, 128, 255)


def _hops(ttl: int) -> int:
    """Return how many routers a packet has passed, when it began with the TTL systems begin with."""
    return min(first - ttl for first in _FIRST_TTLS if first >= ttl)


def foreign_reset(s: Session) -> bool:
    """Tell a session cut by a reset in the server's name that has come another way than the server's packets.

    Some systems send resets with another first TTL than data; those have passed as many routers.
    """
    server, reset = s.server_ttl, s.reset_ttl
    if not _cut(s) or server is None or reset is None:
        return False
    return abs(server - reset) > TTL_STEP and _hops(server) != _hops(reset)


def _cut(s: Session) -> bool:
    """Tell a connection that was reset in the server's name before anybody said goodbye."""
    spoke = s.established_at is not None or s.opened_before or s.server_bytes > 0
    goodbye = s.fin_by is not None or s.bye_at is not None or s.logged_out or s.greeting_status == "BYE"
    return s.reset_by == "server" and spoke and not goodbye


def reset_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server for connections reset in its name in mid-session, the foreign resets apart."""
    cut: dict[tuple[str, bool], list[Refusal]] = defaultdict(list)
    for s in scene.odd:
        if s.closed_at is not None and _cut(s):
            cut[s.server, foreign_reset(s)].append(Refusal(s.closed_at, s, None, "", UNKNOWN))
    return [Dispute("reset", scene, server, None, _by_time(rs)) for (server, _), rs in cut.items()]


def disputes(scene: Scene) -> list[Dispute]:
    """Return every question the sessions raise."""
    makers = (
        login_disputes,
        greeting_disputes,
        mailbox_disputes,
        connect_disputes,
        silence_disputes,
        ending_disputes,
        reset_disputes,
    )
    return [dispute for maker in makers for dispute in maker(scene)]


def _by_time(refusals: list[Refusal]) -> list[Refusal]:
    return sorted(refusals, key=lambda r: (r.at.ts, r.at.frame))
