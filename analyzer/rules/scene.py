"""The scene: all sessions of a case, and the disputes in it, each with its refusals and acceptances.

A dispute is one question for rival causes: "why was this account refused on this server with these words?". Its kind
says where in a session the refusals happened: at a login, instead of a greeting, after the login, at the TCP handshake,
in silence, at the end of many sessions at once, or by a reset in mid-session.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from analyzer.at import NS_PER_S, At
from analyzer.rules.finding import FrameRef
from analyzer.rules.signatures import UNKNOWN, Signature, limit_in, line_of, match
from analyzer.secret import Secret
from analyzer.sessions.concurrency import Span, Steps, account_of, spans, steps
from analyzer.sessions.names import Names, names
from analyzer.sessions.session import Login, LoginOutcome, Outcome, Session

if TYPE_CHECKING:
    from analyzer.sessions.records.align import Aligned
    from analyzer.sessions.records.record import Record


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
    record: Record | None = None
    """What the server's own log says of it."""

    @property
    def ref(self) -> FrameRef:
        """Return where it stands."""
        return FrameRef(self.session.capture, self.at.frame)


@dataclass(slots=True)
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
    _signature: Signature | None = None
    _clients: tuple[str, ...] = ()

    @property
    def signature(self) -> Signature:
        """The phrase of most refusals."""
        if self._signature is None:
            counted = Counter(refusal.signature.id for refusal in self.refusals)
            by_id = {refusal.signature.id: refusal.signature for refusal in self.refusals}
            self._signature = by_id[max(counted, key=lambda i: counted[i])] if counted else UNKNOWN
        return self._signature

    @property
    def first(self) -> int:
        """Time of the first refusal, ns."""
        return self.refusals[0].at.ts

    @property
    def last(self) -> int:
        """Time of the last refusal, ns."""
        return self.refusals[-1].at.ts

    @property
    def clients(self) -> tuple[str, ...]:
        """Addresses that were refused, in order of their first refusal."""
        self._clients = self._clients or tuple(dict.fromkeys(r.session.client for r in self.refusals))
        return self._clients

    @property
    def protocol(self) -> str | None:
        """The protocol of its sessions."""
        return self.refusals[0].session.protocol

    @property
    def told_limit(self) -> int | None:
        """The limit's height when the words tell it."""
        told = (limit_in(r.text, r.signature) or (r.record.limit if r.record else None) for r in self.refusals)
        return next((n for n in told if n is not None), None)


