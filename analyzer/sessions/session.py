"""Session and Login: one mail session and one authentication exchange, as records.

Unset is ``None``, never 0 or "". Times are ns since the Unix epoch, UTC. The doc string under a field is its
documentation everywhere: ``mailscope fields``, tables, schema.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from analyzer.at import At, Side
from analyzer.protocols.events import TlsAlert, TlsTalk
from analyzer.secret import Secret
from analyzer.streams import Stall


class Outcome(StrEnum):
    """How a session ended up; exclusive."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DROPPED = "dropped"
    ABANDONED = "abandoned"
    REFUSED_AT_GREETING = "refused_at_greeting"
    UNREACHABLE = "unreachable"
    OPAQUE = "opaque"
    UNSEEN = "unseen"


class LoginOutcome(StrEnum):
    """How one login attempt ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    ABANDONED = "abandoned"
    UNSEEN = "unseen"


class Complaint(NamedTuple):
    """A NO, BAD or untagged BYE outside a login: the server did not do what it was asked."""

    verb: str | None
    """The command it answers; None for an untagged one."""
    status: str
    code: str | None
    text: str
    at: At
    after_login: bool


class Login(NamedTuple):
    """One authentication exchange; a session may hold several."""

    capture: str
    """Base name of the file."""
    session: str
    """uid of the session."""
    at: At
    """First octet of the command."""
    decided: At | None
    """The deciding reply; None when the capture holds none."""
    mechanism: str
    """'LOGIN' for IMAP's own command, else the SASL mechanism."""
    account: str | None
    """The identity offered, without its NetBIOS domain; None when it cannot be seen."""
    domain: str | None
    """NetBIOS domain or realm offered with it."""
    account_from: str
    """Which message told the account: login, plain, ntlm, token, digest, scram, external, none."""
    mailbox: str | None
    """The mailbox acted for, when it differs from the account."""
    workstation: str | None
    """NTLM only: tells agent PCs apart behind one address."""
    credential: Secret | None
    """Clear-text mechanisms only; equality within one run, in no table, file or store."""
    outcome: LoginOutcome
    status: str
    """'OK', 'NO', 'BAD', 'BYE' or ''."""
    code: str | None
    """Response code of the deciding reply."""
    text: str | None
    """Words of the deciding reply."""
    auth_ms: float | None
    """Last client octets of the exchange to the deciding reply, ms."""
    client: str
    server: str
    server_port: int
    server_name: str | None = None
    """What the server called itself in an NTLM challenge."""
    decided_capture: str | None = None
    """File of the deciding reply, where that is another one of a series."""


class Crossing(NamedTuple):
    """One connection as it left one end and came to the other."""

    near: str
    """Capture at the client's end."""
    far: str
    """Capture at the server's end."""
    lost_up: int
    """Packets with data that the client sent and the server never got."""
    lost_down: int
    """Packets with data that the server sent and the client never got."""
    forged: str | None
    """In whose name a reset came that its own capture does not hold: client, server, both; None without one."""
    went_on: bool
    """The alleged sender of that reset was heard later as if nothing had happened."""
    syn: str | None
    """What became of a SYN without answer: 'unseen' at the server, 'unanswered' by it, 'answer lost' on the way back."""
    seen: tuple[tuple[str, int], ...]
    """(capture, frame) of what proves it."""


