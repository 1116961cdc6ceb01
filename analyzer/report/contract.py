"""The output contract as pydantic models: documentation, JSON Schema, and a typed reader for consumers.

Imported only by those who ask for it (``mailscope schema``, a service, a test): building the report needs none of this.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$", description="RFC 3339, UTC")]
Frame = Annotated[int, Field(ge=1, description="frame number as Wireshark counts them in that file")]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
CauseName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
VerdictName = Literal["confirmed", "likely", "suspected", "ruled_out", "not_seen", "failed"]
State = Literal["ok", "partial", "empty", "no_mail", "not_a_capture", "password_needed", "timeout", "error"]
SessionOutcome = Literal[
    "accepted", "refused", "dropped", "abandoned", "refused_at_greeting", "unreachable", "opaque", "unseen"
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")  # more fields may be added


class Tool(_Model):
    """Who wrote the report."""

    name: str
    version: str


class Stop(_Model):
    """Where and why reading ended before the end of the file."""

    frame: Count
    offset_bytes: Count
    reason: str


class Grade(_Model):
    """How much the capture can show."""

    grade: Literal["A", "B", "C", "D", "E", "F"]
    reasons: list[str]


class CaptureRow(_Model):
    """One file that was read, or that could not be read."""

    name: str
    sha256: str | None = Field(description="of the file; null when it could not be opened")
    format: str | None
    link_types: list[str]
    packets: Count = Field(description="all frames of the file, mail or not")
    start: Time | None
    end: Time | None
    state: State
    stopped: Stop | None
    quality: Grade
    warnings: list[str]
    series: list[str] = Field(
        description="files read as one capture with this one, in order; empty when it stands alone"
    )


class SessionRow(_Model):
    """One TCP connection that spoke, or tried to speak, mail."""

    capture: str
    uid: str
    protocol: Literal["imap", "pop3", "smtp"] | None
    tls: Literal["none", "starttls", "implicit"]
    client: str
    client_port: Count
    server: str
    server_port: Count
    start: Time | None
    end: Time | None
    first_frame: Frame
    last_frame: Frame
    conn_state: str = Field(description="Zeek's word for how the TCP connection went")
    greeting: str | None
    product: str | None
    account: str | None
    mechanism: str | None
    outcome: SessionOutcome
    opened: Time | None
    closed: Time | None
    closed_by: Literal["client", "server"] | None
    client_bytes: Count
    server_bytes: Count
    missed_bytes: Count
    retransmits: Count
    sni: str | None = Field(None, description="TLS: host name the client asked for")
    tls_version: str | None = Field(None, description="TLS: version the server chose, such as 'TLS 1.2'")
    tls_offered: list[str] = Field([], description="TLS: versions the client offered; where it lists none, the highest")
    alpn: str | None = Field(None, description="TLS: application protocol agreed on; in TLS 1.3 the ones offered")
    certificate_names: list[str] = Field([], description="TLS: names in the server's certificate; TLS 1.3 hides it")
    tls_alert: str | None = Field(None, description="TLS: first alert but a goodbye, such as 'client fatal unknown_ca'")
    decrypted: bool = Field(default=False, description="TLS: it was read with keys and is judged as clear text")
    last_capture: str | None = Field(description="file of the last frame, where that is another one of a series")


class LoginRow(_Model):
    """One authentication exchange."""

    capture: str
    session: str
    frame: Frame
    decided_frame: Frame | None
    time: Time | None
    decided_time: Time | None
    mechanism: str = Field(description="IMAP's own command is 'LOGIN'")
    account: str | None
    domain: str | None
    workstation: str | None
    outcome: Literal["accepted", "refused", "abandoned", "unseen"]
    code: str | None
    text: str | None
    auth_ms: float | None
    decided_capture: str | None = Field(description="file of the deciding frame, where that is another one of a series")


class AccountRow(_Model):
    """One account on one server."""

    account: str | None
    server: str
    protocol: str | None
    logins_accepted: Count
    logins_refused: Count
    clients: list[str]
    clients_refused: list[str]
    peak_open: Count = Field(description="most sessions of the account open at once, in this view")
    peak_open_at: Time | None


class SubjectRow(_Model):
    """Whom a finding is about; an empty list means not tied to one."""

    accounts: list[str]
    clients: list[str]
    server: str | None
    protocol: str | None


class CandidateRow(_Model):
    """A cause still alive for this subject."""

    cause: CauseName
    confidence: Share


class FramePlace(_Model):
    """A frame in one of the captures."""

    capture: str
    frame: Frame


class EvidenceRow(_Model):
    """One fact for (above 0 dB) or against the cause."""

    text: str
    frames: list[FramePlace]
    weight_db: float
    decisive: bool
    filter: str = Field(description="Wireshark display filter, may be empty")


class LimitEstimate(_Model):
    """Bounds of a limit's height; null where the capture sets none."""

    low: Count | None = Field(description="one more than the most sessions open when another was let in")
    high: Count | None = Field(description="the fewest open when one was refused")
    known_default: str | None = Field(description="the shipped value within the bounds, in words")


