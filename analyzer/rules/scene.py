"""The scene: all sessions of a case, and the disputes in it, each with its refusals and acceptances.

A dispute is one question for rival causes: "why was this account refused on this server with these words?". Its kind
says where in a session the refusals happened: at a login, instead of a greeting, after the login, at the TCP handshake,
in silence, at the end of many sessions at once, by a reset in mid-session, or where a connection stood still.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from analyzer.at import NS_PER_S, At
from analyzer.rules.finding import FRAMES_SHOWN, FrameRef, filter_of
from analyzer.rules.place import Place
from analyzer.rules.signatures import UNKNOWN, Signature, heard, limit_in, line_of, match
from analyzer.secret import Secret
from analyzer.sessions.concurrency import account_of
from analyzer.sessions.names import Names, names
from analyzer.sessions.session import Login, LoginOutcome, Outcome, Session

if TYPE_CHECKING:
    from analyzer.sessions.records.align import Aligned
    from analyzer.sessions.records.record import Record


class Known(NamedTuple):
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
        return FrameRef(self.session.capture, self.at[0])


class Dispute:
    """One question, with everything said about it in the captures."""

    def __init__(  # noqa: PLR0917
        self,
        kind: str,
        scene: Scene,
        server: str,
        account: str | None,
        refusals: list[Refusal],
        accepted: Sequence[Login] = (),
    ) -> None:
        self.kind = kind
        """login, greeting, mailbox, connect, silence, ending, reset, stall; of encrypted sessions: sealed, tls."""
        self.scene, self.server, self.account, self.refusals = scene, server, account, refusals
        self.accepted = list(accepted)
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
        told = (limit_in(r.text, r.signature) or (r.record.limit if r.record else None) for r in self.refusals)
        return next((n for n in told if n is not None), None)


class Scene:
    """All sessions of a case; what is asked about them is worked out when it is first asked for."""

    def __init__(self, sessions: Sequence[Session], known: Known | None = None, logs: Sequence[Aligned] = ()) -> None:
        self.sessions, self.known = sessions, known or Known()
        self.logs = logs
        """The server's own logs, beside these sessions."""

    @cached_property
    def names(self) -> Names:
        """Which spellings are one account."""
        return names(self.logins)

    @cached_property
    def odd(self) -> list[Session]:
        """Sessions in which something went another way than well; only these raise questions."""
        return [s for s in self.sessions if not _went_well(s)]

    @cached_property
    def _recorded(self) -> dict[tuple[str, str, int], Record]:
        return {
            (m.session.capture, m.session.uid, m.login.at.frame if m.login else 0): m.record
            for log in self.logs
            for m in sorted(log.matches, key=lambda m: m.record.cause is not None)  # of two logs, the one that says why
        }

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

    def recorded(self, session: Session, login: Login | None = None) -> Record | None:
        """Return what the server's own log says of a login, or of a session beside its logins."""
        return self._recorded.get((session.capture, session.uid, login.at.frame if login else 0))

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
    if (
        s.complaints
        or s.reset_by is not None
        or s.stall is not None
        or s.crossing is not None
        or s.server_bytes == 0
        or s.outcome in _TURNED_AWAY
    ):
        return False
    if not s.logged_out and (s.bye_at is not None or s.closed_by == "server"):
        return False
    for login in s.logins:
        if login.outcome is not LoginOutcome.ACCEPTED or (login.auth_ms or 0.0) >= SILENCE_S * 1000:
            return False
    return True


_TURNED_AWAY = frozenset({Outcome.REFUSED_AT_GREETING, Outcome.UNREACHABLE})


def _voice(refusal: Refusal) -> str:
    """Return what keeps refusals apart: the cause that an explicit phrase, or the server's log, names; '' for none."""
    signature = refusal.signature
    if signature.explicit:
        return signature.cause or ""
    return (refusal.record.cause or "") if refusal.record else ""


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
    disputes = []
    for (server, account), refusals in _login_refusals(scene).items():
        voices: dict[str, list[Refusal]] = defaultdict(list)
        welcome = scene.place(server).accepted_of.get(account, [])
        good = {x.credential for x in welcome if x.credential is not None}
        for refusal in refusals:
            voice = _voice(refusal)
            voices["odd secret" if not voice and _odd(refusal, good) else voice].append(refusal)
        if scene.logs:
            _join_unrecorded(voices)
        disputes += [Dispute("login", scene, server, account, _by_time(v), welcome) for v in voices.values()]
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
        elif s.closed_at is not None and shut_out(s):
            said[s.server, "without a word"].append(Refusal(s.closed_at, s, None, "", UNKNOWN))
    return [Dispute("greeting", scene, server, None, _by_time(rs)) for (server, _), rs in said.items()]


