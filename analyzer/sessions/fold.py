"""Events of one connection folded into one Session: account, mechanism, outcome, when the mailbox was open, who closed."""

from __future__ import annotations

from typing import Any

from analyzer.at import NS_PER_MS, At, Side
from analyzer.protocols.events import (
    AuthEnded,
    AuthIdentity,
    AuthServer,
    AuthStarted,
    Capability,
    Closed,
    Command,
    Event,
    Greeting,
    Identity,
    Reply,
    TlsAlert,
    TlsCertificate,
    TlsHello,
    TlsStarted,
    TlsTalk,
)
from analyzer.sessions.identify import PORT_PROTOCOL
from analyzer.sessions.product import product_of
from analyzer.sessions.session import Complaint, Login, LoginOutcome, Outcome, Session, side_name
from analyzer.streams import Connection

COMPLAINTS_KEPT = 100
"""Refusals outside logins kept per session; a client that repeats one failing command for hours adds nothing new."""
LOGINS_KEPT = 1000
"""Login attempts kept per session; servers close after three to five failures."""
AUTHENTICATED_VERBS = frozenset(
    [
        "SELECT",
        "EXAMINE",
        "CREATE",
        "DELETE",
        "RENAME",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "LIST",
        "LSUB",
        "NAMESPACE",
        "STATUS",
        "APPEND",
        "IDLE",
        "DONE",
        "CHECK",
        "CLOSE",
        "UNSELECT",
        "EXPUNGE",
        "SEARCH",
        "FETCH",
        "STORE",
        "COPY",
        "MOVE",
        "SORT",
        "THREAD",
        "GETQUOTAROOT",
        "GETACL",
        "STAT",
        "RETR",
        "DELE",
        "TOP",
        "UIDL",
    ]
)
"""Commands valid only after a login (RFC 9051, sections 6.3 and 6.4; RFC 1939, sections 5 and 7).

NOOP is valid before as well, but nobody keeps an old connection alive with it unless logged in.
"""
_FAILED = frozenset({"NO", "BAD", "-ERR"})
_REFUSED_GREETING = frozenset({"BYE", "-ERR"})


def _negative(status: str, words: frozenset[str]) -> bool:
    """Tell whether a status is one of the words, or an SMTP reply of class 4 or 5 (RFC 5321, section 4.2.1)."""
    return status in words or (len(status) == 3 and status[0] in "45" and status.isdigit())