class Session(NamedTuple):
    """One TCP connection that spoke, or tried to speak, mail."""

    capture: str
    """Base name of the file."""
    uid: str
    """Stable for the same packets: C1, C2, ... in order of first frame."""
    protocol: str | None
    """imap, pop3, smtp; None when it cannot be told."""
    tls: str
    """none, starttls, implicit."""
    client: str
    client_port: int
    server: str
    server_port: int
    start: int
    """First packet, ns UTC."""
    end: int
    """Last packet, ns UTC."""
    first_frame: int
    last_frame: int
    conn_state: str
    """Zeek's word for how the TCP connection went."""
    history: str
    """Zeek's letters of what was seen, capitals from the client."""
    handshake_ms: float | None
    """SYN to SYN/ACK."""
    greeting_ms: float | None
    """Connection established to greeting."""
    greeting: str | None
    """The server's first line, cleaned."""
    greeting_status: str | None
    """OK, PREAUTH, BYE."""
    greeting_code: str | None
    """Response code or enhanced status code of the greeting."""
    greeting_at: At | None
    product: str | None
    """Server product as far as the wire tells, such as 'exchange' or 'dovecot'."""
    capability: tuple[str, ...]
    """The last capability list seen, upper case."""
    logins: tuple[Login, ...]
    outcome: Outcome
    opened: int | None
    """When the mailbox session was open, ns UTC; the start of the connection when it was open before the capture."""
    closed: int | None
    """When it closed; None when the capture ended first."""
    closed_by: str | None
    """client, server, or None."""
    opened_before: bool
    """The session was already open when the capture began; its login was not seen."""
    commands: int
    """Commands after login."""
    last_verb: str | None
    complaints: tuple[Complaint, ...]
    """The first 100 refusals outside logins."""
    complaints_more: int
    """How many more there were."""
    bye: str | None
    """Text of the server's BYE, cleaned."""
    bye_at: At | None
    logged_out: bool
    """The client said LOGOUT."""
    client_bytes: int
    server_bytes: int
    missed_bytes: int
    retransmits: int
    duplicates: int
    one_sided: bool
    reset_by: str | None
    """client, server, or None."""
    fin_by: str | None
    syn_count: int
    syn_at: At | None
    syn_ack_at: At | None
    client_isn: int | None
    """Initial sequence numbers: the same connection in two captures has the same."""
    server_isn: int | None
    """Initial sequence number of the server."""
    established_at: At | None
    end_at: At
    """The last packet."""
    closed_at: At | None
    """First FIN or RST."""
    unreachable: str | None
    """ICMP error that answered the SYN."""
    client_known: str
    """syn, greeting or port."""
    packets: int
    """Packets of the connection in the capture, mirrored copies excluded."""
    login_disabled_at: At | None
    """When the server first announced LOGINDISABLED (RFC 9051, section 6.2.3)."""
    said_at: At | None
    """The last octets of either side; None when nothing was said."""
    server_ttl: int | None
    """TTL of the server's SYN/ACK (else of its first packet); tells how far away it is."""
    reset_ttl: int | None
    """TTL of the first RST; one from elsewhere has come another way."""
    data_ttl: int | None
    """TTL of the first data of the side in whose name the RST came; None when it sent none."""
    reset_after_ms: float | None
    """Last packet of the other side to the first RST, ms."""
    server_packets: int
    """Packets of the server among ``packets``."""
    server_retransmits: int
    """Packets of the server among ``retransmits``."""
    stall: Stall | None
    """Where it stood still at its end; None when all that was sent was taken."""
    crossing: Crossing | None = None
    """What captures at both of its ends show together; None where fewer than two hold it."""
    sni: str | None = None
    """TLS: the host name the client asked for."""
    tls_version: str | None = None
    """TLS: the version the server chose, such as 'TLS 1.2'."""
    tls_offered: tuple[str, ...] = ()
    """TLS: the versions the client offered; where it lists none, the highest."""
    alpn: str | None = None
    """TLS: the application protocol agreed on; in TLS 1.3, which hides that, the ones offered."""
    certificate_names: tuple[str, ...] = ()
    """TLS: names in the server's certificate; TLS 1.3 hides it."""
    alert: TlsAlert | None = None
    """TLS: the first alert that is not a normal goodbye."""
    talk: TlsTalk | None = None
    """TLS: how much was said inside, by turns."""
    decrypted: bool = False
    """TLS: it was read with keys and is judged as clear text."""
    last_capture: str | None = None
    """File of the last packet, where that is another one of a series."""

    @property
    def login(self) -> Login | None:
        """The last login, whose fields a table shows as the session's."""
        return self.logins[-1] if self.logins else None

    @property
    def account(self) -> str | None:
        """The account of the last login that showed one."""
        return next((x.account for x in reversed(self.logins) if x.account is not None), None)

    @property
    def server_name(self) -> str | None:
        """What the server called itself in an NTLM challenge: tells apart those behind one address."""
        return next((x.server_name for x in reversed(self.logins) if x.server_name is not None), None)

    @property
    def tls_alert(self) -> str | None:
        """The alert in words: who sent it, how bad it is, what it says."""
        found = self.alert
        return found and f"{found.side.name.lower()} {found.level} {found.description}"

    @property
    def mechanism(self) -> str | None:
        """The mechanism of the last login."""
        return self.logins[-1].mechanism if self.logins else None


def side_name(side: Side | None) -> str | None:
    """Return 'client', 'server' or None."""
    return None if side is None else side.name.lower()