@dataclass(slots=True)
class Scene:
    """All sessions of a case."""

    sessions: Sequence[Session]
    known: Known = field(default_factory=Known)
    logs: Sequence[Aligned] = ()
    """The server's own logs, beside these sessions."""
    names: Names = field(init=False)
    """Which spellings are one account."""
    _by_server: dict[str, list[Session]] = field(init=False)
    _by_account: dict[tuple[str, str | None], list[Session]] = field(init=False)
    _by_client: dict[tuple[str, str], list[Session]] = field(init=False)
    _accounts: dict[str, set[str]] = field(init=False)
    _hosts: dict[str, set[str]] = field(init=False)
    _unsure: dict[str, int] = field(init=False)
    _crowds: dict[tuple[str, str], int] = field(init=False)
    _welcome: dict[str, list[tuple[Session, Login]]] = field(init=False)
    _decided: dict[str, list[tuple[int, Login]]] = field(init=False)
    _recorded: dict[tuple[str, str, int], Record] = field(init=False)

    def __post_init__(self) -> None:
        self.names = names(self.logins)
        self._by_server, self._by_account, self._accounts = defaultdict(list), defaultdict(list), defaultdict(set)
        self._by_client, self._hosts, self._unsure, self._crowds = defaultdict(list), defaultdict(set), Counter(), {}
        self._welcome, self._decided = defaultdict(list), defaultdict(list)
        self._recorded = {
            (m.session.capture, m.session.uid, m.login.at.frame if m.login else 0): m.record
            for log in self.logs
            for m in sorted(log.matches, key=lambda m: m.record.cause is not None)  # of two logs, the one that says why
        }
        for login in self.logins:
            if (account := self.names.of(login)) is not None:
                self._accounts[login.server].add(account)
        for s in self.sessions:
            self._by_server[s.server].append(s)
            self._by_account[s.server, account_of(s, self.names)].append(s)
            self._by_client[s.server, s.client].append(s)
            self._hosts[s.server].add(s.client)
            self._unsure[s.server] += _maybe_open(s)
            for login in s.logins:
                if login.outcome is LoginOutcome.ACCEPTED:
                    self._welcome[s.server].append((s, login))
                if login.decided is not None:
                    self._decided[s.server].append((login.decided.ts, login))

    @property
    def logins(self) -> Iterable[Login]:
        """All logins, in order of session."""
        return chain.from_iterable(s.logins for s in self.sessions)

    @property
    def start(self) -> int:
        """First packet of any session, ns."""
        return min((s.start for s in self.sessions), default=0)

    @property
    def end(self) -> int:
        """Last packet of any session, ns."""
        return max((s.end for s in self.sessions), default=0)

    def on(self, server: str) -> list[Session]:
        """Return the sessions to one server."""
        return self._by_server.get(server, [])

    def hosts(self, server: str) -> set[str]:
        """Return the addresses that connected to one server."""
        return self._hosts.get(server, set())

    def of(self, server: str, client: str) -> list[Session]:
        """Return the sessions of one client to one server."""
        return self._by_client.get((server, client), [])

    def welcome(self, server: str) -> list[tuple[Session, Login]]:
        """Return the accepted logins of one server, each with its session."""
        return self._welcome.get(server, [])

    def decided(self, server: str) -> list[tuple[int, Login]]:
        """Return the decided logins of one server, each behind the time (ns) of the decision; in order of session."""
        return self._decided.get(server, [])

    def at_once(self, server: str, client: str) -> int:
        """Return how many connections to a server a client had open at once, at most."""
        if (server, client) not in self._crowds:
            mine = (Span(s.start, s.closed_at.ts if s.closed_at else s.end) for s in self.of(server, client))
            self._crowds[server, client] = steps(mine).peak[0]
        return self._crowds[server, client]

    def is_wide(self, server: str) -> bool:
        """Tell whether one capture holds several clients of a server."""
        clients: dict[str, str] = {}
        return any(clients.setdefault(s.capture, s.client) != s.client for s in self.on(server))

    def accounts(self, server: str) -> set[str]:
        """Return the accounts that logins showed on one server."""
        return self._accounts.get(server, set())

    def only_account(self, server: str) -> str | None:
        """Return the one account of a server; a login whose account was cut off or lost counts as that one's."""
        found = self.accounts(server)
        return next(iter(found)) if len(found) == 1 else None

    def unsure(self, server: str) -> int:
        """Return how many sessions of a server may have been open without the capture showing it."""
        return self._unsure.get(server, 0)

    def recorded(self, session: Session, login: Login | None = None) -> Record | None:
        """Return what the server's own log says of a login, or of a session beside its logins."""
        return self._recorded.get((session.capture, session.uid, login.at.frame if login else 0))

    def account(self, login: Login) -> str | None:
        """Return the account a login counts for."""
        return self.names.of(login)

    def account_steps(self, server: str, account: str | None) -> Steps:
        """Return how many sessions of an account were open on a server.

        A session open before the capture shows no account; it counts when the server has this one account only.
        """
        return steps(self.account_spans(server, account))

    def account_spans(self, server: str, account: str | None) -> list[Span]:
        """Return when sessions of an account were open on a server; see :meth:`account_steps`."""
        mine = self._by_account.get((server, account), [])
        if account is not None and self.accounts(server) == {account}:
            mine = mine + self._by_account.get((server, None), [])
        return spans(mine)


def _maybe_open(s: Session) -> bool:
    """Tell a session that may have been open without the capture showing it."""
    return s.opened is None and s.greeting_status != "BYE" and (s.syn_at is None or s.missed_bytes > 0)


def _voice(refusal: Refusal) -> str:
    """Return what keeps refusals apart: the cause that an explicit phrase, or the server's log, names; '' for none."""
    signature = refusal.signature
    if signature.explicit:
        return signature.cause or ""
    return (refusal.record.cause or "") if refusal.record else ""