class LimitInPlay(_Model):
    """One limit the team's connections meet."""

    scope: Literal["account", "account and address", "address", "server", "store"]
    setting: str
    low: Count | None = Field(description="lowest value it may have")
    high: Count | None
    seen: bool = Field(description="bounded by the capture; otherwise shipped values")
    needed: Count
    enough: bool | None


class CapacityRow(_Model):
    """Connections the clients of an account need: clients x per_client + service, and the reserve."""

    clients: Count
    per_client: Count
    service: Count
    needed: Count
    reserve_percent: Count
    advised: Count
    limits: list[LimitInPlay]


class FindingRow(_Model):
    """What was concluded about one subject."""

    rule: str
    cause: CauseName
    verdict: VerdictName
    confidence: Share
    severity: Literal["fault", "warning", "info"]
    subject: SubjectRow
    candidates: list[CandidateRow]
    start: Time | None
    end: Time | None
    title: str
    summary: str
    evidence: list[EvidenceRow]
    missing: list[str]
    remedies: list[str]
    limit_estimate: LimitEstimate | None = Field(description="null unless the finding is about a limit")
    capacity: CapacityRow | None


class ConclusionRow(_Model):
    """The answer in one line."""

    cause: CauseName = Field(description="the first fault's, or healthy, no_mail, encrypted, unreadable")
    verdict: VerdictName | None
    title: str


class WhatIfRow(_Model):
    """What a limit of N sessions would have made of one account's refusals."""

    account: str | None
    server: str
    protocol: str | None
    limit: Count = Field(description="N")
    refused: Count = Field(description="refusals replayed")
    spared: Count = Field(description="of these, accepted under N or never tried")
    lost: Count = Field(description="acceptances that N would have refused")
    enough: Count = Field(description="the smallest N that spares all")
    session_s: float = Field(description="assumed length of a spared session")
    at_least: bool = Field(description="most sessions last longer than that: the capture ended first")
    whole: bool = Field(description="the sessions that count are in the capture")
    per_address: bool = Field(description="the server counts per account and client address")


class RecordsRow(_Model):
    """A server's own log, given beside the captures."""

    name: str
    kind: str = Field(description="what it is, in words")
    records: Count = Field(description="entries that say something about logins")
    matched: Count = Field(description="entries that belong to logins or sessions of the captures")
    clock_offset_s: float | None = Field(description="how far its clock is ahead of the captures'; null: not known")
    start: Time | None
    end: Time | None
    times: Literal["utc", "local"] = Field(description="local: the server's own time, shown as it was written")
    warnings: list[str]


class Report(_Model):
    """What `mailscope report --format json` prints."""

    schema_version: Literal[1]
    tool: Tool
    captures: list[CaptureRow]
    sessions: list[SessionRow]
    logins: list[LoginRow]
    accounts: list[AccountRow]
    findings: list[FindingRow]
    conclusion: ConclusionRow
    what_if: list[WhatIfRow] | None = Field(None, description="null unless --what-if asked")
    records: list[RecordsRow] = Field(default_factory=list, description="logs of the server, beside the captures")