class Fold:
    """Takes the events of one connection, in order; :meth:`session` gives the record."""

    def __init__(self, capture: str, connection: Connection) -> None:
        self.protocol: str | None = PORT_PROTOCOL.get(connection.server_port)
        self._capture = capture
        self._connection = connection
        self._greeting: Greeting | None = None
        self._tls = "none"
        self._capability: tuple[str, ...] = ()
        self._disabled_at: At | None = None
        self._identifier: str | None = None
        self._logins: list[Login] = []
        self._started: AuthStarted | None = None
        self._identity: Identity | None = None
        self._server_name: str | None = None
        self._complaints: list[Complaint] = []
        self._complaints_more = 0
        self._commands = 0
        self._last_verb: str | None = None
        self._opened: int | None = None
        self._working = False
        self._bye: Closed | None = None
        self._logout = False
        self._delivered = False  # SMTP: a message was taken
        self._hidden: dict[str, Any] = {}  # the session's fields about TLS

    def take(self, event: Event) -> None:
        """Take the next event."""
        match event:
            case Reply():
                self._reply(event)
            case Command():
                self._command(event)
            case AuthStarted():
                self._started, self._identity = event, None
            case AuthIdentity(identity=identity):
                self._identity = identity
            case AuthEnded():
                self._decided(event)
            case Capability(words=words):
                self._capability = words
                if self._disabled_at is None and "LOGINDISABLED" in words:
                    self._disabled_at = event.at
            case Greeting():
                self._greeting = event
                if event.status == "PREAUTH":
                    self._opened = event.at.ts
            case AuthServer(name=name):
                self._server_name = name
            case TlsStarted(implicit=implicit):
                self._tls = "implicit" if implicit else "starttls"
            case TlsHello() | TlsCertificate() | TlsAlert() | TlsTalk():
                self._tls_told(event)
            case Closed(by=Side.SERVER):
                self._bye = self._bye or event
            case Closed():
                self._logout = True
            case _:
                pass

    @property
    def is_decrypted(self) -> bool:
        """Whether what TLS hides is read."""
        return "decrypted" in self._hidden

    def decrypted(self) -> None:
        """Be told that what TLS hides is read."""
        self._hidden["decrypted"] = True

    def _tls_told(self, event: TlsHello | TlsCertificate | TlsAlert | TlsTalk) -> None:
        hidden = self._hidden
        match event:
            case TlsHello(side=Side.CLIENT):
                hidden |= {"sni": event.sni, "tls_offered": event.versions, "alpn": " ".join(event.alpn) or None}
            case TlsHello():
                hidden["tls_version"] = event.version
                if event.version != "TLS 1.3":
                    hidden["alpn"] = " ".join(event.alpn) or None
            case TlsCertificate(names=names):
                hidden.setdefault("certificate_names", names)
            case TlsAlert():
                hidden.setdefault("alert", event)
            case TlsTalk():
                hidden["talk"] = event

    def _command(self, event: Command) -> None:
        self._last_verb = event.verb
        if event.verb == "LOGOUT":
            self._logout = True
        if self._opened is not None:
            self._commands += 1

    def _reply(self, event: Reply) -> None:
        verb = (event.verb or "").removeprefix("UID ")
        if event.status in {"OK", "+OK"} and (verb in AUTHENTICATED_VERBS or verb == "NOOP"):
            self._working = True
        if event.status == "250" and verb in {"DATA", "BDAT"}:
            self._delivered = True
        if not _negative(event.status, _FAILED):
            return
        if len(self._complaints) >= COMPLAINTS_KEPT:
            self._complaints_more += 1
            return
        after = self._opened is not None
        self._complaints.append(Complaint(event.verb, event.status, event.code, event.text, event.at, after))

    def _decided(self, event: AuthEnded) -> None:
        started = self._started or AuthStarted(event.at, event.tag, "?")
        who = self._identity or Identity(started.mechanism)
        connection = self._connection
        outcome = LoginOutcome(event.outcome)
        seen = outcome in {LoginOutcome.ACCEPTED, LoginOutcome.REFUSED}
        if outcome is LoginOutcome.ACCEPTED and self._opened is None:
            self._opened = event.at.ts
        self._started = self._identity = None
        if len(self._logins) >= LOGINS_KEPT:
            return
        self._logins.append(
            Login(
                capture=self._capture,
                session=connection.uid,
                at=started.at,
                decided=event.at if seen else None,
                mechanism=who.mechanism if who.mechanism != "?" else started.mechanism,
                account=who.account,
                domain=who.domain,
                account_from=who.account_from,
                mailbox=who.mailbox,
                workstation=who.workstation,
                credential=who.credential,
                outcome=outcome,
                status=event.status,
                code=event.code,
                text=event.text or None,
                auth_ms=event.auth_ms,
                client=connection.client,
                server=connection.server,
                server_port=connection.server_port,
                server_name=self._server_name,
            )
        )

    def session(self) -> Session:
        """Return the record of the connection, whose own counts must be complete."""
        c = self._connection
        greeting = self._greeting
        before = self._opened is None and self._working and c.syn_at is None and greeting is None
        opened = c.start if before else self._opened
        closed_at = self._closed_at()
        established = c.established_at or c.syn_ack_at
        waited = greeting and established and c.syn_at and (greeting.at.ts - established.ts) / NS_PER_MS
        return Session(
            capture=self._capture,
            uid=c.uid,
            protocol=self.protocol,
            tls=self._tls,
            client=c.client,
            client_port=c.client_port,
            server=c.server,
            server_port=c.server_port,
            start=c.start,
            end=c.end,
            first_frame=c.first_frame,
            last_frame=c.last_frame,
            conn_state=c.conn_state,
            history=c.history,
            handshake_ms=c.handshake_ms,
            greeting_ms=waited or None,
            greeting=greeting.text if greeting else None,
            greeting_status=greeting.status if greeting else None,
            greeting_code=greeting.code if greeting else None,
            greeting_at=greeting.at if greeting else None,
            product=product_of(greeting.text if greeting else None, self._capability, (x.text for x in self._logins)),
            capability=self._capability,
            logins=tuple(self._logins),
            outcome=self._outcome(opened),
            opened=opened,
            closed=closed_at.ts if closed_at and opened is not None else None,
            closed_by=self._closed_by(),
            opened_before=before,
            commands=self._commands,
            last_verb=self._last_verb,
            complaints=tuple(self._complaints),
            complaints_more=self._complaints_more,
            bye=self._bye.text if self._bye else None,
            bye_at=self._bye.at if self._bye else None,
            logged_out=self._logout,
            client_bytes=c.client_bytes,
            server_bytes=c.server_bytes,
            missed_bytes=c.missed_bytes,
            retransmits=c.retransmits,
            duplicates=c.duplicates,
            one_sided=c.one_sided,
            reset_by=side_name(c.reset_by),
            fin_by=side_name(c.fin_by),
            syn_count=c.syn_count,
            syn_at=c.syn_at,
            syn_ack_at=c.syn_ack_at,
            client_isn=c.client_isn,
            server_isn=c.server_isn,
            established_at=c.established_at,
            end_at=At(c.last_frame, c.end),
            closed_at=closed_at,
            unreachable=c.unreachable,
            client_known=c.client_known,
            packets=c.packets,
            login_disabled_at=self._disabled_at,
            said_at=c.said_at,
            server_ttl=c.server_ttl or None,  # an engine that does not tell it leaves 0
            reset_ttl=c.reset_ttl or None,
            data_ttl=c.data_ttl or None,
            reset_after_ms=c.reset_after_ms,
            server_packets=c.server_packets,
            server_retransmits=c.server_retransmits,
            stall=c.stall,
            **self._hidden,
        )

    def _closed_at(self) -> At | None:
        ends = [at for at in (self._connection.fin_at, self._connection.reset_at) if at is not None]
        return min(ends, key=lambda at: at.ts) if ends else None

    def _closed_by(self) -> str | None:
        c = self._connection
        if c.fin_at is not None and (c.reset_at is None or c.fin_at.ts <= c.reset_at.ts):
            return side_name(c.fin_by)
        return side_name(c.reset_by)

    def _outcome(self, opened: int | None) -> Outcome:
        c, outcomes = self._connection, {login.outcome for login in self._logins}
        if self._tls != "none" and not outcomes and not self.is_decrypted:
            return Outcome.OPAQUE
        if opened is not None or LoginOutcome.ACCEPTED in outcomes:
            return Outcome.ACCEPTED
        if LoginOutcome.REFUSED in outcomes:
            return Outcome.REFUSED
        if self._greeting is not None and _negative(self._greeting.status, _REFUSED_GREETING):
            return Outcome.REFUSED_AT_GREETING
        if self._delivered or self._welcomed():
            return Outcome.ACCEPTED
        if c.conn_state in {"S0", "REJ", "RSTOS0"} and not (c.client_bytes or c.server_bytes):
            return Outcome.UNREACHABLE
        if LoginOutcome.UNSEEN in outcomes or c.syn_at is None:
            return Outcome.UNSEEN
        return self._unfinished()

    def _welcomed(self) -> bool:
        """Tell whether an SMTP session without login went from greeting to QUIT with nothing refused."""
        smtp = self._greeting is not None and self._greeting.status == "220"
        return smtp and self._logout and not self._complaints

    def _unfinished(self) -> Outcome:
        """Name the outcome of a connection that was seen from its SYN and ended without a verdict on a login."""
        ended = self._closed_by()
        if ended is None or self.protocol is None:
            return Outcome.UNSEEN
        return Outcome.DROPPED if ended == "server" else Outcome.ABANDONED