def _login_refusals(scene: Scene) -> dict[tuple[str, str | None], list[Refusal]]:
    found: dict[tuple[str, str | None], list[Refusal]] = defaultdict(list)
    for s in scene.sessions:
        spoken = False
        for login in s.logins:
            if login.outcome is not LoginOutcome.REFUSED or login.decided is None:
                continue
            line = line_of(login.status or "NO", login.code, login.text, untagged=login.status == "BYE")
            signature = match("login", line, s.product, s.protocol)
            # After a refusal that says why, a client falls back to mechanisms that must fail (a token is no password):
            # only the first word of a connection counts then.
            if not spoken:
                found[s.server, scene.account(login) or scene.only_account(s.server)].append(
                    Refusal(login.decided, s, login, line, signature, scene.recorded(s, login))
                )
            spoken = spoken or signature.explicit
    return found


def _odd(refusal: Refusal, good: set[Secret]) -> bool:
    """Tell a refusal whose secret was accepted nowhere although another secret of the account was."""
    secret = refusal.login.credential if refusal.login else None
    return secret is not None and bool(good) and secret not in good


def login_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server, account and kind of words; refusals of an odd secret are a question of their own."""
    accepted: dict[tuple[str, str | None], list[Login]] = defaultdict(list)
    for login in scene.logins:
        if login.outcome is LoginOutcome.ACCEPTED and login.decided is not None:
            accepted[login.server, scene.account(login)].append(login)
    disputes = []
    for key, refusals in _login_refusals(scene).items():
        voices: dict[str, list[Refusal]] = defaultdict(list)
        good = {x.credential for x in accepted[key] if x.credential is not None}
        for refusal in refusals:
            voice = _voice(refusal)
            voices["odd secret" if not voice and _odd(refusal, good) else voice].append(refusal)
        if scene.logs:
            _join_unrecorded(voices)
        welcome = sorted(accepted[key], key=_decided)
        disputes += [Dispute("login", scene, key[0], key[1], _by_time(v), welcome) for v in voices.values()]
    return disputes


def _join_unrecorded(voices: dict[str, list[Refusal]]) -> None:
    """Put the refusals that no record tells of to those of one cause, when most have a record and all records agree."""
    silent = voices.get("", [])
    told = [name for name, refusals in voices.items() if name and any(r.record for r in refusals)]
    if silent and len(told) == 1 and len(voices[told[0]]) >= len(silent):
        voices[told[0]] += voices.pop("")


def _greeting_line(s: Session) -> str:
    status = s.greeting_status or "BYE"
    return line_of(status, s.greeting_code, s.greeting, untagged=status == "BYE")


def greeting_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server for connections turned away before any login, by a BYE or by a bare close."""
    said: dict[tuple[str, str], list[Refusal]] = defaultdict(list)
    for s in scene.sessions:
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
    for s in scene.sessions:
        account = account_of(s, scene.names)
        for c in s.complaints:
            line = line_of(c.status, c.code, c.text)
            signature = match("mailbox" if c.after_login or s.opened_before else "login", line, s.product, s.protocol)
            if signature.means and signature.phase != "login":
                said[s.server, account, signature.id].append(Refusal(c.at, s, None, line, signature, scene.recorded(s)))
    return [Dispute("mailbox", scene, server, account, _by_time(rs)) for (server, account, _), rs in said.items()]


def connect_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server and port for connections that never came about."""
    failed: dict[tuple[str, int, bool], list[Refusal]] = defaultdict(list)
    for s in scene.sessions:
        if s.outcome is Outcome.UNREACHABLE:
            closed = s.conn_state == "REJ"
            at = s.closed_at if closed and s.closed_at else s.syn_at or s.end_at
            failed[s.server, s.server_port, closed].append(Refusal(at, s, None, "", UNKNOWN))
    return [Dispute("connect", scene, server, None, _by_time(rs)) for (server, _, _), rs in failed.items()]


SILENCE_S = 3.0
"""Seconds a server may stay silent before that is remarkable; healthy greetings and logins take well under one."""


def silence_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server for connections that were accepted by TCP and then heard nothing."""
    silent: dict[str, list[Refusal]] = defaultdict(list)
    for s in scene.sessions:
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
    for s in scene.sessions:
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
    for s in scene.sessions:
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


def _decided(login: Login) -> int:
    return login.decided.ts if login.decided else login.at.ts