def shut_out(s: Session) -> bool:
    """Tell a connection that the server accepted and closed at once, without a word (Courier, hMailServer, Exchange)."""
    if s.syn_at is None or s.established_at is None or s.closed_at is None or s.tls != "none":
        return False
    mute = s.server_bytes == 0 and s.missed_bytes == 0 and not s.one_sided and s.fin_by == "server"
    return mute and s.protocol is not None and s.closed_at.ts - s.established_at.ts < SILENCE_S * NS_PER_S


def mailbox_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server, account and meaning for what was refused after a login."""
    said: dict[tuple[str, str | None, str], list[Refusal]] = defaultdict(list)
    for s in scene.odd:
        account = account_of(s, scene.names)
        for c in s.complaints:
            line = line_of(c.status, c.code, c.text)
            signature = match("mailbox" if c.after_login or s.opened_before else "any", line, s.product, s.protocol)
            if signature.means:
                said[s.server, account, signature.id].append(Refusal(c.at, s, None, line, signature, scene.recorded(s)))
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
    if stands_still(s) or shut_out(s):
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
        if s.opened is None or s.logged_out or s.protocol != "imap" or foreign_reset(s) or stands_still(s):
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


def own_ttl(s: Session) -> int | None:
    """Return the TTL of the packets of the side in whose name a reset came: of its data, else of the SYN/ACK."""
    return s.data_ttl if s.data_ttl is not None or s.reset_by != "server" else s.server_ttl


def foreign_reset(s: Session) -> bool:
    """Tell a session cut by a reset that has come another way than the packets of the side it names, or that nobody sent.

    Some systems send resets with another first TTL than data; those have passed as many routers.
    """
    own, reset = own_ttl(s), s.reset_ttl
    if s.crossing is not None and s.crossing.forged:
        return True
    if not _cut(s) or own is None or reset is None:
        return False
    return abs(own - reset) > TTL_STEP and _hops(own) != _hops(reset)


def _cut(s: Session) -> bool:
    """Tell a connection that was reset before anybody said goodbye."""
    spoke = s.established_at is not None or s.opened_before or s.server_bytes > 0
    goodbye = s.fin_by is not None or s.bye_at is not None or s.logged_out or s.greeting_status == "BYE"
    return s.reset_by is not None and spoke and not goodbye


def reset_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server for connections reset in mid-session, the foreign resets apart.

    A reset in the client's own name is nobody's question: programs that are closed send them.
    """
    cut: dict[tuple[str, bool], list[Refusal]] = defaultdict(list)
    for s in scene.odd:
        foreign = foreign_reset(s)
        if foreign or (s.reset_by == "server" and _cut(s)):
            cut[s.server, foreign].append(Refusal(s.closed_at or s.end_at, s, None, "", UNKNOWN))
    return [Dispute("reset", scene, server, None, _by_time(rs)) for (server, _), rs in cut.items()]


STALL_S = 3.0
"""Seconds without progress that are no mere loss: a sender has tried again after 0.3, 0.9 and 2.1 s by then (RFC 6298)."""
STALL_TIMES = 3
"""Times the same octets must have been seen."""


def stands_still(s: Session) -> bool:
    """Tell a connection in which octets were never taken although they were sent again and the other side was alive."""
    stall = s.stall
    if stall is None or stall.heard <= stall.since or s.end - stall.since < STALL_S * NS_PER_S:
        return False
    return stall.times >= STALL_TIMES or (stall.times == 0 and stall.size > 0)


def stall_disputes(scene: Scene) -> list[Dispute]:
    """Return one dispute per server and direction for connections that stood still at their end."""
    still: dict[tuple[str, int], list[Refusal]] = defaultdict(list)
    for s in scene.sessions:
        if s.stall is not None and stands_still(s):
            still[s.server, s.stall.side].append(Refusal(s.stall.at, s, None, "", UNKNOWN))
    return [Dispute("stall", scene, server, None, _by_time(rs)) for (server, _), rs in still.items()]


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
        stall_disputes,
    )
    found = [dispute for maker in makers for dispute in maker(scene)]
    hidden = [s for s in scene.sessions if s.talk is not None and not s.decrypted]
    if hidden:
        from analyzer.rules.sealed import handshake_disputes, sealed_disputes

        found += sealed_disputes(scene, hidden) + handshake_disputes(scene, hidden)
    return found


def _by_time(refusals: list[Refusal]) -> list[Refusal]:
    return sorted(refusals, key=lambda r: (r.at.ts, r.at.frame))
