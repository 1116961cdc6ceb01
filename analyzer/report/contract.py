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


class ConclusionRow(_Model):
    """The answer in one line."""

    cause: CauseName = Field(description="the first fault's, or healthy, no_mail, encrypted, unreadable")
    verdict: VerdictName | None
    title: str


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
    records: list[RecordsRow] = Field(default_factory=list, description="logs of the server, beside the captures")
