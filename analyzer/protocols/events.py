"""What parsers tell: the same few events for every mail protocol, secrets already gone."""

from __future__ import annotations

from typing import NamedTuple

from analyzer.at import At, Side
from analyzer.secret import Secret


class Greeting(NamedTuple):
    """The server's first words: IMAP's untagged OK, PREAUTH or BYE."""

    at: At
    status: str
    """'OK', 'PREAUTH', 'BYE'; '+OK', '-ERR' or the three digits for the other protocols."""
    code: str | None
    """Response code in brackets without them ('UNAVAILABLE'), upper case; None when there is none."""
    text: str


class Command(NamedTuple):
    """One command of the client."""

    at: At
    """First octet of the command."""
    tag: str
    verb: str
    """Upper case; 'UID FETCH' for UID commands; '?' when it cannot be read."""
    args: str
    """Cleaned arguments with secrets and literals replaced by '***' and '{n}'; at most 200 characters."""


class Reply(NamedTuple):
    """A status reply of the server: IMAP's tagged OK/NO/BAD, or an untagged one (tag '*')."""

    at: At
    """The frame that completed the reply's line."""
    tag: str
    status: str
    """'OK', 'NO', 'BAD', 'BYE', 'PREAUTH'."""
    code: str | None
    text: str
    """Without status and code."""
    verb: str | None = None
    """Verb of the command it answers, when the tag is known."""
    began: At | None = None
    """Last client octet the reply answers, for latencies."""


class Capability(NamedTuple):
    """A list of what the server offers, from CAPABILITY or a response code."""

    at: At
    words: tuple[str, ...]


class Identity(NamedTuple):
    """Who wants to log in, found in one SASL message or LOGIN command; no secret but by equality."""

    mechanism: str
    """'LOGIN' for IMAP's own command, else the SASL mechanism in upper case."""
    account: str | None = None
    """The identity offered, cleaned, without its NetBIOS domain."""
    domain: str | None = None
    """NetBIOS (or realm) part of DOMAIN\\\\user, or NTLM's domain."""
    mailbox: str | None = None
    """Authorization identity when it differs: the mailbox acted for."""
    workstation: str | None = None
    """NTLM only."""
    account_from: str = "none"
    """'login', 'plain', 'ntlm', 'token', 'digest', 'scram', 'external', 'none'."""
    credential: Secret | None = None
    """Clear-text mechanisms only."""


class AuthStarted(NamedTuple):
    """A login attempt begins: LOGIN or AUTHENTICATE was sent."""

    at: At
    tag: str
    mechanism: str


class AuthIdentity(NamedTuple):
    """The attempt's identity became known (or better known)."""

    at: At
    identity: Identity
    complete: bool = True
    """False when the message was cut short and only its start could be read."""


class AuthServer(NamedTuple):
    """What the server tells of itself inside a challenge (NTLM type 2 target names)."""

    at: At
    name: str


class AuthEnded(NamedTuple):
    """The attempt was decided, or given up."""

    at: At
    tag: str
    outcome: str
    """'accepted', 'refused', 'abandoned', 'unseen'."""
    code: str | None
    text: str
    """The server's words, status included for BAD ('BAD Command received in Invalid state.')."""
    status: str
    """'OK', 'NO', 'BAD', 'BYE' or ''."""
    auth_ms: float | None
    """Last client octets of the exchange to the reply, ms."""


class TlsStarted(NamedTuple):
    """The rest is opaque: STARTTLS was accepted, or the first octets were a TLS record."""

    at: At
    implicit: bool


class TlsHello(NamedTuple):
    """What a side says when TLS begins."""

    at: At
    side: Side
    version: str | None
    """The version the server chose, such as 'TLS 1.2'; None in the client's hello, and for one nobody knows."""
    versions: tuple[str, ...]
    """Versions the client offers; where it lists none, the highest."""
    sni: str | None
    """Host name the client asks for."""
    alpn: tuple[str, ...]
    """Application protocols the client offers, or the one the server chose."""


class TlsCertificate(NamedTuple):
    """The server's certificate; TLS 1.3 hides it."""

    at: At
    names: tuple[str, ...]
    issuer: str | None
    """Common name of who signed it."""
    valid_until: int | None
    """Not after, ns UTC."""


class TlsAlert(NamedTuple):
    """TLS went wrong; a normal goodbye is not told."""

    at: At
    side: Side
    level: str
    """'warning', 'fatal', 'unknown'."""
    description: str
    """In the RFC's words, such as 'unknown_ca'; 'encrypted' when they cannot be read."""


class TlsTurn(NamedTuple):
    """What one side said inside TLS before the other did."""

    side: Side
    size_bytes: int
    """Payload of its records."""
    records: int
    """How many records."""
    at: At
    """The last of them."""


class TlsTalk(NamedTuple):
    """How much was said inside TLS, told when the connection has ended."""

    at: At
    turns: tuple[TlsTurn, ...]
    """The first turns; of TLS 1.3 without the handshake."""
    records: int
    """Records of application data, all of them."""
    whole: bool
    """Nothing is missing, from the first record to the end of the connection."""


class Closed(NamedTuple):
    """The client said LOGOUT, or the server said BYE."""

    at: At
    by: Side
    text: str


class Lost(NamedTuple):
    """Octets of one side are missing from the capture."""

    at: At
    side: Side
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks of an event


class Malformed(NamedTuple):
    """Octets that make no sense here; parsing went on at the next line."""

    at: At
    side: Side
    why: str


Event = (
    Greeting
    | Command
    | Reply
    | Capability
    | AuthStarted
    | AuthIdentity
    | AuthServer
    | AuthEnded
    | TlsStarted
    | TlsHello
    | TlsCertificate
    | TlsAlert
    | TlsTalk
    | Closed
    | Lost
    | Malformed
)
